//! Whether a backend is fit to be asked: by connecting to it, by a request, or by what it says of itself.

mod grpc;
mod http;

use std::io;
use std::time::Duration;

use super::connect::reaches;
use super::{ConnectError, Endpoint};

pub use http::HttpProbe;

/// How long a backend that is out may take for its probe where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// What a backend is asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Probe {
    /// For a connection; over QUIC that is a handshake.
    #[default]
    Connect,
    /// For the health of a service, by the gRPC health checking protocol.
    Grpc(String),
    /// To answer a request.
    Http(HttpProbe),
}

impl Probe {
    /// Asks a backend, on a connection of its own. May be dropped at any point.
    pub async fn ask(&self, endpoint: &Endpoint, allowed: Duration) -> Result<(), ConnectError> {
        let asking = async {
            match self {
                Self::Connect => reaches(endpoint, allowed).await,
                Self::Grpc(service) => grpc::check(endpoint, service, allowed).await,
                Self::Http(probe) => probe.check(endpoint, allowed).await,
            }
        };
        let asked = tokio::time::timeout(allowed, asking).await;
        asked.unwrap_or_else(|_| match self {
            Self::Connect => Err(ConnectError::Timeout(allowed)),
            Self::Grpc(_) | Self::Http(_) => Err(failed(format!("no answer within {allowed:?}"))),
        })
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectError {
    ConnectError::Io(io::Error::other(error))
}
