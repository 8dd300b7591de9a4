//! Loading the plugins of a document and attaching them to its rules.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::files::read_bounded;
use crate::capability::jwt::KeySetSpec;
use crate::capability::outbound::HostPatternError;
use crate::config::{self, Checked, PluginSource, Problem};
use crate::plugin::{
    Attachment, AttachmentSpec, CacheFolder, Digest, Grants, Isolation, Link, Misfit, OnError, Permission,
    Plugin, PluginEngine, PluginLimits, Quotas, shipped,
};
use crate::proxy::Snapshot;

use super::key_sets;

/// Bytes of a .wasm file.
const LARGEST_COMPONENT: u64 = 64 << 20;

/// All attachments of a document. Equal uses of a plugin are one attachment.
#[derive(Default)]
pub(super) struct Attached {
    pub attachments: Vec<Arc<Attachment>>,
    /// For each route, for each rule, its chain.
    pub by_rule: Vec<Vec<Vec<Link>>>,
}

pub(super) fn attach(
    checked: &Checked,
    engine: &PluginEngine,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> Attached {
    engine.keep_compiled(match &checked.plugin_cache {
        config::KeptIn::Default => CacheFolder::Default,
        config::KeptIn::Off => CacheFolder::Off,
        config::KeptIn::Folder(path) => CacheFolder::At(path.clone()),
    });
    let running = previous.map_or(&[][..], |previous| &previous.attachments);
    let key_sets = key_sets::live(&checked.key_sets, &checked.secrets, problems);
    let plugins: Vec<_> = checked
        .plugins
        .iter()
        .map(|plugin| {
            load(plugin, checked, &key_sets, engine, running).map_err(|problem| problems.push(problem)).ok()
        })
        .collect();
    let mut builder =
        Builder { checked, plugins, running, known: HashMap::new(), attached: Attached::default() };
    for route in &checked.routes {
        let rules = route.rules.iter().map(|rule| builder.chain(&rule.attachments, problems)).collect();
        builder.attached.by_rule.push(rules);
    }
    builder.attached
}

struct Builder<'a> {
    checked: &'a Checked,
    plugins: Vec<Option<Arc<Plugin>>>,
    running: &'a [Arc<Attachment>],
    known: HashMap<(usize, AttachmentSpec), usize>,
    attached: Attached,
}

impl Builder<'_> {
    fn chain(&mut self, wanted: &[config::Attachment], problems: &mut Vec<Problem>) -> Vec<Link> {
        let link = |attachment: &config::Attachment| {
            let slot = self.attach(attachment, problems)?;
            Some(Link { slot, when: attachment.when.clone() })
        };
        wanted.iter().filter_map(link).collect()
    }

    /// None where the plugin or this use of it is one of the problems.
    fn attach(&mut self, wanted: &config::Attachment, problems: &mut Vec<Problem>) -> Option<usize> {
        let plugin = Arc::clone(self.plugins[wanted.plugin].as_ref()?);
        let spec = spec(wanted);
        if let Some(index) = self.known.get(&(wanted.plugin, spec.clone())) {
            return Some(*index);
        }
        let misfits = plugin.misfits(&wanted.config);
        if !misfits.is_empty() {
            problems.extend(misfits.into_iter().map(|Misfit { pointer, message }| {
                let message = format!("plugin `{}`: {message}", wanted.name);
                let pointer = format!("{}{pointer}", wanted.config_pointer);
                Problem::error(pointer, self.checked.secrets.redact(&message))
            }));
            return None;
        }
        let running = self.running.iter().find(|running| running.is_same(&plugin, &spec));
        let attachment = match running {
            Some(running) => Arc::clone(running),
            None => Arc::new(Attachment::new(plugin, spec.clone())),
        };
        if running.is_none()
            && let Err(error) = attachment.check()
        {
            let message = format!("plugin `{}` {error}", wanted.name);
            let problem = Problem::error(&wanted.pointer, self.checked.secrets.redact(&message));
            problems.push(match error.hint() {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            return None;
        }
        self.attached.attachments.push(attachment);
        let index = self.attached.attachments.len() - 1;
        self.known.insert((wanted.plugin, spec), index);
        Some(index)
    }
}

/// Reads a component and compiles it, unless it is running already.
fn load(
    wanted: &config::Plugin,
    checked: &Checked,
    key_sets: &[KeySetSpec],
    engine: &PluginEngine,
    running: &[Arc<Attachment>],
) -> Result<Arc<Plugin>, Problem> {
    let secrets = &checked.secrets;
    let mut permissions: BTreeSet<Permission> = wanted.permissions.iter().map(live_permission).collect();
    let problem = |message: String| Problem::error(&wanted.pointer, message);
    let bytes = match &wanted.source {
        PluginSource::File(path) => read_bounded(path, LARGEST_COMPONENT).map_err(|error| {
            let message = format!("plugin `{}` cannot be read from {}: {error}", wanted.name, path.display());
            problem(secrets.redact(&message))
                .hint("`source` is the path of a component, a .wasm file, relative to the document's folder")
        })?,
        PluginSource::Shipped => {
            let shipped = shipped::find(&wanted.name)
                .ok_or_else(|| problem(format!("plugin `{}` is not part of this gateway", wanted.name)))?;
            let granted = |permission: &Permission| shipped.permissions.contains(&permission.name());
            permissions.extend(Permission::ALL.iter().filter(|permission| granted(permission)));
            shipped.component.to_vec()
        }
    };
    let digest = Digest::of(&bytes);
    let grants = grants(wanted, checked, key_sets, permissions)?;
    let is_same =
        |plugin: &Plugin| plugin.name == wanted.name && plugin.digest == digest && plugin.grants == grants;
    if let Some(attachment) = running.iter().find(|attachment| is_same(&attachment.plugin)) {
        return Ok(Arc::clone(&attachment.plugin));
    }
    Plugin::load(engine, &wanted.name, &bytes, grants).map(Arc::new).map_err(|error| {
        let found = problem(secrets.redact(&format!("plugin `{}` {error}", wanted.name)));
        match error.hint() {
            Some(hint) => found.hint(hint),
            None => found,
        }
    })
}

fn grants(
    wanted: &config::Plugin,
    checked: &Checked,
    key_sets: &[KeySetSpec],
    permissions: BTreeSet<Permission>,
) -> Result<Grants, Problem> {
    let host = |(index, text): (usize, &String)| {
        let pointer = || format!("{}/hosts/{index}", wanted.pointer);
        text.parse().map_err(|error: HostPatternError| {
            let message = format!("{error}, found `{text}`");
            Problem::error(pointer(), checked.secrets.redact(&message))
        })
    };
    let secret = |name: &String| Some((name.clone(), checked.named_secrets.0.get(name)?.clone()));
    let uses_keys = permissions.contains(&Permission::Jwt);
    let quotas = &wanted.quotas;
    Ok(Grants {
        permissions,
        hosts: wanted.hosts.iter().enumerate().map(host).collect::<Result<_, _>>()?,
        private_networks: wanted.private_networks.clone(),
        secrets: wanted.secrets.iter().filter_map(secret).collect(),
        key_sets: if uses_keys { key_sets.to_vec() } else { Vec::new() },
        quotas: Quotas {
            rate_limit_keys: quotas.rate_limit_keys as usize,
            state_entries: quotas.state_entries as usize,
            state_size: quotas.state_size.as_usize(),
            metric_series: quotas.metric_series as usize,
            http_requests: quotas.http_requests as usize,
            http_time: quotas.http_time,
            http_response_size: quotas.http_response_size.as_usize(),
        },
    })
}

fn spec(wanted: &config::Attachment) -> AttachmentSpec {
    let limits = &wanted.limits;
    AttachmentSpec {
        config: wanted.config.to_string(),
        on_error: match wanted.on_error {
            config::OnError::Closed => OnError::Closed,
            config::OnError::Open => OnError::Open,
        },
        isolation: match wanted.isolation {
            config::Isolation::Reuse => Isolation::Reuse,
            config::Isolation::Request => Isolation::Request,
        },
        limits: PluginLimits {
            time: limits.time,
            memory: limits.memory.as_usize(),
            table_elements: limits.table_elements as usize,
            reply_size: limits.reply_size.as_usize(),
            log_rate: limits.log_rate,
            requests: u64::from(limits.requests),
            waiting_calls: limits.waiting_calls,
        },
    }
}

fn live_permission(permission: &config::Permission) -> Permission {
    match permission {
        config::Permission::Log => Permission::Log,
        config::Permission::Clock => Permission::Clock,
        config::Permission::Random => Permission::Random,
        config::Permission::Jwt => Permission::Jwt,
        config::Permission::RateLimit => Permission::RateLimit,
        config::Permission::Circuit => Permission::Circuit,
        config::Permission::State => Permission::State,
        config::Permission::Http => Permission::Http,
        config::Permission::Metrics => Permission::Metrics,
        config::Permission::Secrets => Permission::Secrets,
    }
}
