//! Limits how often something may be asked for, by whatever tells who asks.
//!
//! The accounts belong to the gateway; what happens here is to name the account of a request, to have the limits checked
//! one after another, and to say it.

mod config;
mod key;
mod plan;
mod standing;

use cloud_cup_plugin::{
    Error, Filter, Refusal, Reply, RequestHead, Verdict, facts, filter, grpc, log,
    rate_limit::{Decision, LimitError, Limiter},
};

use config::{Config, Cost, Mode, Part, Unavailable};
use key::Key;
use plan::Plan;
use standing::Standing;

struct RateLimit {
    plan: Plan,
    /// One for each of the plan's limits.
    limiters: Vec<Limiter>,
}

#[filter(schema = "config.schema.json")]
impl Filter for RateLimit {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        let plan = Plan::new(config)?;
        let limiters = plan.limits.iter().map(|limit| Limiter::open(&limit.name, limit.quota));
        Ok(Self { limiters: limiters.collect::<Result<_, _>>()?, plan })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        let Some(key) = self.key(request) else { return Verdict::Next };
        let cost = self.cost(request);
        let mut standing = Standing::default();
        for (limit, limiter) in self.plan.limits.iter().zip(&self.limiters) {
            let decision = match limiter.check(&key, cost) {
                Ok(decision) => decision,
                Err(LimitError::TooCostly) => limit.never(),
                Err(error @ LimitError::Unavailable(_)) if self.plan.unavailable == Unavailable::Allow => {
                    log::warn!("the limit `{}` lets a request pass unchecked: {error}", limit.name);
                    continue;
                }
                Err(LimitError::Unavailable(_)) => return unavailable(request),
            };
            standing.push(limit, &decision);
            if !decision.allowed {
                return self.refuse(request, &limit.name, &decision, &standing);
            }
        }
        if self.plan.tells_clients() {
            for (name, value) in standing.fields(&self.plan) {
                // A response that is full goes without.
                _ = request.append_response_header(name, value.as_bytes());
            }
        }
        Verdict::Next
    }
}

impl RateLimit {
    /// None where the request is not limited.
    fn key(&self, request: &RequestHead) -> Option<Key> {
        let mut key = Key::default();
        for part in &self.plan.key {
            let value = value(part, request).filter(|value| !value.is_empty());
            if value.is_none() && self.plan.skips_missing {
                return None;
            }
            key.push(&value.unwrap_or_default());
        }
        Some(key)
    }

    fn cost(&self, request: &RequestHead) -> u32 {
        match &self.plan.cost {
            Cost::Fixed(cost) => cost.get(),
            Cost::Header { header } => {
                let told = request.header_str(header).and_then(|value| value.parse().ok());
                told.unwrap_or(1).max(1)
            }
        }
    }

    fn refuse(
        &self,
        request: &RequestHead,
        limit: &str,
        decision: &Decision,
        standing: &Standing,
    ) -> Verdict {
        if self.plan.mode == Mode::Shadow {
            log::info!("the limit `{limit}` would refuse a request of the route `{}`", facts::route());
            _ = facts::set_attribute("rate-limit.shadow", limit);
            return Verdict::Next;
        }
        let mut reply = self.refusal(request.is_grpc());
        // No waiting helps what is too costly.
        if !decision.retry_after.is_zero() {
            reply = reply.header("retry-after", standing::seconds(decision.retry_after).to_string());
        }
        if self.plan.tells_clients() {
            for (name, value) in standing.fields(&self.plan) {
                reply = reply.header(name, value.into_owned());
            }
        }
        reply.into()
    }

    fn refusal(&self, grpc: bool) -> Reply {
        let refusal = Refusal {
            status: self.plan.status,
            grpc_status: grpc::RESOURCE_EXHAUSTED,
            code: "rate-limited",
            message: "too many requests",
        };
        match &self.plan.body {
            Some(body) if !grpc => {
                let content_type = self.plan.content_type.as_deref().unwrap_or(b"text/plain; charset=utf-8");
                Reply::new(self.plan.status).header("content-type", content_type).body(body.as_str())
            }
            _ => refusal.reply(grpc),
        }
    }
}

fn value(part: &Part, request: &RequestHead) -> Option<String> {
    match part {
        Part::Route => Some(facts::route()),
        Part::ClientAddress(prefixes) => Some(key::network(facts::client_address(), *prefixes)),
        Part::Header(name) => request.header(name).map(key::text),
        Part::Cookie(name) => request.cookies(name).into_iter().next(),
        Part::PathParameter(name) => facts::path_parameter(name),
        Part::Attribute(name) => facts::attribute(name),
    }
}

fn unavailable(request: &RequestHead) -> Verdict {
    let refusal = Refusal {
        status: 503,
        grpc_status: grpc::UNAVAILABLE,
        code: "rate-limit-unavailable",
        message: "the rate limit cannot be checked",
    };
    refusal.reply(request.is_grpc()).header("retry-after", "1").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("rate-limit", env!("CARGO_MANIFEST_DIR"), |text| {
            Plan::new(cloud_cup_plugin::parse_config(text)?).map(drop)
        });
    }
}
