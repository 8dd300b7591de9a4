//! Sockets that clients connect to. Each worker has its own for every address, and the kernel shares connections out.

mod accept;
mod socket;
pub mod tls;

pub use accept::{Accept, ListenerKey, ListenerSpec};
pub use socket::{BindError, bind, stop_accepting};
