//! From what is wished to what is served: compiled, tried, switched in, and what it replaces is let go when its last request has ended. What
//! fails on the way leaves everything as it was, and says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{DEFAULT_GROUP, Host, Plan, rows::AppName, state::Live};
use crate::{
    artifact::{Artifacts, Start, Terms, hex},
    exchange::Uploads,
    stage::{self, Refused, Wanted},
    telemetry::{Kind, Record},
    tenant::{HostName, Mount},
    worker::message::SiteSpec,
};

/// Who asked for an application.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Origin {
    /// The configuration: it goes when it is no longer named there.
    Configuration,
    /// A person, over the admin socket.
    Admin,
    /// A file in the watched folder: it goes with the file.
    Folder,
}

/// An application that is to be served.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its name.
    pub name: AppName,
    /// The built file.
    pub file: PathBuf,
    /// At which host names; none for all that have nothing of their own.
    pub hosts: Vec<HostName>,
    /// At which path.
    pub mount: String,
    /// How it is given uploads; by what its framework reads, if not said.
    pub uploads: Option<Uploads>,
    /// How it runs.
    pub terms: Terms,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The path of its first request; none is made without.
    pub check: Option<String>,
    /// Its group of workers; none for the first.
    pub group: Option<String>,
    /// Whether others of the same file and environment have its release too: what it draws at random while it is imported is theirs as well.
    pub shared_release: bool,
    /// Who asked for it.
    pub origin: Origin,
}

/// What became of a wish.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Deployed {
    /// The version that is served now.
    pub version: String,
    /// Whether it was served before.
    pub unchanged: bool,
}

/// Where the code of a group lies.
pub(super) fn cache_of(plan: &Plan, group: &str) -> PathBuf {
    match plan.groups.first() {
        Some(first) if first.name != group => plan.cache.join("groups").join(group),
        _ => plan.cache.clone(),
    }
}

impl Host {
    /// Begins the workers, and has them accept connections when all of `wishes` can be served. What fails is not served, and told.
    pub async fn deploy_all(self: &Arc<Self>, wishes: Vec<Wish>) -> Vec<(AppName, Refused)> {
        for wish in &wishes {
            if let Ok(group) = self.group_of(wish) {
                self.state().promised.insert(wish.name.clone(), (group, roots(wish)));
            }
        }
        (0..self.workers.count()).for_each(|worker| self.begin(worker));
        let failed = self.apply(wishes).await;
        let groups: BTreeMap<String, Vec<SiteSpec>> = {
            let mut state = self.state();
            state.has_begun = true;
            state.promised.clear();
            let sites = |group: &str| state.live.values().filter(|live| live.group == group).map(|live| live.site.clone()).collect();
            self.plan.groups.iter().map(|group| (group.name.clone(), sites(&group.name))).collect()
        };
        for (group, sites) in groups {
            let revision = self.next_revision();
            self.workers.change(&group, revision, sites, Vec::new()).await;
        }
        failed
    }

    fn next_revision(&self) -> u64 {
        let mut state = self.state();
        state.revision += 1;
        state.revision
    }

    /// Has what `origin` asked for be exactly `wishes`.
    pub async fn reload(self: &Arc<Self>, wishes: Vec<Wish>, origin: Origin) -> Vec<(AppName, Refused)> {
        let wanted: BTreeSet<_> = wishes.iter().map(|wish| wish.name.clone()).collect();
        let gone: Vec<_> = {
            let mut state = self.state();
            state.failed.retain(|name, (wish, _)| wanted.contains(name) || wish.origin != origin);
            state
                .live
                .values()
                .filter(|live| live.wish.origin == origin && !wanted.contains(&live.name))
                .map(|live| live.name.clone())
                .collect()
        };
        let failed = self.apply(wishes).await;
        for name in gone {
            self.undeploy(&name).await;
        }
        failed
    }

    async fn apply(self: &Arc<Self>, wishes: Vec<Wish>) -> Vec<(AppName, Refused)> {
        let deploys = wishes.into_iter().map(|wish| async {
            let name = wish.name.clone();
            self.deploy(wish).await.err().map(|refused| (name, refused))
        });
        // As many as there are stages; those that need none are quick.
        stream::iter(deploys).buffer_unordered(self.plan.stages.max(1) * 2).filter_map(|failed| async { failed }).collect().await
    }

    /// Serves an application, or another version of it.
    ///
    /// # Errors
    /// [`Refused`]; what was served before is served on.
    pub async fn deploy(self: &Arc<Self>, wish: Wish) -> Result<Deployed, Refused> {
        let lock = Arc::clone(self.state().locks.entry(wish.name.clone()).or_default());
        let _alone = lock.lock().await;
        let name = wish.name.clone();
        let deployed = Box::pin(self.deploy_alone(wish.clone())).await;
        let mut state = self.state();
        match &deployed {
            Ok(_) => drop(state.failed.remove(&name)),
            Err(refused) => {
                let detail = if refused.detail.is_empty() { String::new() } else { format!("\n{}", refused.detail) };
                state.failed.insert(name.clone(), (wish, format!("{refused}{detail}")));
            }
        }
        drop(state);
        if let Err(refused) = &deployed {
            tracing::warn!("{name} is not deployed: {refused}");
        }
        deployed
    }

    async fn deploy_alone(self: &Arc<Self>, mut wish: Wish) -> Result<Deployed, Refused> {
        let group = self.group_of(&wish)?;
        let (file, read) = (wish.file.clone(), wish.file.clone());
        let digest = tokio::task::spawn_blocking(move || digest(&read)).await.unwrap_or_else(|_| Err(io::Error::other("panicked")));
        let digest = digest.map_err(|error| refused(format!("{} cannot be read: {error}", file.display())))?;
        let version = version(&digest, &wish.terms);
        let live = self.state().live.get(&wish.name).cloned();
        self.is_free(&wish)?;
        if let Some(live) = live.as_ref().filter(|live| live.site.version == version && same_place(live, &wish, &group)) {
            // How it was asked for may have changed all the same.
            let site = live.site.clone();
            let name = wish.name.clone();
            self.state().live.insert(name.clone(), Live { name, wish, group, site });
            return Ok(Deployed { version, unchanged: true });
        }
        let staged = self.staged(&mut wish, &group).await?;
        let meta = staged.meta.as_ref();
        let uploads = match wish.uploads {
            Some(uploads) => uploads,
            None if meta.is_some_and(|meta| meta.buffered_uploads) => Uploads::Buffered,
            None => Uploads::Streamed,
        };
        let site = {
            let mut state = self.state();
            let rows = state.rows.of(&wish.name);
            let (tenant_row, row) = rows.ok_or_else(|| Refused {
                hint: "`[host] max_apps` is the number of tenants and applications that it has room for".to_owned(),
                ..refused("the host has no room for another application".to_owned())
            })?;
            state.last_id += 1;
            SiteSpec {
                id: state.last_id,
                name: wish.name.app.clone(),
                version: version.clone(),
                tenant_row,
                row,
                hosts: wish.hosts.iter().map(ToString::to_string).collect(),
                mount: wish.mount.clone(),
                suspended: wish.suspended,
                uploads,
                file: wish.file.clone(),
                terms: wish.terms.clone(),
                prepared: staged,
            }
        };
        self.widen(&group, &wish).await;
        if !wish.suspended {
            let status = self.workers.try_out(&group, &site, wish.check.clone()).await;
            if let Err(refused) = status {
                self.forget_row(&wish, live.is_none());
                return Err(refused);
            }
        }
        self.switch(wish, group, site, live).await;
        Ok(Deployed { version, unchanged: false })
    }

    /// A row that was taken for an application that is not served after all.
    fn forget_row(&self, wish: &Wish, unused: bool) {
        if unused {
            let freed = self.state().rows.give_back(&wish.name);
            for row in freed {
                self.ledger.clear_row(row);
            }
        }
    }

    async fn switch(self: &Arc<Self>, wish: Wish, group: String, site: SiteSpec, old: Option<Live>) {
        let (id, name) = (site.id, wish.name.clone());
        {
            let mut state = self.state();
            // First: a worker that begins now begins with it.
            state.live.insert(name.clone(), Live { name, wish, group: group.clone(), site: site.clone() });
            if !state.has_begun {
                return;
            }
        }
        let revision = self.next_revision();
        let (in_place, elsewhere) = match old {
            Some(old) if old.group == group => (Some(old), None),
            old => (None, old),
        };
        let remove = in_place.iter().map(|old| old.site.id).collect();
        let workers = self.workers.change(&group, revision, vec![site], remove).await;
        tracing::debug!("site {id} is switched in");
        if let Some(old) = in_place {
            self.state().leaves(old.site.id, workers, None);
        }
        if let Some(old) = elsewhere {
            self.remove(&old, None).await;
        }
    }

    async fn remove(self: &Arc<Self>, old: &Live, last: Option<AppName>) {
        let revision = self.next_revision();
        let workers = self.workers.change(&old.group, revision, Vec::new(), vec![old.site.id]).await;
        self.state().leaves(old.site.id, workers, last);
    }

    /// Serves an application no longer. False: it was not.
    pub async fn undeploy(self: &Arc<Self>, name: &AppName) -> bool {
        let lock = Arc::clone(self.state().locks.entry(name.clone()).or_default());
        let _alone = lock.lock().await;
        let (live, failed) = {
            let mut state = self.state();
            (state.live.remove(name), state.failed.remove(name))
        };
        let found = live.is_some() || failed.is_some();
        if let Some(live) = live {
            self.remove(&live, Some(name.clone())).await;
        }
        found
    }

    /// Suspends an application, or resumes it. `None`: there is none of the name.
    pub async fn suspend(self: &Arc<Self>, name: &AppName, suspended: bool) -> Option<Result<Deployed, Refused>> {
        let wish = self.state().live.get(name).map(|live| Wish { suspended, ..live.wish.clone() })?;
        Some(self.deploy(wish).await)
    }

    /// Rows that have become free are cleared, when nobody writes there any more.
    pub fn clear_rows(&self) {
        let freed = std::mem::take(&mut self.state().freed);
        for row in freed {
            self.ledger.clear_row(row);
        }
    }

    /// Replaces the workers that may not write what this application keeps.
    async fn widen(&self, group: &str, wish: &Wish) {
        let data = roots(wish);
        let narrow = self.workers.narrow(group, &data);
        if narrow.is_empty() {
            return;
        }
        self.state().promised.insert(wish.name.clone(), (group.to_owned(), data));
        for worker in narrow {
            self.workers.retire(worker).await;
        }
        self.state().promised.remove(&wish.name);
    }

    async fn staged(&self, wish: &mut Wish, group: &str) -> Result<crate::artifact::Prepared, Refused> {
        let cache = cache_of(&self.plan, group);
        Artifacts::new(&cache).map_err(|error| refused(error.to_string()))?;
        let mut terms = wish.terms.clone();
        if wish.shared_release {
            // Its place is not a tenant's.
            terms.tenant = crate::tenant::TenantId::of("shared-releases");
        }
        let wanted = Wanted {
            cache,
            file: std::path::absolute(&wish.file).map_err(|error| refused(error.to_string()))?,
            terms,
            start: Start::Released,
            required: self.plan.require_sandbox,
            format: self.plan.format.clone(),
        };
        let tenant = wish.name.tenant.to_string();
        let log = |line: &str| self.logs.take(&Record { kind: Kind::App, tenant: tenant.clone(), text: line.to_owned() });
        if let Some(staged) = self.state().staged.get(&key(&wanted, wish.shared_release)).filter(|staged| staged.code.is_file()) {
            return Ok(staged.clone());
        }
        let _place = self.stages.acquire().await.map_err(|_| refused("the host is stopping".to_owned()))?;
        if let Some(staged) = self.state().staged.get(&key(&wanted, wish.shared_release)).filter(|staged| staged.code.is_file()) {
            return Ok(staged.clone());
        }
        let staged = stage::run(&wanted, log).await?;
        for warning in staged.report.iter().flat_map(crate::sandbox::Report::warnings) {
            self.logs.take(&Record { kind: Kind::App, tenant: tenant.clone(), text: format!("warning: {warning}") });
        }
        if wish.shared_release {
            self.state().staged.insert(key(&wanted, true), staged.prepared.clone());
        }
        Ok(staged.prepared)
    }

    fn group_of(&self, wish: &Wish) -> Result<String, Refused> {
        let first = self.plan.groups.first().map_or(DEFAULT_GROUP, |group| group.name.as_str());
        let name = wish.group.as_deref().unwrap_or(first);
        if self.plan.groups.iter().any(|group| group.name == name) {
            return Ok(name.to_owned());
        }
        Err(refused(format!("there is no group of workers `{name}`")))
    }

    /// No two applications are served at one place.
    fn is_free(&self, wish: &Wish) -> Result<(), Refused> {
        let state = self.state();
        let meets = |live: &&Live| {
            let hosts =
                (live.wish.hosts.is_empty() && wish.hosts.is_empty()) || live.wish.hosts.iter().any(|host| wish.hosts.contains(host));
            live.name != wish.name && hosts && Mount::new(&live.wish.mount) == Mount::new(&wish.mount)
        };
        match state.live.values().find(meets) {
            Some(live) => Err(Refused {
                hint: "give it another `host` or `path`".to_owned(),
                ..refused(format!("{} is served at the same host and path", live.name))
            }),
            None => Ok(()),
        }
    }
}

/// What an application may write.
fn roots(wish: &Wish) -> Vec<PathBuf> {
    wish.terms.storage.iter().map(|storage| storage.root.clone()).collect()
}

fn refused(what: String) -> Refused {
    Refused { what, ..Refused::default() }
}

/// What of a staged application can be used again: the same file, on the same terms.
fn key(wanted: &Wanted, shared: bool) -> Option<(PathBuf, String)> {
    let terms = serde_json::to_string(&wanted.terms).ok()?;
    let changed = std::fs::metadata(&wanted.file).and_then(|status| status.modified()).ok()?;
    shared.then(|| (wanted.file.clone(), format!("{changed:?} {terms}")))
}

fn digest(file: &Path) -> io::Result<Vec<u8>> {
    let mut sum = Sha256::new();
    io::copy(&mut File::open(file)?, &mut sum)?;
    Ok(sum.finalize().to_vec())
}

/// A version is a file with its terms.
fn version(digest: &[u8], terms: &Terms) -> String {
    let mut sum = Sha256::new();
    sum.update(digest);
    sum.update(serde_json::to_vec(terms).unwrap_or_default());
    hex(&sum.finalize()).chars().take(12).collect()
}

fn same_place(live: &Live, wish: &Wish, group: &str) -> bool {
    let Wish { hosts, mount, uploads, suspended, shared_release, .. } = wish;
    let old = &live.wish;
    live.group == group
        && (&old.hosts, &old.mount, &old.uploads, &old.suspended, &old.shared_release) == (hosts, mount, uploads, suspended, shared_release)
}
