//! Backends: which there are, which of them are fit to be asked, whose turn it is, and connections to them.
//!
//! What all workers must agree on (the round-robin position, health) is atomics in a [`Cluster`]; connections belong
//! to one worker, in [`Pools`]. A cluster outlives the snapshot that made it for as long as the document names it, so
//! that a reload which does not concern it loses nothing.

mod balance;
mod cluster;
pub mod connect;
mod endpoint;
mod health;
mod line;
mod multiplex;
mod pool;
mod probe;

pub use cluster::{Cluster, ClusterSpec, Clusters, Member, MemberSpec, Pick, Strategy};
pub use connect::{ConnectError, Dial, connect};
pub use endpoint::{Endpoint, EndpointId, EndpointState};
pub use health::{Health, HealthKeeper};
pub use line::Line;
pub use multiplex::Place;
pub use pool::{Pool, Pools};
pub use probe::probe;
