//! Reading a pattern from its text. Every refusal says what to write instead.

use http::Method;

use super::{Parameter, PathPattern, Pattern, Segment, Shape};
use crate::route::host::{HostError, HostPattern};
use crate::route::path::{self, PathError};

/// The most segments that a pattern may have, which bounds how deep the table is walked.
const MAX_SEGMENTS: usize = 64;

pub(super) fn pattern(text: &str) -> Result<Pattern, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    let (methods, target) = split_methods(if text == "*" { "/*" } else { text });
    let methods = methods.map(parse_methods).transpose()?.unwrap_or_default();
    let (host, path) = split_host(target)?;
    let host = parse_host(host, path)?;
    let (path, parameters) = parse_path(path)?;
    Ok(Pattern { text: text.into(), methods, shape: Shape { host, path }, parameters })
}

fn split_methods(text: &str) -> (Option<&str>, &str) {
    match text.split_once(' ') {
        Some((methods, target)) if !methods.contains('/') => (Some(methods), target.trim_start_matches(' ')),
        _ => (None, text),
    }
}

fn parse_methods(list: &str) -> Result<Box<[Method]>, PatternError> {
    let mut methods = list.split(',').map(parse_method).collect::<Result<Vec<_>, _>>()?;
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    match methods.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(PatternError::RepeatedMethod(pair[0].to_string())),
        None => Ok(methods.into()),
    }
}

fn parse_method(text: &str) -> Result<Method, PatternError> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(PatternError::LowerCaseMethod(text.into(), text.to_ascii_uppercase()));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| PatternError::Method(text.into()))
}

fn split_host(target: &str) -> Result<(&str, &str), PatternError> {
    let slash = target.find('/').ok_or_else(|| PatternError::NoPath(target.into()))?;
    let (host, path) = target.split_at(slash);
    if host.ends_with(':') && path.starts_with("//") {
        return Err(PatternError::Scheme(target.into()));
    }
    Ok((host, path))
}

fn parse_host(host: &str, path: &str) -> Result<HostPattern, PatternError> {
    let is_single_label = !host.is_empty() && !host.contains(['.', ':', '*']);
    if is_single_label && !host.eq_ignore_ascii_case("localhost") {
        return Err(PatternError::SingleLabel { host: host.into(), path: path.into() });
    }
    Ok(HostPattern::parse(host)?)
}

/// `path` starts with a slash.
fn parse_path(path: &str) -> Result<(PathPattern, Box<[Parameter]>), PatternError> {
    if path.contains(['?', '#']) {
        return Err(PatternError::Query(path.into()));
    }
    if path.contains("//") {
        return Err(PatternError::RepeatedSlash(path.into()));
    }
    let (parent, is_prefix) = path.strip_suffix("/*").map_or((path, false), |parent| (parent, true));
    let texts = parent.split('/').skip(1);
    if texts.clone().count() > MAX_SEGMENTS {
        return Err(PatternError::TooManySegments);
    }
    let mut segments = Vec::new();
    let mut parameters = Vec::new();
    for text in texts {
        match parameter_name(text)? {
            Some(name) => {
                push_parameter(&mut parameters, name, segments.len())?;
                segments.push(Segment::Parameter);
            }
            None => segments.push(Segment::Exact(parse_exact(text)?)),
        }
    }
    Ok((PathPattern { segments: segments.into(), is_prefix }, parameters.into()))
}

fn push_parameter(parameters: &mut Vec<Parameter>, name: &str, segment: usize) -> Result<(), PatternError> {
    if parameters.iter().any(|parameter| *parameter.name == *name) {
        return Err(PatternError::RepeatedParameter(name.into()));
    }
    parameters.push(Parameter { name: name.into(), segment });
    Ok(())
}

/// The name in `{name}`; none for a segment without braces.
fn parameter_name(segment: &str) -> Result<Option<&str>, PatternError> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if is_name(name) => Ok(Some(name)),
        Some(name) if !name.contains(['{', '}']) => Err(PatternError::ParameterName(name.into())),
        _ => Err(PatternError::PartialParameter(segment.into())),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn parse_exact(text: &str) -> Result<Box<str>, PatternError> {
    if text.contains('*') {
        return Err(PatternError::Wildcard(text.into()));
    }
    if text.contains(';') {
        return Err(PatternError::PathParameters(text.into()));
    }
    let segment = path::normalise_segment(text)
        .map_err(|source| PatternError::Segment { text: text.into(), source })?;
    if matches!(&*segment, "." | "..") {
        return Err(PatternError::DotSegment(text.into()));
    }
    Ok(path::matching_form(&segment).into())
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum PatternError {
    #[error("pattern is empty")]
    Empty,
    #[error("`{0}` is not a method")]
    Method(String),
    #[error("method `{0}` has lower-case letters, and methods are case-sensitive: write `{1}`")]
    LowerCaseMethod(String, String),
    #[error("method `{0}` is listed twice")]
    RepeatedMethod(String),
    #[error("`{0}` has no path: a path starts with `/`")]
    NoPath(String),
    #[error("`{0}` has a scheme: a pattern is only a host and a path")]
    Scheme(String),
    #[error(
        "`{host}` could be a host or a path: write `/{host}{path}` for the path, `{host}.{path}` for the host"
    )]
    SingleLabel { host: String, path: String },
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("path `{0}` has a query or a fragment: a pattern matches only the path")]
    Query(String),
    #[error("path `{0}` has repeated slashes: in requests they are merged into one")]
    RepeatedSlash(String),
    #[error("segment `{0}` is a dot segment: in requests they are resolved before matching")]
    DotSegment(String),
    #[error("`*` in segment `{0}` must be the whole last segment, as in `/game/*`; a literal star is `%2A`")]
    Wildcard(String),
    #[error(
        "parameter in `{0}` must be a whole segment, as in `/users/{{id}}`; a literal brace is `%7B` or `%7D`"
    )]
    PartialParameter(String),
    #[error("segment `{0}` has path parameters, which do not count in matching; a literal `;` is `%3B`")]
    PathParameters(String),
    #[error("`{0}` is not a parameter name: letters, digits, `_` and `-` make one")]
    ParameterName(String),
    #[error("parameter `{0}` is named twice")]
    RepeatedParameter(String),
    #[error("segment `{text}` cannot be matched: {source}")]
    Segment { text: String, source: PathError },
    #[error("path has more than {} segments", MAX_SEGMENTS)]
    TooManySegments,
}
