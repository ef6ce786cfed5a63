//! Which application serves a request: by its host name, then by the longest mount that its path lies in (S9).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hyper::Response;

use super::{site::Site, static_files::FileBody};
use crate::{environ::Head, tenant::HostName};

/// An application that nobody has asked for so long is dropped, and made ready again with its next request.
const UNUSED: Duration = Duration::from_mins(5);

/// Where each application is served. It is never changed, but replaced as a whole.
#[derive(Default)]
pub struct Table {
    exact: HashMap<String, Vec<Arc<Site>>>,
    /// Ends of host names, each with its dot: the longest first.
    under: Vec<(String, Vec<Arc<Site>>)>,
    any: Vec<Arc<Site>>,
}

impl Table {
    /// Every request that lies in its mount goes to one application, whatever host it names.
    #[must_use]
    pub fn of_one(site: Site) -> Self {
        Self { any: vec![Arc::new(site)], ..Self::default() }
    }

    /// Applications with the host names that they are served at; with none, at every name that has no application of its own.
    #[must_use]
    pub fn new(sites: impl IntoIterator<Item = (Vec<HostName>, Arc<Site>)>) -> Self {
        let (mut exact, mut under, mut any) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new(), Vec::new());
        for (hosts, site) in sites {
            if hosts.is_empty() {
                any.push(Arc::clone(&site));
            }
            for host in hosts {
                let group = match host {
                    HostName::Exact(name) => exact.entry(name).or_default(),
                    HostName::Under(end) => under.entry(end).or_default(),
                };
                group.push(Arc::clone(&site));
            }
        }
        let longest_first = |group: &mut Vec<Arc<Site>>| group.sort_by_key(|site| std::cmp::Reverse(site.mount().script_name().len()));
        exact.values_mut().chain(under.values_mut()).for_each(longest_first);
        longest_first(&mut any);
        let mut under: Vec<_> = under.into_iter().collect();
        under.sort_by_key(|(end, _)| std::cmp::Reverse(end.len()));
        Self { exact, under, any }
    }

    /// The application for a host name, as the client wrote it, and a decoded path.
    #[must_use]
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&Arc<Site>> {
        let name = HostName::asked(host.unwrap_or_default());
        let under = || self.under.iter().find(|(end, _)| name.len() > end.len() && name.ends_with(end.as_str())).map(|(_, group)| group);
        let group = self.exact.get(&name).or_else(under).unwrap_or(&self.any);
        group.iter().find(|site| site.mount().path_info(path).is_some())
    }

    /// All applications.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.exact.values().chain(self.under.iter().map(|(_, group)| group)).chain([&self.any]).flatten()
    }

    /// The application, if there is one only: it is to blame for what nobody else is.
    fn only(&self) -> Option<&Arc<Site>> {
        let mut sites = self.sites();
        sites.next().filter(|_| sites.next().is_none())
    }
}

/// The present table.
#[derive(Default)]
pub struct Router(RwLock<Arc<Table>>);

impl Router {
    /// Begins with `table`.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(RwLock::new(Arc::new(table)))
    }

    /// Requests that come from now on go by `table`; those in flight end where they are.
    pub fn switch(&self, table: Table) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// The present table.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The application of a request.
    pub(super) fn find(&self, head: &Head) -> Option<Arc<Site>> {
        self.table().find(head.origin().host.as_deref(), head.path()).cloned()
    }

    /// Whom a request counts for that could not be understood.
    pub(super) fn only(&self) -> Option<Arc<Site>> {
        self.table().only().cloned()
    }

    /// Drops what has been idle for too long.
    pub(super) fn retire_idle(&self) {
        self.table().sites().for_each(|site| site.retire_idle(UNUSED));
    }
}

/// The file that a request asks for, if the host serves it.
pub(super) async fn file(site: &Site, head: &Head) -> Option<Response<FileBody>> {
    for folder in site.static_folders() {
        if let Some(response) = folder.respond(head.parts()).await {
            return Some(response);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        sandbox::{AppOptions, TenantLog},
        tenant::{Mount, TenantId},
    };

    fn site(name: &str, mount: &str, hosts: &[&str]) -> (Vec<HostName>, Arc<Site>) {
        let options = AppOptions::new(TenantLog::new(TenantId::of(name), &Limits::default()));
        let site = Site::suspended(name.to_owned(), String::new(), &options, Mount::new(mount).unwrap());
        (hosts.iter().map(|host| HostName::new(host).unwrap()).collect(), Arc::new(site))
    }

    #[test]
    fn s9_the_host_name_decides_and_then_the_longest_mount() {
        let table = Table::new([
            site("root", "/", &["a.test"]),
            site("blog", "/blog", &["a.test", "b.test"]),
            site("deep", "/blog/admin", &["a.test"]),
            site("wild", "/", &["*.test"]),
            site("wilder", "/", &["*.deep.test"]),
            site("rest", "/", &[]),
        ]);
        let name = |host, path| table.find(host, path).map(|site| site.name.clone());
        assert_eq!(name(Some("a.test"), "/").as_deref(), Some("root"));
        assert_eq!(name(Some("A.Test.:8000"), "/blog").as_deref(), Some("blog"));
        assert_eq!(name(Some("a.test"), "/blogs").as_deref(), Some("root"));
        assert_eq!(name(Some("a.test"), "/blog/admin/x").as_deref(), Some("deep"));
        assert_eq!(name(Some("b.test"), "/"), None, "a name that has applications has no others");
        assert_eq!(name(Some("x.test"), "/").as_deref(), Some("wild"));
        assert_eq!(name(Some("x.deep.test"), "/").as_deref(), Some("wilder"));
        assert_eq!(name(Some("test"), "/").as_deref(), Some("rest"));
        assert_eq!(name(Some("[::1]:80"), "/").as_deref(), Some("rest"));
        assert_eq!(name(None, "/").as_deref(), Some("rest"));
    }
}
