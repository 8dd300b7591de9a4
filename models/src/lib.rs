//! What all workers share without a lock, under a model checker.
//!
//! The sources are the gateway's own. Only `base::sync`, from which they take their words, is [another one](base::sync)
//! here: loom's words try every order in which threads could take their steps, and every old value that a load may see
//! by the ordering that it asks for. Each `pub fn` of the models is one such run; it ends with a promise that must hold
//! however it went.
//!
//! Not here: publishing and draining. A snapshot reaches a worker as a message (tokio's channel, which tokio checks by
//! loom itself) and is swapped by the worker for itself, and a drain belongs to one worker: both are `Rc` and `Cell`, and
//! the compiler keeps other threads away. What several threads do share when a document is published is the health of
//! its endpoints and how much they have to do, and that is here (`upstream::members`).

use loom::model::Builder;

pub mod base;

#[path = "../../src/capability"]
#[allow(dead_code, unused_imports, reason = "a model needs a part of it")]
mod capability {
    pub mod circuit;
    pub mod rate_limit {
        mod table;

        #[path = "../../../models/src/charges.rs"]
        pub mod charges;
    }

    #[path = "../../models/src/breakers.rs"]
    pub mod breakers;
}

#[path = "../../src/plugin"]
#[allow(dead_code, reason = "a model needs a part of it")]
mod plugin {
    mod trip;

    #[path = "../../models/src/trips.rs"]
    pub mod trips;
}

#[path = "../../src/upstream"]
#[allow(dead_code, reason = "a model needs a part of it")]
mod upstream {
    mod endpoint;
    mod load;

    pub use endpoint::{Endpoint, Out};
    pub use load::{Limits, Load};

    /// How a backend is spoken to, of which only this matters here.
    #[derive(Debug, Default)]
    pub struct Dial {
        pub tls: Option<()>,
    }

    mod balance {
        /// Nothing that anybody is judged by here.
        #[derive(Debug)]
        pub struct Ewma;

        impl Ewma {
            pub fn new() -> Self {
                Self
            }
        }
    }

    mod health {
        /// Nothing that anybody is judged by here.
        #[derive(Debug, Default)]
        pub struct Record {}
    }

    #[path = "../../models/src/members.rs"]
    pub mod members;
}

/// What `upstream` names of it.
mod message {
    pub mod exchange {
        pub fn field_value(text: impl AsRef<str>) -> http::HeaderValue {
            http::HeaderValue::from_str(text.as_ref()).expect("an address is visible ASCII")
        }
    }
}

pub use capability::breakers;
pub use capability::rate_limit::charges;
pub use plugin::trips;
pub use upstream::members;

/// Preemptions of one run. Faults that need more are hardly known, and each one more takes many times as long.
const PREEMPTIONS: usize = 3;

/// Runs a model in every order, with a clock that stands still.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_within(PREEMPTIONS, model);
}

/// The same with so many preemptions.
fn check_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("it needs nothing");
    let _clock = runtime.enter();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Runs both at once, as two threads, and returns what each does.
fn both<T: 'static>(
    one: impl FnOnce() -> T + Send + 'static,
    other: impl FnOnce() -> T + Send + 'static,
) -> [T; 2] {
    let one = loom::thread::spawn(one);
    let other = other();
    [one.join().expect("it does not panic"), other]
}
