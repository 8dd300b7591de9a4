//! Numbers for Prometheus.

use http::{Method, Version};
use serde_json::json;

use super::exposition::Page;
use super::{guarded, halting};
use crate::support::{Backend, Client, Gateway, Port, Wire, document, eventually, get, guests, request};

async fn page(gateway: &Gateway) -> Page {
    Page::read(&gateway.metrics().await)
}

#[tokio::test]
async fn a_page_is_well_formed_before_and_after_requests() {
    let backend = Backend::echo("a");
    let plain = json!({ "backends": [backend.host()] });
    let routes = json!({ "GET a.test/{id}/*": plain, "/x": guarded(&backend), "*": plain });
    let gateway = Gateway::start(document(routes)).await;
    let before = page(&gateway).await;
    assert!(before.families.len() > 10, "{:?}", before.families);
    for path in ["/x", "/y", "/a%20b?c=\"d\""] {
        let mut asked = get("/");
        *asked.uri_mut() = path.replace('"', "%22").parse().expect("a target");
        request(gateway.address(), asked).await;
    }
    let after = page(&gateway).await;
    assert_eq!(before.families, after.families);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let backend = Backend::echo("a");
    let not_found = Backend::respond("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let dead = Port::reserve();
    let gateway = Gateway::start(document(json!({
        "/good/*": { "backends": [backend.host()] },
        "GET /missing": { "backends": [not_found.host()] },
        "/dead": { "backends": [dead.host()] },
        "/guarded": guarded(&backend),
    })))
    .await;
    for (path, times) in
        [("/good/a", 3), ("/good/b", 2), ("/missing", 4), ("/dead", 1), ("/guarded", 2), ("/none", 5)]
    {
        for turn in 0..times {
            let mut asked = get(path);
            *asked.version_mut() = if turn % 2 == 0 { Version::HTTP_11 } else { Version::HTTP_2 };
            request(gateway.address(), asked).await;
        }
    }
    let mut other = get("/missing");
    *other.method_mut() = Method::DELETE;
    assert_eq!(request(gateway.address(), other).await.status, 405);
    gateway.logged(18).await;
    let page = page(&gateway).await;
    let requests = |route: &str, status: &str| {
        page.value("cloudcup_requests_total", &[("route", route), ("status", status)])
    };
    assert_eq!(requests("/good/*", "2xx"), 5.0);
    assert_eq!(requests("/good/*", "5xx"), 0.0);
    assert_eq!(requests("GET /missing", "4xx"), 4.0);
    assert_eq!(requests("/dead", "5xx"), 1.0);
    assert_eq!(requests("/guarded", "4xx"), 2.0);
    assert_eq!(requests("", "4xx"), 6.0, "what no route takes has none");
    assert_eq!(page.value("cloudcup_request_duration_seconds_count", &[("route", "/good/*")]), 5.0);
    assert!(page.value("cloudcup_request_duration_seconds_sum", &[("route", "/good/*")]) > 0.0);
    let reason = |reason: &str| page.value("cloudcup_gateway_responses_total", &[("reason", reason)]);
    assert_eq!(
        (reason("no-route"), reason("method-not-allowed"), reason("backend-connect-failed")),
        (5.0, 1.0, 1.0)
    );
    let known = ["", "/good/*", "GET /missing", "/dead", "/guarded"];
    assert_eq!(
        page.values("route"),
        known.into_iter().collect(),
        "labels come from the document, never from clients"
    );
}

#[tokio::test]
async fn guest_calls_and_faults_are_counted_by_plugin() {
    let backend = Backend::echo("a");
    let with = |plugins: serde_json::Value| json!({ "backends": [backend.host()], "plugins": plugins });
    let trap = json!({ "use": "trap", "config": { "hook": "on-response" } });
    let gateway = Gateway::start(json!({
        "plugins": guests(&["trap", "tag", "noop"]),
        "routes": {
            "/tag": with(json!([{ "use": "tag", "config": { "value": "1" } }])),
            "/trap": with(json!([trap])),
            "/noop": with(json!(["noop"])),
        },
    }))
    .await;
    for (path, times) in [("/tag", 3), ("/trap", 2), ("/noop", 4)] {
        for _ in 0..times {
            request(gateway.address(), get(path)).await;
        }
    }
    gateway.logged(9).await;
    let page = page(&gateway).await;
    let calls = |plugin: &str| page.value("cloudcup_plugin_calls_total", &[("plugin", plugin)]);
    assert_eq!(calls("tag"), 6.0, "two hooks each");
    assert_eq!(calls("noop"), 4.0, "a hook that is not there is not called");
    assert!(page.value("cloudcup_plugin_seconds_total", &[("plugin", "tag")]) > 0.0);
    let faults = |plugin: &str, code: &str| {
        page.find("cloudcup_plugin_faults_total", &[("plugin", plugin), ("code", code)])
    };
    assert_eq!(faults("trap", "plugin-trap"), Some(2.0));
    assert_eq!(faults("tag", "plugin-trap").unwrap_or_default(), 0.0);
    let reason = page.value("cloudcup_gateway_responses_total", &[("reason", "plugin-trap")]);
    assert_eq!(reason, 2.0);
}

#[tokio::test]
async fn reloads_are_counted_by_outcome() {
    let backend = Backend::echo("a");
    let route = json!({ "backends": [backend.host()] });
    let gateway = Gateway::start(document(json!({ "/1": route }))).await;
    let counted = || async {
        let page = page(&gateway).await;
        let reloads = |outcome: &str| page.value("cloudcup_reloads_total", &[("outcome", outcome)]);
        (reloads("applied"), reloads("rejected"), page.value("cloudcup_snapshot_revision", &[]))
    };
    assert_eq!(counted().await, (0.0, 0.0, 1.0));
    gateway.change(document(json!({ "/2": route }))).await;
    assert_eq!(counted().await, (1.0, 0.0, 2.0));
    gateway.reload().await;
    assert_eq!(counted().await, (1.0, 0.0, 2.0), "nothing has changed");
    gateway.change(document(json!({ "/2": 3 }))).await;
    let (applied, rejected, revision) = counted().await;
    assert_eq!((applied, revision), (1.0, 2.0));
    assert!(rejected >= 1.0, "the watch may have tried it too: {rejected}");
}

#[tokio::test]
async fn routes_and_backends_that_are_gone_are_not_told_any_more() {
    let backend = Backend::echo("a");
    let gateway =
        Gateway::start(document(json!({ "/old": guarded(&backend), "/kept": guarded(&backend) }))).await;
    request(gateway.address(), get("/old")).await;
    gateway.logged(1).await;
    gateway.change(document(json!({ "/kept": { "backends": [backend.host()] } }))).await;
    eventually(|| async {
        let page = page(&gateway).await;
        !page.values("route").contains("/old") && !page.values("plugin").contains("require-header")
    })
    .await;
    assert!(page(&gateway).await.values("upstream").iter().all(|upstream| *upstream == "routes:/kept"));
}

#[tokio::test]
async fn the_health_of_backends_is_told() {
    let (alive, dead) = (Backend::echo("a"), Port::reserve());
    let gateway = Gateway::start(json!({
        "upstreams": { "both": { "backends": [
            { "host": alive.address().to_string() },
            { "host": dead.address().to_string(), "max_failure": 2 },
        ] } },
        "routes": { "*": { "upstream": "both" } },
    }))
    .await;
    let labels =
        |address: std::net::SocketAddr| [("upstream", "both".to_owned()), ("backend", address.to_string())];
    let told = |page: &Page, name: &str, address| {
        let [upstream, backend] = labels(address);
        page.value(name, &[(upstream.0, &upstream.1), (backend.0, &backend.1)])
    };
    let before = page(&gateway).await;
    assert_eq!(told(&before, "cloudcup_backend_healthy", dead.address()), 1.0);
    for _ in 0..4 {
        request(gateway.address(), get("/")).await;
    }
    eventually(|| async { told(&page(&gateway).await, "cloudcup_backend_healthy", dead.address()) == 0.0 })
        .await;
    let after = page(&gateway).await;
    assert_eq!(told(&after, "cloudcup_backend_ejections_total", dead.address()), 1.0);
    assert_eq!(told(&after, "cloudcup_backend_healthy", alive.address()), 1.0);
    assert_eq!(after.value("cloudcup_backend_retries_total", &[]), 2.0);
}

#[tokio::test]
async fn open_connections_are_told() {
    let go = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let backend = halting(&go);
    let gateway = Gateway::start(document(json!({ "*": { "backends": [backend.host()] } }))).await;
    let open = || async { page(&gateway).await.value("cloudcup_connections", &[]) };
    assert_eq!(open().await, 0.0);
    let mut wires = Vec::new();
    for _ in 0..5 {
        wires.push(Wire::connect(gateway.address()).await);
    }
    eventually(|| async { open().await == 5.0 }).await;
    wires.truncate(2);
    eventually(|| async { open().await == 2.0 }).await;
    let http2: Client = Client::http2(gateway.address()).await.expect("it accepts");
    eventually(|| async { open().await == 3.0 }).await;
    drop((wires, http2));
    eventually(|| async { open().await == 0.0 }).await;
    assert_eq!(page(&gateway).await.value("cloudcup_connections_accepted_total", &[]), 6.0);
}

#[tokio::test]
async fn idle_connections_to_backends_are_told() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(json!({ "*": { "backends": [backend.host()] } }))).await;
    request(gateway.address(), get("/")).await;
    let idle = || async { page(&gateway).await.value("cloudcup_backend_connections_idle", &[]) };
    eventually(|| async { idle().await == 1.0 }).await;
}
