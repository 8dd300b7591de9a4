//! The cases `idle`: what a connection costs that does nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quinn::Endpoint;
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::certificate::{self, Sessions};
use super::client::Client;
use super::clients::http3::{self, Http3};
use super::clients::runtime;
use super::clients::tls::TlsClient;
use super::clients::websocket::WebSocket;
use super::gateway::Variant;
use super::machine::ensure_open_files;
use super::peers::Protocol;
use super::report::{Table, mebibytes};
use super::setup::{Server, Setup};

/// What a proxy does behind the last response is done after this.
const SETTLE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);
const PATH: &str = "/";

/// What the connections are.
#[derive(Clone, Copy)]
pub enum Idle {
    Http1,
    Tls,
    Http3,
    WebSocket,
}

pub fn run(setup: &Setup, idle: Idle) -> Result<Table> {
    let count = setup.extent.connections.min(idle.most());
    ensure_open_files(count)?;
    let (variant, protocol) = idle.spoken();
    let mut table = Table::new(&["proxy", "connections", "memory before", "with them", "bytes each"]);
    // One after another, as each needs the open files of a whole machine.
    table.row(measure(setup, idle, count, setup.start_gateway("cloud-cup", variant)?)?);
    for peer in &setup.peers {
        match peer.peer.lacks(protocol) {
            Some(reason) => table.note(peer.left_out(reason)),
            None => table.row(measure(setup, idle, count, setup.start_peer(peer, protocol)?)?),
        }
    }
    Ok(table)
}

impl Idle {
    /// As many as the client can hold beside a proxy, and no more than are worth the time.
    fn most(self) -> u32 {
        match self {
            Self::Http1 => u32::MAX,
            Self::Tls | Self::WebSocket => 2000,
            Self::Http3 => 1000,
        }
    }

    fn spoken(self) -> (Variant, Protocol) {
        match self {
            Self::Http1 => (Variant::Plain, Protocol::Http1),
            Self::Tls => (Variant::Tls, Protocol::Tls),
            Self::Http3 => (Variant::Http3, Protocol::Http3),
            Self::WebSocket => (Variant::Plain, Protocol::WebSocket),
        }
    }
}

fn measure(setup: &Setup, idle: Idle, count: u32, server: Server) -> Result<Vec<String>> {
    eprintln!("  {}", server.name);
    let clients = Clients::new(setup, idle, server.ports.listener)?;
    let failed = || format!("{} did not serve every connection", server.name);
    // What the first request brings with it is not a connection's.
    drop(clients.connect(1).with_context(failed)?);
    let before = server.process.resident_bytes()?;
    let mut held = clients.connect(count).with_context(failed)?;
    clients.wait(SETTLE);
    let after = server.process.resident_bytes()?;
    clients.ensure_open(&mut held).with_context(|| format!("{} closed an idle connection", server.name))?;
    let each = (after.saturating_sub(before)) / u64::from(count);
    Ok(vec![
        server.name,
        count.to_string(),
        mebibytes(before as f64),
        mebibytes(after as f64),
        each.to_string(),
    ])
}

/// What makes connections to one server.
struct Clients {
    idle: Idle,
    port: u16,
    runtime: Runtime,
    tls: Arc<ClientConfig>,
    endpoint: Endpoint,
}

/// A connection that is held.
enum Held {
    Http1(Client),
    Tls(Box<TlsClient>),
    Http3(Http3),
    WebSocket(WebSocket),
}

impl Clients {
    fn new(setup: &Setup, idle: Idle, port: u16) -> Result<Self> {
        let runtime = runtime()?;
        let tls = Arc::new(certificate::client(setup.dir(), &["http/1.1"], Sessions::New)?);
        let endpoint = {
            let _entered = runtime.enter();
            http3::endpoint(&http3::config(setup.dir())?)?
        };
        Ok(Self { idle, port, runtime, tls, endpoint })
    }

    /// Opens connections, each with one request.
    fn connect(&self, count: u32) -> Result<Vec<Held>> {
        (0..count).map(|_| self.runtime.block_on(in_time(self.connect_one()))).collect()
    }

    async fn connect_one(&self) -> Result<Held> {
        let mut held = match self.idle {
            Idle::Http1 => Held::Http1(Client::connect(self.port)?),
            Idle::Tls => Held::Tls(Box::new(TlsClient::connect(self.port, &self.tls).await?)),
            Idle::Http3 => Held::Http3(Http3::connect(&self.endpoint, self.port).await?),
            Idle::WebSocket => Held::WebSocket(WebSocket::connect(self.port).await?),
        };
        held.ask().await?;
        Ok(held)
    }

    /// Over QUIC there are acknowledgements to be sent meanwhile.
    fn wait(&self, duration: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(duration).await });
    }

    /// A figure for connections that were closed in the meantime would be a fine one. Asks on some of them again.
    fn ensure_open(&self, held: &mut [Held]) -> Result<()> {
        held.iter_mut().step_by(100).try_for_each(|held| self.runtime.block_on(in_time(held.ask())))
    }
}

impl Held {
    async fn ask(&mut self) -> Result<()> {
        match self {
            Self::Http1(client) => {
                let status = client.get(PATH)?.status;
                ensure!(status == 200, "the answer was {status}");
                Ok(())
            }
            Self::Tls(client) => client.get(PATH).await,
            Self::Http3(client) => client.get(PATH).await,
            Self::WebSocket(client) => client.echo().await,
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TIMEOUT, asked).await.context("no answer came")?
}
