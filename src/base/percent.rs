//! Parts of a hundred, by which lots are drawn.

/// What all of something is.
const ALL: u32 = 1_000_000;

/// From 0 to 100 %, to four places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(ALL);

    /// The nearest one.
    pub fn new(percent: f64) -> Self {
        Self((percent.clamp(0.0, 100.0) * 10_000.0).round() as u32)
    }

    /// As a number of 0 to 100.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether a lot is among them.
    pub fn draw(self) -> bool {
        self.0 == ALL || fastrand::u32(..ALL) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_all_are_certain_and_the_rest_is_as_likely_as_it_says() {
        let drawn = |percent| (0..100_000).filter(|_| Percent::new(percent).draw()).count();
        assert_eq!((drawn(0.0), drawn(100.0)), (0, 100_000));
        // 500 with a standard deviation of 22.
        assert!((300..700).contains(&drawn(0.5)));
        assert_eq!(Percent::new(0.0001).value(), 0.0001);
        assert_eq!(Percent::new(100.0), Percent::ALL);
        assert_eq!(Percent::new(f64::NAN).value(), 0.0);
    }
}
