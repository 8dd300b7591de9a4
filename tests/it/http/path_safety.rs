//! A route cannot be walked around by spelling its path another way.
//!
//! `/admin/*` leads to one backend and `*` to another, which writes down what it is asked. Whatever a backend might
//! read as a path below /admin is either matched as such or refused.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::http2::raw_outcome;
use crate::support::{Backend, Gateway, document, raw};

struct Scene {
    gateway: Gateway,
    admin: Backend,
    open: Backend,
    /// What `open` was asked.
    targets: Arc<Mutex<Vec<String>>>,
}

async fn scene() -> Scene {
    let targets = Arc::<Mutex<Vec<_>>>::default();
    let seen = Arc::clone(&targets);
    let open = Backend::with(move |mut wire| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(head) = wire.try_read_head().await {
                seen.lock().expect("no panic").push(head.target().to_owned());
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    });
    let admin = Backend::respond("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let gateway = Gateway::start(document(json!({
        "/admin/*": { "backends": [admin.host()] },
        "*": { "backends": [open.host()] },
    })))
    .await;
    Scene { gateway, admin, open, targets }
}

/// Below /admin, or nothing that anybody should read.
const TRICKS: &[&str] = &[
    "/admin",
    "/admin/",
    "/admin/x",
    "/admin?x",
    "/admin#x",
    "//admin",
    "///admin//x",
    "/./admin",
    "/.//admin",
    "/././/admin/.",
    "/x/../admin",
    "/x/y/../../admin/z",
    "/x/../../admin",
    "/../admin",
    "/..//admin",
    "/admin/../admin",
    "/admin/x/..",
    "/%61dmin",
    "/%61%64%6D%69%6e",
    "/a%64min/x",
    "/%2e/admin",
    "/%2E%2e/admin",
    "/x/%2e%2e/admin",
    "/x/.%2e/admin",
    "/x/%2e./admin",
    "/x/%2E%2E/%61dmin",
    "/admin%2fx",
    "/admin%2Fx",
    "/%2fadmin",
    "/x%2f..%2fadmin",
    "/x/..%2fadmin",
    "/x%2f../admin",
    "/x%5c..%5cadmin",
    "/%5cadmin",
    "/admin%5cx",
    "/x/..%5cadmin",
    "\\admin",
    "/\\admin",
    "/x\\..\\admin",
    "/x/..\\admin",
    "/admin\\x",
    "/admin;x",
    "/admin;x/y",
    "/admin;/y",
    "/admin;x=y;z/..;/w",
    "/;/admin",
    "/;x/admin",
    "/x;y/../admin",
    "/x/..;/admin",
    "/x/..;y/admin",
    "/x/.;/../admin",
    "/x/%2e%2e;/admin",
    "/x/..%3b/admin",
    "/.;/admin",
    "/x/;/../../admin",
    "/admin%00",
    "/admin%00/x",
    "/%00/admin",
    "/admin%0a",
    "/admin%0d%0ax",
    "/admin%7f",
    "/admin%",
    "/admin%2",
    "/admin%zz",
    "/%u0061dmin",
    "/%c0%afadmin",
    "/x/%c0%ae%c0%ae/admin",
    "/x/%c0%ae%c0%ae%c0%afadmin",
    "/x/..%c0%afadmin",
    "/x/..%ef%bc%8fadmin%ff",
    "/%e0%80%afadmin",
    "/admin%ff",
    "/admin\u{e9}",
    "/admin\"",
    "/admin<x>",
    "/admin{x}",
    "/admin`",
    "http://a/admin",
    "http://a//admin",
    "http://a/x/../admin",
    "http://a/%61dmin",
    "http://a/x/..%2fadmin",
    "HTTP://A/admin",
    "http://a\\admin",
    "http://a/\\admin",
    "http:/admin",
    "http:admin",
    "admin",
    "./admin",
    "../admin",
    "?/admin",
    "#/admin",
];

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_its_route() {
    let scene = scene().await;
    for trick in TRICKS {
        for method in ["GET", "POST", "OPTIONS"] {
            let bytes = format!("{method} {trick} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            check(&scene, trick, &raw(scene.gateway.address(), bytes).await);
        }
        let old = format!("GET {trick} HTTP/1.0\r\nhost: a\r\n\r\n");
        check(&scene, trick, &raw(scene.gateway.address(), old).await);
    }
    assert!(scene.admin.requests() > 50, "the plain spellings are matched: {}", scene.admin.requests());
}

/// 403 is what the right backend says, 400 the gateway.
#[track_caller]
fn check(scene: &Scene, trick: &str, answer: &[u8]) {
    let answer = String::from_utf8_lossy(answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(["400", "403"].contains(&status), "{trick:?} got {answer}");
    assert_eq!(scene.targets.lock().expect("no panic").last(), None, "{trick:?} was taken for another path");
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_its_route_in_http2() {
    let scene = scene().await;
    // hyper reads a `:path` that begins with neither `/` nor `*` as one of `/`, which is then what is matched.
    for trick in TRICKS.iter().filter(|trick| !trick.starts_with(['?', '#'])) {
        let fields: &[(&str, &[u8])] =
            &[(":method", b"GET"), (":scheme", b"http"), (":path", trick.as_bytes()), (":authority", b"a")];
        let status = raw_outcome(&scene.gateway, fields).await;
        assert!([0, 400, 999].contains(&status), "{trick:?} got {status}");
        assert_eq!(
            scene.targets.lock().expect("no panic").last(),
            None,
            "{trick:?} was taken for another path"
        );
    }
    assert!(scene.admin.requests() > 15, "the plain spellings are matched: {}", scene.admin.requests());
}

#[tokio::test]
async fn other_paths_are_served_and_the_backend_sees_the_one_that_was_matched() {
    let scene = scene().await;
    let cases = [
        ("/", "/"),
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("/administrator", "/administrator"),
        ("/x/admin", "/x/admin"),
        ("/ADMIN", "/ADMIN"),
        ("/admin/../x", "/x"),
        ("/admin/%2e%2e/x?y", "/x?y"),
        ("/x//y/./z", "/x/y/z"),
        ("/%7Ex/%e4%bd%a0", "/~x/%E4%BD%A0"),
        ("/x?../admin//%2e;%00", "/x?../admin//%2e;%00"),
        ("/x;y/z", "/x;y/z"),
        ("/x+y@z:!$&'()*,=", "/x+y@z:!$&'()*,="),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/...", "/..."),
        ("/.x/..y/z..", "/.x/..y/z.."),
    ];
    for (target, expected) in cases {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = raw(scene.gateway.address(), bytes).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{target} got {}", String::from_utf8_lossy(&answer));
        assert_eq!(scene.targets.lock().expect("no panic").pop().as_deref(), Some(expected), "{target}");
    }
    assert_eq!((scene.admin.requests(), scene.open.requests()), (0, cases.len()));
}

#[tokio::test]
async fn a_plugin_on_a_path_cannot_be_walked_around() {
    let open = Backend::echo("open");
    let guarded = json!({ "use": "require-header", "config": { "name": "x-key" } });
    let gateway = Gateway::start(document(json!({
        "/admin/*": { "backends": [open.host()], "plugins": [guarded] },
        "*": { "backends": [open.host()] },
    })))
    .await;
    for trick in TRICKS {
        let bytes = format!("GET {trick} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&raw(gateway.address(), bytes).await).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "401"].contains(&status), "{trick:?} got {answer}");
    }
    assert_eq!(open.requests(), 0);
}
