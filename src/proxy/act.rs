//! What a rule does with an exchange beside forwarding it: its redirect or reply, and its edits.

use http::uri::{PathAndQuery, Uri};
use http::{HeaderName, HeaderValue, header};

use super::Failure;
use crate::action::{Content, Edits, ErrorPages, Facts, Redirect, Reply, RewriteError};
use crate::message::exchange::field_value;
use crate::message::grpc::is_grpc;
use crate::message::{Body, Exchange, ResponseHead};
use crate::upstream::Member;

/// Fields that describe a body which is no longer there (RFC 9110, section 8).
const OF_REPRESENTATIONS: [HeaderName; 12] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_DISPOSITION,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// What can be written of an exchange into others' fields. Its fields are complete.
pub(super) fn facts<'e>(exchange: &'e Exchange, backend: Option<&'e Member>) -> Facts<'e> {
    let port = exchange.authority().get(exchange.host_name_length..).and_then(|port| port.strip_prefix(':'));
    Facts {
        client: exchange.client.address,
        scheme: exchange.client.scheme(),
        protocol: exchange.client.protocol(),
        method: &exchange.method,
        host: exchange.host_name(),
        port: port.and_then(|port| port.parse().ok()),
        path: exchange.path(),
        query: exchange.uri.query(),
        route: exchange.route.as_deref().unwrap_or_default(),
        headers: &exchange.headers,
        parameters: &exchange.parameters,
        attributes: &exchange.attributes,
        status: exchange.response.as_ref().map(|response| response.status),
        backend: backend.map(|member| member.endpoint.host.as_str()),
    }
}

/// Sends the client elsewhere.
pub(super) fn redirect(
    redirect: &Redirect,
    exchange: &mut Exchange,
) -> Result<(ResponseHead, Body), Failure> {
    exchange.complete_headers();
    let location = redirect.location(&facts(exchange, None))?;
    let mut head = ResponseHead { status: redirect.status, ..ResponseHead::default() };
    head.headers.insert(header::LOCATION, field_value(location));
    head.date();
    Ok((head, Body::Empty))
}

/// Answers by what stands in the document.
pub(super) fn reply(reply: &Reply, exchange: &mut Exchange) -> (ResponseHead, Body) {
    let mut head = ResponseHead { status: reply.status, ..ResponseHead::default() };
    exchange.complete_headers();
    let body = fill(&reply.content, &facts(exchange, None), &mut head);
    head.date();
    (head, body)
}

/// Puts the fields of what stands in the document into a head.
fn fill(content: &Content, facts: &Facts<'_>, head: &mut ResponseHead) -> Body {
    for (name, value) in &content.headers {
        if let Some(value) = value.render(facts) {
            head.headers.insert(name.clone(), value);
        }
    }
    Body::full(content.body.clone())
}

/// Changes a request on its way to a backend. What the client asked for comes back by [`Exchange::restore`].
pub(super) fn edit_request(edits: &Edits, exchange: &mut Exchange) -> Result<(), Failure> {
    let Edits { rewrite, request, .. } = edits;
    if edits.look_at_headers() {
        exchange.complete_headers();
    }
    let facts = facts(exchange, None);
    let values = request.as_ref().map(|fields| fields.render(&facts)).unwrap_or_default();
    let host = match rewrite {
        Some(rewrite) => rewrite.host(&facts)?,
        None => None,
    };
    let host = host.map(HeaderValue::try_from).transpose().map_err(|_| RewriteError::Host)?;
    let target = target(edits, &facts)?;
    if target.is_some() || host.is_some() {
        exchange.rewrite(target, host);
    }
    if let Some(fields) = request {
        fields.names().for_each(|name| exchange.complete_headers_for(name.as_str()));
        fields.apply(&mut exchange.headers, values);
    }
    Ok(())
}

/// The path and the query that a backend is asked for; none where they stay.
fn target(edits: &Edits, facts: &Facts<'_>) -> Result<Option<Uri>, RewriteError> {
    let path = match &edits.rewrite {
        Some(rewrite) => rewrite.path(facts)?,
        None => None,
    };
    if path.is_none() && edits.query.is_none() {
        return Ok(None);
    }
    let mut target = path.unwrap_or_else(|| facts.path.to_owned());
    let edited = edits.query.as_ref().map(|edits| edits.apply(facts));
    let query = edited.as_ref().map_or(facts.query, Option::as_deref);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let target = PathAndQuery::try_from(target).map_err(|_| RewriteError::Target)?;
    Ok(Some(Uri::from(target)))
}

/// Puts a page in the place of an error, if there is one for it. What else the response says stays: when to come back,
/// which methods there are. Calls of gRPC have statuses of their own.
pub(super) fn replace_error(
    pages: &ErrorPages,
    exchange: &mut Exchange,
    body: &mut Body,
    is_backends: bool,
    backend: Option<&Member>,
) -> bool {
    let status = exchange.response.as_ref().map(|response| response.status).unwrap_or_default();
    let Some(page) = pages.find(status, is_backends).filter(|_| !is_grpc(&exchange.headers)) else {
        return false;
    };
    exchange.complete_headers();
    let mut filled = ResponseHead::default();
    let content = fill(&page.content, &facts(exchange, backend), &mut filled);
    if let Some(response) = &mut exchange.response {
        response.complete_headers();
        for name in &OF_REPRESENTATIONS {
            response.headers.remove(name);
        }
        for (name, value) in &filled.headers {
            response.headers.insert(name.clone(), value.clone());
        }
        response.status = page.status.unwrap_or(status);
        *body = content;
    }
    true
}

/// Changes the exchange's response on its way to the client.
pub(super) fn edit_response(edits: &Edits, exchange: &mut Exchange, backend: Option<&Member>) {
    let Some(fields) = &edits.response else { return };
    if fields.looks_at_headers() {
        exchange.complete_headers();
    }
    let values = fields.render(&facts(exchange, backend));
    if let Some(response) = &mut exchange.response {
        response.complete_headers();
        fields.apply(&mut response.headers, values);
    }
}
