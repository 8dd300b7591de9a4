//! One request and its response, on a stream.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body::Body as _;

use super::Requests;
use crate::base::timer::Silence;
use crate::message::body::Streamed;
use crate::message::exchange::EarlyData;
use crate::message::http1::{FramingError, HeadError};
use crate::message::http3::{self, Flow, FromClient, Quic, ReceivedBody};
use crate::message::{Body, BodyError};
use crate::protocol::streams::{
    PADDED_VALUE, awaits_continue, complete, go_on, has_padded_value, join_cookies, take_framing,
};
use crate::proxy::{Failure, Interim, ResponseBody};

/// Bytes that are written at one time: a client that is slow but takes them is not held for idle.
const PIECE: usize = 32 << 10;

type Sending = RequestStream<http3::Sending, Bytes>;

/// Serves a stream until it ends.
pub(super) async fn exchange(
    requests: &Rc<Requests>,
    resolver: RequestResolver<Quic, Bytes>,
    flow: Rc<Flow>,
    is_early: bool,
) {
    let resolving = tokio::time::timeout(requests.timeouts.client_head, resolver.resolve_request());
    // What cannot be understood was answered or reset by whoever tried to.
    let Ok(Ok((mut request, stream))) = resolving.await else { return };
    if is_early {
        // RFC 8470, section 5.1.
        request.headers_mut().insert("early-data", HeaderValue::from_static("1"));
        request.extensions_mut().insert(EarlyData);
    }
    let (mut sending, receiving) = stream.split();
    let is_head = request.method() == Method::HEAD;
    if awaits_continue(request.headers()) && sending.send_response(go_on()).await.is_err() {
        return;
    }
    let interim = Interim::default();
    let response = match begin(request, receiving, flow, requests) {
        Err(failure) => requests.proxy.refuse(&failure, &requests.connection),
        Ok(request) => {
            let mut handling = pin!(requests.proxy.handle(request, &requests.connection, &interim));
            loop {
                let next = poll_fn(|cx| {
                    let answered = handling.as_mut().poll(cx);
                    let waiting = interim.take();
                    match answered {
                        Poll::Ready(response) => Poll::Ready((waiting, Some(response))),
                        Poll::Pending if waiting.is_empty() => Poll::Pending,
                        Poll::Pending => Poll::Ready((waiting, None)),
                    }
                });
                let (waiting, answered) = next.await;
                for response in waiting {
                    if sending.send_response(response).await.is_err() {
                        return;
                    }
                }
                if let Some(response) = answered {
                    break response;
                }
            }
        }
    };
    if response.body().is_for_nobody() {
        return;
    }
    let (response, is_ended) = complete(response, is_head);
    let (head, mut body) = response.into_parts();
    let sent = send(&mut sending, Response::from_parts(head, ()), &mut body, is_ended, requests).await;
    if sent.is_err() {
        body.abort();
        sending.stop_stream(Code::H3_INTERNAL_ERROR);
    }
}

/// Takes away what HTTP/3 has of its own for framing, so that nothing downstream sees which version it was.
fn begin(
    request: Request<()>,
    mut receiving: FromClient,
    flow: Rc<Flow>,
    requests: &Requests,
) -> Result<Request<Body>, Failure> {
    let (mut head, ()) = request.into_parts();
    head.version = Version::HTTP_3;
    if head.headers.len() > requests.most_fields {
        receiving.stop_sending(Code::H3_EXCESSIVE_LOAD);
        return Err(HeadError::TooManyFields.into());
    }
    if is_malformed(&head.headers) {
        receiving.stop_sending(Code::H3_MESSAGE_ERROR);
        return Err(HeadError::Malformed("a field of HTTP/1.1's connections").into());
    }
    if has_padded_value(&head.headers) {
        receiving.stop_sending(Code::H3_MESSAGE_ERROR);
        return Err(PADDED_VALUE.into());
    }
    let idle = requests.timeouts.client_idle;
    let body = ReceivedBody::new(&mut head.headers, receiving, flow, idle);
    let body = body.map_err(|error: FramingError| Failure::from(BodyError::from(error)))?;
    take_framing(&mut head.headers);
    join_cookies(&mut head.headers);
    let body = if body.is_end_stream() { Body::Empty } else { Body::Streamed(Box::new(body)) };
    Ok(Request::from_parts(head, body))
}

/// RFC 9114, section 4.2: fields that only HTTP/1.1 has make a message malformed.
fn is_malformed(headers: &HeaderMap) -> bool {
    let of_connections = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::HeaderName::from_static("keep-alive"),
        header::HeaderName::from_static("proxy-connection"),
    ];
    of_connections.iter().any(|name| headers.contains_key(name))
        || headers.get(header::TE).is_some_and(|te| te != "trailers")
}

/// Sends a response to its end.
async fn send(
    sending: &mut Sending,
    head: Response<()>,
    body: &mut ResponseBody,
    is_ended: bool,
    requests: &Requests,
) -> Result<(), Broken> {
    sending.send_response(head).await?;
    if !is_ended {
        send_body(sending, body, requests).await?;
    }
    Ok(sending.finish().await?)
}

async fn send_body(
    sending: &mut Sending,
    body: &mut ResponseBody,
    requests: &Requests,
) -> Result<(), Broken> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    let piece = data.split_to(data.len().min(PIECE));
                    write(sending, piece, body, requests).await?;
                }
                if body.is_end_stream() {
                    break;
                }
            }
            Err(frame) => {
                sending.send_trailers(frame.into_trailers().unwrap_or_default()).await?;
                break;
            }
        }
    }
    Ok(())
}

/// Writes a piece within the time that a client has for it, while the request goes on.
async fn write(
    sending: &mut Sending,
    piece: Bytes,
    body: &mut ResponseBody,
    requests: &Requests,
) -> Result<(), Broken> {
    let (mut writing, mut silence) = (pin!(sending.send_data(piece)), Silence::default());
    let mut poll = |cx: &mut Context<'_>| {
        if let Poll::Ready(written) = writing.as_mut().poll(cx) {
            return Poll::Ready(written.map_err(Broken::from));
        }
        body.drive(cx);
        silence.poll(cx, requests.timeouts.client_idle).map(|()| Err(Broken))
    };
    poll_fn(&mut poll).await
}

/// A response that cannot be sent to its end. Why does not matter to anybody any more.
struct Broken;

impl From<StreamError> for Broken {
    fn from(_: StreamError) -> Self {
        Self
    }
}

impl From<BodyError> for Broken {
    fn from(_: BodyError) -> Self {
        Self
    }
}
