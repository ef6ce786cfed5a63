//! `/metrics`: the ledger in Prometheus' text format, version 0.0.4. Names are OpenTelemetry's where it has one, `wasgi_*` otherwise.
//!
//! Written here and not by a library: what there is to write is a walk over the ledger, and the libraries write OpenMetrics, whose counters
//! `promtool check metrics` takes for untyped.

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::{
    fault::Outcome,
    ledger::{Buckets, Callers, Counter, DURATIONS, Gauge, Ledger, PARTS},
    supervisor::{Host, Live, WorkerInfo},
};

/// Outcomes that are a guest's own end, by what they are called.
const TRAPS: &[(Outcome, &str)] = &[
    (Outcome::Trap, "trap"),
    (Outcome::CpuLimit, "interrupt"),
    (Outcome::MemoryLimit, "out_of_memory"),
    (Outcome::StartingFailed, "start"),
];
/// Outcomes that are a limit's doing, by its name.
const LIMITS: &[(Outcome, &str)] = &[
    (Outcome::CpuLimit, "guest_cpu"),
    (Outcome::MemoryLimit, "memory"),
    (Outcome::WallLimit, "wall"),
    (Outcome::QueueFull, "queue"),
    (Outcome::QueueTimeout, "queue_timeout"),
    (Outcome::NoInstance, "instances"),
    (Outcome::CoolingDown, "max_traps"),
];

/// Applications above which no histograms are kept apart (each has 17 series).
const HISTOGRAMS: usize = 500;

/// The metrics now.
#[must_use]
pub fn text(host: &Host) -> String {
    let (tenants, live) = host.rows();
    let live: Vec<_> = live.into_iter().map(|live| (host.ledger(&live.group), live)).collect();
    let mut page = Page(String::new());
    apps(&mut page, &live);
    let all = host.plan().groups.iter().filter_map(|group| {
        let ledger = host.ledger(&group.name);
        let row = Callers::of(&ledger, 0, 0).all()?.row();
        Some((ledger, row))
    });
    durations(&mut page, &live, &all.collect::<Vec<_>>());

    let level = |gauge| tenants.iter().map(move |(tenant, ledger, row)| ([("tenant", tenant.to_string())], ledger.level(*row, gauge)));
    page.family("wasgi_guest_memory_bytes", "gauge", "Bytes of linear memories and tables of a tenant's instances.", level(Gauge::Memory));
    page.family("http_server_active_requests", "gauge", "Requests of a tenant that run.", level(Gauge::Running));
    page.family("wasgi_requests_waiting", "gauge", "Requests of a tenant that wait for a place.", level(Gauge::Waiting));
    let instances = tenants.iter().flat_map(|(tenant, ledger, row)| {
        let (all, idle) = (ledger.level(*row, Gauge::Instances), ledger.level(*row, Gauge::Idle));
        [("busy", all.saturating_sub(idle)), ("idle", idle)]
            .map(|(state, count)| ([("tenant", tenant.to_string()), ("state", state.to_owned())], count))
    });
    page.family("wasgi_instances", "gauge", "Instances of a tenant.", instances);
    let dropped = tenants.iter().map(|(tenant, ledger, row)| {
        let bytes = ledger.sum(*row, Counter::LogBytesDropped).saturating_add(host.logs().dropped(tenant.as_str()));
        ([("tenant", tenant.to_string())], bytes)
    });
    page.family("wasgi_log_bytes_dropped_total", "counter", "Bytes of a tenant's lines that were above its limits.", dropped);
    processes(&mut page, host);
    page.0
}

/// The host's own processes.
fn processes(page: &mut Page, host: &Host) {
    let workers = host.workers();
    let labels = |worker: &WorkerInfo| [("worker", worker.worker.to_string()), ("group", worker.group.clone())];
    page.family(
        "wasgi_worker_up",
        "gauge",
        "Whether a worker serves.",
        workers.iter().map(|worker| (labels(worker), u64::from(worker.ready))),
    );
    let restarts = workers.iter().map(|worker| (labels(worker), worker.restarts));
    page.family("wasgi_worker_restarts_total", "counter", "How often a worker was begun again.", restarts);
    let of_groups = |gauge| {
        host.plan().groups.iter().map(move |group| {
            let callers = Callers::of(&host.ledger(&group.name), 0, 0).all();
            ([("group", group.name.clone())], callers.map_or(0, |all| all.level(gauge)))
        })
    };
    page.family("wasgi_connections", "gauge", "Connections of clients.", of_groups(Gauge::Connections));
    page.family("wasgi_tokio_alive_tasks", "gauge", "Tasks of the workers' runtimes, every 5 s.", of_groups(Gauge::Tasks));
    let resident = workers.iter().filter_map(|worker| Some((labels(worker), resident_bytes(worker.pid?)?)));
    page.family("wasgi_worker_resident_memory_bytes", "gauge", "Resident memory of a worker.", resident);
    let busy = workers.iter().filter_map(|worker| Some((labels(worker), cpu_time(worker.pid?)?.as_secs_f64())));
    page.family("wasgi_worker_cpu_seconds_total", "counter", "CPU time of a worker, since it was begun.", busy);
    let open = workers.iter().filter_map(|worker| Some((labels(worker), open_files(worker.pid?)?)));
    page.family("wasgi_worker_open_fds", "gauge", "Open files of a worker.", open);
    let own = cpu_time(std::process::id()).map(|time| ([("process", "supervisor".to_owned())], time.as_secs_f64()));
    page.family("process_cpu_seconds_total", "counter", "CPU time of the supervisor.", own);
    let own = resident_bytes(std::process::id()).map(|bytes| ([("process", "supervisor".to_owned())], bytes));
    page.family("process_resident_memory_bytes", "gauge", "Resident memory of the supervisor.", own);
    let files = open_files(std::process::id()).map(|files| ([("process", "supervisor".to_owned())], files));
    page.family("process_open_fds", "gauge", "Open files of the supervisor.", files);
    let [good, failed] = host.counts().stages();
    let stages = [("ok", good), ("failed", failed)].map(|(result, count)| ([("result", result.to_owned())], count));
    page.family("wasgi_compile_total", "counter", "Files that were compiled, or found in the cache.", stages);
    let took = [([("of", "all".to_owned())], host.counts().took().as_secs_f64())];
    page.family("wasgi_compile_seconds_total", "counter", "Time that this took.", took);
    let [found, compiled] = host.counts().cached();
    let cached = |count| [([("of", "all".to_owned())], count)];
    page.family("wasgi_component_cache_hits_total", "counter", "Files of which all code was in the cache.", cached(found));
    page.family("wasgi_component_cache_misses_total", "counter", "Files of which something was compiled.", cached(compiled));
    let bytes = cached(host.counts().cache_bytes());
    page.family("wasgi_component_cache_bytes", "gauge", "Bytes of the caches, when they were swept last.", bytes);
    let unwritten = [([("stream", "all".to_owned())], host.logs().unwritten())];
    page.family("wasgi_log_lines_unwritten_total", "counter", "Lines that the disk or standard error was too slow for.", unwritten);
    let info = [([("version", env!("CARGO_PKG_VERSION").to_owned())], 1_u64)];
    page.family("wasgi_build_info", "gauge", "The version that runs.", info);
}

/// Of `/proc`: the second number is of pages.
fn resident_bytes(pid: u32) -> Option<u64> {
    let pages: u64 = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(u64::try_from(rustix::param::page_size()).ok()?))
}

/// Of `/proc`.
fn open_files(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Of `/proc`: behind the name, which may have anything in it, the twelfth and thirteenth number are ticks in the process and in the kernel.
fn cpu_time(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, numbers) = text.rsplit_once(')')?;
    let ticks = numbers.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks.saturating_mul(1_000).checked_div(rustix::param::clock_ticks_per_second())?))
}

type Row = (Arc<Ledger>, Live);

fn labels(live: &Live) -> [(&'static str, String); 3] {
    [("tenant", live.name.tenant.to_string()), ("app", live.name.app.clone()), ("version", live.site.version.clone())]
}

/// What is counted of each application.
fn apps(page: &mut Page, live: &[Row]) {
    let outcomes = live.iter().flat_map(|(ledger, live)| {
        Outcome::ALL.into_iter().filter_map(move |outcome| {
            let count = ledger.sum(live.site.row, Counter::Requests(outcome));
            let [tenant, app, version] = labels(live);
            (count > 0 || outcome == Outcome::Ok).then(|| ([tenant, app, version, ("outcome", outcome.as_str().to_owned())], count))
        })
    });
    page.family("wasgi_requests_total", "counter", "Requests, by how they ended.", outcomes);
    let pick = |of: &'static [(Outcome, &'static str)], label: &'static str| {
        live.iter().flat_map(move |(ledger, live)| {
            of.iter().filter_map(move |(outcome, name)| {
                let count = ledger.sum(live.site.row, Counter::Requests(*outcome));
                let [tenant, app, version] = labels(live);
                (count > 0).then(|| ([tenant, app, version, (label, (*name).to_owned())], count))
            })
        })
    };
    page.family("wasgi_traps_total", "counter", "Guests that ended where they should not.", pick(TRAPS, "trap"));
    page.family("wasgi_limit_hits_total", "counter", "Requests that a limit ended or refused.", pick(LIMITS, "limit"));
    let seconds = |counters: &'static [Counter]| {
        live.iter().map(move |(ledger, live)| {
            let ns = counters.iter().map(|counter| ledger.sum(live.site.row, *counter)).fold(0, u64::wrapping_add);
            (labels(live), Duration::from_nanos(ns).as_secs_f64())
        })
    };
    let count = |counter| live.iter().map(move |(ledger, live)| (labels(live), ledger.sum(live.site.row, counter)));
    page.family("wasgi_guest_cpu_seconds_total", "counter", "CPU time in guests.", seconds(&[Counter::CpuNs]));
    page.family("wasgi_request_queue_seconds_total", "counter", "Time that requests waited for a place.", seconds(&[Counter::QueueNs]));
    page.family("wasgi_requests_admitted_total", "counter", "Requests that got a place.", count(Counter::Admitted));
    page.family(
        "wasgi_instantiate_seconds_total",
        "counter",
        "Time until requests had their instance.",
        seconds(&[Counter::ColdStartNs, Counter::WarmStartNs]),
    );
    let starts = live.iter().flat_map(|(ledger, live)| {
        [("cold", Counter::ColdStarts), ("warm", Counter::WarmStarts)].map(|(kind, counter)| {
            let [tenant, app, version] = labels(live);
            ([tenant, app, version, ("kind", kind.to_owned())], ledger.sum(live.site.row, counter))
        })
    });
    page.family("wasgi_instance_starts_total", "counter", "Requests by whether their instance was new.", starts);
    let rewinds = live.iter().flat_map(|(ledger, live)| {
        [("ok", Counter::Rewound), ("discarded", Counter::Discarded)].map(|(result, counter)| {
            let [tenant, app, version] = labels(live);
            ([tenant, app, version, ("result", result.to_owned())], ledger.sum(live.site.row, counter))
        })
    });
    page.family("wasgi_rewinds_total", "counter", "Instances that were put back, or thrown away instead.", rewinds);
    page.family("http_server_request_body_size_bytes_total", "counter", "Bytes of requests' bodies.", count(Counter::BytesIn));
    page.family("http_server_response_body_size_bytes_total", "counter", "Bytes of responses' bodies.", count(Counter::BytesOut));
}

/// `http.server.request.duration`, of each application, or of all together where there are many; and its parts, of all together.
fn durations(page: &mut Page, live: &[Row], all: &[(Arc<Ledger>, usize)]) {
    let took = Histogram { name: "http_server_request_duration_seconds", ends: DURATIONS, bucket: Counter::Took, ns: Counter::DurationNs };
    page.head(took.name, "histogram", "Time of requests, from the head to the last byte and the end of the guest.");
    if live.len() > HISTOGRAMS {
        took.write(page, all, &[]);
    } else {
        for (ledger, live) in live {
            took.write(page, &[(Arc::clone(ledger), live.site.row)], &labels(live));
        }
    }
    let waited = Histogram { name: "wasgi_request_queue_seconds", ends: PARTS, bucket: Counter::Waited, ns: Counter::QueueNs };
    page.head(waited.name, "histogram", "Time that requests waited for a place.");
    waited.write(page, all, &[]);
    let cold = Histogram { name: "wasgi_instantiate_seconds", ends: PARTS, bucket: Counter::StartedCold, ns: Counter::ColdStartNs };
    let warm = Histogram { bucket: Counter::StartedWarm, ns: Counter::WarmStartNs, ..cold };
    page.head(cold.name, "histogram", "Time until requests had their instance.");
    cold.write(page, all, &[("kind", "cold".to_owned())]);
    warm.write(page, all, &[("kind", "warm".to_owned())]);
}

/// A histogram that the ledger keeps.
struct Histogram {
    name: &'static str,
    ends: Buckets,
    /// What counts a bucket.
    bucket: fn(usize) -> Counter,
    /// What sums the times.
    ns: Counter,
}

impl Histogram {
    /// Its samples, of these rows together.
    fn write(&self, page: &mut Page, rows: &[(Arc<Ledger>, usize)], labels: &[(&str, String)]) {
        let sum = |counter| rows.iter().map(|(ledger, row)| ledger.sum(*row, counter)).fold(0, u64::wrapping_add);
        let mut below = 0;
        let ends = self.ends.ends().map(|end| end.as_secs_f64().to_string()).chain(["+Inf".to_owned()]);
        for (index, end) in ends.enumerate() {
            below += sum((self.bucket)(index));
            let mut labels = labels.to_vec();
            labels.push(("le", end));
            page.sample(&format!("{}_bucket", self.name), &labels, &below);
        }
        page.sample(&format!("{}_sum", self.name), labels, &Duration::from_nanos(sum(self.ns)).as_secs_f64());
        page.sample(&format!("{}_count", self.name), labels, &below);
    }
}

/// The page in the making.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // A text can always be written to.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: &dyn Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(self.0, "{label}=\"{text}\"").unwrap_or_default();
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").unwrap_or_default();
    }

    fn family<const N: usize, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, String); N], V)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, &labels, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut page = Page(String::new());
        page.family("a_total", "counter", "What.", [([("x", "q\"\\\n".to_owned())], 1_u64), ([("x", String::new())], 2)]);
        assert_eq!(page.0, "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 1\na_total{x=\"\"} 2\n");
    }

    #[test]
    fn the_time_of_a_process_is_read_from_proc() {
        let before = cpu_time(std::process::id()).unwrap();
        let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let own = Duration::new(u64::try_from(own.tv_sec).unwrap(), u32::try_from(own.tv_nsec).unwrap());
        // The kernel rounds each of the two to a tick.
        let after = cpu_time(std::process::id()).unwrap();
        let rounding = Duration::from_millis(50);
        assert!(before <= own + rounding && own <= after + rounding, "{before:?} {own:?} {after:?}");
        assert_eq!(cpu_time(u32::MAX), None);
    }

    #[test]
    fn ends_of_buckets_are_seconds() {
        let ends = |buckets: Buckets| buckets.ends().map(|end| end.as_secs_f64().to_string()).collect::<Vec<_>>();
        let durations = ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10"];
        assert_eq!(ends(DURATIONS), durations);
        assert_eq!(ends(PARTS)[..4], ["0.00025", "0.0005", "0.001", "0.0025"]);
    }
}
