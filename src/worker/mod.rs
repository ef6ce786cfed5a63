//! A worker: the process that serves. One thread runs connections and guests; it is behind its walls before it has read a byte of a client's.
//!
//! It is told by its supervisor what to serve, and does nothing else on its own account. When the supervisor is gone, it finishes what is in
//! flight and ends.

pub mod message;
mod sites;

use std::{
    convert::Infallible,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use self::{
    message::{Begin, FROM_WORKER, FromWorker, TO_WORKER, ToWorker},
    sites::Sites,
};
use crate::{
    artifact::Artifacts,
    confine::{self, Held, Level, Walls},
    ledger::{Account, Callers, Gauge, Ledger},
    sandbox::{Engine, Rewinder, rewind_calls},
    server::{Bells, Config, Errors, Router, Server, Table},
    telemetry,
};

/// Answers that wait to be said.
const ANSWERS: usize = 64;
/// Threads for calls that wait for a disk, or compute for long; and their priority, of which a greater number is a lesser one.
const BLOCKING: usize = 32;
const POLITE: i32 = 10;
/// How often it is looked whether the last request of an application that goes has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How often the tasks of the runtime are counted.
const COUNT: Duration = Duration::from_secs(5);

/// What a worker inherits.
struct Inherited {
    ledger: std::fs::File,
    log: UnixStream,
    bells: Vec<OwnedFd>,
    listeners: Vec<TcpListener>,
}

/// Serves, as the supervisor at the other end of standard input says.
///
/// # Errors
/// When it cannot begin.
pub fn run() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let files = message::take_files(&socket)?;
    let ToWorker::Begin(begin) = message::receive_first(&socket)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a worker has to be told first what it is"));
    };
    let inherited = Inherited::of(files, begin.workers)?;
    let artifacts = Artifacts::new(&begin.cache).map_err(io::Error::other)?;
    // Behind the walls it could not be opened any more.
    let rewinder = Rewinder::by(begin.rewind.way, begin.rewind.verify);
    let level = stand_behind(&begin, &artifacts)?;

    let engine = Engine::new(&begin.limits).map_err(io::Error::other)?.with_rewinder(rewinder);
    let ledger = Ledger::open(&inherited.ledger, begin.rows + Callers::ROWS, begin.workers)?;
    // Threads that read and write files for guests give way to the one that serves.
    let polite = || rustix::process::setpriority_process(None, POLITE).unwrap_or_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).on_thread_start(polite).build()?;
    runtime.block_on(async {
        let outlet = telemetry::start_worker(inherited.log, &begin.format)?;
        let router = Arc::new(Router::new(Table::default()));
        let callers = Callers::of(&ledger, begin.worker, begin.seed);
        let all = callers.all();
        let config = Config {
            bind: Vec::new(),
            router: Arc::clone(&router),
            limits: begin.limits.clone(),
            bells: Bells { all: inherited.bells, own: begin.worker },
            callers,
            stop_grace: Duration::from_millis(begin.stop_grace_ms),
            errors: Errors::Hidden,
            proxies: begin.proxies.clone(),
        };
        let server = Server::with_listeners(inherited.listeners, config)?;
        // What serving needs is there; from now on there is nothing more of it.
        let held = confine::before_guests(level, &rewind_calls()).map_err(io::Error::other)?;
        required(&begin, held)?;
        let sites = Sites::new((engine, artifacts.codes()), ledger, begin.worker, router);
        let stopped = tokio::select! {
            stopped = serve(socket, server, sites, held) => stopped,
            never = count_tasks(all) => match never {},
        };
        outlet.flush().await;
        stopped
    })
}

impl Inherited {
    fn of(files: Vec<OwnedFd>, workers: usize) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::UnexpectedEof, "a worker's inheritance is not whole");
        let mut files = files.into_iter();
        let (ledger, log) = (files.next().ok_or_else(missing)?, files.next().ok_or_else(missing)?);
        let bells: Vec<_> = files.by_ref().take(workers).collect();
        if bells.len() != workers {
            return Err(missing());
        }
        Ok(Self { ledger: ledger.into(), log: log.into(), bells, listeners: files.map(TcpListener::from).collect() })
    }
}

/// Builds the walls that come first.
fn stand_behind(begin: &Begin, artifacts: &Artifacts) -> io::Result<Level> {
    let write = begin.data.iter().cloned().chain([begin.temporary.clone()]).collect();
    let walls = Walls { read: artifacts.served(), write, address_space: None };
    let level = confine::before_threads(&walls).map_err(io::Error::other)?;
    required(begin, Held { files: level, calls: true })?;
    Ok(level)
}

fn required(begin: &Begin, held: Held) -> io::Result<()> {
    if begin.require_sandbox && !held.is_whole() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("a sandbox is required, and this kernel has {held}")));
    }
    Ok(())
}

/// Serves until the supervisor says that it is enough, or is gone.
async fn serve(socket: UnixStream, server: Server, mut sites: Sites, held: Held) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let (mut hear, mut say) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let (answers, mut answered) = mpsc::channel::<FromWorker>(ANSWERS);
    let (stop, stopped) = oneshot::channel::<()>();
    let (told, first) = oneshot::channel::<()>();
    let mut told = Some(told);
    let saying = async {
        while let Some(answer) = answered.recv().await {
            message::send(&mut say, &answer).await?;
        }
        Ok::<_, io::Error>(())
    };
    let hearing = async {
        let heard = async {
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // A message that is read in part must not be dropped: it is read by a future of its own.
            let mut next = Box::pin(receive(&mut hear));
            loop {
                let message = tokio::select! {
                    message = &mut next => message,
                    _ = looks.tick(), if sites.are_leaving() => {
                        for id in sites.gone() {
                            answers.send(FromWorker::Gone { id }).await.map_err(io::Error::other)?;
                        }
                        continue;
                    }
                };
                let (message, hear) = message?;
                next = Box::pin(receive(hear));
                match message {
                    Some(ToWorker::Try { site, path }) => {
                        let (trial, answers) = (sites.try_out(*site, path), answers.clone());
                        sites.tasks().spawn(async move {
                            let (id, result) = trial.await;
                            // The supervisor may be gone.
                            drop(answers.send(FromWorker::Tried { id, result }).await);
                        });
                    }
                    Some(ToWorker::Stock { put }) => sites.stock(put),
                    Some(ToWorker::Forget { id }) => sites.forget(id),
                    Some(ToWorker::Change { revision, put, remove }) => {
                        sites.change(put, &remove);
                        answers.send(FromWorker::Changed { revision }).await.map_err(io::Error::other)?;
                        // It accepts connections when it knows what to serve, and not before.
                        if let Some(told) = told.take() {
                            told.send(()).unwrap_or_default();
                            answers.send(FromWorker::Ready { held }).await.map_err(io::Error::other)?;
                        }
                    }
                    Some(ToWorker::Begin(_)) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a worker begins once")),
                    Some(ToWorker::Stop) | None => return Ok(()),
                }
            }
        };
        let heard = heard.await;
        drop((stop, told));
        heard
    };
    let serving = async {
        if first.await.is_ok() {
            server.run(async { drop(stopped.await) }).await;
        }
    };
    let both = async { tokio::join!(serving, hearing) };
    tokio::select! {
        ((), heard) = both => heard,
        // Nobody hears any more; what is in flight ends all the same, for `hearing` sees the same end.
        said = saying => said,
    }
}

/// Counts the tasks of this runtime, again and again.
async fn count_tasks(all: Option<Account>) -> Infallible {
    let (metrics, mut times) = (tokio::runtime::Handle::current().metrics(), tokio::time::interval(COUNT));
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let tasks = u64::try_from(metrics.num_alive_tasks()).unwrap_or(u64::MAX);
        if let Some(all) = &all {
            all.set(Gauge::Tasks, tasks);
        }
    }
}

async fn receive<R: tokio::io::AsyncRead + Unpin>(hear: &mut R) -> io::Result<(Option<ToWorker>, &mut R)> {
    message::receive(hear, TO_WORKER).await.map(|message| (message, hear))
}

/// The longest text that a worker says of a failure.
fn cut(text: &str) -> String {
    text.chars().take(FROM_WORKER / 16).collect()
}

/// The name of a file, for messages.
fn shown(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
