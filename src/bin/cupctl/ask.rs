//! Requests to the admin API.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, IF_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// A gateway that can be asked.
pub struct Gateway {
    pub place: Place,
}

/// Where its admin API is.
pub enum Place {
    Socket(PathBuf),
    Address(Address),
}

/// An address, and what opens it.
pub struct Address {
    pub url: String,
    pub token: Option<String>,
    pub ca: Option<PathBuf>,
    pub identity: Option<PathBuf>,
}

/// What it has answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// A request, of which most have no more than a path.
pub struct Question<'a> {
    method: Method,
    path: String,
    if_match: Option<u64>,
    body: &'a [u8],
}

impl<'a> Question<'a> {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), if_match: None, body: &[] }
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self { method: Method::POST, ..Self::get(path) }
    }

    /// With these parameters, those of them that have a value.
    pub fn with<'v>(mut self, parameters: impl IntoIterator<Item = (&'v str, Option<String>)>) -> Self {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        let query = query.finish();
        if !query.is_empty() {
            self.path = format!("{}?{query}", self.path);
        }
        self
    }

    /// Only if this is the running revision.
    pub fn if_match(self, revision: Option<u64>) -> Self {
        Self { if_match: revision, ..self }
    }

    pub fn body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }
}

impl Gateway {
    /// Sends a request and reads the answer to its end.
    pub fn ask(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(exchange(&self.place, question))
    }

    /// Sends a request and hands on each line of an answer that does not end.
    pub fn follow(&self, question: &Question<'_>, each: impl FnMut(&str)) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(follow(&self.place, question, each))
    }

    /// The same as [`Self::ask`], for an answer that is to be read further.
    pub fn read<T: DeserializeOwned>(&self, question: &Question<'_>) -> anyhow::Result<T> {
        self.ask(question)?.read()
    }
}

impl Answer {
    /// What a good answer says, or what the gateway has against the request.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if !self.status.is_success() {
            anyhow::bail!("{}", self.complaint());
        }
        serde_json::from_slice(&self.body).context("the gateway's answer cannot be read")
    }

    /// The message of an answer that is not good.
    pub fn complaint(&self) -> String {
        let said: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match said["message"].as_str() {
            Some(message) => message.to_owned(),
            None => format!("the gateway answered with {}: {}", self.status, self.text().trim()),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn exchange(place: &Place, question: &Question<'_>) -> anyhow::Result<Answer> {
    let response = send(place, question).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body })
}

async fn follow(place: &Place, question: &Question<'_>, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let response = send(place, question).await?;
    let (status, mut body) = (response.status(), response.into_body());
    if !status.is_success() {
        let body = body.collect().await?.to_bytes();
        anyhow::bail!("{}", Answer { status, body }.complaint());
    }
    let mut gathered = Vec::new();
    while let Some(frame) = body.frame().await {
        gathered.extend_from_slice(frame?.data_ref().map_or(&[], |data| &data[..]));
        while let Some(end) = gathered.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = gathered.drain(..=end).collect();
            each(String::from_utf8_lossy(&line).trim_end());
        }
    }
    Ok(())
}

/// The body of an answer, as it comes.
type Told = UnsyncBoxBody<Bytes, anyhow::Error>;

async fn send(place: &Place, question: &Question<'_>) -> anyhow::Result<Response<Told>> {
    let (root, token) = match place {
        Place::Socket(_) => ("", None),
        Place::Address(address) => (address.url.trim_end_matches('/'), address.token.as_ref()),
    };
    let mut request = Request::builder().method(&question.method).uri(format!("{root}{}", question.path));
    if let Some(revision) = question.if_match {
        request = request.header(IF_MATCH, format!("\"{revision}\""));
    }
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = Bytes::copy_from_slice(question.body);
    match place {
        Place::Socket(socket) => {
            let request = request.header(HOST, "localhost").body(Full::new(body))?;
            while_telling(send_to_socket(socket, request)).await
        }
        Place::Address(address) => {
            let client = address.client()?;
            while_telling(send_to_address(&client, request.body(body)?, &address.url)).await
        }
    }
}

/// The connection ends with the response's body.
async fn send_to_socket(socket: &Path, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Told>> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no gateway answers on {} (--socket or --address names another one)", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime, which is this command's")]
    drop(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()))
}

async fn send_to_address(
    client: &reqwest::Client,
    request: Request<Bytes>,
    url: &str,
) -> anyhow::Result<Response<Told>> {
    let sent = client.execute(request.try_into()?).await;
    let response: Response<reqwest::Body> =
        sent.with_context(|| format!("no gateway answers at {url}"))?.into();
    Ok(response.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()))
}

impl Address {
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(path) = &self.ca {
            let unfit = || format!("{} is no PEM file of certificates", path.display());
            let roots = reqwest::Certificate::from_pem_bundle(&read(path)?).with_context(unfit)?;
            builder = builder.tls_certs_only(roots);
        }
        if let Some(path) = &self.identity {
            let unfit = || format!("{} is no PEM file of a certificate and its key", path.display());
            builder = builder.identity(reqwest::Identity::from_pem(&read(path)?).with_context(unfit)?);
        }
        Ok(builder.build()?)
    }
}

/// Tells people every second that something takes its time.
async fn while_telling<T>(waiting: impl Future<Output = T>) -> T {
    let mut waiting = pin!(waiting);
    let is_watched = std::io::stderr().is_terminal();
    for seconds in 1.. {
        match tokio::time::timeout(Duration::from_secs(1), &mut waiting).await {
            Ok(answer) => return answer,
            Err(_) if is_watched => eprint!("\rthe gateway is at it for {seconds} s \x1b[K"),
            Err(_) => {}
        }
    }
    waiting.await
}
