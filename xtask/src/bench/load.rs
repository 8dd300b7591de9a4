//! What the proxies are asked for, and who asks: wrk and h2load, as people use them, and clients of our own for what these
//! cannot do.

mod own;
mod programs;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use own::Own;
pub use own::Work;
use programs::Program;

/// What is asked for, again and again. By 64 at a time, unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// HTTP/1.1 on connections that are kept.
    Http1,
    /// HTTP/1.1 on a new connection for every request.
    Http1Close,
    /// HTTP/1.1 on connections that are kept, every request with the token of the case `policies`.
    Http1Bearer,
    /// HTTP/1.1 over TLS, on connections that are kept.
    Tls,
    /// Cleartext HTTP/2 by prior knowledge, eight streams on each of eight connections.
    Http2,
    /// HTTP/2 over TLS, 100 streams on each of eight connections.
    Http2Tls,
    /// Calls with one message each way, as [`Self::Http2`].
    Grpc,
    /// By a client of our own.
    Own(Work),
}

/// What came of it.
pub struct Served {
    pub requests: u64,
    pub per_second: f64,
    /// The time that 99 of 100 requests stayed below.
    pub p99: Duration,
}

/// What makes a load on one server for one turn.
pub enum Generator {
    Program(Program),
    Own(Own),
}

impl Load {
    /// Why this load cannot be made here, if it cannot.
    pub fn missing_generator(self) -> Option<String> {
        programs::missing(self)
    }

    pub fn generator(self, port: u16, path: &str, dir: &Path) -> Result<Generator> {
        Ok(match self {
            Self::Own(work) => Generator::Own(Own::new(work, port, path, dir)?),
            _ => Generator::Program(Program::new(self, port, path, dir)?),
        })
    }
}

impl Generator {
    /// Load whose outcome does not matter, to fill pools and caches.
    pub fn warm_up(&self, duration: Duration) -> Result<()> {
        match self {
            Self::Program(program) => program.warm_up(duration),
            Self::Own(own) => own.warm_up(duration),
        }
    }

    /// Load over whole seconds, and until the downloads that were begun have ended. A response that is no success, or a connection that breaks, is an error.
    pub fn run(&self, duration: Duration) -> Result<Served> {
        match self {
            Self::Program(program) => program.run(duration),
            Self::Own(own) => own.run(duration),
        }
    }
}
