//! Which row of the ledger is whose.

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
    tenants: BTreeMap<TenantId, usize>,
    apps: BTreeMap<AppName, usize>,
}

impl Rows {
    /// All free.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { free: (0..rows).rev().collect(), tenants: BTreeMap::new(), apps: BTreeMap::new() }
    }

    /// The rows of an application's tenant and of itself. `None`: there are no more.
    pub fn of(&mut self, name: &AppName) -> Option<(usize, usize)> {
        let (tenant, app) = (self.tenants.get(&name.tenant).copied(), self.apps.get(name).copied());
        let needed = usize::from(tenant.is_none()) + usize::from(app.is_none());
        if self.free.len() < needed {
            return None;
        }
        let tenant = tenant.or_else(|| self.free.pop())?;
        let app = app.or_else(|| self.free.pop())?;
        self.tenants.insert(name.tenant.clone(), tenant);
        self.apps.insert(name.clone(), app);
        Some((tenant, app))
    }

    /// An application has gone from every worker; the rows that are free now.
    pub fn give_back(&mut self, name: &AppName) -> Vec<usize> {
        let mut freed: Vec<_> = self.apps.remove(name).into_iter().collect();
        if !self.apps.keys().any(|other| other.tenant == name.tenant) {
            freed.extend(self.tenants.remove(&name.tenant));
        }
        self.free.extend(&freed);
        freed
    }

    /// The tenants, and their rows.
    #[must_use]
    pub fn tenants(&self) -> Vec<(TenantId, usize)> {
        self.tenants.iter().map(|(tenant, row)| (tenant.clone(), *row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_applications_share_its_row_and_give_it_back_with_the_last() {
        let name = |tenant, app: &str| AppName { tenant: TenantId::of(tenant), app: app.to_owned() };
        let mut rows = Rows::new(3);
        assert_eq!(rows.of(&name("a", "one")), Some((0, 1)));
        assert_eq!(rows.of(&name("a", "two")), Some((0, 2)));
        assert_eq!(rows.of(&name("a", "one")), Some((0, 1)));
        assert_eq!(rows.of(&name("b", "one")), None);
        assert_eq!(rows.give_back(&name("a", "one")), [1]);
        assert_eq!(rows.give_back(&name("a", "two")), [2, 0]);
        assert!(rows.of(&name("b", "one")).is_some());
    }
}
