//! `cupctl plugin test`.

use std::fs;

use serde_json::{Value, json};

use super::{file, json, plugin, repository};
use crate::check::program::Ended;
use crate::support::guest;

async fn test(name: &str, cases: &Value) -> Ended {
    test_text(name, &format!("{cases:#}")).await
}

async fn test_text(name: &str, cases: &str) -> Ended {
    let (_folder, path) = file("tests.json", cases);
    plugin(&[&"test", &name, &path]).await
}

fn steps(config: Value, steps: Value) -> Value {
    json!({ "cases": [{ "name": "a case", "config": config, "steps": steps }] })
}

/// A plugin with cases that is not in the binary fails here too: `cargo xtask plugins` puts it there.
#[tokio::test]
async fn the_cases_of_every_shipped_plugin_hold() {
    let folders = fs::read_dir(repository().join("plugins")).expect("the guests' workspace");
    let mut tested = 0;
    for folder in folders {
        let folder = folder.expect("an entry").path();
        let cases = folder.join("tests.json");
        if cases.is_file() {
            let name = folder.file_name().expect("a folder has a name");
            let ended = plugin(&[&"test", &name, &cases]).await;
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{name:?}:\n{}", ended.stdout);
            tested += 1;
        }
    }
    assert!(tested >= 2, "{tested}");
}

#[tokio::test]
async fn each_case_has_a_line() {
    let name = json!({ "name": "x-a" });
    let cases = json!({ "cases": [
        { "name": "one", "config": name, "steps": [{ "expect": { "status": 401 } }] },
        { "name": "two", "config": name, "steps": [{ "expect": { "status": 403, "verdict": "next" } }] },
        { "name": "three", "config": {}, "refused": "missing field" },
    ] });
    let ended = test("require-header", &cases).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    let expected = [
        "ok      one",
        "FAILED  two",
        "        step 1: expected the verdict `next`, found `reply`",
        "        step 1: expected the status 403, found 401",
        "ok      three",
        "3 cases, 1 FAILED",
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn everything_that_differs_is_told() {
    let config = json!({
        "request": { "set": { "x-set": "1" } },
        "response": { "set": { "x-set": "1" } },
    });
    let expect = json!({
        "verdict": "reply",
        "status": 404,
        "headers": { "x-set": "2", "x-none": "1" },
        "absent": ["x-set"],
        "body_contains": "words",
        "request_headers": { "x-set": "2" },
        "request_absent": ["x-set"],
        "attributes": { "a": "2", "b": "1" },
        "avoided": ["127.0.0.1:81"],
    });
    let step = json!({ "request": { "attributes": { "a": "1" } }, "expect": expect });
    let ended = test("headers", &steps(config, json!([step]))).await;
    assert_eq!(ended.code, 1);
    let told: Vec<_> =
        ended.stdout.lines().filter_map(|line| line.strip_prefix("        step 1: ")).collect();
    let expected = [
        "expected the verdict `reply`, found `next`",
        "expected the status 404, found 200",
        "expected a body that contains `words`, found ``",
        "expected the response with `x-none: 1`, found none",
        "expected the response with `x-set: 2`, found `1`",
        "expected the response without `x-set`, found `1`",
        "expected the request with `x-set: 2`, found `1`",
        "expected the request without `x-set`, found `1`",
        "expected the attribute `a` to be `2`, found `1`",
        "expected the attribute `b` to be `1`, found none",
        "expected avoided backends [\"127.0.0.1:81\"], found []",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_refusal_that_is_not_expected_or_another_one_fails() {
    let case = |refused: Value| {
        let mut case = json!({ "name": "a case", "config": { "name": "" } });
        case["refused"] = refused;
        json!({ "cases": [case] })
    };
    let ended = test("require-header", &case(Value::Null)).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stdout.contains("        error at /cases/0/config")
            && ended.stdout.contains("not a field name")
    );
    let ended = test("require-header", &case(json!("other words"))).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stdout.contains("expected a refused configuration with `other words`, found: "),
        "{ended:?}"
    );
    let accepted = json!({ "cases": [{ "name": "a", "config": { "name": "x" }, "refused": "words" }] });
    let ended = test("require-header", &accepted).await;
    assert!(ended.code == 1 && ended.stdout.contains("found it accepted"), "{ended:?}");
}

#[tokio::test]
async fn the_request_is_made_as_by_the_gateway() {
    let set = json!({ "request": { "set": { "x-a": "1" } } });
    let request =
        json!({ "path": "/a/../b", "query": "c=d", "client": "198.51.100.7", "host": "cup.example" });
    let expect = json!({ "request_headers": {
        "x-forwarded-for": "198.51.100.7", "x-forwarded-host": "cup.example", "host": "cup.example",
    } });
    let ended = test("headers", &steps(set.clone(), json!([{ "request": request, "expect": expect }]))).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let step = json!({ "request": { "host": "a b" } });
    let ended = test("headers", &steps(set, json!([step]))).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(
        ended.stderr.contains("error at /cases/0/steps/0/request")
            && ended.stderr.contains("the host is malformed"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn what_is_written_wrong_is_told_with_its_place() {
    let ended = test_text("headers", "{\n  \"cases\": [{ \"name\": \"a\",\n    \"step\": [] }]\n}").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(
        ended.stderr.contains("tests.json: error at line 3, column ")
            && ended
                .stderr
                .contains("unknown field `step`, expected one of `name`, `config`, `steps`, `refused`"),
        "{ended:?}"
    );
    let step = json!({
        "wait": "soon",
        "response": { "status": 99, "headers": [["a b", "c"]], "duration": "1", "reason": "no-reason" },
        "expect": { "verdict": "next", "code": "plugin-trap" },
    });
    let ended = test("headers", &steps(json!({}), json!([step]))).await;
    assert_eq!(ended.code, 2);
    for (place, words) in [
        ("wait", "expected a duration such as"),
        ("response/status", "expected 200 to 599, found `99`"),
        ("response/headers/0", "expected a field name, found `a b`"),
        ("response/duration", "expected a duration such as"),
        ("response/reason", "unknown reason `no-reason`"),
        ("expect/code", "is that of a fault"),
    ] {
        let begin = format!("error at /cases/0/steps/0/{place}, line ");
        let line = ended.stderr.lines().find(|line| line.contains(&begin));
        assert!(line.is_some_and(|line| line.contains(words)), "{place}: {}", ended.stderr);
    }
    for (cases, words) in [
        (json!({ "cases": [] }), "expected at least one case"),
        (json!({ "cases": [{ "name": "a" }], "key_sets": { "a": { "secrt": "x" } } }), "/key_sets/a, line "),
        (json!({ "cases": [{ "name": "a" }], "secrets": { "a": 1 } }), "/secrets/a, line "),
    ] {
        let ended = test("headers", &cases).await;
        assert!(ended.code == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
    }
}

#[tokio::test]
async fn the_outcome_can_be_read_by_programs() {
    let (_folder, path) =
        file("tests.json", steps(json!({}), json!([{ "expect": { "status": 201 } }])).to_string());
    let ended = plugin(&[&"test", &"headers", &path, &"-o", &"json"]).await;
    let failures = ["step 1: expected the status 201, found 200"];
    let case = json!({ "name": "a case", "ok": false, "failures": failures, "log": [] });
    assert_eq!((ended.code, json(&ended)), (1, json!({ "cases": [case], "failed": 1 })));
}

#[tokio::test]
async fn a_file_is_tested_like_a_shipped_plugin() {
    let (_folder, component) = file("mine.wasm", crate::plugins::dist("require-header"));
    let cases = repository().join("plugins/require-header/tests.json");
    let ended = plugin(&[&"test", &component, &cases]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.ends_with(" cases, all ok\n"), "{ended:?}");
    let ended = plugin(&[&"test", &component, &"missing.json"]).await;
    assert!(
        ended.code == 2 && ended.stderr.starts_with("error: cannot read the cases missing.json"),
        "{ended:?}"
    );
    fs::write(&component, "garbage").expect("it can be written to");
    assert_eq!(plugin(&[&"test", &component, &cases]).await.code, 1);
}

#[tokio::test]
async fn guest_faults_are_told_with_what_was_logged() {
    let path = guest("trap");
    let path = path.to_str().expect("a path in UTF-8");
    let config = json!({ "hook": "on-request" });
    let ended = test(path, &steps(config.clone(), json!([{}]))).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("expected no fault, found `fault` (plugin-trap)"), "{ended:?}");
    assert!(ended.stdout.contains("        log: WARN plugin fault: "), "{ended:?}");
    let expect = json!({ "verdict": "fault", "code": "plugin-trap", "status": 500 });
    assert_eq!(test(path, &steps(config, json!([{ "expect": expect }]))).await.code, 0);
}

#[tokio::test]
async fn guest_time_passes_as_a_step_says_and_no_longer() {
    let told = json!({ "expect": { "headers": { "x-monotonic": "" } } });
    let mut later = told.clone();
    later["wait"] = json!("24h");
    let cases = steps(json!({}), json!([told, told, later]));
    let (_folder, path) = file("tests.json", cases.to_string());
    let ended = plugin(&[&"test", &guest("chatty"), &path, &"-o", &"json"]).await;
    let found = json(&ended)["cases"][0]["failures"].as_array().expect("failures").clone();
    let time = |failure: &Value| {
        let quoted = failure.as_str().and_then(|text| text.rsplit('`').nth(1));
        quoted.and_then(|time| time.parse::<u64>().ok()).unwrap_or_else(|| panic!("{failure}"))
    };
    let times: Vec<_> = found.iter().map(time).collect();
    assert_eq!(times[1] - times[0], 0, "{found:?}");
    assert_eq!(times[2] - times[1], 24 * 60 * 60 * 1_000_000_000, "{found:?}");
}

#[tokio::test]
async fn guest_outcomes_are_those_of_the_steps() {
    let response = json!({ "status": 502, "duration": "5ms", "reason": "backend-closed" });
    let step = json!({ "response": response, "expect": { "status": 1 } });
    let cases = steps(json!({ "log": "told" }), json!([step]));
    let (_folder, path) = file("tests.json", cases.to_string());
    let ended = plugin(&[&"test", &guest("chatty"), &path, &"-o", &"json"]).await;
    let told = json(&ended)["cases"][0]["log"].clone();
    let lines: Vec<_> = told.as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    let outcome =
        lines.iter().find(|line| line.contains("told on-finish")).unwrap_or_else(|| panic!("{told}"));
    for part in [
        "status: 502",
        "Origin::Gateway",
        "Some(\"backend-closed\")",
        "Some(\"127.0.0.1:81\")",
        "complete: true",
        "duration: 5000000",
    ] {
        assert!(outcome.contains(part), "`{part}` is not in {outcome}");
    }
}
