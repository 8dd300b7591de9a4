//! Telling in time of certificates that are about to expire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::warn;

use super::Current;
use crate::proxy::Certificate;

const LOOK: Duration = Duration::from_secs(60 * 60);
const DAY: i64 = 24 * 60 * 60;
/// A warning for each of these numbers of days that is reached. The last one is the day after.
const DAYS: [i64; 4] = [30, 7, 1, 0];

/// What was told already: of each certificate the number of days that was reached last.
type Told = BTreeMap<(Arc<str>, String, i64), i64>;

/// Looks at the certificates that are shown, now and every hour.
pub async fn warn_of_expiry(current: Current) {
    let mut told = Told::new();
    loop {
        #[expect(clippy::disallowed_methods, reason = "certificates are valid by the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        // The snapshot is let go of before the wait: it would keep alive what a reload has removed.
        for (certificate, left) in due(&current.load_full().certificates, now, &mut told) {
            let name = certificate.names.0.first().map_or("", String::as_str);
            let listener = &*certificate.listener;
            if left < 0 {
                warn!(listener, name, "certificate has expired");
            } else {
                warn!(listener, name, days = left / DAY, "certificate expires soon");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The certificates that have reached another of [`DAYS`], with the seconds that they have left.
fn due<'c>(certificates: &'c [Certificate], now: i64, told: &mut Told) -> Vec<(&'c Certificate, i64)> {
    let key = |certificate: &Certificate| {
        let name = certificate.names.0.first().cloned().unwrap_or_default();
        (Arc::clone(&certificate.listener), name, certificate.not_after)
    };
    told.retain(|known, _| certificates.iter().any(|certificate| key(certificate) == *known));
    let is_due = |certificate: &&Certificate| {
        let left = certificate.not_after - now;
        let Some(reached) = DAYS.iter().rev().find(|days| left < **days * DAY) else { return false };
        told.insert(key(certificate), *reached) != Some(*reached)
    };
    certificates.iter().filter(is_due).map(|certificate| (certificate, certificate.not_after - now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tls::CertificateNames;

    #[test]
    fn each_certificate_is_told_of_once_for_each_number_of_days() {
        let names = Arc::new(CertificateNames(vec!["a.example".to_owned()]));
        let certificates = [Certificate { listener: "a".into(), names, not_after: 40 * DAY }];
        let mut told = Told::new();
        let mut told_at = |day: i64| !due(&certificates, day * DAY + 1, &mut told).is_empty();
        let days: Vec<_> = (0..45).filter(|day| told_at(*day)).collect();
        assert_eq!(days, [10, 33, 39, 40]);
    }

    #[test]
    fn a_certificate_that_was_replaced_is_forgotten() {
        let names = Arc::new(CertificateNames::default());
        let with = |not_after| [Certificate { listener: "a".into(), names: Arc::clone(&names), not_after }];
        let mut told = Told::new();
        assert_eq!(due(&with(DAY), 1, &mut told).len(), 1);
        assert_eq!(due(&with(DAY), 2, &mut told).len(), 0);
        assert_eq!(due(&with(90 * DAY), 3, &mut told).len(), 0);
        assert!(told.is_empty());
    }
}
