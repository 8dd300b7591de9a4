//! The call of the case `grpc`: one message each way.

/// A message behind its prefix, without compression and of 100 bytes. It is sent and answered.
pub const MESSAGE: &[u8; PREFIX.len() + LENGTH] = &message();
pub const PATH: &str = "/bench.Echo/Call";
pub const CONTENT_TYPE: &str = "application/grpc";

const LENGTH: usize = 100;
const PREFIX: [u8; 5] = [0, 0, 0, 0, LENGTH as u8];

const fn message() -> [u8; PREFIX.len() + LENGTH] {
    let mut message = [b'x'; PREFIX.len() + LENGTH];
    let mut at = 0;
    while at < PREFIX.len() {
        message[at] = PREFIX[at];
        at += 1;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_says_how_long_the_message_is() {
        let (flag_and_length, message) = MESSAGE.split_at(PREFIX.len());
        assert_eq!(flag_and_length, [0, 0, 0, 0, 100]);
        assert_eq!(message, [b'x'; LENGTH]);
    }
}
