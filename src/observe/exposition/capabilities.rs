//! What plugins keep in the gateway.

use super::{Facts, Page};

pub(super) fn write(page: &mut Page, facts: &Facts) {
    write_plugins(page, facts);
    write_limits(page, facts);
    write_breakers(page, facts);
    write_key_sets(page, facts);
    write_stores(page, facts);
}

/// One value for each of a list.
fn each<T, V: std::fmt::Display>(
    page: &mut Page,
    (name, kind, help): (&str, &str, &str),
    list: &[T],
    line: impl for<'t> Fn(&'t T) -> (Vec<(&'static str, &'t str)>, Option<V>),
) {
    if list.is_empty() {
        return;
    }
    page.head(name, kind, help);
    for item in list {
        if let (labels, Some(value)) = line(item) {
            page.line(name, &labels, value);
        }
    }
}

fn write_plugins(page: &mut Page, facts: &Facts) {
    let tripped =
        ("cloudcup_plugin_tripped", "gauge", "Whether the plugin is passed over after repeated faults.");
    each(page, tripped, &facts.plugins, |p| (vec![("plugin", &p.name)], Some(u8::from(p.is_tripped))));
    let trips = ("cloudcup_plugin_trips_total", "counter", "How often the plugin was tripped.");
    each(page, trips, &facts.plugins, |p| (vec![("plugin", &p.name)], Some(p.trips)));
}

fn write_limits(page: &mut Page, facts: &Facts) {
    let keys = ("cloudcup_rate_limit_keys", "gauge", "Accounts of a rate limit that are not full.");
    each(page, keys, &facts.limits, |l| (vec![("plugin", &l.plugin), ("limit", &l.limit)], Some(l.keys)));
    let evictions = (
        "cloudcup_rate_limit_evictions_total",
        "counter",
        "Accounts of a rate limit that were forgotten before they were full.",
    );
    each(page, evictions, &facts.limits, |l| {
        (vec![("plugin", &l.plugin), ("limit", &l.limit)], Some(l.evictions))
    });
}

fn write_breakers(page: &mut Page, facts: &Facts) {
    let state =
        ("cloudcup_circuit_state", "gauge", "State of a circuit breaker: 0 closed, 1 half-open, 2 open.");
    each(page, state, &facts.breakers, |b| {
        (vec![("plugin", &b.plugin), ("breaker", &b.breaker), ("key", &b.key)], Some(b.state))
    });
    let refused = ("cloudcup_circuit_refused_total", "counter", "Requests that a circuit breaker refused.");
    each(page, refused, &facts.breakers, |b| {
        (vec![("plugin", &b.plugin), ("breaker", &b.breaker), ("key", &b.key)], Some(b.refused))
    });
    if facts.breakers.is_empty() {
        return;
    }
    let name = "cloudcup_circuit_transitions_total";
    page.head(name, "counter", "Changes of a circuit breaker's state, by the state that was entered.");
    for breaker in &facts.breakers {
        for (to, count) in breaker.transitions {
            let labels = [
                ("plugin", breaker.plugin.as_str()),
                ("breaker", &breaker.breaker),
                ("key", &breaker.key),
                ("to", to),
            ];
            page.line(name, &labels, count);
        }
    }
}

fn write_key_sets(page: &mut Page, facts: &Facts) {
    let list = &facts.key_sets;
    let keys = ("cloudcup_jwt_keys", "gauge", "Keys of a key set.");
    each(page, keys, list, |k| (vec![("key_set", &k.key_set)], Some(k.keys)));
    let age = ("cloudcup_jwt_keys_age_seconds", "gauge", "Time since the keys were fetched.");
    each(page, age, list, |k| (vec![("key_set", &k.key_set)], k.age.map(|age| age.as_secs_f64())));
    let fetches = ("cloudcup_jwt_fetches_total", "counter", "Times that the keys were asked for.");
    each(page, fetches, list, |k| (vec![("key_set", &k.key_set)], Some(k.fetches)));
    let failures = ("cloudcup_jwt_fetch_failures_total", "counter", "Times that the keys could not be had.");
    each(page, failures, list, |k| (vec![("key_set", &k.key_set)], Some(k.fetch_failures)));
    let tokens = ("cloudcup_jwt_remembered_tokens", "gauge", "Verified tokens that are remembered.");
    each(page, tokens, list, |k| (vec![("key_set", &k.key_set)], Some(k.remembered)));
}

fn write_stores(page: &mut Page, facts: &Facts) {
    let entries = ("cloudcup_plugin_state_entries", "gauge", "Entries of a plugin's key-value store.");
    each(page, entries, &facts.stores, |s| (vec![("plugin", &s.plugin)], Some(s.entries)));
    let bytes = ("cloudcup_plugin_state_bytes", "gauge", "Keys and values of a plugin's key-value store.");
    each(page, bytes, &facts.stores, |s| (vec![("plugin", &s.plugin)], Some(s.bytes)));
}
