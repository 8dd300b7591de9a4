//! HTTP messages: the one request and response type of the gateway, its body, and the HTTP/1.1 codec.
//!
//! Every protocol turns bytes into [`Request`] and a [`Response`] back into bytes; nothing else in the gateway asks
//! which version it serves. HTTP/1.1 has a codec of its own here, for both directions, because strict framing,
//! interim responses, a small idle connection and the processor time of a request all depend on it; HTTP/2 and
//! HTTP/3 are those of the crates `h2` and `h3`, of which here is what both sides of the gateway need.

pub mod body;
pub mod client;
pub mod compress;
pub mod exchange;
pub mod grpc;
pub mod grpc_web;
pub mod http1;
pub mod http2;
pub mod http3;
pub mod proxy_protocol;
mod roundtrip;
pub mod tls;
pub mod upgrade;

pub use body::{Body, BodyError};
pub use client::{Client, Entrance};
pub use exchange::{Exchange, ResponseHead};
pub use roundtrip::Roundtrip;
pub use upgrade::Upgrade;

/// A request on its way through the gateway.
pub type Request = http::Request<Body>;

/// A response on its way through the gateway.
pub type Response = http::Response<Body>;
