//! Backends that are named: by a real DNS server of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::with;
use crate::support::{Backend, Gateway, Port, document, eventually, get, request};

type Records = BTreeMap<String, Vec<RData>>;

/// Answers questions by a table, for a second each. A name that is not there does not exist.
struct Names {
    address: SocketAddr,
    records: Arc<Mutex<Records>>,
    serving: JoinHandle<()>,
}

impl Names {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let (address, records) =
            (socket.local_addr().expect("it is bound"), Arc::<Mutex<Records>>::default());
        let serving = tokio::spawn({
            let records = Arc::clone(&records);
            async move {
                let mut buffer = [0; 1500];
                while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                    let answer = answer(&buffer[..length], &records.lock().expect("nobody panics"));
                    socket.send_to(&answer, client).await.expect("loopback takes it");
                }
            }
        });
        Self { address, records, serving }
    }

    fn say(&self, name: &str, records: Vec<RData>) {
        self.records.lock().expect("nobody panics").insert(format!("{name}."), records);
    }

    fn forget(&self, name: &str) {
        self.records.lock().expect("nobody panics").remove(&format!("{name}."));
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn answer(question: &[u8], records: &Records) -> Vec<u8> {
    let question = Message::from_vec(question).expect("a message");
    let asked = question.queries.first().expect("a question").clone();
    let mut answer = question.into_response();
    match records.get(&asked.name().to_ascii().to_ascii_lowercase()) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(records) => {
            let fitting = records.iter().filter(|record| record.record_type() == asked.query_type());
            for record in fitting {
                answer.add_answer(Record::from_rdata(asked.name().clone(), 1, record.clone()));
            }
        }
    }
    answer.to_vec().expect("a message")
}

fn ip(text: &str) -> RData {
    match text.parse().expect("an IP address") {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    }
}

fn server(priority: u16, weight: u16, port: u16, name: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(format!("{name}.")).expect("a name")))
}

async fn over(names: &Names, host: &str) -> Gateway {
    let routes = document(json!({ "*": { "backends": [{ "host": host, "max_failure": 1 }] } }));
    Gateway::start(with(routes, json!({ "dns": { "servers": [names.address.to_string()] } }))).await
}

/// Who answers so many requests.
async fn answering(gateway: &Gateway, requests: usize) -> BTreeSet<String> {
    let mut backends = BTreeSet::new();
    for _ in 0..requests {
        let answer = request(gateway.address(), get("/")).await;
        backends.insert(if answer.status == 200 { answer.backend() } else { answer.code() });
    }
    backends
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn all_addresses_of_a_name_are_backends_as_long_as_they_are_good() {
    let first = Backend::echo("first");
    let port = first.address().port();
    let second = Port::reserve_address(SocketAddr::from(([127, 0, 0, 2], port))).open_echo("second");
    let names = Names::start().await;
    names.say("game.test", vec![ip("127.0.0.1"), ip("127.0.0.2")]);
    let gateway = over(&names, &format!("game.test:{port}")).await;
    eventually(async || answering(&gateway, 4).await == set(&["first", "second"])).await;
    // The time to live is a second.
    names.say("game.test", vec![ip("127.0.0.2")]);
    eventually(async || answering(&gateway, 4).await == set(&["second"])).await;
    // What is known stays while nobody answers.
    names.forget("game.test");
    let before = second.requests();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(answering(&gateway, 4).await, set(&["second"]));
    assert_eq!(second.requests(), before + 4);
    names.say("game.test", vec![ip("127.0.0.1")]);
    eventually(async || answering(&gateway, 4).await == set(&["first"])).await;
}

#[tokio::test]
async fn a_service_has_its_servers_weights_and_priorities() {
    let backends = ["a", "b", "spare"].map(Backend::echo);
    let port = |index: usize| backends[index].address().port();
    let names = Names::start().await;
    names.say("node.test", vec![ip("127.0.0.1")]);
    let servers = vec![
        server(10, 30, port(0), "node.test"),
        server(10, 10, port(1), "node.test"),
        server(20, 0, port(2), "node.test"),
    ];
    names.say("_game._tcp.test", servers);
    let gateway = over(&names, "srv:_game._tcp.test").await;
    eventually(async || answering(&gateway, 1).await != set(&["no-healthy-backend"])).await;
    let before = backends.each_ref().map(Backend::requests);
    answering(&gateway, 40).await;
    let got = [0, 1, 2].map(|index| backends[index].requests() - before[index]);
    assert_eq!(got, [30, 10, 0]);
    let [a, b, spare] = backends;
    let _ports = [a.stop().await, b.stop().await];
    eventually(async || answering(&gateway, 2).await == set(&["spare"])).await;
    drop(spare);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_asked_for_again() {
    let backend = Backend::echo("found");
    let port = backend.address().port();
    let names = Names::start().await;
    let gateway = over(&names, &format!("late.test:{port}")).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-connect-failed"));
    names.say("late.test", vec![ip("127.0.0.1")]);
    eventually(async || answering(&gateway, 1).await == set(&["found"])).await;
}

#[tokio::test]
async fn what_was_resolved_stays_through_a_change() {
    let backend = Backend::echo("found");
    let port = backend.address().port();
    let names = Names::start().await;
    names.say("game.test", vec![ip("127.0.0.1")]);
    let gateway = over(&names, &format!("game.test:{port}")).await;
    eventually(async || answering(&gateway, 1).await == set(&["found"])).await;
    let connections = backend.connections();
    let routes = json!({ "*": { "backends": [{ "host": format!("game.test:{port}"), "weight": 2 }] } });
    let dns = json!({ "workers": 1, "dns": { "servers": [names.address.to_string()] } });
    assert_eq!(gateway.change(with(document(routes), dns)).await.diagnostics(), [""; 0]);
    names.forget("game.test");
    assert_eq!(answering(&gateway, 1).await, set(&["found"]));
    assert!(backend.connections() <= connections + 1);
}
