use proptest::prelude::*;

use super::*;

const KEYS: u64 = 100_000;

fn members(weights: &[u32], seed: u64) -> Vec<(u64, u32)> {
    let mut random = fastrand::Rng::with_seed(seed);
    weights.iter().map(|&weight| (random.u64(..), weight)).collect()
}

/// The exact share of each member: the sum of its arcs.
fn shares(ring: &Ring, members: usize) -> Vec<f64> {
    let mut shares = vec![0.0; members];
    let mut previous = ring.points.last().unwrap().0;
    for &(place, index) in &ring.points {
        shares[index as usize] += place.wrapping_sub(previous) as f64 / 2f64.powi(64);
        previous = place;
    }
    shares
}

/// Keys of others that move when one is removed, and keys of its own, in parts of all.
fn moved(members: &[(u64, u32)], removed: usize) -> (f64, f64) {
    let mut rest = members.to_vec();
    rest.remove(removed);
    let (before, after) = (Ring::build(members), Ring::build(&rest));
    let mut random = fastrand::Rng::with_seed(7);
    let (mut disturbed, mut orphaned) = (0, 0);
    for key in (0..KEYS).map(|_| random.u64(..)) {
        let (old, new) = (before.pick(key).unwrap(), after.pick(key).unwrap());
        let is_orphan = old == removed;
        orphaned += u64::from(is_orphan);
        disturbed += u64::from(!is_orphan && old != new + usize::from(new >= removed));
    }
    (disturbed as f64 / KEYS as f64, orphaned as f64 / KEYS as f64)
}

#[test]
fn nobody_is_picked_where_nobody_has_a_weight() {
    for members in [&[][..], &[(1, 0), (2, 0)]] {
        let ring = Ring::build(members);
        assert_eq!(ring.pick(3), None);
        assert_eq!(ring.picks(3).next(), None);
    }
}

#[test]
fn a_hash_belongs_to_the_point_at_or_after_it() {
    let ring = Ring { points: [(10, 0), (20, 1)].into(), members: 2, present: 2 };
    let check = |hash, index| assert_eq!(ring.pick(hash), Some(index), "{hash}");
    check(0, 0);
    check(10, 0);
    check(11, 1);
    check(20, 1);
    check(21, 0);
    check(u64::MAX, 0);
}

#[test]
fn points_follow_weights_within_the_limits() {
    let check = |weights: &[u32], largest, size| {
        assert_eq!(Ring::with_largest(&members(weights, 1), largest).size(), size, "{weights:?} {largest}");
    };
    check(&[1, 1], LARGEST, 1024);
    check(&[128, 128], LARGEST, 1024);
    check(&[1, 2, 0], LARGEST, 1536);
    // The lightest gets between one and two times its points.
    check(&[100, 150], LARGEST, 800 + 1200);
    check(&[1, 256], 70_000, 256 + 65_536);
    check(&[1; 4], 1000, 512);
    check(&[1; 4], 3, 4);
    check(&[u32::MAX; 2], usize::MAX, 2046);
    check(&[1, u32::MAX], LARGEST, 1 + ((1 << 20) - 1));
}

#[test]
fn removing_one_of_many_moves_only_what_it_had() {
    for count in 2..=50 {
        let (disturbed, orphaned) = moved(&members(&vec![1; count], count as u64), count / 2);
        let (even, others) = (1.0 / count as f64, 1.0 - 1.0 / count as f64);
        // Three and a half standard deviations of a share made of 512 random arcs.
        let most = even + 3.5 * even * (others / 512.0).sqrt();
        assert!(disturbed == 0.0 && orphaned <= most, "{count} members: {disturbed}, {orphaned} of {even}");
        assert!(orphaned <= even + 0.02 || count < 8, "{count} members: {orphaned} of {even}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_are_proportional_to_weights(weights in prop::collection::vec(1u32..=32, 2..20), seed: u64) {
        let ring = Ring::build(&members(&weights, seed));
        let total: u32 = weights.iter().sum();
        for (share, &weight) in shares(&ring, weights.len()).into_iter().zip(&weights) {
            let even = f64::from(weight) / f64::from(total);
            let points = even * ring.size() as f64;
            // Five standard deviations: a share is the sum of as many random arcs as there are points.
            let tolerance = 5.0 / points.sqrt();
            prop_assert!((share / even - 1.0).abs() <= tolerance, "{} of {}: {} ± {}", weight, total, share / even, tolerance);
        }
    }

    #[test]
    fn a_walk_begins_with_the_pick_and_names_everybody_once(
        weights in prop::collection::vec(0u32..=9, 1..30), seed: u64, key: u64,
    ) {
        let ring = Ring::build(&members(&weights, seed));
        let mut walk: Vec<_> = ring.picks(key).collect();
        prop_assert_eq!(walk.first().copied(), ring.pick(key));
        walk.sort_unstable();
        let all: Vec<_> = (0..weights.len()).filter(|&index| weights[index] > 0).collect();
        prop_assert_eq!(walk, all);
    }

    #[test]
    fn the_second_of_a_walk_inherits(count in 2usize..20, seed: u64, key: u64) {
        let members = members(&vec![1; count], seed);
        let order: Vec<_> = Ring::build(&members).picks(key).collect();
        let mut rest = members;
        rest[order[0]].1 = 0;
        prop_assert_eq!(Ring::build(&rest).pick(key), Some(order[1]));
    }
}
