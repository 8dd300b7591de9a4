//! What is said of bad documents, word for word.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::json;

use super::{check_in, refuse, show};
use crate::config::{Problem, locate, text};

#[test]
fn names_every_error_with_its_place() {
    let document = r#"{
  "root": ":8080",
  "listeners": { "inside": { "address": "127.0.0.1:8080", "protocols": ["h1", "http2"] } },
  "timeout": { "connect": "5s" },
  "limits": { "head_size": "2MiB", "pool_idle": -1 },
  "routes": {
    "/game/*": {
      "backends": [
        { "host": "http://127.0.0.1:8083/game" },
        { "hots": "127.0.0.1:8084", "max_failure": "5" },
        "127.0.0.1:8085"
      ],
      "plugins": ["jwt-aut"]
    },
    "/game/{name": { "upstream": "games" },
    "/shop": { "backend": [] },
    "/shop": {}
  }
}"#;
    assert_snapshot!(refuse(document), @r#"
    error at /listeners/inside/address, line 3, column 41: address overlaps with that of `root`
    error at /listeners/inside/protocols/1, line 3, column 79: expected `h1`, `h2`, `h2c` or `h3`, found `http2`
    error at line 4, column 3: unknown field `timeout`
      hint: did you mean `timeouts`?
    error at /limits/head_size, line 5, column 28: expected `1KiB` to `1MiB`, found `2MiB`
    error at /limits/pool_idle, line 5, column 49: expected 0 to 10000, found `-1`
    error at /routes/~1game~1*/backends/0/host, line 9, column 19: expected a host and a port such as `127.0.0.1:8081`, found `http://127.0.0.1:8083/game`
      hint: a backend has neither scheme nor path: write `127.0.0.1:8083`
    error at /routes/~1game~1*/backends/1, line 10, column 11: unknown field `hots`
      hint: did you mean `host`?
    error at /routes/~1game~1*/backends/1/max_failure, line 10, column 52: expected a whole number, found the string `5`
    error at /routes/~1game~1*/backends/2, line 11, column 9: expected an object, found the string `127.0.0.1:8085`
    error at /routes/~1game~1*/plugins/0, line 13, column 19: unknown plugin `jwt-aut`
      hint: did you mean `jwt-auth`?
    error at /routes/~1game~1{name, line 15, column 5: parameter in `{name` must be a whole segment, as in `/users/{id}`; a literal brace is `%7B` or `%7D`
    error at /routes/~1game~1{name/upstream, line 15, column 34: unknown upstream `games`
    error at /routes/~1shop, line 16, column 16: unknown field `backend`
      hint: did you mean `backends`?
    error at /routes, line 17, column 5: field `/shop` is repeated
    "#);
}

/// What is said of several bad documents, one after another.
fn refuse_each<const N: usize>(documents: [String; N]) -> String {
    documents.map(|document| refuse(&document)).join("\n")
}

fn with_rule(rule: &str) -> String {
    format!(r#"{{"root": ":80", "routes": {{"/": {rule}}}}}"#)
}

#[test]
fn explains_what_a_host_is() {
    let backend = |host: &str| with_rule(&format!(r#"{{"backends": [{{"host": "{host}"}}]}}"#));
    assert_snapshot!(refuse_each([
        backend("http://game.internal/x"),
        backend("https://game.internal"),
        backend("game.internal"),
        backend("game.internal:http"),
        backend("::1"),
        backend("127.0.0.1:80/x"),
        backend("127.0.0.256:80"),
    ]), @r#"
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `http://game.internal/x`
      hint: a backend has neither scheme nor path: write `game.internal:80`
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `https://game.internal`
      hint: write host and port, and give `tls` to an upstream with this backend
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `game.internal`
      hint: add a port: `game.internal:80`
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `game.internal:http`
      hint: a port is a number from 1 to 65535
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `::1`
      hint: an IPv6 address stands in brackets: `[::1]:80`
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `127.0.0.1:80/x`
      hint: a backend has no path: requests keep theirs
    error at /routes/~1/backends/0/host, line 1, column 56: expected a host and a port such as `127.0.0.1:8081`, found `127.0.0.256:80`
      hint: a host is an IP address or a name of letters, digits, `-` and `.`
    "#);
}

#[test]
fn explains_what_a_rule_is() {
    assert_snapshot!(refuse_each([
        with_rule("5"),
        with_rule("{}"),
        with_rule(r#"{"upstream": "a", "backends": [{"host": "a:1"}]}"#),
        with_rule(r#"{"upstream": "a", "strategy": "round-robin"}"#),
        with_rule(r#"[{"backends": [{"host": "a:1"}]}, {"backends": [{"host": "a:1"}]}]"#),
        with_rule(r#"{"match": {"headers": {"X-A": "1", "x-a": "2"}}, "backends": [{"host": "a:1"}]}"#),
        with_rule(r#"{"backends": [{"host": "a:1"}, {"host": "a:1"}]}"#),
        with_rule(r#"{"backends": [{"host": "a:1"}], "plugins": [5, {"use": "x"}, {"config": {}}]}"#),
    ]), @r#"
    error at /routes/~1, line 1, column 33: expected an array or an object, found `5`
    error at /routes/~1, line 1, column 33: expected `backends`, `upstream`, `split`, `redirect` or `reply`, found none
    error at /routes/~1/upstream, line 1, column 34: `upstream` beside `backends`
      hint: a rule has one of them
    error at /routes/~1/upstream, line 1, column 46: unknown upstream `a`
    error at /routes/~1/strategy, line 1, column 51: `strategy` beside `upstream`
      hint: give it to the upstream
    error at /routes/~1/1, line 1, column 67: no request gets here: rule 0 has no `match` and takes them all
      hint: put the rule without `match` last
    error at /routes/~1/match/headers/x-a, line 1, column 68: header `x-a` is repeated: upper and lower case are the same
    error at /routes/~1/backends/1/host, line 1, column 73: this backend is in the list already
      hint: give it a `weight` for a larger share of the requests
    error at /routes/~1/plugins/0, line 1, column 77: expected a string or an object, found `5`
    error at /routes/~1/plugins/1/use, line 1, column 88: unknown plugin `x`
    error at /routes/~1/plugins/2, line 1, column 94: missing field `use`
    "#);
}

#[test]
fn explains_what_a_document_is() {
    assert_snapshot!(refuse_each([
        r#"{"routes": {}}"#.into(),
        r#"{"root": "8080", "routes": {}}"#.into(),
        r#"{"root": "127.0.0.1", "routes": {}}"#.into(),
        r#"{"root": "localhost:8080", "routes": {}}"#.into(),
        r#"{"root": ":80", "listeners": {"root": {"address": ":81"}}, "admin": {"listen": ":80"}, "routes": {}}"#.into(),
        r#"{"root": ":80", "routes": {}, "timeouts": {"connect": 5}, "limits": {"head_size": true}}"#.into(),
        r#"{"root": ":80", "routes": {"/a/{x}": {"backends": [{"host": "a:1"}]}, "/a/{y}": {"backends": [{"host": "a:1"}]}}}"#.into(),
        r#"{"root": ":80", "routes": {}, "plugins": {"jwt": {}}}"#.into(),
        "[]".into(),
    ]), @r#"
    error at line 1, column 1: expected `root` or `listeners`, found neither
      hint: say where to listen: `"root": "127.0.0.1:8080"`
    error at /root, line 1, column 10: expected an address and a port such as `127.0.0.1:8080`, `[::1]:8080` or `:8080`, found `8080`
      hint: a port on every address is `:8080`
    error at /root, line 1, column 10: expected an address and a port such as `127.0.0.1:8080`, `[::1]:8080` or `:8080`, found `127.0.0.1`
      hint: add a port: `127.0.0.1:8080`
    error at /root, line 1, column 10: expected an address and a port such as `127.0.0.1:8080`, `[::1]:8080` or `:8080`, found `localhost:8080`
      hint: the address of `localhost` is `127.0.0.1`
    error at /listeners/root, line 1, column 31: `root` is the name of the listener that the field `root` makes
    error at /admin/listen, line 1, column 80: address overlaps with that of `root`
    error at /timeouts/connect, line 1, column 55: expected a string, found `5`
      hint: for example `"10s"`
    error at /limits/head_size, line 1, column 83: expected a whole number or a string, found `true`
      hint: for example `"64KiB"`
    error at /routes/~1a~1{y}, line 1, column 71: conflicts with `/a/{x}`
      hint: some requests match both, and neither is more specific
    error at /plugins/jwt, line 1, column 50: expected a `source`, since no plugin of this name is shipped
    error at line 1, column 1: expected an object, found an empty array
    "#);
}

/// A field with a mistyped name, a value of a wrong type and a definition with an error make other things absent, which
/// is no error of its own.
#[test]
fn reports_one_mistake_once() {
    let check = |document: &str, pointers: &[&str]| {
        let diagnostics = refuse(document);
        let found: Vec<&str> = diagnostics.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(found.len(), pointers.len(), "{diagnostics}");
        for (line, pointer) in found.iter().zip(pointers) {
            assert!(line.starts_with(&format!("error at {pointer}")), "{pointer}: {line}");
        }
    };
    let routes = r#""routes": {"/": {"upstream": "games", "plugins": ["mine"]}}"#;
    let plugins = r#""plugins": {"mine": {"source": "mine.wasm"}}"#;
    let upstreams = r#""upstreams": {"games": {"backends": [{"host": "a:1"}]}}"#;
    check(&format!(r#"{{"root": 80, {plugins}, {upstreams}, {routes}}}"#), &["/root"]);
    check(&format!(r#"{{"rot": ":80", {plugins}, {upstreams}, {routes}}}"#), &["line"]);
    check(&format!(r#"{{"root": ":80", "plugins": 5, {upstreams}, {routes}}}"#), &["/plugins"]);
    check(&format!(r#"{{"root": ":80", {plugins}, "upstream": {{}}, {routes}}}"#), &["line"]);
    check(
        &format!(r#"{{"root": ":80", "plugins": {{"mine": 5}}, {upstreams}, {routes}}}"#),
        &["/plugins/mine"],
    );
    check(
        &format!(r#"{{"root": ":80", "plugins": {{"mine": {{"src": "a"}}}}, {upstreams}, {routes}}}"#),
        &["/plugins/mine"],
    );
    check(
        &format!(r#"{{"root": ":80", {plugins}, "upstreams": {{"games": {{}}}}, {routes}}}"#),
        &["/upstreams/games"],
    );
    check(r#"{"root": ":80", "routes": {"/": {"backend": []}}}"#, &["/routes/~1"]);
    check(r#"{"root": ":80", "routes": {"/": {"backends": [{"hots": "a:1"}]}}}"#, &["/routes/~1/backends/0"]);
    check(
        r#"{"root": ":80", "routes": {"/": {"backends": [], "plugins": 5}}}"#,
        &["/routes/~1/backends", "/routes/~1/plugins"],
    );
    check(
        r#"{"root": ":80", "routes": {"/": [{"mach": {}, "backends": [{"host": "a:1"}]}, {"backends": [{"host": "a:1"}]}]}}"#,
        &["/routes/~1/0"],
    );
    check(
        r#"{"root": "$env:A", "routes": {"/": {"upstream": "$env:B"}}}"#,
        &["/root", "/routes/~1/upstream"],
    );
    check("5", &["line"]);
}

#[test]
fn shows_a_hundred_errors_and_counts_the_rest() {
    let routes: Vec<String> = (0..150).map(|index| format!("\"/{index}\": 5")).collect();
    let diagnostics = refuse(&format!("{{\"root\": \":80\", \"routes\": {{\n{}\n}}}}", routes.join(",\n")));
    let lines: Vec<&str> = diagnostics.lines().collect();
    assert_eq!(lines.len(), 101);
    assert_eq!(
        lines[99],
        "error at /routes/~199, line 101, column 8: expected an array or an object, found `5`"
    );
    assert_eq!(lines[100], "error at /routes/~1100, line 102, column 9: and 50 more");
}

#[test]
fn warns_of_a_document_that_does_nothing() {
    let (_, warnings) = check_in(Path::new("/folder"), r#"{"root": ":80", "routes": {}}"#).unwrap();
    assert_snapshot!(show(&warnings), @r#"warning at /routes, line 1, column 27: no routes: every request is answered with 404"#);
}

#[test]
fn refuses_bytes_that_are_no_text() {
    assert_eq!(text(b"{}"), Ok("{}"));
    let error = text(b"{\n \"a\": \"\xff\"}").unwrap_err();
    assert_snapshot!(error, @r#"
    error at line 2, column 8: the document is not UTF-8 text
      hint: save it in the encoding UTF-8
    "#);
}

#[test]
fn is_also_json() {
    let problem = Problem::error("/routes", "no such thing").hint("look elsewhere");
    let located = locate(r#"{"routes": 1}"#, vec![problem]);
    let expected = json!({
        "severity": "error",
        "pointer": "/routes",
        "line": 1,
        "column": 12,
        "message": "no such thing",
        "hint": "look elsewhere",
    });
    assert_eq!(serde_json::to_value(&located[0]).unwrap(), expected);
}
