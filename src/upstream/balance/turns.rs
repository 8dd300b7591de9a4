//! Round-robin: a schedule that is walked by one counter, which all workers share.

/// The order in which the members of a cluster take turns, as indices. Each member stands in it as often as its
/// weight says, spread as evenly as the others allow.
pub(super) fn schedule(weights: &[(usize, u32)]) -> Vec<u32> {
    let divisor = weights.iter().fold(0, |divisor, &(_, weight)| greatest_common_divisor(divisor, weight));
    if weights.iter().all(|&(_, weight)| weight == divisor) {
        return weights.iter().map(|&(index, _)| index as u32).collect();
    }
    // The k-th of a member's n turns belongs at (2k + 1) / 2n of the cycle; sorted, that is the smoothest order.
    let turns = weights.iter().flat_map(|&(index, weight)| {
        let count = u64::from(weight / divisor);
        (0..count).map(move |turn| ((2 * turn + 1) * (1 << 32) / (2 * count), index as u32))
    });
    let mut turns: Vec<_> = turns.collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, index)| index).collect()
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_weights_take_turns_in_order() {
        assert_eq!(schedule(&[(0, 1), (1, 1), (2, 1)]), [0, 1, 2]);
        assert_eq!(schedule(&[(0, 7), (2, 7)]), [0, 2]);
        assert_eq!(schedule(&[]), [0u32; 0]);
    }

    #[test]
    fn heavier_members_are_spread_over_the_cycle() {
        assert_eq!(schedule(&[(0, 1), (1, 2)]), [1, 0, 1]);
        assert_eq!(schedule(&[(0, 2), (1, 1), (2, 1)]), [0, 1, 2, 0]);
    }

    proptest! {
        #[test]
        fn turns_are_proportional_to_weights(weights in prop::collection::vec(1u32..=256, 1..20)) {
            let members: Vec<_> = weights.iter().copied().enumerate().collect();
            let schedule = schedule(&members);
            let count = |index: usize| schedule.iter().filter(|&&turn| turn as usize == index).count();
            let total: u32 = weights.iter().sum();
            for (index, weight) in members {
                prop_assert_eq!(count(index) as u64 * u64::from(total), schedule.len() as u64 * u64::from(weight));
            }
        }
    }
}
