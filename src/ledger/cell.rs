//! One worker's part of a row: what it holds now, what it has counted, and what it used of each rate.

use std::sync::atomic::{AtomicU64, Ordering};

use super::monotonic_ns;
use crate::fault::Outcome;

/// Upper ends of the histogram of request durations, in milliseconds (OpenTelemetry, `http.server.request.duration`); above the last is a
/// bucket more.
pub const BUCKETS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

const GAUGES: usize = 9;
const COUNTERS: usize = 12 + Outcome::ALL.len() + BUCKETS.len() + 1;
const RATES: usize = 3;

/// What is held now; it is free when the worker dies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gauge {
    /// Requests that run.
    Running,
    /// Requests that wait for a place.
    Waiting,
    /// When the one that waits longest began to, in nanoseconds of the monotonic clock; 0 for none.
    Oldest,
    /// Bytes of all instances' memories and tables.
    Memory,
    /// Instances, idle ones included.
    Instances,
    /// Idle ones.
    Idle,
    /// Until when nothing is let in, in nanoseconds of the monotonic clock; 0 for now.
    CoolUntil,
    /// Connections, of all peers or of some.
    Connections,
    /// 1 while connections are accepted.
    Listening,
}

impl Gauge {
    fn index(self) -> usize {
        match self {
            Self::Running => 0,
            Self::Waiting => 1,
            Self::Oldest => 2,
            Self::Memory => 3,
            Self::Instances => 4,
            Self::Idle => 5,
            Self::CoolUntil => 6,
            Self::Connections => 7,
            Self::Listening => 8,
        }
    }
}

/// What was counted; it only grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counter {
    /// Guest CPU time, in nanoseconds.
    CpuNs,
    /// Time of all requests, in nanoseconds.
    DurationNs,
    /// Time in the queue, in nanoseconds.
    QueueNs,
    /// Requests that were let in.
    Admitted,
    /// Instances that were started for a request.
    ColdStarts,
    /// Instances that were ready.
    WarmStarts,
    /// Time of starts for a request, in nanoseconds.
    StartNs,
    /// Bytes of requests' bodies.
    BytesIn,
    /// Bytes of responses' bodies.
    BytesOut,
    /// Bytes that were not logged.
    LogBytesDropped,
    /// Instances that were put back to what they were.
    Rewound,
    /// Instances that were thrown away instead.
    Discarded,
    /// Requests that ended so.
    Requests(Outcome),
    /// Requests that took at most so long: an index of [`BUCKETS`], or its length for the rest.
    Took(usize),
}

impl Counter {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::CpuNs,
            Self::DurationNs,
            Self::QueueNs,
            Self::Admitted,
            Self::ColdStarts,
            Self::WarmStarts,
            Self::StartNs,
            Self::BytesIn,
            Self::BytesOut,
            Self::LogBytesDropped,
            Self::Rewound,
            Self::Discarded,
        ];
        plain.into_iter().chain(Outcome::ALL.map(Self::Requests)).chain((0..=BUCKETS.len()).map(Self::Took))
    }

    fn index(self) -> usize {
        match self {
            Self::CpuNs => 0,
            Self::DurationNs => 1,
            Self::QueueNs => 2,
            Self::Admitted => 3,
            Self::ColdStarts => 4,
            Self::WarmStarts => 5,
            Self::StartNs => 6,
            Self::BytesIn => 7,
            Self::BytesOut => 8,
            Self::LogBytesDropped => 9,
            Self::Rewound => 10,
            Self::Discarded => 11,
            Self::Requests(outcome) => 12 + outcome.index(),
            Self::Took(bucket) => 12 + Outcome::ALL.len() + bucket.min(BUCKETS.len()),
        }
    }
}

/// What may be used so much of in a window of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    /// Guest CPU time in a tenth of a second, in microseconds.
    Cpu,
    /// Bytes of log lines in a second.
    Log,
    /// Traps in a minute.
    Traps,
}

impl Rate {
    fn index(self) -> usize {
        match self {
            Self::Cpu => 0,
            Self::Log => 1,
            Self::Traps => 2,
        }
    }

    /// How long its window is, in nanoseconds.
    #[must_use]
    pub fn window_ns(self) -> u64 {
        match self {
            Self::Cpu => 100_000_000,
            Self::Log => 1_000_000_000,
            Self::Traps => 60_000_000_000,
        }
    }

    /// What is left of the present window, in nanoseconds.
    #[must_use]
    pub fn left_ns(self) -> u64 {
        self.window_ns() - monotonic_ns() % self.window_ns()
    }

    /// The window that is now: never 0, which is what a cell begins with.
    pub(super) fn window(self) -> u64 {
        (monotonic_ns() / self.window_ns() + 1) & u64::from(u32::MAX)
    }
}

/// One worker's part of a row. Zeroes are a cell that has nothing.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Cell {
    gauges: [AtomicU64; GAUGES],
    counters: [AtomicU64; COUNTERS],
    /// The number of a window in the upper half, what was used in it in the lower.
    rates: [AtomicU64; RATES],
}

impl Default for Cell {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self { gauges: std::array::from_fn(zero), counters: std::array::from_fn(zero), rates: std::array::from_fn(zero) }
    }
}

#[expect(clippy::indexing_slicing, reason = "the indexes are those of the enums above; a test takes all of them")]
impl Cell {
    pub(super) fn gauge(&self, gauge: Gauge) -> &AtomicU64 {
        &self.gauges[gauge.index()]
    }

    pub(super) fn counter(&self, counter: Counter) -> &AtomicU64 {
        &self.counters[counter.index()]
    }

    pub(super) fn used(&self, rate: Rate, window: u64) -> u64 {
        let value = self.rates[rate.index()].load(Ordering::SeqCst);
        if value >> 32 == window { value & u64::from(u32::MAX) } else { 0 }
    }

    pub(super) fn spend(&self, rate: Rate, window: u64, amount: u64) {
        let used = self.used(rate, window).saturating_add(amount).min(u64::from(u32::MAX));
        // One thread writes here.
        self.rates[rate.index()].store(window << 32 | used, Ordering::SeqCst);
    }

    pub(super) fn clear(&self) {
        for number in self.gauges.iter().chain(&self.counters).chain(&self.rates) {
            number.store(0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_and_gauge_has_a_place_of_its_own() {
        let mut places: Vec<_> = Counter::all().map(Counter::index).collect();
        places.sort_unstable();
        assert_eq!(places, (0..COUNTERS).collect::<Vec<_>>());
        let gauges = [
            Gauge::Running,
            Gauge::Waiting,
            Gauge::Oldest,
            Gauge::Memory,
            Gauge::Instances,
            Gauge::Idle,
            Gauge::CoolUntil,
            Gauge::Connections,
            Gauge::Listening,
        ];
        assert_eq!(gauges.map(Gauge::index), std::array::from_fn::<_, GAUGES, _>(|index| index));
        assert_eq!([Rate::Cpu, Rate::Log, Rate::Traps].map(Rate::index), [0, 1, 2]);
    }

    #[test]
    fn what_was_used_in_a_window_is_forgotten_in_the_next() {
        let cell = Cell::default();
        cell.spend(Rate::Log, 7, 10);
        cell.spend(Rate::Log, 7, 5);
        assert_eq!((cell.used(Rate::Log, 7), cell.used(Rate::Log, 8)), (15, 0));
        cell.spend(Rate::Log, 8, 1);
        assert_eq!((cell.used(Rate::Log, 7), cell.used(Rate::Log, 8)), (0, 1));
    }
}
