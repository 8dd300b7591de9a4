//! Getting keys over HTTP: a key set (RFC 7517), or the issuer's metadata first (OpenID Connect Discovery 1.0).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::json::read_object;
use super::jwk::{JwksError, read_jwks};
use super::keys::Key;
use super::{Algorithm, Source};
use crate::capability::outbound::{HttpError, Outbound, Request, Response};

/// Keys that have a URL.
#[derive(Clone)]
pub(super) struct Remote {
    outbound: Arc<Outbound>,
    place: Place,
    algorithms: Vec<Algorithm>,
    /// The URL that the keys in use came from, and their `ETag`.
    tag: Option<(String, String)>,
}

#[derive(Clone)]
enum Place {
    Jwks(String),
    Issuer(String),
}

/// What came, and for how long it is said to be good.
pub(super) struct Fetched {
    /// None: the same as last time.
    pub(super) keys: Option<Vec<Key>>,
    pub(super) lifetime: Option<Duration>,
}

/// Why no keys came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("expected status 200, found {0}")]
    Status(u16),
    #[error("expected metadata with `issuer` and `jwks_uri`")]
    NotMetadata,
    #[error("the metadata are those of another issuer")]
    OtherIssuer,
    #[error("the issuer has `https`, and its `jwks_uri` has not")]
    NotHttps,
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

impl Remote {
    /// None for keys that are in the document.
    pub(super) fn new(source: &Source, algorithms: &[Algorithm], outbound: Arc<Outbound>) -> Option<Self> {
        let place = match source {
            Source::Jwks { url } => Place::Jwks(url.clone()),
            Source::Discovery { issuer_url } => Place::Issuer(issuer_url.clone()),
            Source::JwksText(_) | Source::Pem(_) | Source::Secret(_) => return None,
        };
        Some(Self { outbound, place, algorithms: algorithms.to_vec(), tag: None })
    }

    /// Fetches the keys. A set without a usable key is an error: it would shut everybody out.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let url = match &self.place {
            Place::Jwks(url) => url.clone(),
            Place::Issuer(issuer) => self.discover(issuer).await?,
        };
        let tag = self.tag.as_ref().filter(|(of, _)| *of == url).map(|(_, tag)| tag.clone());
        let response = self.get(&url, tag.as_deref()).await?;
        let lifetime = lifetime(&response);
        match response.status {
            304 if tag.is_some() => return Ok(Fetched { keys: None, lifetime }),
            200 => {}
            status => return Err(FetchError::Status(status)),
        }
        let keys = read_jwks(&response.body, &self.algorithms)?;
        self.tag = response.header("etag").map(|tag| (url, tag.to_owned()));
        Ok(Fetched { keys: Some(keys), lifetime })
    }

    /// The URL of the issuer's keys; asked for each time, since an issuer may move them.
    async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let response = self.get(&format!("{base}/.well-known/openid-configuration"), None).await?;
        if response.status != 200 {
            return Err(FetchError::Status(response.status));
        }
        let metadata = read_object(&response.body).ok_or(FetchError::NotMetadata)?;
        let member = |name: &str| metadata.get(name).and_then(Value::as_str).ok_or(FetchError::NotMetadata);
        if member("issuer")? != issuer {
            return Err(FetchError::OtherIssuer);
        }
        let url = member("jwks_uri")?;
        if is_https(issuer) && !is_https(url) {
            return Err(FetchError::NotHttps);
        }
        Ok(url.to_owned())
    }

    async fn get(&self, url: &str, tag: Option<&str>) -> Result<Response, HttpError> {
        let mut headers = vec![("accept".to_owned(), b"application/json, application/jwk-set+json".to_vec())];
        headers.extend(tag.map(|tag| ("if-none-match".to_owned(), tag.as_bytes().to_vec())));
        let method = "GET".to_owned();
        self.outbound
            .send(Request { method, url: url.to_owned(), headers, body: Vec::new(), timeout: None })
            .await
    }
}

fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// How long a response is fresh (RFC 9111 section 4.2); none where it does not say.
fn lifetime(response: &Response) -> Option<Duration> {
    let control = response.header("cache-control")?.to_ascii_lowercase();
    let mut directives = control.split(',').map(str::trim);
    if directives.clone().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    let seconds: u64 = seconds.trim_matches('"').parse().ok()?;
    let age = response.header("age").and_then(|age| age.parse().ok()).unwrap_or(0);
    Some(Duration::from_secs(seconds.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lifetimes() {
        let check = |control: &str, age: &str, expected: Option<u64>| {
            let headers = [("cache-control", control), ("age", age)].map(|(n, v)| (n.to_owned(), v.into()));
            let response = Response { status: 200, headers: headers.to_vec(), body: Vec::new() };
            assert_eq!(lifetime(&response), expected.map(Duration::from_secs), "{control}");
        };
        check("public, max-age=600", "", Some(600));
        check("Max-Age=\"600\", must-revalidate", "100", Some(500));
        check("max-age=10", "99", Some(0));
        check("no-cache, max-age=600", "", Some(0));
        check("max-age=-1", "", None);
        check("max-age=99999999999999999999999", "", None);
        check("public", "", None);
    }
}
