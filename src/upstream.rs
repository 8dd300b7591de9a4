//! Backends: which there are, which of them are fit to be asked, whose turn it is, and connections to them.
//!
//! What all workers must agree on (the round-robin position, health) is atomics in a [`Cluster`]; connections belong
//! to one worker, in [`Pools`]. A cluster outlives the snapshot that made it for as long as the document names it, so
//! that a reload which does not concern it loses nothing.

mod balance;
mod cluster;
pub mod connect;
mod endpoint;
mod fleet;
mod health;
mod line;
mod load;
mod multiplex;
mod pool;
mod probe;
mod resolve;
mod roster;

pub use balance::{Affinity, HashKey, SameSite, Strategy};
pub use cluster::{Cluster, ClusterSpec, Clusters, MemberSpec};
pub use connect::{ConnectError, Dial, connect};
pub use endpoint::{Busy, Endpoint, EndpointId, Out};
pub use fleet::{Balancing, Choice, Member};
pub use health::{FailurePercentage, Health, HealthCheck, HealthKeeper, Live, OutlierDetection, SuccessRate};
pub use line::Line;
pub use load::{Limits, Load, Permit, Quota, Share};
pub use multiplex::Place;
pub use pool::{Pool, Pools, Seat};
pub use probe::{HttpProbe, Probe, TIMEOUT as PROBE_TIMEOUT};
pub use resolve::{DnsSpec, Resolver};

use fleet::Fleet;
