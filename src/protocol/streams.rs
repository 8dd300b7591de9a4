//! What HTTP/2 and HTTP/3 have in common: messages that are framed by their streams.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body as _;

use crate::message::http1::HeadError;
use crate::proxy::ResponseBody;

/// Takes away fields that are for this hop alone.
pub(super) fn take_framing(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::TE, header::TRAILER, header::EXPECT] {
        headers.remove(name);
    }
}

/// Whether white space stands at an end of a value, where neither version has it (RFC 9113, section 8.2.1; RFC 9114,
/// section 10.3; RFC 9110, section 5.5). A backend of HTTP/1.1 takes it away, so it would see another value than was
/// looked at here.
pub(super) fn has_padded_value(headers: &HeaderMap) -> bool {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    headers.values().map(HeaderValue::as_bytes).any(|value| is_white(value.first()) || is_white(value.last()))
}

/// What such a request is refused for.
pub(super) const PADDED_VALUE: HeadError = HeadError::Malformed("white space at an end of a field's value");

/// Whether the client waits to be told that its body is wanted (RFC 9110, section 10.1.1). It is, as far as anybody can
/// tell before the request is looked at: how much of it is taken is the affair of its stream's window.
pub(super) fn awaits_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// What such a client is told.
pub(super) fn go_on() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::CONTINUE;
    response
}

/// Clients split `cookie` for compression; elsewhere it is one field (RFC 9113, section 8.2.3; RFC 9114, section 4.2.1).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..]))) {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Completes a response's head. True when no body follows it.
pub(super) fn complete(
    mut response: Response<ResponseBody>,
    is_head: bool,
) -> (Response<ResponseBody>, bool) {
    if let Some(lines) = response.body_mut().take_lines() {
        lines.parse_into(response.headers_mut());
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        agree(&mut response);
        return (response, false);
    }
    let is_bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_ended = is_head || is_bodiless || response.body().is_end_stream();
    let length = response.body().size_hint().exact();
    // That there is nothing, the end of the stream says as well.
    let length = length.filter(|length| !is_bodiless && *length > 0);
    if let Some(length) = length {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    if is_ended {
        response.body_mut().complete();
    }
    (response, is_ended)
}

/// Says by the means of extended CONNECT that another protocol follows.
fn agree(response: &mut Response<ResponseBody>) {
    *response.status_mut() = StatusCode::OK;
    for name in [header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
}
