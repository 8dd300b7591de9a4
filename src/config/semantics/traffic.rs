//! How a rule's requests are shared out among upstreams, and copied to others.

use super::balancing;
use super::upstreams::Upstreams;
use super::written::{Mirror as WrittenMirror, Rule, Share as Written};
use crate::action::{Mirror, Share, Split};
use crate::base::percent::Percent;
use crate::config::checked::Affinity;
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;

const WEIGHT: u32 = 1;

/// `at` is the list.
pub(super) fn split(
    at: &Path<'_>,
    written: &[Option<Written>],
    upstreams: &Upstreams,
    report: &mut Report,
) -> Option<Split> {
    let mut shares = Vec::<Share>::new();
    // Something was reported here, or will be: the sum of what is left says nothing.
    let mut is_whole = true;
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let name = written.as_ref().and_then(|written| Some((written, written.upstream.as_ref()?)));
        let found = name.and_then(|(written, name)| {
            let upstream = upstreams.find(&at.field("upstream"), name, report)?;
            let is_known = !(written.weight.is_none() && report.has_lost(&at, "weight"));
            is_known.then(|| Share { upstream, weight: written.weight.unwrap_or(WEIGHT) })
        });
        match found {
            None => is_whole = false,
            Some(share) if shares.iter().any(|known| known.upstream == share.upstream) => {
                let message = "this upstream is in the list already";
                let problem = Problem::error(at.field("upstream").pointer(), message);
                report.add(problem.hint("add its weights up"));
            }
            Some(share) => shares.push(share),
        }
    }
    let split = Split::new(shares);
    if split.is_none() && is_whole {
        let problem = Problem::error(at.pointer(), "no upstream of this split gets anything");
        report.add(problem.hint("give one of them a `weight` of more than 0"));
    }
    split
}

/// `at` is the list.
pub(super) fn mirrors(
    at: &Path<'_>,
    written: &[Option<WrittenMirror>],
    upstreams: &Upstreams,
    report: &mut Report,
) -> Vec<Mirror> {
    let mirror = |(index, written): (usize, &Option<WrittenMirror>)| {
        let WrittenMirror { upstream, percent } = written.as_ref()?;
        let upstream = upstreams.find(&at.item(index).field("upstream"), upstream.as_ref()?, report)?;
        Some(Mirror { upstream, percent: percent.map_or(Percent::ALL, Percent::new) })
    };
    written.iter().enumerate().filter_map(mirror).collect()
}

/// `at` is the rule.
pub(super) fn sticky(at: &Path<'_>, rule: &Rule, report: &mut Report) -> Option<Affinity> {
    let written = rule.sticky.as_ref()?;
    if rule.split.is_none() && !report.has_lost(at, "split") {
        let problem = Problem::error(at.field("sticky").pointer(), "`sticky` without `split`");
        report.add(
            problem.part(Part::Name).hint("the `affinity` of an upstream leads clients back to a backend"),
        );
        return None;
    }
    balancing::sticky(&at.field("sticky"), written, report)
}
