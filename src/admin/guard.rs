//! Who may ask for what, before any resource is asked.
//!
//! A browser is a danger of its own: it sends what other sites' pages tell it to, from a machine that may reach the
//! admin address. Such pages cannot read what is answered, unless a name of theirs is made to stand for this address
//! (DNS rebinding), which `Host` tells; and they cannot change anything, which `Origin` and `Sec-Fetch-Site` tell.

use std::net::IpAddr;

use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::Refusal;
use super::server::{Access, Admin, Caller};

/// Turns away what other sites make browsers ask, and gives who shows the token at the address what it opens.
pub(super) async fn admit(
    State(admin): State<Admin>,
    Extension(mut caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = check_site(request.method(), request.headers()) {
        return refusal.into_response();
    }
    if caller.access == Access::Observe {
        if let Err(refusal) = check_host(&request) {
            return refusal.into_response();
        }
        match shown_token(request.headers()) {
            None => {}
            Some(shown) if admin.opens(shown) => caller.access = Access::Full,
            Some(_) => {
                let refusal =
                    Refusal::new(StatusCode::UNAUTHORIZED, "this is not the document's `admin.token`");
                return ([(WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
            }
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Lets nobody else at the operator's resources.
pub(super) async fn only_operators(
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match caller.access {
        Access::Full => next.run(request).await,
        Access::Observe => {
            let message = "the operator's resources are on the admin socket, and here for who sends the \
                           document's `admin.token` as a bearer token";
            Refusal::new(StatusCode::FORBIDDEN, message).into_response()
        }
    }
}

/// What changes something comes from a page of this address, if it comes from a page.
fn check_site(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method.is_safe() {
        return Ok(());
    }
    let host = headers.get(HOST).map(|host| host.as_bytes());
    let is_own = |origin: &[u8]| {
        let place = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        place.zip(host).is_some_and(|(place, host)| place.eq_ignore_ascii_case(host))
    };
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_foreign_site = matches!(site, Some(b"cross-site" | b"same-site"));
    if is_foreign_site || !headers.get_all(ORIGIN).iter().all(|origin| is_own(origin.as_bytes())) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a page of another site may not change anything here",
        ));
    }
    Ok(())
}

/// Nobody else's name can be made to stand for an IP address or for `localhost`. Programs may leave `Host` out, browsers
/// never do. What is scraped and probed, often by a name, tells a page nothing that is worth the trick.
fn check_host(request: &Request) -> Result<(), Refusal> {
    if matches!(request.uri().path(), "/metrics" | "/healthz" | "/readyz") {
        return Ok(());
    }
    let hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let target = request.uri().authority().map(Authority::as_str);
    if hosts.chain(target).all(is_own_host) {
        return Ok(());
    }
    let message = "`Host` is a name that anybody could have given this address: ask for its IP address or for \
                   `localhost`";
    Err(Refusal::new(StatusCode::FORBIDDEN, message))
}

fn is_own_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// RFC 6750, section 2.1. Credentials of other schemes are for somebody in front of the gateway.
fn shown_token(headers: &HeaderMap) -> Option<&[u8]> {
    let credentials = headers.get(AUTHORIZATION)?.as_bytes();
    let end = credentials.iter().position(|byte| *byte == b' ').unwrap_or(credentials.len());
    let (scheme, token) = credentials.split_at(end);
    scheme.eq_ignore_ascii_case(b"Bearer").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_own_hosts() {
        let own =
            ["127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]", "10.1.2.3:9901", "localhost", "LocalHost:1"];
        for host in own {
            assert!(is_own_host(host), "{host}");
        }
        let others = [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "127.1",
            "0x7f000001",
            "::1",
            "a b",
        ];
        for host in others {
            assert!(!is_own_host(host), "{host}");
        }
    }

    #[test]
    fn changes_come_from_pages_of_the_same_address() {
        let check = |method: Method, fields: &[(&'static str, &'static str)], expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().expect("a value"));
            }
            assert_eq!(check_site(&method, &headers).is_ok(), expected, "{method} {fields:?}");
        };
        let host = ("host", "127.0.0.1:9901");
        check(Method::POST, &[host], true);
        check(
            Method::POST,
            &[host, ("origin", "http://127.0.0.1:9901"), ("sec-fetch-site", "same-origin")],
            true,
        );
        check(Method::POST, &[host, ("origin", "http://127.0.0.1:9902")], false);
        check(Method::POST, &[host, ("origin", "http://evil.example")], false);
        check(Method::DELETE, &[host, ("origin", "null")], false);
        check(Method::PUT, &[("origin", "http://127.0.0.1:9901")], false);
        check(Method::POST, &[host, ("sec-fetch-site", "cross-site")], false);
        check(Method::POST, &[host, ("sec-fetch-site", "none")], true);
        check(
            Method::GET,
            &[host, ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")],
            true,
        );
    }
}
