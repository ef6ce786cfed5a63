//! The CPU time of a guest: the thread's CPU clock across each poll of the guest's future.
//!
//! A wait is no poll, and so is not charged. Work that the host does for it on the same thread is.
//!
//! To ask the kernel for a thread's CPU clock costs as much as a small guest does. So a short poll is charged what the clock on the wall
//! says, which is a little more where the thread was interrupted, and only a long one what the CPU clock does.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::turns::Seat;
use crate::ledger::monotonic_ns;

/// A piece of work that is shorter than that is charged by the clock on the wall.
const SHORT_NS: u64 = 200_000;
/// How long a reading of the CPU clock is good for as the beginning of a piece of work: what the thread computed since is charged with it.
const FRESH_NS: u64 = 1_000_000;

thread_local! {
    /// When this thread's CPU clock was read last, and what it showed.
    static READ: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A piece of work on this thread: at least what it takes of CPU time, and never more than it takes of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    began: u64,
    /// What the CPU clock showed then, or up to [`FRESH_NS`] before.
    cpu: u64,
}

impl Piece {
    /// Begins now.
    pub(super) fn begin() -> Self {
        let began = monotonic_ns();
        let (read, cpu) = READ.get();
        let cpu = if began.saturating_sub(read) <= FRESH_NS { cpu } else { read_at(began) };
        Self { began, cpu }
    }

    /// What it has taken up to now, in nanoseconds.
    pub(super) fn took(self) -> u64 {
        let now = monotonic_ns();
        let wall = now.saturating_sub(self.began);
        if wall < SHORT_NS { wall } else { wall.min(read_at(now).saturating_sub(self.cpu)) }
    }
}

/// Reads the CPU clock, and remembers it.
fn read_at(now: u64) -> u64 {
    let cpu = thread_cpu_ns();
    READ.set((now, cpu));
    cpu
}

/// What a guest has used of its budget. Written and read by one thread; atomic only because a `Store` may move between threads.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the unit stands in the name")]
pub struct Meter {
    used_ns: AtomicU64,
    budget_ns: AtomicU64,
    /// The running poll.
    entered_ns: AtomicU64,
    entered_cpu_ns: AtomicU64,
    /// Billed, and not yet told to whose turns it counts.
    billed_ns: AtomicU64,
}

impl Meter {
    /// Starts anew with `budget`.
    pub fn reset(&self, budget: Duration) {
        self.used_ns.store(0, Ordering::Relaxed);
        self.budget_ns.store(nanos(budget), Ordering::Relaxed);
    }

    /// What was used up to the last wait.
    #[must_use]
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }

    /// Charges work that was done for the guest on another thread.
    pub(super) fn bill(&self, work: Duration) {
        self.used_ns.fetch_add(nanos(work), Ordering::Relaxed);
        self.billed_ns.fetch_add(nanos(work), Ordering::Relaxed);
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> Duration {
        Duration::from_nanos(self.budget_ns.load(Ordering::Relaxed)).saturating_sub(self.used())
    }

    /// Whether the budget is used up, the running poll included.
    pub(super) fn is_spent(&self) -> bool {
        let running = Piece { began: self.entered_ns.load(Ordering::Relaxed), cpu: self.entered_cpu_ns.load(Ordering::Relaxed) };
        self.used_ns.load(Ordering::Relaxed).saturating_add(running.took()) >= self.budget_ns.load(Ordering::Relaxed)
    }

    /// Runs `guest` when it is its turn, and charges its polls.
    pub(super) async fn charge<T>(&self, mut seat: Seat<'_>, guest: impl Future<Output = T>) -> T {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            seat.has_used(self.used());
            if !seat.is_next(context) {
                return Poll::Pending;
            }
            let piece = Piece::begin();
            self.entered_ns.store(piece.began, Ordering::Relaxed);
            self.entered_cpu_ns.store(piece.cpu, Ordering::Relaxed);
            let poll = guest.as_mut().poll(context);
            let used = piece.took();
            self.used_ns.fetch_add(used, Ordering::Relaxed);
            seat.computed(used.saturating_add(self.billed_ns.swap(0, Ordering::Relaxed)));
            poll
        })
        .await
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The CPU time of this thread.
pub(super) fn thread_cpu() -> Duration {
    Duration::from_nanos(thread_cpu_ns())
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;

    fn compute(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_long_piece_is_charged_what_it_computes_and_not_what_it_waits() {
        let piece = Piece::begin();
        thread::park_timeout(Duration::from_millis(50));
        let before = thread_cpu_ns();
        compute(Duration::from_millis(5));
        let computed = thread_cpu_ns() - before;
        let took = piece.took();
        assert!((computed..computed + 10_000_000).contains(&took), "{took} ns of {computed}");
    }

    #[test]
    fn a_piece_is_never_charged_less_than_it_computes() {
        for micros in [10, 100, 199, 201, 1_500, 3_000] {
            let (before, piece) = (thread_cpu_ns(), Piece::begin());
            let entered = thread_cpu_ns();
            compute(Duration::from_micros(micros));
            let computed = thread_cpu_ns() - entered;
            let took = piece.took();
            let most = thread_cpu_ns() - before;
            assert!(took >= computed, "{took} ns of {computed} to {most}");
        }
    }
}
