//! Passive ejection: which endpoints fail so much more than the others that they should rest, and for how long. The
//! arithmetic of Envoy's outlier detection, whose words the parameters are; the clocks and counters are the caller's.
//!
//! Rates are compared in whole numbers: rounding must not make an outlier of somebody who does as everybody does.

use std::time::Duration;

/// Of these many requests so many succeeded, in the interval that is judged. Hosts that are ejected are not listed.
pub type Tally = (u64, u64);

/// Rates are counted in millionths.
const WHOLE: u64 = 1_000_000;

/// The indices of the hosts whose success rate is below the mean by more than `stdev_factor` thousandths (Envoy: 1900)
/// of the standard deviation. Judged are those with at least `request_volume` requests (Envoy: 100), if there are at
/// least `minimum_hosts` of them (Envoy: 5).
pub fn success_rate_outliers(
    hosts: &[Tally],
    minimum_hosts: usize,
    request_volume: u64,
    stdev_factor: u32,
) -> Vec<usize> {
    let judged = judged(hosts, minimum_hosts, request_volume);
    let rates: Vec<_> = judged.iter().map(|&index| (index, success_rate(hosts[index]))).collect();
    let count = rates.len() as u128;
    let sum: u128 = rates.iter().map(|(_, rate)| rate).sum();
    let squares: u128 = rates.iter().map(|(_, rate)| rate * rate).sum();
    // Mean and deviation times the number of hosts, so that nothing is divided: n·Σr² - (Σr)² is (n·stdev)².
    let deviation_squared = count * squares - sum * sum;
    let bound = (u128::from(stdev_factor).pow(2)).saturating_mul(deviation_squared);
    let is_outlier = |&(_, rate): &(usize, u128)| {
        let below = sum.saturating_sub(count * rate);
        (below * 1000).saturating_mul(below * 1000) > bound
    };
    rates.into_iter().filter(is_outlier).map(|(index, _)| index).collect()
}

/// The indices of the hosts of whose requests at least `threshold` per cent (Envoy: 85) failed. Judged are those with
/// at least `request_volume` requests (Envoy: 50), if there are at least `minimum_hosts` of them (Envoy: 5).
pub fn failure_percentage_outliers(
    hosts: &[Tally],
    minimum_hosts: usize,
    request_volume: u64,
    threshold: u32,
) -> Vec<usize> {
    let mut judged = judged(hosts, minimum_hosts, request_volume);
    judged.retain(|&index| {
        let (requests, successes) = hosts[index];
        u128::from(requests.saturating_sub(successes)) * 100 >= u128::from(requests) * u128::from(threshold)
    });
    judged
}

/// How long a host rests: `base` for each time that it was ejected in a row, up to `max`, but never less than `base`.
/// `multiplier` is that number, 1 for the first time; it goes down by one with each interval without an ejection.
pub fn ejection_time(base: Duration, max: Duration, multiplier: u32) -> Duration {
    base.saturating_mul(multiplier).clamp(base, max.max(base))
}

/// Whether another host may be ejected where `ejected` of `total` are already: as long as no more than `max_percent`
/// (Envoy: 10) would be. One always may, or a small cluster would keep its only bad host; none where it is 0.
pub fn may_eject(ejected: u64, total: u64, max_percent: u32) -> bool {
    let would_be = (u128::from(ejected) + 1) * 100;
    let is_first = ejected == 0 && max_percent > 0;
    ejected < total && (is_first || would_be <= u128::from(total) * u128::from(max_percent))
}

fn judged(hosts: &[Tally], minimum_hosts: usize, request_volume: u64) -> Vec<usize> {
    // A host without requests has no rate.
    let least = request_volume.max(1);
    let judged: Vec<_> = (0..hosts.len()).filter(|&index| hosts[index].0 >= least).collect();
    if judged.len() < minimum_hosts { Vec::new() } else { judged }
}

fn success_rate((requests, successes): Tally) -> u128 {
    // A request can end in the interval after that in which it was counted.
    u128::from(successes.min(requests)) * u128::from(WHOLE) / u128::from(requests.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hosts with a thousand requests and these success rates in per cent.
    fn hosts(rates: &[u64]) -> Vec<Tally> {
        rates.iter().map(|rate| (1000, rate * 10)).collect()
    }

    #[test]
    fn a_rate_far_below_the_mean_is_an_outlier() {
        let check = |rates: &[u64], factor, expected: &[usize]| {
            assert_eq!(success_rate_outliers(&hosts(rates), 5, 100, factor), expected, "{rates:?} {factor}");
        };
        // The example in Envoy's code: the mean is 90, the deviation 20 and the threshold 52.
        check(&[50, 100, 100, 100, 100], 1900, &[0]);
        check(&[50, 100, 100, 100, 100], 1999, &[0]);
        check(&[50, 100, 100, 100, 100], 2000, &[]);
        check(&[100, 100, 0, 100, 100, 100], 1900, &[2]);
        check(&[100; 5], 0, &[]);
        check(&[0; 5], 1900, &[]);
        check(&[90, 91, 92, 93, 94], 1900, &[]);
        check(&[90, 91, 92, 93, 94], 0, &[0, 1]);
        // Two that fail make the deviation so great that neither stands out.
        check(&[0, 0, 100, 100, 100], 1900, &[]);
        check(&[0, 100, 100, 100, 100], u32::MAX, &[]);
    }

    #[test]
    fn failing_too_many_is_enough_for_the_flat_threshold() {
        let check = |rates: &[u64], threshold, expected: &[usize]| {
            assert_eq!(failure_percentage_outliers(&hosts(rates), 5, 50, threshold), expected, "{rates:?}");
        };
        check(&[14, 15, 16, 100, 0], 85, &[0, 1, 4]);
        check(&[0; 5], 85, &[0, 1, 2, 3, 4]);
        check(&[99, 100, 0, 100, 100], 100, &[2]);
        check(&[100; 5], 1, &[]);
        // As Envoy has it: 0 per cent are always reached.
        check(&[100; 5], 0, &[0, 1, 2, 3, 4]);
    }

    #[test]
    fn hosts_and_clusters_with_little_to_go_by_are_not_judged() {
        let mut few = hosts(&[0, 100, 100, 100, 100, 100]);
        assert_eq!(success_rate_outliers(&few, 6, 1000, 1900), [0]);
        assert_eq!(success_rate_outliers(&few, 7, 1000, 1900), [0; 0]);
        assert_eq!(success_rate_outliers(&few, 6, 1001, 1900), [0; 0]);
        few[0] = (999, 0);
        assert_eq!(success_rate_outliers(&few, 1, 1000, 1900), [0; 0]);
        assert_eq!(failure_percentage_outliers(&few, 5, 1000, 85), [0; 0]);
        assert_eq!(failure_percentage_outliers(&few, 6, 999, 85), [0]);
        assert_eq!(failure_percentage_outliers(&[(0, 0)], 0, 0, 0), [0; 0]);
        assert_eq!(success_rate_outliers(&[], 0, 0, 0), [0; 0]);
    }

    #[test]
    fn the_rest_grows_with_each_ejection() {
        let check = |base, max, multiplier, expected| {
            let seconds = Duration::from_secs;
            assert_eq!(ejection_time(seconds(base), seconds(max), multiplier), seconds(expected));
        };
        check(30, 300, 1, 30);
        check(30, 300, 3, 90);
        check(30, 300, 10, 300);
        check(30, 300, 11, 300);
        check(30, 300, 0, 30);
        check(30, 10, 5, 30);
        check(u64::MAX, u64::MAX, u32::MAX, u64::MAX);
    }

    #[test]
    fn some_are_always_left_but_one_may_always_go() {
        let check = |ejected, total, max_percent, expected| {
            assert_eq!(
                may_eject(ejected, total, max_percent),
                expected,
                "{ejected} of {total}, {max_percent} %"
            );
        };
        check(0, 3, 10, true);
        check(1, 3, 10, false);
        check(0, 3, 0, false);
        check(0, 0, 10, false);
        check(0, 20, 10, true);
        check(1, 20, 10, true);
        check(2, 20, 10, false);
        check(4, 10, 50, true);
        check(5, 10, 50, false);
        check(9, 10, 100, true);
        check(10, 10, 100, false);
    }

    proptest! {
        #[test]
        fn who_does_as_everybody_does_is_no_outlier(
            requests in 1u64..1 << 50, part in 0u64..=1000, count in 1usize..200, factor in 0u32..5000,
        ) {
            let host = (requests, (u128::from(requests) * u128::from(part) / 1000) as u64);
            prop_assert_eq!(success_rate_outliers(&vec![host; count], 1, 1, factor), [0; 0]);
        }

        /// Cantelli's inequality: of n no more than n / (1 + k²) are more than k deviations below the mean.
        #[test]
        fn outliers_are_few_and_worse_than_all_others(
            hosts in prop::collection::vec((1u64..10_000, 0u64..10_000), 1..100), factor in 1000u32..4000,
        ) {
            let outliers = success_rate_outliers(&hosts, 1, 1, factor);
            let deviations = f64::from(factor) / 1000.0;
            prop_assert!(outliers.len() as f64 <= hosts.len() as f64 / (1.0 + deviations * deviations) + 1e-9);
            let rate = |index: usize| success_rate(hosts[index]);
            let best = outliers.iter().map(|&index| rate(index)).max();
            let others = (0..hosts.len()).filter(|index| !outliers.contains(index));
            prop_assert!(others.map(rate).min() > best || outliers.is_empty());
        }

        #[test]
        fn the_flat_threshold_is_what_it_says(
            hosts in prop::collection::vec((0u64..1000, 0u64..1000), 0..30), threshold in 0u32..=100, volume in 0u64..1000,
        ) {
            let outliers = failure_percentage_outliers(&hosts, 0, volume, threshold);
            for (index, &(requests, successes)) in hosts.iter().enumerate() {
                let failures = requests.saturating_sub(successes) as f64;
                let fails = failures * 100.0 >= f64::from(threshold) * requests as f64;
                prop_assert_eq!(outliers.contains(&index), requests >= volume.max(1) && fails);
            }
        }
    }
}
