//! What `check` says of the text of a document.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::program::{cloud_cup, cupctl, run};
use super::{Written, assert_plain, check_with, minimal};
use crate::support::Port;

#[tokio::test]
async fn the_original_document_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/main_config.json");
    for binary in [cloud_cup, cupctl] {
        let ended = check_with(binary, &file).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert_eq!(ended.stdout, format!("{}: good\n", file.display()));
    }
}

#[tokio::test]
async fn every_error_is_reported_at_once_with_its_place() {
    let written = Written::new(
        r#"{
  "root": "127.0.0.1",
  "workers": 0,
  "workers": 3,
  "timeouts": { "connect": "soon", "drain": "25h" },
  "limits": { "head_size": "1GiB" },
  "routes": {
    "/": { "backends": [] },
    "/game/*": {
      "backend": [{ "host": "127.0.0.1:1" }]
    },
    "/a/../b": { "upstream": "gmaes" },
    "*": { "backends": [{ "host": "http://127.0.0.1:80/x" }], "plugins": ["heders"] }
  },
  "upstreams": { "games": { "backends": [{ "host": "127.0.0.1:1", "weight": "2" }] } },
  "acess_log": "off"
}
"#,
    );
    let found = written.rejected().await;
    let mut expected = vec![
        "error at /root, line 2, column 11: ",
        "error at /workers, line 3, column 14: expected 1 to 256, found `0`",
        "error at line 4, column 3: field `workers` is repeated",
        "error at /timeouts/connect, line 5, column 28: expected a duration such as",
        "error at /timeouts/drain, line 5, column 45: expected `1ms` to `24h`, found `25h`",
        "error at /limits/head_size, line 6, column 28: expected `1KiB` to `1MiB`, found `1GiB`",
        "error at /routes/~1/backends, line 8, column 24: expected at least one item",
        "error at /routes/~1game~1*, line 10, column 7: unknown field `backend`\n  hint: did you mean `backends`?",
        "error at /routes/~1a~1..~1b, line 12, column 5: ",
        "error at /routes/~1a~1..~1b/upstream, line 12, column 30: unknown upstream `gmaes`\n  hint: did you mean `games`?",
        "error at /routes/*/backends/0/host, line 13, column 35: ",
        "error at /routes/*/plugins/0, line 13, column 75: unknown plugin `heders`\n  hint: did you mean `headers`?",
        "error at /upstreams/games/backends/0/weight, line 15, column 77: expected a whole number",
        "error at line 16, column 3: unknown field `acess_log`\n  hint: did you mean `access_log`?",
    ];
    for diagnostic in &found {
        let position = expected.iter().position(|expected| diagnostic.starts_with(expected));
        let position = position.unwrap_or_else(|| panic!("not expected: {diagnostic}\nof {expected:#?}"));
        expected.remove(position);
    }
    assert!(expected.is_empty(), "not reported: {expected:#?}\nof {found:#?}");
}

#[tokio::test]
async fn what_is_no_json_is_reported_where_it_ends_to_be() {
    for (text, expected) in [
        (&b""[..], "error at line 1, column 1: the document is empty"),
        (b"{", "error at line 1, column 2: the document ends inside an object"),
        (b"{\n  \"root\": \":80\",\n}\n", "error at line 3, column 1: "),
        (b"{\n  // a comment\n}", "error at line 2, column 3: "),
        (b"[]", "error at line 1, column 1: expected an object, found an empty array"),
        (b"null", "error at line 1, column 1: "),
        (b"{} {}", "error at line 1, column 4: expected the end of the document"),
        (b"\xef\xbb\xbf{}", "error at line 1, column 1: "),
        (b"{\"root\": \"\xff\"}", "error at line 1, column 11: the document is not UTF-8 text"),
        (b"\0", "error at line 1, column 1: "),
    ] {
        let found = Written::new(text).rejected().await;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(expected), "{:?}: {}", String::from_utf8_lossy(text), found[0]);
    }
    let deep = Written::new("[".repeat(100_000)).rejected().await;
    assert!(deep[0].contains("inside one another"), "{deep:?}");
}

#[tokio::test]
async fn a_repeated_field_is_an_error_wherever_it_stands() {
    let written = Written::new(
        r#"{ "root": ":1", "root": ":2", "routes": {
  "/": { "backends": [{ "host": "a:1", "host": "b:1" }],
    "plugins": [{ "use": "headers", "config": { "x": 1, "x": 2 } }] },
  "/": { "backends": [{ "host": "a:1" }] } } }"#,
    );
    let found = written.rejected().await;
    let repeated: Vec<_> = found.iter().filter(|diagnostic| diagnostic.contains("is repeated")).collect();
    assert_eq!(repeated.len(), 4, "{found:#?}");
    for (diagnostic, expected) in repeated.iter().zip([
        "error at line 1, column 17: field `root` is repeated",
        "error at /routes/~1/backends/0, line 2, column 40: field `host` is repeated",
        "error at /routes/~1/plugins/0/config, line 3, column 57: field `x` is repeated",
        "error at /routes, line 4, column 3: field `/` is repeated",
    ]) {
        assert!(diagnostic.starts_with(expected), "{diagnostic}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_not_called_rejected() {
    let written = Written::new("{}");
    let missing = written.folder.path().join("none.json");
    for file in [missing.as_path(), written.folder.path(), Path::new("/dev/null/none.json")] {
        for binary in [cloud_cup, cupctl] {
            let ended = check_with(binary, file).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
            assert_plain(&ended);
            let says = format!("error: cannot read the document {}", file.display());
            assert!(ended.stderr.starts_with(&says), "{ended:?}");
            assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error")).count(), 1, "{ended:?}");
        }
        let ended = run(cloud_cup([OsStr::new("--config"), file.as_os_str()])).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(&file.display().to_string()), "{ended:?}");
    }
}

#[tokio::test]
async fn what_never_ends_is_no_document_and_no_plugin() {
    let written = Written::new("{}");
    let pipe = written.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("there is a `mkfifo`").success());
    let ended = check_with(cloud_cup, &pipe).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    let mut document = minimal();
    document["plugins"] = json!({ "mine": { "source": "pipe" } });
    document["ssl"] = json!({ "ssl_certificate": "pipe", "ssl_certificate_key": "$file:pipe" });
    fs::write(written.file(), document.to_string()).expect("the folder can be written to");
    let found = written.rejected().await;
    assert_eq!(found.len(), 1, "files are read when the rest is right: {found:#?}");
    document["ssl"]["ssl_certificate_key"] = json!("pipe");
    fs::write(written.file(), document.to_string()).expect("the folder can be written to");
    let found = written.rejected().await;
    assert_eq!(found.len(), 3, "{found:#?}");
    let plugin = found.iter().find(|found| found.contains("plugin `mine`"));
    assert!(plugin.is_some_and(|found| found.contains("hint: ")), "{found:#?}");
}

#[tokio::test]
async fn warnings_are_told_of_a_good_document() {
    let ended = Written::new(r#"{ "root": "127.0.0.1:0", "routes": {} }"#).check().await;
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("warning at /routes, line 1, column 36: "), "{}", ended.stderr);
    assert!(ended.stdout.ends_with(": good\n"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_check_opens_nothing() {
    let port = Port::reserve();
    let mut document = minimal();
    document["root"] = json!(port.address().to_string());
    document["access_log"] = json!("access.log");
    document["admin"] = json!({ "socket": "admin.sock" });
    let written = Written::new(document.to_string());
    let ended = written.check().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "a gateway may be running where it is checked");
    let left: Vec<_> = fs::read_dir(written.folder.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["cup.json"]);
}

#[tokio::test]
async fn thousands_of_errors_are_cut_short() {
    let routes: Vec<_> = (0..5000).map(|index| format!("\"/{index}\": {{ \"backend\": [] }}")).collect();
    let found = Written::new(format!("{{ \"root\": \":1\", \"routes\": {{ {} }} }}", routes.join(",\n")))
        .rejected()
        .await;
    assert!(found.len() <= 101, "{} are more than anybody reads", found.len());
    let last = found.last().expect("there are some");
    assert!(last.contains("more"), "that there are more is told: {last}");
}
