//! What a backend says of itself in the gRPC health checking protocol (`grpc.health.v1`).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client;
use http::{HeaderValue, Method, Request, StatusCode, header};

use super::failed;
use crate::base::address::Address;
use crate::upstream::connect::Connected;
use crate::upstream::{ConnectError, Endpoint, connect};

/// The method that is called.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// A message that says `status: SERVING`: not compressed, two bytes, field 1 is 1.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 0x01];

/// Calls the method, on a connection of its own.
pub(super) async fn check(endpoint: &Endpoint, service: &str, allowed: Duration) -> Result<(), ConnectError> {
    let connected = connect(endpoint, endpoint.dial.protocol, None, allowed.into()).await?;
    let Connected::Http2(transport) = connected else { return Err(ConnectError::Protocol) };
    let (sender, connection) = client::handshake(transport).await.map_err(failed)?;
    tokio::select! {
        ended = connection => Err(failed(format!("the connection ended: {ended:?}"))),
        answered = call(sender, endpoint, service) => answered,
    }
}

async fn call(
    sender: client::SendRequest<Bytes>,
    endpoint: &Endpoint,
    service: &str,
) -> Result<(), ConnectError> {
    let mut sender = sender.ready().await.map_err(failed)?;
    let (answer, mut sending) = sender.send_request(request(endpoint)?, false).map_err(failed)?;
    sending.send_data(message(service), true).map_err(failed)?;
    let answer = answer.await.map_err(failed)?;
    let status = answer.status();
    let (mut body, mut told) = (answer.into_body(), BytesMut::new());
    while let Some(data) = body.data().await {
        told.extend_from_slice(&data.map_err(failed)?);
        if told.len() >= SERVING.len() {
            break;
        }
    }
    match status {
        StatusCode::OK if told.starts_with(SERVING) => Ok(()),
        _ => Err(failed(format!("the service does not say that it serves (HTTP status {status})"))),
    }
}

fn request(endpoint: &Endpoint) -> Result<Request<()>, ConnectError> {
    let scheme = if endpoint.dial.tls.is_some() { "https" } else { "http" };
    let authority = match &endpoint.address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) | Address::Service(_) => "localhost".to_owned(),
    };
    Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{authority}{CHECK}"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(header::TE, HeaderValue::from_static("trailers"))
        .body(())
        .map_err(failed)
}

/// `service` as field 1 of a message, in its frame. A service's name is shorter than 128 bytes.
fn message(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    let length = if service.is_empty() { 0 } else { service.len() + 2 };
    message.put_u8(0);
    message.put_u32(length as u32);
    if !service.is_empty() {
        message.put_slice(&[0x0a, service.len() as u8]);
        message.put_slice(service.as_bytes());
    }
    message.freeze()
}
