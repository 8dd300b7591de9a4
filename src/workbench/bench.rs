//! `cupctl plugin bench`: what a plugin costs on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use super::attach::{Around, place, words};
use super::control::{Control, worker};
use super::exchange::exchange;
use super::log::Log;
use super::report::{Output, say, say_json, size};
use super::source::Source;
use super::{Trouble, unreadable, written};
use crate::base::files::read_bounded;
use crate::config::{self, Problem};
use crate::message::ResponseHead;
use crate::plugin::{CacheFolder, Chain, Inspection, Instances, Origin, Outcome, Place, PluginEngine};
use crate::proxy::Snapshot;

/// Calls that are timed together: reading the clock takes as long as a small hook.
const BATCH: usize = 64;
/// Batches of each hook, however long they take.
const LEAST_BATCHES: usize = 10;
const INSTANTIATIONS: usize = 50;
const LARGEST_CONFIG: u64 = 16 << 20;
const HOOKS: [&str; 3] = ["on-request", "on-response", "on-finish"];

/// What is measured, and for how long.
#[derive(Debug)]
pub struct Options {
    /// A file with the plugin's configuration.
    pub config: Option<PathBuf>,
    /// Fields of each request, `name: value`.
    pub headers: Vec<String>,
    /// How long the hooks are called.
    pub time: Duration,
}

/// All times are in nanoseconds.
#[derive(Serialize)]
struct Told {
    name: String,
    size_bytes: usize,
    compile_ns: u64,
    instantiate_ns: u64,
    memory_bytes: usize,
    hooks: Vec<Hook>,
}

#[derive(Serialize)]
struct Hook {
    name: &'static str,
    median_ns: u64,
    p99_ns: u64,
    calls: usize,
}

/// Measures. 0 when that went well, 1 when the plugin cannot be used or faults, 2 when a file cannot be read.
pub fn bench(file: &Path, options: &Options, output: Output) -> Result<ExitCode, Trouble> {
    let source = Source::find(file)?;
    let request = written::Request { headers: headers(&options.headers)?, ..written::Request::default() };
    let config = options.config.as_deref().map(Config::read).transpose()?;
    let control = Control::start()?;
    let entered = control.handle.enter();
    let engine = PluginEngine::default();
    engine.keep_compiled(CacheFolder::Off);
    drop(entered);
    let inspect = || Inspection::of(&engine, &source.bytes).map_err(|error| source.refused(&error));
    // The first one starts the engine.
    let inspection = inspect()?;
    let started = Instant::now();
    inspect()?;
    let compile = started.elapsed();
    let nothing = Map::new();
    let folder = config.as_ref().map_or(Path::new("/"), |config| config.folder.as_path());
    let around = Around::new(&source, folder, (&nothing, &nothing), &inspection);
    let (instantiate, memory, samples) = worker(false)?.block_on(async {
        let snapshot = around
            .snapshot(&engine, config.as_ref().map(|config| &config.value))
            .map_err(|found| refused(config.as_ref(), &found))?;
        let instantiate = instantiate(&snapshot, &source)?;
        let instances = Instances::new(&snapshot.attachments, &Instances::default(), |_| Arc::default());
        let exchange = || {
            let exchange = exchange(&request, &snapshot.settings);
            exchange.map(Some).map_err(|(_, message)| Trouble::Unusable(message))
        };
        let log = Log::begin();
        let mut samples: [Vec<u64>; 3] = Default::default();
        let fault = |code: &str| {
            let lines = log.lines();
            let text = lines.last().map_or(code, String::as_str);
            Trouble::Plugin { message: format!("plugin `{}` faults: {text}", source.name), hint: None }
        };
        round(&snapshot, &instances, &mut samples, vec![exchange()?]).await.map_err(fault)?;
        samples = Default::default();
        let started = Instant::now();
        while samples[0].len() < LEAST_BATCHES || started.elapsed() < options.time {
            let exchanges = (0..BATCH).map(|_| exchange()).collect::<Result<_, _>>()?;
            round(&snapshot, &instances, &mut samples, exchanges).await.map_err(fault)?;
        }
        Ok((instantiate, instances.memory().into_iter().max().unwrap_or_default(), samples))
    })?;
    let hooks = HOOKS.into_iter().zip(samples).filter(|(name, _)| inspection.hooks.contains(name));
    tell(
        &Told {
            name: source.name.clone(),
            size_bytes: source.bytes.len(),
            compile_ns: compile.as_nanos() as u64,
            instantiate_ns: instantiate,
            memory_bytes: memory,
            hooks: hooks.map(|(name, samples)| Hook::of(name, samples)).collect(),
        },
        output,
    );
    Ok(ExitCode::SUCCESS)
}

impl Hook {
    fn of(name: &'static str, mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        let at = |share: usize| samples.get(samples.len() * share / 100).copied().unwrap_or_default();
        Self { name, median_ns: at(50), p99_ns: at(99), calls: samples.len() * BATCH }
    }
}

/// Takes some exchanges through all hooks, one hook after another, and adds the time per call of each. The code of a fault
/// ends it.
async fn round(
    snapshot: &Snapshot,
    instances: &Instances,
    samples: &mut [Vec<u64>; 3],
    exchanges: Vec<Place>,
) -> Result<(), &'static str> {
    let links = &snapshot.routes[0].rules[0].plugins;
    let count = exchanges.len() as u32;
    let mut under_way: Vec<(Chain, Place)> =
        exchanges.into_iter().map(|exchange| (Chain::default(), exchange)).collect();
    let [on_request, on_response, on_finish] = samples;
    let started = Instant::now();
    for (chain, place) in &mut under_way {
        // A reply is as good as going on: the hook was called.
        let _ = chain.on_request(instances, links, place).await;
    }
    on_request.push((started.elapsed() / count).as_nanos() as u64);
    for (_, place) in &mut under_way {
        place.as_mut().expect("a call that has ended has put it back").response =
            Some(ResponseHead::default());
    }
    let started = Instant::now();
    for (chain, place) in &mut under_way {
        chain.on_response(instances, place, |_, _| ()).await;
    }
    on_response.push((started.elapsed() / count).as_nanos() as u64);
    let outcome = outcome();
    let started = Instant::now();
    for (chain, place) in &mut under_way {
        chain.on_finish(instances, place, &outcome).await;
    }
    on_finish.push((started.elapsed() / count).as_nanos() as u64);
    let mut said = under_way.iter().flat_map(|(chain, _)| chain.verdicts(instances));
    said.find(|(_, verdict)| *verdict != "reply").map_or(Ok(()), |(_, code)| Err(code))
}

fn outcome() -> Outcome {
    Outcome {
        status: 200,
        origin: Origin::Backend,
        reason: None,
        backend: Some(super::exchange::BACKEND.to_owned()),
        complete: true,
        request_bytes: 0,
        response_bytes: 0,
        duration: 1_000_000,
    }
}

/// Half of all take longer than this, `configure` included.
fn instantiate(snapshot: &Snapshot, source: &Source) -> Result<u64, Trouble> {
    let mut times = Vec::with_capacity(INSTANTIATIONS);
    for _ in 0..INSTANTIATIONS {
        let started = Instant::now();
        snapshot.attachments[0].check().map_err(|error| Trouble::Plugin {
            message: format!("plugin `{}` {error}", source.name),
            hint: error.hint(),
        })?;
        times.push(started.elapsed().as_nanos() as u64);
    }
    times.sort_unstable();
    Ok(times[INSTANTIATIONS / 2])
}

fn tell(told: &Told, output: Output) {
    if output == Output::Json {
        return say_json(told);
    }
    let line = |name: &str, value: &str| say(format_args!("{name:<14}{value}"));
    line("plugin", &told.name);
    line("component", &size(told.size_bytes));
    line("compile", &format!("{:.1} ms", told.compile_ns as f64 / 1e6));
    line("instantiate", &format!("{:.1} us, `configure` included", told.instantiate_ns as f64 / 1e3));
    line("memory", &format!("{} for an instance", size(told.memory_bytes)));
    for Hook { name, median_ns, p99_ns, calls } in &told.hooks {
        line(name, &format!("median {median_ns} ns, p99 {p99_ns} ns ({calls} calls in batches of {BATCH})"));
    }
    say(format_args!(
        "times depend on this machine and on what else it does: compare what was measured side by side"
    ));
}

/// A file with a configuration.
struct Config {
    path: PathBuf,
    folder: PathBuf,
    text: String,
    value: Value,
}

impl Config {
    fn read(path: &Path) -> Result<Self, Trouble> {
        let unreadable = |error| unreadable("configuration", path, &error);
        let bytes = read_bounded(path, LARGEST_CONFIG).map_err(unreadable)?;
        let folder =
            fs::canonicalize(path).map_err(unreadable)?.parent().unwrap_or(Path::new("/")).to_owned();
        let wrong = |message: String| Trouble::Unusable(format!("{}: {message}", path.display()));
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
        let value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { path: path.to_owned(), folder, text, value })
    }
}

fn refused(config: Option<&Config>, found: &[config::Diagnostic]) -> Trouble {
    let Some(config) = config else {
        let hint = Some("--config names a file with its configuration".to_owned());
        return Trouble::Plugin { message: format!("{} (without a configuration)", words(found)), hint };
    };
    let problem = |found: &config::Diagnostic| Problem::error(place(found, ""), &found.message);
    let located = config::locate(&config.text, found.iter().map(problem).collect());
    let said: Vec<_> = located.iter().map(ToString::to_string).collect();
    let message = format!("{}: {}", config.path.display(), said.join("\n"));
    Trouble::Plugin { message, hint: None }
}

/// `name: value` or `name:value`.
fn headers(given: &[String]) -> Result<Vec<(String, String)>, Trouble> {
    let header = |text: &String| {
        let parts =
            text.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        parts.ok_or_else(|| Trouble::Unusable(format!("expected a header `name: value`, found `{text}`")))
    };
    given.iter().map(header).collect()
}
