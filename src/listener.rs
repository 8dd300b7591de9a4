//! Sockets that clients connect to. Each worker has its own for every address, and the kernel shares connections out.

mod accept;
mod drain;
mod socket;

pub use accept::{Accept, ListenerSpec};
pub use drain::Drain;
pub use socket::{BindError, bind, stop_accepting};
