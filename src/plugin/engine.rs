//! The one WebAssembly engine of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often a running guest looks whether its time is up, and so how exact deadlines are.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Instances that may exist at one time, in all workers together.
const INSTANCES: u32 = 1000;
/// The largest memory that a document may grant.
const LARGEST_MEMORY: usize = 256 << 20;
/// The most table elements that a document may grant.
const MOST_ELEMENTS: usize = 100_000;
/// Bytes of a used memory that are wiped in place for the next instance instead of being given back to the system.
const KEPT_MEMORY: usize = 256 << 10;
/// Native stack that a guest may use.
const STACK: usize = 512 << 10;

/// Compiles and runs components. Owns the thread that makes deadlines pass.
#[derive(Debug)]
pub struct PluginEngine {
    engine: Engine,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl PluginEngine {
    /// Reserves the address space for instances and starts the ticker.
    pub fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
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
        Ok(Self { engine, stop, ticker: Some(ticker) })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// In ticks, never less than asked for.
    pub(super) fn ticks(time: Duration) -> u64 {
        time.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1
    }
}

impl Drop for PluginEngine {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(ticker) = self.ticker.take() {
            // A ticker that panicked has nothing left to stop.
            let _ = ticker.join();
        }
    }
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
