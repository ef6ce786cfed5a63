//! The worker processes: begun, spoken to, replaced when they die.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{Plan, cache_of};
use crate::{
    confine::{self, Held},
    exchange::Tasks,
    stage::Refused,
    telemetry::{self, Record},
    worker::message::{self, Begin, FROM_WORKER, FromWorker, SiteSpec, ToWorker},
};

/// Messages to a worker that wait to be sent.
const MESSAGES: usize = 1_024;
/// How long the first worker that dies is waited for; each further one twice as long, until one has lived for a while.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LIVED: Duration = Duration::from_secs(30);
/// How long a worker may take for a change before it is taken for stuck, and ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than its grace a worker may take to stop.
const LAST: Duration = Duration::from_secs(5);

/// What a worker did.
pub(super) enum Event {
    Said { worker: usize, message: FromWorker },
    Logged(Record),
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

/// The workers.
pub(super) struct Workers {
    inner: Mutex<Inner>,
    listeners: Vec<Vec<TcpListener>>,
    ledger: File,
    bells: Vec<OwnedFd>,
    events: mpsc::Sender<Event>,
    changed: watch::Sender<u64>,
    tasks: Tasks,
}

struct Inner {
    workers: Vec<Worker>,
    trials: BTreeMap<u64, oneshot::Sender<Result<u16, Refused>>>,
    /// Changes that some workers have not made yet.
    changes: BTreeMap<u64, (BTreeSet<usize>, Option<oneshot::Sender<()>>)>,
    held: Option<Held>,
}

struct Worker {
    group: usize,
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
    pub(super) fn new(
        plan: &Plan,
        listeners: Vec<Vec<TcpListener>>,
        ledger: File,
        bells: Vec<OwnedFd>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let of_group = |(index, group): (usize, &super::Group)| {
            let name = group.name.clone();
            (0..group.workers).map(move |_| Worker {
                group: index,
                name: name.clone(),
                incarnation: 0,
                running: None,
                pause: FIRST_PAUSE,
                restarts: 0,
                retired: false,
            })
        };
        let workers = plan.groups.iter().enumerate().flat_map(of_group).collect();
        let inner = Inner { workers, trials: BTreeMap::new(), changes: BTreeMap::new(), held: None };
        let changed = watch::Sender::new(0);
        Self { inner: Mutex::new(inner), listeners, ledger, bells, events, changed, tasks: Tasks::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.inner().workers.len()
    }

    pub(super) fn group_of(&self, worker: usize) -> String {
        self.inner().workers.get(worker).map(|worker| worker.name.clone()).unwrap_or_default()
    }

    /// Begins a worker that does not run. It accepts connections when it is told what to serve: now, or by the first change.
    pub(super) fn begin(&self, index: usize, plan: &Plan, sites: Option<Vec<SiteSpec>>, data: Vec<PathBuf>) -> io::Result<()> {
        let mut inner = self.inner();
        let Some(worker) = inner.workers.get_mut(index) else { return Ok(()) };
        let name = worker.name.clone();
        let temporary = confine::temporary(&plan.state, &format!("worker-{index}"))?;
        let (ours, theirs) = UnixStream::pair()?;
        let (log, lines) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("wasgi").arg("worker").env_clear().env("TMPDIR", &temporary);
        // Its own process group: who presses Ctrl-C speaks to the supervisor.
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::inherit()).process_group(0);
        let child = command.spawn()?;
        drop(command);
        let pid = child.id().unwrap_or_default();
        let listeners = self.listeners.get(worker.group).map(Vec::as_slice).unwrap_or_default();
        let files: Vec<BorrowedFd<'_>> = [self.ledger.as_fd(), lines.as_fd()]
            .into_iter()
            .chain(self.bells.iter().map(AsFd::as_fd))
            .chain(listeners.iter().map(AsFd::as_fd))
            .collect();
        message::send_files(&ours, &files)?;
        ours.set_nonblocking(true)?;
        log.set_nonblocking(true)?;
        let begin = Begin {
            worker: index,
            workers: self.bells.len(),
            rows: plan.rows,
            cache: cache_of(plan, &name),
            temporary,
            data: data.clone(),
            limits: plan.limits.clone(),
            proxies: plan.proxies.clone(),
            stop_grace_ms: u64::try_from(plan.stop_grace.as_millis()).unwrap_or(u64::MAX),
            format: plan.format.clone(),
            require_sandbox: plan.require_sandbox,
        };
        let (say, says) = mpsc::channel(MESSAGES);
        let change = sites.map(|put| ToWorker::Change { revision: 0, put, remove: Vec::new() });
        let first = [ToWorker::Begin(Box::new(begin))].into_iter().chain(change).collect();
        worker.incarnation += 1;
        let incarnation = worker.incarnation;
        worker.running = Some(Running { pid, since: Instant::now(), ready: false, data, say });
        drop(inner);
        self.attend(index, incarnation, child, (ours, log), first, says)
    }

    /// Carries messages and lines to and fro until the worker has ended.
    fn attend(
        &self,
        worker: usize,
        incarnation: u64,
        mut child: Child,
        (socket, log): (UnixStream, UnixStream),
        first: Vec<ToWorker>,
        mut says: mpsc::Receiver<ToWorker>,
    ) -> io::Result<()> {
        let (mut hear, mut say) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let mut log = tokio::net::UnixStream::from_std(log)?;
        let (events, lines) = (self.events.clone(), self.events.clone());
        let saying = async move {
            for message in first {
                message::send(&mut say, &message).await?;
            }
            while let Some(message) = says.recv().await {
                message::send(&mut say, &message).await?;
            }
            Ok::<_, io::Error>(())
        };
        let hearing = async move {
            while let Some(message) = message::receive(&mut hear, FROM_WORKER).await? {
                // The loop of the host ends last.
                drop(events.send(Event::Said { worker, message }).await);
            }
            Ok::<_, io::Error>(())
        };
        let logging = async move {
            while let Some(record) = telemetry::read(&mut log).await? {
                drop(lines.send(Event::Logged(record)).await);
            }
            Ok::<_, io::Error>(())
        };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            // One that does not keep to what was agreed is ended.
            let talk = async { tokio::try_join!(async { saying.await.or(Ok(())) }, hearing, logging).map(drop) };
            let how = tokio::select! {
                talked = talk => {
                    let why = talked.err().map(|error| format!(", {error}")).unwrap_or_default();
                    // Its sockets close a moment before it ends; who holds them longer is stuck.
                    if timeout(LAST, child.wait()).await.is_err() {
                        child.kill().await.unwrap_or_default();
                    }
                    format!("{}{why}", shown(child.wait().await))
                }
                ended = child.wait() => shown(ended),
            };
            drop(events.send(Event::Died { worker, incarnation, how }).await);
        });
        Ok(())
    }

    /// Takes what a worker says; `gone` hears of the sites that it has let go of.
    pub(super) fn said(&self, worker: usize, message: FromWorker, gone: impl FnOnce(u64)) {
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
                if let Some(trial) = self.inner().trials.remove(&id) {
                    drop(trial.send(result));
                }
            }
            FromWorker::Changed { revision } => self.inner().made(revision, worker),
            FromWorker::Gone { id } => gone(id),
        }
    }

    /// A worker has ended; after how long another one is to begin, and whether it was told to.
    pub(super) fn died(&self, index: usize, incarnation: u64) -> (Duration, bool) {
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
        inner.trials.clear();
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
        (pause, retired)
    }

    /// Has one worker of a group make an application ready, and answer a first request, if there is a path for one; the status, or 0.
    pub(super) async fn try_out(&self, group: &str, site: &SiteSpec, path: Option<String>) -> Result<u16, Refused> {
        let (answer, answered) = oneshot::channel();
        let say = {
            let mut inner = self.inner();
            let worker = inner.workers.iter().filter(|worker| worker.name == group).find_map(|worker| worker.running.as_ref());
            let say = worker.map(|running| running.say.clone()).ok_or_else(|| refused("no worker runs"))?;
            inner.trials.insert(site.id, answer);
            say
        };
        let site_id = site.id;
        let message = ToWorker::Try { site: Box::new(site.clone()), path };
        say.send(message).await.map_err(|_| refused("the worker that tried it has ended"))?;
        let limits = &site.terms.limits;
        let time = PATIENCE + Duration::from_millis(limits.head_wall_ms.saturating_mul(2).saturating_add(limits.progress_wall_ms));
        let answered = timeout(time, answered).await;
        self.inner().trials.remove(&site_id);
        answered.map_err(|_| refused("its first answer took too long"))?.map_err(|_| refused("the worker that tried it has ended"))?
    }

    /// Has all workers of a group make a change, and waits until they have. Which they were.
    pub(super) async fn change(&self, group: &str, revision: u64, put: Vec<SiteSpec>, remove: Vec<u64>) -> BTreeSet<usize> {
        let (made, all_made) = oneshot::channel();
        let says: BTreeMap<_, _> = {
            let mut inner = self.inner();
            let workers = inner.workers.iter().enumerate().filter(|(_, worker)| worker.name == group);
            let says: BTreeMap<_, _> = workers.filter_map(|(index, worker)| Some((index, worker.running.as_ref()?.say.clone()))).collect();
            if says.is_empty() {
                return BTreeSet::new();
            }
            inner.changes.insert(revision, (says.keys().copied().collect(), Some(made)));
            says
        };
        let all: BTreeSet<_> = says.keys().copied().collect();
        let saying = async {
            for (index, say) in says {
                if say.send(ToWorker::Change { revision, put: put.clone(), remove: remove.clone() }).await.is_err() {
                    self.inner().made(revision, index);
                }
            }
            drop(all_made.await);
        };
        if timeout(PATIENCE, saying).await.is_err() {
            let stuck = self.inner().changes.remove(&revision).map(|(workers, _)| workers).unwrap_or_default();
            for worker in stuck {
                tracing::error!("worker {worker} is stuck, and is ended");
                self.kill(worker);
            }
        }
        all
    }

    /// Whether what a group's workers may write covers `data`; those that may not are replaced, one after the other, by some that may.
    pub(super) fn narrow(&self, group: &str, data: &[PathBuf]) -> Vec<usize> {
        let inner = self.inner();
        let workers = inner.workers.iter().enumerate().filter(|(_, worker)| worker.name == group);
        let narrow = workers
            .filter(|(_, worker)| worker.running.as_ref().is_some_and(|running| data.iter().any(|root| !running.data.contains(root))));
        narrow.map(|(index, _)| index).collect()
    }

    /// Has a worker finish what is in flight and end; its successor begins when it has.
    pub(super) async fn retire(&self, index: usize) {
        let running = self.inner().workers.get_mut(index).and_then(|worker| {
            worker.retired = true;
            worker.running.as_ref().map(|running| (running.say.clone(), worker.incarnation))
        });
        let Some((say, incarnation)) = running else { return };
        if say.send(ToWorker::Stop).await.is_err() {
            return;
        }
        let mut changed = self.changed.subscribe();
        let replaced = changed.wait_for(|_| {
            self.inner()
                .workers
                .get(index)
                .is_none_or(|worker| worker.incarnation != incarnation && worker.running.as_ref().is_some_and(|running| running.ready))
        });
        drop(replaced.await);
    }

    pub(super) async fn stop(&self, grace: Duration) {
        let says: Vec<_> = self.inner().workers.iter().filter_map(|worker| Some(worker.running.as_ref()?.say.clone())).collect();
        for say in says {
            drop(say.send(ToWorker::Stop).await);
        }
        let mut changed = self.changed.subscribe();
        let none = changed.wait_for(|_| self.inner().workers.iter().all(|worker| worker.running.is_none()));
        if timeout(grace + LAST, none).await.is_err() {
            tracing::warn!("workers did not end within the grace of a stop, and are ended");
            (0..self.count()).for_each(|worker| self.kill(worker));
            drop(timeout(LAST, changed.wait_for(|_| self.inner().workers.iter().all(|worker| worker.running.is_none()))).await);
        }
    }

    pub(super) fn kill(&self, worker: usize) {
        let pid = self.inner().workers.get(worker).and_then(|worker| worker.running.as_ref()).map(|running| running.pid);
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }

    pub(super) fn are_ready(&self) -> bool {
        self.inner().workers.iter().all(|worker| worker.running.as_ref().is_some_and(|running| running.ready))
    }

    pub(super) async fn ready(&self) {
        let mut changed = self.changed.subscribe();
        drop(changed.wait_for(|_| self.are_ready()).await);
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.inner().held
    }

    pub(super) fn info(&self) -> Vec<WorkerInfo> {
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

fn refused(what: &str) -> Refused {
    Refused { what: what.to_owned(), ..Refused::default() }
}

fn shown(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
