//! Durations and sizes within bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::units::{ByteSize, SizeError, display_duration, parse_duration};
use crate::config::path::Path;
use crate::config::report::Report;

use super::written::{DurationText, SizeText};

/// The duration at a place, unless it is absent or was reported.
pub(super) fn duration(
    at: &Path<'_>,
    written: Option<&DurationText>,
    bounds: RangeInclusive<Duration>,
    report: &mut Report,
) -> Option<Duration> {
    let DurationText(text) = written?;
    match parse_duration(text) {
        Ok(duration) if bounds.contains(&duration) => return Some(duration),
        Ok(_) => {
            let [least, most] = [bounds.start(), bounds.end()].map(|bound| display_duration(*bound));
            report.unexpected(at, format_args!("expected `{least}` to `{most}`"), text);
        }
        Err(error) => report.unexpected(at, error, text),
    }
    None
}

/// The size at a place, unless it is absent or was reported.
pub(super) fn size(
    at: &Path<'_>,
    written: Option<&SizeText>,
    bounds: RangeInclusive<ByteSize>,
    report: &mut Report,
) -> Option<ByteSize> {
    let text = match written? {
        SizeText::Bytes(number) => &number.to_string(),
        SizeText::Text(text) => text,
    };
    match text.parse::<ByteSize>() {
        Ok(size) if bounds.contains(&size) => return Some(size),
        Ok(_) => {
            report.unexpected(at, format_args!("expected `{}` to `{}`", bounds.start(), bounds.end()), text)
        }
        Err(error @ SizeError) => report.unexpected(at, error, text),
    }
    None
}
