//! HTTP/3 streams as messages (RFC 9114), for both sides of the gateway. Frames and field compression are the affair of
//! the crate `h3`, packets and streams that of `quinn`.

mod client;
mod quic;
mod received;
mod roundtrip;

pub use client::{Connection, Sender, connect};
pub use quic::{Accepted, Flow, Known, Quic, Sending};
pub use received::{FromClient, ReceivedBody};
pub use roundtrip::Roundtrip;
