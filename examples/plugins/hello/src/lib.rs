//! Greets whoever stands in the path, and asks no backend for it.

use cloud_cup_plugin::{Error, Filter, Reply, RequestHead, Verdict, facts, filter};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "hello".to_owned()
}

#[filter]
impl Filter for Hello {
    type Config = Self;

    fn new(config: Self) -> Result<Self, Error> {
        Ok(config)
    }

    fn on_request(&self, _request: &RequestHead) -> Verdict {
        let Some(name) = facts::path_parameter("name") else { return Verdict::Next };
        let body = format!("{}, {name}\n", self.greeting);
        Reply::new(200).header("content-type", "text/plain; charset=utf-8").body(body).into()
    }
}
