//! Bodies of gRPC-Web: base64 that comes in pieces, trailers as a frame, and the content types that tell of both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloud_cup::message::grpc;
use cloud_cup::message::grpc_web::{
    GrpcWebError, Mode, TextDecoder, encode_text, mode, response_content_type, trailers_frame,
    translate_request,
};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::deliveries;

/// Takes the input for a body in base64, for a body that is to be put into base64, for lines of trailers and for a content
/// type: whatever it is like, one of these finds it interesting.
pub fn check(input: &[u8]) {
    check_decoded(input);
    check_encoded(input);
    check_trailers(input);
    check_content_type(input);
}

/// Text gives the same bytes or the same error however it is delivered, and it is what groups of four characters give.
fn check_decoded(text: &[u8]) {
    let whole = decode(&[text]);
    for pieces in deliveries(text) {
        assert_eq!(decode(&pieces), whole, "in pieces");
    }
    let groups = text.chunks(4).map(|group| STANDARD.decode(group).ok());
    let naive: Option<Vec<_>> = groups.collect();
    assert_eq!(whole.ok(), naive.map(|groups| groups.concat()), "group by group");
}

/// What was put into base64 piece by piece comes out again, however it is delivered.
fn check_encoded(bytes: &[u8]) {
    for pieces in deliveries(bytes) {
        let text: Vec<u8> = pieces.iter().flat_map(|piece| encode_text(piece)).collect();
        for delivery in deliveries(&text) {
            assert_eq!(decode(&delivery).as_deref(), Ok(bytes));
        }
    }
}

fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, GrpcWebError> {
    let mut decoder = TextDecoder::default();
    let mut decoded = Vec::new();
    for piece in pieces {
        decoded.extend(decoder.push(piece)?);
    }
    decoded.extend(decoder.finish()?);
    Ok(decoded)
}

/// The frame of trailers has their number of bytes, and is read as the same trailers by who knows nothing but the protocol.
fn check_trailers(lines: &[u8]) {
    let field = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    let trailers: HeaderMap = lines.split(|&byte| byte == b'\n').take(100).filter_map(field).collect();
    let frame = trailers_frame(&trailers);
    let Some((&[flag, ref length @ ..], lines)) = frame.split_first_chunk::<5>() else {
        panic!("{frame:02x?} has no head")
    };
    assert_eq!((flag, u32::from_be_bytes(*length) as usize), (0x80, lines.len()));
    let read: HeaderMap = lines
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| {
            let line = line.strip_suffix(b"\r\n").expect("a line has an end");
            field(line).expect("a line is a field")
        })
        .collect();
    assert_eq!(read, trailers);
}

/// A request of gRPC-Web becomes one of gRPC and of nothing else, and the answer to it is of the same mode and suffix.
fn check_content_type(input: &[u8]) {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let Ok(content_type) = HeaderValue::from_bytes(line) else { return };
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
    let Some(asked) = mode(&headers) else { return };
    assert!(!grpc::is_grpc(&headers), "both of gRPC and of gRPC-Web");
    translate_request(&mut headers);
    assert!(grpc::is_grpc(&headers) && mode(&headers).is_none());

    let translated = &headers[header::CONTENT_TYPE];
    let answer = response_content_type(asked, Some(translated));
    let media_type = match asked {
        Mode::Binary => "application/grpc-web",
        Mode::Text => "application/grpc-web-text",
    };
    let suffix = |value: &HeaderValue, media_type: &str| {
        value.as_bytes().strip_prefix(media_type.as_bytes()).map(<[u8]>::to_vec)
    };
    assert_eq!(suffix(&answer, media_type), suffix(translated, "application/grpc"));
    assert_eq!(mode(&HeaderMap::from_iter([(header::CONTENT_TYPE, answer)])), Some(asked));
}
