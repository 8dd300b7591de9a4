//! Documents that are applied, and those before them.

use std::fs;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{ask, ask_if, changed, gateway, served};
use crate::support::Backend;

#[tokio::test]
async fn what_is_applied_is_served_remembered_and_written_to_the_file() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let two = changed(&gateway, 2);
    let (status, outcome) = ask(&gateway, "POST", "/v1/apply?message=second", &two).await;
    assert_eq!((status, &outcome["outcome"], &outcome["revision"]), (200, &"applied".into(), &2.into()));
    assert_eq!(served(&gateway).await, "2");
    assert_eq!(fs::read_to_string(gateway.folder().join("document.json")).expect("it is there"), two);
    let (_, revisions) = ask(&gateway, "GET", "/v1/revisions", "").await;
    let told = |index: usize, field: &str| revisions[index][field].clone();
    assert_eq!(
        json!([told(0, "number"), told(0, "source"), told(0, "message")]),
        json!([2, "api", "second"])
    );
    assert_eq!(json!([told(1, "number"), told(1, "source")]), json!([1, "start"]));
    assert!(told(0, "author").as_str().is_some_and(|author| !author.is_empty()));
    let (_, second) = ask(&gateway, "GET", "/v1/revisions/2", "").await;
    assert_eq!(second["document"], serde_json::from_str::<Value>(&two).expect("it is JSON"));
    let (status, _) = ask(&gateway, "GET", "/v1/revisions/3", "").await;
    assert_eq!(status, 404);
    assert_eq!(gateway.logged(1).await[0]["revision"], 2);
}

#[tokio::test]
async fn what_is_rejected_changes_nothing() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let file = gateway.folder().join("document.json");
    let before = fs::read_to_string(&file).expect("it is there");
    let mut wrong: Value = serde_json::from_str(&changed(&gateway, 2)).expect("it is JSON");
    wrong["routes"]["*"]["plugins"][0]["use"] = json!("heders");
    let (status, outcome) = ask(&gateway, "POST", "/v1/apply", &wrong.to_string()).await;
    assert_eq!((status, &outcome["outcome"]), (422, &"rejected".into()));
    assert_eq!(outcome["diagnostics"][0]["pointer"], "/routes/*/plugins/0/use");
    let (status, outcome) = ask(&gateway, "POST", "/v1/apply", "{").await;
    assert_eq!((status, &outcome["outcome"]), (422, &"rejected".into()));
    assert_eq!(served(&gateway).await, "1");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), before);
    assert_eq!(ask(&gateway, "GET", "/v1/revisions", "").await.1.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_cannot_be_written_is_not_served() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    // Where the file's new content would be written.
    let taken = gateway.folder().join(format!("document.json.{}.new", std::process::id()));
    fs::create_dir(&taken).expect("the folder can be written to");
    let (status, outcome) = ask(&gateway, "POST", "/v1/apply", &changed(&gateway, 2)).await;
    assert_eq!((status, &outcome["outcome"]), (422, &"failed".into()));
    assert!(outcome["message"].as_str().is_some_and(|why| why.contains("cannot be written")), "{outcome}");
    assert_eq!(served(&gateway).await, "1");
    assert_eq!(ask(&gateway, "GET", "/v1/revisions", "").await.1.as_array().map(Vec::len), Some(1));
    fs::remove_dir(taken).expect("it is empty");
    assert_eq!(ask(&gateway, "POST", "/v1/apply", &changed(&gateway, 2)).await.0, 200);
}

#[tokio::test]
async fn a_lost_file_comes_back_with_the_next_change() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let (file, two) = (gateway.folder().join("document.json"), changed(&gateway, 2));
    fs::remove_file(&file).expect("it is there");
    let (status, outcome) = ask(&gateway, "POST", "/v1/reload", "").await;
    assert_eq!((status, &outcome["outcome"]), (422, &"failed".into()), "there is nothing to read");
    assert_eq!(ask(&gateway, "GET", "/v1/status", "").await.1["document"]["drifted"], true);
    assert_eq!(ask(&gateway, "POST", "/v1/apply", &two).await.0, 200);
    assert_eq!((served(&gateway).await.as_str(), fs::read_to_string(&file).expect("it is back")), ("2", two));
}

#[tokio::test]
async fn a_lost_history_is_told_and_costs_nothing_that_serves() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    fs::remove_dir_all(gateway.folder().join("revisions")).expect("it is there");
    let (status, outcome) = ask(&gateway, "POST", "/v1/apply", &changed(&gateway, 2)).await;
    assert_eq!((status, &outcome["outcome"]), (422, &"failed".into()), "{outcome}");
    let message = outcome["message"].as_str().expect("a message");
    assert!(message.contains("revisions"), "which folder: {message}");
    assert_eq!(served(&gateway).await, "1");
    fs::create_dir(gateway.folder().join("revisions")).expect("the folder can be written to");
    assert_eq!(ask(&gateway, "POST", "/v1/apply", &changed(&gateway, 2)).await.0, 200);
    assert_eq!(served(&gateway).await, "2");
}

#[tokio::test]
async fn a_request_that_says_too_little_is_refused_in_json() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    for (method, path) in [
        ("GET", "/v1/diff?from=x"),
        ("POST", "/v1/breakers?name=x&action=burn"),
        ("GET", "/v1/revisions/none"),
        ("POST", "/v1/plugins/trip"),
        ("GET", "/v1/nothing"),
    ] {
        let (status, told) = ask(&gateway, method, path, "").await;
        assert!(matches!(status, 400 | 404), "{method} {path}: {status}");
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
    }
}

#[tokio::test]
async fn of_two_changes_of_one_revision_one_wins() {
    let backend = Backend::echo("a");
    let gateway = std::sync::Arc::new(gateway(&backend).await);
    let mut asking = JoinSet::new();
    for version in 2..10 {
        let (gateway, document) = (std::sync::Arc::clone(&gateway), changed(&gateway, version));
        asking.spawn(async move { ask_if(&gateway, "POST", "/v1/apply", Some(1), &document).await });
    }
    let answers = asking.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for (status, outcome) in lost {
        assert_eq!((status, &outcome["outcome"], &outcome["revision"]), (412, &"conflict".into(), &2.into()));
        let since = outcome["since"].to_string();
        assert!(since.contains("x-version"), "{since}");
    }
    let (status, _) = ask_if(&gateway, "POST", "/v1/apply", Some(2), &changed(&gateway, 11)).await;
    assert_eq!(status, 200);
    let (status, refused) = gateway.admin_with("POST", "/v1/apply", "if-match: \"x\"\r\n", "{}").await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn an_earlier_revision_is_served_again_as_a_new_one() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    for version in [2, 3] {
        assert_eq!(ask(&gateway, "POST", "/v1/apply", &changed(&gateway, version)).await.0, 200);
    }
    let (status, outcome) = ask(&gateway, "POST", "/v1/rollback", "").await;
    assert_eq!((status, &outcome["revision"]), (200, &4.into()));
    assert_eq!(served(&gateway).await, "2");
    let (status, _) = ask(&gateway, "POST", "/v1/rollback?revision=1", "").await;
    assert_eq!((status, served(&gateway).await.as_str()), (200, "1"));
    let (status, outcome) = ask(&gateway, "POST", "/v1/rollback?revision=99", "").await;
    assert_eq!((status, &outcome["outcome"]), (422, &"failed".into()));
    let (_, revisions) = ask(&gateway, "GET", "/v1/revisions", "").await;
    let numbers: Vec<_> =
        revisions.as_array().expect("a list").iter().map(|one| one["number"].clone()).collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    assert_eq!(revisions[0]["hash"], revisions[4]["hash"]);
    let (_, differences) = ask(&gateway, "GET", "/v1/diff?from=2&to=3", "").await;
    let pointer = "/routes/*/plugins/0/config/response/set/x-version";
    assert_eq!(differences["differences"][0]["pointer"], pointer, "{differences}");
}

#[tokio::test]
async fn changes_happen_one_after_the_other_whoever_asks() {
    let backend = Backend::echo("a");
    let gateway = std::sync::Arc::new(gateway(&backend).await);
    let mut asking = JoinSet::new();
    for operator in 0..4u32 {
        let gateway = std::sync::Arc::clone(&gateway);
        asking.spawn(async move {
            let mut done: Vec<(u64, Value)> = Vec::new();
            for round in 0..10 {
                let document = changed(&gateway, 100 * (operator + 1) + round);
                let (status, outcome) = ask(&gateway, "POST", "/v1/apply", &document).await;
                assert_eq!(status, 200, "{outcome}");
                done.push((outcome["revision"].as_u64().expect("a number"), document.parse().expect("JSON")));
            }
            assert!(
                done.is_sorted_by_key(|(revision, _)| *revision),
                "an operator's own changes are in order"
            );
            done
        });
    }
    let mut done: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    done.sort_by_key(|(revision, _)| *revision);
    let numbers: Vec<_> = done.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(numbers, (2..=41).collect::<Vec<_>>(), "each has a revision of its own");
    for (revision, document) in &done {
        let (_, told) = ask(&gateway, "GET", &format!("/v1/revisions/{revision}"), "").await;
        assert_eq!(told["document"], *document, "revision {revision} is what was applied as it");
    }
    let last = &done.last().expect("there are some").1;
    assert_eq!(ask(&gateway, "GET", "/v1/config", "").await.1, *last);
    let version = &last["routes"]["*"]["plugins"][0]["config"]["response"]["set"]["x-version"];
    assert_eq!(json!(served(&gateway).await), *version);
}
