//! What rules do beside sending requests to backends.

use std::env::VarError;
use std::fs;

use http::StatusCode;
use insta::assert_snapshot;

use super::{FULL, SHIPPED, check_in, folder, refuse, show};
use crate::action::{Action, Template};
use crate::config::{Checked, Environment, Rule, check};

fn with_rule(pattern: &str, rule: &str) -> String {
    format!(r#"{{"root": ":80", "routes": {{"{pattern}": {rule}}}}}"#)
}

fn full() -> (tempfile::TempDir, Checked) {
    let folder = folder();
    let (checked, warnings) = check_in(folder.path(), FULL).expect("a good document");
    assert_eq!(show(&warnings), "");
    (folder, checked)
}

fn rule<'c>(checked: &'c Checked, pattern: &str) -> &'c Rule {
    &checked.routes.iter().find(|route| route.text == pattern).expect("it is there").rules[0]
}

#[test]
fn gateways_answers_are_as_written() {
    let (folder, checked) = full();
    let Action::Redirect(moved) = &rule(&checked, "/moved/*").action else { panic!("a redirect") };
    assert_eq!(
        (moved.port, moved.keeps_query, moved.status),
        (Some(8443), false, StatusCode::PERMANENT_REDIRECT)
    );
    let Action::Redirect(once) = &rule(&checked, "/once").action else { panic!("a redirect") };
    assert_eq!(
        (once.scheme, once.port, once.keeps_query, once.status),
        (None, None, true, StatusCode::FOUND)
    );
    let reply = |pattern: &str| {
        let Action::Reply(reply) = &rule(&checked, pattern).action else { panic!("a reply") };
        let fields = reply.content.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        (reply.status.as_u16(), fields.collect::<Vec<_>>().join(", "), reply.content.body.clone())
    };
    let text = r#"x-a: Constant("b"), content-type: Constant("text/plain; charset=utf-8")"#;
    assert_eq!(reply("/page"), (404, text.into(), "nothing here".into()));
    assert_eq!(
        reply("/page.json"),
        (200, r#"content-type: Constant("application/json")"#.into(), r#"{"a":1}"#.into())
    );
    let html = r#"content-type: Constant("text/html; charset=utf-8")"#;
    assert_eq!(reply("/page.html"), (200, html.into(), "<p>a page</p>".into()));
    let files: Vec<_> = checked.reply_files.iter().collect();
    assert_eq!(files, [&fs::canonicalize(folder.path().join("page.html")).unwrap()]);
    assert!(rule(&checked, "/page").upgrades.is_empty(), "there is nobody to change the protocol with");
    assert_eq!(rule(&checked, "/").edits, None);
}

#[test]
fn a_file_that_changes_is_another_document() {
    let (folder, before) = full();
    fs::write(folder.path().join("page.html"), "<p>another page</p>").unwrap();
    let (after, _) = check_in(folder.path(), FULL).expect("a good document");
    assert!(before != after);
}

#[test]
fn files_of_replies_have_bounds() {
    let folder = folder();
    fs::write(folder.path().join("large"), vec![0; (1 << 20) + 1]).unwrap();
    fs::write(folder.path().join("binary"), [0xFF, 0]).unwrap();
    let check = |file: &str| {
        let document = with_rule("/", &format!(r#"{{"reply": {{"file": "{file}"}}}}"#));
        check_in(folder.path(), &document).map(drop).map_err(|errors| errors[0].message.clone())
    };
    assert_eq!(check("binary"), Ok(()));
    assert!(check("large").unwrap_err().ends_with("it is larger than 1 MiB"));
    assert!(check(".").unwrap_err().ends_with("it is not a file"));
    assert!(check("/dev/zero").unwrap_err().ends_with("it is not a file"));
}

#[test]
fn what_a_reference_stands_for_is_no_template() {
    let document = with_rule(
        "/",
        r#"{"backends": [{"host": "a:1"}], "headers": {"request": {"set": {"a": "$env:SECRET"}}},
        "query": {"set": {"key": "$env:SECRET"}}}"#,
    );
    let variable = |_: &str| Ok::<_, VarError>("s3cr3t$${host}".to_owned());
    let directory = std::path::Path::new("/folder");
    let environment = Environment { shipped: SHIPPED, directory, variable: &variable };
    let (checked, _) = check(&document, &environment).expect("a good document");
    let edits = rule(&checked, "/").edits.as_ref().expect("edits");
    let query = edits.query.as_ref().expect("of the query");
    assert_eq!(query.set[0].1, Template::secret("s3cr3t$${host}"));
    let shown = format!("{checked:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn explains_what_a_rule_can_do() {
    let documents = [
        with_rule("/", r#"{"redirect": {"scheme": "https"}, "reply": {}, "backends": [{"host": "a:1"}]}"#),
        with_rule(
            "/",
            r#"{"redirect": {"scheme": "https"}, "rewrite": {"path": "/a"}, "query": {}, "upgrades": [],
            "grpc_web": {}, "strategy": "round-robin", "headers": {"request": {}, "response": {}}}"#,
        ),
        with_rule("/a", r#"{"redirect": {"prefix": "/b"}}"#),
        with_rule("/a/*", r#"{"redirect": {"prefix": "/b", "path": "/c", "host": "https://a.example"}}"#),
        with_rule("/a", r#"{"redirect": {"path": "/b//${path}", "host": "a.example/b"}}"#),
        with_rule("/a", r#"{"reply": {"status": 204, "body": "x"}}"#),
        with_rule("/a", r#"{"reply": {"file": "a", "json": {}}}"#),
        with_rule(
            "/a",
            r#"{"backends": [{"host": "a:1"}], "rewrite": {"regex": {"pattern": "(", "replacement": "$1"}}}"#,
        ),
        with_rule(
            "/a",
            r#"{"backends": [{"host": "a:1"}], "rewrite": {"regex": {"pattern": "(a)", "replacement": "$1b"}}}"#,
        ),
        with_rule("/a", r#"{"backends": [{"host": "a:1"}], "rewrite": {"path": "/${hots}"}}"#),
        with_rule("/{id}", r#"{"backends": [{"host": "a:1"}], "rewrite": {"path": "/${parameter.ids}"}}"#),
        with_rule(
            "/a",
            r#"{"backends": [{"host": "a:1"}], "headers": {"request": {"set": {"Host": "a", "te": "b", "X": "${"},
            "add": {"a": "1", "A": "2"}, "remove": ["upgrade", "x"]}, "response": {"set": {"trailer": "x"}}}}"#,
        ),
        with_rule(
            "/a",
            r#"{"backends": [{"host": "a:1"}], "query": {"set": {"a": "${backend}"}, "remove": ["a"]}}"#,
        ),
    ];
    assert_snapshot!(documents.map(|document| refuse(&document)).join("\n"), @r#"
    error at /routes/~1/redirect, line 1, column 34: `redirect` beside `backends`
      hint: a rule has one of them
    error at /routes/~1/rewrite, line 1, column 67: `rewrite` beside `redirect`, with which no backend gets the request
    error at /routes/~1/query, line 1, column 94: `query` beside `redirect`, with which no backend gets the request
    error at /routes/~1/upgrades, line 1, column 107: `upgrades` beside `redirect`, with which no backend gets the request
    error at /routes/~1/grpc_web, line 2, column 13: `grpc_web` beside `redirect`, with which no backend gets the request
    error at /routes/~1/strategy, line 2, column 29: `strategy` beside `redirect`, with which no backend gets the request
    error at /routes/~1/headers/request, line 2, column 68: `request` beside `redirect`, with which no backend gets the request
    error at /routes/~1a/redirect/prefix, line 1, column 48: `prefix` needs a route whose pattern ends with `/*`
      hint: write the whole `path`
    error at /routes/~1a~1*/redirect/prefix, line 1, column 50: `prefix` beside `path`
    error at /routes/~1a~1*/redirect/host, line 1, column 88: expected a host such as `www.example.com`, found `https://a.example`
      hint: leave the scheme out
    error at /routes/~1a/redirect/path, line 1, column 56: expected a path such as `/v2/users`, found `/b//${path}`
      hint: repeated slashes are merged into one
    error at /routes/~1a/redirect/host, line 1, column 79: expected a host such as `www.example.com`, found `a.example/b`
    error at /routes/~1a/reply/body, line 1, column 60: a response with status 204 has no body
    error at /routes/~1a/reply/file, line 1, column 45: `file` beside `json`
      hint: a reply has one of `body`, `json` and `file`
    error at /routes/~1a/rewrite/regex/pattern, line 1, column 99: expected a regular expression, found `(`
      hint: unclosed group
    error at /routes/~1a/rewrite/regex/replacement, line 1, column 121: expected a text with groups of `pattern`, found `$1b`
      hint: there is no group `1b`; where letters or digits follow a group, it is written `${1}`
    error at /routes/~1a/rewrite/path, line 1, column 86: unknown variable `${hots}`
      hint: there are `client.address`, `client.port`, `scheme`, `method`, `host`, `path`, `query`, `route`, `protocol`, `header.NAME`, `cookie.NAME`, `query.NAME`, `parameter.NAME`, `attribute.NAME`
    error at /routes/~1{id}/rewrite/path, line 1, column 89: the route's pattern has no parameter `ids`
      hint: it has `id`
    error at /routes/~1a/headers/request/set/Host, line 1, column 98: `host` is not edited like other fields
      hint: give it to `rewrite`
    error at /routes/~1a/headers/request/set/te, line 1, column 111: the gateway writes `te` itself, as the connection and the body need it
    error at /routes/~1a/headers/request/set/X, line 1, column 127: `${` without a `}`
      hint: a `$` itself is `$$`
    error at /routes/~1a/headers/request/add/a, line 2, column 21: header `a` is repeated: upper and lower case are the same
    error at /routes/~1a/headers/request/remove/0, line 2, column 53: the gateway writes `upgrade` itself, as the connection and the body need it
    error at /routes/~1a/headers/request/remove/1, line 2, column 64: `x` is set and removed
      hint: what is set has this one value; it need not be removed before
    error at /routes/~1a/headers/response/set/trailer, line 2, column 92: the gateway writes `trailer` itself, as the connection and the body need it
    error at /routes/~1a/query/set/a, line 1, column 89: `${backend}` is known with the response only
      hint: edits of `response` may have it
    error at /routes/~1a/query/remove/0, line 1, column 115: `a` is set and removed
      hint: what is set has this one value; it need not be removed before
    "#);
}
