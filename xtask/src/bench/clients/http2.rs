//! HTTP/2, to look at what h2load does not: bodies, trailers, and what was agreed on.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::bench::backend::length_of;
use crate::bench::certificate::{HOST, server_name};
use crate::bench::grpc;

/// One GET by HTTP/2 over TLS, which the server must have agreed to.
pub async fn get_over_tls(port: u16, path: &str, config: ClientConfig) -> Result<()> {
    let stream = super::connect(port).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(server_name(), stream).await?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "no HTTP/2 was agreed on");
    let request = Request::get(format!("https://{HOST}:{port}{path}")).body(())?;
    let mut response = send(start(stream).await?, request, None).await?;
    let body = read(response.body_mut()).await?;
    ensure!(body.len() as u64 == length_of(path), "the body has {} bytes", body.len());
    Ok(())
}

/// One call by cleartext HTTP/2.
pub async fn call(port: u16) -> Result<()> {
    let request = Request::post(format!("http://{HOST}:{port}{}", grpc::PATH));
    let request = request.header("content-type", grpc::CONTENT_TYPE).header("te", "trailers").body(())?;
    let sender = start(super::connect(port).await?).await?;
    let mut response = send(sender, request, Some(Bytes::from_static(grpc::MESSAGE))).await?;
    let body = read(response.body_mut()).await?;
    ensure!(body == grpc::MESSAGE, "the message is another one: {body:?}");
    let trailers = response.body_mut().trailers().await?.context("no trailers")?;
    let status = trailers.get("grpc-status").map(http::HeaderValue::as_bytes);
    ensure!(status == Some(b"0"), "the trailers are {trailers:?}");
    Ok(())
}

async fn start<S>(stream: S) -> Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::handshake(stream).await?;
    // It ends with the runtime, or with the server.
    tokio::spawn(connection);
    Ok(sender.ready().await?)
}

async fn send(
    mut sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
) -> Result<Response<RecvStream>> {
    let (response, mut stream) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(body, true)?;
    }
    let response = response.await?;
    ensure!(response.status() == 200, "the answer was {}", response.status());
    Ok(response)
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        read.extend_from_slice(&data);
    }
    Ok(read)
}
