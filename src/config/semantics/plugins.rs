//! Plugins and their attachments.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::written::{self, AttachmentSettings, Document};
use super::{Environment, amounts, names};
use crate::base::units::ByteSize;
use crate::config::checked::{Attachment, Isolation, Plugin, PluginLimits, PluginSource};
use crate::config::diagnostic::Problem;
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
        let mut plugins =
            Self { checked: Vec::new(), named: HashMap::new(), is_complete, shipped: environment.shipped };
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
        let plugin = Plugin { name: name.to_owned(), source, permissions, pointer: at.pointer() };
        Definition {
            name: name.to_owned(),
            index: self.push(plugin),
            isolation: written.isolation.unwrap_or_default(),
            limits: limits(&at.field("limits"), written.limits.as_ref(), PluginLimits::default(), report),
            config: written.config.clone().unwrap_or_default(),
        }
    }

    fn report_not_shipped(&self, at: &Path<'_>, name: &str, report: &mut Report) {
        let problem =
            Problem::error(at.pointer(), "expected a `source`, since no plugin of this name is shipped");
        report.add(problem.maybe_hint(did_you_mean(name, self.shipped.iter().copied())));
    }

    /// A plugin at its place in a rule.
    pub(super) fn attach(
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
                (name.and_then(|name| self.find(at, &at.field("use"), name, report)), settings)
            }
        };
        let inherited = definition.map_or_else(PluginLimits::default, |definition| definition.limits);
        let limits = limits(&at.field("limits"), settings.limits.as_ref(), inherited, report);
        let definition = definition?;
        Some(Attachment {
            plugin: definition.index,
            name: definition.name.clone(),
            config: settings.config.as_ref().unwrap_or(&definition.config).clone(),
            on_error: settings.on_error.unwrap_or_default(),
            isolation: settings.isolation.unwrap_or(definition.isolation),
            limits,
            pointer: at.pointer(),
        })
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
        let plugin =
            Plugin { name: name.to_owned(), source, permissions: BTreeSet::new(), pointer: at.pointer() };
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
    }
}
