//! A random choice by weight in constant time: Vose's alias method, in whole numbers.

/// Who is drawn how often. Immutable: built anew when weights change.
#[derive(Debug, Clone)]
pub enum Weighted {
    /// So many, all alike; possibly none.
    Equal(u64),
    /// Weights differ.
    Unequal {
        /// The sum of the weights, and the height of each column.
        total: u64,
        /// One for each weight.
        columns: Box<[Column]>,
    },
}

/// An equal part of all draws, which two share.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Draws below it are for the column's own index.
    own: u64,
    /// Whose the others are.
    alias: u32,
}

impl Weighted {
    /// Each index is to be drawn in proportion to its weight, exactly; never that of weight 0.
    pub fn new(weights: &[u32]) -> Self {
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        let count = weights.len() as u64;
        match weights {
            _ if total == 0 => Self::Equal(0),
            [first, rest @ ..] if rest.iter().all(|weight| weight == first) => Self::Equal(count),
            _ => Self::Unequal { total, columns: columns(weights, total) },
        }
    }

    /// The index for a random number, which must be uniform over all 64 bits: the same for the same. None where there
    /// is no weight. Indices are off their exact shares by no more than the number of weights times their sum, in
    /// 2^64.
    pub fn draw(&self, random: u64) -> Option<usize> {
        match self {
            Self::Equal(0) => None,
            Self::Equal(count) => Some(scale(random, *count).0 as usize),
            Self::Unequal { total, columns } => {
                let (index, fraction) = scale(random, columns.len() as u64);
                let column = columns[index as usize];
                let is_own = scale(fraction, *total).0 < column.own;
                Some(if is_own { index as usize } else { column.alias as usize })
            }
        }
    }
}

/// Takes `random` for a fraction of 1 and multiplies it: the whole part, which is less than `by`, and the fraction that
/// is left.
fn scale(random: u64, by: u64) -> (u64, u64) {
    let product = u128::from(random) * u128::from(by);
    ((product >> 64) as u64, product as u64)
}

/// Each column is as high as the sum of the weights. A weight times the number of columns is what an index has to
/// place: who has less than a column fills it up from one who has more.
fn columns(weights: &[u32], total: u64) -> Box<[Column]> {
    let count = weights.len() as u64;
    let mut left: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * count).collect();
    let mut columns: Vec<_> = (0..).zip(weights).map(|(alias, _)| Column { own: total, alias }).collect();
    let (mut less, mut more): (Vec<usize>, Vec<usize>) =
        (0..left.len()).partition(|&index| left[index] < total);
    while let (Some(poor), Some(&rich)) = (less.pop(), more.last()) {
        columns[poor] = Column { own: left[poor], alias: rich as u32 };
        left[rich] -= total - left[poor];
        if left[rich] < total {
            more.pop();
            less.push(rich);
        }
    }
    columns.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How often each is drawn by numbers that are spread evenly over all there are, in the middle of each step.
    fn counts(weights: &[u32], steps: u64) -> Vec<u64> {
        let weighted = Weighted::new(weights);
        let mut counts = vec![0; weights.len()];
        for step in 0..steps {
            let random = (u128::from(2 * step + 1) << 63) / u128::from(steps);
            counts[weighted.draw(random as u64).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn nobody_is_drawn_where_there_is_no_weight() {
        assert_eq!(Weighted::new(&[]).draw(5), None);
        assert_eq!(Weighted::new(&[0, 0]).draw(u64::MAX), None);
    }

    #[test]
    fn equal_weights_need_no_columns() {
        let weighted = Weighted::new(&[7; 4]);
        assert!(matches!(weighted, Weighted::Equal(4)));
        let draw = |quarter: u64| weighted.draw(quarter << 62);
        assert_eq!([0, 1, 2, 3].map(draw), [0, 1, 2, 3].map(Some));
        assert_eq!(weighted.draw(u64::MAX), Some(3));
    }

    #[test]
    fn the_only_one_with_a_weight_is_always_drawn() {
        let weighted = Weighted::new(&[0, 3, 0]);
        assert!((0..64).all(|shift| weighted.draw(u64::MAX >> shift) == Some(1)));
    }

    #[test]
    fn the_greatest_weights_fit() {
        assert_eq!(counts(&[u32::MAX, u32::MAX, 1], 1000), [500, 500, 0]);
    }

    #[test]
    fn random_draws_pass_a_chi_square_test() {
        let weights = [1, 2, 3, 5, 8, 13, 21];
        let (draws, total) = (530_000, 53.0);
        let weighted = Weighted::new(&weights);
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = [0u32; 7];
        (0..draws).for_each(|_| counts[weighted.draw(random.u64(..)).unwrap()] += 1);
        let terms = counts.into_iter().zip(weights).map(|(count, weight)| {
            let expected = f64::from(weight) / total * f64::from(draws);
            (f64::from(count) - expected).powi(2) / expected
        });
        let chi_square: f64 = terms.sum();
        // One test in a thousand exceeds it, with six degrees of freedom.
        assert!(chi_square < 22.46, "{chi_square}");
    }

    proptest! {
        #[test]
        fn shares_are_exact(weights in prop::collection::vec(0u32..=64, 1..24)) {
            let total: u64 = weights.iter().copied().map(u64::from).sum();
            prop_assume!(total > 0);
            let count = weights.len() as u64;
            let exact: Vec<_> = weights.iter().map(|&weight| u64::from(weight) * count).collect();
            prop_assert_eq!(counts(&weights, total * count), exact);
        }
    }
}
