//! Every way into the gateway against every way out of it.
//!
//! A case is written once, against a caller that looks the same over every version of HTTP and a backend that serves the
//! same script over each, and runs for all pairs.

mod backends;
mod caller;
mod ends;
mod large;
mod messages;
mod streams;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, Backend, Gateway};
use backends::Backends;
use caller::Caller;

/// Whose certificate the gateway shows, and its backend.
const NAME: &str = "a.example";

/// How a client speaks to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    H1,
    H1OverTls,
    H2c,
    H2,
    H3,
}

/// How the gateway speaks to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    H1,
    H2c,
    H2,
    H3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    entrance: Entrance,
    exit: Exit,
}

/// Where a gateway is entered.
struct Entrances {
    clear: SocketAddr,
    secure: SocketAddr,
    authority: Authority,
}

/// A gateway in the middle.
struct Matrix {
    entrances: Entrances,
    backends: Backends,
    _gateways: [Gateway; 2],
}

impl fmt::Display for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} -> {:?}", self.entrance, self.exit)
    }
}

impl Entrance {
    const ALL: [Self; 5] = [Self::H1, Self::H1OverTls, Self::H2c, Self::H2, Self::H3];

    fn is_http1(self) -> bool {
        matches!(self, Self::H1 | Self::H1OverTls)
    }
}

impl Exit {
    const ALL: [Self; 4] = [Self::H1, Self::H2c, Self::H2, Self::H3];

    /// Under which its backend's routes are.
    fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2c => "h2c",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }
}

impl Pair {
    fn all() -> impl Iterator<Item = Self> {
        let exits = |entrance| Exit::ALL.into_iter().map(move |exit| Self { entrance, exit });
        Entrance::ALL.into_iter().flat_map(exits)
    }

    /// Where a scripted answer is.
    fn path(self, script: &str) -> String {
        format!("/{}/{script}", self.exit.name())
    }
}

/// A folder with the certificates of an authority and of a gateway.
fn certified(authority: &Authority) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    authority.issue(&[NAME]).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the folder can be written to");
    folder
}

// Many fail here on purpose.
fn host(address: SocketAddr) -> Value {
    json!({ "host": address.to_string(), "max_failure": 1000 })
}

/// The document of another gateway, which serves over HTTP/3 what a backend has: no other server here does.
fn http3_document(backends: &Backends) -> Value {
    json!({
        "listeners": {
            "h3": {
                "address": "127.0.0.1:0",
                "protocols": ["h1", "h3"],
                "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
            },
        },
        "upstreams": { "h2c": { "backends": [host(backends.h2c.address())], "protocol": "h2c" } },
        "routes": { "/h3/*": { "upstream": "h2c" } },
    })
}

/// All entrances and all exits.
fn document(backends: &Backends, http3: SocketAddr) -> Value {
    let host_of = |backend: &Backend| host(backend.address());
    let certificates = json!([{ "certificate": "a.pem", "key": "a.key" }]);
    json!({
        "listeners": {
            "clear": { "address": "127.0.0.1:0", "protocols": ["h1", "h2c"] },
            "secure": {
                "address": "127.0.0.1:0",
                "protocols": ["h1", "h2", "h3"],
                "tls": { "certificates": certificates },
            },
        },
        "upstreams": {
            "h1": { "backends": [host_of(&backends.h1)], "protocol": "h1" },
            "h2c": { "backends": [host_of(&backends.h2c)], "protocol": "h2c" },
            "h2": {
                "backends": [host_of(&backends.h2)],
                "protocol": "h2",
                "tls": { "ca": "ca.pem", "server_name": NAME },
            },
            "h3": {
                "backends": [host(http3)],
                "protocol": "h3",
                "tls": { "ca": "ca.pem", "server_name": NAME },
            },
        },
        "routes": {
            "/h1/*": { "upstream": "h1" },
            "/h2c/*": { "upstream": "h2c" },
            "/h2/*": { "upstream": "h2" },
            "/h3/*": { "upstream": "h3" },
        },
    })
}

impl Matrix {
    /// A gateway before backends that follow the script.
    async fn new() -> Self {
        Self::before(Backends::scripted).await
    }

    /// A gateway before the backends that this makes for an authority.
    async fn before(backends: impl FnOnce(&Authority) -> Backends) -> Self {
        let authority = Authority::new("the authority");
        let backends = backends(&authority);
        let start = async |document| {
            let gateway = Gateway::try_start_in(certified(&authority), document).await;
            gateway.unwrap_or_else(|error| panic!("{error}\n{error:?}"))
        };
        let behind = start(http3_document(&backends)).await;
        let gateway = start(document(&backends, behind.address_of("h3"))).await;
        let (clear, secure) = (gateway.address_of("clear"), gateway.address_of("secure"));
        Self { entrances: Entrances { clear, secure, authority }, backends, _gateways: [gateway, behind] }
    }

    /// Runs a case for these pairs, one after the other, and names the one for which it fails.
    async fn check<F>(self, pairs: impl Iterator<Item = Pair>, case: impl Fn(Arc<Self>, Pair) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let matrix = Arc::new(self);
        for pair in pairs {
            // A task of its own, whose panic has said what is wrong but not where.
            let ended = tokio::spawn(case(Arc::clone(&matrix), pair)).await;
            assert!(ended.is_ok(), "{pair} fails");
        }
    }

    /// The same for all pairs.
    async fn check_all<F>(self, case: impl Fn(Arc<Self>, Pair) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.check(Pair::all(), case).await;
    }

    async fn caller(&self, pair: Pair) -> Caller {
        Caller::connect(&self.entrances, pair.entrance).await
    }
}
