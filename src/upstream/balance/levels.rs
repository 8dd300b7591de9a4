//! Priority levels: which part of the requests each level of a cluster gets, as Envoy has it ("Priority levels" and "Panic
//! threshold" in its architecture overview).

/// How many endpoints a level has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Those that may be asked.
    pub healthy: u64,
    /// All, those that may not be asked among them.
    pub total: u64,
}

/// What a level gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// In per cent of all requests.
    pub percent: u32,
    /// So few are fit that health is disregarded: better a failure here and there than the rest going down too.
    pub panics: bool,
}

/// The share of each level, which come to 100 where there is a level. `overprovisioning` (Envoy: 140) is how many per
/// cent of its regular load a level can take: with 140 it is taken for whole as long as 72 % of it are healthy. Below
/// `panic_threshold` per cent (Envoy: 50; 0 is never) of fit endpoints a level panics, unless all levels together can
/// take everything. Where all of them panic the shares follow their sizes.
///
/// Where the levels cannot take everything, and their shares are scaled up, what rounding leaves goes to those that lost
/// most by it. Envoy's tables have it so; its code gives all of it to the first level that is fit at all.
pub fn shares(levels: &[Level], overprovisioning: u32, panic_threshold: u32) -> Vec<Share> {
    let capacities: Vec<u64> = levels.iter().map(|level| level.capacity(overprovisioning)).collect();
    if capacities.iter().sum::<u64>() >= 100 {
        return spill(&capacities).map(|percent| Share { percent, panics: false }).collect();
    }
    let panics = |level: &Level| level.panics(panic_threshold);
    if !levels.is_empty() && levels.iter().all(panics) {
        let sizes: Vec<_> = levels.iter().map(|level| level.total).collect();
        return apportion(&sizes).into_iter().map(|percent| Share { percent, panics: true }).collect();
    }
    let scaled = apportion(&capacities).into_iter().zip(levels);
    scaled.map(|(percent, level)| Share { percent, panics: panics(level) }).collect()
}

impl Level {
    /// How many per cent of all requests it can take.
    fn capacity(&self, overprovisioning: u32) -> u64 {
        let capacity =
            u128::from(self.healthy) * u128::from(overprovisioning) / u128::from(self.total).max(1);
        u64::try_from(capacity).unwrap_or(u64::MAX).min(100)
    }

    /// A level without any endpoints is in panic too: so it does not keep the others from it.
    fn panics(&self, threshold: u32) -> bool {
        u128::from(self.healthy) * 100 < u128::from(threshold.min(100)) * u128::from(self.total).max(1)
    }
}

/// Each takes as much as it can of what those before it left of 100.
fn spill(capacities: &[u64]) -> impl Iterator<Item = u32> {
    let mut left = 100;
    capacities.iter().map(move |&capacity| {
        let taken = u32::try_from(capacity).unwrap_or(left).min(left);
        left -= taken;
        taken
    })
}

/// Splits 100 in proportion. Where there is nothing to go by, the first gets it: it has to go somewhere.
fn apportion(sizes: &[u64]) -> Vec<u32> {
    let total: u128 = sizes.iter().copied().map(u128::from).sum();
    if total == 0 {
        return (0..sizes.len()).map(|index| if index == 0 { 100 } else { 0 }).collect();
    }
    let exact = |index: usize| u128::from(sizes[index]) * 100;
    let mut parts: Vec<u32> = (0..sizes.len()).map(|index| (exact(index) / total) as u32).collect();
    let left = 100 - parts.iter().sum::<u32>();
    let mut by_loss: Vec<usize> = (0..sizes.len()).collect();
    by_loss.sort_by_key(|&index| std::cmp::Reverse(exact(index) % total));
    by_loss.into_iter().take(left as usize).for_each(|index| parts[index] += 1);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn levels(healthy: &[u64]) -> Vec<Level> {
        healthy.iter().map(|&healthy| Level { healthy, total: 100 }).collect()
    }

    #[track_caller]
    fn check(healthy: &[u64], expected: &[u32]) {
        let shares: Vec<_> = shares(&levels(healthy), 140, 0).iter().map(|share| share.percent).collect();
        assert_eq!(shares, expected, "{healthy:?}");
    }

    /// The first table of "Priority levels".
    #[test]
    fn the_first_level_spills_into_a_healthy_one() {
        check(&[100, 100], &[100, 0]);
        check(&[72, 100], &[100, 0]);
        check(&[71, 100], &[99, 1]);
        check(&[50, 100], &[70, 30]);
        check(&[25, 100], &[35, 65]);
        check(&[0, 100], &[0, 100]);
    }

    /// Its second table.
    #[test]
    fn what_is_too_little_together_is_scaled_up() {
        check(&[72, 72], &[100, 0]);
        check(&[71, 71], &[99, 1]);
        check(&[50, 50], &[70, 30]);
        check(&[25, 100], &[35, 65]);
        check(&[25, 25], &[50, 50]);
    }

    /// Its third table.
    #[test]
    fn three_levels_spill_in_turn() {
        check(&[100, 100, 100], &[100, 0, 0]);
        check(&[72, 72, 100], &[100, 0, 0]);
        check(&[71, 71, 100], &[99, 1, 0]);
        check(&[50, 50, 100], &[70, 30, 0]);
        check(&[25, 100, 100], &[35, 65, 0]);
        check(&[25, 25, 100], &[35, 35, 30]);
        check(&[25, 25, 20], &[36, 36, 28]);
    }

    /// The example in its text: health of 20 and 30.
    #[test]
    fn scaling_keeps_the_proportion() {
        let shares = shares(&levels(&[20, 30]), 100, 0);
        assert_eq!([shares[0].percent, shares[1].percent], [40, 60]);
    }

    /// The tables of "Panic threshold", except that its shares for 50/60 (50 and 50) and 25/100 (25 and 75) contradict
    /// the algorithm, Envoy's code and the other tables; here they are as these have them.
    #[test]
    fn levels_panic_where_all_together_are_too_few() {
        let check = |healthy: [u64; 2], expected: [(u32, bool); 2]| {
            let shares = shares(&levels(&healthy), 140, 50);
            assert_eq!(
                [0, 1].map(|index| (shares[index].percent, shares[index].panics)),
                expected,
                "{healthy:?}"
            );
        };
        check([72, 100], [(100, false), (0, false)]);
        check([71, 100], [(99, false), (1, false)]);
        check([50, 100], [(70, false), (30, false)]);
        check([25, 100], [(35, false), (65, false)]);
        check([0, 100], [(0, false), (100, false)]);
        check([72, 72], [(100, false), (0, false)]);
        check([71, 71], [(99, false), (1, false)]);
        check([50, 60], [(70, false), (30, false)]);
        check([25, 25], [(50, true), (50, true)]);
        check([5, 65], [(7, true), (93, false)]);
    }

    #[test]
    fn in_a_panic_of_all_the_shares_follow_the_sizes() {
        let check = |totals: &[u64], expected: &[u32]| {
            let levels: Vec<_> = totals.iter().map(|&total| Level { total, ..Level::default() }).collect();
            let shares = shares(&levels, 140, 50);
            assert!(shares.iter().all(|share| share.panics));
            assert_eq!(shares.iter().map(|share| share.percent).collect::<Vec<_>>(), expected, "{totals:?}");
        };
        check(&[10, 10], &[50, 50]);
        check(&[1, 3], &[25, 75]);
        check(&[1, 1, 1], &[34, 33, 33]);
        check(&[0, 5], &[0, 100]);
        check(&[0, 0], &[100, 0]);
    }

    #[test]
    fn without_panic_and_without_health_the_first_level_has_the_requests_to_fail() {
        let share = |percent| Share { percent, panics: false };
        assert_eq!(shares(&levels(&[0, 0]), 140, 0), [share(100), share(0)]);
        assert_eq!(shares(&[], 140, 50), []);
    }

    proptest! {
        #[test]
        fn shares_come_to_a_hundred(
            counts in prop::collection::vec((0u64..50, 0u64..50), 1..8), threshold in 0u32..=100,
        ) {
            let level = |&(healthy, rest): &_| Level { healthy, total: healthy + rest };
            let levels: Vec<_> = counts.iter().map(level).collect();
            let shares = shares(&levels, 140, threshold);
            prop_assert_eq!(shares.iter().map(|share| share.percent).sum::<u32>(), 100);
            let nobody_can_take_anything = levels.iter().all(|level| level.capacity(140) == 0);
            for (share, level) in shares.iter().zip(&levels) {
                prop_assert!(share.panics || nobody_can_take_anything || level.healthy > 0 || share.percent == 0);
            }
        }
    }
}
