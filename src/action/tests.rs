//! Facts and variables for the tests of this module.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::{Facts, Scope};

pub(super) const EVERY: &str = "${client.address} ${client.port} ${scheme} ${method} ${host} ${path} ${query} ${route} \
    ${protocol} ${header.x-a} ${cookie.c} ${query.q} ${parameter.id} ${attribute.jwt.sub} ${status} ${backend}";

/// Facts whose texts are these, where they can be any.
pub(super) fn with_facts<T>(text: &str, query: &str, look: impl FnOnce(&Facts<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    for value in [text, "2"] {
        if let Ok(value) = value.parse() {
            headers.append("x-a", value);
        }
    }
    if let Ok(cookie) = format!("b=1; c={text}").parse() {
        headers.append("cookie", cookie);
    }
    look(&Facts {
        client: "192.0.2.1:5000".parse().unwrap(),
        scheme: "http",
        protocol: "HTTP/1.1",
        method: &Method::GET,
        host: "a.example",
        port: Some(8080),
        path: "/users/a%20b/x",
        query: Some(query),
        route: "/users/{id}/*",
        headers: &headers,
        parameters: &[(Arc::from("id"), "a%20b".to_owned())],
        attributes: &[("jwt.sub".to_owned(), text.to_owned())],
        status: Some(StatusCode::NOT_FOUND),
        backend: Some("127.0.0.1:81"),
    })
}

pub(super) const SCOPE: Scope<'static> = Scope { parameters: &["id"], has_response: true };
