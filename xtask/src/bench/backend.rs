//! The backend that every proxy forwards to: it answers as fast as it can and does nothing else.
//!
//! It runs on the load generator's core, so its own cost bounds what can be measured: one thread, one read and one write
//! for a request, responses made beforehand. It understands requests without a body, and trusts the proxies not to send
//! anything else. WebSockets are echoed by the same thread, calls of gRPC are answered by one of their own.

mod grpc;

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::websocket;

/// The paths that are answered with a large body and with a huge one; every other gets a small one.
pub const LARGE_PATH: &str = "/1mb";
pub const HUGE_PATH: &str = "/100mb";
const HUGE_BODY: usize = 100_000_000;
const LARGE_BODY: usize = 1 << 20;
pub const SMALL_BODY: usize = 100;
const READ_SIZE: usize = 16 * 1024;

const LISTENER: Token = Token(0);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The length of the body that a path is answered with.
pub fn length_of(path: &str) -> u64 {
    let length = match path {
        LARGE_PATH => LARGE_BODY,
        HUGE_PATH => HUGE_BODY,
        _ => SMALL_BODY,
    };
    length as u64
}

/// Serves until the process is ended. The ports, that for HTTP/1.1 and that for gRPC, are written to a file once
/// connections are accepted.
pub fn serve(port_file: &Path) -> Result<()> {
    let mut backend = Backend::bind().context("the backend cannot listen")?;
    let calls = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the backend cannot listen")?;
    let ports = format!("{} {}", backend.listener.local_addr()?.port(), calls.local_addr()?.port());
    // A reader sees the whole line or no file.
    let unfinished = port_file.with_extension("new");
    fs::write(&unfinished, ports)?;
    fs::rename(&unfinished, port_file)?;
    // It ends with the process.
    thread::Builder::new().name("grpc".to_owned()).spawn(move || grpc::serve(calls))?;
    backend.run().context("the backend failed")
}

struct Backend {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    responses: Responses,
    buffer: Vec<u8>,
}

impl Backend {
    fn bind() -> io::Result<Self> {
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (connections, responses, buffer) = (HashMap::new(), Responses::new(), vec![0; READ_SIZE]);
        Ok(Self { poll, listener, connections, next_token: 1, responses, buffer })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_all()?,
                    token => self.advance(token, event),
                }
            }
        }
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.next_token);
            self.next_token += 1;
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.connections.insert(token, Connection::new(stream));
        }
    }

    /// Takes a connection as far as it goes, and forgets it when it has ended, however it did.
    fn advance(&mut self, token: Token, event: &Event) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.readable |= event.is_readable();
        let alive = connection.advance(&mut self.buffer, &self.responses);
        if !alive.unwrap_or(false) {
            self.connections.remove(&token);
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Events come once: whether one came that was not followed by reading everything.
    readable: bool,
    /// What came of requests that are not complete.
    received: Vec<u8>,
    /// The answer that is being sent, from the first byte that the kernel did not take yet.
    sending: Option<(Answer, usize)>,
    is_websocket: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Small,
    Large,
    Huge,
    /// From here on a connection is a WebSocket.
    Switch,
    Echo,
}

struct Responses {
    small: Response,
    large: Response,
    huge: Response,
    switch: Response,
    echo: Response,
}

/// What is sent is `bytes` up to `length`; where that is longer, what stands from `repeats_from` on is sent again.
struct Response {
    bytes: Vec<u8>,
    repeats_from: usize,
    length: usize,
}

impl Responses {
    fn new() -> Self {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let of_length = |length: usize| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nServer: bench-backend\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
                 Cache-Control: no-store\r\nContent-Length: {length}\r\n\r\n"
            );
            Response::new(head.into_bytes(), length)
        };
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nDate: {date}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            websocket::ACCEPT
        );
        Self {
            small: of_length(SMALL_BODY),
            large: of_length(LARGE_BODY),
            huge: of_length(HUGE_BODY),
            switch: Response::new(switch.into_bytes(), 0),
            echo: Response::new(websocket::FROM_SERVER.to_vec(), 0),
        }
    }

    fn of(&self, answer: Answer) -> &Response {
        match answer {
            Answer::Small => &self.small,
            Answer::Large => &self.large,
            Answer::Huge => &self.huge,
            Answer::Switch => &self.switch,
            Answer::Echo => &self.echo,
        }
    }
}

impl Response {
    fn new(head: Vec<u8>, body: usize) -> Self {
        let (repeats_from, length) = (head.len(), head.len() + body);
        let mut bytes = head;
        bytes.resize(repeats_from + body.min(LARGE_BODY), b'x');
        Self { bytes, repeats_from, length }
    }

    /// What comes behind what was sent, in one piece: all of it, unless it repeats.
    fn rest(&self, sent: usize) -> &[u8] {
        let repeated = self.bytes.len() - self.repeats_from;
        let begin = match sent.checked_sub(self.bytes.len()) {
            Some(behind) if repeated > 0 => self.repeats_from + behind % repeated,
            _ => sent,
        };
        let piece = &self.bytes[begin..];
        &piece[..piece.len().min(self.length - sent)]
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: false,
            received: Vec::with_capacity(2048),
            sending: None,
            is_websocket: false,
        }
    }

    /// Sends what is left of a response, reads what has come, answers it. `false` when the peer has closed.
    fn advance(&mut self, buffer: &mut [u8], responses: &Responses) -> io::Result<bool> {
        while self.send(responses)? {
            if let Some((answer, length)) = self.next_answer() {
                self.received.drain(..length);
                self.is_websocket |= answer == Answer::Switch;
                self.sending = Some((answer, 0));
            } else if !self.readable {
                return Ok(true);
            } else if !self.receive(buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the first complete request or message is answered with, and its length.
    fn next_answer(&self) -> Option<(Answer, usize)> {
        if !self.is_websocket {
            return request_in(&self.received);
        }
        let length = websocket::FROM_CLIENT.len();
        (self.received.len() >= length).then_some((Answer::Echo, length))
    }

    /// `true` when nothing is left to send, `false` when the kernel takes no more for now.
    fn send(&mut self, responses: &Responses) -> io::Result<bool> {
        while let Some((answer, sent)) = self.sending {
            let response = responses.of(answer);
            match self.stream.write(response.rest(sent)) {
                Ok(written) if sent + written == response.length => self.sending = None,
                Ok(written) => self.sending = Some((answer, sent + written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads what there is, up to the size of the buffer. `false` when the peer has closed.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                // Less than a full buffer means that the socket is empty and that the next byte raises an event. It
                // saves every request a second read.
                self.readable = length == buffer.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// What the first complete request is answered with, and its length.
fn request_in(received: &[u8]) -> Option<(Answer, usize)> {
    let end = received.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)?;
    let path = received.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let answer = match str::from_utf8(path) {
        Ok(LARGE_PATH) => Answer::Large,
        Ok(HUGE_PATH) => Answer::Huge,
        Ok(websocket::PATH) => Answer::Switch,
        _ => Answer::Small,
    };
    Some((answer, end + END_OF_HEAD.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_complete_requests_only() {
        let small = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let large = b"GET /1mb HTTP/1.1\r\n\r\n";
        let both = [&small[..], &large[..]].concat();
        assert!(request_in(&small[..small.len() - 1]).is_none());
        assert!(matches!(request_in(&both), Some((Answer::Small, length)) if length == small.len()));
        assert!(matches!(request_in(large), Some((Answer::Large, length)) if length == large.len()));
        assert!(matches!(request_in(b"GET /100mb HTTP/1.1\r\n\r\n"), Some((Answer::Huge, _))));
        assert!(matches!(request_in(b"GET /echo HTTP/1.1\r\n\r\n"), Some((Answer::Switch, _))));
    }

    #[test]
    fn sends_a_huge_body_from_a_large_one() {
        let response = Response::new(b"head".to_vec(), HUGE_BODY);
        assert_eq!(response.bytes.len(), 4 + LARGE_BODY);
        assert_eq!(response.rest(0).len(), 4 + LARGE_BODY);
        assert_eq!(response.rest(4 + LARGE_BODY), &response.bytes[4..]);
        assert_eq!(response.rest(5 + LARGE_BODY).len(), LARGE_BODY - 1);
        let (mut sent, mut pieces) = (0, 0);
        while sent < response.length {
            sent += response.rest(sent).len();
            pieces += 1;
        }
        assert_eq!((sent, pieces), (4 + HUGE_BODY, HUGE_BODY.div_ceil(LARGE_BODY)));
        assert_eq!(Response::new(b"head".to_vec(), 0).rest(1), b"ead");
    }
}
