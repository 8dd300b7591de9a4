//! Guests that do all the harm that they can. Each gets the answer that the documentation has for it, and whoever uses
//! another route notices nothing: no error, and no memory that stays away.

mod by_hand;
mod cases;
mod lines;
mod memory;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use self::cases::{Case, Gets, cases};
use super::{log, refused, route};
use crate::support::{Answer, Backend, Client, Gateway, eventually, get, guests, guests_with};

/// Connections that ask for the hostile guest at one time, and how often each does.
const CONNECTIONS: usize = 3;
const REQUESTS: usize = 4;

/// What is granted to the hostile: everything, and not much of it.
fn granted() -> Value {
    json!({
        "permissions": [
            "log", "clock", "random", "jwt", "rate-limit", "circuit", "state", "http", "metrics", "secrets",
        ],
        "hosts": ["127.0.0.1"],
        "private_networks": ["127.0.0.0/8"],
        "quotas": {
            "rate_limit_keys": 1000,
            "state_entries": 1000,
            "state_size": "1MiB",
            "metric_series": 100,
            "http_requests": 16,
            "http_time": "300ms",
        },
    })
}

/// A document with a route for each case below `/bad`, one without plugins, and one with a plugin that behaves.
fn document(backend: &Backend, cases: &[Case], folder: &TempDir) -> Value {
    let mut routes = json!({ "/good": route(backend, json!([])), "/noop": route(backend, json!(["noop"])) });
    let mut plugins = guests_with(&["hostile", "hostile-waits"], &granted());
    plugins["noop"] = guests(&["noop"])["noop"].clone();
    for (name, component) in by_hand::components() {
        let file = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&file, component).expect("the folder can be written to");
        plugins[name] = json!({ "source": file, "permissions": ["clock"] });
    }
    for case in cases {
        routes[case.path()] = route(backend, json!([case.attachment()]));
    }
    json!({ "plugins": plugins, "routes": routes, "key_sets": waiting::key_sets() })
}

async fn start(backend: &Backend, cases: &[Case]) -> Gateway {
    let folder = TempDir::new().expect("a temporary folder");
    let document = document(backend, cases, &folder);
    Gateway::try_start_in(folder, document).await.unwrap_or_else(|error| panic!("{error}\n{error:?}"))
}

/// Clients of the good routes, on enough connections that both workers have some.
struct Others {
    is_done: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Others {
    fn start(gateway: &Gateway) -> Self {
        let (address, is_done) = (gateway.address(), Arc::new(AtomicBool::new(false)));
        let ask = |path: &'static str| {
            let is_done = Arc::clone(&is_done);
            tokio::spawn(async move {
                let mut client = Client::http1(address).await.expect("it accepts");
                let mut answered = 0;
                while !is_done.load(SeqCst) {
                    let answer = client.send(get(path)).await.expect("the connection is kept");
                    assert_eq!((answer.status.as_u16(), answer.backend().as_str()), (200, "a"), "{path}");
                    answered += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answered
            })
        };
        let clients = ["/good", "/noop"].into_iter().cycle().take(8).map(ask).collect();
        Self { is_done, clients }
    }

    /// How many requests were answered, all of them well.
    async fn stop(self) -> usize {
        self.is_done.store(true, SeqCst);
        let mut answered = 0;
        for client in self.clients {
            answered += client.await.expect("no request fails");
        }
        answered
    }
}

/// What several connections get who ask for the guest at the same time.
async fn attack(gateway: &Gateway, path: &str) -> Vec<Answer> {
    let address = gateway.address();
    let connections = (0..CONNECTIONS).map(|_| {
        let path = path.to_owned();
        tokio::spawn(async move {
            let mut client = Client::http1(address).await.expect("it accepts");
            let mut answers = Vec::new();
            for _ in 0..REQUESTS {
                answers.push(client.send(get(&path)).await.expect("the connection goes on"));
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        answers.extend(connection.await.expect("it gets its answers"));
    }
    answers
}

async fn faults(gateway: &Gateway, plugin: &str, code: &str) -> f64 {
    let labels = format!("{{plugin=\"{plugin}\",code=\"{code}\"}}");
    gateway.metric(&format!("cloudcup_plugin_faults_total{labels}")).await
}

#[tokio::test]
async fn guest_hostile_guests_harm_nobody_else() {
    log::keep();
    let backend = Backend::echo("a");
    let cases = cases();
    let gateway = start(&backend, &cases).await;
    let others = Others::start(&gateway);
    attack(&gateway, "/good").await;
    let before = memory::resident();
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(check(&gateway, case).await.err().map(|told| {
            format!("{case:?} {told}\n  {:?}", log::lines("plugin fault").last().map(|line| &line["message"]))
        }));
        let after = || async { memory::resident() < before + memory::BOUND };
        eventually(after).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(others.stop().await > 10 * cases.len(), "they were served all the time");
    let mut told = log::lines("the last straw");
    assert!(!told.is_empty(), "what a guest says of its panic is in the log");
    for line in told.drain(..) {
        let message = line["message"].as_str().expect("a text");
        assert!(message.contains("exhaust.rs:") && message.contains("exhaust::last_straw"), "{message}");
        assert!(!message.contains(char::is_control), "it stays one line: {message:?}");
    }
    gateway.stop().await;
}

/// Whether the answers are the documented ones, and the numbers tell of them.
async fn check(gateway: &Gateway, case: &Case) -> Result<(), String> {
    let code = match case.gets {
        Gets::Fault(code) | Gets::FaultAtTheEnd(code) | Gets::FaultInTheEnd(code) => code,
        Gets::Served => "none",
    };
    let before = faults(gateway, case.plugin, code).await;
    let passed_before = faults(gateway, case.plugin, "plugin-tripped").await;
    let answers = attack(gateway, &case.path()).await;
    let (mut served, mut passed_over, mut failed) = (0, 0, 0_usize);
    for answer in &answers {
        match answer.status.as_u16() {
            200 if answer.backend() == "a" => served += 1,
            503 if answer.code() == "plugin-tripped" => passed_over += 1,
            500 if answer.code() == code => failed += 1,
            _ => return Err(format!("gets {answer:?}")),
        }
    }
    let is_right = match case.gets {
        Gets::Served => served == answers.len(),
        // Five in a row; what others were being served meanwhile comes on top.
        Gets::Fault(_) => served == 0 && (5..5 + CONNECTIONS).contains(&failed),
        Gets::FaultAtTheEnd(_) => failed == 0 && served > 0,
        Gets::FaultInTheEnd(_) => failed > 0 && served > 0,
    };
    // At the end it may be counted after the answer.
    let least = if matches!(case.gets, Gets::FaultAtTheEnd(_)) { 1 } else { failed };
    eventually(|| async { faults(gateway, case.plugin, code).await - before >= least as f64 }).await;
    let passed = faults(gateway, case.plugin, "plugin-tripped").await - passed_before;
    if is_right && passed >= passed_over as f64 {
        return Ok(());
    }
    Err(format!("was served {served}, failed {failed}, passed over {passed_over}, counted {passed}"))
}

#[tokio::test]
async fn guest_hostile_guests_that_cannot_be_configured_are_refused() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a temporary folder");
    let gateway = start(&backend, &[]).await;
    let others = Others::start(&gateway);
    for (plugin, what, code) in [
        ("hostile", "exhaust-loop", "plugin-deadline"),
        ("hostile-waits", "loop", "plugin-deadline"),
        ("hostile", "exhaust-memory", "plugin-memory"),
        ("hostile", "exhaust-stack", "plugin-trap"),
        ("hostile", "exhaust-panic", "the last straw"),
        ("hostile", "handle-leak", "plugin-misuse"),
        ("hostile", "flood-attributes", "plugin-misuse"),
    ] {
        let case = Case::new(plugin, what, Gets::Served).at("configure");
        let document = document(&backend, &[case], &folder);
        let told = refused(document.clone()).await;
        assert!(told.len() == 1 && told[0].message.contains(code), "{what}: {told:?}");
        let outcome = gateway.change(document).await;
        assert!(matches!(outcome, cloud_cup::reload::Outcome::Rejected { .. }), "{what}: {outcome:?}");
    }
    assert!(others.stop().await > 0);
}
