//! Refuses requests without a certain field.
use cloud_cup_plugin::{Error, FieldName, Filter, Reply, RequestHead, Verdict, filter};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireHeader {
    name: FieldName,
    status: Option<u16>,
}

#[filter]
impl Filter for RequireHeader {
    type Config = Self;
    fn new(config: Self) -> Result<Self, Error> {
        let refuses = (400..=599).contains(&config.status.unwrap_or(401));
        if refuses { Ok(config) } else { Err("`status` is not of 400 to 599".into()) }
    }
    fn on_request(&self, request: &RequestHead) -> Verdict {
        let present = request.header(&self.name).is_some();
        if present { Verdict::Next } else { Reply::new(self.status.unwrap_or(401)).into() }
    }
}
