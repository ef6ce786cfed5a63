//! The supervisor: the process that begins the others, and sees to it that they are there. It binds the sockets, hands them on, and decides
//! what is served; it parses nothing that a guest or a client has written.
//!
//! ```text
//! wasgi serve ── worker × N (a group's, each with its listeners)
//!            └── stage, on demand (compiles, releases)
//! ```
//!
//! [`Host`] is what it knows; [`deploy`] changes what is served; [`crate::admin`] and the signals ask for it.

mod deploy;
mod logs;
mod rows;
mod state;
mod switch;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{RwLock, Semaphore, mpsc, watch};

use self::{
    deploy::cache_of,
    state::State,
    workers::{Event, Shared, Workers},
};
pub use self::{
    deploy::{Deployed, Origin, Wish, meet},
    logs::{LogPlan, Logs, Tail},
    rows::{AppName, Rows},
    state::{Live, Status, Turns},
    workers::WorkerInfo,
};
use crate::{
    artifact::{Artifacts, Pins},
    confine::Held,
    environ::Proxies,
    exchange::Tasks,
    ledger::{Callers, Ledger},
    limits::Limits,
    sandbox::Way,
    server::bind,
    telemetry::{Format, Kind},
    tenant::TenantId,
};

/// The group of those who are in no other.
pub const DEFAULT_GROUP: &str = "default";
/// Events of workers that wait to be looked at.
const EVENTS: usize = 1_024;
/// How much of a cache is kept, if nobody says otherwise.
pub const CACHE_BYTES: u64 = 10 << 30;
/// How often the cache is swept.
const SWEEP: Duration = Duration::from_hours(1);

/// What a host is begun with. None of it changes while it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The groups of workers; the first one is everybody's who is in no other.
    pub groups: Vec<Group>,
    /// Where compiled code is kept; each group but the first has a folder of its own in it.
    pub cache: PathBuf,
    /// Where it keeps what it needs while it runs and from one run to the next.
    pub state: PathBuf,
    /// What lies there may take so many bytes; of what is not served, the least recently used goes first.
    pub cache_bytes: u64,
    /// Tenants and applications together, at most.
    pub rows: usize,
    /// What holds for all connections.
    pub limits: Limits,
    /// Proxies that are believed.
    pub proxies: Proxies,
    /// How long a stop waits for requests in flight.
    pub stop_grace: Duration,
    /// How lines are written.
    pub format: Format,
    /// Where the lines of tenants go.
    pub logs: LogPlan,
    /// Whether a kernel without the walls is refused.
    pub require_sandbox: bool,
    /// How instances are rewound.
    pub rewind: Rewinding,
    /// Stages that run at once.
    pub stages: usize,
}

/// How instances are rewound.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Rewinding {
    /// By this way; by the best that the kernel has without.
    pub way: Option<Way>,
    /// Whether every memory is compared with what it was.
    pub verify: bool,
}

impl Plan {
    /// What of two plans is not the same, for people.
    #[must_use]
    pub fn unlike(&self, other: &Self) -> Option<&'static str> {
        let groups = |plan: &Self| plan.groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>();
        let host = |plan: &Self| {
            let paths = (plan.cache.clone(), plan.cache_bytes, plan.state.clone());
            (paths, plan.rows, plan.stop_grace, plan.require_sandbox, plan.stages, plan.rewind)
        };
        if groups(self) != groups(other) {
            return Some("where it listens, or with how many workers,");
        }
        if self.limits != other.limits {
            return Some("a limit of the host");
        }
        if format!("{:?}{:?}{:?}", self.logs, self.format, self.proxies) != format!("{:?}{:?}{:?}", other.logs, other.format, other.proxies)
        {
            return Some("the log, or the proxies,");
        }
        (host(self) != host(other)).then_some("[host]")
    }
}

/// Workers that serve the same, behind the same listeners.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many.
    pub workers: usize,
    /// Where they listen: no worker of another group sees what comes there.
    pub bind: Vec<SocketAddr>,
}

/// A tenant, its group's ledger, and its row there.
pub type TenantRow = (TenantId, Arc<Ledger>, usize);

/// A host that runs.
pub struct Host {
    plan: Plan,
    /// By group: no worker can write what another group's is judged by.
    ledgers: BTreeMap<String, Arc<Ledger>>,
    pins: BTreeMap<String, Pins>,
    logs: Logs,
    workers: Workers,
    state: Mutex<State>,
    stages: Semaphore,
    /// Read-locked while a worker tries something, and write-locked while workers are replaced on purpose.
    trials: RwLock<()>,
    counts: Counts,
    tasks: Tasks,
    stopping: watch::Sender<bool>,
}

/// What stages have done.
#[derive(Debug, Default)]
pub struct Counts {
    good: AtomicU64,
    failed: AtomicU64,
    ns: AtomicU64,
    found: AtomicU64,
    compiled: AtomicU64,
    cache_bytes: AtomicU64,
}

impl Counts {
    /// A stage has ended; `is_found` says, where it went well, whether all of it was in the cache.
    fn staged(&self, took: Duration, is_found: Option<bool>) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(if is_found.is_some() { &self.good } else { &self.failed });
        if let Some(is_found) = is_found {
            count(if is_found { &self.found } else { &self.compiled });
        }
        self.ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many applications were in the cache, and how many had to be compiled.
    #[must_use]
    pub fn cached(&self) -> [u64; 2] {
        [&self.found, &self.compiled].map(|count| count.load(Ordering::Relaxed))
    }

    /// Bytes of the caches of all groups, when they were looked at last.
    #[must_use]
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// How many went well, and how many did not.
    #[must_use]
    pub fn stages(&self) -> [u64; 2] {
        [&self.good, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }

    /// How long they took together.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Ordering::Relaxed))
    }
}

/// A host's sockets, bound.
pub struct Bound {
    groups: Vec<Vec<TcpListener>>,
    /// Where it listens, group by group.
    pub addresses: Vec<SocketAddr>,
}

impl Bound {
    /// Binds what `plan` names.
    ///
    /// # Errors
    /// When an address is in use or not ours; the error names it.
    pub fn of(plan: &Plan) -> io::Result<Self> {
        let listeners = |group: &Group| group.bind.iter().map(bind).collect::<io::Result<Vec<_>>>();
        let groups = plan.groups.iter().map(listeners).collect::<io::Result<Vec<_>>>()?;
        let addresses = groups.iter().flatten().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok(Self { groups, addresses })
    }
}

impl Host {
    /// Begins the workers. They accept connections when they are told what to serve, by the first [`Host::deploy_all`].
    ///
    /// # Errors
    /// When the machine refuses memory or processes.
    pub fn start(plan: Plan, bound: Bound) -> io::Result<Arc<Self>> {
        let (mut ledgers, mut pins, mut groups) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (group, listeners) in plan.groups.iter().zip(bound.groups) {
            let (ledger, file) = Ledger::shared(plan.rows + Callers::ROWS, group.workers)?;
            let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from);
            let bells = (0..group.workers).map(|_| bell()).collect::<io::Result<Vec<_>>>()?;
            groups.push(Shared { ledger: file, bells, listeners, seed: RandomState::new().hash_one(&group.name) });
            ledgers.insert(group.name.clone(), ledger);
            let artifacts = Artifacts::new(cache_of(&plan, &group.name)).map_err(io::Error::other)?;
            pins.insert(group.name.clone(), artifacts.pins().map_err(io::Error::other)?);
        }
        let logs = Logs::new(&plan.logs)?;
        let (events, mut heard) = mpsc::channel(EVENTS);
        let workers = Workers::new(&plan, groups, events);
        let host = Arc::new(Self {
            stages: Semaphore::new(plan.stages.max(1)),
            state: Mutex::new(State::new(&plan)),
            plan,
            ledgers,
            pins,
            logs,
            workers,
            trials: RwLock::default(),
            counts: Counts::default(),
            tasks: Tasks::default(),
            stopping: watch::Sender::new(false),
        });
        let (listening, sweeping) = (Arc::clone(&host), Arc::clone(&host));
        host.tasks.spawn(async move {
            while let Some(event) = heard.recv().await {
                listening.hear(event);
            }
        });
        host.tasks.spawn(async move {
            loop {
                sweeping.sweep().await;
                tokio::time::sleep(SWEEP).await;
            }
        });
        Ok(host)
    }

    /// What it was begun with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the tenants of a group use.
    #[must_use]
    pub fn ledger(&self, group: &str) -> Arc<Ledger> {
        self.ledgers.get(group).cloned().unwrap_or_else(|| Ledger::own(1))
    }

    /// What stages have done.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The tenants' lines.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Its workers now.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.workers.info()
    }

    /// The walls around its workers, as the last one that began has told.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.workers.held()
    }

    /// Whether it serves, and does not stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !*self.stopping.borrow() && self.workers.are_ready()
    }

    /// What is served, and what is not though it should be.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.state().status()
    }

    /// Who asked for an application.
    #[must_use]
    pub fn origin(&self, name: &AppName) -> Option<Origin> {
        let state = self.state();
        state.live.get(name).map(|live| live.wish.origin).or_else(|| state.failed.get(name).map(|(wish, _)| wish.origin))
    }

    /// The tenants, each with its group's ledger and its row there, and the applications that are served.
    #[must_use]
    pub fn rows(&self) -> (Vec<TenantRow>, Vec<Live>) {
        let state = self.state();
        let of_group = |(group, rows): (&String, &Rows)| {
            let ledger = self.ledger(group);
            rows.tenants().into_iter().map(move |(tenant, row)| (tenant, Arc::clone(&ledger), row)).collect::<Vec<_>>()
        };
        (state.rows.iter().flat_map(of_group).collect(), state.live.values().cloned().collect())
    }

    /// Ready when all workers serve.
    pub async fn ready(&self) {
        self.workers.ready().await;
    }

    /// Has all workers finish what is in flight, and waits for them.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        self.workers.stop(self.plan.stop_grace).await;
        self.logs.flush().await;
    }

    fn hear(self: &Arc<Self>, event: Event) {
        match event {
            Event::Said { worker, incarnation, message } => {
                let mut last = Vec::new();
                self.workers.said(worker, incarnation, message, |id| last = self.state().gone(id, worker));
                self.forget_tenants(&last);
            }
            Event::Logged { worker, record } => {
                // A worker speaks of those whom it serves.
                if record.kind == Kind::Host || self.state().serves(&self.workers.group_of(worker), &record.tenant) {
                    self.logs.take(&record);
                }
            }
            Event::Died { worker, incarnation, how } => {
                self.ledger(&self.workers.group_of(worker)).clear_worker(self.workers.number_of(worker));
                let last = self.state().died(worker);
                self.forget_tenants(&last);
                let (after, retired) = self.workers.died(worker, incarnation);
                if *self.stopping.borrow() {
                    return;
                }
                if retired {
                    tracing::info!("worker {worker} has ended as it was told; another one begins");
                } else {
                    tracing::error!("worker {worker} has ended ({how}); another one begins in {} ms", after.as_millis());
                }
                self.begin_after(worker, after);
            }
        }
    }

    fn begin_after(self: &Arc<Self>, worker: usize, pause: Duration) {
        let host = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            if !*host.stopping.borrow() {
                host.begin(worker);
            }
        });
    }

    /// Begins a worker, with what its group serves. What the machine refuses now is tried again.
    fn begin(self: &Arc<Self>, worker: usize) {
        let group = self.workers.group_of(worker);
        let begun = {
            let state = self.state();
            let sites = state.has_begun.then(|| state.sites_of(&group));
            self.workers.begin(worker, &self.plan, sites, state.data_of(&group))
        };
        if let Err(error) = begun {
            let pause = self.workers.longer_pause(worker);
            tracing::error!("worker {worker} cannot be started: {error}; it is tried again in {} ms", pause.as_millis());
            self.begin_after(worker, pause);
        }
    }

    /// The folders of a wish may be written by the workers that begin before it is served.
    fn promise(&self, wish: &Wish) {
        if let Ok(group) = self.group_of(wish) {
            self.state().promised.insert(wish.name.clone(), (group, deploy::roots(wish)));
        }
    }

    /// Says which files of the cache are needed.
    fn pin(&self, group: &str) {
        let Some(pins) = self.pins.get(group) else { return };
        let state = self.state();
        if let Err(error) = pins.set(state.needed(group)) {
            tracing::warn!("what is served cannot be noted in the cache: {error}");
        }
    }

    /// Nothing is left of these tenants.
    fn forget_tenants(&self, tenants: &[String]) {
        for tenant in tenants {
            self.logs.forget(tenant);
        }
    }

    /// What tenants have in the cache that is served no longer goes: it holds what their environment held.
    fn forget_releases(&self, group: &str, tenants: &BTreeSet<TenantId>) {
        let Ok(artifacts) = Artifacts::new(cache_of(&self.plan, group)) else { return };
        for tenant in tenants {
            if let Err(error) = artifacts.forget_releases(tenant, None) {
                tracing::warn!("old releases of {tenant} cannot be removed: {error}");
            }
        }
    }

    /// Has the cache be no longer than it may be.
    async fn sweep(&self) {
        let (plan, most) = (self.plan.clone(), self.plan.cache_bytes);
        let sweep = move || {
            let mut bytes = 0_u64;
            for group in &plan.groups {
                let swept = Artifacts::new(cache_of(&plan, &group.name)).map_err(io::Error::other).and_then(|cache| cache.sweep(most));
                match swept {
                    Ok(swept) => {
                        bytes = bytes.saturating_add(swept.bytes);
                        if swept.removed > 0 {
                            tracing::info!("the cache was swept: {} things went, {} bytes are left", swept.removed, swept.bytes);
                        }
                    }
                    Err(error) => tracing::warn!("the cache cannot be swept: {error}"),
                }
            }
            bytes
        };
        if let Ok(bytes) = tokio::task::spawn_blocking(sweep).await {
            self.counts.cache_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
