//! `cupctl plugin inspect`.

use serde_json::json;

use super::{file, json, plugin};
use crate::plugins::dist;
use crate::support::guest;

#[tokio::test]
async fn a_shipped_plugin_is_told_of() {
    let ended = plugin(&[&"inspect", &"headers"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let digits = dist("headers").len().to_string();
    for (name, value) in [
        ("plugin", "headers (shipped)"),
        ("contract", "cloudcup:filter@0.1.0"),
        ("hooks", "configure, on-request, on-response"),
        ("permissions", "none"),
        ("calls", "never wait"),
        ("size", digits.as_str()),
    ] {
        let line = ended.stdout.lines().find(|line| line.split("  ").next() == Some(name));
        assert!(line.is_some_and(|line| line.contains(value)), "{name}: {value}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_file_is_told_of_as_json() {
    let (_folder, path) = file("my filter.wasm", dist("require-header"));
    let ended = plugin(&[&"inspect", &path, &"--output", &"json"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let told = json(&ended);
    assert_eq!(told["name"], "my_filter");
    assert_eq!((&told["shipped"], &told["waits"]), (&json!(false), &json!(false)));
    assert_eq!(told["hooks"], json!(["configure", "on-request"]));
    assert_eq!((&told["permissions"], &told["unknown_imports"]), (&json!([]), &json!([])));
    assert_eq!(told["size"], dist("require-header").len());
    assert_eq!(told["digest"].as_str().map(str::len), Some(64), "{told}");
    assert!(told.as_object().is_some_and(|told| told.contains_key("config_schema")), "{told}");
}

/// Text of a component, which the engine reads as well as bytes of one.
async fn inspected(bytes: impl AsRef<[u8]>) -> crate::check::program::Ended {
    let (_folder, path) = file("x.wasm", bytes);
    plugin(&[&"inspect", &path]).await
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_as_by_the_gateway() {
    let core_module = inspected(b"\0asm\x01\0\0\0").await;
    assert_eq!((core_module.code, core_module.stdout.as_str()), (1, ""));
    assert!(
        core_module
            .stderr
            .starts_with("error: plugin `x` is a WebAssembly core module, a component is expected\n")
            && core_module.stderr.contains("hint: make a component of it"),
        "{core_module:?}"
    );
    let garbage = inspected("garbage").await;
    assert_eq!((garbage.code, garbage.stdout.as_str()), (1, ""));
    assert!(garbage.stderr.starts_with("error: plugin `x` is not a WebAssembly component: "), "{garbage:?}");
    // A component of nothing at all.
    let empty = inspected(b"\0asm\x0d\0\x01\0").await;
    assert_eq!(empty.code, 1);
    assert!(empty.stderr.contains("exports no hook of the `cloudcup:filter@0.1.0` contract"), "{empty:?}");
}

#[tokio::test]
async fn imports_that_nobody_has_are_listed() {
    // (component (import "wasi:cli/environment@0.2.0" (instance)))
    let instance_type = b"\x07\x03\x01\x42\x00";
    let name = b"wasi:cli/environment@0.2.0";
    let mut import = vec![0x01, 0x00, name.len() as u8];
    import.extend_from_slice(name);
    import.extend_from_slice(&[0x05, 0x00]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend_from_slice(instance_type);
    component.extend_from_slice(&[0x0a, import.len() as u8]);
    component.extend_from_slice(&import);
    let ended = inspected(component).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("unknown       wasi:cli/environment@0.2.0\n"), "{ended:?}");
    assert!(
        ended.stderr.contains("imports `wasi:cli/environment@0.2.0`, which this gateway does not have"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_the_names_that_there_are() {
    let ended = plugin(&[&"inspect", &"heders"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.starts_with("error: cannot read the component heders: "), "{ended:?}");
    assert!(
        ended.stderr.contains("hint: these plugins are shipped: ") && ended.stderr.contains("`headers`"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn guest_permissions_are_what_it_imports() {
    let told = json(&plugin(&[&"inspect", &guest("chatty"), &"-o", &"json"]).await);
    let permissions = told["permissions"].as_array().expect("permissions");
    assert!(permissions.contains(&json!({ "name": "log", "granted": false })), "{told}");
    assert!(told["hooks"].as_array().is_some_and(|hooks| hooks.contains(&json!("on-finish"))), "{told}");
}
