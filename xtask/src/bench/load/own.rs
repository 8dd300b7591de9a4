//! Load by clients of our own, side by side on one thread.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Served;
use crate::bench::certificate::{self, Sessions};
use crate::bench::clients::http3::{self, Http3};
use crate::bench::clients::runtime;
use crate::bench::clients::tls::TlsClient;
use crate::bench::clients::websocket::WebSocket;

/// Not more than the tickets that a client keeps of one server, so that each handshake finds one.
const HANDSHAKES: usize = 8;
/// Few, as all that were begun are read to their end: what lies in buffers when a download is cut off was paid for by the
/// proxy, and would not be counted.
const DOWNLOADS: usize = 4;
const WEBSOCKETS: usize = 64;
const H3_CONNECTIONS: usize = 8;
const H3_STREAMS: usize = 8;
/// For what was begun in time to end.
const GRACE: Duration = Duration::from_secs(60);

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One TLS connection after another, with one request each, eight at a time.
    Handshakes(Sessions),
    /// One large body after another over TLS, on each of four connections.
    Download,
    /// One message after another, on each of 64 WebSockets.
    WebSocket,
    /// HTTP/3, eight streams on each of eight connections.
    Http3,
    /// One large body after another over HTTP/3, on each of four connections.
    Http3Download,
}

impl Work {
    /// How many do it side by side.
    fn clients(self) -> usize {
        match self {
            Self::Handshakes(_) => HANDSHAKES,
            Self::Download | Self::Http3Download => DOWNLOADS,
            Self::WebSocket => WEBSOCKETS,
            Self::Http3 => H3_CONNECTIONS,
        }
    }
}

pub struct Own {
    runtime: Runtime,
    work: Work,
    port: u16,
    path: String,
    /// It keeps its sessions from the warm-up on.
    tls: Arc<ClientConfig>,
    quic: quinn::ClientConfig,
}

/// What came of a client's work, and of all of them.
#[derive(Default)]
struct Tally {
    /// One for each request.
    times: Vec<Duration>,
    resumed: usize,
}

impl Own {
    pub fn new(work: Work, port: u16, path: &str, dir: &Path) -> Result<Self> {
        let sessions = match work {
            Work::Handshakes(sessions) => sessions,
            _ => Sessions::New,
        };
        let tls = Arc::new(certificate::client(dir, &["http/1.1"], sessions)?);
        Ok(Self { runtime: runtime()?, work, port, path: path.to_owned(), tls, quic: http3::config(dir)? })
    }

    pub fn warm_up(&self, duration: Duration) -> Result<()> {
        self.work_for(duration).map(drop)
    }

    pub fn run(&self, duration: Duration) -> Result<Served> {
        let (tally, elapsed) = self.work_for(duration)?;
        if let Work::Handshakes(sessions) = self.work {
            tally.ensure_sessions(sessions)?;
        }
        let requests = tally.times.len() as u64;
        let p99 = p99(tally.times).context("no request was answered")?;
        Ok(Served { requests, per_second: requests as f64 / elapsed.as_secs_f64(), p99 })
    }

    /// What was done until everything ended that was begun in time, and how long that took.
    fn work_for(&self, duration: Duration) -> Result<(Tally, Duration)> {
        let begin = Instant::now();
        let work = async { timeout(duration + GRACE, self.work(begin + duration)).await };
        let tally = self.runtime.block_on(work).context("the server did not answer")?;
        Ok((
            tally.with_context(|| format!("the load on port {} did not go well", self.port))?,
            begin.elapsed(),
        ))
    }

    async fn work(&self, until: Instant) -> Result<Tally> {
        let mut clients = JoinSet::new();
        for _ in 0..self.work.clients() {
            let (port, path) = (self.port, self.path.clone());
            let (tls, quic) = (self.tls.clone(), self.quic.clone());
            match self.work {
                Work::Handshakes(_) => clients.spawn(handshakes(port, path, tls, until)),
                Work::Download => clients.spawn(downloads(port, path, tls, until)),
                Work::WebSocket => clients.spawn(echoes(port, until)),
                Work::Http3 => clients.spawn(http3(port, path, quic, H3_STREAMS, until)),
                Work::Http3Download => clients.spawn(http3(port, path, quic, 1, until)),
            };
        }
        sum(clients).await
    }
}

async fn handshakes(port: u16, path: String, tls: Arc<ClientConfig>, until: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let begin = Instant::now();
        let mut client = TlsClient::connect(port, &tls).await?;
        client.get_last(&path).await?;
        tally.times.push(begin.elapsed());
        tally.resumed += usize::from(client.is_resumed());
    }
    Ok(tally)
}

async fn downloads(port: u16, path: String, tls: Arc<ClientConfig>, until: Instant) -> Result<Tally> {
    let (mut client, mut tally) = (TlsClient::connect(port, &tls).await?, Tally::default());
    while Instant::now() < until {
        let begin = Instant::now();
        client.get(&path).await?;
        tally.times.push(begin.elapsed());
    }
    Ok(tally)
}

async fn echoes(port: u16, until: Instant) -> Result<Tally> {
    let (mut client, mut tally) = (WebSocket::connect(port).await?, Tally::default());
    while Instant::now() < until {
        let begin = Instant::now();
        client.echo().await?;
        tally.times.push(begin.elapsed());
    }
    Ok(tally)
}

async fn http3(
    port: u16,
    path: String,
    config: quinn::ClientConfig,
    streams: usize,
    until: Instant,
) -> Result<Tally> {
    let endpoint = http3::endpoint(&config)?;
    let client = Http3::connect(&endpoint, port).await?;
    let mut requests = JoinSet::new();
    for _ in 0..streams {
        requests.spawn(http3_requests(client.clone(), path.clone(), until));
    }
    let tally = sum(requests).await;
    http3::close(&endpoint).await;
    tally
}

async fn http3_requests(mut client: Http3, path: String, until: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let begin = Instant::now();
        client.get(&path).await?;
        tally.times.push(begin.elapsed());
    }
    Ok(tally)
}

async fn sum(mut clients: JoinSet<Result<Tally>>) -> Result<Tally> {
    let mut sum = Tally::default();
    while let Some(client) = clients.join_next().await {
        let tally = client.context("a client panicked")??;
        sum.times.extend(tally.times);
        sum.resumed += tally.resumed;
    }
    Ok(sum)
}

impl Tally {
    /// Whether the handshakes were of the kind that was wanted; one of 100 may be full where they should be resumed.
    fn ensure_sessions(&self, sessions: Sessions) -> Result<()> {
        let (resumed, all) = (self.resumed, self.times.len());
        let right = match sessions {
            Sessions::New => resumed == 0,
            Sessions::Resumed => resumed * 100 >= all * 99,
        };
        ensure!(right, "{resumed} of {all} handshakes were resumed");
        Ok(())
    }
}

/// The time that 99 of 100 stayed below.
fn p99(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_99th_percentile() {
        let milliseconds = |range: std::ops::Range<u64>| range.map(Duration::from_millis).collect();
        assert_eq!(p99(milliseconds(0..100)), Some(Duration::from_millis(99)));
        assert_eq!(p99(milliseconds(0..1)), Some(Duration::ZERO));
        assert_eq!(p99(Vec::new()), None);
    }

    #[test]
    fn takes_no_figures_from_handshakes_of_the_other_kind() {
        let tally = |resumed| Tally { times: vec![Duration::ZERO; 100], resumed };
        assert!(tally(0).ensure_sessions(Sessions::New).is_ok());
        assert!(tally(1).ensure_sessions(Sessions::New).is_err());
        assert!(tally(99).ensure_sessions(Sessions::Resumed).is_ok());
        assert!(tally(98).ensure_sessions(Sessions::Resumed).is_err());
    }
}
