//! The memory limit of an instance: one sum over all its linear memories and tables.

use wasmtime::ResourceLimiter;

/// What an entry of a table costs the host.
const TABLE_ENTRY_BYTES: usize = 8;

/// Counts what an instance has, and refuses growth beyond the limit: the guest sees `memory.grow` fail.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    limit: usize,
    used: usize,
}

impl MemoryLimiter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0 }
    }

    /// Bytes that the instance has now.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, by: usize) -> bool {
        let wanted = self.used.saturating_add(by);
        let fits = wanted <= self.limit;
        if fits {
            self.used = wanted;
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let own = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(own && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let own = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(own && self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ENTRY_BYTES)))
    }

    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_granted_under_and_at_the_limit_and_refused_over_it() {
        let mut limiter = MemoryLimiter::new(131_072);
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limiter.memory_growing(131_072, 196_608, None).unwrap());
        assert_eq!(limiter.used(), 131_072);
    }

    #[test]
    fn memories_and_tables_share_one_sum() {
        let mut limiter = MemoryLimiter::new(1_000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
    }

    #[test]
    fn growth_beyond_the_modules_own_maximum_is_not_charged() {
        let mut limiter = MemoryLimiter::new(1_000);
        assert!(!limiter.memory_growing(0, 500, Some(400)).unwrap());
        assert_eq!(limiter.used(), 0);
    }
}
