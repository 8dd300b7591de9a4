//! What rules and plugins ask of a request.

use insta::assert_snapshot;

use super::{FULL, accept, check_in, folder, refuse};
use crate::route::{Condition, HostPattern, Regex, ValueMatch};

fn with_match(matches: &str) -> String {
    format!(
        r#"{{"root": ":80", "routes": {{"/": {{"match": {matches}, "backends": [{{"host": "a:1"}}]}}}}}}"#
    )
}

#[test]
fn conditions_are_as_written() {
    let folder = folder();
    let (checked, _) = check_in(folder.path(), FULL).expect("a good document");
    let host = |text: &str| HostPattern::parse(text).unwrap();
    let query = |name: &str, value| Condition::Query(name.to_owned(), value);
    let header = |name: &str, value: &str| Condition::Header(name.parse().unwrap(), ValueMatch::exact(value));
    let not = ValueMatch::Not(Box::new(ValueMatch::exact("10.0.0.1")));
    assert_eq!(
        checked.routes[1].rules[0].matches,
        [
            Condition::Method(vec![http::Method::GET, http::Method::POST]),
            Condition::Host(vec![host("games.example.com"), host("*.games.example.com")]),
            header("x-version", "2"),
            header("x-kind", "a"),
            query("beta", ValueMatch::exact("yes")),
            query("from", ValueMatch::Prefix(b"10.".as_slice().into())),
            query("id", ValueMatch::Regex(Regex::whole("[0-9]+").unwrap())),
            query("old", ValueMatch::Absent),
            query("to", not),
            Condition::Cookie("theme".to_owned(), ValueMatch::exact("dark")),
        ]
    );
}

#[test]
fn a_star_is_any_value_where_a_plugin_is_attached() {
    let rule = r#"{"match": {"query": {"a": "*"}}, "backends": [{"host": "a:1"}], "plugins": [
        {"use": "headers", "when": {"query": {"a": "*"}, "cookies": {"b": {"exact": "*"}}}}]}"#;
    let checked = accept(&format!(r#"{{"root": ":80", "routes": {{"/": {rule}}}}}"#));
    let rule = &checked.routes[0].rules[0];
    assert_eq!(rule.matches, [Condition::Query("a".into(), ValueMatch::exact("*"))]);
    let any = Condition::Query("a".into(), ValueMatch::Present);
    let star = Condition::Cookie("b".into(), ValueMatch::exact("*"));
    assert_eq!(rule.attachments[0].when, Some(Condition::All(vec![any, star])));
}

#[test]
fn explains_what_a_value_is() {
    let documents = [
        with_match(r#"{"headers": {"a": {}, "b": {"exact": "x", "regex": "y"}, "c": {"regexp": "y"}}}"#),
        with_match(r#"{"headers": {"a": {"regex": "a("}, "b": {"regex": "(?=a)"}, "A": "x"}}"#),
        with_match(r#"{"query": {"a": {"not": {"prefix": 5}}, "b": []}}"#),
        with_match(r#"{"cookies": {"a b": "c", "c": {"not": "x;y"}}}"#),
        with_match(r#"{"methods": [], "hosts": ["https://a.example", "*.*.example", ""]}"#),
    ];
    assert_snapshot!(documents.map(|document| refuse(&document)).join("\n"), @r#"
    error at /routes/~1/match/headers/a, line 1, column 61: expected `exact`, `prefix`, `regex`, `present` or `not`, found none
    error at /routes/~1/match/headers/b/regex, line 1, column 85: `regex` beside `exact`
      hint: a value has one of `exact`, `prefix`, `regex`, `present` or `not`
    error at /routes/~1/match/headers/c, line 1, column 106: unknown field `regexp`
      hint: did you mean `regex`?
    error at /routes/~1/match/headers/a/regex, line 1, column 71: expected a regular expression, found `a(`
      hint: unclosed group
    error at /routes/~1/match/headers/b/regex, line 1, column 93: expected a regular expression, found `(?=a)`
      hint: look-around, including look-ahead and look-behind, is not supported
    error at /routes/~1/match/query/a/not/prefix, line 1, column 78: expected a string, found `5`
    error at /routes/~1/match/query/b, line 1, column 88: expected a string or an object, found an empty array
    error at /routes/~1/match/cookies/a b, line 1, column 56: expected the name of a cookie, found `a b`
    error at /routes/~1/match/cookies/c/not, line 1, column 81: expected the value of a cookie, without `;`, control characters and white space around it, found `x;y`
    error at /routes/~1/match/methods, line 1, column 55: expected at least one item, found an empty array
    error at /routes/~1/match/hosts/0, line 1, column 69: expected a host like `api.example.com` or `*.example.com`, found `https://a.example`
      hint: leave the scheme out
    error at /routes/~1/match/hosts/1, line 1, column 90: expected a host like `api.example.com` or `*.example.com`, found `*.*.example`
      hint: `*` in host `*.*.example` must be the whole first label, as in `*.example.com`; no host at all matches every host
    error at /routes/~1/match/hosts/2, line 1, column 105: expected a host like `api.example.com` or `*.example.com`, found an empty string
    "#);
}

#[test]
fn a_rule_that_takes_everything_comes_last() {
    let rules = |first: &str| {
        let backends = r#""backends": [{"host": "a:1"}]"#;
        format!(r#"{{"root": ":80", "routes": {{"/": [{{"match": {first}, {backends}}}, {{{backends}}}]}}}}"#)
    };
    for everything in ["{}", r#"{"headers": {}, "query": {}, "cookies": {}}"#] {
        assert!(refuse(&rules(everything)).contains("no request gets here"), "{everything}");
    }
    for some in [
        r#"{"methods": ["GET"]}"#,
        r#"{"hosts": ["a.example"]}"#,
        r#"{"headers": {"a": {"present": true}}}"#,
        r#"{"query": {"a": "b"}}"#,
        r#"{"cookies": {"a": {"not": "b"}}}"#,
    ] {
        accept(&rules(some));
    }
    // What was reported already would have asked for something.
    for broken in [r#"{"methods": []}"#, r#"{"hosts": 5}"#, r#"{"cookies": 5}"#, r#"{"headrs": {}}"#] {
        assert_eq!(refuse(&rules(broken)).matches("error at").count(), 1, "{broken}");
    }
}
