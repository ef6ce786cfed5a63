//! The worker processes: spoken to, retired, and what they answer. [`begin`] makes one.

mod begin;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::TcpListener,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::Plan;
use crate::{
    confine::Held,
    exchange::Tasks,
    stage::Refused,
    telemetry::Record,
    worker::message::{FromWorker, SiteSpec, ToWorker},
};

/// Messages to a worker that wait to be sent.
const MESSAGES: usize = 1_024;
/// Applications in one message.
const SITES: usize = 32;
/// How long the first worker that dies is waited for; each further one twice as long, until one has lived for a while.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LIVED: Duration = Duration::from_secs(30);
/// How long a worker may take for a change before it is taken for stuck, and ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than its grace a worker may take to stop.
const LAST: Duration = Duration::from_secs(5);

/// What a worker did.
pub(in crate::supervisor) enum Event {
    Said { worker: usize, incarnation: u64, message: FromWorker },
    Logged { worker: usize, record: Record },
    Died { worker: usize, incarnation: u64, how: String },
}

/// A worker, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WorkerInfo {
    /// Which.
    pub worker: usize,
    /// Its group.
    pub group: String,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// Whether it serves.
    pub ready: bool,
    /// How often it was begun again.
    pub restarts: u64,
}

/// What the workers of a group inherit. Those of other groups do not: what an escaped guest could write here is its own group's.
pub(in crate::supervisor) struct Shared {
    /// The ledger's memory.
    pub ledger: File,
    /// By which the workers tell each other that a place is free, one each.
    pub bells: Vec<OwnedFd>,
    /// Where they listen; none any more when the host stops.
    pub listeners: Vec<TcpListener>,
    /// By which peers are told apart.
    pub seed: u64,
}

/// The workers.
pub(in crate::supervisor) struct Workers {
    inner: Mutex<Inner>,
    events: mpsc::Sender<Event>,
    changed: watch::Sender<u64>,
    tasks: Tasks,
}

struct Inner {
    groups: Vec<Shared>,
    workers: Vec<Worker>,
    trials: BTreeMap<u64, Trial>,
    /// Changes that some workers have not made yet.
    changes: BTreeMap<u64, (BTreeSet<usize>, Option<oneshot::Sender<()>>)>,
    held: Option<Held>,
}

/// An application that a worker tries.
struct Trial {
    worker: usize,
    incarnation: u64,
    answer: oneshot::Sender<Result<u16, Refused>>,
}

/// A change that some workers are told.
pub(in crate::supervisor) struct Change {
    revision: u64,
    says: BTreeMap<usize, mpsc::Sender<ToWorker>>,
    made: oneshot::Receiver<()>,
}

impl Change {
    /// Which workers.
    pub(in crate::supervisor) fn workers(&self) -> BTreeSet<usize> {
        self.says.keys().copied().collect()
    }
}

struct Worker {
    group: usize,
    /// Which of its group.
    number: usize,
    name: String,
    incarnation: u64,
    running: Option<Running>,
    pause: Duration,
    restarts: u64,
    /// It was told to end, and is replaced.
    retired: bool,
}

struct Running {
    pid: u32,
    since: Instant,
    ready: bool,
    data: Vec<PathBuf>,
    say: mpsc::Sender<ToWorker>,
}

impl Workers {
    pub(in crate::supervisor) fn new(plan: &Plan, groups: Vec<Shared>, events: mpsc::Sender<Event>) -> Self {
        let of_group = |(index, group): (usize, &super::Group)| {
            let name = group.name.clone();
            (0..group.workers).map(move |number| Worker {
                group: index,
                number,
                name: name.clone(),
                incarnation: 0,
                running: None,
                pause: FIRST_PAUSE,
                restarts: 0,
                retired: false,
            })
        };
        let workers = plan.groups.iter().enumerate().flat_map(of_group).collect();
        let inner = Inner { groups, workers, trials: BTreeMap::new(), changes: BTreeMap::new(), held: None };
        let changed = watch::Sender::new(0);
        Self { inner: Mutex::new(inner), events, changed, tasks: Tasks::default() }
    }

    pub(in crate::supervisor) fn count(&self) -> usize {
        self.inner().workers.len()
    }

    pub(in crate::supervisor) fn group_of(&self, worker: usize) -> String {
        self.inner().workers.get(worker).map(|worker| worker.name.clone()).unwrap_or_default()
    }

    /// Which of its group a worker is: the cell of the ledger that it writes.
    pub(in crate::supervisor) fn number_of(&self, worker: usize) -> usize {
        self.inner().workers.get(worker).map_or(0, |worker| worker.number)
    }

    /// Takes what a worker says; `gone` hears of the sites that it has let go of.
    pub(in crate::supervisor) fn said(&self, worker: usize, incarnation: u64, message: FromWorker, gone: impl FnOnce(u64)) {
        match message {
            FromWorker::Ready { held } => {
                let mut inner = self.inner();
                inner.held = Some(held);
                if let Some(running) = inner.workers.get_mut(worker).and_then(|worker| worker.running.as_mut()) {
                    running.ready = true;
                }
                drop(inner);
                self.changed.send_modify(|count| *count += 1);
            }
            FromWorker::Tried { id, result } => {
                // Believed of itself only.
                let mut inner = self.inner();
                let own = inner.trials.get(&id).is_some_and(|trial| (trial.worker, trial.incarnation) == (worker, incarnation));
                if let Some(trial) = own.then(|| inner.trials.remove(&id)).flatten() {
                    drop(trial.answer.send(result));
                }
            }
            FromWorker::Changed { revision } => self.inner().made(revision, worker),
            FromWorker::Gone { id } => gone(id),
        }
    }

    /// A worker has ended; after how long another one is to begin, and whether it was told to.
    pub(in crate::supervisor) fn died(&self, index: usize, incarnation: u64) -> (Duration, bool) {
        let mut inner = self.inner();
        let Some(worker) = inner.workers.get_mut(index).filter(|worker| worker.incarnation == incarnation) else {
            return (FIRST_PAUSE, false);
        };
        let retired = std::mem::take(&mut worker.retired);
        let lived = worker.running.take().map(|running| running.since.elapsed()).unwrap_or_default();
        let pause = match (retired, lived >= LIVED) {
            (true, _) => Duration::ZERO,
            (false, true) => FIRST_PAUSE,
            (false, false) => worker.pause,
        };
        if !retired {
            worker.pause = (pause * 2).min(LONGEST_PAUSE);
            worker.restarts += 1;
        }
        let open: Vec<_> = inner.changes.keys().copied().collect();
        for revision in open {
            inner.made(revision, index);
        }
        // A trial in it has no answer.
        inner.trials.retain(|_, trial| trial.worker != index);
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
        (pause, retired)
    }

    /// A worker could not be begun; after how long it is to be tried again.
    pub(in crate::supervisor) fn longer_pause(&self, index: usize) -> Duration {
        let mut inner = self.inner();
        let Some(worker) = inner.workers.get_mut(index) else { return LONGEST_PAUSE };
        let pause = worker.pause;
        worker.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Has one worker of a group make an application ready, and answer a first request, if there is a path for one; the status, or 0.
    pub(in crate::supervisor) async fn try_out(&self, group: &str, site: &SiteSpec, path: Option<String>) -> Result<u16, Refused> {
        let (answer, answered) = oneshot::channel();
        let say = {
            let mut inner = self.inner();
            let fit = |(_, worker): &(usize, &Worker)| worker.name == group && !worker.retired && worker.running.is_some();
            let found = inner.workers.iter().enumerate().find(fit);
            let (index, worker) = found.ok_or_else(|| refused("no worker runs"))?;
            let incarnation = worker.incarnation;
            let say = worker.running.as_ref().map(|running| running.say.clone()).ok_or_else(|| refused("no worker runs"))?;
            inner.trials.insert(site.id, Trial { worker: index, incarnation, answer });
            say
        };
        let message = ToWorker::Try { site: Box::new(site.clone()), path };
        let limits = &site.terms.limits;
        let time = PATIENCE + Duration::from_millis(limits.head_wall_ms.saturating_mul(2).saturating_add(limits.progress_wall_ms));
        let trial = async {
            say.send(message).await.map_err(|_| refused("the worker that tried it has ended"))?;
            answered.await.map_err(|_| refused("the worker that tried it has ended"))?
        };
        let tried = timeout(time, trial).await;
        self.inner().trials.remove(&site.id);
        tried.map_err(|_| refused("its first answer took too long"))?
    }

    /// A change that all workers of a group which run now are to make. Who begins later begins with it.
    pub(in crate::supervisor) fn change(&self, group: &str, revision: u64) -> Change {
        let (all_made, made) = oneshot::channel();
        let mut inner = self.inner();
        let workers = inner.workers.iter().enumerate().filter(|(_, worker)| worker.name == group);
        let says: BTreeMap<_, _> = workers.filter_map(|(index, worker)| Some((index, worker.running.as_ref()?.say.clone()))).collect();
        if !says.is_empty() {
            inner.changes.insert(revision, (says.keys().copied().collect(), Some(all_made)));
        }
        Change { revision, says, made }
    }

    /// Has the workers make a change, and waits until they have.
    pub(in crate::supervisor) async fn make(&self, change: Change, put: Vec<SiteSpec>, remove: Vec<u64>) {
        let Change { revision, says, made } = change;
        let messages = told(revision, put, remove);
        let saying = async {
            for (index, say) in says {
                for message in messages.clone() {
                    if say.send(message).await.is_err() {
                        self.inner().made(revision, index);
                        break;
                    }
                }
            }
            // An error: there was nobody to make it.
            drop(made.await);
        };
        if timeout(PATIENCE, saying).await.is_err() {
            let stuck = self.inner().changes.remove(&revision).map(|(workers, _)| workers).unwrap_or_default();
            for worker in stuck {
                tracing::error!("worker {worker} is stuck, and is ended");
                self.kill(worker);
            }
        }
    }

    /// Has the workers of a group let go of what was tried in vain.
    pub(in crate::supervisor) async fn forget(&self, change: Change, id: u64) {
        self.inner().changes.remove(&change.revision);
        for say in change.says.into_values() {
            // One that does not take it has ended, or is ended when it is stuck with the next change.
            drop(timeout(PATIENCE, say.send(ToWorker::Forget { id })).await);
        }
    }

    /// Whether what a group's workers may write covers `data`; those that may not are replaced, one after the other, by some that may.
    pub(in crate::supervisor) fn narrow(&self, group: &str, data: &[PathBuf]) -> Vec<usize> {
        let inner = self.inner();
        let workers = inner.workers.iter().enumerate().filter(|(_, worker)| worker.name == group);
        let narrow = workers
            .filter(|(_, worker)| worker.running.as_ref().is_some_and(|running| data.iter().any(|root| !running.data.contains(root))));
        narrow.map(|(index, _)| index).collect()
    }

    /// Has a worker finish what is in flight and end; its successor begins when it has. One that takes longer than a stop may is ended.
    pub(in crate::supervisor) async fn retire(&self, index: usize, grace: Duration) {
        let running = self.inner().workers.get_mut(index).and_then(|worker| {
            worker.retired = true;
            worker.running.as_ref().map(|running| (running.say.clone(), worker.incarnation))
        });
        let Some((say, incarnation)) = running else { return };
        let mut changed = self.changed.subscribe();
        let is = |ended: fn(&Worker, u64) -> bool| self.inner().workers.get(index).is_none_or(|worker| ended(worker, incarnation));
        let ends = async {
            drop(say.send(ToWorker::Stop).await);
            drop(changed.wait_for(|_| is(|worker, incarnation| worker.incarnation != incarnation || worker.running.is_none())).await);
        };
        if timeout(grace + LAST, ends).await.is_err() {
            tracing::warn!("worker {index} did not end within the grace of a stop, and is ended");
            self.kill(index);
        }
        let replaced = changed.wait_for(|_| {
            is(|worker, incarnation| worker.incarnation != incarnation && worker.running.as_ref().is_some_and(|running| running.ready))
        });
        if timeout(PATIENCE, replaced).await.is_err() {
            tracing::error!("worker {index} has no successor yet");
        }
    }

    pub(in crate::supervisor) async fn stop(&self, grace: Duration) {
        let says: Vec<_> = {
            let mut inner = self.inner();
            // Who comes now is refused by the kernel, and may go elsewhere; whom nobody would serve is not kept waiting.
            inner.groups.iter_mut().for_each(|group| group.listeners.clear());
            inner.workers.iter().filter_map(|worker| Some(worker.running.as_ref()?.say.clone())).collect()
        };
        let saying = async {
            for say in says {
                drop(say.send(ToWorker::Stop).await);
            }
        };
        drop(timeout(LAST, saying).await);
        let mut changed = self.changed.subscribe();
        let none = changed.wait_for(|_| self.inner().workers.iter().all(|worker| worker.running.is_none()));
        if timeout(grace + LAST, none).await.is_err() {
            tracing::warn!("workers did not end within the grace of a stop, and are ended");
            (0..self.count()).for_each(|worker| self.kill(worker));
            drop(timeout(LAST, changed.wait_for(|_| self.inner().workers.iter().all(|worker| worker.running.is_none()))).await);
        }
    }

    pub(in crate::supervisor) fn kill(&self, worker: usize) {
        let pid = self.inner().workers.get(worker).and_then(|worker| worker.running.as_ref()).map(|running| running.pid);
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }

    pub(in crate::supervisor) fn are_ready(&self) -> bool {
        self.inner().workers.iter().all(|worker| worker.running.as_ref().is_some_and(|running| running.ready))
    }

    pub(in crate::supervisor) async fn ready(&self) {
        let mut changed = self.changed.subscribe();
        drop(changed.wait_for(|_| self.are_ready()).await);
    }

    pub(in crate::supervisor) fn held(&self) -> Option<Held> {
        self.inner().held
    }

    pub(in crate::supervisor) fn info(&self) -> Vec<WorkerInfo> {
        let info = |(index, worker): (usize, &Worker)| WorkerInfo {
            worker: index,
            group: worker.name.clone(),
            pid: worker.running.as_ref().map(|running| running.pid),
            ready: worker.running.as_ref().is_some_and(|running| running.ready),
            restarts: worker.restarts,
        };
        self.inner().workers.iter().enumerate().map(info).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn made(&mut self, revision: u64, worker: usize) {
        if let Some((workers, made)) = self.changes.get_mut(&revision) {
            workers.remove(&worker);
            if workers.is_empty() {
                if let Some(made) = made.take() {
                    made.send(()).unwrap_or_default();
                }
                self.changes.remove(&revision);
            }
        }
    }
}

/// A change in messages that are not too long.
fn told(revision: u64, mut put: Vec<SiteSpec>, remove: Vec<u64>) -> Vec<ToWorker> {
    let mut messages = Vec::new();
    while put.len() > SITES {
        let rest = put.split_off(SITES);
        messages.push(ToWorker::Stock { put: std::mem::replace(&mut put, rest) });
    }
    messages.push(ToWorker::Change { revision, put, remove });
    messages
}

fn refused(what: &str) -> Refused {
    Refused { what: what.to_owned(), ..Refused::default() }
}
