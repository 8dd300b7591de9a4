//! A gateway in process, with a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cloud_cup::app::{App, StartError};
use cloud_cup::reload::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{found, within};

/// A gateway that serves. Dropping it ends its workers without waiting for them.
pub struct Gateway {
    app: App,
    folder: TempDir,
}

/// A document with these routes and nothing else.
pub fn document(routes: Value) -> Value {
    json!({ "routes": routes })
}

impl Gateway {
    /// Starts one for a document, see [`Self::try_start`].
    pub async fn start(document: Value) -> Self {
        match Self::try_start(document).await {
            Ok(gateway) => gateway,
            Err(StartError::Source(error)) => panic!("the document is refused: {error}\n{error:?}"),
            Err(error) => panic!("the gateway does not start: {error}"),
        }
    }

    /// Starts one for a document in which may be missing: where it listens (a free port), how many workers it has (2),
    /// and where its admin socket and its access log are (its folder).
    pub async fn try_start(document: Value) -> Result<Self, StartError> {
        let folder = TempDir::new().expect("a temporary folder");
        Self::try_start_in(folder, document).await
    }

    /// As [`Self::try_start`], in a folder with what the document refers to.
    pub async fn try_start_in(folder: TempDir, document: Value) -> Result<Self, StartError> {
        let path = write(folder.path(), document);
        let app = within(App::start(path)).await?;
        Ok(Self { app, folder })
    }

    /// Where the listener `root` is, or the only one.
    pub fn address(&self) -> SocketAddr {
        let root = self.app.addresses.iter().find(|(name, _)| name == "root");
        let found = root.or(self.app.addresses.first()).expect("it listens");
        found.1.tcp().expect("it listens on the network")
    }

    /// Where a listener is.
    pub fn address_of(&self, listener: &str) -> SocketAddr {
        let found = self.app.addresses.iter().find(|(name, _)| name == listener);
        let found = found.unwrap_or_else(|| panic!("`{listener}` is one of {:?}", self.app.addresses));
        found.1.tcp().expect("it listens on the network")
    }

    /// The gateway itself.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Its folder, which holds the document, the socket and the access log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the document's file, completed as [`Self::try_start`] does, in one step.
    pub fn write(&self, document: Value) -> PathBuf {
        write(self.folder.path(), document)
    }

    /// Reloads the document.
    pub async fn reload(&self) -> Outcome {
        within(self.app.reload()).await.expect("the gateway is not stopping")
    }

    /// Replaces the document's file and reloads it.
    pub async fn change(&self, document: Value) -> Outcome {
        self.write(document);
        self.reload().await
    }

    /// The lines of the access log so far. A line may be a fraction of a second late, see [`Self::logged`].
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of the access log is JSON"))
            .collect()
    }

    /// The access log once it has so many lines.
    pub async fn logged(&self, lines: usize) -> Vec<Value> {
        let log = || async { Some(self.access_log()).filter(|log| log.len() >= lines) };
        found(log).await
    }

    /// What the admin socket answers on `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = self.admin("GET", "/metrics").await;
        assert_eq!(answer.0, 200, "{}", answer.1);
        answer.1
    }

    /// The value of a line of the metrics: its name with its labels, as written there. 0 where there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Status and body of an answer on the admin socket.
    pub async fn admin(&self, method: &str, path: &str) -> (u16, String) {
        self.admin_with(method, path, "", "").await
    }

    /// The same, for a request with more fields, each with its line's end, and a body.
    pub async fn admin_with(&self, method: &str, path: &str, fields: &str, body: &str) -> (u16, String) {
        let asking = async {
            let mut socket = UnixStream::connect(&self.app.socket).await.expect("the admin socket");
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n\
                 {fields}\r\n{body}"
            );
            socket.write_all(request.as_bytes()).await.expect("the admin socket takes requests");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.expect("a text");
            answer
        };
        let answer = within(asking).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Stops it and returns how many connections were cut off.
    pub async fn stop(self) -> usize {
        within(self.app.stop()).await
    }
}

fn write(folder: &Path, mut document: Value) -> PathBuf {
    let fields = document.as_object_mut().expect("a document is an object");
    if !fields.contains_key("listeners") {
        fields.entry("root").or_insert(json!("127.0.0.1:0"));
    }
    fields.entry("workers").or_insert(json!(2));
    // Shared by all tests: what one has compiled is there for the next.
    fields.entry("plugin_cache").or_insert(json!(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")));
    fields.entry("access_log").or_insert(json!(folder.join("access.log")));
    fields.entry("history").or_insert(json!("off"));
    let admin = fields.entry("admin").or_insert(json!({}));
    if let Some(admin) = admin.as_object_mut() {
        admin.entry("socket").or_insert(json!(folder.join("admin.sock")));
    }
    let path = folder.join("document.json");
    let written = folder.join("document.json.new");
    fs::write(&written, document.to_string()).expect("the folder can be written to");
    fs::rename(&written, &path).expect("a file can be replaced");
    path
}
