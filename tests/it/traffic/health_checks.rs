//! Backends that are asked whether they are fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, watch};

use super::{Puppet, check, counts, echoes, hosts, is_in, pool, puppets, told_of, with};
use crate::support::{Authority, Backend, Client, Gateway, Port, Wire, eventually, get, request, within};

/// A gateway that checks one backend, and leaves it out until it has.
async fn checking(backend: &Backend, fields: Value, checks: Value) -> Gateway {
    let checks = with(json!({ "initially": "unhealthy", "interval": "100ms" }), checks);
    Gateway::start(pool(with(json!({ "backends": hosts([backend]), "health_check": checks }), fields))).await
}

/// Whether the first check is good; what is not healthy by then is so because of it, and says why.
async fn first_check(gateway: &Gateway, backend: &Backend) -> Result<(), String> {
    let told = || async { told_of(gateway, backend.address()).await };
    eventually(|| async { told().await["healthy"] == true || !told().await["cause"].is_null() }).await;
    let told = told().await;
    if told["healthy"] == true { Ok(()) } else { Err(told["cause"].as_str().unwrap_or_default().to_owned()) }
}

#[tokio::test]
async fn an_http_check_asks_as_the_document_says() {
    let (heads, mut asked) = mpsc::unbounded_channel();
    let backend = Backend::with(move |mut wire: Wire| {
        let heads = heads.clone();
        async move {
            if let Some(head) = wire.try_read_head().await {
                // Nobody looks at the later ones.
                let _ = heads.send(head);
                let _ = wire.try_send("HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    });
    let fields = json!({
        "path": "/healthz?full=1", "host": "game.example.com", "headers": { "x-probe": "yes", "accept": "*/*" },
    });
    let gateway = checking(&backend, json!({}), fields).await;
    let head = within(asked.recv()).await.expect("it is asked");
    assert_eq!(head.start, "GET /healthz?full=1 HTTP/1.1");
    assert_eq!(head.field("host"), Some("game.example.com"));
    assert_eq!((head.field("x-probe"), head.field("accept")), (Some("yes"), Some("*/*")));
    assert!(head.field("user-agent").is_some_and(|agent| agent.contains("cloud-cup")), "{head:?}");
    assert_eq!(first_check(&gateway, &backend).await, Ok(()));
    // Without anything it asks for `/`, by the backend's own name.
    gateway
        .change(pool(json!({ "backends": hosts([&backend]), "health_check": { "interval": "100ms" } })))
        .await;
    let plain = async {
        loop {
            let head = asked.recv().await.expect("it is asked");
            if head.start == "GET / HTTP/1.1" {
                return head;
            }
        }
    };
    let head = within(plain).await;
    assert_eq!(head.field("host"), Some(&*backend.address().to_string()));
}

#[tokio::test]
async fn statuses_and_body_decide() {
    let long = "x".repeat(4096);
    for (status, body, fields, is_good) in [
        (200, "", json!({}), true),
        (299, "", json!({}), true),
        (199 + 101, "", json!({}), false),
        (404, "", json!({}), false),
        (503, "", json!({}), false),
        (418, "", json!({ "statuses": ["200", "400-418"] }), true),
        (201, "", json!({ "statuses": ["200", "400-418"] }), false),
        (200, "all is well", json!({ "body": "is well" }), true),
        (200, "all is lost", json!({ "body": "is well" }), false),
        (200, "", json!({ "body": "is well" }), false),
        (503, "all is well", json!({ "body": "is well" }), false),
        (200, &format!("{}well", &long[4..]), json!({ "body": "well" }), true),
        (200, &format!("{long}well"), json!({ "body": "well" }), false),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}");
        let backend = Backend::respond(answer);
        let gateway = checking(&backend, json!({}), fields.clone()).await;
        let told = first_check(&gateway, &backend).await;
        assert_eq!(told.is_ok(), is_good, "{status} {fields}: {told:?}");
        if let Err(cause) = told {
            let is_status = cause.contains(&status.to_string());
            assert!(
                cause.contains("health check") && (is_status || fields["body"] != Value::Null),
                "{cause}"
            );
        }
    }
}

#[tokio::test]
async fn what_answers_no_http_or_not_in_time_fails() {
    let garbage = Backend::respond("what do you mean?\r\n\r\n");
    let gateway = checking(&garbage, json!({}), json!({})).await;
    assert!(first_check(&gateway, &garbage).await.is_err());
    let silent = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.read_to_end().await;
    });
    let gateway = checking(&silent, json!({}), json!({ "timeout": "50ms" })).await;
    assert!(first_check(&gateway, &silent).await.is_err());
    let endless = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        let begun = wire.try_send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while begun.is_ok() && wire.try_send("5\r\nhello\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let gateway = checking(&endless, json!({}), json!({ "timeout": "50ms", "body": "well" })).await;
    assert!(first_check(&gateway, &endless).await.is_err());
    // Who looks at no body does not wait for it.
    let gateway = checking(&endless, json!({}), json!({})).await;
    assert_eq!(first_check(&gateway, &endless).await, Ok(()));
}

/// Answers each check when it is told what with.
struct Gated {
    backend: Backend,
    status: Arc<AtomicU16>,
    go: Arc<Semaphore>,
    arrived: Arc<AtomicUsize>,
}

impl Gated {
    fn new() -> Self {
        let (status, go) = (Arc::<AtomicU16>::default(), Arc::new(Semaphore::new(0)));
        let arrived = Arc::<AtomicUsize>::default();
        let held = (Arc::clone(&status), Arc::clone(&go), Arc::clone(&arrived));
        let backend = Backend::with(move |mut wire: Wire| {
            let (told, go, arrived) = held.clone();
            async move {
                while let Some(head) = wire.try_read_head().await {
                    let mut status = 200;
                    if head.target() == "/health" {
                        arrived.fetch_add(1, SeqCst);
                        go.acquire().await.expect("it is not closed").forget();
                        status = told.load(SeqCst);
                    }
                    let body = r#"{"backend":"gated"}"#;
                    let answer =
                        format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if wire.try_send(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { backend, status, go, arrived }
    }

    /// Lets the next check, which was the `count`th, end with this status, until the one after has begun.
    async fn tell(&self, count: usize, status: u16) {
        eventually(|| async { self.arrived.load(SeqCst) == count }).await;
        self.status.store(status, SeqCst);
        self.go.add_permits(1);
        eventually(|| async { self.arrived.load(SeqCst) == count + 1 }).await;
    }
}

#[tokio::test]
async fn thresholds_count_checks_in_a_row() {
    let gated = Gated::new();
    let checks = check(json!({ "unhealthy_threshold": 3, "healthy_threshold": 2 }));
    let fields = json!({ "backends": hosts([&gated.backend]), "health_check": checks });
    let gateway = Gateway::start(pool(fields)).await;
    let steps = [
        // The first one decides alone.
        (200, true),
        (503, true),
        (503, true),
        (200, true),
        (503, true),
        (503, true),
        (503, false),
        (200, false),
        (503, false),
        (200, false),
        (200, true),
        (503, true),
    ];
    for (index, (status, expected)) in steps.into_iter().enumerate() {
        gated.tell(index + 1, status).await;
        let address = gated.backend.address();
        assert_eq!(is_in(&gateway, address).await, expected, "after check {index}");
    }
}

#[tokio::test]
async fn who_is_taken_for_unhealthy_gets_no_request_before_its_first_good_check() {
    let gated = Gated::new();
    let document = |initially: &str| {
        let checks = check(json!({ "initially": initially, "healthy_threshold": 5 }));
        pool(json!({ "backends": hosts([&gated.backend]), "health_check": checks }))
    };
    let gateway = Gateway::start(document("unhealthy")).await;
    eventually(|| async { gated.arrived.load(SeqCst) == 1 }).await;
    for _ in 0..4 {
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "no-healthy-backend"));
    }
    gated.tell(1, 503).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 503);
    // It has had its first check, and needs five good ones now.
    for count in 2..6 {
        gated.tell(count, 200).await;
        assert!(!is_in(&gateway, gated.backend.address()).await, "after {count}");
    }
    gated.tell(6, 200).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "gated");
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_check_decides_alone_whichever_way_it_ends() {
    for (initially, status) in [("unhealthy", 200), ("healthy", 503)] {
        let gated = Gated::new();
        let thresholds = json!({ "initially": initially, "healthy_threshold": 9, "unhealthy_threshold": 9 });
        let fields = json!({ "backends": hosts([&gated.backend]), "health_check": check(thresholds) });
        let gateway = Gateway::start(pool(fields)).await;
        assert_eq!(is_in(&gateway, gated.backend.address()).await, initially == "healthy");
        gated.tell(1, status).await;
        assert_eq!(is_in(&gateway, gated.backend.address()).await, status == 200, "{initially}");
    }
}

#[tokio::test]
async fn a_backend_goes_and_comes_back_without_a_single_failed_request() {
    let steady = Puppet::new("steady");
    let leaving = Puppet::new("leaving");
    let address = leaving.address();
    let fields = json!({ "backends": puppets([&steady, &leaving]), "health_check": check(json!({})) });
    let gateway = Gateway::start(pool(fields)).await;
    let (stop, stopped) = watch::channel(false);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut client, stopped) =
            (Client::http1(gateway.address()).await.expect("a connection"), stopped.clone());
        asking.spawn(async move {
            let mut sent = 0;
            while !*stopped.borrow() {
                assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
                sent += 1;
            }
            sent
        });
    }
    // As a server is replaced: it says that it leaves, finishes what it has, and ends.
    leaving.becomes(&gateway, false).await;
    eventually(|| async { told_of(&gateway, address).await["requests"] == 0 }).await;
    let Puppet { backend, strings } = leaving;
    let served = strings.served.load(SeqCst);
    assert!(served > 0);
    let port = backend.stop().await;
    let before = steady.served();
    eventually(|| async { steady.served() > before + 20 }).await;
    let back = Puppet::at(port, "back");
    eventually(|| async { back.served() > 20 }).await;
    stop.send(true).expect("they listen");
    let sent: usize = asking.join_all().await.iter().sum();
    let log = gateway.logged(sent).await;
    assert!(log.iter().all(|line| line["attempts"] == 1 && line["status"] == 200));
}

/// Answers calls of the health service, of the name that it is told of, and everything else with `{}`.
fn grpc_backend(serving: watch::Receiver<u8>, services: mpsc::UnboundedSender<Vec<u8>>) -> Backend {
    Backend::serve_h2c(move |request: Request<Incoming>| {
        let (serving, services) = (serving.clone(), services.clone());
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.version, Version::HTTP_2);
            let asked = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let mut told = b"{}".to_vec();
            if head.uri.path() == "/grpc.health.v1.Health/Check" {
                // Nobody looks at the later ones.
                let _ = services.send(asked.to_vec());
                told = vec![0, 0, 0, 0, 2, 8, *serving.borrow()];
            }
            let answer = Response::builder().header("content-type", "application/grpc");
            answer.body(Full::from(told)).expect("a response")
        }
    })
}

#[tokio::test]
async fn a_grpc_check_asks_the_health_service() {
    for (service, message) in
        [(json!({}), &b"\0\0\0\0\0"[..]), (json!({ "service": "carts" }), b"\0\0\0\0\x07\x0a\x05carts")]
    {
        let (say, serving) = watch::channel(1);
        let (services, mut asked) = mpsc::unbounded_channel();
        let backend = grpc_backend(serving, services);
        let checks =
            with(json!({ "type": "grpc", "healthy_threshold": 1, "unhealthy_threshold": 1 }), service);
        let gateway = checking(&backend, json!({ "protocol": "h2c" }), checks).await;
        assert_eq!(first_check(&gateway, &backend).await, Ok(()));
        assert_eq!(within(asked.recv()).await.expect("it is asked"), message);
        // NOT_SERVING, UNKNOWN and SERVICE_UNKNOWN.
        for status in [2, 0, 3] {
            say.send(status).expect("it listens");
            eventually(|| async { !is_in(&gateway, backend.address()).await }).await;
            assert_eq!(request(gateway.address(), get("/")).await.status, 503);
            say.send(1).expect("it listens");
            eventually(|| async { is_in(&gateway, backend.address()).await }).await;
            assert_eq!(request(gateway.address(), get("/")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_tcp_check_asks_for_a_connection_and_nothing_else() {
    let port = Port::reserve();
    let good = Backend::echo("good");
    let checks =
        json!({ "type": "tcp", "interval": "100ms", "healthy_threshold": 1, "unhealthy_threshold": 1 });
    let fields = json!({ "backends": [port.host(), good.host()], "health_check": checks });
    let gateway = Gateway::start(pool(fields)).await;
    eventually(|| async { !is_in(&gateway, port.address()).await }).await;
    assert_eq!(counts(&gateway, 10, ["good", "late"]).await, [10, 0]);
    let late = port.open_echo("late");
    eventually(|| async { is_in(&gateway, late.address()).await }).await;
    assert_eq!(late.requests(), 0);
    assert_eq!(counts(&gateway, 10, ["good", "late"]).await, [5, 5]);
}

#[tokio::test]
async fn backends_over_tls_are_asked_over_tls() {
    for alpn in [&["http/1.1"][..], &["h2"], &["h2", "http/1.1"]] {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the folder can be written to");
        let trusted = Backend::echo_tls("a", authority.issue(&["127.0.0.1"]).acceptor(alpn, None));
        let foreign = Authority::new("another").issue(&["127.0.0.1"]);
        let foreign = Backend::echo_tls("b", foreign.acceptor(alpn, None));
        let fields = json!({
            "backends": hosts([&trusted, &foreign]), "tls": { "ca": "ca.pem" },
            "health_check": check(json!({ "initially": "unhealthy" })),
        });
        let gateway = Gateway::try_start_in(folder, pool(fields)).await.expect("it starts");
        assert_eq!(first_check(&gateway, &trusted).await, Ok(()), "{alpn:?}");
        assert!(first_check(&gateway, &foreign).await.is_err(), "{alpn:?}");
        assert!(trusted.requests() > 0 && foreign.requests() == 0);
        assert_eq!(counts(&gateway, 4, ["a", "b"]).await, [4, 0]);
    }
}

#[tokio::test]
async fn backends_of_http2_are_asked_over_http2() {
    let backend = Backend::serve_h2c(|request: Request<Incoming>| async move {
        let is_right = request.version() == Version::HTTP_2
            && request.uri().authority().is_some_and(|authority| authority == "game.example.com")
            && request.uri().path_and_query().is_some_and(|target| target == "/health?x")
            && request.headers().get("x-probe").is_some_and(|value| value == "yes");
        let answer = Response::builder().status(if is_right { 200 } else { 500 });
        answer.body(Full::<bytes::Bytes>::from("well")).expect("a response")
    });
    let fields = json!({
        "path": "/health?x", "host": "game.example.com", "headers": { "x-probe": "yes" }, "body": "well",
    });
    let gateway = checking(&backend, json!({ "protocol": "h2c" }), fields).await;
    assert_eq!(first_check(&gateway, &backend).await, Ok(()));
}

#[tokio::test]
async fn a_change_that_does_not_concern_an_upstream_leaves_its_checks_alone() {
    let backends = Puppet::several::<2>();
    backends[1].check_with(503);
    let document = |count: u32| {
        let checks = check(json!({ "initially": "unhealthy" }));
        let document = pool(json!({ "backends": puppets(&backends), "health_check": checks }));
        with(document, json!({ "limits": { "header_count": count } }))
    };
    let gateway = Gateway::start(document(50)).await;
    let knows = || async { is_in(&gateway, backends[0].address()).await && backends[1].checks() > 0 };
    eventually(knows).await;
    let began = tokio::time::Instant::now();
    let before = backends[0].checks();
    let mut reloads = 0;
    // More often than checks are made: they are made all the same, and not anew with each reload.
    while backends[0].checks() < before + 5 {
        reloads += 1;
        assert_eq!(gateway.change(document(50 + reloads)).await.diagnostics(), [""; 0]);
        assert!(is_in(&gateway, backends[0].address()).await);
        assert!(!is_in(&gateway, backends[1].address()).await);
        assert_eq!(counts(&gateway, 2, ["b0"]).await, [2]);
        assert!(began.elapsed() < Duration::from_secs(8), "no checks beside {reloads} reloads");
    }
    assert!(reloads > 1);
    let most = began.elapsed().as_millis() / 90 + 2;
    assert!((backends[0].checks() - before) as u128 <= most, "more often than it was said");
}

#[tokio::test]
async fn a_change_of_an_upstream_keeps_what_is_known_of_its_backends() {
    let backends = Puppet::several::<3>();
    let document = |count: usize, threshold: u32| {
        let checks = check(json!({ "unhealthy_threshold": threshold }));
        pool(json!({ "backends": puppets(&backends[..count]), "health_check": checks }))
    };
    let gateway = Gateway::start(document(2, 1)).await;
    backends[1].becomes(&gateway, false).await;
    gateway.change(document(3, 2)).await;
    assert!(!is_in(&gateway, backends[1].address()).await, "a reload is no check");
    eventually(|| async { backends[2].checks() > 0 }).await;
    assert_eq!(counts(&gateway, 10, ["b0", "b1", "b2"]).await, [5, 0, 5]);
    backends[1].becomes(&gateway, true).await;
    assert_eq!(counts(&gateway, 9, ["b0", "b1", "b2"]).await, [3, 3, 3]);
}

#[tokio::test]
async fn nobody_asks_backends_that_were_removed_or_are_not_checked_any_more() {
    let backends = Puppet::several::<2>();
    let document = |members: Value, is_checked: bool| {
        let mut fields = json!({ "backends": members });
        if is_checked {
            fields["health_check"] = check(json!({}));
        }
        pool(fields)
    };
    let gateway = Gateway::start(document(puppets(&backends), true)).await;
    backends[0].becomes(&gateway, false).await;
    eventually(|| async { backends[1].checks() > 0 }).await;
    gateway.change(document(puppets(&backends[..1]), true)).await;
    // One may be under way.
    let silent = || async {
        let before = backends[1].checks();
        tokio::time::sleep(Duration::from_millis(300)).await;
        backends[1].checks() == before
    };
    eventually(silent).await;
    assert!(!is_in(&gateway, backends[0].address()).await);
    // Whom nobody checks, nobody would find fit again.
    gateway.change(document(puppets(&backends[..1]), false)).await;
    eventually(|| async { is_in(&gateway, backends[0].address()).await }).await;
    let checks = backends[0].checks();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(backends[0].checks() <= checks + 1);
    assert_eq!(counts(&gateway, 4, ["b0"]).await, [4]);
}

#[tokio::test]
async fn a_check_that_ends_during_the_change_that_removes_it_takes_nobody_out_for_good() {
    for _ in 0..10 {
        let gated = Gated::new();
        let fields = json!({ "backends": hosts([&gated.backend]) });
        let checked = with(fields.clone(), json!({ "health_check": check(json!({})) }));
        let gateway = Gateway::start(pool(checked)).await;
        eventually(|| async { gated.arrived.load(SeqCst) == 1 }).await;
        gated.status.store(503, SeqCst);
        gated.go.add_permits(1);
        gateway.change(pool(fields)).await;
        eventually(|| async { request(gateway.address(), get("/")).await.status == 200 }).await;
    }
}

#[tokio::test]
async fn the_status_says_why_a_backend_is_out() {
    let (bad, good) = (Puppet::new("bad"), echoes(1));
    bad.check_with(418);
    let members = json!([bad.host(), good[0].host()]);
    let gateway =
        Gateway::start(pool(json!({ "backends": members, "health_check": check(json!({})) }))).await;
    eventually(|| async { !is_in(&gateway, bad.address()).await }).await;
    let told = told_of(&gateway, bad.address()).await;
    assert!(told["cause"].as_str().is_some_and(|cause| cause.contains("418")), "{told}");
    assert_eq!((&told["ejections"], &told["drained"]), (&json!(1), &json!(false)));
    let metric = |name: &str| format!("{name}{{upstream=\"pool\",backend=\"{}\"}}", bad.address());
    assert_eq!(gateway.metric(&metric("cloudcup_backend_healthy")).await, 0.0);
    assert_eq!(gateway.metric(&metric("cloudcup_backend_ejections_total")).await, 1.0);
    assert_eq!(told_of(&gateway, good[0].address()).await["cause"], Value::Null);
}
