//! One worker's part of a row: what it holds now, what it has counted, and what it used of each rate.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::monotonic_ns;
use crate::fault::Outcome;

/// Upper ends of the buckets of a histogram; above the last is a bucket more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Buckets([Duration; BUCKETS]);

/// Of request durations (OpenTelemetry, `http.server.request.duration`).
pub const DURATIONS: Buckets = Buckets::of_ms([5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000]);
/// Of what is a part of a request: the wait for a place, and for an instance.
pub const PARTS: Buckets =
    Buckets::of_us([250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000]);

const BUCKETS: usize = 14;

impl Buckets {
    const fn of_us(ends: [u64; BUCKETS]) -> Self {
        let mut all = [Duration::ZERO; BUCKETS];
        let mut index = 0;
        while index < BUCKETS {
            all[index] = Duration::from_micros(ends[index]);
            index += 1;
        }
        Self(all)
    }

    const fn of_ms(ends: [u64; BUCKETS]) -> Self {
        let mut us = ends;
        let mut index = 0;
        while index < BUCKETS {
            us[index] *= 1_000;
            index += 1;
        }
        Self::of_us(us)
    }

    /// The upper ends.
    pub fn ends(&self) -> impl Iterator<Item = Duration> + '_ {
        self.0.iter().copied()
    }

    /// In which one `took` lies.
    #[must_use]
    pub fn of(&self, took: Duration) -> usize {
        self.0.iter().position(|most| took <= *most).unwrap_or(BUCKETS)
    }
}

const GAUGES: usize = 10;
/// Those that are no part of a histogram or of the outcomes.
const PLAIN: usize = 15;
const COUNTERS: usize = PLAIN + Outcome::ALL.len() + 4 * (BUCKETS + 1);
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
    /// Tasks of the runtime, as they were counted last.
    Tasks,
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
            Self::Tasks => 9,
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
    /// Time until requests had an instance that was new, in nanoseconds.
    ColdStartNs,
    /// Time until they had one that was ready, in nanoseconds.
    WarmStartNs,
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
    /// Bytes that were stored in `/data`; what was counted and not stored after all is taken back, and what was deleted is not.
    StoredBytes,
    /// Names that were made there, in the same way.
    StoredNames,
    /// Requests that ended so.
    Requests(Outcome),
    /// Requests that took so long: a bucket of [`DURATIONS`].
    Took(usize),
    /// Requests that waited so long for a place: a bucket of [`PARTS`].
    Waited(usize),
    /// Requests whose instance was new, and there after so long: a bucket of [`PARTS`].
    StartedCold(usize),
    /// Requests whose instance was ready, in the same way.
    StartedWarm(usize),
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
            Self::ColdStartNs,
            Self::WarmStartNs,
            Self::BytesIn,
            Self::BytesOut,
            Self::LogBytesDropped,
            Self::Rewound,
            Self::Discarded,
            Self::StoredBytes,
            Self::StoredNames,
        ];
        let histograms = [Self::Took, Self::Waited, Self::StartedCold, Self::StartedWarm];
        let buckets = histograms.into_iter().flat_map(|histogram| (0..=BUCKETS).map(histogram));
        plain.into_iter().chain(Outcome::ALL.map(Self::Requests)).chain(buckets)
    }

    fn index(self) -> usize {
        let bucket = |histogram: usize, bucket: usize| PLAIN + Outcome::ALL.len() + histogram * (BUCKETS + 1) + bucket.min(BUCKETS);
        match self {
            Self::CpuNs => 0,
            Self::DurationNs => 1,
            Self::QueueNs => 2,
            Self::Admitted => 3,
            Self::ColdStarts => 4,
            Self::WarmStarts => 5,
            Self::ColdStartNs => 6,
            Self::WarmStartNs => 7,
            Self::BytesIn => 8,
            Self::BytesOut => 9,
            Self::LogBytesDropped => 10,
            Self::Rewound => 11,
            Self::Discarded => 12,
            Self::StoredBytes => 13,
            Self::StoredNames => 14,
            Self::Requests(outcome) => PLAIN + outcome.index(),
            Self::Took(index) => bucket(0, index),
            Self::Waited(index) => bucket(1, index),
            Self::StartedCold(index) => bucket(2, index),
            Self::StartedWarm(index) => bucket(3, index),
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
            Gauge::Tasks,
        ];
        assert_eq!(gauges.map(Gauge::index), std::array::from_fn::<_, GAUGES, _>(|index| index));
        assert_eq!([Rate::Cpu, Rate::Log, Rate::Traps].map(Rate::index), [0, 1, 2]);
    }

    #[test]
    fn a_time_lies_in_the_bucket_whose_end_it_does_not_pass() {
        let ms = |ms| DURATIONS.of(Duration::from_millis(ms));
        assert_eq!([ms(0), ms(5), ms(6), ms(10_000), ms(10_001)], [0, 0, 1, 13, 14]);
        assert_eq!([250, 251, 1_000].map(|us| PARTS.of(Duration::from_micros(us))), [0, 1, 2]);
        assert!([DURATIONS, PARTS].iter().all(|buckets| buckets.ends().is_sorted()));
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
