//! Which request is being served. What an application has kept of one that is over is dead: another client's may be running.

use std::sync::atomic::{AtomicU32, Ordering};

static CURRENT: AtomicU32 = AtomicU32::new(0);

/// Another request begins, or one ends.
pub(crate) fn turn() {
    CURRENT.fetch_add(1, Ordering::Relaxed);
}

/// The number of the current one.
pub(crate) fn now() -> u32 {
    CURRENT.load(Ordering::Relaxed)
}
