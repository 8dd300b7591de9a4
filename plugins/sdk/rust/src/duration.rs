//! Durations as the document writes them.

use std::{fmt, ops::Deref, time::Duration};

/// A duration that a config writes as `250ms`, `10s`, `2m` or `1h`: a whole number and a unit, as everywhere in the document.
///
/// ```
/// # use std::time::Duration;
/// # use cloud_cup_plugin::DurationText;
/// let window = DurationText::try_from("2m".to_owned())?;
/// assert_eq!(*window, Duration::from_secs(120));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct DurationText(pub Duration);

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl TryFrom<String> for DurationText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let milliseconds = milliseconds(&text)
            .ok_or_else(|| format!("`{text}` is not a duration such as `250ms`, `10s`, `2m` or `1h`"))?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl Deref for DurationText {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// As it is read, with the largest unit that divides it. What is finer than a millisecond is cut off.
impl fmt::Display for DurationText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        match UNITS.iter().find(|(_, factor)| milliseconds > 0 && milliseconds % factor == 0) {
            Some((unit, factor)) => write!(formatter, "{}{unit}", milliseconds / factor),
            None => formatter.write_str("0s"),
        }
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*factor)
}

/// As the contract has durations; what does not fit, in more than 500 years, is cut off.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_document_writes() {
        fn check(text: &str, expected: Option<u64>) {
            let read = DurationText::try_from(text.to_owned()).ok();
            assert_eq!(
                read,
                expected.map(|milliseconds| DurationText(Duration::from_millis(milliseconds))),
                "{text:?}"
            );
        }
        check("250ms", Some(250));
        check("0s", Some(0));
        check("10s", Some(10_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        for refused in ["", "10", "s", "-1s", "1.5s", "1 s", "1d", "1S", "99999999999999999999s"] {
            check(refused, None);
        }
    }

    #[test]
    fn displays_with_the_largest_unit() {
        fn check(milliseconds: u64, expected: &str) {
            assert_eq!(DurationText(Duration::from_millis(milliseconds)).to_string(), expected);
        }
        check(0, "0s");
        check(1_500, "1500ms");
        check(60_000, "1m");
        check(90_000, "90s");
        check(86_400_000, "24h");
    }
}
