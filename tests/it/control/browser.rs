//! The admin page in a real Chromium. Such a test has `chromium_` in its name, so that it can be left out where there is
//! none.

mod chromium;

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ask, remembering, served, version};
use crate::support::{Backend, Gateway, Port, eventually, get, request, within};
use chromium::Page;

const TOKEN: &str = "hidden-0123456789";
const SECRET: &str = "hidden-in-the-document";

/// A gateway with two revisions, of which the second is served, and a backend that refuses.
struct Home {
    gateway: Gateway,
    admin: SocketAddr,
    refusing: Port,
    good: Backend,
}

impl Home {
    async fn new() -> Self {
        let (good, refusing) = (Backend::echo("a"), Port::reserve());
        let gateway = Gateway::start(document(&good, &refusing, 1)).await;
        gateway.change(document(&good, &refusing, 2)).await;
        assert_eq!(served(&gateway).await, "2");
        let admin = gateway.app().admin.expect("it has an admin address");
        Self { gateway, admin, refusing, good }
    }

    /// The page, as whoever comes to it sees it first.
    async fn page(&self) -> Page {
        let mut page = Page::start().await;
        page.open(&format!("http://{}/", self.admin)).await;
        page.until("document.querySelector('#backends table')").await;
        page
    }

    /// The page with the operator's part.
    async fn unlocked(&self) -> Page {
        let mut page = self.page().await;
        page.tab_to("#token").await;
        page.write(TOKEN).await;
        page.press("Enter").await;
        page.until("!document.getElementById('revisions-section').hidden").await;
        page
    }

    async fn revision(&self) -> Value {
        ask(&self.gateway, "GET", "/v1/status", "").await.1["revision"].clone()
    }
}

fn document(good: &Backend, refusing: &Port, number: u32) -> Value {
    let mut document = remembering(version(good, number));
    document["admin"] = json!({ "listen": "127.0.0.1:0", "token": TOKEN });
    document["secrets"] = json!({ "theirs": format!("{SECRET}-{number}") });
    let long = format!("/a-{}-path/*", "long-".repeat(20));
    document["routes"][long] = json!({ "backends": [good.host()] });
    document["routes"]["/refused"] = json!({ "backends": [refusing.host()] });
    document
}

/// What the browser complained of, but for what an observer is not told.
fn complaints(page: &Page) -> Vec<String> {
    let is_locked = |entry: &Value| {
        let is_for_operators = |url: &str| url.ends_with("/v1/revisions") || url.ends_with("/v1/routes");
        entry["text"].as_str().is_some_and(|text| text.contains("403"))
            && entry["url"].as_str().is_some_and(is_for_operators)
    };
    let entries = page.events("Log.entryAdded").into_iter().map(|event| &event["entry"]);
    let entries = entries.filter(|entry| !is_locked(entry));
    let calls = page.events("Runtime.consoleAPICalled").into_iter();
    let thrown = page.events("Runtime.exceptionThrown").into_iter();
    let issues = page.events("Audits.issueAdded").into_iter();
    entries.chain(calls).chain(thrown).chain(issues).map(ToString::to_string).collect()
}

#[tokio::test]
async fn chromium_shows_what_runs_and_has_nothing_to_complain_of() {
    let home = Home::new().await;
    let refusing = home.refusing.address().to_string();
    let is_ejected = async || {
        request(home.gateway.address(), get("/refused")).await;
        let (_, status) = ask(&home.gateway, "GET", "/v1/status", "").await;
        status["upstreams"].to_string().contains(r#""healthy":false"#)
    };
    eventually(is_ejected).await;
    let mut page = home.unlocked().await;
    page.until("document.querySelector('#routes tbody').innerText.includes('headers')").await;
    for (id, words) in [
        ("document", &["in force", "what is served"][..]),
        ("routes", &["/refused", "headers → "]),
        ("backends", &[&home.good.address().to_string(), &refusing, "healthy", "ejected", "refused"]),
        ("plugins", &["headers", "in use"]),
        ("revisions", &["running", "Roll back", "Changes"]),
    ] {
        let text = page.text(id).await;
        for word in words {
            assert!(text.contains(word), "{id}: `{word}` is not in: {text}");
        }
    }
    let first = page.value("document.querySelector('#backends tbody tr').innerText").await;
    let first = first.as_str().expect("a text");
    assert!(first.contains(&refusing) && first.contains("ejected"), "who is ill comes first: {first}");
    assert_eq!(complaints(&page), Vec::<String>::new());
    // That it would complain, and of what the policy forbids too.
    page.value("document.body.setAttribute('style', 'color: red'), console.error('wrong')").await;
    within(async {
        let told = |page: &Page, words: &str| complaints(page).concat().contains(words);
        while !(told(&page, "Content Security Policy") && told(&page, "wrong")) {
            page.value("0").await;
        }
    })
    .await;
}

#[tokio::test]
async fn chromium_explains_a_request() {
    let home = Home::new().await;
    let mut page = home.unlocked().await;
    page.tab_to("#url").await;
    page.write("example.com/refused").await;
    page.press("Enter").await;
    page.until("document.querySelector('#explanation dl')").await;
    let told = page.text("explanation").await;
    for words in ["example.com", "/refused: chosen", &home.refusing.address().to_string()] {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
    page.tab_to("#url").await;
    page.ask("Input.dispatchKeyEvent", json!({ "type": "keyDown", "commands": ["selectAll"] })).await;
    page.write("example.com/%zz").await;
    page.press("Enter").await;
    page.until("document.querySelector('#explanation .bad')").await;
    assert_eq!(complaints(&page), Vec::<String>::new());
}

#[tokio::test]
async fn chromium_rolls_back_by_the_keyboard_alone_once_it_was_asked_twice() {
    let home = Home::new().await;
    let mut page = home.unlocked().await;
    let asked = "document.getElementById('dialog').open";
    let button = "#revisions button[aria-label='Roll back to revision 1']";
    page.tab_to(button).await;
    page.press("Enter").await;
    page.until(asked).await;
    assert_eq!(page.text("dialog-title").await, "Roll back to revision 1?");
    assert!(page.text("dialog-differences").await.contains("x-version"));
    page.press("Enter").await;
    page.until(&format!("!{asked}")).await;
    assert_eq!((home.revision().await, served(&home.gateway).await.as_str()), (json!(2), "2"));

    page.tab_to(button).await;
    page.press("Enter").await;
    page.until(asked).await;
    page.tab_to("#dialog-act").await;
    page.press("Enter").await;
    page.until("!document.getElementById('dialog-outcome').hidden").await;
    assert_eq!(page.text("dialog-outcome").await, "Done: revision 3 is served.");
    assert_eq!((home.revision().await, served(&home.gateway).await.as_str()), (json!(3), "1"));
    page.press("Escape").await;
    page.until(&format!("!{asked}")).await;
    page.until("document.querySelector('#revisions tbody tr').innerText.includes('running')").await;

    let is_rollback = |url: &Value| url.as_str().is_some_and(|url| url.contains("/v1/rollback?"));
    let sent = page.events("Network.requestWillBeSent");
    let sent: Vec<_> =
        sent.iter().map(|event| &event["request"]).filter(|r| is_rollback(&r["url"])).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let field = |name: &str| {
        let headers = sent[0]["headers"].as_object().expect("headers");
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    assert_eq!((&sent[0]["method"], field("if-match")), (&json!("POST"), Some(json!("\"2\""))));
    assert_eq!(complaints(&page), Vec::<String>::new());
}

#[tokio::test]
async fn chromium_rolls_nothing_back_that_somebody_has_changed_meanwhile() {
    let home = Home::new().await;
    let mut page = home.unlocked().await;
    page.tab_to("#revisions button[aria-label='Roll back to revision 1']").await;
    page.press("Enter").await;
    page.until("document.getElementById('dialog').open").await;
    home.gateway.change(document(&home.good, &home.refusing, 3)).await;
    page.tab_to("#dialog-act").await;
    page.press("Enter").await;
    page.until("!document.getElementById('dialog-outcome').hidden").await;
    let told = page.text("dialog-outcome").await;
    assert!(told.starts_with("Nothing was done: revision 3 is served by now."), "{told}");
    assert_eq!((home.revision().await, served(&home.gateway).await.as_str()), (json!(3), "3"));
}

#[tokio::test]
async fn chromium_adapts_to_the_dark_and_to_a_phone() {
    let home = Home::new().await;
    let mut page = home.unlocked().await;
    let mut backs = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.ask("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        for element in ["body", "section[aria-labelledby]", "input"] {
            let back = format!("getComputedStyle(document.querySelector('{element}')).backgroundColor");
            backs.push(page.value(&back).await);
        }
    }
    let (light, dark) = backs.split_at(3);
    for (light, dark) in light.iter().zip(dark) {
        assert_ne!(light, dark, "{backs:?}");
    }
    // Not `mobile`: that would zoom out until what is too wide fits.
    let phone = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": false });
    page.ask("Emulation.setDeviceMetricsOverride", phone).await;
    page.until("innerWidth === 390").await;
    let too_wide = "[...document.querySelectorAll('body *')]
        .filter((one) => { const { left, right } = one.getBoundingClientRect(); return right > 390.5 && left > -500; })
        .map((one) => `${one.tagName} #${one.id} ${one.className} ${one.innerText?.slice(0, 80)}`)";
    assert_eq!(
        page.value("document.documentElement.scrollWidth").await,
        390,
        "{}",
        page.value(too_wide).await
    );
    assert_eq!(page.value(too_wide).await, json!([]), "nothing is cut off");
    page.tab_to("#revisions button[aria-label='Roll back to revision 1']").await;
    page.press("Enter").await;
    page.until("document.getElementById('dialog').open").await;
    assert_eq!(page.value(too_wide).await, json!([]), "nor in the dialog");
}

#[tokio::test]
async fn chromium_has_no_secret_in_the_page() {
    let home = Home::new().await;
    let mut page = home.unlocked().await;
    let written = "document.documentElement.outerHTML
        + [...document.querySelectorAll('input, textarea')].map((one) => one.value).join('\\n')";
    for button in ["Changes of revision 2", "Roll back to revision 1"] {
        page.tab_to(&format!("#revisions button[aria-label='{button}']")).await;
        page.press("Enter").await;
        page.until("document.getElementById('dialog').open").await;
        assert!(page.text("dialog-differences").await.contains("/secrets/theirs"), "{button}: it is told of");
        let written = page.value(written).await;
        let written = written.as_str().expect("a text");
        assert!(written.contains("/secrets/theirs") && !written.contains("hidden-"), "{button}: {written}");
        page.press("Escape").await;
        page.until("!document.getElementById('dialog').open").await;
    }
    assert_eq!(page.value("document.cookie + location.href.includes('hidden-')").await, "false");
    assert_eq!(page.value("localStorage.length").await, 0);
}
