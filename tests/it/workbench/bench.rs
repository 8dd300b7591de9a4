//! `cupctl plugin bench`.

use super::{file, json, plugin};
use crate::support::guest;

#[tokio::test]
async fn every_hook_is_measured() {
    let ended =
        plugin(&[&"bench", &"headers", &"--seconds", &"1", &"--header", &"x-a: 1", &"-o", &"json"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let told = json(&ended);
    let hooks = told["hooks"].as_array().expect("hooks");
    assert_eq!(
        hooks.iter().map(|hook| hook["name"].as_str()).collect::<Vec<_>>(),
        [Some("on-request"), Some("on-response")]
    );
    for hook in hooks {
        let [median, p99] = ["median_ns", "p99_ns"].map(|name| hook[name].as_u64().expect("a time"));
        assert!(0 < median && median <= p99 && hook["calls"].as_u64() >= Some(640), "{hook}");
    }
    for name in ["size_bytes", "compile_ns", "instantiate_ns", "memory_bytes"] {
        assert!(told[name].as_u64() > Some(0), "{name}: {told}");
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_told() {
    let ended = plugin(&[&"bench", &"require-header"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("missing field `name`") && ended.stderr.contains("--config"), "{ended:?}");
    let (_folder, path) = file("config.json", r#"{ "name": "x", "status": 1 }"#);
    let ended = plugin(&[&"bench", &"require-header", &"--config", &path]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("config.json: error at line 1, column 1: ")
            && ended.stderr.contains("`status`"),
        "{ended:?}"
    );
    let ended = plugin(&[&"bench", &"headers", &"--header", &"x"]).await;
    assert!(ended.code == 2 && ended.stderr.contains("expected a header `name: value`"), "{ended:?}");
}

#[tokio::test]
async fn guest_faults_end_it_with_their_text() {
    let (_folder, config) = file("config.json", r#"{ "hook": "on-response" }"#);
    let ended = plugin(&[&"bench", &guest("trap"), &"--config", &config]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("plugin `trap` faults: ") && ended.stderr.contains("plugin-trap"),
        "{ended:?}"
    );
}
