//! The operator's door: a unix socket for everything, and where the document asks for it an address for metrics and
//! probes.

mod capabilities;
mod server;
mod socket;
mod status;

pub use capabilities::BreakerAction;
pub use server::Admin;
pub use socket::{SocketError, default_socket, open_socket};
pub use status::{Sources, Status};
