//! Attacks: what is sent to a gateway to make it run out of memory, of time or of sense.
//!
//! Each is aimed at a gateway in a process of its own, whose memory is its own too. Whatever comes, it goes on serving
//! others, its memory stays within [`MOST_GROWTH`], nothing in it panics, and no connection is left behind.

mod datagrams;
mod frames;
mod handshakes;
mod header_tables;
mod mutations;
mod odd_frames;
mod resets;
mod streams;
mod unread;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::with;
use crate::check::program::Program;
use crate::support::{Authority, Backend, document, eventually, get, request};
use frames::Attacker;

/// By how much a flood may make the gateway grow, in KiB. Two workers in the debug profile, with all that an allocator
/// keeps for later, stay far below.
const MOST_GROWTH: u64 = 32 << 10;
/// How long anybody else may have to wait meanwhile, on a machine that has other things to do as well.
const PROMPT: Duration = Duration::from_secs(5);
/// What the certificate is for.
const NAME: &str = "a.example";

/// A gateway under attack.
struct Victim {
    program: Program,
    authority: Authority,
    resident: u64,
    /// Who serves those who attack nobody.
    _fine: Backend,
    _folder: TempDir,
}

impl Victim {
    /// One whose requests reach this backend, those for `/fine` excepted. It listens as `front` in the clear, as `behind`
    /// for those who begin with the PROXY protocol, and as `secure` with TLS and QUIC.
    async fn start(backend: &Backend, fields: Value) -> Self {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
        authority.issue(&[NAME]).write(folder.path(), "a");
        let fine = Backend::echo("fine");
        let routes = json!({ "/fine": { "backends": [fine.host()] }, "*": { "backends": [backend.host()] } });
        let any = "127.0.0.1:0";
        let listeners = json!({
            "front": { "address": any },
            "behind": { "address": any, "proxy_protocol": { "trusted": ["127.0.0.1"] } },
            "secure": {
                "address": any,
                "protocols": ["h1", "h2", "h3"],
                "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
            },
        });
        let own = json!({
            "listeners": listeners,
            "workers": 2,
            "admin": { "listen": any, "socket": folder.path().join("admin.sock") },
            "access_log": "off",
            "plugin_cache": "off",
        });
        let path = folder.path().join("document.json");
        fs::write(&path, with(with(document(routes), own), fields).to_string()).expect("a file");
        let program = Program::serve(&path).await;
        let mut victim = Self { program, authority, resident: 0, _fine: fine, _folder: folder };
        victim.warm_up().await;
        victim
    }

    /// What is allocated once is there before anything is measured.
    async fn warm_up(&mut self) {
        for _ in 0..10 {
            self.serve_another().await;
        }
        self.metric("cloudcup_connections").await;
        // From here on the peak is that of the attack (proc_pid_clear_refs(5)).
        fs::write(format!("/proc/{}/clear_refs", self.program.id()), "5").expect("it is our child");
        self.resident = self.kibibytes("VmRSS:");
    }

    fn front(&self) -> SocketAddr {
        self.program.address("front")
    }

    fn secure(&self) -> SocketAddr {
        self.program.address("secure")
    }

    /// A connection to do harm with.
    async fn attacker(&self) -> Attacker {
        Attacker::connect(self.front()).await
    }

    /// A line of `/proc/PID/status`.
    fn kibibytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    async fn metric(&self, name: &str) -> f64 {
        let log = self.program.log();
        let address = log.iter().find(|line| line["message"] == "admin").map(|line| &line["address"]);
        let address = address.and_then(Value::as_str).expect("it is told").parse().expect("an address");
        let metrics = Box::pin(request(address, get("/metrics"))).await;
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Somebody else is served, and soon.
    async fn serve_another(&self) {
        let begun = Instant::now();
        let answer = Box::pin(request(self.front(), get("/fine"))).await;
        assert_eq!((answer.status.as_u16(), &*answer.backend()), (200, "fine"));
        let waited = begun.elapsed();
        assert!(waited < PROMPT, "another client had to wait for {waited:?}");
    }

    /// Serves others for as long as an attack takes.
    async fn during<T>(&self, attack: impl Future<Output = T>) -> T {
        let others = async {
            loop {
                self.serve_another().await;
            }
        };
        let attacked = async {
            tokio::select! {
                outcome = attack => outcome,
                never = others => never,
            }
        };
        let outcome = tokio::time::timeout(Duration::from_secs(30), attacked).await;
        outcome.expect("an attack comes to its end")
    }

    /// It has got rid of every connection, also of those whose clients are still there.
    async fn let_go(&self) {
        eventually(|| async { self.metric("cloudcup_connections").await == 0.0 }).await;
    }

    /// The attack is over, with all of its connections closed: nothing is left of it.
    async fn recovered(&self) {
        self.serve_another().await;
        self.let_go().await;
        let grown = self.kibibytes("VmHWM:").saturating_sub(self.resident);
        assert!(grown < MOST_GROWTH, "{grown} KiB were taken up");
        let told = self.program.stderr();
        assert!(!told.contains("panicked"), "{told}");
    }
}

/// How many requests a backend works at.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Load {
    fn peak(&self) -> usize {
        self.peak.load(SeqCst)
    }
}

/// A backend that reads the heads of requests and does nothing more until they are given up.
fn silent() -> (Backend, Arc<Load>) {
    let load = Arc::<Load>::default();
    let shared = Arc::clone(&load);
    let backend = Backend::with(move |mut wire| {
        let load = Arc::clone(&shared);
        async move {
            if wire.try_read_head().await.is_some() {
                load.peak.fetch_max(load.now.fetch_add(1, SeqCst) + 1, SeqCst);
                let mut piece = [0; 4096];
                while wire.io().read(&mut piece).await.is_ok_and(|count| count > 0) {}
                load.now.fetch_sub(1, SeqCst);
            }
        }
    });
    (backend, load)
}

/// Chance that is the same every time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
