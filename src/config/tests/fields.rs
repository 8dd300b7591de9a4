//! Every field of the document: a good value, and a bad one with what is said of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{FULL, check_in, folder, schema, show};

struct Case {
    /// The field, with the definition of the schema that has it.
    field: &'static str,
    /// Where [`FULL`] has it.
    pointer: &'static str,
    good: &'static str,
    bad: &'static str,
    message: &'static str,
}

#[test]
fn takes_a_good_value_and_explains_a_bad_one() {
    let folder = folder();
    let check = |case: &Case, value| check_in(folder.path(), &full_with(case.pointer, value));
    for case in &CASES {
        if let Err(errors) = check(case, case.good) {
            panic!("{}: {}", case.field, show(&errors));
        }
        let errors = check(case, case.bad).expect_err(case.field);
        let message = case.message.replace("FOLDER", &folder.path().display().to_string());
        assert_eq!(errors[0].message, message, "{}", case.field);
        assert_eq!(errors.len(), 1, "{}: {}", case.field, show(&errors));
    }
}

#[test]
fn every_field_has_a_case() {
    let schema = schema();
    let mut fields: BTreeSet<String> = properties(&schema).map(str::to_owned).collect();
    for (definition, schema) in schema["$defs"].as_object().unwrap() {
        fields.extend(properties(schema).map(|property| format!("{definition}.{property}")));
    }
    assert_eq!(fields, CASES.iter().map(|case| case.field.to_owned()).collect());
}

fn properties(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

/// [`FULL`] with another value at a place.
fn full_with(pointer: &str, value: &str) -> String {
    let mut document: Value = serde_json::from_str(FULL).unwrap();
    *document.pointer_mut(pointer).expect("a field of the full document") =
        serde_json::from_str(value).unwrap();
    document.to_string()
}

const fn case(
    field: &'static str,
    pointer: &'static str,
    good: &'static str,
    bad: &'static str,
    message: &'static str,
) -> Case {
    Case { field, pointer, good, bad, message }
}

#[rustfmt::skip]
const CASES: [Case; 101] = [
    case("$schema", "/$schema", r#""x""#, "1",
        "expected a string, found `1`"),
    case("root", "/root", r#""[::1]:0""#, r#""127.0.0.1""#,
        "expected an address and a port such as `127.0.0.1:8080`, `[::1]:8080` or `:8080`, found `127.0.0.1`"),
    case("listeners", "/listeners", "{}", r#"{"a b": {"address": ":1"}}"#,
        "expected a name of 1 to 64 letters, digits, `_`, `-` and `.`, found `a b`"),
    case("workers", "/workers", "256", "257",
        "expected 1 to 256, found `257`"),
    case("http", "/http", "{}", "[]",
        "expected an object, found an empty array"),
    case("ssl", "/ssl", r#"{"ssl_certificate": "certificate.pem", "ssl_certificate_key": "key.pem"}"#, "true",
        "expected an object, found `true`"),
    case("timeouts", "/timeouts", "{}", r#""1s""#,
        "expected an object, found the string `1s`"),
    case("limits", "/limits", "{}", "5",
        "expected an object, found `5`"),
    case("trusted_proxies", "/trusted_proxies", "[]", r#"["10.0.0.1/8"]"#,
        "expected a network without bits behind its prefix, found `10.0.0.1/8`"),
    case("via", "/via", "false", "1",
        "expected `true` or `false`, found `1`"),
    case("access_log", "/access_log", r#""off""#, r#""""#,
        "expected a string that is not empty, found an empty string"),
    case("admin", "/admin", "{}", "null",
        "expected an object, found `null`"),
    case("upstreams", "/upstreams", r#"{"games": {"backends": [{"host": "a:1"}]}, "a.b-C_1": {"backends": [{"host": "a:1"}]}}"#, r#"{"games": {"backends": [{"host": "a:1"}]}, "": {"backends": [{"host": "a:1"}]}}"#,
        "expected a name of 1 to 64 letters, digits, `_`, `-` and `.`, found an empty string"),
    case("plugins", "/plugins", r#"{"mine": {"source": "a.wasm"}}"#, r#"{"mine": {}}"#,
        "expected a `source`, since no plugin of this name is shipped"),
    case("routes", "/routes", r#"{"GET,HEAD *.example.com/a/{b}/*": {"upstream": "games"}}"#, r#"{"/a/{b": {"upstream": "games"}}"#,
        "parameter in `{b` must be a whole segment, as in `/users/{id}`; a literal brace is `%7B` or `%7D`"),
    case("Listener.address", "/listeners/outside/address", r#""0.0.0.0:1""#, r#""0.0.0.0:8080""#,
        "address overlaps with that of `root`"),
    case("Listener.protocols", "/listeners/inside/protocols", r#"["h2c"]"#, r#"["h3"]"#,
        "expected `h1` or `h2c`, found `h3`"),
    case("Http.strategy", "/http/strategy", r#""round-robin""#, r#""random""#,
        "expected `round-robin`, found `random`"),
    case("Ssl.ssl_certificate", "/ssl/ssl_certificate", r#""certificate.pem""#, r#""key.pem""#,
        "expected a PEM file with a `CERTIFICATE`, found none in `FOLDER/key.pem`"),
    case("Ssl.ssl_certificate_key", "/ssl/ssl_certificate_key", r#""key.pem""#, r#""none.pem""#,
        "cannot read `FOLDER/none.pem`: No such file or directory (os error 2)"),
    case("Timeouts.client_head", "/timeouts/client_head", r#""1ms""#, r#""0s""#,
        "expected `1ms` to `24h`, found `0s`"),
    case("Timeouts.client_idle", "/timeouts/client_idle", r#""24h""#, r#""25h""#,
        "expected `1ms` to `24h`, found `25h`"),
    case("Timeouts.keep_alive", "/timeouts/keep_alive", r#""75s""#, r#""75""#,
        "expected a duration such as `250ms`, `10s`, `2m` or `1h`, found `75`"),
    case("Timeouts.connect", "/timeouts/connect", r#""5s""#, r#""5 s""#,
        "expected a duration such as `250ms`, `10s`, `2m` or `1h`, found `5 s`"),
    case("Timeouts.backend_idle", "/timeouts/backend_idle", r#""60s""#, "60",
        "expected a string, found `60`"),
    case("Timeouts.backend_keep_alive", "/timeouts/backend_keep_alive", r#""60s""#, r#""forever""#,
        "expected a duration such as `250ms`, `10s`, `2m` or `1h`, found `forever`"),
    case("Timeouts.drain", "/timeouts/drain", r#""30s""#, r#""""#,
        "expected a duration such as `250ms`, `10s`, `2m` or `1h`, found an empty string"),
    case("Limits.head_size", "/limits/head_size", "1024", r#""2MiB""#,
        "expected `1KiB` to `1MiB`, found `2MiB`"),
    case("Limits.header_count", "/limits/header_count", "1000", "1001",
        "expected 1 to 1000, found `1001`"),
    case("Limits.pool_idle", "/limits/pool_idle", "0", "-1",
        "expected 0 to 10000, found `-1`"),
    case("Limits.request_body", "/limits/request_body", "0", r#""1TB""#,
        "expected a size such as `512`, `64KiB` or `10MB`, found `1TB`"),
    case("Limits.connections", "/limits/connections", "1e6", "1e7",
        "expected 1 to 1000000, found `10000000`"),
    case("Limits.h2_streams", "/limits/h2_streams", "1.0", "1.5",
        "expected a whole number, found `1.5`"),
    case("Admin.listen", "/admin/listen", r#"":9901""#, r#""127.0.0.1:8080""#,
        "address overlaps with that of `root`"),
    case("Admin.socket", "/admin/socket", r#""/run/cup.sock""#, r#""""#,
        "expected a string that is not empty, found an empty string"),
    case("Upstream.backends", "/upstreams/games/backends", r#"[{"host": "a:1"}]"#, r#"[{"host": "a:1"}, {"host": "a:1"}]"#,
        "this backend is in the list already"),
    case("Upstream.strategy", "/upstreams/games/strategy", r#""round-robin""#, "5",
        "expected a string, found `5`"),
    case("Backend.host", "/upstreams/games/backends/0/host", r#""[::1]:80""#, r#""localhost""#,
        "expected a host and a port such as `127.0.0.1:8081`, found `localhost`"),
    case("Backend.max_failure", "/upstreams/games/backends/0/max_failure", "1000", "0",
        "expected 1 to 1000, found `0`"),
    case("Backend.weight", "/upstreams/games/backends/0/weight", "256", "1000000000000000000000",
        "expected 1 to 256, found `1e+21`"),
    case("Plugin.source", "/plugins/mine/source", r#""/plugins/mine.wasm""#, r#""""#,
        "expected a string that is not empty, found an empty string"),
    case("Plugin.permissions", "/plugins/mine/permissions", r#"["http", "secrets"]"#, r#"["log", "net"]"#,
        "expected `log`, `clock`, `random`, `jwt`, `rate-limit`, `circuit`, `state`, `http`, `metrics` or `secrets`, found `net`"),
    case("Plugin.isolation", "/plugins/mine/isolation", r#""reuse""#, r#""none""#,
        "expected `reuse` or `request`, found `none`"),
    case("Plugin.limits", "/plugins/mine/limits", "{}", "[]",
        "expected an object, found an empty array"),
    case("Plugin.config", "/plugins/mine/config", r#""any""#, r#""$env:NONE""#,
        "environment variable `NONE` is not set"),
    case("PluginLimits.time", "/plugins/mine/limits/time", r#""1ms""#, r#""11s""#,
        "expected `1ms` to `10s`, found `11s`"),
    case("PluginLimits.memory", "/plugins/mine/limits/memory", "65536", r#""1GiB""#,
        "expected `64KiB` to `256MiB`, found `1GiB`"),
    case("PluginLimits.table_elements", "/plugins/mine/limits/table_elements", "0", "1000001",
        "expected 0 to 1000000, found `1000001`"),
    case("PluginLimits.reply_size", "/plugins/mine/limits/reply_size", "0", r#""5MiB""#,
        "expected `0B` to `4MiB`, found `5MiB`"),
    case("PluginLimits.log_rate", "/plugins/mine/limits/log_rate", "0", "10001",
        "expected 0 to 10000, found `10001`"),
    case("PluginLimits.requests", "/plugins/mine/limits/requests", "1", "0",
        "expected 1 to 4294967295, found `0`"),
    case("Rule.match", "/routes/~1game~1*/0/match", r#"{"query": {"a": ""}}"#, "{}",
        "no request gets here: rule 0 has no `match` and takes them all"),
    case("Rule.backends", "/routes/~1game~1*/0/backends", r#"[{"host": "a:1"}]"#, "[]",
        "expected at least one item, found an empty array"),
    case("Rule.upstream", "/routes/~1/upstream", r#""games""#, r#""game""#,
        "unknown upstream `game`"),
    case("Rule.strategy", "/routes/~1game~1*/0/strategy", r#""round-robin""#, r#""""#,
        "expected `round-robin`, found an empty string"),
    case("Rule.plugins", "/routes/~1/plugins", "[]", r#"["header"]"#,
        "unknown plugin `header`"),
    case("Match.headers", "/routes/~1game~1*/0/match/headers", r#"{"a": "b c"}"#, r#"{"a b": "c"}"#,
        "expected the name of a header, found `a b`"),
    case("Match.query", "/routes/~1game~1*/0/match/query", r#"{"a b": "c"}"#, r#"{"a b": 1}"#,
        "expected a string, found `1`"),
    case("AttachmentSettings.use", "/routes/~1game~1*/0/plugins/1/use", r#""headers""#, r#""rate-limits""#,
        "unknown plugin `rate-limits`"),
    case("AttachmentSettings.config", "/routes/~1game~1*/0/plugins/1/config", "null", r#"{"a": ["$file:none"]}"#,
        "cannot read `FOLDER/none`: No such file or directory (os error 2)"),
    case("AttachmentSettings.on_error", "/routes/~1game~1*/0/plugins/1/on_error", r#""closed""#, r#""ignore""#,
        "expected `closed` or `open`, found `ignore`"),
    case("AttachmentSettings.isolation", "/routes/~1game~1*/0/plugins/1/isolation", r#""request""#, "true",
        "expected a string, found `true`"),
    case("AttachmentSettings.limits", "/routes/~1game~1*/0/plugins/1/limits", "{}", r#"{"memory": "1KiB"}"#,
        "expected `64KiB` to `256MiB`, found `1KiB`"),
    case("key_sets", "/key_sets", "{}", r#"{"a": {"secret": "x", "pem": "y"}}"#,
        "`secret` beside `pem`: a key set has one of `jwks_url`, `discovery_url`, `jwks_file`, `jwks`, `pem` or `secret`"),
    case("secrets", "/secrets", r#"{"token": "a", "other": "b"}"#, r#"{"token": "a", "a b": "c"}"#,
        "expected a name of 1 to 64 letters, digits, `_`, `-` and `.`, found `a b`"),
    case("plugin_cache", "/plugin_cache", r#""off""#, r#""""#,
        "expected a string that is not empty, found an empty string"),
    case("Http.plugins", "/http/plugins", r#"["headers"]"#, r#"["header"]"#,
        "unknown plugin `header`"),
    case("KeySet.jwks_url", "/key_sets/fetched/jwks_url", r#""http://a""#, "1",
        "expected a string, found `1`"),
    case("KeySet.discovery_url", "/key_sets/discovered/discovery_url", r#""http://a""#, "1",
        "expected a string, found `1`"),
    case("KeySet.jwks_file", "/key_sets/filed/jwks_file", r#""keys.json""#, r#""none.json""#,
        "cannot read `FOLDER/none.json`: No such file or directory (os error 2)"),
    case("KeySet.jwks", "/key_sets/written/jwks", r#"{"keys": []}"#, r#""$env:NONE""#,
        "environment variable `NONE` is not set"),
    case("KeySet.pem", "/key_sets/single/pem", r#""x""#, "1",
        "expected a string, found `1`"),
    case("KeySet.secret", "/key_sets/shared/secret", r#""x""#, "1",
        "expected a string, found `1`"),
    case("KeySet.algorithms", "/key_sets/fetched/algorithms", r#"["PS512"]"#, r#"["none"]"#,
        "expected `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`, found `none`"),
    case("KeySet.issuers", "/key_sets/fetched/issuers", "[]", r#""a""#,
        "expected an array, found the string `a`"),
    case("KeySet.audiences", "/key_sets/fetched/audiences", "[]", "[1]",
        "expected a string, found `1`"),
    case("KeySet.required_claims", "/key_sets/fetched/required_claims", "[]", "[1]",
        "expected a string, found `1`"),
    case("KeySet.clock_skew", "/key_sets/fetched/clock_skew", r#""0s""#, r#""11m""#,
        "expected `0s` to `10m`, found `11m`"),
    case("KeySet.remembered_tokens", "/key_sets/fetched/remembered_tokens", "0", "1000001",
        "expected 0 to 1000000, found `1000001`"),
    case("Plugin.hosts", "/plugins/mine/hosts", "[]", "[1]",
        "expected a string, found `1`"),
    case("Plugin.private_networks", "/plugins/mine/private_networks", r#"["::1"]"#, r#"["10.0.0.1/8"]"#,
        "expected a network without bits behind its prefix, found `10.0.0.1/8`"),
    case("Plugin.secrets", "/plugins/mine/secrets", "[]", r#"["tokens"]"#,
        "unknown secret `tokens`"),
    case("Plugin.quotas", "/plugins/mine/quotas", "{}", "[]",
        "expected an object, found an empty array"),
    case("Quotas.rate_limit_keys", "/plugins/mine/quotas/rate_limit_keys", "1", "0",
        "expected 1 to 100000000, found `0`"),
    case("Quotas.state_entries", "/plugins/mine/quotas/state_entries", "0", "-1",
        "expected 0 to 10000000, found `-1`"),
    case("Quotas.state_size", "/plugins/mine/quotas/state_size", r#""1GiB""#, r#""2GiB""#,
        "expected `0B` to `1GiB`, found `2GiB`"),
    case("Quotas.metric_series", "/plugins/mine/quotas/metric_series", "0", "10001",
        "expected 0 to 10000, found `10001`"),
    case("Quotas.http_requests", "/plugins/mine/quotas/http_requests", "1", "0",
        "expected 1 to 10000, found `0`"),
    case("Quotas.http_time", "/plugins/mine/quotas/http_time", r#""60s""#, r#""61s""#,
        "expected `1ms` to `1m`, found `61s`"),
    case("Quotas.http_response_size", "/plugins/mine/quotas/http_response_size", "0", r#""17MiB""#,
        "expected `0B` to `16MiB`, found `17MiB`"),
    case("PluginLimits.waiting_calls", "/plugins/mine/limits/waiting_calls", "1", "0",
        "expected 1 to 1000, found `0`"),
    case("AttachmentSettings.when", "/routes/~1game~1*/0/plugins/1/when", "{}", "true",
        "expected an object, found `true`"),
    case("AttachmentSettings.enabled", "/routes/~1game~1*/0/plugins/1/enabled", "true", "false",
        "unknown plugin of `http.plugins` `mine`"),
    case("When.all", "/routes/~1game~1*/0/plugins/1/when/all", "[]", r#"[{"methods": ["G T"]}]"#,
        "expected a method like `GET`, found `G T`"),
    case("When.any", "/routes/~1game~1*/0/plugins/1/when/any", r#"[{}]"#, "[]",
        "expected at least one item, found an empty array"),
    case("When.not", "/routes/~1game~1*/0/plugins/1/when/not", "{}", "[]",
        "expected an object, found an empty array"),
    case("When.methods", "/routes/~1game~1*/0/plugins/1/when/methods", r#"["PURGE"]"#, "[]",
        "expected at least one item, found an empty array"),
    case("When.paths", "/routes/~1game~1*/0/plugins/1/when/paths", r#"["/a/*"]"#, r#"["GET /a/*"]"#,
        "expected a path without methods and host, like `/users/*`, found `GET /a/*`"),
    case("When.headers", "/routes/~1game~1*/0/plugins/1/when/headers", r#"{"a": "*"}"#, r#"{"a b": "c"}"#,
        "expected the name of a header, found `a b`"),
    case("When.query", "/routes/~1game~1*/0/plugins/1/when/query", r#"{"a": ""}"#, r#"{"a": 1}"#,
        "expected a string, found `1`"),
    case("When.attributes", "/routes/~1game~1*/0/plugins/1/when/attributes", r#"{"a": ""}"#, r#"{"a": 1}"#,
        "expected a string, found `1`"),
];
