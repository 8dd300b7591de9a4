//! One request on its way through the gateway, with everything that is known of it.

use std::any::Any;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::client::Client;
use super::http1::FieldLines;
use super::upgrade::Upgrade;

/// The request's head as it will be sent, and the facts beside it. One per request, handed from step to step.
#[derive(Debug)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// What the client asked for, while `uri` and `host` are what a backend is asked for instead.
    pub asked: Option<Box<Asked>>,
    /// Normalised path and the query as it came.
    pub uri: Uri,
    /// End-to-end fields; `host` is the one authority.
    pub headers: HeaderMap,
    /// Bytes of the authority before its port.
    pub host_name_length: usize,
    /// Fields about the client that are not among `headers` yet, see [`Self::complete_headers`].
    pub forwarded: Option<Arc<Forwarded>>,
    /// The protocol that is to follow the response.
    pub upgrade: Option<Upgrade>,
    /// It came before its client's handshake was done, so that it may be somebody's who has listened to that client.
    pub is_early: bool,
    /// Who asks.
    pub client: Client,
    /// The pattern of the route that was matched; none before that.
    pub route: Option<Arc<str>>,
    /// What the parameters of the pattern stand for.
    pub parameters: Vec<(Arc<str>, String)>,
    /// Notes that plugins left for each other.
    pub attributes: Vec<(String, String)>,
    /// The hosts of the route's backends, where plugins may ask for them.
    pub backends: Option<Arc<[String]>>,
    /// Those of them that plugins took out of the choice.
    pub avoided: Vec<String>,
    /// Fields that plugins add to the response, see [`Self::answer`].
    pub response_fields: Vec<(HeaderName, HeaderValue)>,
    /// What plugins hold of the host's for as long as the exchange lasts.
    pub held: Vec<Box<dyn Any + Send>>,
    /// Present once there is a response.
    pub response: Option<ResponseHead>,
}

/// The target and the authority that a client asked for.
#[derive(Debug)]
pub struct Asked {
    uri: Uri,
    host: Option<HeaderValue>,
    host_name_length: usize,
}

/// What a gateway says of its client to those behind it. The same for all requests of a connection that name one host.
#[derive(Debug)]
pub struct Forwarded {
    /// The fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The same, as lines of a head.
    pub lines: Vec<u8>,
}

impl Forwarded {
    /// Fields to be sent with every request.
    pub fn new(fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        let line = |(name, value): &(HeaderName, HeaderValue)| {
            [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
        };
        let lines = fields.iter().flat_map(line).collect();
        Self { fields, lines }
    }
}

/// Marks a request that came in early data, among its extensions.
#[derive(Debug, Clone, Copy)]
pub struct EarlyData;

/// A response's head on its way to the client.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// More of them, as a backend wrote them, see [`Self::complete_headers`].
    pub lines: Option<FieldLines>,
}

impl Exchange {
    /// The host, with a port where one was given. Empty for HTTP/1.0 requests that name none.
    pub fn authority(&self) -> &str {
        self.headers.get(header::HOST).map_or("", |host| host.to_str().unwrap_or_default())
    }

    /// The host without a port.
    pub fn host_name(&self) -> &str {
        self.authority().get(..self.host_name_length).unwrap_or_default()
    }

    /// Asks backends for something else than the client has, until [`Self::restore`].
    pub fn rewrite(&mut self, uri: Option<Uri>, host: Option<HeaderValue>) {
        let host_name_length = self.host_name_length;
        let asked_host = host.and_then(|host| {
            let name = host.to_str().unwrap_or_default();
            let port = name.rfind(':').filter(|colon| !name[*colon..].contains(']'));
            self.host_name_length = port.unwrap_or(name.len());
            self.headers.insert(header::HOST, host)
        });
        let asked_uri = match uri {
            Some(uri) => std::mem::replace(&mut self.uri, uri),
            None => self.uri.clone(),
        };
        self.asked = Some(Box::new(Asked { uri: asked_uri, host: asked_host, host_name_length }));
    }

    /// The same request, for somebody else to be asked beside its backend: without what plugins hold, and for no upgrade.
    pub fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            asked: None,
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            host_name_length: self.host_name_length,
            forwarded: self.forwarded.clone(),
            upgrade: None,
            is_early: self.is_early,
            client: self.client.clone(),
            route: self.route.clone(),
            parameters: self.parameters.clone(),
            attributes: self.attributes.clone(),
            backends: None,
            avoided: Vec::new(),
            response_fields: Vec::new(),
            held: Vec::new(),
            response: None,
        }
    }

    /// Goes back to what the client asked for.
    pub fn restore(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        (self.uri, self.host_name_length) = (asked.uri, asked.host_name_length);
        if let Some(host) = asked.host {
            self.headers.insert(header::HOST, host);
        }
    }

    /// Puts the fields about the client among the others, for those who look at or change them. A request that nobody
    /// looks at is spared it.
    pub fn complete_headers(&mut self) {
        let Some(forwarded) = self.forwarded.take() else { return };
        for (name, value) in &forwarded.fields {
            self.headers.insert(name.clone(), value.clone());
        }
    }

    /// The same, for somebody who looks at or changes one field: only fields about the client are worth it.
    pub fn complete_headers_for(&mut self, name: &str) {
        let is_about_client = |forwarded: &Arc<Forwarded>| {
            forwarded.fields.iter().any(|(known, _)| known.as_str().eq_ignore_ascii_case(name))
        };
        if self.forwarded.as_ref().is_some_and(is_about_client) {
            self.complete_headers();
        }
    }

    /// Takes a response, with the fields that plugins have asked for.
    pub fn answer(&mut self, mut head: ResponseHead) {
        for (name, value) in self.response_fields.drain(..) {
            head.headers.append(name, value);
        }
        self.response = Some(head);
    }

    /// The normalised path.
    pub fn path(&self) -> &str {
        self.uri.path()
    }
}

impl ResponseHead {
    /// Puts the fields that are still lines among the others, for those who look at or change them. A response that
    /// nobody looks at is spared it.
    pub fn complete_headers(&mut self) {
        if let Some(lines) = self.lines.take() {
            lines.parse_into(&mut self.headers);
        }
    }

    /// Says when the response was made, which whoever makes one has to (RFC 9110, section 6.6.1).
    pub fn date(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "a date is the wall clock's")]
        let now = httpdate::fmt_http_date(std::time::SystemTime::now());
        self.headers.entry(header::DATE).or_insert_with(|| field_value(now));
    }
}

/// A value from text that the gateway made itself and that has no control characters.
pub fn field_value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
