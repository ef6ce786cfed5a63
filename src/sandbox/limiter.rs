//! The memory limits of an instance, one sum over all its linear memories and tables, and of its tenant, over all instances.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::{
    footprint::{CORE_INSTANCES, MEMORIES, TABLES},
    idle::Idle,
};
use crate::{
    ledger::{Account, Gauge},
    limits::Limits,
};

/// What an entry of a table costs the host.
const TABLE_ENTRY_BYTES: usize = 8;

/// Counts what an instance has, and refuses growth beyond the limit: the guest sees `memory.grow` fail.
pub(super) struct MemoryLimiter {
    limit: usize,
    used: usize,
    tenant_limit: u64,
    account: Account,
    /// The tenant's idle instances give way to one that works.
    idle: Arc<Idle>,
    refused: bool,
    /// What the host keeps of it beside.
    kept: usize,
    /// It was refused because of what the tenant's other instances have.
    crowded: bool,
}

impl MemoryLimiter {
    pub(super) fn new(limits: &Limits, account: Account, idle: Arc<Idle>) -> Self {
        let limit = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        Self { limit, used: 0, tenant_limit: limits.tenant_memory_bytes, account, idle, refused: false, kept: 0, crowded: false }
    }

    /// What was refused so far is of no consequence.
    pub(super) fn forgive(&mut self) {
        (self.refused, self.crowded) = (false, false);
    }

    /// Whether growth was refused since this was asked last.
    pub(super) fn was_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Whether growth was ever refused that the instance by itself might have had.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Bytes that the instance has now.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The host keeps so much more of it, which is charged to its tenant. False: the tenant has no more.
    pub(super) fn keep(&mut self, bytes: usize) -> bool {
        let fits = self.take(u64::try_from(bytes).unwrap_or(u64::MAX));
        if fits {
            self.kept = self.kept.saturating_add(bytes);
        }
        fits
    }

    fn grow(&mut self, by: usize) -> bool {
        let wanted = self.used.saturating_add(by);
        let within = wanted <= self.limit;
        // All of its tenant's memory may be its own.
        let alone = u64::try_from(wanted.saturating_add(self.kept)).unwrap_or(u64::MAX) <= self.tenant_limit;
        let fits = within && self.take(u64::try_from(by).unwrap_or(u64::MAX));
        self.crowded |= within && alone && !fits;
        if fits {
            self.used = wanted;
        } else {
            self.refused = true;
        }
        fits
    }

    fn take(&self, bytes: u64) -> bool {
        loop {
            if self.account.take(Gauge::Memory, bytes, self.tenant_limit) {
                return true;
            }
            if !self.idle.give_way(Some(self.account.row())) {
                return false;
            }
        }
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.account.give_back(Gauge::Memory, u64::try_from(self.used.saturating_add(self.kept)).unwrap_or(0));
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
        usize::try_from(CORE_INSTANCES).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(TABLES).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(MEMORIES).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(memory_bytes: u64, tenant_memory_bytes: u64, account: &Account) -> MemoryLimiter {
        let limits = Limits { memory_bytes, tenant_memory_bytes, ..Limits::default() };
        MemoryLimiter::new(&limits, account.clone(), Arc::default())
    }

    #[test]
    fn an_instance_that_has_all_of_its_tenants_memory_is_not_crowded_by_others() {
        let account = Account::alone();
        let mut only = limiter(2_000, 1_000, &account);
        assert!(only.keep(100) && only.memory_growing(0, 900, None).unwrap());
        assert!(!only.memory_growing(900, 901, None).unwrap() && only.was_refused() && !only.is_crowded());
        let mut other = limiter(2_000, 1_000, &account);
        assert!(!other.memory_growing(0, 1, None).unwrap() && other.is_crowded());
        other.forgive();
        assert!(!other.was_refused() && !other.is_crowded());
    }

    #[test]
    fn all_instances_of_a_tenant_share_its_memory_and_give_it_back() {
        let account = Account::alone();
        let (mut first, mut second) = (limiter(1_000, 1_500, &account), limiter(1_000, 1_500, &account));
        assert!(first.memory_growing(0, 1_000, None).unwrap() && second.memory_growing(0, 500, None).unwrap());
        assert!(!second.was_refused() && !second.memory_growing(500, 501, None).unwrap() && second.was_refused());
        assert!(second.is_crowded() && !first.memory_growing(1_000, 1_001, None).unwrap() && !first.is_crowded());
        drop(first);
        assert!(second.memory_growing(500, 1_000, None).unwrap());
        assert_eq!(account.level(Gauge::Memory), 1_000);
        drop(second);
        assert_eq!(account.level(Gauge::Memory), 0);
    }

    #[test]
    fn growth_is_granted_under_and_at_the_limit_and_refused_over_it() {
        let mut limiter = limiter(131_072, u64::MAX, &Account::alone());
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limiter.memory_growing(131_072, 196_608, None).unwrap());
        assert_eq!(limiter.used(), 131_072);
    }

    #[test]
    fn memories_and_tables_share_one_sum() {
        let mut limiter = limiter(1_000, u64::MAX, &Account::alone());
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
    }

    #[test]
    fn growth_beyond_the_modules_own_maximum_is_not_charged() {
        let mut limiter = limiter(1_000, u64::MAX, &Account::alone());
        assert!(!limiter.memory_growing(0, 500, Some(400)).unwrap());
        assert_eq!(limiter.used(), 0);
    }
}
