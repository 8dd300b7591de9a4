//! A request as a plugin meets it, made the way that the gateway makes it of a client's bytes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::written;
use crate::message::{Entrance, Exchange};
use crate::proxy::{Connection, Settings, normalise};

/// The one backend where a case names none.
pub(super) const BACKEND: &str = "127.0.0.1:81";
const HOST: &str = "example.com";
const CLIENT: [u8; 4] = [192, 0, 2, 1];
const CLIENT_PORT: u16 = 50_000;
const GATEWAY_PORT: u16 = 80;

/// A field of what was written, below the request or the response, and what is wrong with it.
pub(super) type Wrong = (String, String);

/// The exchange after its route was found.
pub(super) fn exchange(written: &written::Request, settings: &Settings) -> Result<Box<Exchange>, Wrong> {
    let head = head(written)?;
    let address = written.client.unwrap_or(CLIENT.into());
    let entrance = Entrance { listener: "root".into(), ..Entrance::default() };
    let (peer, local) = (SocketAddr::new(address, CLIENT_PORT), SocketAddr::new(address, GATEWAY_PORT));
    let connection = Connection::new(peer, local, Arc::new(entrance), None, Rc::default());
    let mut exchange = normalise(head, &connection, settings).map_err(|(failure, _)| {
        (String::new(), format!("the gateway refuses this request: {}", failure.message))
    })?;
    exchange.complete_headers();
    exchange.route = Some(written.route.as_deref().unwrap_or("*").into());
    exchange.parameters =
        written.parameters.iter().map(|(name, value)| (Arc::from(name.as_str()), value.clone())).collect();
    exchange.attributes =
        written.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    exchange.backends = Some(match &written.backends {
        Some(backends) => backends.as_slice().into(),
        None => Arc::new([BACKEND.to_owned()]),
    });
    Ok(exchange)
}

fn head(written: &written::Request) -> Result<http::request::Parts, Wrong> {
    let method = written.method.as_deref().unwrap_or("GET");
    let path = written.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') {
        return Err(("/path".to_owned(), format!("expected a path that begins with `/`, found `{path}`")));
    }
    if path.contains(['?', '#']) {
        return Err(("/path".to_owned(), format!("expected a path without `?` and `#`, found `{path}`")));
    }
    let target = match &written.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method =
        method.parse().map_err(|_| ("/method".to_owned(), format!("expected a method, found `{method}`")))?;
    head.uri = target
        .parse()
        .map_err(|_| ("/path".to_owned(), format!("expected a path and a query, found `{target}`")))?;
    head.headers = fields(&written.headers)?;
    if written.host.is_some() || !head.headers.contains_key(header::HOST) {
        let host = written.host.as_deref().unwrap_or(HOST);
        let wrong = |_| ("/host".to_owned(), format!("expected a host, found `{host}`"));
        head.headers.append(header::HOST, HeaderValue::from_str(host).map_err(wrong)?);
    }
    Ok(head)
}

/// Fields in their order.
pub(super) fn fields(written: &[(String, String)]) -> Result<HeaderMap, Wrong> {
    let mut fields = HeaderMap::new();
    for (index, (name, value)) in written.iter().enumerate() {
        let wrong = |what: &str, found: &str| {
            (format!("/headers/{index}"), format!("expected a field {what}, found `{found}`"))
        };
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name", name))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong("value", value))?;
        fields.append(known, value);
    }
    Ok(fields)
}
