//! New connections to backends.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;

use crate::base::address::{Host, HostPort};

/// Why no connection came about.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Refused, unreachable, or no address for the name.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing answered in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

/// Connects within `allowed`, name lookup included. May be dropped at any point.
pub async fn connect(address: &HostPort, allowed: Duration) -> Result<TcpStream, ConnectError> {
    let connecting = async {
        let stream = match &address.host {
            Host::Ip(ip) => TcpStream::connect((*ip, address.port)).await?,
            Host::Name(name) => TcpStream::connect((name.as_str(), address.port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    tokio::time::timeout(allowed, connecting).await.unwrap_or(Err(ConnectError::Timeout(allowed)))
}
