//! How one of several backends is chosen, and how much they take.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::written::{
    Affinity as WrittenAffinity, DurationText, HashKey as WrittenKey, Sticky, Upstream,
    UpstreamLimits as WrittenLimits,
};
use super::{amounts, health};
use crate::config::checked::{Affinity, Balancing, HashKey, SameSite, Strategy, Token, UpstreamLimits};
use crate::config::diagnostic::Problem;
use crate::config::path::Path;
use crate::config::report::Report;

const SLOW_START: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
const COOKIE: &str = "cloudcup";
const SPLIT_COOKIE: &str = "cloudcup-split";
const KEYS: &str = "`header`, `cookie`, `query`, `parameter` or `attribute`";

/// `at` is the upstream.
pub(super) fn check(
    at: &Path<'_>,
    written: &Upstream,
    strategy: Strategy,
    zone: Option<&String>,
    report: &mut Report,
) -> Balancing {
    let hash_key = written.hash_key.as_ref();
    if hash_key.is_some() && !matches!(strategy, Strategy::Maglev | Strategy::RingHash) {
        let problem =
            Problem::warning(at.field("hash_key").pointer(), "the strategy of this upstream hashes nothing");
        report.add(problem.hint("`\"strategy\": \"maglev\"` goes by it"));
    }
    let health_check = written.health_check.as_ref();
    let outliers = written.outlier_detection.as_ref();
    Balancing {
        strategy,
        hash_key: hash_key
            .and_then(|key| self::hash_key(&at.field("hash_key"), key, report))
            .unwrap_or_default(),
        affinity: written
            .affinity
            .as_ref()
            .and_then(|written| affinity(&at.field("affinity"), written, report)),
        slow_start: amounts::duration(
            &at.field("slow_start"),
            written.slow_start.as_ref(),
            SLOW_START,
            report,
        ),
        panic_threshold: written.panic_threshold.unwrap_or_default(),
        zone: zone.cloned(),
        health_check: health_check.and_then(|check| health::check(at, written, check, report)),
        outlier_detection: outliers
            .map(|outliers| health::outlier_detection(&at.field("outlier_detection"), outliers, report)),
        limits: written.limits.as_ref().map_or_else(UpstreamLimits::default, limits),
    }
}

fn hash_key(at: &Path<'_>, written: &WrittenKey, report: &mut Report) -> Option<HashKey> {
    let WrittenKey { header, cookie, query, parameter, attribute } = written;
    let header = header.as_ref().map(|text| {
        let name = text.parse().ok();
        if name.is_none() {
            report.unexpected(at.field("header"), "expected the name of a header", text);
        }
        name
    });
    let keys = [
        header.map(|name| name.map(HashKey::Header)),
        cookie.clone().map(|name| Some(HashKey::Cookie(name))),
        query.clone().map(|name| Some(HashKey::Query(name))),
        parameter.clone().map(|name| Some(HashKey::Parameter(name))),
        attribute.clone().map(|name| Some(HashKey::Attribute(name))),
    ];
    let mut keys = keys.into_iter().flatten();
    match (keys.next(), keys.next()) {
        (Some(key), None) => key,
        (None, _) => {
            if !["header", "cookie", "query", "parameter", "attribute"]
                .iter()
                .any(|field| report.has_lost(at, field))
            {
                report.error(at, format!("expected {KEYS}, found none of them"));
            }
            None
        }
        (Some(_), Some(_)) => {
            report.error(at, format!("expected one of {KEYS}, found several"));
            None
        }
    }
}

fn affinity(at: &Path<'_>, written: &WrittenAffinity, report: &mut Report) -> Option<Affinity> {
    let WrittenAffinity { cookie, secret, max_age, same_site, secure } = written;
    let written = Cookie { name: cookie.as_deref(), secret, max_age, same_site: *same_site, secure: *secure };
    self::cookie(at, written, COOKIE, report)
}

/// The same for the shares of a split. `at` is the object itself.
pub(super) fn sticky(at: &Path<'_>, written: &Sticky, report: &mut Report) -> Option<Affinity> {
    let Sticky { cookie, secret, max_age, same_site, secure } = written;
    let written = Cookie { name: cookie.as_deref(), secret, max_age, same_site: *same_site, secure: *secure };
    self::cookie(at, written, SPLIT_COOKIE, report)
}

/// What both of them have.
struct Cookie<'a> {
    name: Option<&'a str>,
    secret: &'a Option<String>,
    max_age: &'a Option<DurationText>,
    same_site: Option<SameSite>,
    secure: Option<bool>,
}

fn cookie(at: &Path<'_>, written: Cookie<'_>, default: &str, report: &mut Report) -> Option<Affinity> {
    let cookie = written.name.unwrap_or(default).to_owned();
    // The name of a cookie is a token, like that of a field (RFC 6265, section 4.1.1).
    let is_token = HeaderName::from_bytes(cookie.as_bytes()).is_ok();
    if !is_token {
        report.unexpected(
            at.field("cookie"),
            format!("expected the name of a cookie, such as `{default}`"),
            &cookie,
        );
    }
    let same_site = written.same_site.unwrap_or_default();
    if same_site == SameSite::None && written.secure == Some(false) {
        let problem = Problem::error(at.field("secure").pointer(), "browsers refuse `none` without `secure`");
        report.add(problem.hint("leave `secure` out, or choose another `same_site`"));
    }
    let max_age = amounts::duration(&at.field("max_age"), written.max_age.as_ref(), MAX_AGE, report);
    let secret = written.secret.as_deref().map(|text| {
        if text.len() < 16 {
            report.error(at.field("secret"), format!("expected at least 16 bytes, found {}", text.len()));
        }
        Token::new(text)
    });
    let secure = written.secure.or((same_site == SameSite::None).then_some(true));
    is_token.then_some(Affinity { cookie, secret, max_age, same_site, secure })
}

fn limits(written: &WrittenLimits) -> UpstreamLimits {
    let default = UpstreamLimits::default();
    UpstreamLimits {
        connections: written.connections.unwrap_or(default.connections),
        pending: written.pending.unwrap_or(default.pending),
        requests: written.requests.unwrap_or(default.requests),
        retries: written.retries.unwrap_or(default.retries),
        retry_budget: written.retry_budget.unwrap_or(default.retry_budget),
    }
}
