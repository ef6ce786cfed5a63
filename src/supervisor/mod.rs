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
mod workers;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{Semaphore, mpsc, watch};

use self::{
    deploy::cache_of,
    state::State,
    workers::{Event, Workers},
};
pub use self::{
    deploy::{Deployed, Origin, Wish},
    logs::{LogPlan, Logs, Tail},
    rows::{AppName, Rows},
    state::{Live, Status},
    workers::WorkerInfo,
};
use crate::{confine::Held, environ::Proxies, exchange::Tasks, ledger::Ledger, limits::Limits, telemetry::Format, tenant::TenantId};

/// The group of those who are in no other.
pub const DEFAULT_GROUP: &str = "default";
/// Events of workers that wait to be looked at.
const EVENTS: usize = 1_024;

/// What a host is begun with. None of it changes while it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The groups of workers; the first one is everybody's who is in no other.
    pub groups: Vec<Group>,
    /// Where compiled code is kept; each group but the first has a folder of its own in it.
    pub cache: PathBuf,
    /// Where it keeps what it needs while it runs and from one run to the next.
    pub state: PathBuf,
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
    /// Stages that run at once.
    pub stages: usize,
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

/// A host that runs.
pub struct Host {
    plan: Plan,
    ledger: Arc<Ledger>,
    logs: Logs,
    workers: Workers,
    state: Mutex<State>,
    stages: Semaphore,
    tasks: Tasks,
    stopping: watch::Sender<bool>,
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
        let named =
            |address: &SocketAddr| TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")));
        let listeners = |group: &Group| group.bind.iter().map(named).collect::<io::Result<Vec<_>>>();
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
        let count = plan.groups.iter().map(|group| group.workers).sum();
        let (ledger, file) = Ledger::shared(plan.rows, count)?;
        let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from);
        let bells = (0..count).map(|_| bell()).collect::<io::Result<Vec<OwnedFd>>>()?;
        let logs = Logs::new(&plan.logs)?;
        let (events, mut heard) = mpsc::channel(EVENTS);
        let workers = Workers::new(&plan, bound.groups, file, bells, events);
        let host = Arc::new(Self {
            stages: Semaphore::new(plan.stages.max(1)),
            state: Mutex::new(State::new(plan.rows)),
            plan,
            ledger,
            logs,
            workers,
            tasks: Tasks::default(),
            stopping: watch::Sender::new(false),
        });
        let listening = Arc::clone(&host);
        host.tasks.spawn(async move {
            while let Some(event) = heard.recv().await {
                listening.hear(event);
            }
        });
        Ok(host)
    }

    /// What it was begun with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What all tenants use.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
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

    /// The rows of the tenants and of the applications that are served.
    #[must_use]
    pub fn rows(&self) -> (Vec<(TenantId, usize)>, Vec<Live>) {
        let state = self.state();
        (state.rows.tenants(), state.live.values().cloned().collect())
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
            Event::Said { worker, message } => {
                self.workers.said(worker, message, |id| self.state().gone(id, worker));
                self.clear_rows();
            }
            Event::Logged(record) => self.logs.take(&record),
            Event::Died { worker, incarnation, how } => {
                self.ledger.clear_worker(worker);
                self.state().died(worker);
                self.clear_rows();
                let (after, retired) = self.workers.died(worker, incarnation);
                if *self.stopping.borrow() {
                    return;
                }
                if retired {
                    tracing::info!("worker {worker} has ended as it was told; another one begins");
                } else {
                    tracing::error!("worker {worker} has ended ({how}); another one begins in {} ms", after.as_millis());
                }
                let host = Arc::clone(self);
                self.tasks.spawn(async move {
                    tokio::time::sleep(after).await;
                    if !*host.stopping.borrow() {
                        host.begin(worker);
                    }
                });
            }
        }
    }

    /// Begins a worker, with what its group serves.
    fn begin(&self, worker: usize) {
        let state = self.state();
        let group = self.workers.group_of(worker);
        let sites = || state.live.values().filter(|live| live.group == group).map(|live| live.site.clone()).collect();
        let sites = state.has_begun.then(sites);
        let data = state.data_of(&group);
        if let Err(error) = self.workers.begin(worker, &self.plan, sites, data) {
            tracing::error!("worker {worker} cannot be started: {error}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
