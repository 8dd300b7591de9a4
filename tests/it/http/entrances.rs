//! Ways in: the PROXY protocol, sockets of this machine, sockets that somebody else has opened.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use cloud_cup::message::proxy_protocol::encode_v2;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::with;
use crate::support::{
    Authority, Backend, Client, Gateway, Wire, document, eventually, get, raw, request, within,
};

const CLIENT: &str = "203.0.113.7:5000";
const ENTRANCE: &str = "192.0.2.1:443";

/// A gateway with one listener like this.
async fn behind(backend: &Backend, listener: Value) -> Gateway {
    Gateway::start(through(backend, listener)).await
}

fn through(backend: &Backend, listener: Value) -> Value {
    let listener = with(json!({ "address": "127.0.0.1:0" }), listener);
    let routes = json!({ "*": { "backends": [backend.host()] } });
    with(document(routes), json!({ "listeners": { "front": listener } }))
}

fn header() -> Vec<u8> {
    let [source, destination] =
        [CLIENT, ENTRANCE].map(|text| text.parse::<SocketAddr>().expect("an address"));
    encode_v2(source, destination)
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn body(response: &[u8]) -> Value {
    let text = std::str::from_utf8(response).expect("text");
    let (_, body) = text.split_once("\r\n\r\n").expect("a response");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn forwarded_for(response: &[u8]) -> String {
    let told = body(response);
    let headers = told["headers"].as_array().expect("an echo backend answered");
    let found = headers.iter().find(|pair| pair[0] == "x-forwarded-for").expect("it is told");
    found[1].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn the_client_is_who_the_balancer_says() {
    let backend = Backend::echo("a");
    let trusted = json!({ "proxy_protocol": { "trusted": ["127.0.0.1"] } });
    let gateway = behind(&backend, trusted).await;
    let text = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";
    for header in [header(), text.to_vec()] {
        let answer = raw(gateway.address(), [&header, ASK].concat()).await;
        assert_eq!(forwarded_for(&answer), "203.0.113.7");
    }
    assert_eq!(gateway.logged(2).await[0]["client"], "203.0.113.7");
    // Probes of the balancer itself.
    let answer = raw(gateway.address(), [&b"PROXY UNKNOWN\r\n"[..], ASK].concat()).await;
    assert_eq!(forwarded_for(&answer), "127.0.0.1");
}

#[tokio::test]
async fn a_header_may_come_in_any_pieces() {
    let backend = Backend::echo("a");
    let gateway = behind(&backend, json!({ "proxy_protocol": { "trusted": ["127.0.0.0/8"] } })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for byte in [&header(), ASK].concat() {
        wire.send([byte]).await;
    }
    assert_eq!(forwarded_for(&wire.read_to_end().await), "203.0.113.7");
}

#[tokio::test]
async fn only_those_who_are_trusted_are_believed() {
    let backend = Backend::echo("a");
    let gateway = behind(&backend, json!({ "proxy_protocol": { "trusted": ["10.0.0.0/8"] } })).await;
    let answer = raw(gateway.address(), [&header(), ASK].concat()).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(forwarded_for(&raw(gateway.address(), ASK).await), "127.0.0.1");
}

#[tokio::test]
async fn who_is_trusted_must_say_it() {
    let backend = Backend::echo("a");
    let gateway = behind(&backend, json!({ "proxy_protocol": { "trusted": ["127.0.0.1"] } })).await;
    for bytes in [ASK, b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIT\nxxxxxxxx"] {
        let mut wire = Wire::connect(gateway.address()).await;
        // The gateway may be quicker to close than we are to write.
        let _ = wire.try_send(bytes).await;
        assert!(wire.is_reset().await || wire.read_to_end().await.is_empty());
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_header_precedes_tls() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let listener = json!({
        "proxy_protocol": { "trusted": ["127.0.0.1"] },
        "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
    });
    let started = Gateway::try_start_in(folder, through(&backend, listener)).await;
    let gateway = started.unwrap_or_else(|error| panic!("{error}"));
    let mut tcp = within(tokio::net::TcpStream::connect(gateway.address())).await.expect("a connection");
    tcp.write_all(&header()).await.expect("it is read");
    let client = authority.client(&["h2"], None);
    let io = client.connect_over(tcp, "a.example").await.expect("a session");
    let mut client = Client::over(io).await.expect("HTTP/2");
    let mut asked = get("https://a.example/");
    asked.headers_mut().insert("host", "a.example".parse().expect("a host"));
    let answer = client.send(asked).await.expect("a response");
    assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("203.0.113.7"));
}

async fn over_socket(path: &std::path::Path) -> Vec<u8> {
    let mut io = within(UnixStream::connect(path)).await.expect("a connection");
    io.write_all(ASK).await.expect("it is read");
    let mut answer = Vec::new();
    within(io.read_to_end(&mut answer)).await.expect("a response");
    answer
}

#[tokio::test]
async fn clients_may_come_over_a_socket_of_this_machine() {
    let backend = Backend::echo("a");
    let gateway = behind(&backend, json!({ "address": "unix:cup.sock" })).await;
    let path = gateway.folder().join("cup.sock");
    for _ in 0..3 {
        assert_eq!(forwarded_for(&over_socket(&path).await), "127.0.0.1");
    }
    // A reload that does not concern it leaves it alone, and one that removes it closes it.
    let elsewhere = json!({ "/x": { "backends": [backend.host()] }, "*": { "backends": [backend.host()] } });
    gateway
        .change(with(
            through(&backend, json!({ "address": "unix:cup.sock" })),
            json!({ "routes": elsewhere }),
        ))
        .await;
    assert_eq!(forwarded_for(&over_socket(&path).await), "127.0.0.1");
    gateway.change(through(&backend, json!({}))).await;
    eventually(|| async { UnixStream::connect(&path).await.is_err() }).await;
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_replaced_and_a_living_ones_is_not() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("cup.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let address = format!("unix:{}", path.display());
    let gateway = behind(&backend, json!({ "address": address })).await;
    assert_eq!(forwarded_for(&over_socket(&path).await), "127.0.0.1");
    let second = Gateway::try_start(through(&backend, json!({ "address": address }))).await;
    let error = second.err().expect("the first one has it");
    assert!(format!("{error:?}").contains("another process answers on that socket"), "{error:?}");
    drop(gateway);
}

#[tokio::test]
async fn a_socket_may_come_from_systemd() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a folder");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("it is bound");
    let mut document = through(&backend, json!({ "address": "systemd:web" }));
    document["admin"] = json!({ "socket": "admin.sock" });
    document["plugin_cache"] = json!("off");
    std::fs::write(folder.path().join("document.json"), document.to_string()).expect("a file");
    // The shell puts the socket where systemd puts it, and then becomes the gateway.
    let script = format!(
        "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$0\" \"$@\"",
        socket.as_raw_fd()
    );
    inherit(&socket);
    let mut gateway = tokio::process::Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_cloud-cup"), "--config", "document.json"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let answer = request(address, get("/")).await;
    assert_eq!(answer.backend(), "a");
    gateway.start_kill().expect("it runs");
    within(gateway.wait()).await.expect("it ends");
}

/// Lets programs that are started from here have it.
fn inherit(socket: &std::net::TcpListener) {
    use rustix::io::{FdFlags, fcntl_setfd};
    fcntl_setfd(socket, FdFlags::empty()).expect("it is open");
}
