//! The request function: match, plugins, pick, forward, retry, respond, finish.
//!
//! Everything here runs on one worker. A request holds one [`View`] from its match to its last byte, and nothing on its
//! way takes a lock that another worker can hold.

mod act;
mod attempt;
mod compress;
mod connection;
mod course;
mod deadline;
mod explain;
mod failure;
mod fault;
mod finish;
mod forward;
mod grpc;
mod grpc_web;
mod handle;
mod mirror;
mod normalise;
mod replay;
mod retry;
mod snapshot;
mod split;
mod tunnel;
mod view;

pub use compress::Compress;
pub use connection::{Connection, Interim};
pub use explain::{ActionVerdict, Explanation, MirrorVerdict, ShareVerdict, explain, question};
pub use failure::{Failure, Reason};
pub use finish::ResponseBody;
pub use grpc_web::GrpcWeb;
pub use handle::{Proxy, answer};
pub use normalise::normalise;
pub use retry::{RetryOn, RetryPolicy};
pub use snapshot::{Certificate, Http2Limits, Route, Rule, RuleTimeouts, Settings, Snapshot, Timeouts};
pub use split::Sticky;
pub use view::{Prepared, View};
