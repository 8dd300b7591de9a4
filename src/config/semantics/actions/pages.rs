//! What clients see instead of errors.

use super::Around;
use super::reply::{self, Files};
use crate::action::{ErrorPages, Statuses};
use crate::config::diagnostic::{Part, Problem};
use crate::config::document as written;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;

/// The pages at a place.
pub(in crate::config::semantics) fn check(
    at: &Path<'_>,
    written: &written::ErrorPages,
    around: &Around<'_>,
    files: &mut Files<'_>,
    report: &mut Report,
) -> ErrorPages {
    let at = at.field("pages");
    let mut pages = Vec::new();
    for (text, page) in written.pages.iter().flatten() {
        let at = at.field(text);
        let statuses = Statuses::parse(text);
        if statuses.is_none() {
            let message = format!("expected a status from 400 to 599, `4xx` or `5xx`, found {}", quote(text));
            report.add(Problem::error(at.pointer(), message).part(Part::Name));
        }
        let page = page.as_ref().and_then(|page| reply::page(&at, page, around, files, report));
        pages.extend(statuses.zip(page));
    }
    ErrorPages::new(pages, written.backend_errors.unwrap_or_default())
}
