//! The tasks of a server: counted, so that a stop can wait for them, and broken off when they take too long.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of a server.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    broken_off: CancellationToken,
}

impl Tasks {
    /// Starts a task. Its result is `None` when it was broken off.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<Option<T>> {
        let broken_off = self.broken_off.clone();
        // It is large, and each of those that hold it would move it.
        let task = Box::pin(task);
        self.tracker.spawn(async move { broken_off.run_until_cancelled(task).await })
    }

    /// Waits until all have ended. Some may still be started meanwhile, by those that run.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Drops all that still run.
    pub fn break_off(&self) {
        self.broken_off.cancel();
    }

    /// Whether that was done.
    #[must_use]
    pub fn are_broken_off(&self) -> bool {
        self.broken_off.is_cancelled()
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_task_that_is_broken_off_counts_as_ended() {
        let tasks = Tasks::default();
        let (quick, endless) = (tasks.spawn(async { 1 }), tasks.spawn(pending::<u8>()));
        assert_eq!(quick.await.unwrap(), Some(1));
        tasks.break_off();
        assert_eq!(endless.await.unwrap(), None);
        tasks.wait().await;
        assert!(tasks.is_empty());
    }
}
