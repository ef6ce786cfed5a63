//! A worker's lines on their way to its supervisor. Each tenant has a queue of its own, and the queues take turns: who floods loses its own
//! lines, and delays no other's. A worker never waits for its log.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::unix::net::UnixStream as StdStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Notify,
    time::timeout,
};

use crate::exchange::Tasks;

/// What waits of one tenant, at most.
const QUEUE_BYTES: usize = 512 << 10;
/// The longest line.
const LINE_BYTES: usize = 64 << 10;
/// What is written at once.
const BATCH_BYTES: usize = 64 << 10;
/// How long the end of a worker waits for its last lines.
const LAST: Duration = Duration::from_secs(1);

/// What a line is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A guest's.
    App,
    /// A request.
    Access,
    /// The host's own.
    Host,
    /// Says how many bytes of a tenant's lines were dropped.
    Dropped,
}

impl Kind {
    const ALL: [Self; 4] = [Self::App, Self::Access, Self::Host, Self::Dropped];
}

/// A line, as the supervisor reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Whose; empty for the host's own.
    pub tenant: String,
    /// The line, or a number of bytes.
    pub text: String,
}

/// A worker's lines.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

struct Shared {
    queues: Mutex<Queues>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Queues {
    of: HashMap<String, Queue>,
    /// Whose turn it is; each queue that has something stands here once.
    order: VecDeque<String>,
    writing: bool,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<(Kind, String)>,
    bytes: usize,
    dropped: u64,
}

impl Outlet {
    /// Writes to `stream` from now on. Within a runtime.
    pub(super) fn new(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        let outlet = Self(Arc::new(Shared { queues: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }));
        let queues = outlet.clone();
        Tasks::default().spawn(async move {
            loop {
                let batch = queues.batch();
                if batch.is_empty() {
                    queues.0.emptied.notify_waiters();
                    queues.0.filled.notified().await;
                } else if stream.write_all(&batch).await.is_err() {
                    // The supervisor is gone, and so is the log.
                    return;
                }
            }
        });
        Ok(outlet)
    }

    pub(super) fn push(&self, (kind, tenant): (Kind, &str), line: &str) {
        let mut queues = self.queues();
        let key = if kind == Kind::Host { "" } else { tenant };
        if !queues.of.contains_key(key) {
            queues.of.insert(key.to_owned(), Queue::default());
        }
        let Some(queue) = queues.of.get_mut(key) else { return };
        let was_empty = queue.lines.is_empty() && queue.dropped == 0;
        if queue.bytes.saturating_add(line.len()) > QUEUE_BYTES {
            queue.dropped = queue.dropped.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        } else {
            queue.bytes += line.len();
            queue.lines.push_back((kind, line.to_owned()));
        }
        if was_empty {
            queues.order.push_back(key.to_owned());
            self.0.filled.notify_one();
        }
    }

    /// Waits until everything is written, not for ever.
    pub async fn flush(&self) {
        let all = async {
            loop {
                let emptied = self.0.emptied.notified();
                let done = {
                    let queues = self.queues();
                    queues.order.is_empty() && !queues.writing
                };
                if done {
                    return;
                }
                emptied.await;
            }
        };
        drop(timeout(LAST, all).await);
    }

    /// Lines to be written next, one of each queue in turn.
    fn batch(&self) -> Vec<u8> {
        let (mut queues, mut batch) = (self.queues(), Vec::new());
        while batch.len() < BATCH_BYTES {
            let Some(tenant) = queues.order.pop_front() else { break };
            let Some(queue) = queues.of.get_mut(&tenant) else { continue };
            if let Some((kind, line)) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                encode(&mut batch, kind, &tenant, &line);
            } else {
                let dropped = std::mem::take(&mut queue.dropped);
                encode(&mut batch, Kind::Dropped, &tenant, &dropped.to_string());
            }
            if queue.lines.is_empty() && queue.dropped == 0 {
                queues.of.remove(&tenant);
            } else {
                queues.order.push_back(tenant);
            }
        }
        queues.writing = !batch.is_empty();
        batch
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Length, kind, length of the name, name, line.
fn encode(batch: &mut Vec<u8>, kind: Kind, tenant: &str, line: &str) {
    let mut end = line.len().min(LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = line.get(..end).unwrap_or_default();
    let (Ok(name), Ok(length)) = (u8::try_from(tenant.len()), u32::try_from(2 + tenant.len() + line.len())) else { return };
    batch.extend(length.to_le_bytes());
    batch.push(Kind::ALL.iter().position(|known| *known == kind).and_then(|index| u8::try_from(index).ok()).unwrap_or(0));
    batch.push(name);
    batch.extend(tenant.as_bytes());
    batch.extend(line.as_bytes());
}

/// The next line of a worker; `None` at the end.
///
/// # Errors
/// When what comes is no line: the worker is not to be believed any more.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Record>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a worker's log is broken");
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > LINE_BYTES + 512 {
        return Err(broken());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    let (kind, rest) = bytes.split_first().ok_or_else(broken)?;
    let (name, rest) = rest.split_first().ok_or_else(broken)?;
    let (tenant, line) = rest.split_at_checked(usize::from(*name)).ok_or_else(broken)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = *Kind::ALL.get(usize::from(*kind)).ok_or_else(broken)?;
    Ok(Some(Record { kind, tenant: text(tenant), text: text(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_that_floods_loses_its_own_lines_and_delays_no_other() {
        let (worker, supervisor) = StdStream::pair().unwrap();
        let outlet = Outlet::new(worker).unwrap();
        let line = "x".repeat(1 << 10);
        for _ in 0..2_000 {
            outlet.push((Kind::App, "loud"), &line);
        }
        outlet.push((Kind::App, "quiet"), "once");
        outlet.push((Kind::Host, ""), "host");
        supervisor.set_nonblocking(true).unwrap();
        let mut supervisor = UnixStream::from_std(supervisor).unwrap();
        let mut records = Vec::new();
        while !records.iter().any(|record: &Record| record.kind == Kind::Dropped) {
            records.push(read(&mut supervisor).await.unwrap().unwrap());
        }
        let place = |tenant: &str| records.iter().position(|record| record.tenant == tenant).unwrap();
        assert!(place("quiet") <= 2 && place("") <= 2, "{} {}", place("quiet"), place(""));
        let kept = records.iter().filter(|record| record.kind == Kind::App && record.tenant == "loud").count();
        let dropped: usize = records.last().unwrap().text.parse().unwrap();
        assert_eq!((kept, dropped), (512, (2_000 - 512) << 10));
        outlet.flush().await;
    }

    #[tokio::test]
    async fn a_log_that_is_none_is_an_error_and_not_a_line() {
        let read_all = async |bytes: &[u8]| read(&mut &*bytes).await.map_err(|error| error.kind());
        assert_eq!(read_all(b"").await, Ok(None));
        assert_eq!(read_all(b"\xff\xff\xff\xff").await, Err(io::ErrorKind::InvalidData));
        assert_eq!(read_all(b"\x02\0\0\0\x09\0").await, Err(io::ErrorKind::InvalidData));
        assert_eq!(read_all(b"\x02\0\0\0\0\x05").await, Err(io::ErrorKind::InvalidData));
        assert_eq!(read_all(b"\0\0\0\0").await, Err(io::ErrorKind::InvalidData));
    }
}
