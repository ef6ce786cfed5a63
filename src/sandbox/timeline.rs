//! The wall clock of one exchange: until when the guest may answer, and what it waits for meanwhile.
//!
//! Waits for the client do not count against the guest. Those for its body have their own limit, the time without progress, and a rate; how it
//! reads is for the connection to judge, which knows what it has taken, and ends when that is too little.
//! When the time is up, host calls that the guest is parked in are answered first, so that it can end; after the grace it is dropped.

use std::{
    future::Future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use crate::limits::Limits;

/// How long a client may be waited for before its rate counts.
const PATIENCE: Duration = Duration::from_secs(5);

/// How fast the client is: what it has moved, and how long it was waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    bytes: u64,
    waited: Duration,
}

/// The time is up, or the client was too slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expired;

/// The clock of one exchange.
#[derive(Debug)]
pub struct Timeline {
    end: Instant,
    progress: Duration,
    grace: Duration,
    rate: u64,
    now: Mutex<Phase>,
    pace: Mutex<Pace>,
    expired: AtomicBool,
    /// Wakes those that wait for the client when it expires.
    end_of_waits: Notify,
}

/// Until when the guest has time, or that it is the client who has it.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The guest works; with `left` still to go when it started at `since`.
    Guest { since: Instant, left: Duration },
    /// The client is waited for; the guest keeps `left`.
    Client { left: Duration },
}

impl Timeline {
    /// Starts when the application is called.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let (now, head) = (Instant::now(), Duration::from_millis(limits.head_wall_ms));
        Self {
            end: now + Duration::from_millis(limits.exchange_wall_ms),
            progress: Duration::from_millis(limits.progress_wall_ms),
            grace: Duration::from_millis(limits.close_grace_ms),
            rate: limits.client_bytes_per_s,
            now: Mutex::new(Phase::Guest { since: now, left: head }),
            pace: Mutex::default(),
            expired: AtomicBool::new(false),
            end_of_waits: Notify::new(),
        }
    }

    /// Whether the time was up.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    /// What `close()` has.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Something was sent: from now on it is progress that counts.
    pub fn progressed(&self) {
        *self.phase() = Phase::Guest { since: Instant::now(), left: self.progress };
    }

    /// Waits for the connection to take something, as long as the connection waits for the client.
    ///
    /// # Errors
    /// [`Expired`] when the exchange is out of time.
    pub async fn connection<T>(&self, wait: impl Future<Output = T>) -> Result<T, Expired> {
        let _waiting = self.pause();
        tokio::select! {
            biased;
            () = self.until_expired() => Err(Expired),
            done = wait => Ok(done),
            () = sleep_until(self.end) => Err(Expired),
        }
    }

    /// Waits for something of the client, at most as long as it may be without progress.
    ///
    /// # Errors
    /// [`Expired`] when the client or the exchange is out of time.
    pub async fn client<T>(&self, wait: impl Future<Output = T>) -> Result<T, Expired> {
        let _waiting = self.pause();
        let since = Instant::now();
        let waited = tokio::select! {
            biased;
            () = self.until_expired() => Err(Expired),
            done = wait => Ok(done),
            () = sleep_until(self.end.min(since + self.progress.min(self.allowance()))) => Err(Expired),
        };
        lock(&self.pace).waited += since.elapsed();
        waited
    }

    /// The client sent so many bytes.
    pub fn moved(&self, bytes: usize) {
        let mut pace = lock(&self.pace);
        pace.bytes = pace.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// How long the client may still be waited for, at the rate that it has shown.
    fn allowance(&self) -> Duration {
        let Pace { bytes, waited } = *lock(&self.pace);
        match bytes.saturating_mul(1_000).checked_div(self.rate) {
            Some(earned) => (PATIENCE + Duration::from_millis(earned)).saturating_sub(waited),
            None => Duration::MAX,
        }
    }

    /// Runs a guest's call within its time.
    ///
    /// # Errors
    /// [`Expired`] when it did not end within its time and the grace; the instance must be dropped then.
    pub async fn guest<T>(&self, call: impl Future<Output = T>) -> Result<T, Expired> {
        tokio::select! {
            biased;
            done = call => Ok(done),
            () = self.over() => Err(Expired),
        }
    }

    async fn until_expired(&self) {
        // From here on it is notified, whether it looks before that or behind.
        let notified = self.end_of_waits.notified();
        if !self.is_expired() {
            notified.await;
        }
    }

    async fn over(&self) {
        loop {
            sleep_until(self.deadline()).await;
            if self.deadline() <= Instant::now() {
                break;
            }
        }
        self.expired.store(true, Ordering::SeqCst);
        self.end_of_waits.notify_waiters();
        sleep(self.grace).await;
    }

    /// The earliest time at which the guest can be too late, as far as is known now.
    fn deadline(&self) -> Instant {
        let own = match *self.phase() {
            Phase::Guest { since, left } => since + left,
            Phase::Client { left } => Instant::now() + left.max(Duration::from_millis(1)),
        };
        own.min(self.end)
    }

    fn pause(&self) -> Waiting<'_> {
        let mut phase = self.phase();
        if let Phase::Guest { since, left } = *phase {
            *phase = Phase::Client { left: left.saturating_sub(since.elapsed()) };
        }
        Waiting(self)
    }

    fn resume(&self) {
        let mut phase = self.phase();
        if let Phase::Client { left } = *phase {
            *phase = Phase::Guest { since: Instant::now(), left };
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        lock(&self.now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client is waited for while this lives.
struct Waiting<'a>(&'a Timeline);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    fn limits() -> Limits {
        Limits { head_wall_ms: 100, progress_wall_ms: 200, exchange_wall_ms: 1_000, close_grace_ms: 50, ..Limits::default() }
    }

    async fn lived(timeline: &Timeline) -> u128 {
        let started = Instant::now();
        assert_eq!(timeline.guest(pending::<()>()).await, Err(Expired));
        started.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_is_dropped_after_its_time_and_the_grace() {
        let timeline = Timeline::new(&limits());
        assert_eq!(timeline.guest(sleep(Duration::from_millis(99))).await, Ok(()));
        assert_eq!((lived(&timeline).await, timeline.is_expired()), (51, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_client_is_not_charged_to_the_guest() {
        let timeline = Timeline::new(&limits());
        let call = async {
            assert_eq!(timeline.client(sleep(Duration::from_millis(190))).await, Ok(()));
            sleep(Duration::from_millis(90)).await;
        };
        assert_eq!(timeline.guest(call).await, Ok(()));
        assert!(!timeline.is_expired());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_progress_is_too_slow() {
        let timeline = Timeline::new(&limits());
        assert_eq!(timeline.client(sleep(Duration::from_millis(199))).await, Ok(()));
        assert_eq!(timeline.client(sleep(Duration::from_millis(201))).await, Err(Expired));
        assert!(!timeline.is_expired());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_is_too_slow_over_its_rate_and_not_under_it() {
        let long = Limits { progress_wall_ms: 60_000, exchange_wall_ms: 600_000, client_bytes_per_s: 1_000, ..limits() };
        let after = async |bytes: usize| {
            let timeline = Timeline::new(&long);
            for second in 1..60 {
                if timeline.client(sleep(Duration::from_secs(1))).await.is_err() {
                    return second;
                }
                timeline.moved(bytes);
            }
            60
        };
        assert_eq!((after(1_000).await, after(500).await, after(0).await), (60, 10, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_waited_for_until_the_exchange_is_out_of_time() {
        let timeline = Timeline::new(&limits());
        assert_eq!(timeline.connection(sleep(Duration::from_millis(999))).await, Ok(()));
        assert_eq!(timeline.connection(sleep(Duration::from_millis(2))).await, Err(Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_exchange_wakes_a_parked_host_call() {
        let timeline = Timeline::new(&Limits { progress_wall_ms: 10_000, exchange_wall_ms: 300, ..limits() });
        let parked = timeline.guest(async { timeline.client(pending::<()>()).await }).await;
        assert_eq!(parked, Ok(Err(Expired)));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_gives_new_time() {
        let timeline = Timeline::new(&limits());
        timeline.progressed();
        assert_eq!(timeout(Duration::from_millis(260), lived(&timeline)).await, Ok(250));
    }
}
