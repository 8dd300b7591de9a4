//! The one WebAssembly engine of the process.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;
use wasmtime::{Cache, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::{self, CacheFolder};
use super::load::{LoadError, chain};
use crate::capability::Capabilities;

/// How often a running guest looks whether its time is up, and so how exact deadlines are.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// When plugins' monotonic time began: with the engine, so before anything that a plugin could measure.
pub(super) static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Instances that may exist at one time, in all workers together.
const INSTANCES: u32 = 1000;
/// The largest memory that a document may grant.
const LARGEST_MEMORY: usize = 256 << 20;
/// The most table elements that a document may grant.
const MOST_ELEMENTS: usize = 1_000_000;
/// Bytes of a used memory that are wiped in place for the next instance instead of being given back to the system.
const KEPT_MEMORY: usize = 256 << 10;
/// Native stack that a guest may use.
const STACK: usize = 512 << 10;

/// Compiles and runs components. Starts with the first of them: a gateway without plugins reserves no address space
/// and has no ticking thread.
#[derive(Debug, Default)]
pub struct PluginEngine {
    running: OnceLock<Result<Running, String>>,
    /// Where compiled components are kept, once that is known.
    cache: OnceLock<CacheFolder>,
    /// What plugins share with each other and with the operator.
    pub capabilities: Arc<Capabilities>,
}

#[derive(Debug)]
struct Running {
    engine: Engine,
    warm: Arc<WarmPlaces>,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl PluginEngine {
    /// Says where compiled components are kept. Counts until the first plugin is loaded.
    pub fn keep_compiled(&self, folder: CacheFolder) {
        // The first word counts: what is running cannot change it.
        let _ = self.cache.set(folder);
    }

    pub(super) fn engine(&self) -> Result<&Engine, LoadError> {
        self.running().map(|running| &running.engine)
    }

    fn running(&self) -> Result<&Running, LoadError> {
        let start = || Running::start(self.cache.get()).map_err(|error| chain(&error));
        let running = self.running.get_or_init(start);
        running.as_ref().map_err(|error| LoadError::Engine(error.clone()))
    }

    /// The places for instances that wait warm.
    pub(super) fn warm_places(&self) -> Result<Arc<WarmPlaces>, LoadError> {
        self.running().map(|running| Arc::clone(&running.warm))
    }

    /// In ticks, never less than asked for.
    pub(super) fn ticks(time: Duration) -> u64 {
        time.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1
    }
}

impl Running {
    /// Reserves the address space for instances and starts the thread that makes deadlines pass.
    #[expect(clippy::disallowed_methods, reason = "sleeping is what that thread does")]
    fn start(cache: Option<&CacheFolder>) -> wasmtime::Result<Self> {
        LazyLock::force(&START);
        let mut config = config();
        config.cache(cache.and_then(CacheFolder::path).and_then(|path| open_cache(&path)));
        let engine = Engine::new(&config)?;
        let stop = Arc::new(AtomicBool::new(false));
        let ticker = std::thread::Builder::new().name("plugin-ticker".into()).spawn({
            let (engine, stop) = (engine.weak(), Arc::clone(&stop));
            move || {
                while !stop.load(Relaxed) {
                    std::thread::sleep(TICK);
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { engine, warm: Arc::default(), stop, ticker: Some(ticker) })
    }
}

/// Instances that may wait warm, in all workers together: half of what there can be, so that one worker's do not keep
/// another one, a check or a request's own instance from its place.
#[derive(Debug, Default)]
pub(super) struct WarmPlaces(AtomicU32);

/// One of them, for as long as its instance lives.
#[derive(Debug)]
pub(super) struct WarmPlace(Arc<WarmPlaces>);

impl WarmPlaces {
    /// A place, unless all are taken.
    pub fn take(self: &Arc<Self>) -> Option<WarmPlace> {
        let taken =
            self.0.fetch_update(Relaxed, Relaxed, |taken| (taken < INSTANCES / 2).then_some(taken + 1));
        taken.is_ok().then(|| WarmPlace(Arc::clone(self)))
    }
}

impl Drop for WarmPlace {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(ticker) = self.ticker.take() {
            // A ticker that panicked has nothing left to stop.
            let _ = ticker.join();
        }
    }
}

/// A gateway that cannot keep what it has compiled runs all the same.
fn open_cache(path: &Path) -> Option<Cache> {
    let opened = cache::open(path);
    opened.map_err(|error| warn!(folder = %path.display(), %error, "compiled plugins are not kept")).ok()
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(4 * INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(2 * INSTANCES)
        .table_elements(MOST_ELEMENTS)
        .max_memory_size(LARGEST_MEMORY)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_MEMORY)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .wasm_component_model(true)
        // Filters are called synchronously; what concurrent calls would need is not set up for them.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .max_wasm_stack(STACK);
    config
}
