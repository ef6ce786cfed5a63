//! One worker process, from its beginning to its end: what it inherits, and what goes to and fro meanwhile.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Instant,
};

use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::{Event, Inner, LAST, MESSAGES, Running, Workers, told};
use crate::{
    confine,
    supervisor::{Plan, cache_of},
    telemetry,
    worker::message::{self, Begin, FROM_WORKER, SiteSpec, ToWorker},
};

impl Workers {
    /// Begins a worker that does not run. It accepts connections when it is told what to serve: now, or by the first change.
    ///
    /// # Errors
    /// When the machine refuses. It does not run then, and may be begun again.
    pub(in crate::supervisor) fn begin(
        &self,
        index: usize,
        plan: &Plan,
        sites: Option<Vec<SiteSpec>>,
        data: Vec<PathBuf>,
    ) -> io::Result<()> {
        let mut inner = self.inner();
        let Inner { groups, workers, .. } = &mut *inner;
        let Some(worker) = workers.get_mut(index) else { return Ok(()) };
        let shared = groups.get(worker.group).ok_or_else(|| io::Error::other("a worker of no group"))?;
        let temporary = confine::temporary(&plan.state, &format!("worker-{index}"))?;
        let (ours, theirs) = UnixStream::pair()?;
        let (log, lines) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        log.set_nonblocking(true)?;
        let begin = Begin {
            worker: worker.number,
            workers: shared.bells.len(),
            rows: plan.rows,
            seed: shared.seed,
            cache: cache_of(plan, &worker.name),
            temporary: temporary.clone(),
            data: data.clone(),
            limits: plan.limits.clone(),
            proxies: plan.proxies.clone(),
            stop_grace_ms: u64::try_from(plan.stop_grace.as_millis()).unwrap_or(u64::MAX),
            format: plan.format.clone(),
            require_sandbox: plan.require_sandbox,
            rewind: plan.rewind,
        };
        let files: Vec<BorrowedFd<'_>> = [shared.ledger.as_fd(), lines.as_fd()]
            .into_iter()
            .chain(shared.bells.iter().map(AsFd::as_fd))
            .chain(shared.listeners.iter().map(AsFd::as_fd))
            .collect();
        // They wait in the socket until it reads.
        message::send_files(&ours, &files)?;
        let pipes = (tokio::net::UnixStream::from_std(ours)?, tokio::net::UnixStream::from_std(log)?);
        let mut command = Command::new("/proc/self/exe");
        command.arg0("wasgi").arg("worker").env_clear().env("TMPDIR", &temporary);
        // Its own process group: who presses Ctrl-C speaks to the supervisor.
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::inherit()).process_group(0);
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or_default();
        let (say, says) = mpsc::channel(MESSAGES);
        let first = [ToWorker::Begin(Box::new(begin))].into_iter().chain(sites.into_iter().flat_map(|sites| told(0, sites, Vec::new())));
        worker.incarnation += 1;
        worker.retired = false;
        worker.running = Some(Running { pid, since: Instant::now(), ready: false, data, say });
        let incarnation = worker.incarnation;
        drop(inner);
        self.attend((index, incarnation), child, pipes, first.collect(), says);
        Ok(())
    }

    /// Carries messages and lines to and fro until the worker has ended.
    fn attend(
        &self,
        (worker, incarnation): (usize, u64),
        mut child: Child,
        (socket, mut log): (tokio::net::UnixStream, tokio::net::UnixStream),
        first: Vec<ToWorker>,
        mut says: mpsc::Receiver<ToWorker>,
    ) {
        let (mut hear, mut say) = socket.into_split();
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
                drop(events.send(Event::Said { worker, incarnation, message }).await);
            }
            Ok::<_, io::Error>(())
        };
        let logging = async move {
            while let Some(record) = telemetry::read(&mut log).await? {
                drop(lines.send(Event::Logged { worker, record }).await);
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
    }
}

fn shown(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
