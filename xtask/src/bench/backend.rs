//! The backend that every proxy forwards to: it answers as fast as it can and does nothing else.
//!
//! It runs on the load generator's core, so its own cost bounds what can be measured: one thread, one read and one write
//! for a request, responses made beforehand. It understands requests without a body, and trusts the proxies not to send
//! anything else.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// The path that is answered with a large body; every other gets a small one.
pub const LARGE_PATH: &str = "/1mb";
const LARGE_BODY: usize = 1 << 20;
const SMALL_BODY: usize = 100;
const READ_SIZE: usize = 16 * 1024;

const LISTENER: Token = Token(0);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Serves until the process is ended. The port is written to a file once connections are accepted.
pub fn serve(port_file: &Path) -> Result<()> {
    let mut backend = Backend::bind().context("the backend cannot listen")?;
    let port = backend.listener.local_addr()?.port();
    // A reader sees the whole number or no file.
    let unfinished = port_file.with_extension("new");
    fs::write(&unfinished, port.to_string())?;
    fs::rename(&unfinished, port_file)?;
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
    /// The response that is being sent, from the first byte that the kernel did not take yet.
    sending: Option<(Size, usize)>,
}

#[derive(Clone, Copy)]
enum Size {
    Small,
    Large,
}

struct Responses {
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Responses {
    fn new() -> Self {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let of_length = |length: usize| {
            let mut response = format!(
                "HTTP/1.1 200 OK\r\nServer: bench-backend\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
                 Cache-Control: no-store\r\nContent-Length: {length}\r\n\r\n"
            )
            .into_bytes();
            response.resize(response.len() + length, b'x');
            response
        };
        Self { small: of_length(SMALL_BODY), large: of_length(LARGE_BODY) }
    }

    fn of(&self, size: Size) -> &[u8] {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, readable: false, received: Vec::with_capacity(2048), sending: None }
    }

    /// Sends what is left of a response, reads what has come, answers it. `false` when the peer has closed.
    fn advance(&mut self, buffer: &mut [u8], responses: &Responses) -> io::Result<bool> {
        while self.send(responses)? {
            if let Some((size, length)) = request_in(&self.received) {
                self.received.drain(..length);
                self.sending = Some((size, 0));
            } else if !self.readable {
                return Ok(true);
            } else if !self.receive(buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `true` when nothing is left to send, `false` when the kernel takes no more for now.
    fn send(&mut self, responses: &Responses) -> io::Result<bool> {
        while let Some((size, sent)) = self.sending {
            let rest = &responses.of(size)[sent..];
            match self.stream.write(rest) {
                Ok(written) if written == rest.len() => self.sending = None,
                Ok(written) => self.sending = Some((size, sent + written)),
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

/// The first complete request, as what it asks for and its length.
fn request_in(received: &[u8]) -> Option<(Size, usize)> {
    let end = received.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)?;
    let path = received.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let size = if path == LARGE_PATH.as_bytes() { Size::Large } else { Size::Small };
    Some((size, end + END_OF_HEAD.len()))
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
        assert!(matches!(request_in(&both), Some((Size::Small, length)) if length == small.len()));
        assert!(matches!(request_in(large), Some((Size::Large, length)) if length == large.len()));
    }
}
