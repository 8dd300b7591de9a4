//! Holds the sources to the shape that ARCHITECTURE.md promises: who may name whom, and what stands nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may name beside itself. What travels with a request only points forward, nothing of it
/// knows the document, and the floor knows nobody above it.
const MAY_NAME: [(&str, &[&str]); 21] = [
    // floor
    ("base", &[]),
    ("message", &["base"]),
    ("observe", &["base", "message"]),
    // data plane
    ("route", &["base"]),
    ("action", &["base", "route"]),
    ("capability", &["base"]),
    ("plugin", &["base", "message", "observe", "route", "capability"]),
    ("upstream", &["base", "message", "observe"]),
    ("proxy", &["base", "message", "observe", "route", "action", "plugin", "upstream"]),
    ("protocol", &["base", "message", "observe", "proxy"]),
    ("listener", &["base", "message", "observe", "proxy", "protocol"]),
    ("worker", &["base", "observe", "proxy", "upstream", "listener"]),
    // control plane
    ("config", &["base", "route", "action"]),
    ("revision", &["base"]),
    (
        "snapshot",
        &[
            "base",
            "message",
            "observe",
            "route",
            "action",
            "capability",
            "plugin",
            "upstream",
            "proxy",
            "protocol",
            "listener",
            "config",
        ],
    ),
    (
        "reload",
        &[
            "base", "message", "observe", "action", "plugin", "upstream", "proxy", "protocol", "listener",
            "worker", "config", "snapshot", "revision",
        ],
    ),
    (
        "admin",
        &[
            "base",
            "message",
            "observe",
            "capability",
            "plugin",
            "upstream",
            "proxy",
            "listener",
            "config",
            "revision",
            "reload",
        ],
    ),
    (
        "app",
        &[
            "base", "observe", "plugin", "upstream", "proxy", "worker", "config", "snapshot", "reload",
            "admin",
        ],
    ),
    ("commands", &["plugin", "proxy", "config", "snapshot", "reload"]),
    ("demo", &["app", "reload"]),
    ("workbench", &["base", "message", "capability", "plugin", "proxy", "config", "snapshot"]),
];

/// Words that stand only in files whose paths begin like this.
const ONLY_IN: [(&str, &[&str]); 10] = [
    ("wasmtime", &["src/plugin"]),
    ("plugin::bindings", &["src/plugin"]),
    // The log names both so that they keep silent.
    (
        "rustls",
        &[
            "src/listener/tls",
            "src/upstream/connect",
            "src/base/transport",
            "src/protocol/http3",
            "src/observe/log",
        ],
    ),
    (
        "quinn",
        &[
            "src/protocol/http3",
            "src/message/http3",
            "src/upstream/connect",
            "src/upstream/multiplex",
            "src/observe/log",
        ],
    ),
    ("h3::", &["src/protocol/http3", "src/message/http3", "src/upstream/multiplex"]),
    // Tests alone: it hides what a server has to know of its streams.
    ("h3_quinn", &[]),
    // A worker hands on to its own proxy what the reloader published to it.
    (".publish(", &["src/reload", "src/worker.rs"]),
    // The one function that makes a response of a failure.
    ("failure.response(", &["src/proxy"]),
    ("TODO", &[]),
    ("FIXME", &[]),
];

/// Matching is pure: it could be called from anywhere, and costs nothing but processor time.
const NOT_IN_ROUTE: [&str; 8] =
    ["tokio", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs", "std::fs", "async ", ".await"];

const LONGEST_FILE: usize = 500;

struct Source {
    /// From the root of the repository.
    path: String,
    lines: usize,
    /// Without comments and without what is compiled for unit tests only.
    code: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let path = self.path.strip_prefix("src/").expect("all lie there");
        path.split(['/', '.']).next().expect("a path has a first part")
    }

    /// The modules of the crate that it names.
    fn named(&self) -> BTreeSet<&str> {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let after = self.code.split("crate::").skip(1);
        after
            .flat_map(|rest| match rest.strip_prefix('{') {
                Some(group) => {
                    let end = group.find(';').unwrap_or(group.len());
                    group[..end].split([',', '{', '}']).map(str::trim).collect()
                }
                None => vec![rest],
            })
            .map(|name| name.split(|character| !is_word(character)).next().unwrap_or_default())
            .filter(|name| MAY_NAME.iter().any(|(module, _)| module == name))
            .collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join("src"), &mut paths);
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source is text");
        let path = path.strip_prefix(root).expect("it lies below").to_str().expect("in ASCII").to_owned();
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code = if is_test { String::new() } else { code(&text) };
        Source { path, lines: text.lines().count(), code, text }
    };
    let sources: Vec<_> = paths.into_iter().map(source).collect();
    assert!(sources.len() > 50, "the sources were not found: {}", sources.len());
    sources
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().expect("there is a first part");
    let code = text.lines().map(|line| line.split("//").next().expect("there is a first part"));
    code.collect::<Vec<_>>().join("\n")
}

/// Whether a word stands in a text, and not only as a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let begins_plain = word.starts_with(|c: char| c.is_alphanumeric());
    let ends_plain = word.ends_with(|c: char| c.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + word.len()..]);
        let begins_before = begins_plain && is_part(before.chars().next_back());
        let ends_behind = ends_plain && is_part(behind.chars().next());
        !begins_before && !ends_behind
    })
}

fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn modules_name_only_what_lies_below_them() {
    let mut broken = Vec::new();
    for source in
        sources().iter().filter(|source| !source.path.starts_with("src/bin/") && source.module() != "lib")
    {
        let module = source.module();
        let Some((_, below)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{}: the module `{module}` has no row in the table", source.path));
            continue;
        };
        let not_below = source.named().into_iter().filter(|named| *named != module && !below.contains(named));
        broken.extend(not_below.map(|named| format!("{}: `{module}` names `{named}`", source.path)));
    }
    assert_none(&broken, "arrows point down only, see MAY_NAME");
}

#[test]
fn libraries_and_doors_are_named_only_where_they_belong() {
    let mut broken = Vec::new();
    for source in sources() {
        for (word, homes) in ONLY_IN {
            // What is left to do is not hidden in comments and tests either.
            let text = if homes.is_empty() { &source.text } else { &source.code };
            if has_word(text, word) && !homes.iter().any(|home| source.path.starts_with(home)) {
                broken.push(format!("{}: `{word}`", source.path));
            }
        }
    }
    assert_none(&broken, "see ONLY_IN");
}

#[test]
fn routes_are_matched_without_io() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.module() == "route") {
        let found = NOT_IN_ROUTE.iter().filter(|word| source.code.contains(**word));
        broken.extend(found.map(|word| format!("{}: `{word}`", source.path)));
    }
    assert_none(&broken, "src/route is pure");
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let broken: Vec<_> =
        sources().into_iter().filter(|source| source.code.contains(".unwrap()")).map(|s| s.path).collect();
    assert_none(&broken, "`expect` states why it cannot fail");
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter(|source| source.lines > LONGEST_FILE);
    let broken: Vec<_> = long.map(|source| format!("{}: {} lines", source.path, source.lines)).collect();
    assert_none(&broken, &format!("a file has one idea and at most {LONGEST_FILE} lines"));
}

#[test]
fn the_rules_would_notice() {
    let source = |code: &str| Source {
        path: "src/route/table.rs".into(),
        lines: 1,
        code: code.into(),
        text: code.into(),
    };
    assert_eq!(source("use crate::proxy::View; crate::config").named(), BTreeSet::from(["proxy", "config"]));
    assert_eq!(source("use crate::{base, proxy::{View, route}, app};").named().len(), 4);
    assert!(has_word("use h3::x", "h3") && !has_word("\"h3x\" ah3", "h3"));
    assert!(has_word("worker.publish(x)", ".publish("));
    assert!(!code("a\n#[cfg(test)]\nmod tests {\n x.unwrap() }").contains("unwrap"));
    assert!(!code("a // wasmtime").contains("wasmtime"));
}
