//! What would become of a request, and why: by the very steps that serve it.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use serde::{Deserialize, Serialize};

use super::handle::{find_route, find_rule};
use super::{Connection, Failure, Rule, Snapshot, act, normalise};
use crate::action::{Action, Edits, Fault, HostTemplate, Mirror, PathRewrite, Share};
use crate::message::tls::{CertificateNames, TlsSession};
use crate::message::{Entrance, Exchange};
use crate::plugin::subject;
use crate::upstream::{Member, Out};

/// What is answered by the gateway itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What a person reads.
    pub message: String,
}

/// A pattern that matches the request's host and path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternVerdict {
    /// As the document has it.
    pub pattern: String,
    /// `chosen`, `other-method`, or `less-specific` than the one that is chosen.
    pub verdict: String,
}

/// A rule of the pattern that is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// Its place in the route's list.
    pub index: usize,
    /// `chosen`, `behind-it`, or `no-match`.
    pub verdict: String,
    /// What it asks for and the request has not.
    pub missing: Vec<String>,
}

/// A plugin of the rule that is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVerdict {
    /// Its name in the document.
    pub name: String,
    /// Whether its condition (`when`) holds for the request as it came; plugins before it may change that.
    pub sees: bool,
}

/// What the rule that is chosen makes of the request, when its plugins let it pass. What a secret of the document is
/// written into is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionVerdict {
    /// `forward`, `split`, `redirect` or `reply`.
    pub kind: String,
    /// The status, where the gateway answers.
    pub status: Option<u16>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The host that a backend is asked for instead of the client's.
    pub host: Option<String>,
    /// The path that a backend is asked for instead of the client's.
    pub path: Option<String>,
    /// What else is changed, for people.
    pub edits: Vec<String>,
}

/// An upstream of a split, and its share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareVerdict {
    /// The upstream.
    pub upstream: String,
    /// As the document has it.
    pub weight: u32,
    /// Of all requests, those aside that come back by a cookie.
    pub percent: f64,
}

/// An upstream that gets a copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorVerdict {
    /// The upstream.
    pub upstream: String,
    /// Of how many requests.
    pub percent: f64,
}

/// A backend that the request could go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendVerdict {
    /// As the document has it.
    pub host: String,
    /// Whether it answers as it should.
    pub healthy: bool,
    /// Whether the operator has taken it out.
    pub drained: bool,
    /// Whether it has the next turn.
    pub next: bool,
}

/// See the module. What comes behind an empty list or a none was not got to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Of the snapshot that was asked; 0 for a document that nobody serves.
    pub revision: u64,
    /// The host as it is matched.
    pub host: String,
    /// The path as it is matched and forwarded.
    pub path: String,
    /// The most specific first.
    pub patterns: Vec<PatternVerdict>,
    /// In order.
    pub rules: Vec<RuleVerdict>,
    /// In order.
    pub plugins: Vec<PluginVerdict>,
    /// What the rule makes of it.
    #[serde(default)]
    pub action: Option<ActionVerdict>,
    /// The shares of a split, of which one is drawn.
    #[serde(default)]
    pub split: Vec<ShareVerdict>,
    /// Who gets copies.
    #[serde(default)]
    pub mirrors: Vec<MirrorVerdict>,
    /// What befalls requests on purpose, where this one is meant, for people.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Where it goes. None where that is still to be drawn.
    pub upstream: Option<String>,
    /// Of the upstream, or of all that may be drawn.
    pub backends: Vec<BackendVerdict>,
    /// Why it goes nowhere.
    pub refused: Option<Refused>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let (status, code) = (failure.reason.status().as_u16(), failure.reason.code().to_owned());
        Self { status, code, message: failure.message }
    }
}

/// A request to be explained. `url` is a whole one; without a scheme it is one of `http`.
pub fn question(method: &str, url: &str, headers: &[(String, String)]) -> Result<Request<()>, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = whole.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let mut request = Request::new(());
    for (name, value) in headers {
        let field = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        let (name, value) = field.ok_or_else(|| format!("`{name}: {value}` is no header"))?;
        request.headers_mut().append(name, value);
    }
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    Ok(request)
}

/// Explains a request whose target is a whole URI. Nothing is sent, and no turn is taken.
pub fn explain(snapshot: &Snapshot, request: Request<()>) -> Explanation {
    let mut told = Explanation { revision: snapshot.revision, ..Explanation::default() };
    if let Err(failure) = go(snapshot, request, &mut told) {
        told.refused = Some(failure.into());
    }
    told
}

fn go(snapshot: &Snapshot, request: Request<()>, told: &mut Explanation) -> Result<(), Failure> {
    let connection = connection(request.uri());
    let (mut head, ()) = request.into_parts();
    head.version = Version::HTTP_11;
    let normal = normalise(head, &connection, &snapshot.settings);
    let mut exchange = normal.map_err(|(failure, _)| failure)?;
    (told.host, told.path) = (exchange.host_name().to_owned(), exchange.path().to_owned());
    told.patterns = patterns(snapshot, &exchange);
    let (index, pattern) = find_route(snapshot, &exchange)?;
    exchange.complete_headers();
    let found = find_rule(snapshot, index, pattern, &mut exchange);
    let rules = &snapshot.routes[index].rules;
    let chosen = found.as_ref().ok().map(|(chosen, ..)| *chosen);
    let subject = subject(&exchange);
    let verdict = |(index, rule): (usize, &Rule)| rule_verdict(index, chosen, rule.missing(&subject));
    told.rules = rules.iter().enumerate().map(verdict).collect();
    let (_, rule, _) = found?;
    let sees = |link: &crate::plugin::Link| PluginVerdict {
        name: snapshot.attachments[link.slot].plugin.name.clone(),
        sees: link.sees(&exchange),
    };
    told.plugins = rule.plugins.iter().map(sees).collect();
    told.action = Some(action(rule, &mut exchange)?);
    let fault = rule.fault.as_ref().filter(|fault| fault.is_for(&exchange.headers));
    told.faults = fault.map(|fault| faults(fault)).unwrap_or_default();
    let mirror = |mirror: &Mirror| MirrorVerdict {
        upstream: snapshot.clusters[mirror.upstream].name().to_owned(),
        percent: mirror.percent.value(),
    };
    told.mirrors = rule.mirrors.iter().map(mirror).collect();
    if let Action::Split(split) = &rule.action {
        let share = |share: &Share| ShareVerdict {
            upstream: snapshot.clusters[share.upstream].name().to_owned(),
            weight: share.weight,
            percent: split.percent(share),
        };
        told.split = split.shares().iter().map(share).collect();
    }
    let Some(settled) = rule.settled_cluster(&exchange) else {
        let drawn = told.split.iter().filter(|share| share.weight > 0);
        let clusters = drawn.filter_map(|share| snapshot.cluster(&share.upstream));
        let backends = clusters.flat_map(|cluster| cluster.members().to_vec());
        told.backends = backends.map(|member| backend(&member, false)).collect();
        return Ok(());
    };
    let cluster = &snapshot.clusters[settled];
    let next = cluster.next(&cluster.choice(&exchange, &[])).map(|member| member.endpoint.id);
    told.upstream = Some(cluster.name().to_owned());
    let members = cluster.members();
    told.backends = members.iter().map(|member| backend(member, Some(member.endpoint.id) == next)).collect();
    Ok(())
}

fn faults(fault: &Fault) -> Vec<String> {
    let delay = fault.delay.map(|(time, percent)| format!("{} % are held for {time:?}", percent.value()));
    let abort =
        fault.abort.map(|(status, percent)| format!("{} % fail with {}", percent.value(), status.as_u16()));
    delay.into_iter().chain(abort).collect()
}

fn backend(member: &Member, is_next: bool) -> BackendVerdict {
    BackendVerdict {
        host: member.endpoint.host.clone(),
        healthy: member.endpoint.is_healthy(),
        drained: member.endpoint.is_out(Out::Drained),
        next: is_next,
    }
}

fn action(rule: &Rule, exchange: &mut Exchange) -> Result<ActionVerdict, Failure> {
    let mut told = ActionVerdict { kind: rule.action.name().to_owned(), ..ActionVerdict::default() };
    match &rule.action {
        Action::Forward(_) | Action::Split(_) => {}
        Action::Redirect(redirect) => {
            let (head, _) = act::redirect(redirect, exchange)?;
            let location = head.headers.get(header::LOCATION).filter(|_| !redirect.is_secret());
            told.location = location.map(|location| location.to_str().unwrap_or_default().to_owned());
            told.status = Some(head.status.as_u16());
        }
        Action::Reply(reply) => told.status = Some(reply.status.as_u16()),
    }
    let Some(edits) = &rule.edits else { return Ok(told) };
    told.edits = words(edits);
    if !rule.action.has_backends() {
        return Ok(told);
    }
    act::edit_request(edits, exchange)?;
    if let Some(rewrite) = &edits.rewrite {
        let is_shown = |is_secret: Option<bool>| is_secret == Some(false);
        let host = rewrite.host.as_ref().map(HostTemplate::is_secret);
        told.host = is_shown(host).then(|| exchange.authority().to_owned());
        let path = rewrite.path.as_ref().map(PathRewrite::is_secret);
        told.path = is_shown(path).then(|| exchange.path().to_owned());
    }
    exchange.restore();
    Ok(told)
}

/// Which fields and parameters are changed, without their values, which may be secrets.
fn words(edits: &Edits) -> Vec<String> {
    let query = edits.query.as_ref().map(|edits| list("query", edits.names()));
    let fields = [("request headers", &edits.request), ("response headers", &edits.response)].into_iter();
    let fields = fields.filter_map(|(what, edits)| Some(list(what, edits.as_ref()?.names())));
    let pages = edits.error_pages.as_ref().map(|pages| list("error pages", pages.statuses()));
    query.into_iter().chain(fields).chain(pages).collect()
}

fn list<T: Display>(what: &str, names: impl Iterator<Item = T>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    format!("{what} {}", names.join(", "))
}

/// A client of this machine, that asks for the host of the URI where it is for TLS.
fn connection(uri: &Uri) -> Connection {
    let name = uri.host().unwrap_or_default().to_ascii_lowercase();
    let tls = (uri.scheme_str() == Some("https")).then(|| {
        Arc::new(TlsSession {
            version: "TLSv1.3",
            cipher_suite: "",
            server_name: Some(name.clone()),
            certificate: Arc::new(CertificateNames(vec![name])),
            client_certificate: None,
        })
    });
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Connection::new(here(0), here(0), Arc::new(Entrance::default()), tls, Rc::default())
}

fn patterns(snapshot: &Snapshot, exchange: &Exchange) -> Vec<PatternVerdict> {
    let mut is_chosen = true;
    let matching = snapshot.table.matching(exchange.host_name(), exchange.path());
    let verdict = |(pattern, index): (&crate::route::Pattern, &usize)| {
        let verdict = match pattern.allows(&exchange.method) {
            true if std::mem::take(&mut is_chosen) => "chosen",
            true => "less-specific",
            false => "other-method",
        };
        PatternVerdict { pattern: snapshot.routes[*index].pattern.to_string(), verdict: verdict.to_owned() }
    };
    matching.into_iter().map(verdict).collect()
}

fn rule_verdict(index: usize, chosen: Option<usize>, missing: Vec<String>) -> RuleVerdict {
    let verdict = match chosen {
        Some(chosen) if chosen == index => "chosen",
        Some(chosen) if chosen < index => "behind-it",
        _ => "no-match",
    };
    RuleVerdict { index, verdict: verdict.to_owned(), missing }
}
