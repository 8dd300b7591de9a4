//! The backend behind the gateway: it reads whole requests and gives everybody the same response.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

/// Suites want something that does not fit a window of one byte, and fits all others.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n";
const BODY: [u8; 100] = [b'x'; 100];

/// Serves until this process ends. Returns the port.
pub fn start() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the backend cannot listen")?;
    let port = listener.local_addr()?.port();
    let serve = move || {
        for stream in listener.incoming().flatten() {
            // A connection that fails is the gateway's to notice.
            let _ = thread::Builder::new().name("backend".to_owned()).spawn(|| converse(stream));
        }
    };
    thread::Builder::new().name("backend".to_owned()).spawn(serve)?;
    Ok(port)
}

fn converse(stream: TcpStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = line(&mut reader)? {
        skip_body(&mut reader)?;
        writer.write_all(HEAD)?;
        if !request.starts_with("HEAD ") {
            writer.write_all(&BODY)?;
        }
    }
    Ok(())
}

/// Reads the fields, and the body that they tell of.
fn skip_body(reader: &mut impl BufRead) -> io::Result<()> {
    let (mut length, mut is_chunked) = (0, false);
    while let Some(field) = line(reader)?.filter(|field| !field.is_empty()) {
        let field = field.to_ascii_lowercase();
        is_chunked |= field.starts_with("transfer-encoding:");
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    if !is_chunked {
        return skip(reader, length);
    }
    loop {
        let size = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            break;
        }
        skip(reader, size + 2)?;
    }
    while line(reader)?.is_some_and(|trailer| !trailer.is_empty()) {}
    Ok(())
}

fn skip(reader: &mut impl Read, length: u64) -> io::Result<()> {
    io::copy(&mut reader.take(length), &mut io::sink()).map(drop)
}

/// Without its end. None at the end of the connection.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let size = reader.read_line(&mut line)?;
    Ok((size > 0).then(|| line.trim_end().to_owned()))
}
