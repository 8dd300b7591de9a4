//! Requests to other servers.

use std::time::Duration;

use wasmtime::format_err;

use super::Host;
use crate::capability::outbound as live;
use crate::plugin::bindings::http::{self, HttpError, Request, Response};

impl http::Host for Host {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        if self.exchange.is_none() {
            return Ok(Err(HttpError::Invalid(
                "requests are sent for a request, not in `configure`".to_owned(),
            )));
        }
        let plugin = &self.attachment.plugin;
        let outbound = plugin.granted.outbound.as_ref();
        let outbound = outbound.ok_or_else(|| format_err!("the permission `http` is not granted"))?;
        let request = live::Request {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            timeout: request.timeout.map(Duration::from_nanos),
        };
        Ok(outbound.send(request).await.map(guest_response).map_err(guest_error))
    }
}

fn guest_response(response: live::Response) -> Response {
    Response { status: response.status, headers: response.headers, body: response.body }
}

fn guest_error(error: live::HttpError) -> HttpError {
    match error {
        live::HttpError::Denied(words) => HttpError::Denied(words),
        live::HttpError::Invalid(words) => HttpError::Invalid(words),
        live::HttpError::Timeout => HttpError::Timeout,
        live::HttpError::Connect(words) => HttpError::Connect(words),
        live::HttpError::TooLarge => HttpError::TooLarge,
        live::HttpError::Busy => HttpError::Busy,
        live::HttpError::Failed(words) => HttpError::Failed(words),
    }
}
