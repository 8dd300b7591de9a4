//! HTTP/2 streams as messages (RFC 9113), for both sides of the gateway. Frames, windows and the known floods are the
//! affair of the crate `h2`.

mod received;
mod roundtrip;

pub use received::ReceivedBody;
pub use roundtrip::Roundtrip;
