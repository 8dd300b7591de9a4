//! From the document as it is written to the checked one: texts are parsed, names resolved, defaults filled in, and
//! what contradicts itself is reported.
//!
//! Every function gives what it could make of its part. What could not be made has been reported, here or by an
//! earlier stage, and is left out; then the result is of no use but to check the rest against.

use super::Environment;
use super::checked::{Admin, Checked, Secrets};
use super::document::{self as written, Document};
use super::report::Report;

mod actions;
mod amounts;
mod balancing;
mod compress;
mod conditions;
mod dial;
mod health;
mod key_sets;
mod listeners;
mod names;
mod plugins;
mod retry;
mod routes;
mod settings;
mod tls;
mod traffic;
mod upstreams;
mod values;
mod when;

use actions::Files;
use plugins::Plugins;
use routes::Routes;
use upstreams::Upstreams;

pub(super) fn check(
    document: &Document,
    environment: &Environment<'_>,
    secrets: Secrets,
    report: &mut Report,
) -> Checked {
    let mut upstreams = Upstreams::named(document, environment, report);
    let mut plugins = Plugins::defined(document, environment, report);
    plugins.attach_everywhere(document, report);
    let mut files = Files::new(environment);
    let compress = compress::Everywhere::check(document, report);
    let routes =
        Routes { upstreams: &mut upstreams, plugins: &mut plugins, files: &mut files, compress, report }
            .check(document);
    let (listeners, admin_listen) = listeners::check(document, environment, report);
    let admin_socket = document.admin.as_ref().and_then(|admin| admin.socket.as_ref());
    Checked {
        workers: settings::workers(document),
        listeners,
        http: settings::http(document, &mut files, report),
        access_log: settings::access_log(document, environment),
        admin: Admin {
            listen: admin_listen,
            token: settings::admin_token(document, report),
            tls: settings::admin_tls(document, environment, report),
            socket: admin_socket.map(|path| environment.directory.join(path)),
        },
        upstreams: upstreams.into_checked(),
        dns: settings::dns(document, report),
        plugins: plugins.into_checked(),
        key_sets: key_sets::check(document, environment, report),
        named_secrets: settings::named_secrets(document, report),
        plugin_cache: settings::kept_in(document.plugin_cache.as_deref(), environment),
        leader: document.source.unwrap_or_default(),
        history: settings::kept_in(document.history.as_deref(), environment),
        routes,
        reply_files: files.read,
        secrets,
    }
}
