//! The CPU time of a guest: the thread's CPU clock across each poll of the guest's future.
//!
//! A wait is no poll, and so is not charged. Work that the host does for the guest on the same thread is.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::turns::Seat;

/// What a guest has used of its budget. Written and read by one thread; atomic only because a `Store` may move between threads.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the unit stands in the name")]
pub struct Meter {
    used_ns: AtomicU64,
    budget_ns: AtomicU64,
    entered_ns: AtomicU64,
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
        let running = thread_cpu_ns().saturating_sub(self.entered_ns.load(Ordering::Relaxed));
        self.used_ns.load(Ordering::Relaxed).saturating_add(running) >= self.budget_ns.load(Ordering::Relaxed)
    }

    /// Runs `guest` when it is its turn, and charges its polls.
    pub(super) async fn charge<T>(&self, mut seat: Seat<'_>, guest: impl Future<Output = T>) -> T {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            if !seat.is_next(context) {
                return Poll::Pending;
            }
            let entered = thread_cpu_ns();
            self.entered_ns.store(entered, Ordering::Relaxed);
            let poll = guest.as_mut().poll(context);
            let used = thread_cpu_ns().saturating_sub(entered);
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
