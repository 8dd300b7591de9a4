use proptest::prelude::*;

use super::*;

const KEYS: u64 = 100_000;

fn members(weights: &[u32], seed: u64) -> Vec<(u64, u32)> {
    let mut random = fastrand::Rng::with_seed(seed);
    weights.iter().map(|&weight| (random.u64(..), weight)).collect()
}

fn counts(table: &Table, members: usize) -> Vec<u64> {
    let mut counts = vec![0; members];
    table.entries.iter().for_each(|&index| counts[index as usize] += 1);
    counts
}

/// The part of the keys that other members than the one that is removed lose, and the removed one's.
fn moved(members: &[(u64, u32)], removed: usize, size: u32) -> (f64, f64) {
    let build = |members: &[(u64, u32)]| Table::with_size(members, size);
    let (before, after) = (build(members), build(&without(members, removed)));
    let mut random = fastrand::Rng::with_seed(7);
    let (mut disturbed, mut orphaned) = (0, 0);
    for _ in 0..KEYS {
        let key = random.u64(..);
        let old = before.pick(key).unwrap();
        let new = after.pick(key).unwrap();
        match old == removed {
            true => orphaned += 1,
            false => disturbed += u64::from(old != new + usize::from(new >= removed)),
        }
    }
    (disturbed as f64 / KEYS as f64, orphaned as f64 / KEYS as f64)
}

fn without(members: &[(u64, u32)], removed: usize) -> Vec<(u64, u32)> {
    let mut rest = members.to_vec();
    rest.remove(removed);
    rest
}

#[test]
fn nobody_is_picked_where_nobody_has_a_weight() {
    for members in [&[][..], &[(1, 0), (2, 0)]] {
        let table = Table::build(members);
        assert_eq!(table.pick(3), None);
        assert_eq!(table.picks(3).next(), None);
    }
}

#[test]
fn one_member_has_everything() {
    let table = Table::build(&[(9, 0), (1, 5)]);
    assert_eq!(table.picks(u64::MAX).collect::<Vec<_>>(), [1]);
}

#[test]
fn twins_share() {
    let table = Table::build(&[(1, 1), (1, 1)]);
    let counts = counts(&table, 2);
    assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
}

#[test]
fn the_documents_order_makes_no_difference() {
    let forth = members(&[1, 2, 3, 4, 5], 3);
    let back: Vec<_> = forth.iter().rev().copied().collect();
    let (forth, back) = (Table::build(&forth), Table::build(&back));
    assert!((0..KEYS).all(|key| forth.pick(key).unwrap() == 4 - back.pick(key).unwrap()));
}

#[test]
fn the_keys_of_one_that_is_passed_over_are_spread() {
    let table = Table::build(&members(&[1; 5], 5));
    let mut counts = [0u64; 5];
    for key in (0..KEYS).filter(|&key| table.pick(key) == Some(0)) {
        counts[table.picks(key).nth(1).unwrap()] += 1;
    }
    let even = counts.iter().sum::<u64>() / 4;
    assert!(counts[1..].iter().all(|&count| count.abs_diff(even) < even / 3), "{counts:?}");
}

/// Over 2 to 50 members: the most keys that others than the removed one lose, and the most that move beyond 1/N.
fn worst_moves(size: u32, seeds: u64) -> (f64, f64) {
    let (mut disturbance, mut excess) = (0f64, 0f64);
    for (count, seed) in (2..=50).flat_map(|count| (0..seeds).map(move |seed| (count, seed))) {
        let (disturbed, orphaned) = moved(&members(&vec![1; count], seed), seed as usize % count, size);
        disturbance = disturbance.max(disturbed);
        excess = excess.max(disturbed + orphaned - 1.0 / count as f64);
    }
    (disturbance, excess)
}

#[test]
fn removing_one_of_many_moves_little_else() {
    let (disturbance, excess) = worst_moves(SIZE, 2);
    assert!(disturbance <= 0.01 && excess <= 0.01, "{disturbance} {excess}");
}

#[test]
fn a_table_of_two_hundred_entries_for_each_member_moves_little_more() {
    let (_, excess) = worst_moves(10_007, 4);
    assert!(excess <= 0.02, "{excess}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_are_proportional_to_weights(weights in prop::collection::vec(1u32..=32, 1..20), seed: u64) {
        let counts = counts(&Table::build(&members(&weights, seed)), weights.len());
        let (entries, total) = (counts.iter().sum::<u64>() as f64, weights.iter().sum::<u32>());
        for (count, weight) in counts.into_iter().zip(weights) {
            let share = f64::from(weight) / f64::from(total);
            let error = (count as f64 / entries - share).abs() / share;
            prop_assert!(error <= 0.03, "weight {} of {}: {} % off", weight, total, error * 100.0);
        }
    }

    #[test]
    fn a_walk_begins_with_the_pick_and_names_everybody_once(
        weights in prop::collection::vec(0u32..=9, 1..30), seed: u64, key: u64,
    ) {
        let table = Table::build(&members(&weights, seed));
        let mut walk: Vec<_> = table.picks(key).collect();
        prop_assert_eq!(walk.first().copied(), table.pick(key));
        walk.sort_unstable();
        let all: Vec<_> = (0..weights.len()).filter(|&index| weights[index] > 0).collect();
        prop_assert_eq!(walk, all);
    }
}
