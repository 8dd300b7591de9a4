//! Changes that are taken back unless they are confirmed.

use std::fs;

use serde_json::json;

use super::{ask, changed, gateway, served};
use crate::support::{Backend, Gateway, Port, eventually, get, request};

async fn on_trial(gateway: &Gateway) -> bool {
    ask(gateway, "GET", "/v1/status", "").await.1["document"]["on_trial"] == json!(true)
}

#[tokio::test]
async fn what_nobody_confirms_is_taken_back() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let file = gateway.folder().join("document.json");
    let before = fs::read_to_string(&file).expect("it is there");
    let (status, _) = ask(&gateway, "POST", "/v1/apply?confirm=1s", &changed(&gateway, 2)).await;
    assert_eq!((status, served(&gateway).await.as_str(), on_trial(&gateway).await), (200, "2", true));
    assert_eq!(
        fs::read_to_string(&file).expect("it is there"),
        before,
        "what is on trial is not in the file"
    );
    assert_eq!(ask(&gateway, "POST", "/v1/reload", "").await.1["outcome"], "unchanged");
    eventually(async || served(&gateway).await == "1" && !on_trial(&gateway).await).await;
    let (_, revisions) = ask(&gateway, "GET", "/v1/revisions", "").await;
    let message = revisions[0]["message"].as_str().expect("a message");
    assert_eq!(message, "revision 2 is taken back: it was not confirmed within 1s");
    assert_eq!(json!([revisions[0]["source"], revisions[1]["source"]]), json!(["rollback", "trial"]));
    assert_eq!(ask(&gateway, "POST", "/v1/confirm", "").await.0, 422, "there is nothing to confirm");
}

#[tokio::test]
async fn what_is_confirmed_stays_and_is_written_to_the_file() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let two = changed(&gateway, 2);
    assert_eq!(ask(&gateway, "POST", "/v1/apply?confirm=1s", &two).await.0, 200);
    assert_eq!(ask(&gateway, "POST", "/v1/confirm", "").await.1["revision"], 3);
    assert!(!on_trial(&gateway).await);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(served(&gateway).await, "2");
    assert_eq!(fs::read_to_string(gateway.folder().join("document.json")).expect("it is there"), two);
}

#[tokio::test]
async fn what_is_applied_again_without_a_trial_stays() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let two = changed(&gateway, 2);
    assert_eq!(ask(&gateway, "POST", "/v1/apply?confirm=1h", &two).await.0, 200);
    assert_eq!(ask(&gateway, "POST", "/v1/apply?confirm=1h", &two).await.1["outcome"], "applied");
    assert!(on_trial(&gateway).await, "the trial began anew");
    assert_eq!(ask(&gateway, "POST", "/v1/apply", &two).await.1["outcome"], "applied");
    assert!(!on_trial(&gateway).await);
    assert_eq!(fs::read_to_string(gateway.folder().join("document.json")).expect("it is there"), two);
}

#[tokio::test]
async fn what_makes_requests_fail_is_taken_back_at_once() {
    let (backend, nobody) = (Backend::echo("a"), Port::reserve());
    let gateway = gateway(&backend).await;
    let harmful = changed(&gateway, 2).replace(&backend.address().to_string(), &nobody.address().to_string());
    assert_eq!(ask(&gateway, "POST", "/v1/apply?confirm=1h", &harmful).await.0, 200);
    let is_taken_back = async || {
        let answer = request(gateway.address(), get("/")).await;
        answer.status == 200 && answer.header("x-version") == Some("1")
    };
    eventually(is_taken_back).await;
    let (_, revisions) = ask(&gateway, "GET", "/v1/revisions", "").await;
    let message = revisions[0]["message"].as_str().expect("a message");
    assert!(message.ends_with("% of requests failed, where 0 % did before"), "{message}");
}

#[tokio::test]
async fn a_trial_has_its_bounds() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    for wrong in ["0s", "2h", "soon"] {
        let (status, why) =
            ask(&gateway, "POST", &format!("/v1/apply?confirm={wrong}"), &changed(&gateway, 2)).await;
        assert_eq!(status, 400, "{why}");
    }
    assert_eq!(served(&gateway).await, "1");
}
