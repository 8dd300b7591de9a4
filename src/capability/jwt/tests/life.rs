//! Keys that are fetched: from a scripted issuer, in paused time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

use super::forge::*;
use crate::capability::jwt::{Algorithm, KeySet, KeySetSpec, Refusal, Source, Verdict, fetcher};
use crate::capability::tests::scripted::{Reply, Scripted, response, until};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// `NOW` and what has passed of the paused time.
fn paused_clock() -> Duration {
    Duration::from_secs(NOW) + BEGAN.elapsed()
}

/// While it lives, time passes only where a test says so: without it, paused time jumps while the network is at work.
struct Frozen(#[expect(dead_code, reason = "dropping it ends the blocking task")] oneshot::Sender<()>);

fn freeze() -> Frozen {
    LazyLock::force(&BEGAN);
    let (sender, receiver) = oneshot::channel();
    tokio::task::spawn_blocking(move || drop(receiver.blocking_recv()));
    Frozen(sender)
}

/// What the issuer answers now; a test changes it.
#[derive(Clone)]
struct Issuer {
    reply: Arc<Mutex<Vec<u8>>>,
}

impl Issuer {
    fn new(reply: Vec<u8>) -> Self {
        Self { reply: Arc::new(Mutex::new(reply)) }
    }

    fn says(&self, reply: Vec<u8>) {
        *self.reply.lock().unwrap() = reply;
    }

    async fn serve(&self) -> Scripted {
        let reply = self.reply.clone();
        Scripted::new(move |_| Reply::Bytes(reply.lock().unwrap().clone())).await
    }
}

fn keys_of(keys: &[serde_json::Value]) -> Vec<u8> {
    response("200 OK", "cache-control: max-age=300\r\n", &jwks(keys))
}

fn down() -> Vec<u8> {
    response("503 Service Unavailable", "", "")
}

fn fetching(server: &Scripted) -> Arc<KeySet> {
    started(spec(Source::Jwks { url: server.url("/keys") }, &[Algorithm::Rs256, Algorithm::Es256]))
}

fn started(spec: KeySetSpec) -> Arc<KeySet> {
    let set = KeySet::with_clock(spec, fetcher(Handle::current()).unwrap(), paused_clock).unwrap();
    set.start(&Handle::current());
    set.start(&Handle::current());
    set
}

fn rsa_token(kid: &str) -> String {
    let claims = json!({"sub": "anna", "exp": NOW + 1_000_000}).to_string();
    token(&header("RS256", Some(kid)), &claims, rs256)
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_first_keys_and_then_for_nothing() {
    let _frozen = freeze();
    let issuer = Issuer::new(keys_of(&[rsa_jwk(&RSA, "one")]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    let good = rsa_token("one");
    assert_eq!(set.verify_now(&good), Verdict::NeedsKeys);
    assert_eq!(set.age(), None);
    assert!(set.verify(&good).await.is_ok());
    assert!(judge(&set, &good).is_ok());
    assert_eq!((set.fetches(), set.fetch_failures(), set.keys(), set.cached()), (1, 0, 1, 1));
    assert_eq!(set.age(), Some(Duration::ZERO));
    assert_eq!(server.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_verifiers_share_one_fetch() {
    let _frozen = freeze();
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let server = Scripted::new(move |_| Reply::After(gate.clone(), keys_of(&[rsa_jwk(&RSA, "one")]))).await;
    let set = fetching(&server);
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let set = set.clone();
        all.spawn(async move { set.verify(&rsa_token("one")).await.is_ok() });
    }
    until(|| server.requests() == 1).await;
    go.notify_one();
    assert_eq!(all.join_all().await, [true; 50]);
    assert_eq!(server.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let _frozen = freeze();
    let issuer = Issuer::new(keys_of(&[rsa_jwk(&RSA, "one")]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    assert!(set.verify(&rsa_token("one")).await.is_ok());
    let flood = async |expected: usize| {
        for at in 0..1000 {
            let forged = token(&header("RS256", Some(&format!("k{at}"))), &claims(), |_| vec![0; 256]);
            assert_eq!(set.verify(&forged).await, Err(Refusal::UnknownKey));
        }
        assert_eq!(server.requests(), expected);
    };
    flood(2).await;
    advance(Duration::from_secs(29)).await;
    flood(2).await;
    advance(Duration::from_secs(2)).await;
    flood(3).await;
    assert!(judge(&set, &rsa_token("one")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn follows_a_rotation_and_drops_the_tokens_of_a_removed_key() {
    let _frozen = freeze();
    let issuer = Issuer::new(keys_of(&[rsa_jwk(&RSA, "old")]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    let old = rsa_token("old");
    assert!(set.verify(&old).await.is_ok());
    issuer.says(keys_of(&[ec_jwk(&P256, "P-256", "new")]));
    assert!(judge(&set, &old).is_ok());
    let claims = json!({"exp": NOW + 1_000_000}).to_string();
    let new = token(&header("ES256", Some("new")), &claims, |message| by_ecdsa(&P256, message));
    assert!(set.verify(&new).await.is_ok());
    assert_eq!(judge(&set, &old), Err(Refusal::UnknownKey));
    assert_eq!((set.fetches(), set.cached()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn serves_old_keys_while_the_issuer_is_down() {
    let _frozen = freeze();
    let issuer = Issuer::new(keys_of(&[rsa_jwk(&RSA, "one")]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    assert!(set.verify(&rsa_token("one")).await.is_ok());
    // A set without a usable key counts as one that did not come, like what is no key set at all.
    for bad in
        [down(), response("200 OK", "", r#"{"keys":[{"kty":"AKP"}]}"#), response("200 OK", "", "<html>")]
    {
        issuer.says(bad);
        let failures = set.fetch_failures();
        advance(Duration::from_secs(300)).await;
        until(|| set.fetch_failures() > failures).await;
        assert!(judge(&set, &rsa_token("one")).is_ok());
        assert!(set.last_error().is_some());
    }
    let claims = json!({"exp": NOW + 1_000_000, "jti": "fresh"}).to_string();
    assert!(judge(&set, &token(&header("RS256", Some("one")), &claims, rs256)).is_ok());
    issuer.says(keys_of(&[rsa_jwk(&RSA, "one")]));
    advance(Duration::from_secs(60)).await;
    until(|| set.last_error().is_none()).await;
    assert_eq!(set.age(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn says_that_keys_are_unavailable_and_tries_again() {
    let _frozen = freeze();
    let issuer = Issuer::new(down());
    let server = issuer.serve().await;
    let set = fetching(&server);
    assert_eq!(set.verify(&rsa_token("one")).await, Err(Refusal::KeysUnavailable));
    assert_eq!(set.last_error().as_deref(), Some("expected status 200, found 503"));
    issuer.says(keys_of(&[rsa_jwk(&RSA, "one")]));
    advance(Duration::from_millis(1001)).await;
    until(|| set.keys() == 1).await;
    assert!(judge(&set, &rsa_token("one")).is_ok());
    assert_eq!((set.fetches(), set.fetch_failures()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_keys_has_an_end() {
    let _frozen = freeze();
    let server = Scripted::new(|_| Reply::Never).await;
    let set = fetching(&server);
    let waiting = set.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { waiting.verify(&rsa_token("one")).await });
    until(|| server.requests() == 1).await;
    advance(Duration::from_millis(5001)).await;
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), Err(Refusal::KeysUnavailable));
}

#[tokio::test(start_paused = true)]
async fn asks_only_whether_the_keys_have_changed() {
    let _frozen = freeze();
    let unchanged = Arc::new(AtomicUsize::new(0));
    let counted = unchanged.clone();
    let server = Scripted::new(move |head| {
        if !head.contains("if-none-match: \"v1\"") {
            return Reply::Bytes(response("200 OK", "etag: \"v1\"\r\n", &jwks(&[rsa_jwk(&RSA, "one")])));
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec())
    })
    .await;
    let set = fetching(&server);
    assert!(set.verify(&rsa_token("one")).await.is_ok());
    advance(Duration::from_secs(600)).await;
    until(|| set.fetches() == 2).await;
    assert_eq!((unchanged.load(Ordering::SeqCst), set.fetch_failures()), (1, 0));
    assert_eq!((set.age(), set.cached()), (Some(Duration::ZERO), 1));
}

#[tokio::test(start_paused = true)]
async fn the_same_keys_keep_the_tokens() {
    let _frozen = freeze();
    let [one, two] = ["one", "two"].map(|kid| rsa_jwk(&RSA, kid));
    let issuer = Issuer::new(keys_of(&[one.clone(), two.clone()]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    assert!(set.verify(&rsa_token("one")).await.is_ok());
    issuer.says(keys_of(&[two, one]));
    advance(Duration::from_secs(300)).await;
    until(|| set.fetches() == 2).await;
    assert_eq!(set.cached(), 1);
}

#[tokio::test(start_paused = true)]
async fn forgets_tokens_when_they_expire() {
    let _frozen = freeze();
    let set = started(spec(Source::Secret(SECRET.to_vec()), &[Algorithm::Hs256]));
    let exp = paused_clock().as_secs() + 10;
    let short = token(&header("HS256", None), &json!({"exp": exp}).to_string(), hs256);
    assert!(judge(&set, &short).is_ok());
    advance(Duration::from_secs(68)).await;
    assert!(judge(&set, &short).is_ok());
    advance(Duration::from_secs(3)).await;
    assert_eq!(set.cached(), 0);
    assert_eq!(judge(&set, &short), Err(Refusal::Expired));
}

#[tokio::test(start_paused = true)]
async fn finds_keys_by_the_issuers_metadata() {
    let _frozen = freeze();
    let honest = Arc::new(AtomicBool::new(false));
    let says = honest.clone();
    let server = Scripted::new(move |head| {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let issuer =
            if says.load(Ordering::SeqCst) { format!("http://{host}/a/") } else { "http://b".to_owned() };
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("http://{host}/keys")}).to_string();
        Reply::Bytes(match head.split(' ').nth(1) {
            Some("/a/.well-known/openid-configuration") => response("200 OK", "", &metadata),
            Some("/keys") => keys_of(&[rsa_jwk(&RSA, "one")]),
            _ => response("404 Not Found", "", ""),
        })
    })
    .await;
    let set = started(spec(Source::Discovery { issuer_url: server.url("/a/") }, &[Algorithm::Rs256]));
    assert_eq!(set.verify(&rsa_token("one")).await, Err(Refusal::KeysUnavailable));
    assert_eq!(set.last_error().as_deref(), Some("the metadata are those of another issuer"));
    honest.store(true, Ordering::SeqCst);
    advance(Duration::from_secs(1)).await;
    until(|| set.keys() == 1).await;
    assert!(judge(&set, &rsa_token("one")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_key_set() {
    let _frozen = freeze();
    let issuer = Issuer::new(keys_of(&[rsa_jwk(&RSA, "one")]));
    let server = issuer.serve().await;
    let set = fetching(&server);
    assert!(set.verify(&rsa_token("one")).await.is_ok());
    drop(set);
    until(|| server.closed() == server.connections()).await;
    advance(Duration::from_secs(3600)).await;
    assert_eq!(server.requests(), 1);
}
