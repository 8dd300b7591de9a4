//! The operator's door: a unix socket for everything, and where the document asks for it an address for metrics and
//! probes.

mod server;
mod socket;
mod status;

pub use server::Admin;
pub use socket::{SocketError, default_socket, open_socket};
pub use status::{Sources, Status};
