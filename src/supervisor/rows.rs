//! Which row of a group's ledger is whose. A version of an application has a row from its trial to its last request; a tenant has one as
//! long as any of its applications has.

use std::{collections::BTreeMap, fmt};

use crate::tenant::TenantId;

/// An application's name: its tenant's, and its own among those of the tenant.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AppName {
    /// Whose.
    pub tenant: TenantId,
    /// Its own.
    pub app: String,
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tenant.as_str() == self.app { f.write_str(&self.app) } else { write!(f, "{}/{}", self.tenant, self.app) }
    }
}

/// The rows.
#[derive(Debug)]
pub struct Rows {
    free: Vec<usize>,
    /// A tenant's row, and how many rows its applications have.
    tenants: BTreeMap<TenantId, (usize, usize)>,
}

/// Rows that were taken; those in `new` are nobody else's, and have to be cleared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The tenant's.
    pub tenant: usize,
    /// The application's.
    pub app: usize,
    /// Which were free before.
    pub new: Vec<usize>,
}

impl Rows {
    /// All free.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { free: (0..rows).rev().collect(), tenants: BTreeMap::new() }
    }

    /// A row for a version of one of a tenant's applications. `None`: there are no more.
    pub fn take(&mut self, tenant: &TenantId) -> Option<Taken> {
        let known = self.tenants.get(tenant).copied();
        if self.free.len() < 1 + usize::from(known.is_none()) {
            return None;
        }
        let mut new = Vec::new();
        let (row, sites) = if let Some(known) = known {
            known
        } else {
            let row = self.free.pop()?;
            new.push(row);
            (row, 0)
        };
        let app = self.free.pop()?;
        new.push(app);
        self.tenants.insert(tenant.clone(), (row, sites + 1));
        Some(Taken { tenant: row, app, new })
    }

    /// A version has gone from every worker. Whether that was its tenant's last.
    pub fn give_back(&mut self, tenant: &TenantId, app: usize) -> bool {
        let Some((row, sites)) = self.tenants.get_mut(tenant) else { return false };
        let row = *row;
        *sites -= 1;
        let last = *sites == 0;
        self.free.push(app);
        if last {
            self.tenants.remove(tenant);
            self.free.push(row);
        }
        last
    }

    /// Whether a tenant has a row.
    #[must_use]
    pub fn knows(&self, tenant: &str) -> bool {
        TenantId::new(tenant).is_ok_and(|tenant| self.tenants.contains_key(&tenant))
    }

    /// The tenants, and their rows.
    #[must_use]
    pub fn tenants(&self) -> Vec<(TenantId, usize)> {
        self.tenants.iter().map(|(tenant, (row, _))| (tenant.clone(), *row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_versions_share_its_row_and_give_it_back_with_the_last() {
        let (a, b) = (TenantId::of("a"), TenantId::of("b"));
        let mut rows = Rows::new(3);
        assert_eq!(rows.take(&a), Some(Taken { tenant: 0, app: 1, new: vec![0, 1] }));
        assert_eq!(rows.take(&a), Some(Taken { tenant: 0, app: 2, new: vec![2] }));
        assert_eq!((rows.take(&a), rows.take(&b)), (None, None));
        assert!(!rows.give_back(&a, 1) && rows.knows("a") && rows.take(&b).is_none());
        assert!(rows.give_back(&a, 2) && !rows.knows("a"));
        assert_eq!(rows.take(&b).map(|taken| taken.new.len()), Some(2));
    }
}
