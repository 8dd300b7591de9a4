//! The hostile guests, and what each gets for it.

use serde_json::{Value, json};

use super::waiting;

/// A guest, how it is hostile, and what it gets.
#[derive(Debug)]
pub struct Case {
    pub plugin: &'static str,
    what: &'static str,
    hook: &'static str,
    limits: Value,
    pub gets: Gets,
}

#[derive(Debug, Clone, Copy)]
pub enum Gets {
    /// What it does is bounded, and every request is served.
    Served,
    /// This code for each request, until it is not called any more.
    Fault(&'static str),
    /// The client is served before the fault.
    FaultAtTheEnd(&'static str),
    /// Requests are served until a bound is reached; a new instance begins again.
    FaultInTheEnd(&'static str),
}

impl Case {
    pub fn new(plugin: &'static str, what: &'static str, gets: Gets) -> Self {
        Self { plugin, what, hook: "on-request", limits: json!({ "time": "10s" }), gets }
    }

    pub fn at(self, hook: &'static str) -> Self {
        Self { hook, ..self }.within("50ms")
    }

    fn within(mut self, time: &str) -> Self {
        self.limits["time"] = json!(time);
        self
    }

    fn with_memory(mut self, memory: &str) -> Self {
        self.limits["memory"] = json!(memory);
        self
    }

    pub fn path(&self) -> String {
        format!("/bad/{}/{}/{}", self.plugin, self.what, self.hook)
    }

    pub fn attachment(&self) -> Value {
        let config = match self.plugin {
            "hostile" => json!({ "do": self.what, "hook": self.hook }),
            "hostile-waits" => json!({ "do": self.what, "hook": self.hook, "token": waiting::token() }),
            _ => Value::Null,
        };
        json!({ "use": self.plugin, "config": config, "limits": self.limits })
    }
}

pub fn cases() -> Vec<Case> {
    let hostile = |what, gets| Case::new("hostile", what, gets);
    let waits = |what, gets| Case::new("hostile-waits", what, gets);
    let by_hand = |plugin, code| Case::new(plugin, "by-hand", Gets::Fault(code)).within("50ms");
    let served = Gets::Served;
    let fault = Gets::Fault;
    vec![
        // Time.
        hostile("exhaust-loop", fault("plugin-deadline")).at("on-request"),
        hostile("exhaust-loop", fault("plugin-deadline")).at("on-response"),
        hostile("exhaust-loop", Gets::FaultAtTheEnd("plugin-deadline")).at("on-finish"),
        waits("loop", fault("plugin-deadline")).at("on-request"),
        waits("loop", Gets::FaultAtTheEnd("plugin-deadline")).at("on-finish"),
        waits("denied", fault("plugin-deadline")).at("on-request"),
        hostile("flood-random", fault("plugin-deadline")).at("on-request"),
        by_hand("realloc-loop", "plugin-deadline"),
        // Memory and stack.
        hostile("exhaust-memory", fault("plugin-memory")),
        hostile("exhaust-memory-and-live", served).with_memory("4MiB"),
        hostile("exhaust-leak", Gets::FaultInTheEnd("plugin-memory")).with_memory("3MiB"),
        hostile("exhaust-stack", fault("plugin-trap")),
        by_hand("recursion", "plugin-stack"),
        by_hand("locals", "plugin-stack"),
        by_hand("table", "plugin-memory"),
        // Traps.
        hostile("exhaust-panic", fault("plugin-trap")),
        hostile("exhaust-panic", fault("plugin-trap")).at("on-response"),
        hostile("exhaust-panic", Gets::FaultAtTheEnd("plugin-trap")).at("on-finish"),
        waits("panic", fault("plugin-trap")),
        hostile("exhaust-unreachable", fault("plugin-trap")),
        hostile("exhaust-read", fault("plugin-trap")),
        by_hand("division", "plugin-trap"),
        by_hand("forged-name", "plugin-trap"),
        // Replies.
        hostile("answer-status-0", fault("plugin-reply")),
        hostile("answer-status-999", fault("plugin-reply")),
        hostile("answer-informational", fault("plugin-reply")),
        hostile("answer-name", fault("plugin-reply")),
        hostile("answer-value", fault("plugin-reply")),
        hostile("answer-forbidden", fault("plugin-reply")),
        hostile("answer-many-fields", fault("plugin-reply")),
        hostile("answer-large-fields", fault("plugin-reply")),
        hostile("answer-huge", fault("plugin-reply")),
        // Texts and lists.
        hostile("huge-line", served),
        hostile("huge-attribute", served),
        hostile("huge-attribute-name", served),
        hostile("huge-parameter", served),
        hostile("huge-backend", served),
        hostile("huge-header", served),
        hostile("huge-key", served),
        hostile("huge-value", served),
        hostile("huge-label", served),
        hostile("huge-name", served),
        hostile("huge-words", fault("plugin-trap")),
        hostile("huge-labels-by-alias", fault("plugin-misuse")),
        hostile("huge-fields-by-alias", fault("plugin-misuse")),
        waits("huge-body", served),
        waits("fields-by-alias", fault("plugin-misuse")),
        waits("token", served),
        // Floods.
        hostile("flood-log", served),
        hostile("flood-random-beyond", fault("plugin-misuse")),
        hostile("flood-attributes", served),
        hostile("flood-headers", served),
        hostile("flood-limiter", served),
        hostile("flood-state-values", served),
        hostile("flood-state", served),
        hostile("flood-breaker", served),
        hostile("flood-transitions", served),
        // Handles.
        Case { hook: "configure", ..hostile("handle-limiters", served) },
        Case { hook: "configure", ..hostile("handle-series", served) },
        Case { hook: "configure", ..hostile("handle-bounds", served) },
        hostile("handle-open", served),
        hostile("handle-stale", fault("plugin-misuse")),
        hostile("handle-of-another-kind", fault("plugin-misuse")),
        hostile("handle-dropped-twice", fault("plugin-misuse")),
        waits("claims", fault("plugin-misuse")),
        by_hand("keeps", "plugin-misuse"),
        by_hand("realloc-beyond", "plugin-misuse"),
        by_hand("re-entrant", "plugin-trap"),
    ]
}
