//! What a rule does with a request beyond sending it on: redirects, replies, rewriting, edits, error pages. Pure: the
//! check of a document makes these, and the proxy asks them what to do.
//!
//! All that stands in a document is read and compiled once, and found valid before anybody is served by it. What clients
//! and backends add to it by [variables](Template) passes through here too, so that it can be shown in one place what it
//! cannot do: no control character gets into a field, no path that a client could not have asked for reaches a backend.

mod facts;
mod fault;
mod fields;
mod host;
mod mirror;
mod pages;
mod query;
mod redirect;
mod reply;
mod rewrite;
mod split;
mod template;

#[cfg(test)]
mod tests;

pub use facts::Facts;
pub use fault::Fault;
pub use fields::{FieldValue, HeaderEdits, is_reserved};
pub use host::{HostTemplate, is_host};
pub use mirror::Mirror;
pub use pages::{ErrorPage, ErrorPages, Statuses};
pub use query::QueryEdits;
pub use redirect::{Redirect, Scheme};
pub use reply::{Content, Reply, content_type};
pub use rewrite::{PathRewrite, Replacement, ReplacementError, Rewrite, RewriteError};
pub use split::{Share, Split};
pub use template::{Encoding, Scope, Template, TemplateError};

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A backend of an upstream, by its index among those of the document.
    Forward(usize),
    /// The same of one of several upstreams, which is drawn for each request.
    Split(Box<Split>),
    /// The gateway, which sends the client elsewhere.
    Redirect(Box<Redirect>),
    /// The gateway, by what stands in the document.
    Reply(Box<Reply>),
}

impl Action {
    /// As a document would name it, where it did.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Forward(_) => "forward",
            Self::Split(_) => "split",
            Self::Redirect(_) => "redirect",
            Self::Reply(_) => "reply",
        }
    }

    /// Whether its requests go to backends.
    pub fn has_backends(&self) -> bool {
        matches!(self, Self::Forward(_) | Self::Split(_))
    }

    /// The upstreams that requests can go to.
    pub fn upstreams(&self) -> impl Iterator<Item = usize> {
        let (one, several) = match self {
            Self::Forward(upstream) => (Some(*upstream), &[][..]),
            Self::Split(split) => (None, split.shares()),
            Self::Redirect(_) | Self::Reply(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().map(|share| share.upstream))
    }
}

/// What a rule changes of requests to its backends and of responses to its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Of the path and the host.
    pub rewrite: Option<Rewrite>,
    /// Of the query.
    pub query: Option<QueryEdits>,
    /// Of the request's fields.
    pub request: Option<HeaderEdits>,
    /// Of the response's fields, whoever made it.
    pub response: Option<HeaderEdits>,
    /// What clients see instead of errors.
    pub error_pages: Option<ErrorPages>,
}

impl Edits {
    /// Whether what it makes of a request depends on the request's fields.
    pub fn look_at_headers(&self) -> bool {
        self.rewrite.as_ref().is_some_and(Rewrite::looks_at_headers)
            || self.query.as_ref().is_some_and(QueryEdits::looks_at_headers)
            || self.request.as_ref().is_some_and(HeaderEdits::looks_at_headers)
    }
}
