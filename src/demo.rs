//! `cloud-cup demo`: a gateway, a document to edit and backends that say who they are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::app::App;

/// Where the demonstration listens, unless somebody else does.
const PREFERRED: &str = "127.0.0.1:8080";
const BACKENDS: usize = 4;

/// A running demonstration.
pub struct Demo {
    /// The gateway.
    pub app: App,
    /// The folder with its document and its backends; both end with it.
    pub home: Home,
    document: PathBuf,
}

/// What is cleaned up when the demonstration ends.
pub struct Home {
    folder: PathBuf,
    _backends: JoinSet<()>,
}

impl Drop for Home {
    fn drop(&mut self) {
        // A folder that is left behind lies where the system cleans up.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts backends and a gateway before them.
pub async fn start() -> anyhow::Result<Demo> {
    let folder = std::env::temp_dir().join(format!("cloud-cup-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut backends = JoinSet::new();
    let mut addresses = Vec::new();
    let home = |backends| Home { folder: folder.clone(), _backends: backends };
    for index in 0..BACKENDS {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot open a backend")?;
        addresses.push(listener.local_addr()?);
        backends.spawn(echo(listener, format!("backend-{}", index + 1)));
    }
    let home = home(backends);
    let root = if TcpListener::bind(PREFERRED).await.is_ok() { PREFERRED } else { "127.0.0.1:0" };
    let document = folder.join("demo.json");
    let text = document_text(root, &folder.join("admin.sock"), &addresses);
    std::fs::write(&document, text).with_context(|| format!("cannot write {}", document.display()))?;
    let app = App::start(document.clone()).await.map_err(describe)?;
    Ok(Demo { app, home, document })
}

fn describe(error: crate::app::StartError) -> anyhow::Error {
    use crate::app::StartError;
    use crate::reload::SourceError;
    match error {
        StartError::Source(SourceError::Rejected(diagnostics)) => {
            let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        }
        error => error.into(),
    }
}

fn document_text(root: &str, socket: &std::path::Path, backends: &[SocketAddr]) -> String {
    let backend = |index: usize| serde_json::json!({ "host": backends[index].to_string() });
    let document = serde_json::json!({
        "root": root,
        "admin": { "listen": "127.0.0.1:0", "socket": socket },
        "history": "history",
        "routes": {
            "/": { "backends": [backend(0)] },
            "/game/*": { "backends": [backend(0), backend(1), backend(2)], "strategy": "round-robin" },
            "GET /users/{id}": {
                "backends": [backend(1)],
                "plugins": [{ "use": "headers", "config": {
                    "request": { "set": { "x-added-by": "cloud-cup" } },
                    "response": { "set": { "x-powered-by": "webassembly" }, "remove": ["server"] }
                } }]
            },
            "/private/*": {
                "backends": [backend(2)],
                "plugins": [{ "use": "require-header", "config": { "name": "x-api-key" } }]
            },
            "*": { "backends": [backend(3)] }
        }
    });
    format!("{document:#}\n")
}

impl Demo {
    /// What a person can try.
    pub fn guide(&self) -> String {
        let Some(root) = self.app.addresses.first().and_then(|(_, address)| address.tcp()) else {
            return String::new();
        };
        let document = self.document.display();
        let socket = self.app.socket.display();
        let admin = self.app.admin.map(|address| address.to_string()).unwrap_or_default();
        format!(
            "\
Cloud Cup listens on http://{root}. Its document is {document}

A plain route:
  curl http://{root}/
Round-robin over three backends, and everything below /game:
  for i in 1 2 3 4 5 6; do curl -s http://{root}/game/dev | head -n 1; done
A path parameter, and a WebAssembly plugin that changes headers both ways:
  curl -i http://{root}/users/42
A plugin that answers 401 by itself, and what lets a request pass:
  curl -i http://{root}/private/
  curl -i -H 'x-api-key: 1' http://{root}/private/
The fallback, and a path that tries to get around /private:
  curl http://{root}/anything/else
  curl -i --path-as-is http://{root}/game/%2e%2e/private/
HTTP/2:
  curl --http2-prior-knowledge http://{root}/
A live change: edit the document, save it, and ask again. A bad one is refused and told in this log.
  sed -i 's/x-api-key/x-key/' {document}
  curl -i -H 'x-key: 1' http://{root}/private/
What the gateway counts, and how its backends are:
  curl http://{admin}/metrics
  curl --unix-socket {socket} http://admin/v1/status
The same as a page for people, in a browser:
  http://{admin}/
Why a request goes where it goes, what was changed, and how to go back. In a clone `cupctl` is
`cargo run -q --release --bin cupctl --`:
  cupctl --socket {socket} explain GET http://{root}/private/
  cupctl --socket {socket} history
  cupctl --socket {socket} rollback

Ctrl-C stops it."
        )
    }
}

/// Answers every request with who was asked for what.
async fn echo(listener: TcpListener, name: String) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        let name = name.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let text = describe_request(&name, &request);
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            // A client that goes away is nothing to an echo.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn describe_request(name: &str, request: &Request<Incoming>) -> String {
    let mut text = format!("{name}: {} {}\n", request.method(), request.uri());
    for (field, value) in request.headers() {
        text.push_str(&format!("  {field}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}
