//! Where clients are sent.

use http::StatusCode;

use super::{Around, rewrite, templates};
use crate::action::{Redirect, Scheme};
use crate::config::document as written;
use crate::config::path::Path;
use crate::config::report::Report;

const FIELDS: [&str; 5] = ["scheme", "host", "port", "path", "prefix"];

/// The redirect at a place.
pub(super) fn check(
    at: &Path<'_>,
    written: &written::Redirect,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Redirect> {
    let written::Redirect { scheme, host, port, path, prefix, query, status } = written;
    let keeps_query = query.unwrap_or(true);
    let leads_back =
        scheme.is_none() && host.is_none() && port.is_none() && path.is_none() && prefix.is_none();
    if leads_back && keeps_query && !FIELDS.iter().any(|field| report.has_lost(at, field)) {
        let message = "this redirect leads back to itself: expected `scheme`, `host`, `port`, `path` or `prefix`, found none";
        report.error(at, message);
        return None;
    }
    let scope = &around.request();
    let target = rewrite::target(at, path.as_deref(), prefix.as_deref(), None, around, report);
    let to_host = host.as_ref().map(|text| templates::host(&at.field("host"), text, false, scope, report));
    Some(Redirect {
        scheme: scheme.map(|scheme| match scheme {
            written::Scheme::Http => Scheme::Http,
            written::Scheme::Https => Scheme::Https,
        }),
        // What was reported is left out, and so is all of it.
        host: to_host.map_or(Some(None), |host| host.map(Some))?,
        port: *port,
        path: target?,
        keeps_query,
        status: status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::FOUND),
    })
}
