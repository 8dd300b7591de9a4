//! Which of several upstreams gets a request, and how its client comes back to it.

use http::header;

use super::Rule;
use crate::action::{Action, Split};
use crate::message::{Exchange, ResponseHead};
use crate::upstream::Affinity;

/// A cookie that stands for an upstream of a split.
#[derive(Debug)]
pub struct Sticky {
    affinity: Affinity,
    /// By the index of each upstream that a client may come back to.
    values: Vec<(usize, String)>,
}

impl Sticky {
    /// For a split among upstreams with these names.
    pub fn new<'n>(affinity: Affinity, split: &Split, name: impl Fn(usize) -> &'n str) -> Self {
        let shares = split.shares().iter().filter(|share| share.weight > 0);
        // What stands for a backend has the backend's host behind the name, which is never empty.
        let values = shares.map(|share| (share.upstream, affinity.value(name(share.upstream), "")));
        Self { values: values.collect(), affinity }
    }

    /// The upstream that a client has a cookie of.
    pub(super) fn shown(&self, exchange: &Exchange) -> Option<usize> {
        let shown = self.affinity.shown(&exchange.headers)?;
        self.values.iter().find(|(_, value)| value == shown).map(|(upstream, _)| *upstream)
    }

    /// Makes a client come back to an upstream, where it would not by itself.
    pub(super) fn bind(&self, upstream: usize, exchange: &Exchange, head: &mut ResponseHead) {
        if self.shown(exchange) == Some(upstream) {
            return;
        }
        if let Some((_, value)) = self.values.iter().find(|(known, _)| *known == upstream) {
            let is_secure = exchange.client.tls.is_some();
            head.headers.append(header::SET_COOKIE, self.affinity.field(value, is_secure));
        }
    }
}

impl Rule {
    /// The cluster that a request goes to; none where no backend gets it.
    pub(super) fn cluster(&self, exchange: &Exchange) -> Option<usize> {
        match &self.action {
            Action::Forward(cluster) => Some(*cluster),
            Action::Split(split) => {
                let shown = self.sticky.as_ref().and_then(|sticky| sticky.shown(exchange));
                Some(shown.unwrap_or_else(|| split.draw(|bound| fastrand::u64(..bound))))
            }
            Action::Redirect(_) | Action::Reply(_) => None,
        }
    }

    /// The cluster that a request goes to, where that does not depend on a draw.
    pub(super) fn settled_cluster(&self, exchange: &Exchange) -> Option<usize> {
        match &self.action {
            Action::Split(split) => {
                let shown = self.sticky.as_ref().and_then(|sticky| sticky.shown(exchange));
                shown.or_else(|| split.only())
            }
            _ => self.cluster(exchange),
        }
    }
}
