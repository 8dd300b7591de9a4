//! Plugins: WebAssembly components that decide on requests and responses, in a host that they cannot hurt.
//!
//! The way of a plugin: bytes are compiled once per content ([`Plugin`]); a route's use of it, with its own
//! configuration and limits, is an [`Attachment`]; a worker keeps one warm instance per attachment, or makes one
//! per request, and runs a route's attachments as a [`Chain`]. A call is synchronous, on the worker itself, and ends by
//! a deadline. Whatever goes wrong in it is a [`Fault`] of the one request that it served.

mod attachment;
mod bindings;
mod cache;
mod chain;
mod engine;
mod fault;
mod grants;
mod host;
mod imports;
mod inspect;
mod instance;
mod limits;
mod load;
mod opened;
mod reply;
mod schema;
pub mod shipped;
mod trip;

pub use attachment::{AttachError, Attachment, AttachmentSpec, Isolation, OnError};
pub use bindings::{Origin, Outcome};
pub use cache::CacheFolder;
pub use chain::{Chain, ChainEnd, Instances, Link, Place, subject};
pub use engine::PluginEngine;
pub use fault::{Fault, FaultKind};
pub use grants::{Grants, Quotas};
pub use inspect::Inspection;
pub use instance::Verdict;
pub use limits::PluginLimits;
pub use load::{Digest, LoadError, Permission, Plugin};
pub use reply::Reply;
pub use schema::Misfit;
