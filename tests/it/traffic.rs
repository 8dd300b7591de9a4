//! How requests are shared out among backends, and what happens when those fail, hang or have too much to do.

mod affinity;
mod chaos;
mod health_checks;
mod limits;
mod outliers;
mod retries;
mod strategies;
mod timeouts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Backend, Client, Gateway, Port, Wire, eventually, get};

/// A document that sends everything to one upstream, `pool`, with these fields.
fn pool(fields: Value) -> Value {
    ruled(fields, json!({}))
}

/// The same, with further fields of the rule.
fn ruled(fields: Value, rule: Value) -> Value {
    json!({ "upstreams": { "pool": fields }, "routes": { "*": with(json!({ "upstream": "pool" }), rule) } })
}

/// An object with further fields.
fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("{fields} is an object") };
    object.as_object_mut().expect("it is an object").extend(fields);
    object
}

fn hosts<'b>(backends: impl IntoIterator<Item = &'b Backend>) -> Value {
    backends.into_iter().map(Backend::host).collect()
}

fn echoes(count: usize) -> Vec<Backend> {
    (0..count).map(|index| Backend::echo(&format!("b{index}"))).collect()
}

/// Sends `each` requests, one after the other, on each of some connections: how many each backend answered.
async fn answered(gateway: &Gateway, clients: usize, each: usize) -> BTreeMap<String, usize> {
    let address = gateway.address();
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(async move {
            let mut client = Client::http1(address).await.expect("it accepts connections");
            let mut told = Vec::new();
            for _ in 0..each {
                told.push(client.send(get("/")).await.expect("a response").backend());
            }
            told
        });
    }
    let mut counts = BTreeMap::new();
    for backend in asking.join_all().await.into_iter().flatten() {
        *counts.entry(backend).or_default() += 1;
    }
    counts
}

/// How many of some requests, one after the other, these backends answered.
async fn counts<const N: usize>(gateway: &Gateway, requests: usize, names: [&str; N]) -> [usize; N] {
    let counts = answered(gateway, 1, requests).await;
    names.map(|name| counts.get(name).copied().unwrap_or_default())
}

/// A request with one more field.
fn get_with(path: &str, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    let mut request = get(path);
    request.headers_mut().insert(name, value.parse().expect("a value"));
    request
}

/// What the status says of one backend of `pool`.
async fn told_of(gateway: &Gateway, backend: std::net::SocketAddr) -> Value {
    let (status, body) = gateway.admin("GET", "/v1/status").await;
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let mut backends = told["upstreams"].as_array().into_iter().flatten().flat_map(|upstream| {
        upstream["backends"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|told| told["host"] == backend.to_string())
    });
    backends.next().unwrap_or_else(|| panic!("{backend} is in {told}")).clone()
}

/// Requests, waiting ones, connections and retries of `pool` at this moment.
async fn pool_load(gateway: &Gateway) -> [f64; 4] {
    let metrics = gateway.metrics().await;
    ["requests_active", "requests_pending", "connections", "retries_active"].map(|name| {
        let name = format!("cloudcup_upstream_{name}{{upstream=\"pool\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}is in {metrics}"))
    })
}

async fn is_in(gateway: &Gateway, backend: std::net::SocketAddr) -> bool {
    told_of(gateway, backend).await["healthy"] == true
}

/// Answers checks, which ask for `/health`, and everything else with the statuses that it is told, 200 at first, and its
/// name. Where it is told 0, it closes the connection instead.
struct Puppet {
    backend: Backend,
    strings: Arc<Strings>,
}

#[derive(Default)]
struct Strings {
    health: AtomicU16,
    status: AtomicU16,
    checks: AtomicUsize,
    served: AtomicUsize,
}

impl Puppet {
    fn new(name: &str) -> Self {
        Self::at(Port::reserve(), name)
    }

    fn at(port: Port, name: &str) -> Self {
        let strings = Arc::<Strings>::default();
        strings.health.store(200, SeqCst);
        strings.status.store(200, SeqCst);
        let body: Arc<str> = json!({ "backend": name }).to_string().into();
        let held = Arc::clone(&strings);
        let backend = port.open(move |mut wire: Wire| {
            let (held, body) = (Arc::clone(&held), Arc::clone(&body));
            async move {
                while let Some(head) = wire.try_read_head().await {
                    let is_check = head.target().starts_with("/health");
                    let (count, status) = match is_check {
                        true => (&held.checks, &held.health),
                        false => (&held.served, &held.status),
                    };
                    count.fetch_add(1, SeqCst);
                    let (status, length) = (status.load(SeqCst), body.len());
                    let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}");
                    if status == 0 || wire.try_send(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { backend, strings }
    }

    fn several<const N: usize>() -> [Self; N] {
        std::array::from_fn(|index| Self::new(&format!("b{index}")))
    }

    /// What checks are answered with from now on.
    fn check_with(&self, status: u16) {
        self.strings.health.store(status, SeqCst);
    }

    /// What everything else is answered with from now on.
    fn serve_with(&self, status: u16) {
        self.strings.status.store(status, SeqCst);
    }

    /// Answers checks so that it goes in or out, until the gateway thinks so too.
    async fn becomes(&self, gateway: &Gateway, is_healthy: bool) {
        self.check_with(if is_healthy { 200 } else { 503 });
        eventually(|| async { is_in(gateway, self.address()).await == is_healthy }).await;
    }

    fn address(&self) -> std::net::SocketAddr {
        self.backend.address()
    }

    fn host(&self) -> Value {
        self.backend.host()
    }

    fn checks(&self) -> usize {
        self.strings.checks.load(SeqCst)
    }

    fn served(&self) -> usize {
        self.strings.served.load(SeqCst)
    }
}

fn puppets<'p>(puppets: impl IntoIterator<Item = &'p Puppet>) -> Value {
    puppets.into_iter().map(Puppet::host).collect()
}

/// A quick health check over HTTP, with further fields.
fn check(fields: Value) -> Value {
    with(
        json!({
            "path": "/health", "interval": "100ms", "timeout": "5s",
            "healthy_threshold": 1, "unhealthy_threshold": 1
        }),
        fields,
    )
}
