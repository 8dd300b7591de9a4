//! Building a snapshot of a checked document beside the one that is running.
//!
//! Everything that can fail happens here, before anything is published: plugins are read, compiled, instantiated and
//! configured, and the access log is opened. What the previous snapshot has and the document did not change is taken
//! over as it is.

mod balancing;
mod clusters;
mod compress;
mod files;
mod key_sets;
mod listeners;
mod plugins;
mod retry;

use std::sync::Arc;

use crate::action::Action;
use crate::config::{self, Checked, Problem};
use crate::listener::ListenerSpec;
use crate::listener::tls::Tls;
use crate::message::http1::HeadLimits;
use crate::observe::access_log::{Sink, Target};
use crate::plugin::{Link, PluginEngine};
use crate::proxy::{GrpcWeb, Http2Limits, Route, Rule, Settings, Snapshot, Sticky, Timeouts};
use crate::route::Table;
use crate::upstream::Quota;

/// What a document is made into.
pub struct Built {
    /// What requests are served by.
    pub snapshot: Snapshot,
    /// Where they come in.
    pub listeners: Vec<ListenerSpec>,
    /// The TLS of the admin address; none in the clear.
    pub admin_tls: Option<Arc<Tls>>,
}

/// What runs already, to be taken over where nothing changed.
#[derive(Clone, Copy, Default)]
pub struct Running<'a> {
    /// What requests are served by.
    pub snapshot: Option<&'a Snapshot>,
    /// Where they come in.
    pub listeners: &'a [ListenerSpec],
    /// The TLS of the admin address.
    pub admin_tls: Option<&'a Arc<Tls>>,
}

/// Builds what serves by a document. Blocks: plugins are compiled here.
pub fn build(
    checked: &Checked,
    engine: &PluginEngine,
    running: Running<'_>,
    revision: u64,
) -> Result<Built, Vec<Problem>> {
    let mut problems = Vec::new();
    let previous = running.snapshot;
    let listeners = listeners::live(checked, running.listeners, &mut problems);
    let admin_tls = listeners::admin(checked, running.admin_tls, &mut problems);
    let clusters = clusters::live(checked, previous, &mut problems);
    let plugins = plugins::attach(checked, engine, previous, &mut problems);
    let access_log = open_access_log(&checked.access_log, &checked.secrets, previous, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let routes: Vec<Route> = checked
        .routes
        .iter()
        .zip(&plugins.by_rule)
        .map(|(route, plugins)| live_route(route, plugins, checked, previous))
        .collect();
    let snapshot = Snapshot {
        revision,
        table: Table::build(
            checked.routes.iter().enumerate().map(|(index, route)| (route.pattern.clone(), index)),
        ),
        routes,
        attachments: plugins.attachments,
        clusters: clusters.into_iter().map(|spec| clusters::build(spec, previous)).collect(),
        access_log,
        certificates: listeners::certificates(&listeners),
        settings: live_settings(&checked.http),
    };
    Ok(Built { snapshot, listeners, admin_tls })
}

/// Tries a document's certificates and plugins without opening anything that a gateway would write to.
pub fn check(checked: &Checked, engine: &PluginEngine) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    listeners::live(checked, &[], &mut problems);
    listeners::admin(checked, None, &mut problems);
    clusters::live(checked, None, &mut problems);
    plugins::attach(checked, engine, None, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn live_route(
    route: &config::Route,
    plugins: &[Vec<Link>],
    checked: &Checked,
    previous: Option<&Snapshot>,
) -> Route {
    let has_state = route.rules.iter().any(|rule| rule.max_requests.is_some());
    let running = previous.filter(|_| has_state).and_then(|previous| previous.route(&route.text));
    let rules = route.rules.iter().zip(plugins).enumerate();
    let rules = rules.map(|(index, (rule, plugins))| {
        live_rule(rule, plugins, checked, running.and_then(|running| running.rules.get(index)))
    });
    Route { pattern: route.text.as_str().into(), rules: rules.collect() }
}

fn live_rule(rule: &config::Rule, plugins: &[Link], checked: &Checked, running: Option<&Rule>) -> Rule {
    Rule {
        conditions: rule.matches.clone(),
        sticky: sticky(rule, &checked.upstreams),
        mirrors: rule.mirrors.clone(),
        fault: rule.fault.clone().map(Box::new),
        action: rule.action.clone(),
        edits: rule.edits.clone(),
        plugins: plugins.to_vec(),
        upgrades: rule.upgrades.clone(),
        grpc_web: rule.grpc_web.as_ref().map(|web| Arc::new(GrpcWeb { origins: web.origins.clone() })),
        takes_early_data: rule.takes_early_data,
        retry: rule.retry.as_ref().map(|retry| Arc::new(retry::policy(retry))),
        timeouts: retry::timeouts(&rule.timeouts, &checked.http.timeouts),
        most_requests: rule.max_requests.map(|most| {
            let running = running.and_then(|running| running.most_requests.as_ref());
            Quota::new(most, running)
        }),
        compress: rule.compress.as_ref().map(|written| Arc::new(compress::live(written))),
    }
}

fn sticky(rule: &config::Rule, upstreams: &[config::Upstream]) -> Option<Box<Sticky>> {
    let (Some(cookie), Action::Split(split)) = (&rule.sticky, &rule.action) else { return None };
    let cookie = balancing::affinity(cookie);
    Some(Box::new(Sticky::new(cookie, split, |upstream| upstreams[upstream].name.as_str())))
}

fn live_settings(http: &config::HttpSettings) -> Settings {
    let config::Timeouts {
        client_head, client_idle, keep_alive, backend_keep_alive, tunnel_idle, drain, ..
    } = http.timeouts;
    let limits = &http.limits;
    Settings {
        timeouts: Timeouts { client_head, client_idle, keep_alive, backend_keep_alive, tunnel_idle, drain },
        head: HeadLimits { bytes: limits.head_size.as_usize(), fields: limits.header_count as usize },
        request_body: limits.request_body.map(|size| size.as_u64()),
        pool_idle: limits.pool_idle as usize,
        connections: limits.connections as usize,
        h2: Http2Limits {
            streams: limits.h2_streams,
            stream_window: limits.h2_stream_window.as_u64() as u32,
            connection_window: limits.h2_connection_window.as_u64() as u32,
            frame_size: limits.h2_frame_size.as_u64() as u32,
        },
        trusted_proxies: http.trusted_proxies.clone(),
        via: http.via,
        error_pages: http.error_pages.clone().map(Arc::new),
    }
}

fn open_access_log(
    wanted: &config::AccessLog,
    secrets: &config::Secrets,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Sink>> {
    let target = match wanted {
        config::AccessLog::Off => return None,
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::File(path) => Target::File(path.clone()),
    };
    let running = previous.and_then(|previous| previous.access_log.as_ref());
    if let Some(same) = running.filter(|running| *running.target() == target) {
        return Some(Arc::clone(same));
    }
    Sink::open(target)
        .map_err(|error| {
            let message = format!("the access log cannot be opened: {error}");
            let hint = "name a file in a folder that this user may write to, `stdout` or `off`";
            problems.push(Problem::error("/access_log", secrets.redact(&message)).hint(hint));
        })
        .ok()
}
