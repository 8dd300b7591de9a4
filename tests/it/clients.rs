//! Clients and servers that nobody here wrote: grpcio, websockets, aioquic and curl. `cargo xtask test` installs them; a
//! test that needs Python has `python_` in its name, one that needs curl `curl_`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Authority, Backend, Gateway, document};

const NAME: &str = "a.example";

fn python(script: &str) -> Command {
    let folder = std::env::var_os("CLOUDCUP_PYTHON").map(PathBuf::from);
    let folder = folder.expect("CLOUDCUP_PYTHON names no folder with Python: run `cargo xtask test`");
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)).kill_on_drop(true);
    command
}

/// A server that prints its port. Dropping it ends it.
struct Server {
    port: u16,
    _process: Child,
}

impl Server {
    async fn start(script: &str) -> Self {
        let mut process = python(script).arg("serve").stdout(Stdio::piped()).spawn().expect("Python starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = patiently(lines.next_line()).await.expect("text").expect("a port");
        Self { port: line.parse().expect("a port"), _process: process }
    }

    fn host(&self) -> Value {
        json!({ "host": format!("127.0.0.1:{}", self.port) })
    }
}

/// Interpreters are slower than what a test waits for elsewhere.
async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(60), future).await.expect("it happens")
}

async fn succeed(mut command: Command) -> String {
    let output = patiently(command.output()).await.expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told:.2000}\n{complaint:.4000}");
    told
}

/// A gateway with a listener in the clear and one over TLS, and the file of the authority that vouches for it.
async fn gateway(routes: Value, upstreams: Value) -> (Gateway, PathBuf) {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&[NAME]).write(folder.path(), "a");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("the folder can be written to");
    let mut document = document(routes);
    document["upstreams"] = upstreams;
    document["listeners"] = json!({
        "plain": { "address": "127.0.0.1:0" },
        "secure": {
            "address": "127.0.0.1:0",
            "protocols": ["h1", "h2", "h3"],
            "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
        },
    });
    let gateway = Gateway::try_start_in(folder, document).await;
    (gateway.unwrap_or_else(|error| panic!("{error}\n{error:?}")), ca)
}

#[tokio::test]
async fn python_grpc_calls_of_every_shape_pass() {
    let server = Server::start("calls.py").await;
    let upstreams = json!({ "calls": { "backends": [server.host()], "protocol": "h2c" } });
    let (gateway, ca) = gateway(json!({ "/test.Calls/*": { "upstream": "calls" } }), upstreams).await;
    let mut plain = python("calls.py");
    plain.args(["call", &gateway.address_of("plain").to_string()]);
    let mut secure = python("calls.py");
    secure.args(["call", &gateway.address_of("secure").to_string()]).arg(ca).arg(NAME);
    for command in [plain, secure] {
        assert_eq!(succeed(command).await, "ok\n");
    }
}

#[tokio::test]
async fn python_websockets_pass() {
    let server = Server::start("sockets.py").await;
    let routes = json!({
        "/socket": { "backends": [server.host()] },
        "/plain": { "backends": [server.host()], "upgrades": [] },
    });
    let (gateway, ca) = gateway(routes, json!({})).await;
    let mut plain = python("sockets.py");
    plain.args(["connect", &format!("ws://{}", gateway.address_of("plain"))]);
    let mut secure = python("sockets.py");
    secure.args(["connect", &format!("wss://{NAME}:{}", gateway.address_of("secure").port())]).arg(ca);
    for command in [plain, secure] {
        assert_eq!(succeed(command).await, "ok\n");
    }
}

#[tokio::test]
async fn python_http3_requests_pass() {
    let backend = Backend::echo("a");
    let (gateway, ca) = gateway(json!({ "*": { "backends": [backend.host()] } }), json!({})).await;
    let address = gateway.address_of("secure");
    let mut command = python("streams.py");
    command.args([&address.ip().to_string(), &address.port().to_string(), NAME]).arg(ca);
    assert_eq!(succeed(command).await, "ok\n");
}

#[tokio::test]
async fn curl_speaks_every_version_that_it_knows() {
    let backend = Backend::echo("a");
    let (gateway, ca) = gateway(json!({ "*": { "backends": [backend.host()] } }), json!({})).await;
    let (plain, secure) = (gateway.address_of("plain"), gateway.address_of("secure"));
    for (options, target, version) in [
        (&["--http1.0"][..], format!("http://{plain}/"), "1"),
        (&["--http1.1"], format!("http://{plain}/"), "1.1"),
        (&["--http2"], format!("http://{plain}/"), "1.1"),
        (&["--http2-prior-knowledge"], format!("http://{plain}/"), "2"),
        (&["--http1.1"], format!("https://{NAME}:{}/", secure.port()), "1.1"),
        (&["--http2"], format!("https://{NAME}:{}/", secure.port()), "2"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], format!("https://{NAME}:{}/", secure.port()), "2"),
    ] {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--noproxy", "*"]);
        command.arg("--cacert").arg(&ca);
        command.args(["--resolve", &format!("{NAME}:{}:127.0.0.1", secure.port())]);
        command.args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"]);
        command.args(["--data", "hello"]).args(options).arg(&target);
        assert_eq!(succeed(command).await, format!("{version} 200"), "{options:?} {target}");
    }
}
