//! From typed values to bytes (RFC 9112, sections 3, 4 and 7).

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri, Version};

use super::SentRequest;
use super::stream::Output;

/// How a body is delimited on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEncoding {
    /// Nothing is said about a body, and none is sent.
    None,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`, with trailers.
    Chunked,
    /// The end of the connection; to HTTP/1.0 clients.
    Close,
}

/// Room that most heads fit into.
const HEAD_SIZE: usize = 1024;

pub(super) fn write_request_head(output: &mut Output, request: &SentRequest<'_>, encoding: BodyEncoding) {
    let buffer = output.buffer();
    buffer.reserve(HEAD_SIZE);
    put(buffer, &[request.method.as_str().as_bytes(), b" ", target(request.uri), b" HTTP/1.1\r\n"]);
    match request.host {
        None => write_fields(buffer, request.headers),
        Some(host) => {
            write_field(buffer, &header::HOST, host);
            let others = request.headers.iter().filter(|(name, _)| *name != header::HOST);
            others.for_each(|(name, value)| write_field(buffer, name, value));
        }
    }
    buffer.extend_from_slice(request.lines);
    if let Some(upgrade) = request.upgrade {
        put(buffer, &[b"connection: upgrade\r\nupgrade: ", upgrade.token().as_bytes(), b"\r\n"]);
    }
    write_framing(buffer, encoding);
    buffer.extend_from_slice(b"\r\n");
}

/// The head of a response on its way to a client.
#[derive(Debug)]
pub struct SentResponse<'a> {
    /// The status.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: &'a HeaderMap,
    /// More of them, as lines.
    pub lines: &'a [u8],
}

/// Writes a response's head to `output`. The headers must not have framing fields of their own, but for the
/// `content-length` of a response that has no body.
pub fn write_response_head(
    output: &mut Output,
    version: Version,
    response: &SentResponse<'_>,
    encoding: BodyEncoding,
    connection: Option<&'static str>,
) {
    let buffer = output.buffer();
    buffer.reserve(HEAD_SIZE);
    // A gateway answers with its own version, but HTTP/1.0 clients may not understand anything newer.
    buffer.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    let reason = response.status.canonical_reason().unwrap_or_default();
    put(buffer, &[response.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
    write_fields(buffer, response.headers);
    buffer.extend_from_slice(response.lines);
    write_framing(buffer, encoding);
    if let Some(option) = connection {
        put(buffer, &[b"connection: ", option.as_bytes(), b"\r\n"]);
    }
    buffer.extend_from_slice(b"\r\n");
}

/// Writes one piece of a body to `output`, in which no other chunk may be waiting.
pub fn encode_data(output: &mut Output, encoding: BodyEncoding, data: Bytes) {
    if data.is_empty() {
        return;
    }
    if encoding != BodyEncoding::Chunked {
        return output.push(data, b"");
    }
    let mut size = [0; 16];
    let digits = hexadecimal(data.len(), &mut size);
    put(output.buffer(), &[digits, b"\r\n"]);
    output.push(data, b"\r\n");
}

/// Writes the end of a body to `output`, with its trailers where the encoding can carry them.
pub fn encode_end(output: &mut Output, encoding: BodyEncoding, trailers: Option<&HeaderMap>) {
    if encoding != BodyEncoding::Chunked {
        return;
    }
    let buffer = output.buffer();
    buffer.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        write_fields(buffer, trailers);
    }
    buffer.extend_from_slice(b"\r\n");
}

fn target(uri: &Uri) -> &[u8] {
    uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes())
}

fn write_fields(buffer: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        write_field(buffer, name, value);
    }
}

fn write_field(buffer: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    put(buffer, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
}

fn write_framing(buffer: &mut BytesMut, encoding: BodyEncoding) {
    match encoding {
        BodyEncoding::None | BodyEncoding::Close => {}
        BodyEncoding::Chunked => buffer.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyEncoding::Length(length) => {
            let mut digits = itoa::Buffer::new();
            put(buffer, &[b"content-length: ", digits.format(length).as_bytes(), b"\r\n"]);
        }
    }
}

fn put(buffer: &mut BytesMut, pieces: &[&[u8]]) {
    buffer.reserve(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        buffer.extend_from_slice(piece);
    }
}

fn hexadecimal(mut value: usize, digits: &mut [u8; 16]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[value % 16];
        value /= 16;
        if value == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_carry_their_size_in_hexadecimal() {
        for (size, expected) in [(1, "1"), (15, "f"), (16, "10"), (4095, "fff")] {
            let mut output = Output::default();
            encode_data(&mut output, BodyEncoding::Chunked, Bytes::from(vec![b'x'; size]));
            let line_end = output.buffer().windows(2).position(|pair| pair == b"\r\n").unwrap();
            assert_eq!(&output.buffer()[..line_end], expected.as_bytes());
        }
    }
}
