//! Sockets that clients connect to. Each worker has its own for every address, and the kernel shares connections out.

mod accept;
mod greet;
mod inherited;
mod quic;
mod socket;
pub mod tls;

pub use accept::{Accept, ListenerKey, ListenerSpec};
pub use inherited::Inherited;
pub use socket::{BindError, Bound, bind, bind_alone, replace_path, stop_accepting};
