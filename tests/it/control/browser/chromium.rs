//! A Chromium without a window, told what to do by its DevTools protocol over a pipe: JSON with a NUL byte behind it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Browsers are slower than what a test waits for elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// More steps of the Tab key than a page has stops.
const STOPS: usize = 100;

/// One page of a browser of its own. Dropping it ends the browser.
pub struct Page {
    asks: ChildStdin,
    told: BufReader<ChildStdout>,
    session: Option<String>,
    asked: u64,
    /// What happened, as it was told of.
    pub events: Vec<Value>,
    _process: Child,
    _profile: TempDir,
}

impl Page {
    /// A page with nothing on it.
    pub async fn start() -> Self {
        let program = std::env::var_os("CLOUDCUP_CHROMIUM");
        let program = program.expect("CLOUDCUP_CHROMIUM names no Chromium: run `cargo xtask test`");
        let profile = TempDir::new().expect("a temporary folder");
        // The protocol is spoken on the descriptors 3 and 4, which only a shell gives to a program without ado.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"]).arg(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("there is a shell");
        let mut page = Self {
            asks: process.stdin.take().expect("it is piped"),
            told: BufReader::new(process.stdout.take().expect("it is piped")),
            session: None,
            asked: 0,
            events: Vec::new(),
            _process: process,
            _profile: profile,
        };
        let target = page.ask("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.ask("Target.attachToTarget", attach).await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Audits", "Network"] {
            page.ask(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    /// Calls a method of the protocol and returns its result.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let asking = async {
            let bytes = [message.to_string().as_bytes(), b"\0"].concat();
            self.asks.write_all(&bytes).await.expect("the browser listens");
            loop {
                let told = self.read().await;
                match told["id"].as_u64() {
                    None => self.events.push(told),
                    Some(id) if id == self.asked => return told,
                    Some(_) => {}
                }
            }
        };
        let told = timeout(PATIENCE, asking).await;
        let mut told = told.unwrap_or_else(|_| panic!("the browser does not answer {message}"));
        assert!(told["error"].is_null(), "{message}: {told}");
        told["result"].take()
    }

    async fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.told.read_until(0, &mut bytes).await.expect("the browser speaks");
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).expect("it speaks JSON")
    }

    /// Goes to an address.
    pub async fn open(&mut self, url: &str) {
        let opened = self.ask("Page.navigate", json!({ "url": url })).await;
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until("document.readyState === 'complete'").await;
    }

    /// What an expression of JavaScript is there.
    pub async fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut told = self.ask("Runtime.evaluate", params).await;
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].take()
    }

    /// The text that is shown of the element that has this id.
    pub async fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById('{id}').innerText")).await;
        text.as_str().unwrap_or_else(|| panic!("{id} has a text: {text}")).to_owned()
    }

    /// Waits, in the page, until an expression holds there.
    pub async fn until(&mut self, expression: &str) {
        let look = format!(
            "new Promise((done) => {{ const look = () => ({expression}) ? done(true) : setTimeout(look, 20); look(); }})"
        );
        self.value(&look).await;
    }

    /// Presses a key: `Tab`, `Enter` or `Escape`.
    pub async fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            _ => panic!("what is the code of {key}?"),
        };
        let mut event =
            json!({ "type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            event["type"] = json!("keyDown");
            event["text"] = json!(text);
        }
        self.ask("Input.dispatchKeyEvent", event.clone()).await;
        event["type"] = json!("keyUp");
        self.ask("Input.dispatchKeyEvent", event).await;
    }

    /// Writes where the focus is.
    pub async fn write(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses Tab until the focus is on what this selects.
    pub async fn tab_to(&mut self, selector: &str) {
        let is_there = format!("document.activeElement.matches({})", json!(selector));
        for _ in 0..STOPS {
            self.press("Tab").await;
            if self.value(&is_there).await == true {
                return;
            }
        }
        panic!("the Tab key does not lead to {selector}");
    }

    /// The parameters of the events of this name so far.
    pub fn events(&self, name: &str) -> Vec<&Value> {
        let events = self.events.iter().filter(|event| event["method"] == name);
        events.map(|event| &event["params"]).collect()
    }
}
