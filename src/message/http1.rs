//! HTTP/1.1 on a byte stream (RFC 9112), for both sides of the gateway.
//!
//! Strict where RFC 9112 leaves room for two readings of one message: a message that two recipients could frame
//! differently is refused, never repaired, because repairing it is how requests are smuggled.

mod framing;
mod head;
mod received;
mod roundtrip;
mod stream;
mod write;

pub use framing::{Decoded, Decoder, Framing, FramingError};
pub use head::{FieldLines, HeadError, HeadLimits, RequestHead, parse_request};
pub use received::{Inbound, ReceivedBody};
pub use roundtrip::{Answer, Bounds, IdleConnections, Roundtrip, RoundtripError, SentRequest};
pub use stream::{ReadHeadError, Stream};
pub use write::{BodyEncoding, SentResponse, encode_data, encode_end, write_response_head};
