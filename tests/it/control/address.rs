//! The admin address over TLS, and `cupctl` that speaks to it.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::version;
use crate::check::program::{Ended, cupctl, run};
use crate::support::{Authority, Backend, Gateway, Wire, eventually};

const TOKEN: &str = "0123456789abcdef";

struct Home {
    gateway: Gateway,
    operators: Authority,
    _backend: Backend,
}

impl Home {
    async fn new() -> Self {
        let (backend, folder) = (Backend::echo("a"), TempDir::new().expect("a temporary folder"));
        let (authority, operators) = (Authority::new("the authority"), Authority::new("the operators'"));
        authority.issue(&["127.0.0.1", "localhost"]).write(folder.path(), "admin");
        for (name, authority) in [("ca", &authority), ("operators", &operators)] {
            fs::write(folder.path().join(format!("{name}.pem")), authority.pem())
                .expect("it can be written to");
        }
        let ada = operators.issue(&["ada"]);
        fs::write(folder.path().join("ada.pem"), format!("{}{}", ada.chain, ada.key))
            .expect("it can be written to");
        let mut document = version(&backend, 1);
        document["admin"] = json!({
            "listen": "127.0.0.1:0",
            "token": TOKEN,
            "tls": {
                "certificates": [{ "certificate": "admin.pem", "key": "admin.key" }],
                "client_certificates": { "ca": "operators.pem", "mode": "optional" },
            },
        });
        let gateway = Gateway::try_start_in(folder, document).await;
        let gateway = gateway.unwrap_or_else(|error| panic!("{error}\n{error:?}"));
        Self { gateway, operators, _backend: backend }
    }

    fn file(&self, name: &str) -> String {
        self.gateway.folder().join(name).display().to_string()
    }

    fn port(&self) -> u16 {
        self.gateway.app().admin.expect("an admin address").port()
    }

    async fn call(&self, scheme: &str, arguments: &[&str]) -> Ended {
        let address = format!("{scheme}://127.0.0.1:{}", self.port());
        run(cupctl(["--address", &address].iter().chain(arguments))).await
    }
}

#[tokio::test]
async fn an_operator_is_known_by_the_token_or_by_a_certificate() {
    let home = Home::new().await;
    let ca = home.file("ca.pem");
    let looking = home.call("https", &["--ca", &ca, "status"]).await;
    assert!(looking.code == 0 && looking.stdout.contains("revision 1"), "{looking:?}");
    let stranger = home.call("https", &["--ca", &ca, "history"]).await;
    assert!(stranger.code == 2 && stranger.stderr.contains("admin.token"), "{stranger:?}");
    let known = home.call("https", &["--ca", &ca, "--token", TOKEN, "history"]).await;
    assert_eq!(known.code, 0, "{known:?}");
    let wrong = home.call("https", &["--ca", &ca, "--token", "fedcba9876543210", "history"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let ada = home.file("ada.pem");
    let next = home.file("next.json");
    let mut document: Value =
        serde_json::from_str(&fs::read_to_string(home.file("document.json")).expect("it is there"))
            .expect("JSON");
    document["routes"]["*"]["plugins"] = json!([]);
    fs::write(&next, document.to_string()).expect("it can be written to");
    let applied = home.call("https", &["--ca", &ca, "--identity", &ada, "apply", "-f", &next]).await;
    assert!(applied.stdout.starts_with("applied as revision 2"), "{applied:?}");
    let history = home.call("https", &["--ca", &ca, "--token", TOKEN, "history", "-o", "json"]).await;
    let history: Value = serde_json::from_str(&history.stdout).expect("JSON");
    assert_eq!(history[0]["author"], "CN=ada", "{history}");
}

#[tokio::test]
async fn nobody_is_told_anything_without_tls_or_by_somebody_else() {
    let home = Home::new().await;
    let clear = home.call("http", &["status"]).await;
    assert!(clear.code == 2 && clear.stderr.contains("speaks TLS"), "{clear:?}");
    let mut wire = Wire::connect(home.gateway.app().admin.expect("an address")).await;
    wire.send("GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 400);
    let unverified = home.call("https", &["status"]).await;
    assert_eq!(unverified.code, 2, "its authority is not this machine's: {unverified:?}");
    let mallory = Authority::new("another").issue(&["ada"]);
    fs::write(home.file("mallory.pem"), format!("{}{}", mallory.chain, mallory.key))
        .expect("it can be written to");
    let (ca, mallory) = (home.file("ca.pem"), home.file("mallory.pem"));
    let refused = home.call("https", &["--ca", &ca, "--identity", &mallory, "history"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[tokio::test]
async fn a_changed_certificate_is_taken_up() {
    let home = Home::new().await;
    let (ca, other) = (home.file("ca.pem"), Authority::new("a new one"));
    other.issue(&["127.0.0.1"]).write(home.gateway.folder(), "admin");
    fs::write(home.file("new.pem"), other.pem()).expect("it can be written to");
    let new = home.file("new.pem");
    eventually(async || home.call("https", &["--ca", &new, "status"]).await.code == 0).await;
    assert_eq!(home.call("https", &["--ca", &ca, "status"]).await.code, 2);
    drop(home.operators);
}
