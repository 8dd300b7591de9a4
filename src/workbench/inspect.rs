//! `cupctl plugin inspect`.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use super::report::{Output, say, say_json, size};
use super::source::Source;
use super::{Trouble, ended};
use crate::plugin::{CacheFolder, Inspection, LoadError, PluginEngine};

/// What is printed as JSON.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    shipped: bool,
    contract: &'a str,
    hooks: &'a [&'static str],
    permissions: Vec<Permission>,
    unknown_imports: &'a [String],
    waits: bool,
    size: usize,
    digest: String,
    config_schema: &'a Option<Value>,
}

#[derive(Serialize)]
struct Permission {
    name: &'static str,
    /// Without a document's saying so.
    granted: bool,
}

/// Tells what a component exports and asks for. 0 when a gateway can use it, 1 when it cannot, 2 when it cannot be read.
pub fn inspect(file: &Path, output: Output) -> Result<ExitCode, Trouble> {
    let source = Source::find(file)?;
    // What is opened for plugins belongs to a runtime. Nothing runs on this one.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Trouble::Unusable(format!("no runtime: {error}")))?;
    let _entered = runtime.enter();
    let engine = PluginEngine::default();
    engine.keep_compiled(CacheFolder::Default);
    let inspection = Inspection::of(&engine, &source.bytes).map_err(|error| source.refused(&error))?;
    tell(&source, &inspection, output);
    let usable = match inspection.unknown.first() {
        Some(unknown) => Err(LoadError::UnknownImport(unknown.clone())),
        None => inspection.check(&engine, &source.bytes),
    };
    Ok(match usable {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(Err(source.refused(&error))),
    })
}

fn tell(source: &Source, inspection: &Inspection, output: Output) {
    let Inspection { digest, contract, hooks, permissions, unknown, waits, schema } = inspection;
    let permission = |&permission| Permission {
        name: crate::plugin::Permission::name(permission),
        granted: source.has_by_default(permission),
    };
    let permissions: Vec<_> = permissions.iter().map(permission).collect();
    let (size_in_bytes, digest) = (source.bytes.len(), digest.to_string());
    if output == Output::Json {
        return say_json(&Told {
            name: &source.name,
            shipped: source.path.is_none(),
            contract,
            hooks,
            permissions,
            unknown_imports: unknown,
            waits: *waits,
            size: size_in_bytes,
            digest,
            config_schema: schema,
        });
    }
    let line = |name: &str, value: &str| say(format_args!("{name:<14}{value}"));
    line(
        "plugin",
        &if source.path.is_none() { format!("{} (shipped)", source.name) } else { source.name.clone() },
    );
    line("contract", contract);
    line("hooks", &or_none(&hooks.join(", ")));
    let granted = |permission: &Permission| {
        let by = if permission.granted { "granted" } else { "to be granted" };
        format!("{} ({by})", permission.name)
    };
    line("permissions", &or_none(&permissions.iter().map(granted).collect::<Vec<_>>().join(", ")));
    if !unknown.is_empty() {
        line("unknown", &unknown.join(", "));
    }
    line("calls", if *waits { "may wait" } else { "never wait" });
    line("config schema", if schema.is_some() { "present (--output json shows it)" } else { "absent" });
    line("size", &format!("{} ({size_in_bytes} bytes)", size(size_in_bytes)));
    line("SHA-256", &digest);
}

fn or_none(list: &str) -> String {
    if list.is_empty() { "none".to_owned() } else { list.to_owned() }
}
