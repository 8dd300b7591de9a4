//! Times as RFC 3339 text in UTC.

use std::time::{Duration, SystemTime};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// The last second of the year 9999, where the text would change its shape.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The nearest time that comes back from its text as it was: a clock may stand anywhere.
pub(super) fn writable(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64)
}

pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(writable(*time)))
}

pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map(writable).map_err(D::Error::custom)
}
