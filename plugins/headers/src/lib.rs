//! Removes, sets and appends fields of requests and responses, as its config says.

mod change;

use cloud_cup_plugin::{Error, Filter, HeadError, Reply, RequestHead, ResponseHead, Verdict, filter};

use change::Change;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    #[serde(default)]
    request: Change,
    #[serde(default)]
    response: Change,
}

#[filter]
impl Filter for Headers {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Error> {
        Ok(config)
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        verdict(apply(&self.request, request), 431)
    }

    fn on_response(&self, _request: &RequestHead, response: &ResponseHead) -> Verdict {
        verdict(apply(&self.response, response), 502)
    }
}

/// Names and values were checked, so a change is refused only for the size of what the head already holds. Going on
/// without it could take away a field that protects someone.
fn verdict(applied: Result<(), HeadError>, status: u16) -> Verdict {
    match applied {
        Ok(()) => Verdict::Next,
        Err(_) => Reply::new(status).into(),
    }
}

fn apply(change: &Change, head: &impl Head) -> Result<(), HeadError> {
    for name in &change.remove {
        head.remove(name)?;
    }
    for (name, value) in &change.set.0 {
        head.set(name, value)?;
    }
    for (name, value) in &change.append.0 {
        head.append(name, value)?;
    }
    Ok(())
}

trait Head {
    fn set(&self, name: &str, value: &[u8]) -> Result<(), HeadError>;
    fn append(&self, name: &str, value: &[u8]) -> Result<(), HeadError>;
    fn remove(&self, name: &str) -> Result<(), HeadError>;
}

macro_rules! head {
    ($head:ty) => {
        impl Head for $head {
            fn set(&self, name: &str, value: &[u8]) -> Result<(), HeadError> {
                self.set_header(name, value)
            }

            fn append(&self, name: &str, value: &[u8]) -> Result<(), HeadError> {
                self.append_header(name, value)
            }

            fn remove(&self, name: &str) -> Result<(), HeadError> {
                self.remove_header(name)
            }
        }
    };
}

head!(RequestHead);
head!(ResponseHead);
