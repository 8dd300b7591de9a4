use super::*;

mod model;

/// A table whose values are the texts of its patterns.
fn table<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Table<&'a str> {
    Table::build(patterns.into_iter().map(|text| (Pattern::parse(text).expect(text), text)))
}

/// What `METHOD host path` finds: the pattern and its parameters, or why there is none. `-` is no host.
fn find(table: &Table<&str>, request: &str) -> String {
    let mut words = request.split(' ');
    let mut word = || words.next().expect("a request is `METHOD host path`");
    let (method, host, path) = (word(), word().trim_start_matches('-'), word());
    match table.find(&method.parse().unwrap(), host, path) {
        Lookup::Found { pattern, value } => {
            assert_eq!(pattern.to_string(), *value);
            let parameters =
                pattern.parameters(path).map(|(name, range)| format!(" {name}={}", &path[range]));
            value.to_string() + &parameters.collect::<String>()
        }
        Lookup::MethodNotAllowed(allowed) => {
            format!("allows {}", allowed.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(","))
        }
        Lookup::NotFound => "not found".into(),
    }
}

/// The outcome does not depend on the order in which the patterns were given.
#[track_caller]
fn check(patterns: &[&str], cases: &[(&str, &str)]) {
    for table in [table(patterns.iter().copied()), table(patterns.iter().rev().copied())] {
        for (request, expected) in cases {
            assert_eq!(find(&table, request), *expected, "{request}");
        }
    }
}

#[test]
fn routes_the_original_document() {
    check(
        &["*", "/", "/game/*", "/game/dev"],
        &[
            ("GET localhost /", "/"),
            ("GET localhost /game", "/game/*"),
            ("GET localhost /game/", "/game/*"),
            ("POST localhost /game/a/b", "/game/*"),
            ("GET localhost /game/dev", "/game/dev"),
            ("GET localhost /game/dev/", "/game/*"),
            ("GET localhost /gamex", "*"),
            ("GET localhost /anything/else", "*"),
            ("OPTIONS localhost *", "*"),
        ],
    );
}

#[test]
fn exact_wins_over_parameter_over_longest_wildcard() {
    check(
        &["/a/b", "/a/{x}", "/a/*", "/{x}/b", "/*", "/a/{x}/c/*", "/a/b/c/d"],
        &[
            ("GET - /a/b", "/a/b"),
            ("GET - /a/c", "/a/{x} x=c"),
            ("GET - /a/", "/a/*"),
            ("GET - /b/b", "/{x}/b x=b"),
            ("GET - /b/c", "/*"),
            ("GET - /a/b/c/d", "/a/b/c/d"),
            ("GET - /a/b/c/e", "/a/{x}/c/* x=b"),
            ("GET - /a/b/c", "/a/{x}/c/* x=b"),
            ("GET - /a/b/d", "/a/*"),
        ],
    );
}

#[test]
fn host_wins_over_path() {
    check(
        &["api.example.com/*", "*.example.com/a/b", "*.com/a/b/c", "/a/b/c/d", "*.api.example.com/"],
        &[
            ("GET api.example.com /a/b/c/d", "api.example.com/*"),
            ("GET API.Example.Com. /a", "api.example.com/*"),
            ("GET www.example.com /a/b", "*.example.com/a/b"),
            ("GET a.b.example.com /a/b", "*.example.com/a/b"),
            ("GET www.example.com /a/b/c", "*.com/a/b/c"),
            ("GET www.example.com /a/b/c/d", "/a/b/c/d"),
            ("GET example.com /a/b", "not found"),
            ("GET x.api.example.com /", "*.api.example.com/"),
            ("GET com /a/b/c", "not found"),
            ("GET - /a/b/c/d", "/a/b/c/d"),
        ],
    );
}

#[test]
fn address_literals_are_hosts() {
    check(
        &["[::1]/", "127.0.0.1/"],
        &[
            ("GET [0:0::1] /", "[::1]/"),
            ("GET 127.0.0.1 /", "127.0.0.1/"),
            ("GET [::2] /", "not found"),
            ("GET ::1 /", "not found"),
        ],
    );
}

#[test]
fn method_wins_over_none_on_the_same_path_only() {
    check(
        &["GET /a", "/a", "POST /b", "GET,PUT /b", "DELETE /*", "GET /{x}/c", "PUT a.example/b"],
        &[
            ("GET - /a", "GET /a"),
            ("POST - /a", "/a"),
            ("DELETE - /a", "/a"),
            ("DELETE - /b", "DELETE /*"),
            ("PUT - /b", "GET,PUT /b"),
            ("HEAD - /b", "allows DELETE,GET,POST,PUT"),
            ("PATCH a.example /b", "allows DELETE,GET,POST,PUT"),
            ("get - /b", "allows DELETE,GET,POST,PUT"),
            ("GET - /x/c", "GET /{x}/c x=x"),
            ("GET - /d", "allows DELETE"),
        ],
    );
    check(&["GET /a"], &[("GET - /b", "not found"), ("POST - /a", "allows GET")]);
}

#[test]
fn parameters_are_one_segment_that_is_not_empty() {
    check(
        &["/users/{id}", "/users/{id}/", "/{a}/{b}/{c}/*"],
        &[
            ("GET - /users/7", "/users/{id} id=7"),
            ("GET - /users/7/", "/users/{id}/ id=7"),
            ("GET - /users/", "not found"),
            ("GET - /users/;v=1", "not found"),
            ("GET - /x/y/z", "/{a}/{b}/{c}/* a=x b=y c=z"),
            ("GET - /x/y/%20z;v/w", "/{a}/{b}/{c}/* a=x b=y c=%20z;v"),
        ],
    );
}

#[test]
fn spellings_that_backends_may_mix_up_match_the_same() {
    check(
        &["/admin/*", "/a+b", "/a%3Bb", "/%2A/x", "/{any}/*"],
        &[
            ("GET - /admin;v=1/x", "/admin/*"),
            ("GET - /admin;v=1", "/admin/*"),
            ("GET - /admin%3Bv", "/{any}/* any=admin%3Bv"),
            ("GET - /a+b", "/a+b"),
            ("GET - /a%2Bb", "/a+b"),
            ("GET - /a%2Bb;v", "/a+b"),
            ("GET - /a%3Bb", "/a%3Bb"),
            ("GET - /a;b", "/{any}/* any=a;b"),
            ("GET - /*/x", "/%2A/x"),
            ("GET - /a%2525", "/{any}/* any=a%2525"),
        ],
    );
}

#[test]
fn of_conflicting_patterns_the_first_wins() {
    let table = table(["GET,POST /a", "GET /a", "PUT,POST /a", "/{x}", "/{y}"]);
    assert_eq!(find(&table, "GET - /a"), "GET,POST /a");
    assert_eq!(find(&table, "POST - /a"), "GET,POST /a");
    assert_eq!(find(&table, "PUT - /a"), "PUT,POST /a");
    assert_eq!(find(&table, "GET - /b"), "/{x} x=b");
}

#[test]
fn an_empty_table_finds_nothing() {
    check(&[], &[("GET a.example /", "not found"), ("GET - *", "not found")]);
}

#[test]
fn a_host_longer_than_any_name_matches_no_host_pattern() {
    let long = "a.".repeat(200) + "example.com";
    check(&["*.example.com/", "/*"], &[(&format!("GET {long} /"), "/*")]);
}

#[test]
fn ten_thousand_routes_take_no_longer_walk_than_ten() {
    let longest_walk = |routes: usize| {
        let templates = ["/service-{}/*", "/service-{}/users/{id}", "/{tenant}/items-{}", "/v{}/{a}/{b}/c"];
        let patterns = (0..routes).map(|n| templates[n % 4].replace("{}", &n.to_string()));
        Table::build(patterns.map(|text| (Pattern::parse(&text).unwrap(), ()))).any_host.longest_walk()
    };
    assert_eq!(longest_walk(10), longest_walk(10_000));
}

#[test]
fn a_long_hostile_path_costs_no_more_than_the_patterns_are_deep() {
    let table = table(["/{p}/a", "/a/{p}/a", "/a/a/{p}/a"]);
    assert_eq!(table.any_host.longest_walk(), 9);
    assert_eq!(find(&table, &format!("GET - {}", "/a".repeat(100_000))), "not found");
}
