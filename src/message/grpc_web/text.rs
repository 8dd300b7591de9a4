//! The base64 of text-mode bodies: segments that are padded on their own and joined.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use thiserror::Error;

/// Base64 characters that decode together.
const GROUP: usize = 4;

/// What is wrong with a gRPC-Web request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrpcWebError {
    /// A character outside the alphabet (line ends included), misplaced padding or set bits below it.
    #[error("malformed base64 in a gRPC-Web text body")]
    Base64,
    /// The body ended within a group of four characters.
    #[error("gRPC-Web text body ends inside a base64 group")]
    Truncated,
}

/// Takes a text-mode request body out of base64 (RFC 4648, section 4), in pieces of any size.
///
/// Any group may be padded, since clients join separately encoded segments. Holds at most one group between
/// pieces; what it returns is smaller than the piece plus that group. Of no use after an error: drop it.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The start of a group whose end has not arrived.
    pending: Vec<u8>,
}

impl TextDecoder {
    /// The bytes that are complete with this piece, possibly none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Bytes, GrpcWebError> {
        let missing = if self.pending.is_empty() { 0 } else { GROUP - self.pending.len() };
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        let (groups, tail) = rest.split_at(rest.len() - rest.len() % GROUP);
        let mut decoded = Vec::with_capacity(base64::decoded_len_estimate(groups.len() + GROUP));

        self.pending.extend_from_slice(head);
        if self.pending.len() == GROUP {
            decode_groups(&self.pending, &mut decoded)?;
            self.pending.clear();
        }
        decode_groups(groups, &mut decoded)?;
        self.pending.extend_from_slice(tail);
        Ok(decoded.into())
    }

    /// Ends the body, where an incomplete group is an error. The bytes are always none, as every complete
    /// group was given before.
    pub fn finish(&mut self) -> Result<Bytes, GrpcWebError> {
        if self.pending.is_empty() { Ok(Bytes::new()) } else { Err(GrpcWebError::Truncated) }
    }
}

/// One piece of a text-mode response body in base64, padded.
///
/// Each piece is a segment of its own, so the client can decode all of it at once, without the next piece;
/// that costs up to two padding characters a piece. Trailer frames are encoded like messages.
pub fn encode_text(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Decodes whole groups, segment by segment: the decoder takes padding only at the end of what it is given.
fn decode_groups(mut groups: &[u8], decoded: &mut Vec<u8>) -> Result<(), GrpcWebError> {
    while !groups.is_empty() {
        let padding = groups.iter().position(|&byte| byte == b'=');
        let end = padding.map_or(groups.len(), |padding| (padding / GROUP + 1) * GROUP);
        let (segment, rest) = groups.split_at(end);
        STANDARD.decode_vec(segment, decoded).map_err(|_| GrpcWebError::Base64)?;
        groups = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, GrpcWebError> {
        let mut decoder = TextDecoder::default();
        let mut decoded = Vec::new();
        for piece in pieces {
            decoded.extend(decoder.push(piece)?);
        }
        decoded.extend(decoder.finish()?);
        Ok(decoded)
    }

    /// Every group by itself.
    fn decode_naively(text: &[u8]) -> Option<Vec<u8>> {
        let groups = text.chunks(GROUP).map(|group| STANDARD.decode(group).ok());
        groups.collect::<Option<Vec<_>>>().map(|groups| groups.concat())
    }

    fn split<'a>(mut text: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        for &size in sizes {
            let (piece, rest) = text.split_at(size.min(text.len()));
            pieces.push(piece);
            text = rest;
        }
        pieces.push(text);
        pieces
    }

    #[test]
    fn decodes_text() {
        let check = |text: &str, expected: Result<&[u8], _>| {
            assert_eq!(decode(&[text.as_bytes()]), expected.map(<[u8]>::to_vec), "{text}");
        };
        check("", Ok(b""));
        check("YWJj", Ok(b"abc"));
        check("YQ==YWI=YWJjYQ==", Ok(b"aababca"));
        check("YQ", Err(GrpcWebError::Truncated));
        check("YWJjYQ=", Err(GrpcWebError::Truncated));
        let malformed =
            ["====", "Y===", "=WJj", "YQ=a", "YR==", "YQ==\r\n\r\n", "YWJjY-_j", "YW Jj===", "YWJ\u{e9}"];
        malformed.into_iter().for_each(|text| check(text, Err(GrpcWebError::Base64)));
    }

    #[test]
    fn gives_bytes_as_soon_as_their_group_is_complete() {
        let mut decoder = TextDecoder::default();
        let pushed = ["YW", "", "J", "jYQ=", "=Y"].map(|piece| decoder.push(piece.as_bytes()).unwrap());
        assert_eq!(pushed, [&b""[..], b"", b"", b"abc", b"a"]);
        assert_eq!(decoder.finish(), Err(GrpcWebError::Truncated));
    }

    proptest! {
        #[test]
        fn joined_segments_decode_however_split(
            segments in vec(vec(any::<u8>(), 0..40), 0..8),
            sizes in vec(0usize..16, 0..64),
        ) {
            let text: Vec<u8> = segments.iter().flat_map(|segment| encode_text(segment)).collect();
            prop_assert_eq!(decode(&split(&text, &sizes)), Ok(segments.concat()));
        }

        #[test]
        fn agrees_with_decoding_group_by_group(
            text in "[AQgw=]{0,24}|[AQgw]{4,12}=*!?",
            sizes in vec(0usize..7, 0..8),
        ) {
            prop_assert_eq!(decode(&split(text.as_bytes(), &sizes)).ok(), decode_naively(text.as_bytes()));
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..64), sizes in vec(0usize..9, 0..9)) {
            let mut decoder = TextDecoder::default();
            for piece in split(&bytes, &sizes) {
                let _ = decoder.push(piece);
            }
            let _ = decoder.finish();
        }
    }
}
