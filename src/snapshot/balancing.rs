//! How clusters balance and judge their members, from checked to live.

use std::sync::OnceLock;

use crate::config;
use crate::upstream::{
    Affinity, Balancing, FailurePercentage, HashKey, HealthCheck, HttpProbe, Limits, OutlierDetection, Probe,
    SameSite, Strategy, SuccessRate,
};

pub(super) fn live(balancing: &config::Balancing) -> Balancing {
    Balancing {
        strategy: match balancing.strategy {
            config::Strategy::RoundRobin => Strategy::RoundRobin,
            config::Strategy::LeastRequest => Strategy::LeastRequest,
            config::Strategy::Random => Strategy::Random,
            config::Strategy::PeakEwma => Strategy::PeakEwma,
            config::Strategy::Maglev => Strategy::Maglev,
            config::Strategy::RingHash => Strategy::RingHash,
        },
        affinity: balancing.affinity.as_ref().map(affinity),
        slow_start: balancing.slow_start,
        panic_threshold: balancing.panic_threshold,
        zone: balancing.zone.clone(),
    }
}

pub(super) fn affinity(affinity: &config::Affinity) -> Affinity {
    Affinity {
        cookie: affinity.cookie.clone(),
        secret: affinity.secret.map_or_else(|| *random_secret(), |secret| *secret.bytes()),
        max_age: affinity.max_age,
        same_site: match affinity.same_site {
            config::SameSite::Lax => SameSite::Lax,
            config::SameSite::Strict => SameSite::Strict,
            config::SameSite::None => SameSite::None,
        },
        secure: affinity.secure,
    }
}

/// One for as long as the process lives, so that changes leave clients where they are.
fn random_secret() -> &'static [u8; 32] {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    SECRET.get_or_init(|| {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .expect("the system has random numbers, without which TLS would not start");
        secret
    })
}

pub(super) fn hash_key(key: &config::HashKey) -> HashKey {
    match key {
        config::HashKey::ClientAddress => HashKey::ClientAddress,
        config::HashKey::Header(name) => HashKey::Header(name.clone()),
        config::HashKey::Cookie(name) => HashKey::Cookie(name.clone()),
        config::HashKey::Query(name) => HashKey::Query(name.clone()),
        config::HashKey::Parameter(name) => HashKey::Parameter(name.clone()),
        config::HashKey::Attribute(name) => HashKey::Attribute(name.clone()),
    }
}

/// A health check asks regularly what brings an ejected backend back, too.
pub(super) fn probe(upstream: &config::Upstream) -> Probe {
    let check = upstream.balancing.health_check.as_ref().map(|check| &check.kind);
    match (check, &upstream.dial.grpc_probe) {
        (Some(config::HealthCheckKind::Http(http)), _) => Probe::Http(HttpProbe {
            path: http.path.clone(),
            host: http.host.clone(),
            headers: http.headers.clone(),
            statuses: http.statuses.iter().map(|(first, last)| *first..=*last).collect(),
            body: http.body.clone(),
        }),
        (Some(config::HealthCheckKind::Grpc(service)), _) | (None, Some(service)) => {
            Probe::Grpc(service.clone())
        }
        (Some(config::HealthCheckKind::Tcp), _) | (None, None) => Probe::Connect,
    }
}

pub(super) fn health_check(check: &config::HealthCheck) -> HealthCheck {
    HealthCheck {
        interval: check.interval,
        timeout: check.timeout,
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        is_assumed_healthy: check.initially == config::AssumedHealth::Healthy,
    }
}

pub(super) fn outlier_detection(checked: &config::OutlierDetection) -> OutlierDetection {
    let success_rate = checked.success_rate.map(|rate| {
        let config::SuccessRate { minimum_hosts, request_volume, stdev_factor } = rate;
        SuccessRate { minimum_hosts, request_volume, stdev_factor }
    });
    let failure_percentage = checked.failure_percentage.map(|percentage| {
        let config::FailurePercentage { threshold, minimum_hosts, request_volume } = percentage;
        FailurePercentage { threshold, minimum_hosts, request_volume }
    });
    OutlierDetection {
        consecutive_5xx: checked.consecutive_5xx,
        consecutive_gateway_failures: checked.consecutive_gateway_failures,
        interval: checked.interval,
        base_ejection_time: checked.base_ejection_time,
        max_ejection_time: checked.max_ejection_time,
        max_ejection_percent: checked.max_ejection_percent,
        success_rate,
        failure_percentage,
    }
}

pub(super) fn limits(limits: config::UpstreamLimits) -> Limits {
    let config::UpstreamLimits { connections, pending, requests, retries, retry_budget } = limits;
    Limits { connections, pending, requests, retries, retry_budget }
}
