//! How it is found out which backends are fit to be asked.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue};

use super::written::{self, Upstream};
use super::{amounts, values};
use crate::config::checked::{
    FailurePercentage, HealthCheck, HealthCheckKind, HttpCheck, OutlierDetection, SuccessRate,
    UpstreamProtocol,
};
use crate::config::diagnostic::Problem;
use crate::config::document::HealthCheckType;
use crate::config::path::Path;
use crate::config::report::Report;

const HOUR: Duration = Duration::from_secs(60 * 60);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const EJECTION: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);

/// `at` is the upstream.
pub(super) fn check(
    at: &Path<'_>,
    upstream: &Upstream,
    written: &written::HealthCheck,
    report: &mut Report,
) -> Option<HealthCheck> {
    let protocol = upstream.protocol.unwrap_or_default();
    let at = at.field("health_check");
    let mut read = |field, written: &Option<_>, range| {
        amounts::duration(&at.field(field), written.as_ref(), range, report)
    };
    let interval = read("interval", &written.interval, INTERVAL).unwrap_or(Duration::from_secs(10));
    let timeout = read("timeout", &written.timeout, TIMEOUT).unwrap_or(Duration::from_secs(2));
    let kind = written.kind.unwrap_or_default();
    refuse_others_fields(&at, kind, written, report);
    let kind = match kind {
        HealthCheckType::Tcp => HealthCheckKind::Tcp,
        HealthCheckType::Grpc => {
            if !matches!(protocol, UpstreamProtocol::H2 | UpstreamProtocol::H2c) {
                let problem = Problem::error(at.field("type").pointer(), "gRPC is spoken over HTTP/2");
                report.add(problem.hint("say that the backends speak it: `\"protocol\": \"h2c\"`"));
            }
            HealthCheckKind::Grpc(written.service.clone().unwrap_or_default())
        }
        HealthCheckType::Http if protocol == UpstreamProtocol::H3 => {
            let problem =
                Problem::error(at.field("type").pointer(), "backends of `h3` are not asked over HTTP");
            report.add(problem.hint("`\"type\": \"tcp\"` tries a QUIC handshake"));
            return None;
        }
        HealthCheckType::Http => HealthCheckKind::Http(http(&at, written, report)?),
    };
    Some(HealthCheck {
        kind,
        interval,
        timeout,
        healthy_threshold: written.healthy_threshold.unwrap_or(2),
        unhealthy_threshold: written.unhealthy_threshold.unwrap_or(3),
        initially: written.initially.unwrap_or_default(),
    })
}

fn refuse_others_fields(
    at: &Path<'_>,
    kind: HealthCheckType,
    written: &written::HealthCheck,
    report: &mut Report,
) {
    let written::HealthCheck { path, host, headers, statuses, body, service, .. } = written;
    let fields = [
        ("path", path.is_some(), HealthCheckType::Http),
        ("host", host.is_some(), HealthCheckType::Http),
        ("headers", headers.is_some(), HealthCheckType::Http),
        ("statuses", statuses.is_some(), HealthCheckType::Http),
        ("body", body.is_some(), HealthCheckType::Http),
        ("service", service.is_some(), HealthCheckType::Grpc),
    ];
    for (field, _, owner) in fields.into_iter().filter(|(_, is_written, owner)| *is_written && *owner != kind)
    {
        let owner = if owner == HealthCheckType::Http { "http" } else { "grpc" };
        report.error(at.field(field), format!("`{field}` is for checks of the type `{owner}`"));
    }
}

fn http(at: &Path<'_>, written: &written::HealthCheck, report: &mut Report) -> Option<HttpCheck> {
    let path = written.path.clone().unwrap_or_else(|| "/".to_owned());
    let is_path = path.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == path);
    if !is_path {
        report.unexpected(at.field("path"), "expected a path such as `/healthz`", &path);
    }
    let host = written.host.as_ref().and_then(|text| {
        let value = text.parse::<Authority>().ok().and_then(|_| HeaderValue::from_str(text).ok());
        if value.is_none() {
            report.unexpected(at.field("host"), "expected a host such as `game.example.com`", text);
        }
        value
    });
    let statuses = written.statuses.iter().flatten().enumerate();
    let statuses: Vec<_> = statuses
        .filter_map(|(index, text)| statuses_of(&at.field("statuses").item(index), text.as_ref()?, report))
        .collect();
    Some(HttpCheck {
        path: is_path.then_some(path)?,
        host,
        headers: headers(&at.field("headers"), written, report),
        statuses: if written.statuses.is_some() { statuses } else { vec![(200, 299)] },
        body: written.body.clone(),
    })
}

fn headers(
    at: &Path<'_>,
    written: &written::HealthCheck,
    report: &mut Report,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (text, value) in written.headers.iter().flatten() {
        let at = at.field(text);
        let name = values::header_name(&at, text, report);
        let value = value.as_ref().and_then(|value| values::header_value(&at, value, report));
        headers.extend(name.zip(value));
    }
    headers
}

/// `200` or `200-299`.
pub(super) fn statuses_of(at: &Path<'_>, text: &str, report: &mut Report) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    let range = status(first).zip(status(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        report.unexpected(at, "expected a status or a range of them such as `200-299`", text);
    }
    range
}

/// `at` is the object itself.
pub(super) fn outlier_detection(
    at: &Path<'_>,
    written: &written::OutlierDetection,
    report: &mut Report,
) -> OutlierDetection {
    let mut read = |field, written: &Option<_>, range, default| {
        let default = Duration::from_secs(default);
        amounts::duration(&at.field(field), written.as_ref(), range, report).unwrap_or(default)
    };
    let interval = read("interval", &written.interval, INTERVAL, 10);
    let base_ejection_time = read("base_ejection_time", &written.base_ejection_time, EJECTION, 30);
    let max_ejection_time = read("max_ejection_time", &written.max_ejection_time, EJECTION, 300);
    if max_ejection_time < base_ejection_time {
        let message = "the longest ejection is shorter than `base_ejection_time`";
        report.error(at.field("max_ejection_time"), message);
    }
    let rate = written.success_rate.as_ref();
    let is_compared = rate.and_then(|rate| rate.enabled).unwrap_or(true);
    let percentage = written.failure_percentage.as_ref();
    OutlierDetection {
        consecutive_5xx: written.consecutive_5xx.unwrap_or(5),
        consecutive_gateway_failures: written.consecutive_gateway_failures.unwrap_or(5),
        interval,
        base_ejection_time,
        max_ejection_time,
        max_ejection_percent: written.max_ejection_percent.unwrap_or(10),
        success_rate: is_compared.then(|| SuccessRate {
            minimum_hosts: rate.and_then(|rate| rate.minimum_hosts).unwrap_or(5),
            request_volume: rate.and_then(|rate| rate.request_volume).unwrap_or(100),
            stdev_factor: rate.and_then(|rate| rate.stdev_factor).unwrap_or(1900),
        }),
        failure_percentage: percentage.map(|percentage| FailurePercentage {
            threshold: percentage.threshold.unwrap_or(85),
            minimum_hosts: percentage.minimum_hosts.unwrap_or(5),
            request_volume: percentage.request_volume.unwrap_or(50),
        }),
    }
}
