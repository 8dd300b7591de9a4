//! A client of few words for what the load generators cannot do: hold a connection, and count what becomes of it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A response, its body read and thrown away.
pub struct Response {
    pub status: u16,
    /// Whether the server closes the connection behind this response.
    pub closes: bool,
    head: String,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // A small buffer: there may be thousands of these.
        Ok(Self { stream: BufReader::with_capacity(512, stream) })
    }

    /// One request, and the whole of its response. After an error the connection is of no use.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let response = Response::parse(self.read_head()?).ok_or_else(|| malformed("the response's head"))?;
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| malformed("content-length"))?;
        let read = io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(response)
    }

    fn read_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }
}

impl Response {
    pub fn parse(head: String) -> Option<Self> {
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut response = Self { status, closes: false, head };
        response.closes =
            response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Some(response)
    }

    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("cannot understand {what}"))
}
