//! The way of a request, step by step.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Response, Version, header};
use http_body::Body as _;

use super::compress::{self, Asked};
use super::deadline::Deadline;
use super::finish::Finish;
use super::forward::Forward;
use super::normalise::{add_via, normalise, unreadable};
use super::{Connection, Failure, Interim, Prepared, Reason, ResponseBody, Rule, Settings, Snapshot, View};
use super::{act, fault, grpc, grpc_web, mirror};
use crate::action::Action;
use crate::message::body::Meter;
use crate::message::exchange::field_value;
use crate::message::grpc::is_grpc;
use crate::message::{Body, BodyError, Client, Exchange, Request, ResponseHead, Upgrade};
use crate::observe::metrics::WorkerMetrics;
use crate::plugin::{ChainEnd, Origin, subject};
use crate::route::{Lookup, Pattern};
use crate::upstream::{Health, Pools};

/// The exchange lies in [`Finish`] while others work on it.
const LENT: &str = "it was put there before and only lent";

/// One worker's proxy.
#[derive(Clone)]
pub struct Proxy {
    worker: Rc<Worker>,
}

/// What a worker keeps beyond any one snapshot.
pub(super) struct Worker {
    view: RefCell<Rc<View>>,
    pub pools: Pools,
    pub health: Health,
    pub metrics: Arc<WorkerMetrics>,
    pub encoders: Rc<compress::Bound>,
    pub mirrors: mirror::UnderWay,
}

impl Proxy {
    /// A proxy that serves by what was prepared until it is given another.
    pub fn new(prepared: Prepared, health: Health, metrics: Arc<WorkerMetrics>) -> Self {
        let view = RefCell::new(Rc::new(View::new(prepared, None, &metrics)));
        let (pools, encoders, mirrors) = Default::default();
        Self { worker: Rc::new(Worker { view, pools, health, metrics, encoders, mirrors }) }
    }

    /// Serves what begins from now on by another snapshot.
    pub fn publish(&self, prepared: Prepared) {
        let worker = &self.worker;
        let next = Rc::new(View::new(prepared, Some(&self.view()), &worker.metrics));
        drop(worker.view.replace(next));
    }

    /// The snapshot that a request which begins now is served by.
    pub fn view(&self) -> Rc<View> {
        Rc::clone(&self.worker.view.borrow())
    }

    /// Closes backend connections that nobody needs any more.
    pub fn sweep(&self) {
        let keep_alive = self.view().snapshot.settings.timeouts.backend_keep_alive;
        if let Some(oldest) = tokio::time::Instant::now().checked_sub(keep_alive) {
            self.worker.pools.sweep(oldest);
        }
        self.worker.metrics.idle_backend_connections.set(self.worker.pools.idle() as u64);
    }

    /// This worker's numbers.
    pub fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.worker.metrics
    }

    /// Answers a request. What comes before its response waits in `interim`, to be looked at whenever this was polled.
    /// Dropping the future abandons the request; it is accounted for either way.
    pub async fn handle(
        &self,
        request: Request,
        connection: &Connection,
        interim: &Interim,
    ) -> Response<ResponseBody> {
        let view = self.view();
        let mut finish = Finish::new(Rc::clone(&self.worker), Rc::clone(&view));
        let settings = &view.snapshot.settings;
        let (head, mut body) = request.into_parts();

        let mut exchange = match normalise(head, connection, settings) {
            Ok(exchange) => exchange,
            Err((failure, exchange)) => return fail(finish, exchange, &failure),
        };
        if let Some(failure) = redirect_to_https(&exchange) {
            return fail(finish, exchange, &failure);
        }
        let found = find_route(&view.snapshot, &exchange).and_then(|(index, pattern)| {
            finish.route = Some(index);
            find_rule(&view.snapshot, index, pattern, &mut exchange)
        });
        let (rule, cluster) = match found {
            Ok((index, rule, cluster)) => {
                finish.rule = Some(index);
                (rule, cluster)
            }
            Err(failure) => return fail(finish, exchange, &failure),
        };
        finish.compress = rule.compress.as_ref().map(|compress| Asked::new(compress, &exchange));
        if exchange.is_early && !(rule.takes_early_data && exchange.method.is_safe()) {
            let message = "this request is served after the handshake only";
            return fail(finish, exchange, &Failure::new(Reason::TooEarly, message));
        }
        if let Err(failure) = ignore_upgrade(rule, &mut exchange, &mut body) {
            return fail(finish, exchange, &failure);
        }
        if let Some(web) = &rule.grpc_web {
            if let Some(answer) = grpc_web::preflight(web, &exchange) {
                finish.answer_itself();
                exchange.response = Some(answer);
                finish.exchange = Some(exchange);
                return into_response(finish, Body::Empty);
            }
            finish.grpc_web = grpc_web::request(&mut exchange, &mut body).map(|mode| (mode, Arc::clone(web)));
        }
        let deadline = grpc::deadline(&exchange, finish.started);
        let deadline = Deadline::of(deadline, rule.timeouts.request, finish.started);
        // Should the client leave meanwhile, what is told of the request is told of this.
        finish.exchange = Some(exchange);
        let decided = {
            let Finish { chain, exchange, .. } = &mut *finish;
            chain.on_request(&view.instances, &rule.plugins, exchange).await
        };
        let outcome = match decided {
            Ok(()) if is_too_large(&body, settings) => {
                Err(Failure::new(Reason::BodyTooLarge, BodyError::TooLarge.to_string()))
            }
            Ok(()) => {
                let body = meter(body, settings, &mut finish);
                match &rule.action {
                    Action::Forward(_) | Action::Split(_) => {
                        let cluster = cluster.expect("a rule with backends has led to a cluster");
                        let answered = match deadline {
                            None => self.forward(rule, cluster, body, connection, interim, &mut finish).await,
                            // Held in its place: it is large, and moving it would cost as much as a timer.
                            Some(deadline) => {
                                let forwarding =
                                    self.forward(rule, cluster, body, connection, interim, &mut finish);
                                deadline.hold(pin!(forwarding)).await
                            }
                        };
                        finish.exchange.as_mut().expect(LENT).restore();
                        answered
                    }
                    Action::Redirect(redirect) => {
                        finish.answer_itself();
                        act::redirect(redirect, finish.exchange.as_mut().expect(LENT))
                    }
                    Action::Reply(reply) => {
                        finish.answer_itself();
                        Ok(act::reply(reply, finish.exchange.as_mut().expect(LENT)))
                    }
                }
            }
            Err(end) => {
                let (head, body);
                (head, body, finish.origin, finish.reason) = answer(end);
                Ok((head, body))
            }
        };
        let (head, mut body) = outcome.unwrap_or_else(|failure| {
            finish.blame(&failure);
            failure.response()
        });
        finish.exchange.as_mut().expect(LENT).answer(head);
        respond(&view, &mut body, &mut finish).await;
        into_response(finish, body)
    }

    /// Answers what was no request, so that it is accounted for like one.
    pub fn refuse(&self, failure: &Failure, connection: &Connection) -> Response<ResponseBody> {
        let view = self.view();
        let finish = Finish::new(Rc::clone(&self.worker), view);
        fail(finish, unreadable(connection), failure)
    }

    async fn forward(
        &self,
        rule: &Rule,
        cluster: usize,
        body: Body,
        connection: &Connection,
        interim: &Interim,
        finish: &mut Finish,
    ) -> Result<(ResponseHead, Body), Failure> {
        let view = Rc::clone(&finish.view);
        let forward = Forward {
            pools: &self.worker.pools,
            health: &self.worker.health,
            settings: &view.snapshot.settings,
            timeouts: &rule.timeouts,
            retry: rule.retry.as_deref(),
            connection,
            interim,
            metrics: &self.worker.metrics,
        };
        finish.cluster = Some(cluster);
        let cluster = &view.snapshot.clusters[cluster];
        if let Some(quota) = &rule.most_requests {
            finish.attempts.share = quota.take();
            if finish.attempts.share.is_none() {
                let message = "this route has as many requests as it may";
                return Err(Failure::new(Reason::RouteOverflow, message));
            }
        }
        let Finish { exchange, attempts, .. } = finish;
        let exchange = exchange.as_deref_mut().expect(LENT);
        if let Some(fault) = &rule.fault {
            // Boxed: hardly any rule has one.
            Box::pin(fault::inject(fault, exchange)).await?;
        }
        if let Some(edits) = &rule.edits {
            act::edit_request(edits, exchange)?;
        }
        let body = match &*rule.mirrors {
            [] => body,
            _ => mirror::send(rule, exchange, body, connection, (&self.worker, &view)),
        };
        let mut answer = forward.send(cluster, exchange, body, attempts).await?;
        if let (Some(sticky), Some(cluster)) = (&rule.sticky, finish.cluster) {
            sticky.bind(cluster, exchange, &mut answer.0);
        }
        if forward.settings.via {
            answer.0.complete_headers();
            add_via(&mut answer.0.headers, Version::HTTP_11);
        }
        finish.backend_time = Some(finish.started.elapsed());
        (finish.origin, finish.reason) = (Origin::Backend, None);
        Ok(answer)
    }
}

/// A request in the clear goes no further where the listener only sends such requests to https.
fn redirect_to_https(exchange: &Exchange) -> Option<Failure> {
    let redirect = exchange.client.entrance.https_redirect.filter(|_| exchange.client.tls.is_none())?;
    let host = exchange.host_name();
    if host.is_empty() {
        return Some(Failure::new(Reason::BadAuthority, "a redirect to https needs a host to go to"));
    }
    let port = if redirect.port == 443 { String::new() } else { format!(":{}", redirect.port) };
    let target = exchange.uri.path_and_query().map_or("/", |target| target.as_str());
    let location = field_value(format!("https://{host}{port}{target}"));
    let mut failure =
        Failure::new(Reason::HttpsRedirect(redirect.status), "this resource is served over https");
    failure.field = Some(Box::new((header::LOCATION, location)));
    Some(failure)
}

/// Step 3: the route.
pub(super) fn find_route<'a>(
    snapshot: &'a Snapshot,
    exchange: &Exchange,
) -> Result<(usize, &'a Pattern), Failure> {
    match snapshot.table.find(&exchange.method, exchange.host_name(), exchange.path()) {
        Lookup::Found { pattern, value } => Ok((*value, pattern)),
        Lookup::NotFound => Err(no_route()),
        Lookup::MethodNotAllowed(methods) => {
            let allow = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
            let mut failure = Failure::new(Reason::MethodNotAllowed, "the route does not allow this method");
            failure.field = Some(Box::new((header::ALLOW, field_value(allow))));
            Err(failure)
        }
    }
}

/// And in it the first rule whose conditions hold, with the cluster that it leads to.
pub(super) fn find_rule<'a>(
    snapshot: &'a Snapshot,
    index: usize,
    pattern: &Pattern,
    exchange: &mut Exchange,
) -> Result<(usize, &'a Rule, Option<usize>), Failure> {
    let route = &snapshot.routes[index];
    exchange.route = Some(Arc::clone(&route.pattern));
    if route.looks_at_headers() {
        exchange.complete_headers();
    }
    let index = route.rule(|| subject(exchange)).ok_or_else(no_route)?;
    let rule = &route.rules[index];
    let cluster = rule.cluster(exchange);
    let mut asked = cluster.into_iter().chain(rule.mirrors.iter().map(|mirror| mirror.upstream));
    let is_hashed = asked.any(|cluster| snapshot.clusters[cluster].looks_at_parameters());
    if !rule.plugins.is_empty() || rule.edits.is_some() || cluster.is_none() || is_hashed {
        let path = exchange.uri.path();
        let values = pattern.parameters(path).map(|(name, range)| (name.into(), path[range].to_owned()));
        exchange.parameters = values.collect();
        exchange.backends = cluster.map(|cluster| snapshot.clusters[cluster].hosts());
    }
    Ok((index, rule, cluster))
}

fn no_route() -> Failure {
    Failure::new(Reason::NoRoute, "no route matches this request")
}

/// A protocol that the route does not serve is not changed to: HTTP/1.1 lets that be passed over, and the client of an
/// extended CONNECT has to be told.
fn ignore_upgrade(rule: &Rule, exchange: &mut Exchange, body: &mut Body) -> Result<(), Failure> {
    let is_served = |upgrade: &Upgrade| rule.upgrades.iter().any(|token| upgrade.is(token));
    if exchange.upgrade.as_ref().is_none_or(is_served) {
        return Ok(());
    }
    if exchange.client.version > Version::HTTP_11 {
        let message = "this route does not change to the protocol that is asked for";
        return Err(Failure::new(Reason::Connect, message));
    }
    exchange.upgrade = None;
    *body = Body::Empty;
    Ok(())
}

/// A body that says how large it is need not be read to be refused.
fn is_too_large(body: &Body, settings: &Settings) -> bool {
    settings.request_body.is_some_and(|limit| body.size_hint().lower() > limit)
}

/// Counts the request's body on its way, where there is one, and holds it to its limit.
fn meter(body: Body, settings: &Settings, finish: &mut Finish) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let is_tunnel = finish.exchange.as_ref().is_some_and(|exchange| exchange.upgrade.is_some());
    let (body, meter) = Meter::install(body, settings.request_body.filter(|_| !is_tunnel));
    finish.received = Some(meter);
    body
}

/// What a plugin's answer, or its failure, is to the client, and whose answer that is.
pub fn answer(end: ChainEnd) -> (ResponseHead, Body, Origin, Option<Reason>) {
    match end {
        ChainEnd::Reply(reply) => {
            let mut head = ResponseHead { status: reply.status, headers: reply.headers, lines: None };
            head.date();
            (head, Body::full(reply.body), Origin::Plugin, None)
        }
        ChainEnd::Fault(kind) => {
            let failure = Failure::from(kind);
            let (head, body) = failure.response();
            (head, body, Origin::Gateway, Some(failure.reason))
        }
    }
}

/// Step 7: the response hooks, in reverse.
async fn respond(view: &View, body: &mut Body, finish: &mut Finish) {
    if !finish.chain.wants_response(&view.instances) {
        return;
    }
    let Finish { chain, exchange, origin, reason, .. } = finish;
    let replace = |exchange: &mut Exchange, end| {
        let head;
        (head, *body, *origin, *reason) = answer(end);
        exchange.response = Some(head);
    };
    chain.on_response(&view.instances, exchange, replace).await;
}

/// A request that was refused before it had a chain.
fn fail(mut finish: Box<Finish>, mut exchange: Box<Exchange>, failure: &Failure) -> Response<ResponseBody> {
    finish.blame(failure);
    let (head, body) = failure.response();
    exchange.response = Some(head);
    finish.exchange = Some(exchange);
    into_response(finish, body)
}

/// Step 8.
fn into_response(mut finish: Box<Finish>, mut body: Body) -> Response<ResponseBody> {
    let mut head = ResponseHead::default();
    finish_response(&mut finish, &mut body);
    if let Some(exchange) = &mut finish.exchange {
        head = exchange.response.take().unwrap_or_default();
        tell_of_listener(&mut head, &exchange.client);
    }
    // What is told of the request is told in the terms of HTTP, whatever its client understands.
    finish.status = head.status;
    let Finish { exchange: Some(exchange), origin, reason, message, grpc_web, .. } = &*finish else {
        return Response::new(ResponseBody::new(None, body, finish));
    };
    if *origin != Origin::Backend && is_grpc(&exchange.headers) {
        grpc::tell(&mut head, &mut body, *reason, message.as_deref());
    }
    if let Some((mode, web)) = grpc_web {
        grpc_web::response(web, *mode, &exchange.headers, &mut head, &mut body);
    }
    if let Some(asked) = finish.compress.take() {
        body = asked.compress(&mut head, body, &finish.worker.encoders, &finish.worker.metrics);
    }
    let mut response = Response::new(ResponseBody::new(head.lines, body, finish));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// What the document has to say of a response, whoever made it, behind all others: a page instead of an error, and edits.
fn finish_response(finish: &mut Finish, body: &mut Body) {
    let Finish { view, route, rule, exchange: Some(exchange), attempts, origin, reason, .. } = finish else {
        return;
    };
    let edits = view.snapshot.rule(*route, *rule).and_then(|rule| rule.edits.as_deref());
    let everywhere = view.snapshot.settings.error_pages.as_deref();
    let backend = attempts.backend.as_ref();
    let is_backends = *origin == Origin::Backend;
    // A plugin's answer is no error, whatever its status.
    if is_backends || reason.is_some() {
        let own = edits.and_then(|edits| edits.error_pages.as_ref());
        for pages in own.into_iter().chain(everywhere) {
            if act::replace_error(pages, exchange, body, is_backends, backend) {
                break;
            }
        }
    }
    if let Some(edits) = edits {
        act::edit_response(edits, exchange, backend);
    }
}

/// Tells the client to come back over https only, and that HTTP/3 is spoken, where the document says so. In the clear that would be no use (RFC
/// 6797, section 7.2), and there is to be one such field.
fn tell_of_listener(head: &mut ResponseHead, client: &Client) {
    if let Some(hsts) = client.entrance.hsts.as_ref().filter(|_| client.tls.is_some()) {
        head.complete_headers();
        head.headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let is_new = |_: &&HeaderValue| client.tls.is_some() && client.version < Version::HTTP_3;
    if let Some(alternative) = client.entrance.alt_svc.as_ref().filter(is_new) {
        head.complete_headers();
        head.headers.insert(header::ALT_SVC, alternative.clone());
    }
}
