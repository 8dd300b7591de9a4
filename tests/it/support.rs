//! What every test needs: a gateway in process, scripted backends, clients, and waiting without sleeping.
//!
//! Nothing here waits for ever: what does not happen within [`PATIENCE`] fails the test.

mod backend;
mod client;
mod gateway;
mod guests;
mod quic;
mod tls;
mod wait;
mod wire;

pub use backend::{Backend, Port};
pub use client::{Answer, Client, Feed, Frames, Responding, feed, get, post, request};
pub use gateway::{Gateway, document};
pub use guests::{guest, guests, guests_with};
pub use quic::{Http3, Http3Backend};
pub use tls::{Authority, Issued, TlsClient};
pub use wait::{PATIENCE, eventually, found, within};
pub use wire::{Wire, raw};
