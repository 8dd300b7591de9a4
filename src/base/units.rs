//! Quantities as the document writes them: durations such as `250ms` and sizes such as `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes.
///
/// Text is a whole number with an optional unit: `B`, `KB`, `MB`, `GB` count in thousands, `KiB`, `MiB`, `GiB` in 1024s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Largest first, binary before decimal, so that [`ByteSize`] displays with the first unit that divides it.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Largest first, like [`SIZE_UNITS`].
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1024 KiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The size as a length in memory, at most what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Text that is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size such as `512`, `64KiB` or `10MB`")]
pub struct SizeError;

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (count, unit) = quantity(text).ok_or(SizeError)?;
        let factor = if unit.is_empty() { 1 } else { factor(&SIZE_UNITS, unit).ok_or(SizeError)? };
        count.checked_mul(factor).map(Self).ok_or(SizeError)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_quantity(self.0, &SIZE_UNITS, "B", f)
    }
}

/// Text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as `250ms`, `10s`, `2m` or `1h`")]
pub struct DurationError;

/// Reads a whole number with one of the units `ms`, `s`, `m`, `h`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (count, unit) = quantity(text).ok_or(DurationError)?;
    let factor = factor(&DURATION_UNITS, unit).ok_or(DurationError)?;
    count.checked_mul(factor).map(Duration::from_millis).ok_or(DurationError)
}

/// Displays a duration as [`parse_duration`] reads it. What is finer than a millisecond is cut off.
pub fn display_duration(duration: Duration) -> impl fmt::Display {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    fmt::from_fn(move |f| display_quantity(milliseconds, &DURATION_UNITS, "s", f))
}

/// Splits `64KiB` into 64 and `KiB`.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    Some((count.parse().ok()?, unit))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

fn display_quantity(
    count: u64,
    units: &[(&str, u64)],
    unit_of_zero: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match units.iter().find(|(_, factor)| count > 0 && count.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", count / factor),
        None => write!(f, "0{unit_of_zero}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_sizes() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse().ok(), expected.map(ByteSize::bytes), "{text}");
        };
        check("0", Some(0));
        check("512", Some(512));
        check("512B", Some(512));
        check("64KiB", Some(65_536));
        check("1MiB", Some(1_048_576));
        check("10MB", Some(10_000_000));
        check("2GiB", Some(2_147_483_648));
        check("18446744073709551615", Some(u64::MAX));
        for refused in
            ["", "KiB", "1.5MiB", "-1", "+1", "1 KiB", "1kib", "1K", "18446744073709551616", "99999999999GiB"]
        {
            check(refused, None);
        }
    }

    #[test]
    fn reads_durations() {
        let check = |text: &str, milliseconds: Option<u64>| {
            assert_eq!(parse_duration(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        };
        check("250ms", Some(250));
        check("10s", Some(10_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("0s", Some(0));
        for refused in
            ["", "10", "s", "1.5s", "-1s", "1 s", "1d", "1S", "99999999999999999999s", "9999999999999999999h"]
        {
            check(refused, None);
        }
    }

    #[test]
    fn displays_with_the_largest_unit_that_fits() {
        let sizes =
            [0, 1, 1000, 1024, 1500, 65_536, 10_000_000].map(|bytes| ByteSize::bytes(bytes).to_string());
        assert_eq!(sizes, ["0B", "1B", "1KB", "1KiB", "1500B", "64KiB", "10MB"]);
        let durations = [0, 250, 1000, 90_000, 120_000, 86_400_000]
            .map(|milliseconds| display_duration(Duration::from_millis(milliseconds)).to_string());
        assert_eq!(durations, ["0s", "250ms", "1s", "90s", "2m", "24h"]);
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(count: u64) {
            let size = ByteSize::bytes(count);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let duration = Duration::from_millis(count);
            prop_assert_eq!(parse_duration(&display_duration(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<ByteSize>();
            let _ = parse_duration(&text);
        }
    }
}
