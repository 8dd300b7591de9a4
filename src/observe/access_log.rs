//! One line of JSON per request, written by a thread of its own.
//!
//! A worker gathers lines and hands them over by the batch. When the writer cannot keep up, or its disk is full, lines
//! are dropped and counted: no request ever waits for its log line.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header;
use serde::Serialize;
use tokio::sync::broadcast;
use tracing::{error, info};

use crate::message::Exchange;

/// Bytes that a worker gathers before it hands them over.
const BATCH: usize = 32 << 10;
/// Batches that a follower may be behind.
const FOLLOWED: usize = 64;
/// Batches that may wait for the writer.
const QUEUE: usize = 256;
/// How often the writer looks whether its file was moved away, and how often it complains.
const LOOK: Duration = Duration::from_secs(1);
const COMPLAIN: Duration = Duration::from_secs(30);
/// How long a stopping gateway waits for its last lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and opened anew when it was moved away.
    File(PathBuf),
}

/// The writer's end, shared by all workers. The thread ends when the last holder is gone.
#[derive(Debug)]
pub struct Sink {
    target: Target,
    messages: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    followers: broadcast::Sender<Bytes>,
}

#[derive(Debug)]
enum Message {
    Write(Batch),
    /// Answered when everything before it was written.
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

/// A worker's end.
#[derive(Debug)]
pub struct AccessLog {
    sink: Arc<Sink>,
    gathered: RefCell<Batch>,
}

/// What is told of a request.
#[allow(missing_docs, reason = "the fields of a line, described in the README")]
pub struct Entry<'a> {
    pub revision: u64,
    pub exchange: &'a Exchange,
    pub plugins: Vec<(&'a str, &'static str)>,
    pub backend: Option<&'a str>,
    pub attempts: u32,
    pub status: u16,
    pub received: u64,
    pub sent: u64,
    pub is_complete: bool,
    pub duration: Duration,
    pub backend_time: Option<Duration>,
    pub reason: Option<&'static str>,
}

/// Times are in milliseconds. The query is left out: it may carry secrets.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    revision: u64,
    listener: &'a str,
    client: std::net::IpAddr,
    protocol: &'static str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<Verdict<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    attempts: u32,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    complete: bool,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

#[derive(Serialize)]
struct Verdict<'a> {
    plugin: &'a str,
    verdict: &'static str,
}

impl Sink {
    /// Opens the target and starts its writer. A file that cannot be opened is an error here and now.
    pub fn open(target: Target) -> io::Result<Arc<Self>> {
        let (messages, waiting) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let output = Output::open(&target)?;
        let (followers, _) = broadcast::channel(FOLLOWED);
        let (dropped_by_writer, told) = (Arc::clone(&dropped), followers.clone());
        let writer = Writer { output, dropped: dropped_by_writer, complained: None, followers: told };
        std::thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&waiting))?;
        Ok(Arc::new(Self { target, messages, dropped, followers }))
    }

    /// Where it writes to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Waits until everything that was handed over is written, though not for a disk that hangs. Blocks.
    #[expect(clippy::disallowed_methods, reason = "it blocks, and says so")]
    pub fn flush(&self) {
        let deadline = Instant::now() + PATIENCE;
        let (answer, written) = sync_channel(1);
        while let Err(TrySendError::Full(_)) = self.messages.try_send(Message::Flush(answer.clone())) {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Without an answer there is nobody left who could write.
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// What is written from now on, in whole lines. Who is too slow for it misses some.
    pub fn follow(&self) -> broadcast::Receiver<Bytes> {
        self.followers.subscribe()
    }

    /// Lines that were dropped since it was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl AccessLog {
    /// A worker's end of `sink`.
    pub fn new(sink: Arc<Sink>) -> Self {
        Self { sink, gathered: RefCell::new(Batch { bytes: Vec::new(), lines: 0 }) }
    }

    /// Adds a line.
    pub fn write(&self, entry: Entry<'_>) {
        let mut gathered = self.gathered.borrow_mut();
        // Writing to memory does not fail, and neither does a struct of plain fields.
        let _ = serde_json::to_writer(&mut gathered.bytes, &Line::new(entry));
        gathered.bytes.push(b'\n');
        gathered.lines += 1;
        if gathered.bytes.len() >= BATCH {
            self.hand_over(&mut gathered);
        }
    }

    /// Hands over what was gathered.
    pub fn flush(&self) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.lines > 0 {
            self.hand_over(&mut gathered);
        }
    }

    fn hand_over(&self, gathered: &mut Batch) {
        let batch =
            Batch { bytes: std::mem::take(&mut gathered.bytes), lines: std::mem::take(&mut gathered.lines) };
        let lines = batch.lines;
        if self.sink.messages.try_send(Message::Write(batch)).is_err() {
            self.sink.dropped.fetch_add(lines, Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<'a> Line<'a> {
    #[expect(clippy::disallowed_methods, reason = "people read it")]
    fn new(entry: Entry<'a>) -> Self {
        let exchange = entry.exchange;
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            revision: entry.revision,
            listener: &exchange.client.entrance.listener,
            client: exchange.client.address.ip(),
            protocol: exchange.client.protocol(),
            method: exchange.method.as_str(),
            host: exchange.authority(),
            path: exchange.path(),
            route: exchange.route.as_deref(),
            plugins: entry.plugins.into_iter().map(|(plugin, verdict)| Verdict { plugin, verdict }).collect(),
            backend: entry.backend,
            attempts: entry.attempts,
            status: entry.status,
            request_bytes: entry.received,
            response_bytes: entry.sent,
            complete: entry.is_complete,
            duration: milliseconds(entry.duration),
            backend_duration: entry.backend_time.map(milliseconds),
            reason: entry.reason,
            user_agent: exchange.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()),
        }
    }
}

/// The writer's thread.
struct Writer {
    output: Output,
    dropped: Arc<AtomicU64>,
    complained: Option<Instant>,
    followers: broadcast::Sender<Bytes>,
}

enum Output {
    Stdout(io::Stdout),
    File { file: File, path: PathBuf, looked: Instant },
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Message>) {
        loop {
            match waiting.recv_timeout(LOOK) {
                Ok(Message::Flush(answer)) => drop(answer.try_send(())),
                Ok(Message::Write(batch)) => {
                    if let Err(error) = self.output.write(&batch.bytes) {
                        self.dropped.fetch_add(batch.lines, Relaxed);
                        self.complain(&error);
                    } else if self.complained.take().is_some() {
                        info!("access log is written again");
                    }
                    if self.followers.receiver_count() > 0 {
                        // Should they have gone meanwhile, nobody misses it.
                        let _ = self.followers.send(batch.bytes.into());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            let dropped = self.dropped.load(Relaxed);
            error!(%error, dropped, "access log cannot be written, lines are dropped");
        }
    }
}

impl Output {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => {
                Ok(Self::File { file: open_file(path)?, path: path.clone(), looked: Instant::now() })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => {
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File { file, path, looked } => {
                if looked.elapsed() >= LOOK {
                    *looked = Instant::now();
                    if was_moved(file, path) {
                        *file = open_file(path)?;
                    }
                }
                file.write_all(bytes)
            }
        }
    }
}

/// Opening a pipe waits for a reader, and whoever opens this must not wait: it is the start, or a reload.
fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(io::Error::other("it is a pipe, which would wait for a reader"));
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Whether the path leads to another file by now, as after a log rotation.
fn was_moved(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) != (named.dev(), named.ino()),
        _ => true,
    }
}
