//! Clients of our own for what wrk and h2load cannot do, and to look at answers more closely than they do. Every one
//! checks what it is answered.

pub mod http2;
pub mod http3;
pub mod tls;
pub mod websocket;

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// One thread, as the load core is one.
pub fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

async fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
