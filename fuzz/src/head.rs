//! The head of a request: found among a connection's bytes, parsed, and normalised.

mod forwarded;
mod naive;
mod path;

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use cloud_cup::base::transport::Transport;
use cloud_cup::message::http1::{HeadLimits, ReadHeadError, Stream, parse_request};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::deliveries;

/// Small ones, so that inputs go over them.
const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 16 };

thread_local! {
    static CONNECTION: RefCell<QuietConnection> = RefCell::new(QuietConnection::open());
}

/// A connection on which nothing ever comes: what would have come is put where it would have been read to.
struct QuietConnection {
    /// Present between inputs.
    transport: Option<Transport>,
    _peer: UnixStream,
    _runtime: Runtime,
}

/// What a connection finds in its first bytes.
#[derive(Debug, PartialEq)]
enum Found {
    /// A head, and what came behind it.
    Head(Bytes, Vec<u8>),
    /// The beginning of one.
    Part,
    /// Something that is not one.
    Refused,
}

/// Takes the input for the first bytes of a connection.
///
/// However they are delivered, the same head is found in them. A head that is accepted says what a naive reading of its
/// lines says, and can be framed in one way. What is made of it for a backend holds too, see `forwarded`.
pub fn check(input: &[u8]) {
    let found = find(&[input]);
    for pieces in deliveries(input) {
        assert_eq!(find(&pieces), found, "in pieces");
    }
    let Found::Head(head, _) = found else { return };
    assert!(head.len() <= LIMITS.bytes);
    let Ok(parsed) = parse_request(&head, LIMITS) else { return };
    naive::check(&head, &parsed);
    forwarded::check(&parsed);
}

fn find(pieces: &[&[u8]]) -> Found {
    CONNECTION.with_borrow_mut(|connection| {
        let transport = connection.transport.take().expect("it was put back");
        let mut stream = Stream::new(transport);
        let head = deliver(pieces, &mut stream);
        let (transport, rest) = stream.into_parts();
        connection.transport = Some(transport);
        match head {
            Ok(Some(head)) => Found::Head(head, rest.to_vec()),
            Ok(None) => Found::Part,
            Err(ReadHeadError::Head(_)) => Found::Refused,
            Err(error) => panic!("the connection was to be quiet: {error}"),
        }
    })
}

/// Reads a head as a connection of HTTP/1.1 does, which may skip one empty line.
fn deliver(pieces: &[&[u8]], stream: &mut Stream) -> Result<Option<Bytes>, ReadHeadError> {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut head, mut may_skip) = (None, true);
    for piece in pieces {
        stream.input.extend_from_slice(piece);
        if may_skip && stream.skip_empty_line() {
            may_skip = false;
        }
        let is_perhaps_empty = stream.input.is_empty() || (may_skip && *stream.input == *b"\r");
        if head.is_some() || is_perhaps_empty {
            continue;
        }
        may_skip = false;
        if let Poll::Ready(read) = stream.poll_head(&mut cx, LIMITS.bytes) {
            head = read?;
        }
    }
    Ok(head)
}

impl QuietConnection {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let (end, peer) = runtime.block_on(async { UnixStream::pair() }).expect("two sockets");
        Self { transport: Some(Transport::Unix(end)), _peer: peer, _runtime: runtime }
    }
}
