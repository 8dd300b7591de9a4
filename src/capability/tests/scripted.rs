//! A server on this machine that answers each request as a test says, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) enum Reply {
    Bytes(Vec<u8>),
    /// Only when the test says so.
    After(Arc<Notify>, Vec<u8>),
    /// Never, with the connection left open.
    Never,
}

/// Ends with the value.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    closed: AtomicUsize,
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

impl Scripted {
    pub(crate) async fn new(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(script), counts.clone()));
        Self { address, counts, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(stream, script.clone(), counts.clone()));
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, counts: Arc<Counts>) {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer).await {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        match script(&head) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
            Reply::After(notify, bytes) => {
                notify.notified().await;
                stream.write_all(&bytes).await.unwrap_or_default();
            }
            Reply::Never => {}
        }
    }
    counts.closed.fetch_add(1, Ordering::SeqCst);
}

/// Requests of these tests have no body that matters: what follows a header is read as the next one.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return String::from_utf8(head).ok();
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

pub(crate) fn response(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Lets everything else go on until it holds, without time passing.
pub(crate) async fn until(what: impl Fn() -> bool) {
    for _ in 0..10_000_000 {
        if what() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came");
}
