//! Values that stand outside of the document, and that no message may show.

use serde_json::json;

use super::program::{Ended, cloud_cup, run};
use super::{Written, assert_plain, minimal};
use crate::support::guest;

/// With characters that quoting changes.
const SECRET: &str = "s3cr\\et \"quoted\"";
const VARIABLE: &str = "CLOUDCUP_TEST_SECRET";

async fn check(document: serde_json::Value) -> Ended {
    let written = Written::new(document.to_string()).beside("secret", format!("{SECRET}\n"));
    let mut command = cloud_cup([std::path::Path::new("check"), &written.file()]);
    command.env(VARIABLE, SECRET);
    run(command).await
}

#[track_caller]
fn assert_hidden(ended: &Ended) {
    assert_plain(ended);
    for text in [&ended.stdout, &ended.stderr] {
        for part in ["s3cr", "quoted\\\"", "\"quoted"] {
            assert!(!text.contains(part), "the secret is shown: {text}");
        }
    }
}

#[tokio::test]
async fn references_that_stand_for_nothing_are_errors() {
    let mut document = minimal();
    document["root"] = json!("$env:CLOUDCUP_TEST_UNSET");
    document["access_log"] = json!("$file:no/such/file");
    document["routes"]["/"]["backends"][0]["host"] = json!("$env:");
    document["plugins"] = json!({ "headers": { "config": { "request": { "set": { "x-a": "$file:." } } } } });
    let found = Written::new(document.to_string()).rejected().await;
    let told = |pointer: &str| {
        let at = format!("error at {pointer}, ");
        found
            .iter()
            .find(|diagnostic| diagnostic.starts_with(&at))
            .unwrap_or_else(|| panic!("{pointer}: {found:#?}"))
    };
    assert!(told("/root").contains("environment variable `CLOUDCUP_TEST_UNSET` is not set"));
    assert!(told("/access_log").contains("no/such/file"));
    assert!(told("/routes/~1/backends/0/host").contains("expected the name of a variable"));
    assert!(told("/plugins/headers/config/request/set/x-a").contains("is not a file"));
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_shown_as_its_reference() {
    for reference in [format!("$env:{VARIABLE}"), "$file:secret".to_owned()] {
        let mut document = minimal();
        document["root"] = json!(reference);
        document["timeouts"] = json!({ "connect": reference });
        document["limits"] = json!({ "head_size": reference, "header_count": reference });
        document["trusted_proxies"] = json!([reference]);
        document["http"] = json!({ "strategy": reference });
        document["admin"] = json!({ "listen": reference });
        document["ssl"] = json!({ "ssl_certificate": reference, "ssl_certificate_key": reference });
        document["routes"]["/"]["backends"][0]["host"] = json!(reference);
        document["routes"]["/"]["plugins"] = json!([reference, { "use": reference }]);
        document["routes"]["/a"] = json!({ "upstream": reference });
        let matches = json!({ "headers": { "x": reference, "y": " $x" } });
        document["routes"]["/b"] = json!({ "backends": [{ "host": "a:1" }], "match": matches });
        let ended = check(document).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_hidden(&ended);
        assert!(ended.stderr.matches(&format!("`{reference}`")).count() >= 8, "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_secret_in_a_path_is_not_shown() {
    let reference = format!("$env:{VARIABLE}");
    let mut document = minimal();
    document["plugins"] = json!({ "mine": { "source": reference } });
    let ended = check(document).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_hidden(&ended);
}

#[tokio::test]
async fn a_secret_in_a_shipped_plugins_own_words_is_shown_as_its_reference() {
    let reference = format!("$env:{VARIABLE}");
    for config in [
        json!({ "request": { "set": { "x y": reference } } }),
        json!({ "request": reference }),
        json!({ "request": { "remove": [reference] } }),
        json!({ "request": { "set": { "x-a": { "b": reference } } } }),
    ] {
        let mut document = minimal();
        document["routes"]["/"]["plugins"] = json!([{ "use": "headers", "config": config }]);
        let ended = check(document).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_hidden(&ended);
    }
}

#[tokio::test]
async fn guest_a_secret_in_a_plugins_own_words_is_shown_as_its_reference() {
    let mut document = minimal();
    document["plugins"] = json!({ "picky": { "source": guest("picky") } });
    let reference = format!("$env:{VARIABLE}");
    let [inside, alone] = [json!({ "ok": reference }), json!(reference)];
    document["routes"]["/"]["plugins"] =
        json!([{ "use": "picky", "config": inside }, { "use": "picky", "config": alone }]);
    let ended = check(document).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_hidden(&ended);
    assert!(ended.stderr.contains(&format!("$env:{VARIABLE}")), "{}", ended.stderr);
}

#[tokio::test]
async fn an_escaped_reference_is_a_text() {
    let mut document = minimal();
    document["routes"]["/"]["plugins"] =
        json!([{ "use": "headers", "config": { "response": { "set": { "x-a": "$$env:NOT_A_VARIABLE" } } } }]);
    let ended = check(document).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
}

#[tokio::test]
async fn a_variable_that_is_no_text_is_not_called_unset() {
    use std::os::unix::ffi::OsStrExt;
    let mut document = minimal();
    document["root"] = json!(format!("$env:{VARIABLE}"));
    let written = Written::new(document.to_string());
    let mut command = cloud_cup([std::path::Path::new("check"), &written.file()]);
    command.env(VARIABLE, std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    let ended = run(command).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("UTF-8") && !ended.stderr.contains("is not set"), "{ended:?}");
}
