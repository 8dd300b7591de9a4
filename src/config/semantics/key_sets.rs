//! Key sets: where the keys are, and what a token must be like.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::written::{self, Document};
use super::{Environment, amounts, names};
use crate::config::checked::{Algorithm, KeySet, KeySource};
use crate::config::file;
use crate::config::path::Path;
use crate::config::report::Report;

const CLOCK_SKEW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);
const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(60);
const REMEMBERED_TOKENS: u32 = 10_000;
const SOURCES: &str = "`jwks_url`, `discovery_url`, `jwks_file`, `jwks`, `pem` or `secret`";

/// Those of the field `key_sets`.
pub(super) fn check(document: &Document, environment: &Environment<'_>, report: &mut Report) -> Vec<KeySet> {
    let at = Path::ROOT.field("key_sets");
    let mut checked = Vec::new();
    for (name, written) in document.key_sets.iter().flatten() {
        let at = at.field(name);
        names::check(&at, name, report);
        let Some(written) = written else { continue };
        checked.extend(key_set(&at, name, written, environment, report));
    }
    checked
}

fn key_set(
    at: &Path<'_>,
    name: &str,
    written: &written::KeySet,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<KeySet> {
    let source = source(at, written, environment, report);
    let at_skew = at.field("clock_skew");
    let clock_skew = amounts::duration(&at_skew, written.clock_skew.as_ref(), CLOCK_SKEW, report);
    let source = source?;
    let mut issuers = strings(written.issuers.as_ref());
    if let (KeySource::Discovery(issuer), None) = (&source, &written.issuers) {
        issuers.push(issuer.clone());
    }
    let algorithms: Vec<_> = written.algorithms.iter().flatten().flatten().copied().collect();
    let algorithms = match (&written.algorithms, &source) {
        (Some(_), _) => algorithms,
        (None, KeySource::Secret(_)) => vec![Algorithm::HS256],
        (None, _) => vec![Algorithm::RS256, Algorithm::ES256],
    };
    let required = written.required_claims.as_ref();
    Some(KeySet {
        name: name.to_owned(),
        source,
        algorithms,
        issuers,
        audiences: strings(written.audiences.as_ref()),
        required_claims: required.map_or_else(|| vec!["exp".to_owned()], |claims| strings(Some(claims))),
        clock_skew: clock_skew.unwrap_or(DEFAULT_CLOCK_SKEW),
        remembered_tokens: written.remembered_tokens.unwrap_or(REMEMBERED_TOKENS),
        pointer: at.pointer(),
    })
}

fn strings(written: Option<&Vec<Option<String>>>) -> Vec<String> {
    written.into_iter().flatten().flatten().cloned().collect()
}

fn source(
    at: &Path<'_>,
    written: &written::KeySet,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<KeySource> {
    let written::KeySet { jwks_url, discovery_url, jwks_file, jwks, pem, secret, .. } = written;
    let sources = [
        ("jwks_url", jwks_url.clone().map(KeySource::Url)),
        ("discovery_url", discovery_url.clone().map(KeySource::Discovery)),
        ("jwks", jwks.as_ref().map(|jwks| KeySource::Jwks(jwks.to_string()))),
        ("pem", pem.clone().map(KeySource::Pem)),
        ("secret", secret.clone().map(KeySource::Secret)),
        ("jwks_file", jwks_file.as_ref().and_then(|file| read(at, file, environment, report))),
    ];
    let mut given = sources.into_iter().filter_map(|(field, source)| Some((field, source?)));
    let Some((first, source)) = given.next() else {
        let fields = ["jwks_url", "discovery_url", "jwks_file", "jwks", "pem", "secret"];
        if jwks_file.is_none() && !fields.iter().any(|field| report.has_lost(at, field)) {
            report.error(at, format!("expected {SOURCES}, found none"));
        }
        return None;
    };
    if let Some((second, _)) = given.next() {
        report
            .error(at.field(second), format!("`{second}` beside `{first}`: a key set has one of {SOURCES}"));
        return None;
    }
    Some(source)
}

fn read(at: &Path<'_>, name: &str, environment: &Environment<'_>, report: &mut Report) -> Option<KeySource> {
    let at = &at.field("jwks_file");
    let path = environment.directory.join(name);
    let text = file::read(&path).map_err(|error| {
        let shown = report.quote(at, &path.display().to_string());
        report.error(at, format!("cannot read {shown}: {error}"));
    });
    let path = fs::canonicalize(&path).unwrap_or(path);
    Some(KeySource::JwksFile { path, text: text.ok()? })
}
