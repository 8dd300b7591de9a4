use std::io::Read;

use proptest::prelude::*;

use super::*;

const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

fn decoder(coding: Coding, encoded: &[u8]) -> Box<dyn Read + '_> {
    match coding {
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(encoded)),
        Coding::Brotli => Box::new(brotli::Decompressor::new(encoded, 4096)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(encoded).unwrap()),
    }
}

fn decode(coding: Coding, encoded: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder(coding, encoded).read_to_end(&mut decoded).map(|_| decoded)
}

/// What a client has read when no more than this has come.
fn decode_so_far(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let (mut decoder, mut decoded, mut room) = (decoder(coding, encoded), Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = decoder.read(&mut room) {
        decoded.extend_from_slice(&room[..length]);
    }
    decoded
}

fn encode(coding: Coding, level: u32, chunks: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, level).unwrap();
    let mut encoded = Vec::new();
    chunks.iter().for_each(|chunk| encoder.encode(chunk, &mut encoded).unwrap());
    encoder.finish(&mut encoded).unwrap();
    encoded
}

fn text(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let words = ["gateway ", "<td class=\"cell\">", "endpoint", ", ", "the ", "{\"id\":", "0123456789", "\n"];
    let mut text = Vec::new();
    while text.len() < length {
        text.extend_from_slice(words[random.usize(..words.len())].as_bytes());
    }
    text.truncate(length);
    text
}

#[test]
fn every_level_gives_back_what_went_in() {
    let text = text(300_000);
    for (coding, levels) in CODINGS.into_iter().zip([0..=10, 0..=12, 0..=23]) {
        for level in levels {
            let encoded = encode(coding, level, &[&text]);
            assert!(encoded.len() < text.len() / 2, "{coding:?} {level}: {}", encoded.len());
            assert_eq!(decode(coding, &encoded).unwrap(), text, "{coding:?} {level}");
        }
    }
}

#[test]
fn the_window_of_zstd_is_that_of_the_constant_at_any_level() {
    for level in [1, 22] {
        // RFC 8878, section 3.1.1.1.2: a descriptor, and then the exponent in five bits, from 10 up.
        let exponent = encode(Coding::Zstd, level, &[&text(1 << 20)])[5] >> 3;
        assert_eq!(u32::from(exponent) + 10, ZSTD_WINDOW_BITS);
    }
}

#[test]
fn an_empty_body_is_a_whole_stream() {
    for coding in CODINGS {
        for chunks in [&[][..], &[&b""[..]]] {
            let encoded = encode(coding, 3, chunks);
            assert!(!encoded.is_empty());
            assert_eq!(decode(coding, &encoded).unwrap(), b"");
        }
    }
}

#[test]
fn what_does_not_compress_hardly_grows() {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.u8(..)).collect();
    for coding in CODINGS {
        let encoded = encode(coding, 5, &[&noise]);
        assert!(encoded.len() < noise.len() + noise.len() / 1000 + 64, "{coding:?}: {}", encoded.len());
        assert_eq!(decode(coding, &encoded).unwrap(), noise);
    }
}

#[test]
fn after_a_flush_the_client_has_everything() {
    for coding in CODINGS {
        let mut encoder = Encoder::new(coding, 5).unwrap();
        let (mut encoded, mut sent) = (Vec::new(), Vec::new());
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            encoder.encode(event.as_bytes(), &mut encoded).unwrap();
            encoder.flush(&mut encoded).unwrap();
            sent.extend_from_slice(event.as_bytes());
            assert_eq!(decode_so_far(coding, &encoded), sent, "{coding:?}");
        }
        assert!(decode(coding, &encoded).is_err(), "{coding:?}: it did not end yet");
        encoder.finish(&mut encoded).unwrap();
        assert_eq!(decode(coding, &encoded).unwrap(), sent);
    }
}

#[test]
fn a_flush_with_nothing_to_flush_adds_nothing() {
    for coding in CODINGS {
        let mut encoder = Encoder::new(coding, 5).unwrap();
        let mut encoded = Vec::new();
        encoder.flush(&mut encoded).unwrap();
        assert_eq!(encoded, b"");
        encoder.encode(b"a", &mut encoded).unwrap();
        encoder.flush(&mut encoded).unwrap();
        let length = encoded.len();
        encoder.encode(b"", &mut encoded).unwrap();
        encoder.flush(&mut encoded).unwrap();
        assert_eq!(encoded.len(), length, "{coding:?}");
    }
}

#[test]
fn a_stream_that_was_dropped_is_not_whole() {
    let text = text(200_000);
    for coding in CODINGS {
        let mut encoded = Vec::new();
        let mut encoder = Encoder::new(coding, 5).unwrap();
        encoder.encode(&text, &mut encoded).unwrap();
        drop(encoder);
        assert!(decode(coding, &encoded).is_err(), "{coding:?}");
    }
}

fn chunk() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let noise = prop::collection::vec(any::<u8>(), 0..3000);
    let repetition = (any::<u8>(), 0usize..200_000).prop_map(|(byte, length)| vec![byte; length]);
    let words = (0usize..40_000).prop_map(text);
    (prop_oneof![noise, repetition, words], any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_it_is_cut_and_flushed_it_comes_out_whole(
        chunks in prop::collection::vec(chunk(), 0..12), coding in prop::sample::select(&CODINGS), level in 0u32..=9,
    ) {
        let mut encoder = Encoder::new(coding, level).unwrap();
        let (mut encoded, mut expected) = (b"before".to_vec(), Vec::new());
        for (chunk, is_flushed) in chunks {
            encoder.encode(&chunk, &mut encoded).unwrap();
            expected.extend_from_slice(&chunk);
            if is_flushed {
                encoder.flush(&mut encoded).unwrap();
                let read = decode_so_far(coding, &encoded[6..]);
                prop_assert!(read == expected, "{} of {}", read.len(), expected.len());
            }
        }
        encoder.finish(&mut encoded).unwrap();
        prop_assert!(encoded.starts_with(b"before"));
        prop_assert!(decode(coding, &encoded[6..]).unwrap() == expected);
    }
}
