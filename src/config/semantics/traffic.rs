//! How a rule's requests are shared out among upstreams, copied to others, or hindered.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

use super::upstreams::Upstreams;
use super::written::{Fault as WrittenFault, Mirror as WrittenMirror, Rule, Share as Written};
use super::{amounts, balancing};
use crate::action::{Fault, Mirror, Share, Split};
use crate::base::percent::Percent;
use crate::config::checked::Affinity;
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;

const WEIGHT: u32 = 1;
const DELAY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);

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
        Some(Mirror { upstream, percent: self::percent(*percent) })
    };
    written.iter().enumerate().filter_map(mirror).collect()
}

fn percent(written: Option<f64>) -> Percent {
    written.map_or(Percent::ALL, Percent::new)
}

/// `at` is the object itself.
pub(super) fn fault(at: &Path<'_>, written: &WrittenFault, report: &mut Report) -> Option<Fault> {
    let WrittenFault { delay, abort, header } = written;
    if delay.is_none()
        && abort.is_none()
        && !["delay", "abort"].iter().any(|field| report.has_lost(at, field))
    {
        report.error(at, "expected `delay` or `abort`, found none");
    }
    let delay = delay.as_ref().and_then(|delay| {
        let at = at.field("delay");
        let duration = amounts::duration(&at.field("duration"), delay.duration.as_ref(), DELAY, report)?;
        Some((duration, percent(delay.percent)))
    });
    let abort = abort.as_ref().and_then(|abort| {
        let status = StatusCode::from_u16(abort.status?).ok()?;
        Some((status, percent(abort.percent)))
    });
    let header = match header.as_ref().map(|text| (text, text.parse())) {
        None => None,
        Some((_, Ok(name))) => Some(name),
        Some((text, Err(_))) => {
            report.unexpected(at.field("header"), "expected the name of a header", text);
            // Without it all requests would be meant.
            return None;
        }
    };
    Some(Fault { delay, abort, header })
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
