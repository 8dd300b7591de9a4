//! A place for one request on a connection, and how the request is written there.

use std::rc::{Rc, Weak};
use std::time::Duration;

use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::{Instant, sleep};

use super::connect::SentHost;
use super::multiplex::Sender;
use super::{Endpoint, Place, Pool};
use crate::message::http1::{self, Bounds, SentRequest, Stream};
use crate::message::{Body, Exchange, Roundtrip, grpc, http2, http3};

/// How often to look whether a backend's first frame has come.
const LOOK: Duration = Duration::from_millis(1);

/// See the module.
pub enum Line {
    /// A connection for itself.
    Single(Box<Stream>),
    /// A stream of a connection.
    Multiplexed(Sender, Place),
}

impl Line {
    /// Whether another protocol can be asked for on it. A backend that speaks HTTP/2 says so in its first frame, which
    /// may be on its way; it is waited for no longer than `allowed`.
    pub async fn takes_upgrades(&self, allowed: Duration) -> bool {
        let sender = match self {
            Self::Single(_) => return true,
            Self::Multiplexed(Sender::Http2(sender), _) => sender,
            Self::Multiplexed(Sender::Http3(_), _) => return false,
        };
        let deadline = Instant::now() + allowed;
        while !sender.is_extended_connect_protocol_enabled() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Begins to send. The body comes back where the connection turns out to take nothing.
    pub fn send(
        self,
        exchange: &Exchange,
        body: Body,
        endpoint: &Endpoint,
        pool: &Rc<Pool>,
        bounds: Bounds,
    ) -> Result<Roundtrip, (http1::RoundtripError, Body)> {
        match self {
            Self::Single(stream) => {
                let request = SentRequest {
                    method: &exchange.method,
                    uri: &exchange.uri,
                    host: endpoint.sent_host(),
                    headers: &exchange.headers,
                    lines: exchange.forwarded.as_deref().map_or(&[], |forwarded| &forwarded.lines),
                    upgrade: exchange.upgrade.as_ref(),
                };
                // A connection that names its client is nobody else's.
                let home = match endpoint.dial.sends_proxy_header {
                    true => Weak::new(),
                    false => Rc::downgrade(&pool.single),
                };
                let roundtrip = http1::Roundtrip::new(stream, &request, body, bounds, home);
                Ok(Roundtrip::Http1(Box::new(roundtrip)))
            }
            Self::Multiplexed(Sender::Http3(sender), place) => {
                let (request, is_gone) = (request(exchange, endpoint), place.is_gone());
                let roundtrip =
                    http3::Roundtrip::new(sender, request, body, bounds, is_gone, Box::new(place));
                Ok(Roundtrip::Http3(Box::new(roundtrip)))
            }
            Self::Multiplexed(Sender::Http2(sender), place) => {
                let request = request(exchange, endpoint);
                let opened = http2::Roundtrip::open(sender, request, body, bounds, Box::new(place));
                opened.map(|roundtrip| Roundtrip::Http2(Box::new(roundtrip)))
            }
        }
    }
}

/// The head of a request over HTTP/2 (RFC 9113, section 8.3.1) or HTTP/3 (RFC 9114, section 4.3.1).
fn request(exchange: &Exchange, endpoint: &Endpoint) -> Request<()> {
    let mut headers = exchange.headers.clone();
    let host = headers.remove(header::HOST).filter(|host| !host.is_empty());
    if let Some(forwarded) = &exchange.forwarded {
        headers.extend(forwarded.fields.iter().cloned());
    }
    if grpc::is_grpc(&headers) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let host = endpoint.sent_host().or(host.as_ref()).unwrap_or(&endpoint.own_host);
    let mut request = Request::new(());
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = target(endpoint, host, &exchange.uri);
    *request.version_mut() = Version::HTTP_2;
    if let Some(upgrade) = &exchange.upgrade {
        headers.remove(header::SEC_WEBSOCKET_KEY);
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from(upgrade.token().to_str().unwrap_or_default()));
    }
    *request.headers_mut() = headers;
    request
}

fn target(endpoint: &Endpoint, host: &HeaderValue, uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let is_secure = endpoint.dial.tls.is_some();
    parts.scheme = Some(if is_secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Authority::try_from(host.as_bytes()).ok();
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

impl Endpoint {
    /// The `host` to be sent instead of the client's.
    fn sent_host(&self) -> Option<&HeaderValue> {
        match &self.dial.host {
            SentHost::Client => None,
            SentHost::Backend => Some(&self.own_host),
            SentHost::Fixed(host) => Some(host),
        }
    }
}
