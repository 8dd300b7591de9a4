//! What requests say, with refusals in the API's own form.

use axum::body::Bytes as Whole;
use axum::extract::{FromRequest, FromRequestParts, Path as Matched, Query as Parsed, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::api::Refusal;

/// The query.
pub(super) struct Query<T>(pub T);

/// What the parameters of the path stand for.
pub(super) struct Path<T>(pub T);

/// The body, whole.
pub(super) struct Body(pub Whole);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parsed = Parsed::from_request_parts(parts, state).await;
        parsed.map(|Parsed(said)| Self(said)).map_err(|wrong| Refusal::new(wrong.status(), wrong.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let matched = Matched::from_request_parts(parts, state).await;
        matched
            .map(|Matched(said)| Self(said))
            .map_err(|wrong| Refusal::new(wrong.status(), wrong.body_text()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let whole = Whole::from_request(request, state).await;
        whole.map(Self).map_err(|wrong| Refusal::new(wrong.status(), wrong.body_text()))
    }
}
