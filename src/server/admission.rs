//! How many requests of a tenant run, and how many wait, for how long: then 503 with Retry-After.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{fault::BusyFault, limits::Limits};

/// The places of one application.
#[derive(Debug)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    waiting: AtomicU64,
    queue: u64,
    patience: Duration,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(usize::try_from(limits.concurrency).unwrap_or(Semaphore::MAX_PERMITS))),
            waiting: AtomicU64::new(0),
            queue: limits.queue,
            patience: Duration::from_millis(limits.queue_wall_ms),
        }
    }

    /// A place, kept until the result is dropped.
    ///
    /// # Errors
    /// [`BusyFault`] when too many wait, or it took too long.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, BusyFault> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.wait()?;
        match timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(BusyFault::Stopping),
            Err(_) => Err(BusyFault::QueueTimeout),
        }
    }

    /// No one is admitted any more.
    pub(super) fn stop(&self) {
        self.places.close();
    }

    fn wait(&self) -> Result<Waiting<'_>, BusyFault> {
        if self.places.is_closed() {
            return Err(BusyFault::Stopping);
        }
        let place =
            self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| (waiting < self.queue).then_some(waiting + 1));
        place.map(|_| Waiting(&self.waiting)).map_err(|_| BusyFault::QueueFull)
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(&Limits { concurrency: 2, queue: 1, queue_wall_ms: 100, ..Limits::default() }))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_run_under_and_at_the_concurrency_and_wait_over_it() {
        let admission = admission();
        let first = admission.enter().await;
        let second = admission.enter().await;
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(admission.enter().await.map(drop), Err(BusyFault::QueueTimeout));
        drop(first);
        drop(admission.enter().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let admission = admission();
        let _places = (admission.enter().await, admission.enter().await);
        // The first takes the one place in the queue before the second is looked at.
        let (waiting, refused) = tokio::join!(biased; admission.enter(), admission.enter());
        assert_eq!((waiting.map(drop), refused.map(drop)), (Err(BusyFault::QueueTimeout), Err(BusyFault::QueueFull)));
    }

    #[tokio::test]
    async fn a_stop_refuses_those_who_wait() {
        let admission = admission();
        let _places = (admission.enter().await, admission.enter().await);
        let (waiting, ()) = tokio::join!(biased; admission.enter(), async { admission.stop() });
        assert_eq!(waiting.map(drop), Err(BusyFault::Stopping));
        assert_eq!(admission.enter().await.map(drop), Err(BusyFault::Stopping));
    }
}
