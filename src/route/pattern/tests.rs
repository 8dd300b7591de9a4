use std::collections::HashSet;

use super::*;
use crate::route::HostError;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The pattern as it was understood, in one line.
fn understood(pattern: &Pattern) -> String {
    let methods: Vec<&str> = pattern.methods().iter().map(Method::as_str).collect();
    let host = match pattern.host() {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
        HostPattern::Any => "any".into(),
    };
    let mut names = pattern.parameter_names();
    let segments = pattern.segments().iter().map(|segment| match segment {
        Segment::Exact(text) => format!("/{text}"),
        Segment::Parameter => format!("/{{{}}}", names.next().unwrap()),
    });
    let path = segments.collect::<String>() + if pattern.is_prefix() { "/*" } else { "" };
    format!("{} {host} {path}", if methods.is_empty() { "any".into() } else { methods.join(",") })
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(understood(&pattern(text)), expected, "{text}");
    assert_eq!(pattern(text).to_string(), text);
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = Pattern::parse(text).expect_err(text);
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn reads_paths() {
    check("/", "any any /");
    check("*", "any any /*");
    check("/*", "any any /*");
    check("/game/*", "any any /game/*");
    check("/game/dev", "any any /game/dev");
    check("/game/", "any any /game/");
    check("/files/{name}/meta", "any any /files/{name}/meta");
    check("/{a}/{b-2}/{c_3}/*", "any any /{a}/{b-2}/{c_3}/*");
    check("/.well-known/...", "any any /.well-known/...");
}

#[test]
fn normalises_literal_segments_like_requests() {
    check("/%61b/caf%c3%a9", "any any /ab/caf%C3%A9");
    check("/a%2bb/a+b/%2A", "any any /a+b/a+b/*");
    check("/%7bid%7d/[x]/%3b", "any any /%7Bid%7D/%5Bx%5D/%3B");
}

#[test]
fn reads_methods() {
    check("GET /x", "GET any /x");
    check("GET     /x", "GET any /x");
    check("POST,GET,M-SEARCH /x", "GET,M-SEARCH,POST any /x");
}

#[test]
fn reads_hosts() {
    check("GET api.example.com/v1/users/{id}", "GET api.example.com /v1/users/{id}");
    check("API.Example.COM./", "any api.example.com /");
    check("*.Example.com/*", "any *.example.com /*");
    check("localhost/", "any localhost /");
    check("LOCALHOST/", "any localhost /");
    check("backend./x", "any backend /x");
    check("127.0.0.1/x", "any 127.0.0.1 /x");
    check("[::1]/x", "any [::1] /x");
    check("[2001:DB8:0::1]/x", "any [2001:db8::1] /x");
    check("_acme.xn--bcher-kva.example/x", "any _acme.xn--bcher-kva.example /x");
}

#[test]
fn refuses_what_is_no_pattern() {
    check_refused("", "pattern is empty");
    check_refused("game", "`game` has no path: a path starts with `/`");
    check_refused("GET ", "`` has no path: a path starts with `/`");
    check_refused("GET *", "`*` has no path: a path starts with `/`");
    check_refused(
        "game/*",
        "`game` could be a host or a path: write `/game/*` for the path, `game./*` for the host",
    );
    check_refused(
        "http://a.example/",
        "`http://a.example/` has a scheme: a pattern is only a host and a path",
    );
}

#[test]
fn refuses_methods() {
    check_refused(
        "get /x",
        "method `get` has lower-case letters, and methods are case-sensitive: write `GET`",
    );
    check_refused("GET,POST,GET /x", "method `GET` is listed twice");
    check_refused("GET, /x", "`` is not a method");
    check_refused(" /x", "`` is not a method");
    check_refused("GE:T /x", "`GE:T` is not a method");
}

#[test]
fn refuses_hosts() {
    check_refused(
        "a.example:8080/",
        "host `a.example:8080` has a port: a pattern matches every port, write `a.example`",
    );
    check_refused(
        "*.example.com:80/",
        "host `*.example.com:80` has a port: a pattern matches every port, write `*.example.com`",
    );
    check_refused("[::1]:80/", "host `[::1]:80` has a port: a pattern matches every port, write `[::1]`");
    check_refused("[::g]/", "`[::g]` is not an IPv6 address in brackets");
    check_refused("[::1/", "`[::1` is not an IPv6 address in brackets");
    for host in ["a..b", ".a.b", ".", "a.b.."] {
        let error = Pattern::parse(&format!("{host}/")).expect_err(host);
        assert!(matches!(error, PatternError::Host(HostError::EmptyLabel(_))), "{host}: {error}");
    }
    for host in ["*", "*.", "a.*.b", "a*.b", "*a.b", "*.*.b"] {
        let error = Pattern::parse(&format!("{host}/")).expect_err(host);
        assert!(matches!(error, PatternError::Host(HostError::Wildcard(_))), "{host}: {error}");
    }
    check_refused(
        "bücher.example/",
        "`ü` is not allowed in host `bücher.example`; an international name is written in its `xn--` form",
    );
    check_refused(
        "user@a.example/",
        "`@` is not allowed in host `user@a.example`; an international name is written in its `xn--` form",
    );
    check_refused(
        &format!("{}.b/", "a".repeat(64)),
        &format!("label `{}` of the host is longer than 63 characters", "a".repeat(64)),
    );
    let long = "a.".repeat(127) + "b";
    check_refused(&format!("{long}/"), &format!("host `{long}` is longer than 253 characters"));
}

#[test]
fn refuses_paths() {
    check_refused("/a?b=c", "path `/a?b=c` has a query or a fragment: a pattern matches only the path");
    check_refused("/a#b", "path `/a#b` has a query or a fragment: a pattern matches only the path");
    check_refused("/a//b", "path `/a//b` has repeated slashes: in requests they are merged into one");
    for (path, segment) in [("/a/../b", ".."), ("/./a", "."), ("/a/%2e%2E", "%2e%2E")] {
        check_refused(
            path,
            &format!("segment `{segment}` is a dot segment: in requests they are resolved before matching"),
        );
    }
    for (path, segment) in [("/a*", "a*"), ("/*/b", "*"), ("/a/*b/c", "*b"), ("/a/**", "**"), ("/a/*/*", "*")]
    {
        check_refused(
            path,
            &format!(
                "`*` in segment `{segment}` must be the whole last segment, as in `/game/*`; a literal star is `%2A`"
            ),
        );
    }
    check_refused(
        "/a;v=1/b",
        "segment `a;v=1` has path parameters, which do not count in matching; a literal `;` is `%3B`",
    );
    check_refused("/a%2Fb", "segment `a%2Fb` cannot be matched: escape `%2F` is not allowed in a path");
    check_refused("/a b", "segment `a b` cannot be matched: byte `0x20` is not allowed in a path");
    check_refused("/é", "segment `é` cannot be matched: byte `0xC3` is not allowed in a path");
    check_refused(&"/a".repeat(65), "path has more than 64 segments");
    assert!(Pattern::parse(&"/a".repeat(64)).is_ok());
}

#[test]
fn refuses_parameters() {
    for (path, segment) in
        [("/{id}.json", "{id}.json"), ("/v{n}", "v{n}"), ("/{a}{b}", "{a}{b}"), ("/{a", "{a"), ("/a}", "a}")]
    {
        check_refused(
            path,
            &format!(
                "parameter in `{segment}` must be a whole segment, as in `/users/{{id}}`; a literal brace is `%7B` or `%7D`"
            ),
        );
    }
    check_refused("/{}", "`` is not a parameter name: letters, digits, `_` and `-` make one");
    check_refused("/{*rest}", "`*rest` is not a parameter name: letters, digits, `_` and `-` make one");
    check_refused("/{id}/x/{id}", "parameter `id` is named twice");
}

#[test]
fn finds_parameters_in_a_path() {
    let path = "/v1/users/caf%C3%A9/files/7/more";
    let pattern = pattern("/v1/users/{name}/files/{id}/*");
    let parameters: Vec<_> = pattern.parameters(path).map(|(name, range)| (name, &path[range])).collect();
    assert_eq!(parameters, [("name", "caf%C3%A9"), ("id", "7")]);
}

#[test]
fn equality_is_about_what_matches() {
    for (a, b) in [
        ("/{a}/x", "/{b}/x"),
        ("GET,POST /", "POST,GET /"),
        ("*", "/*"),
        ("A.b/", "a.b./"),
        ("/%61+", "/a%2b"),
    ] {
        assert_eq!(pattern(a), pattern(b));
        assert_eq!(HashSet::from([pattern(a), pattern(b)]).len(), 1);
    }
    for (a, b) in [("/a", "/a/"), ("/a", "/a/*"), ("GET /", "/"), ("a.b/", "*.b/"), ("/{a}", "/a")] {
        assert_ne!(pattern(a), pattern(b));
    }
}

#[test]
fn conflict_keys_tell_which_patterns_conflict() {
    let conflict = |a: &str, b: &str| {
        let (a, b) = (pattern(a), pattern(b));
        let keys: HashSet<ConflictKey> = a.conflict_keys().collect();
        b.conflict_keys().any(|key| keys.contains(&key))
    };
    assert!(conflict("GET /x", "GET,POST /x"));
    assert!(conflict("/{a}", "/{b}"));
    assert!(conflict("*", "/*"));
    assert!(!conflict("GET /x", "POST /x"));
    assert!(!conflict("GET /x", "/x"));
    assert!(!conflict("/x", "/x/*"));
    assert!(!conflict("a.b/x", "/x"));
}
