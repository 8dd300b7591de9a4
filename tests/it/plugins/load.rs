//! Components that cannot be used. All of it shows when the document is checked, and nothing of it at a request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use cloud_cup::config::Diagnostic;
use cloud_cup::reload::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{dist, refused, refused_in, route, with_guests};
use crate::support::{Backend, Gateway, get, guest, request};

/// The smallest ones: nothing but the magic number, the version and the layer.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn using(source: &str) -> Value {
    json!({
        "plugins": { "mine": { "source": source } },
        "routes": { "*": { "backends": [{ "host": "127.0.0.1:1" }], "plugins": ["mine"] } },
    })
}

#[track_caller]
fn assert_explained(diagnostics: &[Diagnostic], pointer: &str, words: &str) {
    let [diagnostic] = diagnostics else { panic!("one mistake, one diagnostic: {diagnostics:?}") };
    let shown = diagnostic.to_string();
    assert_eq!(diagnostic.pointer, pointer, "{shown}");
    assert!(diagnostic.message.contains("plugin `mine`"), "{shown}");
    assert!(diagnostic.message.contains(words), "`{words}` is not in: {shown}");
    assert!(!diagnostic.message.contains('\n'), "{shown}");
    assert!(diagnostic.line > 0 && diagnostic.column > 0, "{shown}");
    assert!(diagnostic.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "what to do about it: {shown}");
    for dump in ["Stack backtrace", "Some(", "Err(", ".cargo/registry", "src/plugin"] {
        assert!(!shown.contains(dump), "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_component_is_refused_when_the_document_is_checked() {
    let headers = dist("headers");
    let cases: [(&[u8], &str); 7] = [
        (b"", "not a WebAssembly component"),
        (b"this is not WebAssembly", "not a WebAssembly component"),
        (&headers[..8], "exports no hook"),
        (&headers[..headers.len() / 2], "not a WebAssembly component"),
        (&headers[..headers.len() - 1], "not a WebAssembly component"),
        (CORE_MODULE, "core module"),
        (EMPTY_COMPONENT, "exports no hook"),
    ];
    for (bytes, words) in cases {
        let folder = folder();
        fs::write(folder.path().join("mine.wasm"), bytes).expect("the folder can be written to");
        assert_explained(&refused_in(folder, using("mine.wasm")).await, "/plugins/mine", words);
    }
}

#[tokio::test]
async fn a_component_that_cannot_be_read_is_refused_when_the_document_is_checked() {
    let missing = refused(using("none.wasm")).await;
    assert_explained(&missing, "/plugins/mine", "none.wasm: No such file or directory");
    let in_missing_folder = refused(using("no/such/folder/mine.wasm")).await;
    assert_explained(&in_missing_folder, "/plugins/mine", "No such file or directory");
    let folder = folder();
    fs::create_dir(folder.path().join("mine.wasm")).expect("the folder can be written to");
    assert_explained(&refused_in(folder, using("mine.wasm")).await, "/plugins/mine", "not a file");
    assert_explained(&refused(using("/dev/zero")).await, "/plugins/mine", "not a file");
}

#[tokio::test]
async fn a_plugin_that_no_route_uses_is_checked_all_the_same() {
    let diagnostics = refused(json!({
        "plugins": { "mine": { "source": "none.wasm" } },
        "routes": { "*": { "backends": [{ "host": "127.0.0.1:1" }] } },
    }))
    .await;
    assert_explained(&diagnostics, "/plugins/mine", "none.wasm");
}

#[tokio::test]
async fn every_plugin_that_cannot_be_used_is_reported_at_once() {
    let diagnostics = refused(json!({
        "plugins": { "a": { "source": "a.wasm" }, "b": { "source": "b.wasm" } },
        "routes": { "*": {
            "backends": [{ "host": "127.0.0.1:1" }],
            "plugins": ["a", "b", { "use": "headers", "config": { "x": 1 } }, { "use": "require-header" }],
        } },
    }))
    .await;
    let pointers: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.pointer.as_str()).collect();
    assert_eq!(pointers, ["/plugins/a", "/plugins/b", "/routes/*/plugins/2", "/routes/*/plugins/3"]);
}

#[tokio::test]
async fn guest_a_component_for_another_host_is_refused_with_what_it_asks_for() {
    let source = guest("wrong-world");
    let diagnostics = refused(using(source.to_str().expect("a path in UTF-8"))).await;
    assert_explained(&diagnostics, "/plugins/mine", "`fixture:wrong/printer@1.0.0`");
}

#[tokio::test]
async fn guest_a_config_that_a_plugin_refuses_is_reported_in_its_own_words() {
    let backend = Backend::echo("a");
    let picky = json!({ "use": "picky", "config": { "ok": false } });
    let routes = json!({ "/good": { "backends": [backend.host()] }, "/bad/*": route(&backend, json!(["picky", picky])) });
    let mut document = with_guests(&["picky"], routes);
    document["plugins"]["picky"]["config"] = json!({ "ok": true });
    let diagnostics = refused(document.clone()).await;
    let [diagnostic] = &diagnostics[..] else { panic!("{diagnostics:?}") };
    assert!(diagnostic.message.contains("picky wants `ok` to be true"), "{diagnostic}");
    assert!(diagnostic.pointer.starts_with("/routes/~1bad~1*/plugins/1"), "{diagnostic}");
    document["routes"]["/bad/*"]["plugins"][1]["config"]["ok"] = json!(true);
    let gateway = Gateway::start(document).await;
    assert_eq!(request(gateway.address(), get("/bad/x")).await.backend(), "a");
}

#[tokio::test]
async fn guest_a_plugin_that_fails_while_it_is_configured_is_refused() {
    for (fixture, code, most) in [("trap", "plugin-trap", 5), ("spin", "plugin-deadline", 5)] {
        let began = Instant::now();
        let mut document = using(guest(fixture).to_str().expect("a path in UTF-8"));
        document["routes"]["*"]["plugins"] = json!([{ "use": "mine", "config": { "hook": "configure" } }]);
        assert_explained(&refused(document).await, "/routes/*/plugins/0", code);
        assert!(began.elapsed() < Duration::from_secs(most), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn guest_a_plugin_that_gets_no_memory_to_start_with_is_refused() {
    let mut document = using(guest("hog").to_str().expect("a path in UTF-8"));
    document["plugins"]["mine"]["limits"] = json!({ "memory": "64KiB" });
    assert_explained(&refused(document).await, "/routes/*/plugins/0", "plugin-memory");
}

#[tokio::test]
async fn a_component_that_goes_bad_leaves_the_running_one_in_place() {
    let backend = Backend::echo("a");
    let folder = folder();
    let file = folder.path().join("mine.wasm");
    fs::write(&file, dist("headers")).expect("the folder can be written to");
    let config = json!({ "response": { "set": { "x-mine": "1" } } });
    let document = json!({
        "plugins": { "mine": { "source": "mine.wasm", "config": config } },
        "routes": { "*": route(&backend, json!(["mine"])) },
    });
    let gateway =
        Gateway::try_start_in(folder, document.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    for bad in [CORE_MODULE, b"garbage", EMPTY_COMPONENT] {
        fs::write(&file, bad).expect("the file can be written to");
        let Outcome::Rejected { diagnostics } = gateway.reload().await else { panic!("it is not rejected") };
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert_eq!(diagnostics[0].pointer, "/plugins/mine");
        assert_eq!(request(gateway.address(), get("/")).await.header("x-mine"), Some("1"));
    }
    fs::remove_file(&file).expect("it is there");
    let Outcome::Rejected { .. } = gateway.reload().await else { panic!("it is not rejected") };
    assert_eq!(request(gateway.address(), get("/")).await.header("x-mine"), Some("1"));
    assert_eq!(gateway.metric("cloudcup_snapshot_revision").await, 1.0);
}

#[tokio::test]
async fn guest_a_file_comes_before_a_shipped_plugin_of_its_name() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(json!({
        "plugins": { "headers": { "source": guest("counter") } },
        "routes": { "*": route(&backend, json!(["headers"])) },
    }))
    .await;
    assert_eq!(request(gateway.address(), get("/")).await.header("x-count"), Some("1"));
}

#[tokio::test]
async fn compiled_plugins_are_kept_in_a_folder_that_is_ours_alone() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a temporary folder");
    let cache = folder.path().join("deep/cache");
    let document = || {
        let plugin = json!([{ "use": "headers", "config": { "response": { "set": { "x-a": "1" } } } }]);
        json!({ "plugin_cache": cache, "routes": { "*": route(&backend, plugin) } })
    };
    let works = async || {
        let gateway = Gateway::start(document()).await;
        assert_eq!(request(gateway.address(), get("/")).await.header("x-a"), Some("1"));
        gateway.stop().await;
    };
    works().await;
    let mode = || fs::metadata(&cache).expect("it was made").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    let entries = || fs::read_dir(&cache).expect("it is a folder").count();
    assert!(entries() > 1, "what was compiled, beside the mark");
    works().await;
    // What others could have written is not run, and the gateway serves all the same.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    works().await;
}
