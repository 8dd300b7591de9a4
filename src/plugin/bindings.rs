//! Generated from wit/v0.1. Nothing of it leaves `plugin`, but for records that are plain data.

#![allow(missing_docs, reason = "generated, and described in wit/v0.1")]

wasmtime::component::bindgen!({
    path: "wit/v0.1",
    world: "imports",
    imports: {
        // What may wait.
        "cloudcup:filter/jwt.[method]verifier.verify": async | trappable,
        "cloudcup:filter/http.send": async | trappable,
        default: trappable,
    },
    with: {
        "cloudcup:filter/heads.request-head": super::host::RequestHandle,
        "cloudcup:filter/heads.response-head": super::host::ResponseHandle,
        "cloudcup:filter/jwt.verifier": super::host::Verifier,
        "cloudcup:filter/jwt.claims": super::host::Claims,
        "cloudcup:filter/rate-limit.limiter": super::host::Limiter,
        "cloudcup:filter/circuit.breaker": super::host::Breaker,
        "cloudcup:filter/metrics.counter": super::host::Counter,
        "cloudcup:filter/metrics.gauge": super::host::Gauge,
        "cloudcup:filter/metrics.histogram": super::host::Histogram,
    },
});

pub use cloudcup::filter::heads::{Origin, Outcome, Reply, Verdict};
pub use cloudcup::filter::{
    circuit, clock, config, facts, heads, http, jwt, log, metrics, panic, random, rate_limit, secrets, state,
};
