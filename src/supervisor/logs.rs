//! The tenants' lines: the last ones of each are kept, whoever follows them is told, and all go to a file of the tenant's or to standard
//! error. None of it can stop the supervisor: who reads too slowly misses lines, and that is counted.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::broadcast;

use crate::telemetry::{Kind, Record};

/// What is kept of each tenant in memory.
const KEPT_BYTES: usize = 64 << 10;
/// Lines that a follower may be behind.
const BEHIND: usize = 1_024;
/// What a line costs beside its text.
const LINE_BYTES: usize = 64;
/// Lines that wait to be written, in number and in bytes: of one tenant, and of all tenants. The host's own have what is left.
const WAITING: usize = 65_536;
const TENANT_BYTES: usize = 1 << 20;
const TENANTS_BYTES: usize = 8 << 20;
const ALL_BYTES: usize = 16 << 20;
/// How long the end of the host waits for the last lines.
const LAST: Duration = Duration::from_secs(2);

/// Where the tenants' lines go.
#[derive(Clone, Debug)]
pub enum LogPlan {
    /// To standard error, with the host's own.
    Terminal,
    /// Each to a file of its own in a folder; a file that has become so long is renamed to `….1`, in the place of the last one.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The length.
        most: u64,
    },
}

/// The tenants' lines.
pub struct Logs {
    tenants: Mutex<BTreeMap<String, Tenant>>,
    writer: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

/// Bytes that wait to be written, of a tenant and of all, until they are.
struct Charge {
    bytes: usize,
    of: Option<Arc<AtomicUsize>>,
    all: Arc<AtomicUsize>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        for count in self.of.iter().chain([&self.all]) {
            count.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

struct Tenant {
    waiting: Arc<AtomicUsize>,
    kept: VecDeque<(Kind, String)>,
    bytes: usize,
    followers: broadcast::Sender<String>,
    dropped: u64,
}

impl Default for Tenant {
    fn default() -> Self {
        Self { waiting: Arc::default(), kept: VecDeque::new(), bytes: 0, followers: broadcast::Sender::new(BEHIND), dropped: 0 }
    }
}

/// A tenant's last lines, and those to come.
pub struct Tail {
    /// The last ones.
    pub last: Vec<String>,
    /// Those to come.
    pub next: broadcast::Receiver<String>,
}

enum Job {
    Line { tenant: Option<String>, text: String, _charge: Charge },
    Done(tokio::sync::oneshot::Sender<()>),
}

impl Logs {
    /// Begins to write.
    ///
    /// # Errors
    /// When the folder cannot be made, or no thread.
    pub fn new(plan: &LogPlan) -> io::Result<Self> {
        if let LogPlan::Folder { folder, .. } = plan {
            fs::create_dir_all(folder)?;
        }
        let (writer, jobs) = sync_channel(WAITING);
        let plan = plan.clone();
        let dropped = Arc::new(AtomicU64::new(0));
        let unwritten = Arc::clone(&dropped);
        thread::Builder::new().name("log".into()).spawn(move || write(&plan, &jobs, &unwritten))?;
        Ok(Self { tenants: Mutex::default(), writer, waiting: Arc::default(), dropped })
    }

    /// Takes a line.
    pub fn take(&self, record: &Record) {
        let Record { kind, tenant, text } = record;
        if *kind == Kind::Host || tenant.is_empty() {
            self.write(None, text, None);
            return;
        }
        let mut tenants = self.tenants();
        let of = tenants.entry(tenant.clone()).or_default();
        if *kind == Kind::Dropped {
            of.dropped = of.dropped.saturating_add(text.parse().unwrap_or(0));
            return;
        }
        of.bytes += text.len() + LINE_BYTES;
        of.kept.push_back((*kind, text.clone()));
        while of.bytes > KEPT_BYTES {
            let Some((_, first)) = of.kept.pop_front() else { break };
            of.bytes -= first.len() + LINE_BYTES;
        }
        // Nobody may be following.
        drop(of.followers.send(text.clone()));
        let waiting = Arc::clone(&of.waiting);
        drop(tenants);
        self.write(Some(tenant), text, Some(waiting));
    }

    /// A tenant's last lines, and those to come.
    pub fn follow(&self, tenant: &str) -> Tail {
        let mut tenants = self.tenants();
        let of = tenants.entry(tenant.to_owned()).or_default();
        Tail { last: of.kept.iter().map(|(_, text)| text.clone()).collect(), next: of.followers.subscribe() }
    }

    /// Bytes of a tenant's lines that its workers had no room for.
    pub fn dropped(&self, tenant: &str) -> u64 {
        self.tenants().get(tenant).map_or(0, |of| of.dropped)
    }

    /// Lines that could not be written in time.
    pub fn unwritten(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Forgets a tenant that is gone.
    pub fn forget(&self, tenant: &str) {
        self.tenants().remove(tenant);
    }

    /// Waits until all is written, not for ever.
    pub async fn flush(&self) {
        let (done, all) = tokio::sync::oneshot::channel();
        if self.writer.try_send(Job::Done(done)).is_ok() {
            drop(tokio::time::timeout(LAST, all).await);
        }
    }

    fn write(&self, tenant: Option<&str>, text: &str, of: Option<Arc<AtomicUsize>>) {
        let bytes = text.len() + LINE_BYTES;
        let most = if of.is_some() { TENANTS_BYTES } else { ALL_BYTES };
        let full = |count: &AtomicUsize, most: usize| count.load(Ordering::Relaxed).saturating_add(bytes) > most;
        if full(&self.waiting, most) || of.as_ref().is_some_and(|of| full(of, TENANT_BYTES)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for count in of.iter().chain([&self.waiting]) {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
        let charge = Charge { bytes, of, all: Arc::clone(&self.waiting) };
        let job = Job::Line { tenant: tenant.map(str::to_owned), text: format!("{text}\n"), _charge: charge };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.writer.try_send(job) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that are held open at once.
const OPEN: usize = 64;

/// Writes until nobody has lines any more. A disk that is full loses lines, and nothing else; they are counted.
fn write(plan: &LogPlan, jobs: &Receiver<Job>, unwritten: &AtomicU64) {
    let mut files: VecDeque<(String, File, u64)> = VecDeque::new();
    while let Ok(job) = jobs.recv() {
        let written = match job {
            Job::Done(done) => {
                done.send(()).unwrap_or_default();
                Ok(())
            }
            Job::Line { tenant: Some(tenant), text, .. } => match plan {
                LogPlan::Terminal => io::stderr().lock().write_all(text.as_bytes()),
                LogPlan::Folder { folder, most } => append(&mut files, folder, *most, &tenant, &text),
            },
            Job::Line { tenant: None, text, .. } => io::stderr().lock().write_all(text.as_bytes()),
        };
        if written.is_err() {
            unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn append(files: &mut VecDeque<(String, File, u64)>, folder: &Path, most: u64, tenant: &str, text: &str) -> io::Result<()> {
    let at = files.iter().position(|(name, ..)| name == tenant);
    let (name, mut file, mut length) = if let Some(open) = at.and_then(|at| files.remove(at)) {
        open
    } else {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path(folder, tenant))?;
        let length = file.metadata()?.len();
        (tenant.to_owned(), file, length)
    };
    if length >= most {
        fs::rename(path(folder, tenant), folder.join(format!("{tenant}.log.1")))?;
        file = OpenOptions::new().create(true).append(true).mode(0o600).open(path(folder, tenant))?;
        length = 0;
    }
    let written = file.write_all(text.as_bytes());
    length = length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
    files.push_front((name, file, length));
    files.truncate(OPEN);
    written
}

fn path(folder: &Path, tenant: &str) -> PathBuf {
    folder.join(format!("{tenant}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tenant: &str, text: &str) -> Record {
        Record { kind: Kind::App, tenant: tenant.to_owned(), text: text.to_owned() }
    }

    #[tokio::test]
    async fn each_tenant_has_a_file_and_a_file_that_is_long_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(&LogPlan::Folder { folder: folder.path().to_owned(), most: 10 }).unwrap();
        for text in ["one", "twotwotwo", "three"] {
            logs.take(&record("a", text));
        }
        logs.take(&record("b", "other"));
        logs.flush().await;
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!([read("a.log.1"), read("a.log"), read("b.log")], ["one\ntwotwotwo\n", "three\n", "other\n"]);
    }

    #[tokio::test]
    async fn lines_that_wait_are_kept_under_and_at_a_tenants_bound_and_dropped_over_it_and_the_hosts_are_not() {
        // Nobody writes: what waits, waits.
        let (writer, _jobs) = sync_channel(WAITING);
        let logs = Logs { tenants: Mutex::default(), writer, waiting: Arc::default(), dropped: Arc::default() };
        let line = "x".repeat((TENANT_BYTES >> 4) - LINE_BYTES);
        let dropped = |tenant: &str, times: usize| {
            (0..times).for_each(|_| logs.take(&record(tenant, &line)));
            logs.unwritten()
        };
        assert_eq!([dropped("a", 15), dropped("a", 1), dropped("a", 1)], [0, 0, 1]);
        assert_eq!([dropped("b", 16), dropped("b", 1)], [1, 2]);
        for tenant in ["c", "d", "e", "f", "g", "h"] {
            dropped(tenant, 16);
        }
        assert_eq!(dropped("i", 1), 3, "all tenants have theirs");
        logs.take(&Record { kind: Kind::Host, tenant: String::new(), text: line.clone() });
        assert_eq!(logs.unwritten(), 3);
    }

    #[tokio::test]
    async fn who_follows_has_the_last_lines_and_those_to_come() {
        let logs = Logs::new(&LogPlan::Terminal).unwrap();
        let long = "x".repeat(KEPT_BYTES / 2 - LINE_BYTES);
        for text in [&long, &long, "third"] {
            logs.take(&record("a", text));
        }
        let mut tail = logs.follow("a");
        assert_eq!(tail.last, [long.as_str(), "third"]);
        logs.take(&record("a", "next"));
        logs.take(&record("b", "not this"));
        assert_eq!(tail.next.recv().await.unwrap(), "next");
        assert_eq!(tail.next.try_recv(), Err(broadcast::error::TryRecvError::Empty));
    }
}
