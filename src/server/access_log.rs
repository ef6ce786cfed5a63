//! One line for each request, when both the response is sent and the guest has let go of it, also for one that was broken off.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode, Uri, Version, header};

use super::site::Site;
use crate::{
    environ::{self, Head},
    exchange::{Report, Tasks, Used},
    fault::{Fault, Outcome},
    ledger::{Counter, DURATIONS, PARTS},
};

/// Where the lines go.
const LOG: &str = "wasgi::access";

/// The line in the making. It is written when its last holder lets go of it.
#[derive(Clone)]
pub(super) struct Entry(Arc<Line>);

struct Line {
    site: Option<Arc<Site>>,
    request_id: String,
    client: IpAddr,
    asked: Option<Asked>,
    started: Instant,
    written: Mutex<Written>,
}

/// What a client asked for.
struct Asked {
    method: Method,
    /// Without the query, which may hold secrets.
    path: String,
    protocol: &'static str,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// Of `traceparent`.
    trace_id: Option<String>,
}

#[derive(Default)]
struct Written {
    status: Option<StatusCode>,
    bytes: u64,
    /// The client has not taken all of the body.
    unfinished: bool,
    outcome: Option<Outcome>,
    queue: Duration,
    used: Used,
}

impl Entry {
    /// For a request that was understood.
    pub(super) fn new(head: &Head, site: Option<Arc<Site>>) -> Self {
        let parts = head.parts();
        // Where no line is written, what it would say need not be kept.
        let asked = tracing::enabled!(target: LOG, tracing::Level::INFO).then(|| Asked {
            method: parts.method.clone(),
            path: escaped(&parts.uri),
            protocol: if parts.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            referer: parts.headers.get(header::REFERER).cloned(),
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            trace_id: environ::trace_id(&parts.headers),
        });
        let origin = head.origin();
        Self::of(origin.client, origin.request_id.clone(), asked, site)
    }

    /// For one that was refused; `line` is what of it was understood.
    pub(super) fn refused(client: IpAddr, line: Option<(Method, Uri)>, site: Option<Arc<Site>>) -> Self {
        let asked = line.map(|(method, target)| Asked {
            method,
            path: escaped(&target),
            protocol: "-",
            referer: None,
            user_agent: None,
            trace_id: None,
        });
        Self::of(client, None, asked, site)
    }

    fn of(client: IpAddr, request_id: Option<String>, asked: Option<Asked>, site: Option<Arc<Site>>) -> Self {
        Self(Arc::new(Line {
            site,
            request_id: request_id.unwrap_or_else(new_id),
            client,
            asked,
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

    /// It waited so long for its place.
    pub(super) fn queued(&self) {
        self.0.change(|written| written.queue = self.0.started.elapsed());
    }

    /// No guest has a part in it.
    pub(super) fn host_answered(&mut self) {
        self.0.change(|written| written.outcome = Some(Outcome::Ok));
    }

    /// The body was dropped before its end.
    pub(super) fn unfinished(&mut self) {
        self.0.change(|written| written.unfinished = true);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.0.change(|written| written.bytes = written.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// Takes the guest's report, and holds the line until it has come.
    pub(super) fn reporter(&self, tasks: &Tasks) -> impl FnOnce(Report) + Send + use<> {
        let reporter = Reporter { line: Arc::clone(&self.0), tasks: tasks.clone() };
        move |report| {
            reporter.line.change(|written| {
                written.outcome.get_or_insert(report.outcome);
                written.used = report.used;
            });
        }
    }
}

/// The path, as it may be shown.
fn escaped(target: &Uri) -> String {
    target.path().escape_default().to_string()
}

/// Dropped without a report, the guest was broken off: the host panicked, or is stopping. If neither, it has not begun, and its client has gone.
struct Reporter {
    line: Arc<Line>,
    tasks: Tasks,
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let outcome = match (thread::panicking(), self.tasks.are_broken_off()) {
            (true, _) => Outcome::HostError,
            (false, true) => Outcome::Stopping,
            (false, false) => Outcome::ClientGone,
        };
        self.line.change(|written| {
            written.outcome.get_or_insert(outcome);
        });
    }
}

/// Counts the request for its application.
fn count(site: &Site, written: &Written, outcome: Outcome, took: Duration) {
    let Written { bytes, queue, used, .. } = written;
    let usage = site.usage();
    usage.count(Counter::Requests(outcome), 1);
    usage.count(Counter::Took(DURATIONS.of(took)), 1);
    usage.count(Counter::DurationNs, nanos(took));
    usage.count(Counter::QueueNs, nanos(*queue));
    let for_all = |bucket, ns, time| {
        usage.count_for_all(bucket, 1);
        usage.count_for_all(ns, nanos(time));
    };
    for_all(Counter::Took(DURATIONS.of(took)), Counter::DurationNs, took);
    for_all(Counter::Waited(PARTS.of(*queue)), Counter::QueueNs, *queue);
    usage.count(Counter::BytesIn, used.bytes_in);
    usage.count(Counter::BytesOut, *bytes);
    if used.start > Duration::ZERO {
        let bucket = PARTS.of(used.start);
        let (starts, ns, started) = if used.cold {
            (Counter::ColdStarts, Counter::ColdStartNs, Counter::StartedCold(bucket))
        } else {
            (Counter::WarmStarts, Counter::WarmStartNs, Counter::StartedWarm(bucket))
        };
        usage.count(starts, 1);
        usage.count(ns, nanos(used.start));
        for_all(started, ns, used.start);
    }
    if matches!(outcome, Outcome::Trap | Outcome::CpuLimit | Outcome::MemoryLimit | Outcome::StartingFailed) {
        site.broke();
    }
}

impl Line {
    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let written = std::mem::take(self.written.get_mut().unwrap_or_else(PoisonError::into_inner));
        // A guest that has ended well may have had a client that did not stay.
        let outcome = written.outcome.filter(|outcome| *outcome != Outcome::Ok || !written.unfinished).unwrap_or(Outcome::ClientGone);
        let took = self.started.elapsed();
        if let Some(site) = &self.site {
            count(site, &written, outcome, took);
        }
        let Written { status, bytes, queue, used, .. } = written;
        let asked = self.asked.as_ref();
        let text = |value: fn(&Asked) -> Option<&HeaderValue>| {
            asked.and_then(value).map(|value| String::from_utf8_lossy(value.as_bytes()).escape_default().to_string())
        };
        tracing::info!(
            target: LOG,
            tenant = %self.site.as_ref().map_or("-", |site| site.log().tenant().as_str()),
            app = self.site.as_ref().map(|site| site.name.as_str()).filter(|name| !name.is_empty()),
            version = self.site.as_ref().map(|site| site.version.as_str()).filter(|version| !version.is_empty()),
            request_id = %self.request_id,
            trace_id = asked.and_then(|asked| asked.trace_id.as_deref()),
            client = %self.client,
            method = %asked.map_or("-", |asked| asked.method.as_str()),
            path = %asked.map_or("-", |asked| asked.path.as_str()),
            protocol = %asked.map_or("-", |asked| asked.protocol),
            status = status.map_or(0, |status| status.as_u16()),
            bytes_in = used.bytes_in,
            bytes_out = bytes,
            duration_ms = millis(took),
            queue_ms = millis(queue),
            start_ms = millis(used.start),
            cpu_ms = millis(used.cpu),
            memory_peak = used.memory,
            cold = used.cold,
            outcome = outcome.as_str(),
            referer = text(|asked| asked.referer.as_ref()),
            user_agent = text(|asked| asked.user_agent.as_ref()),
        );
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
