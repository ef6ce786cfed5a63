//! One line for each request, when both the response is sent and the guest has let go of it, also for one that was broken off.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Method, StatusCode, Uri};

use crate::{
    exchange::Report,
    fault::{Fault, Outcome},
    tenant::TenantId,
};

/// The line in the making. It is written when its last holder lets go of it.
#[derive(Clone)]
pub(super) struct Entry(Arc<Line>);

struct Line {
    tenant: TenantId,
    request_id: String,
    client: IpAddr,
    asked: Option<(Method, String)>,
    started: Instant,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    status: Option<StatusCode>,
    bytes: u64,
    outcome: Option<Outcome>,
    cpu: Duration,
}

impl Entry {
    /// For a request of `client`; `asked` is what it asked for, as far as that was understood.
    pub(super) fn new(client: IpAddr, asked: Option<(&Method, &Uri)>, tenant: TenantId) -> Self {
        Self(Arc::new(Line {
            tenant,
            request_id: new_id(),
            client,
            // Without the query, which may hold secrets.
            asked: asked.map(|(method, target)| (method.clone(), target.path().escape_default().to_string())),
            started: Instant::now(),
            written: Mutex::default(),
        }))
    }

    pub(super) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    pub(super) fn status(&mut self, status: StatusCode) {
        self.0.change(|written| written.status = Some(status));
    }

    pub(super) fn fault(&mut self, fault: &Fault, status: StatusCode) {
        self.0.change(|written| {
            written.status = Some(status);
            written.outcome = Some(fault.into());
        });
    }

    /// No guest has a part in it.
    pub(super) fn host_answered(&mut self) {
        self.0.change(|written| written.outcome = Some(Outcome::Ok));
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.0.change(|written| written.bytes = written.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// Takes the guest's report, and holds the line until it has come.
    pub(super) fn reporter(&self) -> impl FnOnce(Report) + Send + use<> {
        let reporter = Reporter(Arc::clone(&self.0));
        move |report| {
            reporter.0.change(|written| {
                written.outcome.get_or_insert(report.outcome);
                written.cpu = report.cpu;
            });
        }
    }
}

/// Dropped without a report, the guest was broken off: the host has stopped, or panicked.
struct Reporter(Arc<Line>);

impl Drop for Reporter {
    fn drop(&mut self) {
        self.0.change(|written| {
            written.outcome.get_or_insert(Outcome::HostError);
        });
    }
}

impl Line {
    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        let outcome = written.outcome.unwrap_or(Outcome::ClientGone);
        let (method, path) = self.asked.as_ref().map_or(("-", "-"), |(method, path)| (method.as_str(), path.as_str()));
        tracing::info!(
            target: "wasgi::access",
            tenant = %self.tenant,
            request_id = %self.request_id,
            client = %self.client,
            %method,
            %path,
            status = written.status.map_or(0, |status| status.as_u16()),
            bytes_out = written.bytes,
            duration_ms = millis(self.started.elapsed()),
            cpu_ms = millis(written.cpu),
            outcome = outcome.as_str(),
        );
    }
}

/// Milliseconds with three places.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// 16 hexadecimal digits, unique in a process, and not guessed from those of another.
fn new_id() -> String {
    static PROCESS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}", PROCESS.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
}
