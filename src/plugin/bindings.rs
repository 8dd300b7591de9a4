//! Generated from wit/v0.1. Nothing of it leaves `plugin`, but for records that are plain data.

#![allow(missing_docs, reason = "generated, and described in wit/v0.1/filter.wit")]

wasmtime::component::bindgen!({
    path: "wit/v0.1",
    world: "imports",
    imports: { default: trappable },
    with: {
        "cloudcup:filter/heads.request-head": super::host::RequestHandle,
        "cloudcup:filter/heads.response-head": super::host::ResponseHandle,
    },
});

pub use cloudcup::filter::heads::{Origin, Outcome, Reply, Verdict};
pub use cloudcup::filter::{clock, config, facts, heads, log, random};
