//! The admin API's resources, see docs/openapi.json.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::capabilities::BreakerAction;
use super::extract::{Body, Path, Query};
use super::probing::{ProbeResult, probe_all};
use super::server::{Admin, Caller, Wish};
use super::serving::{ListenerStatus, RouteStatus};
use super::{guard, page};
use crate::base::background::{BackgroundError, in_background};
use crate::config::{self, Differences, edit};
use crate::proxy::Explanation;
use crate::reload::{Ask, Change, Edit, Outcome};
use crate::revision::Revision;

/// Bytes of a request's body: more than a document may have.
const LARGEST: usize = 65 << 20;

/// Everything that can be asked.
pub(super) fn router(admin: Admin) -> Router {
    let open = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/status", get(status));
    let operators = Router::new()
        .route("/v1/config", get(read_all).put(put_all).patch(patch_all))
        .route("/v1/config/{*place}", get(read).put(put).patch(patch).delete(delete))
        .route("/v1/apply", post(apply))
        .route("/v1/plan", post(plan))
        .route("/v1/reload", post(reload))
        .route("/v1/confirm", post(confirm))
        .route("/v1/rollback", post(rollback))
        .route("/v1/explain", post(explain))
        .route("/v1/routes", get(routes))
        .route("/v1/listeners", get(listeners))
        .route("/v1/logs", get(logs))
        .route("/v1/probe", post(probe))
        .route("/v1/revisions", get(revisions))
        .route("/v1/revisions/{number}", get(revision))
        .route("/v1/diff", get(diff))
        .route("/v1/breakers", post(force_breakers))
        .route("/v1/plugins/reset", post(reset_plugin))
        .route("/v1/plugins/trip", post(trip_plugin))
        .route("/v1/backends/drain", post(drain_backend))
        .route("/v1/backends/ready", post(ready_backend))
        .route("/v1/drain", post(drain))
        .route("/v1/upgrade", post(upgrade))
        .layer(DefaultBodyLimit::max(LARGEST))
        .route_layer(middleware::from_fn(guard::only_operators));
    open.merge(page::router())
        .merge(operators)
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this resource")
        })
        .layer(middleware::from_fn_with_state(admin.clone(), guard::admit))
        .with_state(admin)
}

/// Why a request was not done.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Applied { .. } | Self::Unchanged { .. } => StatusCode::OK,
            Self::Conflict { .. } => StatusCode::PRECONDITION_FAILED,
            Self::Rejected { .. } | Self::Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let tag = match &self {
            Self::Applied { revision, .. } | Self::Unchanged { revision } => Some(*revision),
            Self::Conflict { revision, .. } => Some(*revision),
            Self::Rejected { .. } | Self::Failed { .. } => None,
        };
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().extend(tag.map(|revision| (ETAG, tag_of(revision))));
        response
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], admin.sources.metrics())
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Result<Json<super::Status>, Refusal> {
    blocking(move || Json(admin.sources.status())).await
}

/// A request that is to be explained.
#[derive(Deserialize)]
struct Asked {
    #[serde(default = "Asked::usual_method")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

impl Asked {
    fn usual_method() -> String {
        "GET".to_owned()
    }
}

async fn explain(State(admin): State<Admin>, Body(body): Body) -> Result<Json<Explanation>, Refusal> {
    let unfit = |error: &dyn std::fmt::Display| Refusal::new(StatusCode::BAD_REQUEST, error.to_string());
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| unfit(&error))?;
    let request = crate::proxy::question(&asked.method, &asked.url, &asked.headers);
    let request = request.map_err(|error| unfit(&error))?;
    let current = admin.sources.current.load_full();
    blocking(move || Json(crate::proxy::explain(&current, request))).await
}

async fn routes(State(admin): State<Admin>) -> Json<Vec<RouteStatus>> {
    Json(admin.sources.routes())
}

async fn listeners(State(admin): State<Admin>) -> Json<Vec<ListenerStatus>> {
    Json(admin.sources.listeners())
}

/// The access log, as it is written from now on.
async fn logs(State(admin): State<Admin>) -> Result<Response, Refusal> {
    let sink = admin.sources.current.load().access_log.clone();
    let off = || Refusal::new(StatusCode::NOT_FOUND, "the access log is off (`access_log`)");
    let followed = sink.ok_or_else(off)?.follow();
    let lines = futures_util::stream::unfold(followed, async |mut followed| {
        loop {
            match followed.recv().await {
                Ok(lines) => return Some((Ok::<_, std::convert::Infallible>(lines), followed)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(CONTENT_TYPE, kind)], axum::body::Body::from_stream(lines)).into_response())
}

/// Which backends are to be probed.
#[derive(Deserialize)]
struct Probed {
    backend: Option<String>,
    route: Option<String>,
}

async fn probe(
    State(admin): State<Admin>,
    Query(probed): Query<Probed>,
) -> Result<Json<Vec<ProbeResult>>, Refusal> {
    let members = admin.sources.members(probed.backend.as_deref(), probed.route.as_deref());
    if members.is_empty() {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no backend has this host, or no route this pattern",
        ));
    }
    Ok(Json(probe_all(members).await))
}

/// What may be said with every change.
#[derive(Debug, Default, Deserialize)]
struct Why {
    #[serde(default)]
    message: String,
    /// How long a change is on trial.
    confirm: Option<String>,
    revision: Option<u64>,
}

/// Who asks for a change, what is said with it, and of which revision.
type Changing = (State<Admin>, Extension<Caller>, Query<Why>, HeaderMap);

async fn apply(changing: Changing, Body(body): Body) -> Result<Outcome, Refusal> {
    let text = match config::text(&body) {
        Ok(text) => text.to_owned(),
        Err(diagnostic) => return Ok(Outcome::Rejected { diagnostics: vec![diagnostic] }),
    };
    let trial = changing.2.0.confirm.as_deref().map(trial).transpose()?;
    change(changing, Change::Apply { text, trial }).await
}

/// How long something may be on trial.
fn trial(text: &str) -> Result<Duration, Refusal> {
    let most = Duration::from_secs(60 * 60);
    let allowed = humantime::parse_duration(text)
        .ok()
        .filter(|allowed| (Duration::from_secs(1)..=most).contains(allowed));
    allowed.ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("expected `confirm` from `1s` to `1h`, found `{text}`"))
    })
}

async fn plan(State(admin): State<Admin>, Body(body): Body) -> Result<Response, Refusal> {
    let text = match config::text(&body) {
        Ok(text) => text.to_owned(),
        Err(diagnostic) => return Ok(Outcome::Rejected { diagnostics: vec![diagnostic] }.into_response()),
    };
    Ok(match admin.requests.plan(text).await.ok_or_else(Refusal::stopping)? {
        Ok(plan) => Json(plan).into_response(),
        Err(refused) => refused.into_response(),
    })
}

async fn reload(changing: Changing) -> Result<Outcome, Refusal> {
    change(changing, Change::Reload).await
}

async fn confirm(changing: Changing) -> Result<Outcome, Refusal> {
    change(changing, Change::Confirm).await
}

async fn rollback(changing: Changing) -> Result<Outcome, Refusal> {
    let revision = changing.2.0.revision;
    change(changing, Change::Rollback { revision }).await
}

async fn read_all(admin: State<Admin>) -> Result<Response, Refusal> {
    read(admin, Path(String::new())).await
}

async fn read(State(admin): State<Admin>, Path(place): Path<String>) -> Result<Response, Refusal> {
    let served = admin.sources.ledger.served();
    let document = parsed(&served.text)?;
    let found = edit::get(&document, &pointer(&place))
        .map_err(|error| Refusal::new(StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(([(ETAG, tag_of(served.revision))], Json(found)).into_response())
}

async fn put_all(changing: Changing, Body(body): Body) -> Result<Outcome, Refusal> {
    edit_at(changing, String::new(), Edit::Put(value(&body)?)).await
}

async fn patch_all(changing: Changing, Body(body): Body) -> Result<Outcome, Refusal> {
    edit_at(changing, String::new(), Edit::Patch(value(&body)?)).await
}

async fn put(changing: Changing, Path(place): Path<String>, Body(body): Body) -> Result<Outcome, Refusal> {
    edit_at(changing, place, Edit::Put(value(&body)?)).await
}

async fn patch(changing: Changing, Path(place): Path<String>, Body(body): Body) -> Result<Outcome, Refusal> {
    edit_at(changing, place, Edit::Patch(value(&body)?)).await
}

async fn delete(changing: Changing, Path(place): Path<String>) -> Result<Outcome, Refusal> {
    edit_at(changing, place, Edit::Delete).await
}

async fn edit_at(changing: Changing, place: String, edit: Edit) -> Result<Outcome, Refusal> {
    change(changing, Change::Edit { pointer: pointer(&place), edit }).await
}

async fn change(changing: Changing, change: Change) -> Result<Outcome, Refusal> {
    let (State(admin), Extension(caller), Query(why), headers) = changing;
    let ask = Ask { change, if_match: if_match(&headers)?, author: caller.name, message: why.message };
    admin.requests.change(ask).await.ok_or_else(Refusal::stopping)
}

/// RFC 9110, section 13.1.1, for tags that are numbers of revisions.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(tag) = headers.get(IF_MATCH).filter(|tag| *tag != "*") else { return Ok(None) };
    let number = tag.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok());
    let message = "expected `If-Match` with the number of a revision, such as `\"7\"`";
    number.map(Some).ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, message))
}

fn tag_of(revision: u64) -> HeaderValue {
    crate::message::exchange::field_value(format!("\"{revision}\""))
}

async fn revisions(State(admin): State<Admin>) -> Json<Vec<Revision>> {
    Json(admin.sources.ledger.revisions())
}

/// A revision with its document, without its secrets.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    revision: Revision,
    document: Value,
}

async fn revision(State(admin): State<Admin>, Path(number): Path<u64>) -> Result<Json<Whole>, Refusal> {
    let (revision, mut document) = remembered(&admin, number).await?;
    config::redact(&mut document);
    Ok(Json(Whole { revision, document }))
}

#[derive(Deserialize)]
struct Between {
    from: u64,
    to: Option<u64>,
}

async fn diff(State(admin): State<Admin>, Query(between): Query<Between>) -> Result<Response, Refusal> {
    let (_, from) = remembered(&admin, between.from).await?;
    let to = match between.to {
        Some(number) => remembered(&admin, number).await?.1,
        None => parsed(&admin.sources.ledger.served().text)?,
    };
    Ok(Json(Differences::between(&from, &to).redacted()).into_response())
}

async fn remembered(admin: &Admin, number: u64) -> Result<(Revision, Value), Refusal> {
    let ledger = std::sync::Arc::clone(&admin.sources.ledger);
    let found = blocking(move || ledger.revision(number)).await?;
    let found = found.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let none = || Refusal::new(StatusCode::NOT_FOUND, format!("revision {number} is not remembered"));
    let (revision, text) = found.ok_or_else(none)?;
    Ok((revision, parsed(&text)?))
}

#[derive(Deserialize)]
struct Forced {
    name: String,
    action: BreakerAction,
}

async fn force_breakers(
    State(admin): State<Admin>,
    Query(forced): Query<Forced>,
) -> Result<Json<Value>, Refusal> {
    let count = admin.sources.force_breakers(&forced.name, forced.action);
    changed(count, "no plugin has opened a breaker of this name, and none with this key has seen a request")
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn reset_plugin(
    State(admin): State<Admin>,
    Query(named): Query<Named>,
) -> Result<Json<Value>, Refusal> {
    changed(admin.sources.reset_plugin(&named.name), "no plugin of this name is attached")
}

async fn trip_plugin(State(admin): State<Admin>, Query(named): Query<Named>) -> Result<Json<Value>, Refusal> {
    changed(admin.sources.trip_plugin(&named.name), "no plugin of this name is attached")
}

#[derive(Deserialize)]
struct Hosted {
    host: String,
}

async fn drain_backend(
    State(admin): State<Admin>,
    Query(hosted): Query<Hosted>,
) -> Result<Json<Value>, Refusal> {
    changed(admin.sources.drain_backend(&hosted.host, true), "no backend has this host")
}

async fn ready_backend(
    State(admin): State<Admin>,
    Query(hosted): Query<Hosted>,
) -> Result<Json<Value>, Refusal> {
    changed(admin.sources.drain_backend(&hosted.host, false), "no backend has this host")
}

async fn drain(State(admin): State<Admin>) -> Result<Json<Value>, Refusal> {
    admin.wishes.send(Wish::End).await.map_err(|_| Refusal::stopping())?;
    Ok(Json(json!({ "message": "stopping: no more connections, and what is in flight is finished" })))
}

#[derive(Deserialize)]
struct Program {
    program: Option<std::path::PathBuf>,
}

async fn upgrade(
    State(admin): State<Admin>,
    Query(Program { program }): Query<Program>,
) -> Result<Json<Value>, Refusal> {
    let (answer, replaced) = tokio::sync::oneshot::channel();
    admin.wishes.send(Wish::Replace(program, answer)).await.map_err(|_| Refusal::stopping())?;
    let process = replaced.await.map_err(|_| Refusal::stopping())?;
    let process = process.map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    Ok(Json(json!({ "process": process })))
}

/// The answer to a change of so many things.
fn changed(count: usize, none: &str) -> Result<Json<Value>, Refusal> {
    match count {
        0 => Err(Refusal::new(StatusCode::NOT_FOUND, none)),
        count => Ok(Json(json!({ "changed": count }))),
    }
}

fn pointer(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("/{place}") }
}

fn value(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))
}

fn parsed(text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed = |error: BackgroundError| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    in_background(work).await.map_err(failed)
}
