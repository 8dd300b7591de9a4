//! The operator's door: a unix socket for everything, and where the document asks for it an address for metrics,
//! probes and a page, where a token opens the rest.

mod api;
mod capabilities;
mod extract;
mod guard;
mod page;
mod probing;
mod server;
mod serving;
mod socket;
mod status;
mod users;

pub use capabilities::BreakerAction;
pub use probing::ProbeResult;
pub use server::{Admin, Wish};
pub use serving::{ListenerStatus, RouteStatus, RuleStatus};
pub use socket::{SocketError, default_socket, open_socket};
pub use status::{Sources, Status};
