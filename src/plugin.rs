//! Plugins: WebAssembly components that decide on requests and responses, in a host that they cannot hurt.
//!
//! The way of a plugin: bytes are compiled once per content ([`Plugin`]); a route's use of it, with its own
//! configuration and limits, is an [`Attachment`]; a worker keeps one warm instance per attachment, or makes one
//! per request, and runs a route's attachments as a [`Chain`]. A call is synchronous, on the worker itself, and ends by
//! a deadline. Whatever goes wrong in it is a [`Fault`] of the one request that it served.

mod attachment;
mod bindings;
mod chain;
mod engine;
mod host;
mod instance;
mod limits;
mod load;
mod reply;
pub mod shipped;

pub use attachment::{AttachError, Attachment, AttachmentSpec, Isolation, OnError};
pub use bindings::{Origin, Outcome};
pub use chain::{Chain, ChainEnd, Instances};
pub use engine::PluginEngine;
pub use instance::{Fault, FaultKind, Verdict};
pub use limits::PluginLimits;
pub use load::{Digest, LoadError, Permission, Plugin};
pub use reply::Reply;
