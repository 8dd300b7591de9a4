//! What no log, no metric and no diagnostic may show.

use std::fs;
use std::path::Path;

use http::HeaderValue;
use serde_json::json;

use crate::check::program::{Program, cloud_cup, cupctl, run};
use crate::support::{Backend, eventually, request};

const VARIABLE: &str = "CLOUDCUP_TEST_TOKEN";

#[tokio::test]
async fn secrets_stay_out_of_everything_that_is_told() {
    let backend = Backend::echo("a");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let config = json!({ "request": { "set": { "x-token": format!("$env:{VARIABLE}") } } });
    let plugins = json!([{ "use": "headers", "config": config }]);
    let mut document = json!({
        "root": "127.0.0.1:0",
        "access_log": "access.log",
        "admin": { "socket": "admin.sock" },
        "routes": { "*": { "backends": [backend.host()], "plugins": plugins } },
    });
    fs::write(at("cup.json"), document.to_string()).expect("it can be written to");
    let mut command = cloud_cup([Path::new("--config"), &at("cup.json")]);
    // Everything that the gateway can be made to say.
    command.env(VARIABLE, "hidden-token").env("RUST_LOG", "trace");
    let program = Program::serving(command).await;
    let mut asked = crate::support::post("/path?password=hidden-query", "hidden-body");
    for (name, value) in [
        ("authorization", "Bearer hidden-bearer"),
        ("cookie", "session=hidden-cookie"),
        ("proxy-authorization", "hidden-proxy"),
        ("x-api-key", "hidden-key"),
        ("referer", "http://a/?hidden-referer"),
    ] {
        asked.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = request(program.address("root"), asked).await;
    assert_eq!(answer.echoed("x-token").as_deref(), Some("hidden-token"), "the backend gets it");
    eventually(|| async { fs::read_to_string(at("access.log")).is_ok_and(|log| log.ends_with('\n')) }).await;
    // A change that is rejected, with the secret in the plugin's own words.
    document["routes"]["*"]["plugins"][0]["config"]["request"]["set"]["x y"] =
        json!(format!("$env:{VARIABLE}"));
    document["timeouts"] = json!({ "connect": format!("$env:{VARIABLE}") });
    fs::write(at("cup.json"), document.to_string()).expect("it can be written to");
    let ask = async |command: &str| {
        let (socket, output) = (at("admin.sock"), "--output");
        run(cupctl([
            Path::new(command),
            Path::new("--socket"),
            &socket,
            Path::new(output),
            Path::new("json"),
        ]))
        .await
    };
    let (reload, status) = (ask("reload").await, ask("status").await);
    assert_eq!((reload.code, status.code), (1, 0));
    program.signal("TERM");
    let ended = program.ended().await;
    let log = fs::read_to_string(at("access.log")).expect("it is there");
    for (what, text) in [
        ("access log", &log),
        ("log", &ended.stderr),
        ("standard output", &ended.stdout),
        ("reload", &reload.stdout),
        ("status", &status.stdout),
    ] {
        let shown = text.lines().find(|line| line.contains("hidden-"));
        assert!(shown.is_none(), "the {what} shows a secret: {}", shown.unwrap_or_default());
    }
    assert!(log.contains("\"path\":\"/path\""), "{log}");
}

#[tokio::test]
async fn metrics_show_no_secret() {
    let backend = Backend::echo("a");
    let gateway = crate::support::Gateway::start(crate::support::document(
        json!({ "*": { "backends": [backend.host()] } }),
    ))
    .await;
    let mut asked = crate::support::get("/hidden-path?hidden-query");
    asked.headers_mut().insert("authorization", HeaderValue::from_static("hidden-bearer"));
    request(gateway.address(), asked).await;
    gateway.logged(1).await;
    let metrics = gateway.metrics().await;
    assert!(!metrics.contains("hidden-"), "{metrics}");
}

#[tokio::test]
async fn a_backend_that_comes_from_outside_is_told_by_its_reference() {
    let backend = Backend::echo("a");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("backend"), backend.address().to_string()).expect("it can be written to");
    let document = json!({ "routes": { "*": { "backends": [{ "host": "$file:backend" }] } } });
    let gateway = crate::support::Gateway::try_start_in(folder, document)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(request(gateway.address(), crate::support::get("/")).await.backend(), "a");
    assert_eq!(gateway.logged(1).await[0]["backend"], "$file:backend");
    assert_eq!(
        gateway.metric("cloudcup_backend_healthy{upstream=\"routes:*\",backend=\"$file:backend\"}").await,
        1.0
    );
}
