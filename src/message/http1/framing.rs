//! Where a body ends: content-length, chunked, or the end of the connection (RFC 9112, section 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Bytes that a chunk-size line may have, extensions included. Extensions are read and dropped.
const CHUNK_LINE: usize = 1024;

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes, possibly none.
    Length(u64),
    /// Chunked transfer coding, with trailers.
    Chunked,
    /// Everything up to the end of the connection; responses only.
    UntilClose,
}

/// What is wrong with a body's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Not `HEXDIG+ [extension] CRLF`, or more than a size can be.
    #[error("bad chunk size")]
    ChunkSize,
    /// No CRLF behind a chunk's data.
    #[error("no line end behind a chunk")]
    ChunkEnd,
    /// A trailer field that does not parse, or too many of them.
    #[error("bad trailer section")]
    Trailers,
    /// Another length than `content-length` told.
    #[error("not the length that was told")]
    Length,
    /// Text that is to be base64, and is not.
    #[error("bad base64")]
    Base64,
}

/// One step of decoding.
#[derive(Debug)]
pub enum Decoded {
    /// Some bytes of the body.
    Data(Bytes),
    /// The trailer section, which is also the end.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// More input is needed.
    Incomplete,
}

/// Takes a body out of a connection's input.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl Decoder {
    /// A decoder for a body framed so, whose trailers may take `trailer_bytes`.
    pub fn new(framing: Framing, trailer_bytes: usize) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailer_bytes }
    }

    /// Whether the body's end was reached.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(length) => Some(length),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The connection ended. True where that is how this body ends.
    pub fn end_of_input(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Takes what it can from `input`.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, FramingError> {
        loop {
            match self.state {
                State::Done => return Ok(Decoded::End),
                State::Length(left) => return Ok(self.take(input, left, State::Length, State::Done)),
                State::ChunkData(left) => {
                    return Ok(self.take(input, left, State::ChunkData, State::ChunkEnd));
                }
                State::UntilClose if input.is_empty() => return Ok(Decoded::Incomplete),
                State::UntilClose => return Ok(Decoded::Data(input.split().freeze())),
                State::ChunkSize => match take_chunk_size(input)? {
                    None => return Ok(Decoded::Incomplete),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::ChunkData(size),
                },
                State::ChunkEnd => match input.first_chunk() {
                    Some(b"\r\n") => {
                        input.advance(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(FramingError::ChunkEnd),
                    None if input.first().is_some_and(|&byte| byte != b'\r') => {
                        return Err(FramingError::ChunkEnd);
                    }
                    None => return Ok(Decoded::Incomplete),
                },
                State::Trailers => return self.take_trailers(input),
            }
        }
    }

    fn take(&mut self, input: &mut BytesMut, left: u64, more: fn(u64) -> State, then: State) -> Decoded {
        if input.is_empty() {
            return Decoded::Incomplete;
        }
        let size = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        self.state = if size as u64 == left { then } else { more(left - size as u64) };
        Decoded::Data(input.split_to(size).freeze())
    }

    fn take_trailers(&mut self, input: &mut BytesMut) -> Result<Decoded, FramingError> {
        if input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::Done;
            return Ok(Decoded::End);
        }
        let mut scanned = 0;
        let end = super::head::find_end(input, &mut scanned).map_err(|_| FramingError::Trailers)?;
        let Some(end) = end.filter(|end| *end <= self.trailer_bytes) else {
            let too_long = input.len() > self.trailer_bytes;
            return if too_long { Err(FramingError::Trailers) } else { Ok(Decoded::Incomplete) };
        };
        let section = input.split_to(end).freeze();
        self.state = State::Done;
        parse_trailers(&section).map(Decoded::Trailers)
    }
}

/// Reads `HEXDIG+ [BWS ";" extension] CRLF`; none while the line is incomplete.
fn take_chunk_size(input: &mut BytesMut) -> Result<Option<u64>, FramingError> {
    let window = &input[..input.len().min(CHUNK_LINE)];
    let Some(line_feed) = memchr::memchr(b'\n', window) else {
        return if input.len() >= CHUNK_LINE { Err(FramingError::ChunkSize) } else { Ok(None) };
    };
    let line = window[..line_feed].strip_suffix(b"\r").ok_or(FramingError::ChunkSize)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    if digits == 0 || digits > 16 || !is_chunk_extension(extension) {
        return Err(FramingError::ChunkSize);
    }
    let size = size.iter().fold(0u64, |size, &digit| size << 4 | u64::from(hex_value(digit)));
    input.advance(line_feed + 1);
    Ok(Some(size))
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Extensions carry no meaning for a gateway, but a control character in one is somebody's other reading of the line.
fn is_chunk_extension(extension: &[u8]) -> bool {
    let visible = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    match extension.trim_ascii_start().first() {
        None => extension.is_empty(),
        Some(first) => *first == b';' && extension.iter().all(visible),
    }
}

fn parse_trailers(section: &Bytes) -> Result<HeaderMap, FramingError> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let parsed = httparse::parse_headers(section, &mut fields).map_err(|_| FramingError::Trailers)?;
    let httparse::Status::Complete((_, fields)) = parsed else { return Err(FramingError::Trailers) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| FramingError::Trailers)?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value))
            .map_err(|_| FramingError::Trailers)?;
        if may_be_trailer(&name) {
            trailers.append(name, value);
        }
    }
    Ok(trailers)
}

/// RFC 9110, section 6.5.1: fields for framing, routing and control have no place in trailers.
fn may_be_trailer(name: &HeaderName) -> bool {
    ![
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::RANGE,
    ]
    .contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` byte by byte and all at once; both must give the same body.
    fn check(framing: Framing, input: &str, expected: Result<&str, FramingError>) {
        for step in [1, input.len().max(1)] {
            let mut decoder = Decoder::new(framing, 1024);
            let mut buffer = BytesMut::new();
            let mut body = Vec::new();
            let mut outcome = Ok(());
            for piece in input.as_bytes().chunks(step) {
                buffer.extend_from_slice(piece);
                outcome = drain(&mut decoder, &mut buffer, &mut body);
                if outcome.is_err() {
                    break;
                }
            }
            let body = String::from_utf8(body).unwrap();
            assert_eq!(outcome.map(|()| body.as_str()), expected, "{input:?} in steps of {step}");
        }
    }

    fn drain(decoder: &mut Decoder, buffer: &mut BytesMut, body: &mut Vec<u8>) -> Result<(), FramingError> {
        loop {
            match decoder.decode(buffer)? {
                Decoded::Data(data) => body.extend_from_slice(&data),
                Decoded::Trailers(trailers) => body.extend(format!("{trailers:?}").bytes()),
                Decoded::End | Decoded::Incomplete => return Ok(()),
            }
        }
    }

    #[test]
    fn decodes_sized_and_chunked_bodies() {
        check(Framing::Length(5), "hello", Ok("hello"));
        check(Framing::Chunked, "5\r\nhello\r\n0\r\n\r\n", Ok("hello"));
        check(Framing::Chunked, "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", Ok("hello"));
        check(Framing::Chunked, "A\r\n0123456789\r\n00\r\n\r\n", Ok("0123456789"));
        check(Framing::Chunked, "0\r\nx-sum: 1\r\n\r\n", Ok(r#"{"x-sum": "1"}"#));
        check(Framing::Chunked, "0\r\ncontent-length: 9\r\n\r\n", Ok("{}"));
    }

    #[test]
    fn refuses_every_other_reading_of_a_chunk() {
        for input in ["\r\n", "x\r\n", "-1\r\n", "0x5\r\n", "5 \r\n", "5\n", " 5\r\n", "+5\r\n"] {
            check(Framing::Chunked, input, Err(FramingError::ChunkSize));
        }
        check(Framing::Chunked, "11111111111111111\r\n", Err(FramingError::ChunkSize));
        check(Framing::Chunked, "5;\x01\r\n", Err(FramingError::ChunkSize));
        check(Framing::Chunked, &"1".repeat(2000), Err(FramingError::ChunkSize));
        for input in ["2\r\nhexx", "2\r\nhe\n0", "2\r\nhe\rx"] {
            let mut decoder = Decoder::new(Framing::Chunked, 1024);
            let mut body = Vec::new();
            let outcome = drain(&mut decoder, &mut BytesMut::from(input), &mut body);
            assert_eq!(outcome, Err(FramingError::ChunkEnd), "{input:?}");
        }
        let mut decoder = Decoder::new(Framing::Chunked, 32);
        let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(64));
        let outcome = drain(&mut decoder, &mut BytesMut::from(long.as_str()), &mut Vec::new());
        assert_eq!(outcome, Err(FramingError::Trailers));
    }
}
