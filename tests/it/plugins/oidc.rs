//! `jwt-auth` against an OpenID provider that nobody here wrote. `cargo xtask test` installs it; a test that needs it has
//! `oidc_` in its name.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Answer, Backend, Gateway, found, get, post, request};

/// A provider with one signing key. Dropping it ends it.
struct Provider {
    port: u16,
    process: Child,
}

impl Provider {
    async fn start(port: u16, algorithm: &str, kid: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc/provider.mjs");
        let packages = std::env::var_os("CLOUDCUP_OIDC").map(PathBuf::from);
        let packages =
            packages.expect("CLOUDCUP_OIDC names no folder with the provider: run `cargo xtask test`");
        let mut process = Command::new("node")
            .arg(script)
            .args([&port.to_string(), algorithm, kid])
            .env("CLOUDCUP_OIDC", packages)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let ready =
            async { while lines.next_line().await.expect("text").is_some_and(|line| line != "ready") {} };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("the provider gets ready");
        Self { port, process }
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn token(&self, scope: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=tests&client_secret=known-to-everybody&scope={scope}"
        );
        let address = ([127, 0, 0, 1], self.port).into();
        let mut wanted = post("/token", form);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        wanted.headers_mut().insert(header::CONTENT_TYPE, form);
        let answer = request(address, wanted).await;
        let answer: Value = serde_json::from_slice(&answer.body).expect("the provider speaks JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Ends it, and waits until its port is free.
    async fn stop(mut self) -> u16 {
        self.process.kill().await.expect("it runs");
        self.port
    }
}

/// A gateway that takes tokens of a provider, found by discovery.
async fn gateway(backend: &Backend, issuer: &str, scopes: &[&str]) -> Gateway {
    let auth = json!({
        "use": "jwt-auth",
        "config": {
            "key_sets": ["provider"],
            "scopes": scopes,
            "claims_to_headers": { "x-client": "client_id" }
        }
    });
    Gateway::start(json!({
        "key_sets": {
            "provider": {
                "discovery_url": issuer,
                "algorithms": ["RS256", "ES256", "EdDSA"],
                "audiences": ["urn:games"]
            }
        },
        "routes": { "*": { "backends": [backend.host()], "plugins": [auth] } }
    }))
    .await
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    let mut wanted = get("/");
    let bearer = format!("Bearer {token}").parse().expect("a token is a field value");
    wanted.headers_mut().insert(header::AUTHORIZATION, bearer);
    request(gateway.address(), wanted).await
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    ask(gateway, token).await.status.as_u16()
}

/// A port that is free now, and will be for the provider.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    socket.local_addr().expect("it is bound").port()
}

#[tokio::test]
async fn oidc_tokens_of_three_algorithms_are_verified() {
    let backend = Backend::echo("a");
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let provider = Provider::start(free_port(), algorithm, "first").await;
        let gateway = gateway(&backend, &provider.issuer(), &["games:read"]).await;
        let token = provider.token("games:read").await;
        assert_eq!(status(&gateway, &token).await, 200, "{algorithm}");
        assert_eq!(status(&gateway, &provider.token("games:write").await).await, 403, "{algorithm}");
        let mut forged = token.into_bytes();
        let last = forged.len() - 20;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("base64url is text");
        assert_eq!(status(&gateway, &forged).await, 401, "{algorithm}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn oidc_keys_survive_a_rotation_and_an_outage() {
    let backend = Backend::echo("a");
    let provider = Provider::start(free_port(), "RS256", "first").await;
    let gateway = gateway(&backend, &provider.issuer(), &[]).await;
    let old = provider.token("games:read").await;
    let unseen = provider.token("games:read").await;
    assert_eq!(status(&gateway, &old).await, 200);

    // The provider is gone: its keys still serve, for tokens that were seen before and for others.
    let port = provider.stop().await;
    assert_eq!(status(&gateway, &old).await, 200);
    assert_eq!(status(&gateway, &unseen).await, 200);

    // It comes back with another key, of another kind.
    let provider = Provider::start(port, "ES256", "second").await;
    let new = provider.token("games:read").await;
    let taken = || async { (status(&gateway, &new).await == 200).then_some(()) };
    found(taken).await;
    assert_eq!(status(&gateway, &old).await, 401, "the old key is no key of the provider's any more");
    let fetches = gateway.metric(r#"cloudcup_jwt_fetches_total{key_set="provider"}"#).await;
    assert!(fetches <= 3.0, "{fetches} fetches");
}

#[tokio::test]
async fn oidc_a_gateway_starts_before_its_provider() {
    let backend = Backend::echo("a");
    let provider = Provider::start(free_port(), "EdDSA", "first").await;
    let token = provider.token("games:read").await;
    let issuer = provider.issuer();
    let port = provider.stop().await;
    let gateway = gateway(&backend, &issuer, &[]).await;
    let answer = ask(&gateway, &token).await;
    assert_eq!(answer.status, 503, "the token may be good");
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    let provider = Provider::start(port, "EdDSA", "second").await;
    let token = provider.token("games:read").await;
    found(|| async { (status(&gateway, &token).await == 200).then_some(()) }).await;
}
