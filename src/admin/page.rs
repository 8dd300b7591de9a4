//! The page for people: three files that lie in the binary, which ask the API by themselves.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

use super::server::Admin;

/// Scripts and styles are those of this address, nothing else is loaded or sent anywhere, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/", get(async || file("text/html", include_str!("page/index.html"))))
        .route("/page.css", get(async || file("text/css", include_str!("page/page.css"))))
        .route("/page.js", get(async || file("text/javascript", include_str!("page/page.js"))))
}

fn file(kind: &str, text: &'static str) -> impl IntoResponse {
    let fields = [
        (CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        // The next version of the gateway has another page at the same place.
        (CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (fields, text)
}
