//! The document after the check: plain values, names resolved to indexes, defaults filled in. Nothing in here can turn
//! out to be wrong later but what lies outside of the document: files, addresses in use, plugins.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::action::ErrorPages;
use crate::base::network::IpNetwork;
use crate::base::units::ByteSize;

mod balancing;
mod compress;
mod key_sets;
mod listeners;
mod plugins;
mod retry;
mod routes;
mod secrets;
mod upstreams;

pub use super::document::{
    AssumedHealth, Isolation, Leader, OnError, Permission, RetryOn, SameSite, Strategy, TlsProfile,
    UpstreamProtocol,
};
pub use balancing::{
    Affinity, Balancing, FailurePercentage, HashKey, HealthCheck, HealthCheckKind, HttpCheck,
    OutlierDetection, SuccessRate, UpstreamLimits,
};
pub use compress::{Coding, Compress, Levels};
pub use key_sets::{Algorithm, KeySet, KeySource};
pub use listeners::{Certificate, ClientCertificates, HttpsRedirect, Listener, Protocols, Tls};
pub use plugins::{Attachment, Plugin, PluginLimits, PluginSource, Quotas};
pub use retry::{Retry, RuleTimeouts};
pub use routes::{GrpcWeb, Route, Rule};
pub use secrets::{NamedSecrets, Secrets, Token};
pub use upstreams::{Backend, Dial, SentHost, Trust, Upstream, UpstreamTls};

/// A document that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// None is as many as the machine has processors for this process.
    pub workers: Option<NonZeroUsize>,
    /// At least one, `root` first.
    pub listeners: Vec<Listener>,
    /// What holds for every listener and every route.
    pub http: HttpSettings,
    /// Where requests are told of.
    pub access_log: AccessLog,
    /// Where the operator reaches the gateway.
    pub admin: Admin,
    /// Those with a name, then those of the routes.
    pub upstreams: Vec<Upstream>,
    /// Who is asked for the addresses of backends.
    pub dns: Dns,
    /// Those of the document, then those that routes attach without its naming them.
    pub plugins: Vec<Plugin>,
    /// Keys that plugins verify tokens with.
    pub key_sets: Vec<KeySet>,
    /// Secrets that plugins may be granted.
    pub named_secrets: NamedSecrets,
    /// Where compiled plugins are kept.
    pub plugin_cache: KeptIn,
    /// Who leads when the file and what is served differ.
    pub leader: Leader,
    /// Where revisions are kept.
    pub history: KeptIn,
    /// One for each pattern; no two patterns conflict.
    pub routes: Vec<Route>,
    /// Files that replies were read from.
    pub reply_files: BTreeSet<PathBuf>,
    /// What no message may show.
    pub secrets: Secrets,
}

/// What holds for every listener and every route.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    /// How long to wait for whom.
    pub timeouts: Timeouts,
    /// How much to accept.
    pub limits: Limits,
    /// Peers whose word about the client is taken.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Whether to add `Via`.
    pub via: bool,
    /// What clients see instead of errors.
    pub error_pages: Option<ErrorPages>,
}

/// How long to wait for whom. None is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head, and from accept to the first byte.
    pub client_head: Duration,
    /// Between two reads of a request's body, and between two writes of a response.
    pub client_idle: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// From the end of a request's head to the end of its response; none is as long as it takes.
    pub request: Option<Duration>,
    /// For a connection to a backend.
    pub connect: Duration,
    /// For a TLS handshake with one.
    pub tls: Duration,
    /// For one of an upstream's connections to become free.
    pub queue: Duration,
    /// For the head of a backend's response, and between two reads of its body.
    pub backend_idle: Duration,
    /// How long an unused connection to a backend is kept.
    pub backend_keep_alive: Duration,
    /// How long a tunnel may be silent both ways.
    pub tunnel_idle: Duration,
    /// How long a tunnel may last; none is as long as it likes.
    pub tunnel: Option<Duration>,
    /// How long requests in flight may take after a stop or after their listener was removed.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_head: Duration::from_secs(10),
            client_idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            request: None,
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            queue: Duration::from_secs(1),
            backend_idle: Duration::from_secs(60),
            backend_keep_alive: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(60 * 60),
            tunnel: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// Who is asked for the addresses of backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// None are the system's.
    pub servers: Vec<SocketAddr>,
    /// How long one may take.
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(5) }
    }
}

/// How much to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The head of a client's request and of a backend's response.
    pub head_size: ByteSize,
    /// Header fields of one head.
    pub header_count: u32,
    /// Unused connections kept for each backend and worker.
    pub pool_idle: u32,
    /// The body of a client's request; none is unlimited.
    pub request_body: Option<ByteSize>,
    /// Clients' connections of one worker.
    pub connections: u32,
    /// Concurrent streams of one HTTP/2 connection.
    pub h2_streams: u32,
    /// What a client may send ahead of one request's body over HTTP/2.
    pub h2_stream_window: ByteSize,
    /// The same for a connection.
    pub h2_connection_window: ByteSize,
    /// The payload of an HTTP/2 frame from a client.
    pub h2_frame_size: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_size: ByteSize::kib(32),
            header_count: 100,
            pool_idle: 64,
            request_body: None,
            connections: 10_000,
            h2_streams: 100,
            h2_stream_window: ByteSize::kib(256),
            h2_connection_window: ByteSize::mib(1),
            h2_frame_size: ByteSize::kib(16),
        }
    }
}

/// Where a line for each request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    #[default]
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// Where the operator reaches the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// For HTTP; none is not at all.
    pub listen: Option<SocketAddr>,
    /// What opens all of it to who shows it there; none is that nothing does.
    pub token: Option<Token>,
    /// How TLS is spoken there; none in the clear.
    pub tls: Option<Tls>,
    /// None is `cloud-cup.sock` in a folder that the one who opens it chooses.
    pub socket: Option<PathBuf>,
}

impl Admin {
    /// Whether it is reached where the other is.
    pub fn has_places_of(&self, other: &Self) -> bool {
        (&self.listen, &self.socket) == (&other.listen, &other.socket)
    }
}

/// Where something is kept over the life of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeptIn {
    /// A folder of the user's, where there is one.
    #[default]
    Default,
    /// Nowhere.
    Off,
    /// In this folder.
    Folder(PathBuf),
}
