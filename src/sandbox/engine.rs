//! One wasmtime engine a process that runs guests: how guests are compiled, where their memories come from, and the ticker that interrupts them.
//!
//! Facts behind each setting: wasmtime's documentation of `Config` and `PoolingAllocationConfig`.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{CacheStore, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy, WasmBacktraceDetails};

use super::{
    filesystem::Spares,
    footprint::{CORE_INSTANCES, KEPT_BYTES, MEMORIES, TABLE_ELEMENTS, TABLES},
    functions::Functions,
    idle::Idle,
    rewind::Rewinder,
    turns::Turns,
};
use crate::{
    fault::{BusyFault, HostFault},
    limits::Limits,
};

/// How long a guest computes before it yields to its neighbours on the same thread.
const TICK: Duration = Duration::from_millis(2);
/// Ticks without a guest after which the ticker sleeps. To wake it for each call would cost more than many calls do.
const QUIET: u32 = 50;

/// Of a place that is free, what stays in memory for the next instance, put back to what its image has: without it each of these pages would
/// be unmapped, mapped and faulted in again. All that is kept is written anew for each instance, whether the last one has changed it or not:
/// more than that costs a small guest more than it saves a large one.
const KEPT_MEMORY: usize = 64 << 10;
const KEPT_TABLES: usize = 64 << 10;
/// Free places that keep something.
const KEPT_PLACES: u32 = 32;

/// The engine, its ticker, and what all its guests share: the places, the order in which they compute, and those that wait for work.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    ticker: Arc<Ticker>,
    compiler: Option<Compiler>,
    places: Arc<Places>,
    turns: Arc<Turns>,
    idle: Arc<Idle>,
    rewinder: Rewinder,
    spares: Arc<Spares>,
}

/// A wasmtime without a pool, which takes functions that were compiled before, and keeps new ones.
#[derive(Clone)]
struct Compiler {
    wasmtime: wasmtime::Engine,
    functions: Arc<Functions>,
}

/// The places of the pool.
struct Places {
    all: usize,
    taken: AtomicUsize,
}

/// A place of the pool, until it is dropped.
pub(super) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// Sets up an engine whose pool has `limits.worker_instances` places.
    ///
    /// # Errors
    /// [`HostFault::Sandbox`] when the machine refuses: most often its limit of address space (`ulimit -v`).
    pub fn new(limits: &Limits) -> Result<Self, HostFault> {
        Self::of(&config(limits), limits)
    }

    /// Sets up an engine that compiles and runs nothing: it has no pool, and so gets along with a limit of address space.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn compiler(limits: &Limits, file: &Path) -> Result<Self, HostFault> {
        Ok(Self { compiler: Some(Compiler::new(file)?), ..Self::of(&code_config(), limits)? })
    }

    /// The same, for a process that compiles: functions that were compiled before are taken from `file`, and new ones are kept there. It must
    /// lie where nobody else can write.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn compiling(limits: &Limits, file: &Path) -> Result<Self, HostFault> {
        Ok(Self { compiler: Some(Compiler::new(file)?), ..Self::new(limits)? })
    }

    fn of(config: &Config, limits: &Limits) -> Result<Self, HostFault> {
        let wasmtime = wasmtime::Engine::new(config).map_err(|error| refused(&error))?;
        let ticker = Ticker::start(wasmtime.weak())?;
        let places = Places { all: usize::try_from(limits.worker_instances).unwrap_or(usize::MAX), taken: AtomicUsize::new(0) };
        Ok(Self {
            wasmtime,
            ticker,
            compiler: None,
            places: Arc::new(places),
            turns: Arc::default(),
            idle: Arc::default(),
            rewinder: Rewinder::default(),
            spares: Arc::default(),
        })
    }

    /// The same, with what instances are rewound with; without, none is.
    #[must_use]
    pub fn with_rewinder(mut self, rewinder: Rewinder) -> Self {
        self.rewinder = rewinder;
        self
    }

    /// What instances are rewound with.
    pub(super) fn rewinder(&self) -> &Rewinder {
        &self.rewinder
    }

    /// A place of the pool; the instance that is idle for longest gives way.
    pub(super) fn place(&self) -> Result<Place, BusyFault> {
        loop {
            let places = &self.places;
            let taken = places.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < places.all).then_some(taken + 1));
            match taken {
                Ok(_) => return Ok(Place(Arc::clone(places))),
                Err(_) if self.idle.give_way(None) => {}
                Err(_) => return Err(BusyFault::NoInstance),
            }
        }
    }

    /// Folders for an instance's `/tmp`.
    pub(super) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// The order in which guests compute.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The instances that wait for work.
    pub(super) fn idle(&self) -> &Arc<Idle> {
        &self.idle
    }

    /// The machine code of a component.
    ///
    /// # Errors
    /// wasmtime's, for what is no component that this engine knows.
    pub fn compile(&self, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        self.compiled(|wasmtime| wasmtime.precompile_component(component))
    }

    /// The same of a component with few functions, for which what is kept is not worth to be read.
    ///
    /// # Errors
    /// As [`Engine::compile`].
    pub fn compile_little(&self, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        self.wasmtime.precompile_component(component)
    }

    /// The machine code of a library.
    ///
    /// # Errors
    /// As [`Engine::compile`].
    pub fn compile_library(&self, module: &[u8]) -> wasmtime::Result<Vec<u8>> {
        self.compiled(|wasmtime| wasmtime.precompile_module(module))
    }

    fn compiled(&self, compile: impl FnOnce(&wasmtime::Engine) -> wasmtime::Result<Vec<u8>>) -> wasmtime::Result<Vec<u8>> {
        let Some(Compiler { wasmtime, functions }) = &self.compiler else { return compile(&self.wasmtime) };
        let code = compile(wasmtime)?;
        // A full disk is no reason to refuse what is compiled: the next compilation begins again.
        drop(functions.keep());
        Ok(code)
    }

    /// wasmtime's engine.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Says that a guest runs, until the result is dropped: the ticker sleeps when none does for a while.
    pub(super) fn running(&self) -> Running {
        self.ticker.watch.guests.fetch_add(1, Ordering::SeqCst);
        // It says that it sleeps before it looks once more: one of the two sees the other.
        if self.ticker.watch.sleeps.load(Ordering::SeqCst) {
            self.ticker.thread.unpark();
        }
        Running(Arc::clone(&self.ticker))
    }
}

impl Compiler {
    fn new(file: &Path) -> Result<Self, HostFault> {
        let functions = Arc::new(Functions::of(file));
        let mut config = code_config();
        config.enable_incremental_compilation(Arc::clone(&functions) as Arc<dyn CacheStore>).map_err(|error| refused(&error))?;
        let wasmtime = wasmtime::Engine::new(&config).map_err(|error| refused(&error))?;
        Ok(Self { wasmtime, functions })
    }
}

fn refused(error: &wasmtime::Error) -> HostFault {
    HostFault::Sandbox { what: "the sandbox cannot be set up", detail: format!("{error:#}") }
}

/// All that decides about machine code. It must be the same for the compiler and for the engine that runs the code.
fn code_config() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.epoch_interruption(true);
    // Nothing that is offered to guests is asynchronous in the component model's sense (WASI 0.3), and each of its tasks would have a stack.
    config.concurrency_support(false);
    config.wasm_relaxed_simd(false);
    // Who runs a guest does not read its debugging information, whose author may have made it endless: see `lines`.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(64));
    config
}

fn config(limits: &Limits) -> Config {
    // One more than there are places: a store gives its memories back a moment after it has given its place back.
    let instances = u32::try_from(limits.worker_instances).unwrap_or(u32::MAX).saturating_add(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    pool.total_core_instances(instances.saturating_mul(CORE_INSTANCES));
    pool.total_memories(instances.saturating_mul(MEMORIES));
    pool.total_tables(instances.saturating_mul(TABLES));
    // A store that is called has a stack.
    pool.total_stacks(instances);
    pool.max_core_instances_per_component(CORE_INSTANCES);
    pool.max_memories_per_component(MEMORIES);
    pool.max_tables_per_component(TABLES);
    pool.max_component_instance_size(KEPT_BYTES);
    pool.max_core_instance_size(KEPT_BYTES);
    pool.table_elements(TABLE_ELEMENTS);
    pool.linear_memory_keep_resident(KEPT_MEMORY);
    pool.table_keep_resident(KEPT_TABLES);
    pool.max_unused_warm_slots(KEPT_PLACES);
    // Only the pages that were written are put back, where the kernel tells which (Linux 6.7).
    pool.pagemap_scan(Enabled::Auto);
    // What an instance may have of it is its application's limit, which the limiter holds.
    pool.max_memory_size(usize::try_from(Limits::ceiling().memory_bytes).unwrap_or(usize::MAX));
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// A thread that moves the engine's epoch while guests run, one a process.
struct Ticker {
    watch: Arc<Watch>,
    thread: Thread,
}

/// What the ticker and the guests' thread tell each other.
#[derive(Default)]
struct Watch {
    guests: AtomicUsize,
    sleeps: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    fn start(engine: wasmtime::EngineWeak) -> Result<Arc<Self>, HostFault> {
        let watch = Arc::<Watch>::default();
        let watched = Arc::clone(&watch);
        let thread = thread::Builder::new()
            .name("epoch".into())
            .spawn(move || tick(&engine, &watched))
            .map_err(|source| HostFault::Io { what: "the epoch thread cannot be started", source })?;
        Ok(Arc::new(Self { watch, thread: thread.thread().clone() }))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.watch.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engine: &wasmtime::EngineWeak, watch: &Watch) {
    let (quiet, stopped) = (|| watch.guests.load(Ordering::SeqCst) == 0, || watch.stopped.load(Ordering::SeqCst));
    let mut ticks = 0;
    while !stopped() {
        ticks = if quiet() { ticks + 1 } else { 0 };
        if ticks > QUIET {
            watch.sleeps.store(true, Ordering::SeqCst);
            while quiet() && !stopped() {
                thread::park();
            }
            watch.sleeps.store(false, Ordering::SeqCst);
            ticks = 0;
        }
        thread::park_timeout(TICK);
        if let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
        }
    }
}

/// A guest runs while this lives.
pub(super) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.watch.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_compiler_without_a_pool_makes_runs_in_the_pool() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let compiler = Engine::compiler(&limits, &folder.path().join("functions")).unwrap();
        let name = |engine: &wasmtime::Engine| {
            let mut hasher = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        let pool = name(Engine::new(&limits).unwrap().wasmtime());
        assert_eq!([name(compiler.wasmtime()), name(&compiler.compiler.unwrap().wasmtime)], [pool; 2]);
    }

    #[test]
    fn places_are_given_under_and_at_their_number_and_not_over_it() {
        let engine = Engine::new(&Limits { worker_instances: 2, ..Limits::default() }).unwrap();
        let first = engine.place().unwrap();
        let _second = engine.place().unwrap();
        assert_eq!(engine.place().map(drop), Err(BusyFault::NoInstance));
        drop(first);
        assert_eq!(engine.place().map(drop), Ok(()));
    }
}
