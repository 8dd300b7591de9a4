//! What a backend answers to a GET.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use memchr::memmem;

use super::failed;
use crate::base::transport::Transport;
use crate::upstream::connect::Connected;
use crate::upstream::{ConnectError, Endpoint, connect};

/// How much of a body is looked at.
const LOOKED_AT: usize = 4096;

/// A request, and which answers are good.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpProbe {
    /// Path and query.
    pub path: String,
    /// None is the backend's own.
    pub host: Option<HeaderValue>,
    /// Further fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// One of them has the status.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// What stands in the body.
    pub body: Option<String>,
}

impl HttpProbe {
    pub(super) async fn check(&self, endpoint: &Endpoint, allowed: Duration) -> Result<(), ConnectError> {
        match connect(endpoint, endpoint.dial.protocol, None, allowed.into()).await? {
            Connected::Http1(transport) => self.ask_http1(transport, endpoint).await,
            Connected::Http2(transport) => self.ask_http2(transport, endpoint).await,
            Connected::Http3(_) => Err(ConnectError::Protocol),
        }
    }

    async fn ask_http1(&self, transport: Transport, endpoint: &Endpoint) -> Result<(), ConnectError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(transport)).await.map_err(failed)?;
        let mut request = self.request(&self.path, endpoint)?;
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let asking = async {
            let mut answer = sender.send_request(request).await.map_err(failed)?;
            let mut told = BytesMut::new();
            while self.wants_more(answer.status(), &told)
                && let Some(frame) = answer.body_mut().frame().await
            {
                told.extend(frame.map_err(failed)?.into_data().ok());
            }
            self.judge(&answer, &told)
        };
        tokio::pin!(asking);
        tokio::select! {
            // It ends by itself when the answer is complete, and then that can be read still.
            ended = connection => match ended {
                Ok(()) => asking.await,
                Err(error) => Err(failed(error)),
            },
            judged = &mut asking => judged,
        }
    }

    async fn ask_http2(&self, transport: Transport, endpoint: &Endpoint) -> Result<(), ConnectError> {
        let (sender, connection) = client::handshake(transport).await.map_err(failed)?;
        let asking = async {
            let mut sender = sender.ready().await.map_err(failed)?;
            let scheme = if endpoint.dial.tls.is_some() { "https" } else { "http" };
            let host = self.host.as_ref().unwrap_or(&endpoint.own_host);
            let host = host.to_str().map_err(failed)?;
            let mut request = self.request(&format!("{scheme}://{host}{}", self.path), endpoint)?;
            request.headers_mut().remove(header::HOST);
            *request.version_mut() = Version::HTTP_2;
            let (answer, _) = sender.send_request(request.map(|_| ()), true).map_err(failed)?;
            let mut answer = answer.await.map_err(failed)?;
            let mut told = BytesMut::new();
            while self.wants_more(answer.status(), &told)
                && let Some(data) = answer.body_mut().data().await
            {
                told.extend(Some(data.map_err(failed)?));
            }
            self.judge(&answer, &told)
        };
        tokio::select! {
            ended = connection => Err(failed(format!("the connection ended: {ended:?}"))),
            judged = asking => judged,
        }
    }

    fn request(&self, target: &str, endpoint: &Endpoint) -> Result<Request<Empty<Bytes>>, ConnectError> {
        let host = self.host.as_ref().unwrap_or(&endpoint.own_host);
        let mut request = Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, "cloud-cup health check")
            .body(Empty::new())
            .map_err(failed)?;
        request.headers_mut().extend(self.headers.iter().cloned());
        Ok(request)
    }

    fn is_wanted(&self, status: StatusCode) -> bool {
        self.statuses.iter().any(|range| range.contains(&status.as_u16()))
    }

    fn wants_more(&self, status: StatusCode, told: &[u8]) -> bool {
        self.body.is_some() && self.is_wanted(status) && told.len() < LOOKED_AT
    }

    fn judge<T>(&self, answer: &Response<T>, told: &[u8]) -> Result<(), ConnectError> {
        if !self.is_wanted(answer.status()) {
            return Err(failed(format!("it answered with status {}", answer.status().as_u16())));
        }
        let looked_at = &told[..told.len().min(LOOKED_AT)];
        match &self.body {
            Some(body) if memmem::find(looked_at, body.as_bytes()).is_none() => {
                Err(failed("its answer has not the text that was expected"))
            }
            _ => Ok(()),
        }
    }
}
