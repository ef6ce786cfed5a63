//! An application that is ready to be instantiated: its component, linked, with what it may touch and how it is isolated.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use wasmtime::component::Linker;

use super::{
    bindings::{self, callable::CallablePre, releasable::ReleasablePre, rewindable::RewindablePre},
    engine::Engine,
    filesystem::{self, Folder, Storage, Volumes},
    instance::Instance,
    libraries::Code,
    lines::Lines,
    log::TenantLog,
    polls,
    report::{Plan, Report},
    state::State,
    turns::Seat,
};
use crate::{
    ledger::{Account, Gauge},
    limits::Limits,
};

/// What of one request the next can see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Isolation {
    /// Nothing: a pristine instance for each request.
    #[default]
    Request,
    /// Nothing: an instance serves request after request, and each finds its memory as it was when the instance was new. Where that cannot be,
    /// an instance a request.
    Rewind,
    /// Everything that the application keeps: an instance serves request after request until it retires.
    Reuse,
}

/// Where a guest's standard streams go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Streams {
    /// To the tenant's log.
    #[default]
    Log,
    /// To this process's own, for a command that a person runs: control characters are escaped.
    Terminal,
}

/// Whether rules that an application broke are looked for where its response goes out all the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Strictness {
    /// What has to be refused is refused, and that is all.
    #[default]
    Plain,
    /// What is found is told in the tenant's log, each with its name in the checklist (`wsgiref.validate`, in the host).
    Strict,
}

/// How an application runs.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Whose it is.
    pub log: TenantLog,
    /// What its tenant uses.
    pub account: Account,
    /// What it uses itself.
    pub usage: Account,
    /// What it may use.
    pub limits: Limits,
    /// What of one request the next can see.
    pub isolation: Isolation,
    /// What it may read.
    pub files: Vec<Folder>,
    /// What it may keep.
    pub storage: Vec<Storage>,
    /// Its environment: names and values, and nothing of the host's.
    pub environment: Vec<(String, String)>,
    /// What each instance makes ready when it starts: for a component that is not released.
    pub plan: Option<Plan>,
    /// Where its standard streams go.
    pub streams: Streams,
    /// The lines that its code came from, for the backtrace of a trap.
    pub lines: Option<Lines>,
    /// Whether broken rules are looked for.
    pub strictness: Strictness,
    /// Why its instances cannot be rewound, if they cannot.
    pub not_rewound: Option<String>,
    /// Bytes that the host keeps of each instance beside its memories and tables ([`super::kept_bytes`]).
    pub kept_bytes: u64,
}

impl AppOptions {
    /// Pristine instances with no files, no environment and the default limits.
    #[must_use]
    pub fn new(log: TenantLog) -> Self {
        Self {
            account: log.account().clone(),
            usage: Account::alone(),
            log,
            limits: Limits::default(),
            isolation: Isolation::default(),
            files: Vec::new(),
            storage: Vec::new(),
            environment: Vec::new(),
            plan: None,
            streams: Streams::default(),
            lines: None,
            strictness: Strictness::default(),
            not_rewound: None,
            kept_bytes: 0,
        }
    }

    /// What it keeps in `/data`.
    #[must_use]
    pub fn data(&self) -> Option<&Storage> {
        self.storage.iter().find(|storage| storage.folders.iter().any(|kept| kept.guest == "/data"))
    }
}

/// A component that is no application for this host.
#[derive(Debug, Error)]
pub enum BadComponent {
    /// It has another world.
    #[error("this is no component for the world wasgi:gateway/app: {0}")]
    World(String),
    /// It needs more memory than it may have merely to start.
    #[error("it begins with {pages} pages of memory, which is more than its limit of {limit} bytes")]
    Memory {
        /// Pages of 64 KiB, of its largest memory.
        pages: u64,
        /// The limit.
        limit: u64,
    },
    /// A folder that it is to see cannot be opened.
    #[error("a folder of the application cannot be opened")]
    Folder(#[source] std::io::Error),
}

/// A page of WebAssembly.
const PAGE: u64 = 64 << 10;

/// How many there were in this process.
static APPS: AtomicU64 = AtomicU64::new(0);

/// An application that is ready.
pub struct App {
    engine: Engine,
    /// Which it is, of all of this engine.
    id: u64,
    pre: bindings::OfferedPre<State>,
    callable: Option<CallablePre<State>>,
    has_release: bool,
    /// Whether it opens by itself what its language's library opens when it is first used.
    can_settle: bool,
    options: AppOptions,
    /// How it is isolated: `Request` where it cannot be rewound.
    isolation: Isolation,
    /// It was found that it cannot be rewound after all.
    refused: AtomicBool,
    /// It was told that an instance was not rewound.
    told: AtomicBool,
    volumes: Volumes,
    /// Its code, which applications may share: there as long as one of them is.
    _code: Arc<Code>,
    /// What is counted by [`App::renew`].
    generation: AtomicU64,
    /// What the last instance that prepared itself said.
    report: Mutex<Option<Report>>,
}

impl App {
    /// Links `code`.
    ///
    /// # Errors
    /// [`BadComponent`] if its component lacks the export `application`, or imports what this host does not offer.
    pub fn new(engine: &Engine, code: Arc<Code>, options: AppOptions) -> Result<Self, BadComponent> {
        let bad = |error: wasmtime::Error| BadComponent::World(format!("{error:#}"));
        let (pages, limit) = (code.pages, options.limits.memory_bytes);
        if pages.saturating_mul(PAGE) > limit {
            return Err(BadComponent::Memory { pages, limit });
        }
        let mut linker = Linker::new(engine.wasmtime());
        add_to_linker(&mut linker).map_err(bad)?;
        code.add_to_linker(&mut linker).map_err(bad)?;
        let pre = linker.instantiate_pre(&code.component).map_err(bad)?;
        let has_release = ReleasablePre::new(pre.clone()).is_ok();
        let callable = CallablePre::new(pre.clone()).ok();
        let can_settle = RewindablePre::new(pre.clone()).is_ok();
        let pre = bindings::OfferedPre::new(pre).map_err(bad)?;
        let volumes = Volumes::open(&options.files, &options.storage, &options.usage).map_err(BadComponent::Folder)?;
        let why = match (&options.not_rewound, engine.rewinder().way()) {
            (Some(why), _) => Some(why.as_str()),
            (None, None) => Some("this kernel has neither userfaultfd nor PAGEMAP_SCAN (Linux 6.7)"),
            (None, Some(_)) => None,
        };
        let isolation = match why.filter(|_| options.isolation == Isolation::Rewind) {
            Some(why) => {
                options.log.tell(&format!("its isolation is `request`, for it cannot be rewound: {why}"));
                Isolation::Request
            }
            None => options.isolation,
        };
        Ok(Self {
            engine: engine.clone(),
            id: APPS.fetch_add(1, Ordering::Relaxed),
            pre,
            callable,
            has_release,
            can_settle,
            options,
            isolation,
            refused: AtomicBool::new(false),
            told: AtomicBool::new(false),
            volumes,
            _code: code,
            generation: AtomicU64::new(0),
            report: Mutex::default(),
        })
    }

    /// How it is isolated.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        match self.isolation {
            Isolation::Rewind if self.refused.load(Ordering::Relaxed) => Isolation::Request,
            isolation @ (Isolation::Request | Isolation::Rewind | Isolation::Reuse) => isolation,
        }
    }

    /// Its instances have something that cannot be put back: from now on each serves one request.
    pub(super) fn refuse_rewind(&self, why: &str) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            self.log().tell(&format!("its isolation is `request`, for it cannot be rewound: {why}"));
        }
    }

    /// Says, once, that an instance was thrown away instead of rewound.
    pub(super) fn tell_discarded(&self, why: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.log().tell(&format!("after some of its requests an instance is thrown away, and not rewound: {why}"));
        }
    }

    /// Whether its instances can be asked to open what they would open later.
    pub(super) fn can_settle(&self) -> bool {
        self.can_settle
    }

    /// How it runs.
    #[must_use]
    pub fn options(&self) -> &AppOptions {
        &self.options
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// Its tenant's log.
    #[must_use]
    pub fn log(&self) -> &TenantLog {
        &self.options.log
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pre(&self) -> &bindings::OfferedPre<State> {
        &self.pre
    }

    /// How its instances are called without handles, where they can be.
    pub(super) fn callable(&self) -> Option<&CallablePre<State>> {
        self.callable.as_ref()
    }

    /// Whether its instances can be made ready: it was built by `wasgi build` for Python.
    #[must_use]
    pub fn has_release(&self) -> bool {
        self.has_release
    }

    pub(super) fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// An instance that waits for work, the last that worked first; those that waited for too long are dropped.
    pub(super) fn take_idle(&self) -> Option<Box<Instance>> {
        self.retire_idle();
        self.engine.idle().take(self.id)
    }

    /// Keeps an instance for the next request, unless those that are idle would then have more than half of the tenant's memory, or, where
    /// there are other workers, of its instances: they must leave room for those that work, and another worker's do not give way.
    pub(super) fn give_back(&self, instance: Box<Instance>) {
        let AppOptions { account, limits, .. } = &self.options;
        let idle = account.level(Gauge::Idle).saturating_add(1);
        let has_room = account.workers() == 1 || idle.saturating_mul(2) <= limits.instances;
        // What the idle ones have of it, were all alike.
        let memory = account.level(Gauge::Memory) / account.level(Gauge::Instances).max(1) * idle;
        if has_room && memory <= limits.tenant_memory_bytes / 2 {
            self.engine.idle().give_back(self.id, instance);
        }
    }

    /// Waits until one of its guests may compute. Who waits before he has an instance keeps it from nobody: one that has just worked, and whose
    /// memory is in the processor's caches, works again, and few are needed.
    pub async fn turn(&self) {
        self.seat().wait().await;
    }

    /// A call of its guests, in the order of all of them.
    pub(super) fn seat(&self) -> Seat<'_> {
        let AppOptions { account, usage, limits, .. } = &self.options;
        Seat::new(self.engine.turns(), account, usage, limits.weight, limits.cpu_share_percent)
    }

    /// From now on instances begin anew: those that wait are dropped, and those that work are not kept. For an application whose files have
    /// changed.
    pub fn renew(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.engine.idle().retire(self.id, |_| true);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn note(&self, report: Report) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// Whether a running instance reads templates and static files again when they have changed: the SDK sees to that for the frameworks
    /// that it knows, in development.
    #[must_use]
    pub fn rereads_content(&self) -> bool {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.as_ref().is_some_and(|report| report.frameworks.iter().any(|name| matches!(name.as_str(), "bottle" | "django" | "flask")))
    }

    /// Drops the instances that have been idle for `reuse_idle_ms` or have come of age. Called now and then, so that an app without
    /// requests holds no memory.
    pub fn retire_idle(&self) {
        let limits = self.limits();
        let (idle, age) = (Duration::from_millis(limits.reuse_idle_ms), Duration::from_millis(limits.reuse_age_ms));
        self.engine.idle().retire(self.id, |instance| instance.idle_for() >= idle || instance.age() >= age);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.engine.idle().retire(self.id, |_| true);
    }
}

/// Everything that a guest can import.
fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    filesystem::add_to_linker(linker)?;
    polls::add_to_linker(linker)?;
    bindings::Offered::add_to_linker::<_, wasmtime::component::HasSelf<_>>(linker, |state| state)
}
