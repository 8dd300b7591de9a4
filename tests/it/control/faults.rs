//! A change that fails, whichever of its steps does: the old revision stays whole, and the next good change works.
//!
//! What a kill in the middle of a change leaves is looked at in `leads`, a full disk in `revision::tests`.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use rcgen::date_time_ymd;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::ask;
use crate::check::program::{Ended, cupctl, run};
use crate::plugins::dist;
use crate::support::{Authority, Backend, Gateway, Port, get, request, within};

/// How a change gets to the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// `cupctl apply`, where the API leads.
    Applied,
    /// `cupctl apply`, where the file leads: it has to be written.
    WrittenBack,
    /// The file is replaced, and `cupctl reload` says what comes of it.
    Filed,
}

/// A step of a change at which it fails.
struct Case {
    step: &'static str,
    /// What the operator is told.
    words: &'static str,
    /// Makes the next document, or what is around the gateway, so that it fails there.
    spoil: fn(&Home, &mut Value),
    /// Takes back what `spoil` did around the gateway.
    mend: fn(&Home),
    ways: &'static [Way],
}

const ALL: &[Way] = &[Way::Applied, Way::WrittenBack, Way::Filed];
const NOTHING: fn(&Home) = |_| ();

/// In the order of the steps.
const CASES: [Case; 12] = [
    Case {
        step: "parse",
        words: "expected `,` or `}`",
        // See `Home::change`: what is not JSON cannot be a `Value`.
        spoil: |_, document| *document = json!("{\"routes\": {} \"workers\": 2}"),
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "check",
        words: "/routes/~1shared/backends",
        spoil: |_, document| document["routes"]["/shared"]["backends"] = json!("none"),
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "certificate",
        words: "has expired on",
        spoil: |_, document| {
            let certificates = json!([{ "certificate": "expired.pem", "key": "expired.key" }]);
            document["listeners"]["fresh"]["tls"] = json!({ "certificates": certificates });
        },
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "compile of a plugin",
        words: "is not a WebAssembly component",
        spoil: |_, document| document["plugins"]["mine"]["source"] = json!("half.wasm"),
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "warm-up of a plugin",
        words: "plugin-memory",
        spoil: |_, document| document["plugins"]["mine"]["limits"] = json!({ "memory": "64KiB" }),
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "configuration of a plugin",
        words: "refuses its configuration",
        spoil: |_, document| {
            let set = &mut document["routes"]["/shared"]["plugins"][0]["config"]["response"]["set"];
            set["not a name"] = json!("1");
        },
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "access log",
        words: "the access log cannot be opened",
        spoil: |_, document| document["access_log"] = json!("no/such/folder/access.log"),
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "bind of a new address",
        words: "in use",
        spoil: |home, document| {
            let taken = home.taken.local_addr().expect("it is bound");
            document["listeners"]["taken"] = json!({ "address": taken.to_string() });
        },
        mend: NOTHING,
        ways: ALL,
    },
    Case {
        step: "revision whose folder is a file",
        words: "cannot write revision",
        spoil: |home, _| {
            home.rename("revisions", "away");
            fs::write(home.at("revisions"), "").expect("the folder can be written to");
        },
        mend: |home| {
            fs::remove_file(home.at("revisions")).expect("it is there");
            home.rename("away", "revisions");
        },
        ways: ALL,
    },
    Case {
        step: "revision whose folder is gone",
        words: "cannot write revision",
        spoil: |home, _| home.rename("revisions", "away"),
        mend: |home| home.rename("away", "revisions"),
        ways: ALL,
    },
    Case {
        step: "writing the document's file",
        words: "cannot be written",
        spoil: |home, _| fs::create_dir(home.staged()).expect("the folder can be written to"),
        mend: |home| fs::remove_dir(home.staged()).expect("it is empty"),
        ways: &[Way::WrittenBack],
    },
    Case {
        step: "putting the document's file in place",
        words: "cannot be written",
        spoil: |home, _| {
            fs::remove_file(home.at("document.json")).expect("it is there");
            fs::create_dir(home.at("document.json")).expect("the folder can be written to");
        },
        mend: |home| fs::remove_dir(home.at("document.json")).expect("it is empty"),
        ways: &[Way::WrittenBack],
    },
];

/// A gateway whose revisions differ in everything: backend, routes, the plugin's configuration, and an address.
struct Home {
    way: Way,
    gateway: Gateway,
    backends: [Backend; 2],
    /// The document that it began with, completed.
    first: Value,
    /// Where nobody else can listen.
    taken: TcpListener,
}

impl Home {
    async fn new(way: Way) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let component = dist("headers");
        for (name, bytes) in [("mine.wasm", &component[..]), ("half.wasm", &component[..component.len() / 2])]
        {
            fs::write(folder.path().join(name), bytes).expect("the folder can be written to");
        }
        let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
        let expired = Authority::new("the authority")
            .issue_with(&["a.example"], kind, |params| params.not_after = date_time_ymd(2020, 1, 1));
        expired.write(folder.path(), "expired");
        let backends = ["even", "odd"].map(Backend::echo);
        let mut first = json!({
            "history": "revisions",
            "source": if way == Way::Applied { "api" } else { "file" },
            "root": "127.0.0.1:0",
            "plugins": { "mine": { "source": "mine.wasm" } },
        });
        let routes = routes(&backends, 1);
        first.as_object_mut().expect("an object").extend(routes);
        let gateway = Gateway::try_start_in(folder, first).await;
        let gateway = gateway.unwrap_or_else(|error| panic!("{way:?}: {error}\n{error:?}"));
        let written = fs::read_to_string(gateway.folder().join("document.json")).expect("it is there");
        let first = serde_json::from_str(&written).expect("it is JSON");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { way, gateway, backends, first, taken }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.gateway.folder().join(name)
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).expect("the folder can be written to");
    }

    /// Where the file's new content is written, before it is put in place.
    fn staged(&self) -> std::path::PathBuf {
        self.at(&format!("document.json.{}.new", std::process::id()))
    }

    fn document(&self, number: usize, fresh: SocketAddr) -> Value {
        let mut document = self.first.clone();
        document.as_object_mut().expect("an object").extend(routes(&self.backends, number));
        document["listeners"] = json!({ "fresh": { "address": fresh.to_string() } });
        document
    }

    /// Asks for a change; a document that is a text stands as it is.
    async fn change(&self, document: &Value) -> Ended {
        let text = document.as_str().map_or_else(|| document.to_string(), str::to_owned);
        let name = if self.way == Way::Filed { "document.json" } else { "next.json" };
        fs::write(self.at("next.json"), text).expect("the folder can be written to");
        if self.way == Way::Filed {
            self.rename("next.json", name);
            return self.cupctl(&["reload"]).await;
        }
        self.cupctl(&["apply", "-f", &self.at(name).display().to_string()]).await
    }

    async fn cupctl(&self, arguments: &[&str]) -> Ended {
        let socket = self.gateway.app().socket.display().to_string();
        run(cupctl(["--socket", &socket].iter().chain(arguments))).await
    }

    /// Status, backend and version of an answer.
    async fn answer(&self, path: &str) -> Value {
        let answer = request(self.gateway.address(), get(path)).await;
        let served = answer.status == 200;
        let backend = if served { answer.backend() } else { String::new() };
        json!([answer.status.as_u16(), backend, answer.header("x-version")])
    }

    /// All that a client or an operator can see of the running revision.
    async fn seen(&self) -> Value {
        let (_, mut status) = ask(&self.gateway, "GET", "/v1/status", "").await;
        without_gauges(&mut status["upstreams"]);
        let (_, history) = ask(&self.gateway, "GET", "/v1/revisions", "").await;
        let (_, routes) = ask(&self.gateway, "GET", "/v1/routes", "").await;
        let (_, document) = ask(&self.gateway, "GET", "/v1/config", "").await;
        // What they have to do comes and goes.
        let upstreams = status["upstreams"].as_array().into_iter().flatten();
        let upstreams: Vec<_> =
            upstreams.map(|upstream| json!([upstream["name"], upstream["backends"]])).collect();
        json!({
            "revision": status["revision"],
            "hash": status["document"]["hash"],
            "upstreams": upstreams,
            "plugins": status["plugins"],
            "history": history,
            "routes": routes,
            "document": document,
            "answer": self.answer("/shared").await,
        })
    }
}

/// What there is to do at a moment is no part of a revision.
fn without_gauges(upstreams: &mut Value) {
    for upstream in upstreams.as_array_mut().into_iter().flatten() {
        let fields = upstream.as_object_mut().expect("an upstream is an object");
        fields.retain(|_, value| !value.is_number());
        let backends = fields.get_mut("backends").and_then(Value::as_array_mut).into_iter().flatten();
        backends.for_each(|backend| drop(backend.as_object_mut().map(|backend| backend.remove("requests"))));
    }
}

/// What a revision serves.
fn routes(backends: &[Backend; 2], number: usize) -> serde_json::Map<String, Value> {
    let config = json!({ "response": { "set": { "x-version": number.to_string() } } });
    let route = json!({
        "backends": [backends[number % 2].host()],
        "plugins": [{ "use": "mine", "config": config }],
    });
    let routes = json!({ "routes": { "/shared": route, (format!("/only/{number}")): route } });
    routes.as_object().expect("an object").clone()
}

async fn listens(address: SocketAddr) -> bool {
    within(TcpStream::connect(address)).await.is_ok()
}

async fn check(way: Way) {
    let home = Home::new(way).await;
    let cases = CASES.iter().filter(|case| case.ways.contains(&way));
    for (number, case) in (2..).zip(cases) {
        let Case { step, words, spoil, mend, .. } = case;
        let fresh = Port::reserve();
        let good = home.document(number, fresh.address());
        let before = home.seen().await;

        let mut bad = good.clone();
        spoil(&home, &mut bad);
        let ended = home.change(&bad).await;
        assert_ne!(ended.code, 0, "{way:?}, {step}: it does not fail: {ended:?}");
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains(words), "{way:?}, {step}: `{words}` is not in: {told}");
        assert_eq!(home.seen().await, before, "{way:?}, {step}: the old revision is not whole");
        let only = home.answer(&format!("/only/{number}")).await;
        assert_eq!(only[0], 404, "{way:?}, {step}: a new route is there");
        assert!(!listens(fresh.address()).await, "{way:?}, {step}: a new address is open");

        mend(&home);
        let ended = home.change(&good).await;
        assert_eq!(ended.code, 0, "{way:?}, {step}: the next good change fails: {ended:?}");
        let after = home.seen().await;
        let backend = ["even", "odd"][number % 2];
        let expected = json!([200, backend, number.to_string()]);
        for path in ["/shared".to_owned(), format!("/only/{number}")] {
            assert_eq!(home.answer(&path).await, expected, "{way:?}, {step}: {path} is not the new one");
        }
        assert_eq!(
            home.answer(&format!("/only/{}", number - 1)).await[0],
            404,
            "{way:?}, {step}: an old route"
        );
        assert!(listens(fresh.address()).await, "{way:?}, {step}: the new address is not open");
        let [now, then] = [&after, &before].map(|seen| seen["history"].as_array().expect("a list"));
        assert_eq!(now[1..], then[..], "{way:?}, {step}: one revision more");
        assert_eq!(now[0]["number"], after["revision"], "{way:?}, {step}: it is remembered");
        assert_eq!(now[0]["hash"], after["hash"], "{way:?}, {step}: it is remembered");
    }
}

#[tokio::test]
async fn a_change_that_is_applied_fails_whole_at_every_step() {
    check(Way::Applied).await;
}

#[tokio::test]
async fn a_change_that_is_written_back_fails_whole_at_every_step() {
    check(Way::WrittenBack).await;
}

#[tokio::test]
async fn a_change_of_the_file_fails_whole_at_every_step() {
    check(Way::Filed).await;
}
