//! Keeps requests from what is failing until it has recovered.
//!
//! The breakers belong to the gateway; what happens here is to ask them before a request goes on, and to tell them how it
//! went.

mod config;
mod exempt;
mod failures;
mod plan;

use std::time::Duration;

use cloud_cup_plugin::{
    Error, Filter, Outcome, Refusal, Reply, RequestHead, Verdict, circuit::Breaker, facts, filter, grpc,
};

use config::{Config, Scope};
use plan::Plan;

struct CircuitBreaker {
    plan: Plan,
    breaker: Breaker,
}

#[filter(schema = "config.schema.json")]
impl Filter for CircuitBreaker {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        let plan = Plan::new(config)?;
        Ok(Self { breaker: Breaker::open(&plan.name, &plan.settings)?, plan })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        let is_exempt = !self.plan.exempt.is_empty() && exempt::matches(&self.plan.exempt, &request.path());
        if is_exempt {
            return Verdict::Next;
        }
        match self.admit() {
            Ok(()) => Verdict::Next,
            Err(retry_after) => self.refuse(request, retry_after),
        }
    }

    /// What was not admitted, as an exempt path is not, is reported to no effect.
    fn on_finish(&self, outcome: &Outcome) {
        let failed = self.plan.failures.judge(outcome);
        match self.plan.scope {
            Scope::Route => self.settle(&facts::route(), failed, outcome),
            Scope::Backend => {
                for backend in facts::backends() {
                    let was_asked = outcome.backend.as_ref() == Some(&backend);
                    self.settle(&backend, failed.filter(|_| was_asked), outcome);
                }
            }
        }
    }
}

impl CircuitBreaker {
    /// Or for how long no request may pass.
    fn admit(&self) -> Result<(), Duration> {
        match self.plan.scope {
            Scope::Route => self.breaker.admit(&facts::route()).map_err(|open| open.retry_after),
            Scope::Backend => self.admit_backends(),
        }
    }

    /// A backend that may not be asked is avoided. Where none may, the first that may again says when.
    fn admit_backends(&self) -> Result<(), Duration> {
        let backends = facts::backends();
        let refused = backends.iter().filter_map(|backend| {
            let open = self.breaker.admit(backend).err()?;
            Some((backend, open.retry_after))
        });
        let refused: Vec<_> = refused.collect();
        let has_other = refused.len() < backends.len();
        match refused.iter().map(|(_, retry_after)| *retry_after).min() {
            Some(retry_after) if !has_other => Err(retry_after),
            _ => {
                refused.iter().for_each(|(backend, _)| facts::avoid_backend(backend));
                Ok(())
            }
        }
    }

    fn settle(&self, key: &str, failed: Option<bool>, outcome: &Outcome) {
        match failed {
            Some(failed) => self.breaker.report(key, failed, failures::duration(outcome)),
            None => self.breaker.withdraw(key),
        }
    }

    fn refuse(&self, request: &RequestHead, retry_after: Duration) -> Verdict {
        let response = &self.plan.response;
        let refusal = Refusal {
            status: response.status,
            grpc_status: grpc::UNAVAILABLE,
            code: "circuit-open",
            message: "what would answer this is failing, and is left alone for a while",
        };
        let reply = match (request.is_grpc(), &response.body) {
            (false, Some(body)) => Reply::new(response.status)
                .header("content-type", &*response.content_type)
                .body(body.as_str()),
            (grpc, _) => refusal.reply(grpc),
        };
        reply.header("retry-after", plan::seconds(retry_after).to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("circuit-breaker", env!("CARGO_MANIFEST_DIR"), |text| {
            Plan::new(cloud_cup_plugin::parse_config(text)?).map(drop)
        });
    }
}
