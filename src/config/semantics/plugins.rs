//! Plugins and their attachments.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::written::{self, AttachmentSettings, Document};
use super::{Environment, amounts, names, settings, when};
use crate::base::units::ByteSize;
use crate::config::checked::{Attachment, Isolation, Permission, Plugin, PluginLimits, PluginSource, Quotas};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::did_you_mean;

const TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
const MEMORY: RangeInclusive<ByteSize> = ByteSize::kib(64)..=ByteSize::mib(256);
const REPLY_SIZE: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::mib(4);

pub(super) struct Plugins<'e> {
    checked: Vec<Plugin>,
    /// None is a plugin that was reported.
    named: HashMap<String, Option<Definition>>,
    /// The field `plugins` was not removed by the check.
    is_complete: bool,
    shipped: &'e [&'e str],
    /// Names of the document's secrets.
    secrets: BTreeSet<String>,
    /// The plugins of every route.
    everywhere: Vec<Attachment>,
}

/// What attachments take over from a plugin.
#[derive(Default)]
struct Definition {
    name: String,
    /// In [`Plugins::checked`].
    index: usize,
    isolation: Isolation,
    limits: PluginLimits,
    config: Value,
}

impl<'e> Plugins<'e> {
    /// Those of the field `plugins`.
    pub(super) fn defined(document: &Document, environment: &Environment<'e>, report: &mut Report) -> Self {
        let is_complete = document.plugins.is_some() || !report.has_lost(&Path::ROOT, "plugins");
        let secrets = document.secrets.iter().flatten().map(|(name, _)| name.clone()).collect();
        let shipped = environment.shipped;
        let mut plugins = Self {
            checked: Vec::new(),
            named: HashMap::new(),
            is_complete,
            shipped,
            secrets,
            everywhere: Vec::new(),
        };
        let at = Path::ROOT.field("plugins");
        for (name, written) in document.plugins.iter().flatten() {
            let at = at.field(name);
            names::check(&at, name, report);
            let definition =
                written.as_ref().map(|written| plugins.define(&at, name, written, environment, report));
            plugins.named.insert(name.clone(), definition);
        }
        plugins
    }

    fn define(
        &mut self,
        at: &Path<'_>,
        name: &str,
        written: &written::Plugin,
        environment: &Environment<'_>,
        report: &mut Report,
    ) -> Definition {
        let source = match &written.source {
            Some(file) => PluginSource::File(environment.directory.join(file)),
            None => PluginSource::Shipped,
        };
        let is_there =
            written.source.is_some() || self.shipped.contains(&name) || report.has_lost(at, "source");
        if !is_there {
            self.report_not_shipped(at, name, report);
        }
        let permissions = written.permissions.iter().flatten().filter_map(|permission| *permission).collect();
        self.check_grants(at, written, &permissions, report);
        let networks = written.private_networks.iter().flatten().enumerate();
        let at_networks = at.field("private_networks");
        let plugin = Plugin {
            name: name.to_owned(),
            source,
            permissions,
            hosts: written.hosts.iter().flatten().flatten().cloned().collect(),
            private_networks: networks
                .filter_map(|(index, text)| {
                    settings::network(&at_networks.item(index), text.as_ref()?, report)
                })
                .collect(),
            secrets: written.secrets.iter().flatten().flatten().cloned().collect(),
            quotas: quotas(&at.field("quotas"), written.quotas.as_ref(), report),
            pointer: at.pointer(),
        };
        Definition {
            name: name.to_owned(),
            index: self.push(plugin),
            isolation: written.isolation.unwrap_or_default(),
            limits: limits(&at.field("limits"), written.limits.as_ref(), PluginLimits::default(), report),
            config: written.config.clone().unwrap_or_default(),
        }
    }

    /// What is granted by name goes with its permission.
    fn check_grants(
        &self,
        at: &Path<'_>,
        written: &written::Plugin,
        permissions: &BTreeSet<Permission>,
        report: &mut Report,
    ) {
        let is_complete =
            !report.has_lost(at, "permissions") && !written.permissions.iter().flatten().any(Option::is_none);
        let mut needs = |field: &str, is_there: bool, permission: Permission, name: &str| {
            if is_there && is_complete && !permissions.contains(&permission) {
                let message = format!("`{field}` without the permission `{name}`");
                let problem = Problem::error(at.field(field).pointer(), message).part(Part::Name);
                report.add(problem.hint(format!("add \"{name}\" to its `permissions`")));
            }
        };
        needs("hosts", written.hosts.is_some(), Permission::Http, "http");
        needs("private_networks", written.private_networks.is_some(), Permission::Http, "http");
        needs("secrets", written.secrets.is_some(), Permission::Secrets, "secrets");
        let at = at.field("secrets");
        for (index, name) in written.secrets.iter().flatten().enumerate() {
            if let Some(name) = name.as_ref().filter(|name| !self.secrets.contains(*name)) {
                report.unknown(at.item(index), "secret", name, self.secrets.iter().map(String::as_str));
            }
        }
    }

    fn report_not_shipped(&self, at: &Path<'_>, name: &str, report: &mut Report) {
        let problem =
            Problem::error(at.pointer(), "expected a `source`, since no plugin of this name is shipped");
        report.add(problem.maybe_hint(did_you_mean(name, self.shipped.iter().copied())));
    }

    /// A plugin at its place in a rule.
    fn attach(
        &mut self,
        at: &Path<'_>,
        written: &written::Attachment,
        report: &mut Report,
    ) -> Option<Attachment> {
        let (definition, settings) = match written {
            written::Attachment::Name(name) => {
                (self.find(at, at, name, report), &AttachmentSettings::default())
            }
            written::Attachment::Settings(settings) => {
                let name = settings.name.as_ref();
                (name.and_then(|name| self.find(at, &at.field("use"), name, report)), &**settings)
            }
        };
        let inherited = definition.map_or_else(PluginLimits::default, |definition| definition.limits);
        let limits = limits(&at.field("limits"), settings.limits.as_ref(), inherited, report);
        let definition = definition.map(|definition| {
            let Definition { name, index, isolation, config, .. } = definition;
            let (config, at_config) = match &settings.config {
                None if !config.is_null() => {
                    (config, Path::ROOT.field("plugins").field(name).field("config").pointer())
                }
                own => (own.as_ref().unwrap_or(config), at.field("config").pointer()),
            };
            (name.clone(), *index, *isolation, config.clone(), at_config)
        });
        let when = settings.when.as_ref().map(|when| when::check(&at.field("when"), when, report));
        let (name, plugin, isolation, config, config_pointer) = definition?;
        Some(Attachment {
            plugin,
            name,
            config,
            when,
            on_error: settings.on_error.unwrap_or_default(),
            isolation: settings.isolation.unwrap_or(isolation),
            limits,
            pointer: at.pointer(),
            config_pointer,
        })
    }

    /// The plugins of every route.
    pub(super) fn attach_everywhere(&mut self, document: &Document, report: &mut Report) {
        let Some(written) = document.http.as_ref().and_then(|http| http.plugins.as_ref()) else { return };
        let at = Path::ROOT.field("http");
        self.everywhere = self.attach_all(&at.field("plugins"), written, report);
    }

    /// The plugins of a rule: those of every route but for what it switches off, then its own.
    pub(super) fn attach_to_rule(
        &mut self,
        at: &Path<'_>,
        written: &[Option<written::Attachment>],
        report: &mut Report,
    ) -> Vec<Attachment> {
        let off: Vec<&str> = written.iter().flatten().filter_map(switched_off).collect();
        for (index, name) in
            written.iter().enumerate().filter_map(|(i, w)| Some((i, switched_off(w.as_ref()?)?)))
        {
            if !self.everywhere.iter().any(|attachment| attachment.name == name) {
                let at = at.item(index).field("use").pointer();
                report.unknown(
                    at,
                    "plugin of `http.plugins`",
                    name,
                    self.everywhere.iter().map(|a| &*a.name),
                );
            }
        }
        let kept = self.everywhere.iter().filter(|attachment| !off.contains(&&*attachment.name));
        let mut attachments: Vec<_> = kept.cloned().collect();
        attachments.extend(self.attach_all(at, written, report));
        attachments
    }

    fn attach_all(
        &mut self,
        at: &Path<'_>,
        written: &[Option<written::Attachment>],
        report: &mut Report,
    ) -> Vec<Attachment> {
        let written = written.iter().enumerate();
        let used = written.filter_map(|(index, written)| Some((index, written.as_ref()?)));
        let used = used.filter(|(_, written)| switched_off(written).is_none());
        used.filter_map(|(index, written)| self.attach(&at.item(index), written, report)).collect()
    }

    /// The plugin that an attachment names at a place of its own. A shipped one needs no definition.
    fn find(
        &mut self,
        at: &Path<'_>,
        at_name: &Path<'_>,
        name: &str,
        report: &mut Report,
    ) -> Option<&Definition> {
        if !self.named.contains_key(name) {
            if self.shipped.contains(&name) {
                self.define_shipped(at, name);
            } else if self.is_complete {
                let known = self.named.keys().map(String::as_str).chain(self.shipped.iter().copied());
                report.unknown(at_name, "plugin", name, known);
            }
        }
        self.named.get(name)?.as_ref()
    }

    fn define_shipped(&mut self, at: &Path<'_>, name: &str) {
        let source = PluginSource::Shipped;
        let plugin = Plugin {
            name: name.to_owned(),
            source,
            permissions: BTreeSet::new(),
            hosts: Vec::new(),
            private_networks: Vec::new(),
            secrets: Vec::new(),
            quotas: Quotas::default(),
            pointer: at.pointer(),
        };
        let definition =
            Definition { name: name.to_owned(), index: self.push(plugin), ..Definition::default() };
        self.named.insert(name.to_owned(), Some(definition));
    }

    fn push(&mut self, plugin: Plugin) -> usize {
        self.checked.push(plugin);
        self.checked.len() - 1
    }

    pub(super) fn into_checked(self) -> Vec<Plugin> {
        self.checked
    }
}

/// The name of a plugin that is not to be used at its place.
fn switched_off(written: &written::Attachment) -> Option<&str> {
    match written {
        written::Attachment::Settings(settings) if settings.enabled == Some(false) => {
            settings.name.as_deref()
        }
        _ => None,
    }
}

/// The limits at a place; those that are absent are as inherited.
fn limits(
    at: &Path<'_>,
    written: Option<&written::PluginLimits>,
    inherited: PluginLimits,
    report: &mut Report,
) -> PluginLimits {
    let Some(written) = written else { return inherited };
    let time = amounts::duration(&at.field("time"), written.time.as_ref(), TIME, report);
    let memory = amounts::size(&at.field("memory"), written.memory.as_ref(), MEMORY, report);
    let reply_size = amounts::size(&at.field("reply_size"), written.reply_size.as_ref(), REPLY_SIZE, report);
    PluginLimits {
        time: time.unwrap_or(inherited.time),
        memory: memory.unwrap_or(inherited.memory),
        table_elements: written.table_elements.unwrap_or(inherited.table_elements),
        reply_size: reply_size.unwrap_or(inherited.reply_size),
        log_rate: written.log_rate.unwrap_or(inherited.log_rate),
        requests: written.requests.unwrap_or(inherited.requests),
        waiting_calls: written.waiting_calls.unwrap_or(inherited.waiting_calls),
    }
}

const STATE_SIZE: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::mib(1024);
const HTTP_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const HTTP_RESPONSE_SIZE: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::mib(16);

fn quotas(at: &Path<'_>, written: Option<&written::Quotas>, report: &mut Report) -> Quotas {
    let default = Quotas::default();
    let Some(written) = written else { return default };
    let time = amounts::duration(&at.field("http_time"), written.http_time.as_ref(), HTTP_TIME, report);
    let mut size = |field, written: &Option<written::SizeText>, bounds| {
        amounts::size(&at.field(field), written.as_ref(), bounds, report)
    };
    let state_size = size("state_size", &written.state_size, STATE_SIZE);
    let response_size = size("http_response_size", &written.http_response_size, HTTP_RESPONSE_SIZE);
    Quotas {
        rate_limit_keys: written.rate_limit_keys.unwrap_or(default.rate_limit_keys),
        state_entries: written.state_entries.unwrap_or(default.state_entries),
        state_size: state_size.unwrap_or(default.state_size),
        metric_series: written.metric_series.unwrap_or(default.metric_series),
        http_requests: written.http_requests.unwrap_or(default.http_requests),
        http_time: time.unwrap_or(default.http_time),
        http_response_size: response_size.unwrap_or(default.http_response_size),
    }
}
