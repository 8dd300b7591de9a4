//! gRPC-Web, which browsers speak, to gRPC, which backends speak, and back. Plugins see gRPC.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use crate::message::body::Streamed;
use crate::message::grpc_web::{
    Mode, TextDecoder, encode_text, mode, response_content_type, trailers_frame, translate_request,
};
use crate::message::http1::FramingError;
use crate::message::{Body, BodyError, Exchange, ResponseHead};

/// What pages may read of a response beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");
/// How long a browser may remember what it was told, in seconds; none remembers it for longer.
const REMEMBERED: HeaderValue = HeaderValue::from_static("86400");

/// Whose pages may call, and that anybody's calls are translated at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcWeb {
    /// Origins as browsers write them; `*` is any.
    pub origins: Vec<HeaderValue>,
}

/// The answer to a browser that asks whether a page may call (CORS); none where it does not ask.
pub(super) fn preflight(web: &GrpcWeb, exchange: &Exchange) -> Option<ResponseHead> {
    let asked = exchange.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_asked = exchange.method == Method::OPTIONS && asked.is_some();
    if !is_asked || !exchange.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let mut head = ResponseHead { status: StatusCode::NO_CONTENT, ..ResponseHead::default() };
    if allow(web, &exchange.headers, &mut head.headers) {
        head.headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        if let Some(names) = exchange.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            head.headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        head.headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    }
    head.date();
    Some(head)
}

/// Makes gRPC of a request, where it is gRPC-Web.
pub(super) fn request(exchange: &mut Exchange, body: &mut Body) -> Option<Mode> {
    let mode = mode(&exchange.headers)?;
    translate_request(&mut exchange.headers);
    if mode == Mode::Text {
        let encoded = std::mem::take(body);
        *body = Body::Streamed(Box::new(Decoded { encoded, decoder: Some(TextDecoder::default()) }));
    }
    Some(mode)
}

/// Makes gRPC-Web of the response.
pub(super) fn response(
    web: &GrpcWeb,
    mode: Mode,
    asked: &HeaderMap,
    head: &mut ResponseHead,
    body: &mut Body,
) {
    head.complete_headers();
    let content_type = response_content_type(mode, head.headers.get(header::CONTENT_TYPE));
    head.headers.insert(header::CONTENT_TYPE, content_type);
    head.headers.remove(header::CONTENT_LENGTH);
    if allow(web, asked, &mut head.headers) {
        head.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if !body.is_end_stream() {
        let plain = std::mem::take(body);
        *body = Body::Streamed(Box::new(Framed { plain, mode, is_over: false }));
    }
}

/// Tells the browser that the page may call, if it may.
fn allow(web: &GrpcWeb, asked: &HeaderMap, headers: &mut HeaderMap) -> bool {
    let Some(origin) = asked.get(header::ORIGIN) else { return false };
    let is_any = web.origins.iter().any(|allowed| allowed == "*");
    if !is_any {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if !is_any && !web.origins.contains(origin) {
        return false;
    }
    let allowed = if is_any { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    true
}

/// A request's body without its base64.
#[derive(Debug)]
struct Decoded {
    encoded: Body,
    /// Gone at the end.
    decoder: Option<TextDecoder>,
}

impl Streamed for Decoded {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let malformed = |_| BodyError::Malformed(FramingError::Base64);
        loop {
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(None) };
            let decoded = match ready!(Pin::new(&mut self.encoded).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => decoder.push(&data).map_err(malformed),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None => {
                    let rest = decoder.finish().map_err(malformed);
                    self.decoder = None;
                    rest
                }
            };
            match decoded {
                Ok(data) if data.is_empty() => {}
                decoded => return Poll::Ready(Some(decoded.map(Frame::data))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A response's body with its trailers as a frame.
#[derive(Debug)]
struct Framed {
    plain: Body,
    mode: Mode,
    is_over: bool,
}

impl Streamed for Framed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let data = match ready!(Pin::new(&mut self.plain).poll_frame(cx)) {
            None => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => frame.into_data().unwrap_or_else(|trailers| {
                self.is_over = true;
                trailers_frame(&trailers.into_trailers().unwrap_or_default())
            }),
        };
        let data = if self.mode == Mode::Text { encode_text(&data) } else { data };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.plain.drive(cx);
    }
}
