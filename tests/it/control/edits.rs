//! The document, looked at and changed in one place.

use serde_json::json;

use super::{ask, ask_if, gateway, served};
use crate::support::Backend;

const VERSION: &str = "/v1/config/routes/*/plugins/0/config/response/set/x-version";

#[tokio::test]
async fn a_place_is_read_put_patched_and_deleted() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    assert_eq!(ask(&gateway, "GET", VERSION, "").await, (200, json!("1")));
    let (status, outcome) = ask(&gateway, "PUT", VERSION, r#""2""#).await;
    assert_eq!((status, &outcome["revision"]), (200, &2.into()), "{outcome}");
    assert_eq!(served(&gateway).await, "2");
    let patch = r#"{"x-version": "3", "x-other": "4"}"#;
    let set = "/v1/config/routes/*/plugins/0/config/response/set";
    assert_eq!(ask(&gateway, "PATCH", set, patch).await.0, 200);
    assert_eq!(ask(&gateway, "GET", set, "").await.1, json!({ "x-version": "3", "x-other": "4" }));
    assert_eq!(ask(&gateway, "DELETE", &format!("{set}/x-other"), "").await.0, 200);
    assert_eq!(ask(&gateway, "GET", set, "").await.1, json!({ "x-version": "3" }));
    assert_eq!(served(&gateway).await, "3");
    let route = json!({ "backends": [backend.host()] }).to_string();
    assert_eq!(ask(&gateway, "PUT", "/v1/config/routes/~1new~1%7Bid%7D", &route).await.0, 200);
    let (_, routes) = ask(&gateway, "GET", "/v1/routes", "").await;
    assert!(routes.to_string().contains("/new/{id}"), "{routes}");
}

#[tokio::test]
async fn an_edit_passes_the_check_of_every_document() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let (status, outcome) = ask(&gateway, "PUT", "/v1/config/workers", "0").await;
    assert_eq!((status, &outcome["diagnostics"][0]["pointer"]), (422, &"/workers".into()), "{outcome}");
    let (status, outcome) = ask(&gateway, "DELETE", "/v1/config/routes/none", "").await;
    assert_eq!((status, &outcome["outcome"]), (422, &"failed".into()));
    let (status, _) = ask(&gateway, "PUT", "/v1/config/workers", "{").await;
    assert_eq!(status, 400);
    assert_eq!(ask(&gateway, "GET", "/v1/config/nothing", "").await.0, 404);
    assert_eq!(ask_if(&gateway, "PUT", VERSION, Some(7), r#""2""#).await.0, 412);
    assert_eq!(served(&gateway).await, "1");
}

#[tokio::test]
async fn fields_keep_their_order() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let file = gateway.folder().join("document.json");
    let order =
        |text: &str| ["routes", "workers", "access_log"].map(|field| text.find(&format!("\"{field}\"")));
    let before = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(ask(&gateway, "PUT", VERSION, r#""2""#).await.0, 200);
    let after = std::fs::read_to_string(&file).expect("it is there");
    let is_rising = |order: [Option<usize>; 3]| order[0] < order[1] && order[1] < order[2];
    assert_eq!(is_rising(order(&before)), is_rising(order(&after)), "{before}\n{after}");
}
