//! The backend of the case `grpc`: cleartext HTTP/2, one message and a status for each call.

use std::net::TcpListener;

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

use crate::bench::clients::runtime;
use crate::bench::grpc::{CONTENT_TYPE, MESSAGE};

/// More than any proxy is asked for at a time.
const STREAMS: u32 = 1000;

/// Serves until the process is ended.
pub fn serve(listener: TcpListener) -> Result<()> {
    listener.set_nonblocking(true)?;
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // Whoever breaks a connection notices it by itself.
            tokio::spawn(connection(stream));
        }
    })
}

async fn connection(stream: TcpStream) -> Result<()> {
    let mut connection = server::Builder::new().max_concurrent_streams(STREAMS).handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder().header("content-type", CONTENT_TYPE).body(())?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(Bytes::from_static(MESSAGE), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}
