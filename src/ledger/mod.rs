//! What each tenant uses now and has used: counters that all workers of a host share.
//!
//! One segment of memory, sized once: a row for each tenant and for each application, and in each row a cell for each worker, which alone
//! writes there. A limit that spans workers is a sum over a row's cells; when a worker dies, the supervisor clears its cells, so that
//! nothing that it held stays held. All of it is atomic numbers: no worker can leave a lock behind.
//!
//! Knows no tenant by name and enforces nothing by itself. Next: [`crate::sandbox`] charges memory and CPU time here, the server places.

mod callers;
mod cell;
mod segment;

use std::{
    fs::File,
    hint, io,
    sync::{Arc, LazyLock, Weak, atomic::Ordering},
    time::Instant,
};

use rustix::time::{ClockId, clock_gettime};

use self::cell::Cell;
pub use self::{
    callers::Callers,
    cell::{Buckets, Counter, DURATIONS, Gauge, PARTS, Rate},
    segment::Segment,
};

/// How often two workers that want the same last place look again before they leave it to the next look.
const TRIES: usize = 64;

/// The counters of a host.
#[derive(Debug)]
pub struct Ledger {
    segment: Segment,
    rows: usize,
    workers: usize,
}

impl Ledger {
    /// For `rows` tenants and applications and `workers` processes.
    ///
    /// # Errors
    /// When the machine has no memory for it.
    pub fn shared(rows: usize, workers: usize) -> io::Result<(Arc<Self>, File)> {
        let (segment, file) = Segment::shared(rows * (workers + 1))?;
        Ok((Arc::new(Self { segment, rows, workers }), file))
    }

    /// The same memory in another process.
    ///
    /// # Errors
    /// When `file` is none of such a size.
    pub fn open(file: &File, rows: usize, workers: usize) -> io::Result<Arc<Self>> {
        let segment = Segment::open(file, rows * (workers + 1))?;
        Ok(Arc::new(Self { segment, rows, workers }))
    }

    /// For one process that shares nothing.
    #[must_use]
    pub fn own(rows: usize) -> Arc<Self> {
        Arc::new(Self { segment: Segment::own(rows * 2), rows, workers: 1 })
    }

    /// The row `row`, as the worker `worker` writes it. `None` where there is none.
    #[must_use]
    pub fn account(self: &Arc<Self>, row: usize, worker: usize) -> Option<Account> {
        (row < self.rows && worker < self.workers).then(|| Account { ledger: Arc::clone(self), row, worker, lease: Arc::default() })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many workers write.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// A gauge of a row, over all workers.
    #[must_use]
    pub fn level(&self, row: usize, gauge: Gauge) -> u64 {
        (0..self.workers).map(|worker| self.cell(row, worker).gauge(gauge).load(Ordering::SeqCst)).fold(0, u64::saturating_add)
    }

    /// A counter of a row, over all workers that are and were.
    #[must_use]
    pub fn sum(&self, row: usize, counter: Counter) -> u64 {
        (0..=self.workers).map(|worker| self.cell(row, worker).counter(counter).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// The worker is dead: what it held is free, and what it counted is kept. Only for who has seen it end.
    pub fn clear_worker(&self, worker: usize) {
        for row in 0..self.rows {
            let (dead, kept) = (self.cell(row, worker), self.cell(row, self.workers));
            for counter in Counter::all() {
                kept.counter(counter).fetch_add(dead.counter(counter).swap(0, Ordering::SeqCst), Ordering::SeqCst);
            }
            dead.clear();
        }
    }

    /// The row begins anew, for another tenant. Only for who knows that no worker writes there.
    pub fn clear_row(&self, row: usize) {
        for worker in 0..=self.workers {
            self.cell(row, worker).clear();
        }
    }

    fn cell(&self, row: usize, worker: usize) -> &Cell {
        self.segment.cell(row.saturating_mul(self.workers + 1).saturating_add(worker))
    }
}

/// A row of the ledger, as one worker writes it.
#[derive(Clone, Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    row: usize,
    worker: usize,
    /// There as long as somebody may write here.
    lease: Arc<()>,
}

impl Account {
    /// A row of its own, for one who is alone.
    #[must_use]
    pub fn alone() -> Self {
        Self { ledger: Ledger::own(1), row: 0, worker: 0, lease: Arc::default() }
    }

    /// Is there as long as this account, or one that was cloned of it.
    #[must_use]
    pub fn lease(&self) -> Weak<()> {
        Arc::downgrade(&self.lease)
    }

    /// How many workers write.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.ledger.workers
    }

    /// Which row.
    #[must_use]
    pub fn row(&self) -> usize {
        self.row
    }

    /// A gauge, over all workers.
    #[must_use]
    pub fn level(&self, gauge: Gauge) -> u64 {
        self.ledger.level(self.row, gauge)
    }

    /// Adds to this worker's part of a gauge if the sum over all workers stays within `limit`. Two that want the last place at once may both
    /// be refused; who waits looks again.
    #[must_use]
    pub fn take(&self, gauge: Gauge, amount: u64, limit: u64) -> bool {
        let own = self.own().gauge(gauge);
        for _ in 0..TRIES {
            own.fetch_add(amount, Ordering::SeqCst);
            if self.level(gauge) <= limit {
                return true;
            }
            own.fetch_sub(amount, Ordering::SeqCst);
            if self.level(gauge).saturating_add(amount) > limit {
                return false;
            }
            hint::spin_loop();
        }
        false
    }

    /// Adds to this worker's part of a gauge that has no limit.
    pub fn add(&self, gauge: Gauge, amount: u64) {
        self.own().gauge(gauge).fetch_add(amount, Ordering::SeqCst);
    }

    /// Gives back what was taken.
    pub fn give_back(&self, gauge: Gauge, amount: u64) {
        self.own().gauge(gauge).fetch_sub(amount, Ordering::SeqCst);
    }

    /// Sets this worker's part.
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.own().gauge(gauge).store(value, Ordering::SeqCst);
    }

    /// The greatest of all workers' parts of a gauge.
    #[must_use]
    pub fn latest(&self, gauge: Gauge) -> u64 {
        let parts = (0..self.ledger.workers).map(|worker| self.ledger.cell(self.row, worker).gauge(gauge).load(Ordering::SeqCst));
        parts.max().unwrap_or(0)
    }

    /// Which other workers have something in a gauge, and what.
    pub fn others(&self, gauge: Gauge) -> impl Iterator<Item = (usize, u64)> + '_ {
        let parts = (0..self.ledger.workers).filter(|worker| *worker != self.worker);
        parts
            .map(move |worker| (worker, self.ledger.cell(self.row, worker).gauge(gauge).load(Ordering::SeqCst)))
            .filter(|(_, value)| *value > 0)
    }

    /// This worker's part of a gauge.
    #[must_use]
    pub fn part(&self, gauge: Gauge) -> u64 {
        self.own().gauge(gauge).load(Ordering::SeqCst)
    }

    /// The least that another worker has in a gauge, of those that have something in `among`.
    #[must_use]
    pub fn least_of_others(&self, gauge: Gauge, among: Gauge) -> Option<u64> {
        let parts = self.others(among).map(|(worker, _)| self.ledger.cell(self.row, worker).gauge(gauge).load(Ordering::SeqCst));
        parts.min()
    }

    /// Counts.
    pub fn count(&self, counter: Counter, amount: u64) {
        self.own().counter(counter).fetch_add(amount, Ordering::Relaxed);
    }

    /// Counts for all applications together, in the row of all connections ([`Callers::all`]): what is counted there stays when an application
    /// goes. Nothing in a ledger that has no such row.
    pub fn count_for_all(&self, counter: Counter, amount: u64) {
        if let Some(row) = self.ledger.rows.checked_sub(Callers::ROWS) {
            self.ledger.cell(row, self.worker).counter(counter).fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// Takes back what this worker has counted in vain.
    pub fn uncount(&self, counter: Counter, amount: u64) {
        self.own().counter(counter).fetch_sub(amount, Ordering::Relaxed);
    }

    /// What was counted, over all workers.
    #[must_use]
    pub fn sum(&self, counter: Counter) -> u64 {
        self.ledger.sum(self.row, counter)
    }

    /// What all workers have used of a rate in its present window.
    #[must_use]
    pub fn used(&self, rate: Rate) -> u64 {
        let window = rate.window();
        (0..self.ledger.workers).map(|worker| self.ledger.cell(self.row, worker).used(rate, window)).sum()
    }

    /// Uses `amount` of a rate, whatever its limit.
    pub fn spend(&self, rate: Rate, amount: u64) {
        self.own().spend(rate, rate.window(), amount);
    }

    /// Uses `amount` of a rate if that stays within `limit` a window. Workers may pass it together by one amount each.
    #[must_use]
    pub fn try_spend(&self, rate: Rate, amount: u64, limit: u64) -> bool {
        let fits = self.used(rate).saturating_add(amount) <= limit;
        if fits {
            self.spend(rate, amount);
        }
        fits
    }

    fn own(&self) -> &Cell {
        self.ledger.cell(self.row, self.worker)
    }
}

/// The clock that all processes of a machine share, and that nobody sets back.
#[must_use]
pub fn monotonic_ns() -> u64 {
    // The standard library reads this clock without a call of the kernel, and does not tell where it began; that is asked once.
    static BEGAN: LazyLock<(Instant, u64)> = LazyLock::new(|| {
        let time = clock_gettime(ClockId::Monotonic);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        (Instant::now(), part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec)))
    });
    let (began, ns) = *BEGAN;
    ns.saturating_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Arc<Ledger>, Account, Account) {
        let (ledger, file) = Ledger::shared(3, 2).unwrap();
        let other = Ledger::open(&file, 3, 2).unwrap();
        let (first, second) = (ledger.account(1, 0).unwrap(), other.account(1, 1).unwrap());
        (ledger, first, second)
    }

    #[test]
    fn a_limit_holds_over_all_workers() {
        let (_, first, second) = two();
        assert!(first.take(Gauge::Running, 2, 3) && second.take(Gauge::Running, 1, 3));
        assert!(!first.take(Gauge::Running, 1, 3) && !second.take(Gauge::Running, 1, 3));
        first.give_back(Gauge::Running, 1);
        assert!(second.take(Gauge::Running, 1, 3));
        assert_eq!(first.level(Gauge::Running), 3);
        assert_eq!(first.others(Gauge::Running).collect::<Vec<_>>(), [(1, 2)]);
    }

    #[test]
    fn what_a_dead_worker_held_is_free_and_what_it_counted_is_kept() {
        let (ledger, first, second) = two();
        first.add(Gauge::Memory, 5);
        second.add(Gauge::Memory, 7);
        second.count(Counter::CpuNs, 9);
        ledger.clear_worker(1);
        assert_eq!((first.level(Gauge::Memory), first.sum(Counter::CpuNs)), (5, 9));
        second.count(Counter::CpuNs, 1);
        assert_eq!(first.sum(Counter::CpuNs), 10);
        ledger.clear_row(1);
        assert_eq!((first.level(Gauge::Memory), first.sum(Counter::CpuNs)), (0, 0));
    }

    #[test]
    fn what_is_counted_for_all_stays_when_a_row_begins_anew() {
        let ledger = Ledger::own(2 + Callers::ROWS);
        let account = ledger.account(1, 0).unwrap();
        account.count_for_all(Counter::Waited(3), 2);
        ledger.clear_row(1);
        assert_eq!(Callers::of(&ledger, 0, 0).all().unwrap().sum(Counter::Waited(3)), 2);
        Account::alone().count_for_all(Counter::Waited(3), 1);
    }

    #[test]
    fn the_least_of_the_others_is_that_of_those_that_count() {
        let ledger = Ledger::shared(1, 3).unwrap().0;
        let workers = [0, 1, 2].map(|worker| ledger.account(0, worker).unwrap());
        for (worker, connections) in workers.iter().zip([5, 3, 1]) {
            worker.add(Gauge::Connections, connections);
        }
        let least = |worker: usize| workers[worker].least_of_others(Gauge::Connections, Gauge::Listening);
        assert_eq!(least(0), None);
        workers[1].set(Gauge::Listening, 1);
        assert_eq!((least(0), least(1)), (Some(3), None));
        workers[2].set(Gauge::Listening, 1);
        assert_eq!((least(0), least(1), least(2), workers[0].part(Gauge::Connections)), (Some(1), Some(1), Some(3), 5));
    }

    #[test]
    fn a_rate_is_spent_by_all_workers_together() {
        let (_, first, second) = two();
        assert!(first.try_spend(Rate::Traps, 2, 3) && second.try_spend(Rate::Traps, 1, 3));
        assert!(!first.try_spend(Rate::Traps, 1, 3));
        assert_eq!(second.used(Rate::Traps), 3);
    }

    #[test]
    fn there_are_no_rows_and_workers_beyond_the_last() {
        let (ledger, ..) = two();
        assert!(ledger.account(2, 1).is_some() && ledger.account(3, 0).is_none() && ledger.account(0, 2).is_none());
    }

    #[test]
    fn memory_of_another_size_is_refused() {
        let (_ledger, file) = Ledger::shared(3, 2).unwrap();
        assert_eq!(Ledger::open(&file, 4, 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
