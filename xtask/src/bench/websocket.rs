//! The messages of the cases with WebSockets (RFC 6455): 100 bytes each way, in frames that never change.

/// The path that is answered by a WebSocket.
pub const PATH: &str = "/echo";
/// Of the example in section 1.3, with what it is answered by.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const LENGTH: usize = 100;
const BINARY_AND_LAST: u8 = 0x82;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x5a, 0x21, 0x0f, 0x96];

/// What a client sends: masked, as it must be.
pub const FROM_CLIENT: [u8; 6 + LENGTH] = from_client();
/// What the server sends back: the same message.
pub const FROM_SERVER: [u8; 2 + LENGTH] = from_server();

const fn from_client() -> [u8; 6 + LENGTH] {
    let mut frame = [0; 6 + LENGTH];
    (frame[0], frame[1]) = (BINARY_AND_LAST, MASKED | LENGTH as u8);
    let mut at = 0;
    while at < MASK.len() {
        frame[2 + at] = MASK[at];
        at += 1;
    }
    let mut at = 0;
    while at < LENGTH {
        frame[6 + at] = b'x' ^ MASK[at % MASK.len()];
        at += 1;
    }
    frame
}

const fn from_server() -> [u8; 2 + LENGTH] {
    let mut frame = [b'x'; 2 + LENGTH];
    (frame[0], frame[1]) = (BINARY_AND_LAST, LENGTH as u8);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_frames_have_the_same_message() {
        let (mask, masked) = FROM_CLIENT[2..].split_at(MASK.len());
        let message: Vec<u8> =
            masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(message, FROM_SERVER[2..]);
        assert_eq!(message, [b'x'; LENGTH]);
        assert_eq!((FROM_CLIENT[1], FROM_SERVER[1]), (0x80 | 100, 100));
    }
}
