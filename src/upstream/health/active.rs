//! Health checks: a backend is asked in intervals, and goes out and comes in by what it answers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::upstream::{Cluster, Endpoint, Out, Probe};

/// How backends are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// The time between two checks, of which a tenth is left to chance.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Good ones in a row that bring a backend in.
    pub healthy_threshold: u32,
    /// Bad ones in a row that take it out.
    pub unhealthy_threshold: u32,
    /// Whether a backend gets requests before its first check.
    pub is_assumed_healthy: bool,
}

/// Checks one member for as long as its cluster has it.
pub(super) async fn keep_checking(
    cluster: Weak<Cluster>,
    endpoint: Weak<Endpoint>,
    probe: Arc<Probe>,
    check: HealthCheck,
    is_known: bool,
) {
    let mut row = Row { is_known, is_good: true, length: 0 };
    if is_known {
        sleep(jittered(check.interval)).await;
    }
    loop {
        let Some(live) = endpoint.upgrade() else { return };
        let asked = probe.ask(&live, check.timeout).await;
        let is_decided = row.add(asked.is_ok(), &check);
        let Some(cluster) = cluster.upgrade() else { return };
        let (upstream, backend) = (cluster.name(), &live.host);
        match &asked {
            Ok(()) if is_decided && live.let_in(Out::Unfit) => {
                info!(upstream, backend, "backend passes its health check again");
                cluster.refresh();
            }
            // Who was taken for unfit before is out already, and nobody has said why.
            Err(error) if is_decided && (live.take_out(Out::Unfit) || live.cause().is_none()) => {
                let cause = format!("health check: {error}");
                warn!(upstream, backend, cause, "backend fails its health check");
                live.blame(cause);
                cluster.refresh();
            }
            _ => {}
        }
        // Whoever else holds them decides how long they live.
        drop((cluster, live));
        sleep(jittered(check.interval)).await;
    }
}

/// Checks in a row that ended alike.
struct Row {
    /// Whether a first check was made, which decides alone.
    is_known: bool,
    is_good: bool,
    length: u32,
}

impl Row {
    /// Whether there are enough of them now.
    fn add(&mut self, is_good: bool, check: &HealthCheck) -> bool {
        let before = if is_good == self.is_good { self.length } else { 0 };
        (self.is_good, self.length) = (is_good, before.saturating_add(1));
        let enough = if is_good { check.healthy_threshold } else { check.unhealthy_threshold };
        !std::mem::replace(&mut self.is_known, true) || self.length >= enough
    }
}

/// Gateways that were started together do not ask together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + fastrand::f64() * 0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_check_decides_alone_and_later_ones_in_a_row() {
        let check = HealthCheck {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            is_assumed_healthy: true,
        };
        let decided = |is_known, checks: &[bool]| {
            let mut row = Row { is_known, is_good: true, length: 0 };
            checks.iter().map(|is_good| row.add(*is_good, &check)).collect::<Vec<_>>()
        };
        assert_eq!(decided(false, &[true, false, false, false]), [true, false, false, true]);
        assert_eq!(decided(false, &[false, true, true]), [true, false, true]);
        assert_eq!(
            decided(true, &[false, false, true, false, false, false]),
            [false, false, false, false, false, true]
        );
    }
}
