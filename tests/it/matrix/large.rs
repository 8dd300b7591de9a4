//! Large bodies, through a gateway that is a process of its own so that its memory can be told from that of others.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::backends::Backends;
use super::caller::{Caller, Download, Upload};
use super::{Entrances, Pair, certified, document, http3_document};
use crate::check::program::Program;
use crate::support::Authority;

/// What passes each way.
const SIZE: usize = 100 << 20;
const PIECE: usize = 64 << 10;
/// By how much the gateway may grow meanwhile: far less than passes, far more than its buffers.
const BOUND: u64 = 64 << 20;
/// No power of two, so that a piece in the wrong place shows.
const PERIOD: usize = 65_521;

#[tokio::test]
async fn large_bodies_pass_both_ways_at_once_in_little_memory() {
    let authority = Authority::new("the authority");
    let backends = Backends::scripted(&authority);
    let (folder, folder_behind) = (certified(&authority), certified(&authority));
    let behind = serve(&folder_behind, http3_document(&backends)).await;
    let program = serve(&folder, document(&backends, behind.address("h3"))).await;
    let (clear, secure) = (program.address("clear"), program.address("secure"));
    let entrances = Entrances { clear, secure, authority };
    let pattern = Pattern::new();
    for pair in Pair::all() {
        let before = program.memory("VmRSS");
        pass(&entrances, pair, &pattern).await;
        let most = program.memory("VmHWM");
        assert!(most < before + BOUND, "{pair}: {before} bytes of memory became {most}");
    }
}

async fn serve(folder: &TempDir, mut document: Value) -> Program {
    document["workers"] = json!(2);
    document["access_log"] = json!("off");
    document["admin"] = json!({ "socket": folder.path().join("admin.sock") });
    let file = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).expect("the folder can be written to");
    Program::serve(&file).await
}

/// Bytes that tell where they belong.
struct Pattern(Bytes);

impl Pattern {
    fn new() -> Arc<Self> {
        // The minimal standard generator.
        let period: Vec<u8> = std::iter::successors(Some(1u64), |state| Some(state * 48_271 % 0x7fff_ffff))
            .map(|state| state as u8)
            .take(PERIOD)
            .collect();
        Arc::new(Self(period.iter().cycle().take(PERIOD + PIECE).copied().collect()))
    }

    /// So many of them from here on, at most [`PIECE`].
    fn at(&self, offset: usize, size: usize) -> Bytes {
        let start = offset % PERIOD;
        self.0.slice(start..start + size)
    }
}

async fn pass(entrances: &Entrances, pair: Pair, pattern: &Arc<Pattern>) {
    let mut caller = Caller::connect(entrances, pair.entrance).await;
    let asked = Request::post(pair.path("echo")).body(()).expect("a request");
    let (upload, download) = caller.call(asked).await;
    let sending = tokio::spawn(send(upload, Arc::clone(pattern)));
    receive(download, pattern, pair).await;
    assert!(sending.await.is_ok(), "{pair}: the upload is not taken");
}

async fn send(mut upload: Upload, pattern: Arc<Pattern>) {
    for offset in (0..SIZE).step_by(PIECE) {
        let piece = pattern.at(offset, PIECE.min(SIZE - offset));
        assert!(upload.send(piece).await, "all is wanted, also behind {offset}");
    }
    upload.finish(None).await;
}

async fn receive(mut download: Download, pattern: &Pattern, pair: Pair) {
    let head = download.head().await.unwrap_or_else(|error| panic!("{pair}: {error:?}"));
    assert_eq!(head.status, 200, "{pair}");
    let mut received = 0;
    while let Some(frame) = download.frame().await.unwrap_or_else(|error| panic!("{pair}: {error:?}")) {
        let data = frame.into_data().expect("no trailers");
        for piece in data.chunks(PIECE) {
            assert!(pattern.at(received, piece.len()) == piece, "{pair}: other bytes behind {received}");
            received += piece.len();
        }
    }
    assert_eq!(received, SIZE, "{pair}");
}
