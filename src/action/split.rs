//! Requests that are shared out among upstreams.

/// Upstreams and their shares, of which at least one is more than nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    shares: Vec<Share>,
    total: u64,
}

/// What an upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// By its index among those of the document.
    pub upstream: usize,
    /// Of the sum of all weights.
    pub weight: u32,
}

impl Split {
    /// None where nobody would get anything.
    pub fn new(shares: Vec<Share>) -> Option<Self> {
        let total = shares.iter().map(|share| u64::from(share.weight)).sum();
        (total > 0).then_some(Self { shares, total })
    }

    /// In the order of the document.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The part of all requests that a share is, in per cent.
    pub fn percent(&self, share: &Share) -> f64 {
        f64::from(share.weight) * 100.0 / self.total as f64
    }

    /// The upstream that a request goes to, by a number that is drawn below a bound.
    pub fn draw(&self, random: impl FnOnce(u64) -> u64) -> usize {
        let mut drawn = random(self.total);
        let fits = |share: &&Share| {
            let is_here = drawn < u64::from(share.weight);
            drawn = drawn.saturating_sub(u64::from(share.weight));
            is_here
        };
        let share = self.shares.iter().find(fits);
        share.unwrap_or(&self.shares[0]).upstream
    }

    /// The one upstream that gets everything, where there is one.
    pub fn only(&self) -> Option<usize> {
        let mut shares = self.shares.iter().filter(|share| share.weight > 0);
        shares.next().filter(|_| shares.next().is_none()).map(|share| share.upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(weights: &[u32]) -> Option<Split> {
        let shares = weights.iter().enumerate().map(|(upstream, &weight)| Share { upstream, weight });
        Split::new(shares.collect())
    }

    #[test]
    fn every_number_leads_to_the_share_that_it_lies_in() {
        let split = split(&[0, 3, 0, 1]).expect("somebody gets something");
        let drawn: Vec<_> = (0..4).map(|number| split.draw(|_| number)).collect();
        assert_eq!(drawn, [1, 1, 1, 3]);
        assert_eq!(split.draw(|bound| bound - 1), 3);
        assert_eq!(split.shares().iter().map(|share| split.percent(share)).sum::<f64>(), 100.0);
    }

    #[test]
    fn nobody_gets_nothing_and_one_may_get_all() {
        assert!(split(&[0, 0]).is_none());
        assert!(split(&[]).is_none());
        assert_eq!(split(&[0, 5]).and_then(|split| split.only()), Some(1));
        assert_eq!(split(&[1, 5]).and_then(|split| split.only()), None);
        assert_eq!(split(&[1_000_000; 64]).map(|split| split.draw(|bound| bound - 1)), Some(63));
    }
}
