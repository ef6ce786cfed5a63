//! From what is wished to what can be served: compiled, and tried. What fails on the way leaves everything as it was, and says why.
//!
//! Next: [`super::switch`] puts it in the place of what was served.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    DEFAULT_GROUP, Host, Plan,
    rows::AppName,
    state::{Live, State},
};
use crate::{
    artifact::{Artifacts, Prepared, Staging, Start, Terms, hex},
    exchange::Uploads,
    stage::{self, Refused, Wanted},
    telemetry::{Kind, Record},
    tenant::{HostName, Mount, TenantId},
    worker::message::SiteSpec,
};

/// Whose place a release has that several applications share.
const SHARED_RELEASES: &str = "shared-releases";

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
    /// The file as whoever asked for it knows it.
    pub given: PathBuf,
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

/// A wish that can be granted.
pub(super) enum Ready {
    /// It is served as it is; only how it was asked for may have changed.
    Unchanged { wish: Wish, group: String, site: SiteSpec },
    /// Compiled, tried, and with rows of its own: it has to be switched in, or given up.
    New { wish: Wish, group: String, site: SiteSpec },
}

impl Host {
    /// Compiles what is wished, and tries it. `moving`: who gives up a place in the same change.
    pub(super) async fn prepare(self: &Arc<Self>, wish: Wish, moving: &BTreeSet<AppName>) -> Result<Ready, Refused> {
        let group = self.group_of(&wish)?;
        let (file, read) = (wish.file.clone(), wish.file.clone());
        let digest = tokio::task::spawn_blocking(move || digest(&read)).await.unwrap_or_else(|_| Err(io::Error::other("panicked")));
        let digest = digest.map_err(|error| refused(format!("{} cannot be read: {error}", file.display())))?;
        let version = version(&digest, &wish.terms);
        let live = self.state().live.get(&wish.name).cloned();
        is_free(&self.state(), &wish, &group, moving)?;
        if let Some(live) = live.filter(|live| live.site.version == version && same_place(live, &wish, &group)) {
            return Ok(Ready::Unchanged { wish, group, site: live.site });
        }
        let (staged, staging) = self.staged(&wish, &group).await?;
        let meta = staged.meta.as_ref();
        let uploads = match wish.uploads {
            Some(uploads) => uploads,
            None if meta.is_some_and(|meta| meta.buffered_uploads) => Uploads::Buffered,
            None => Uploads::Streamed,
        };
        let site = self.with_rows(&wish, &group, version, uploads, staged)?;
        self.pin(&group);
        drop(staging);
        let tried = self.tried(&wish, &group, &site).await;
        self.state().trying.remove(&site.id);
        match tried {
            Ok(()) => Ok(Ready::New { wish, group, site }),
            Err(refused) => {
                self.give_up(&wish.name.tenant, &group, &site).await;
                Err(refused)
            }
        }
    }

    fn with_rows(&self, wish: &Wish, group: &str, version: String, uploads: Uploads, prepared: Prepared) -> Result<SiteSpec, Refused> {
        let mut state = self.state();
        let rows = state.rows.get_mut(group).and_then(|rows| rows.take(&wish.name.tenant)).ok_or_else(|| Refused {
            hint: "`[host] max_apps` is the number of tenants and applications that it has room for".to_owned(),
            ..refused("the host has no room for another application".to_owned())
        })?;
        let ledger = self.ledger(group);
        for row in &rows.new {
            ledger.clear_row(*row);
        }
        state.last_id += 1;
        let id = state.last_id;
        state.trying.insert(id, prepared.clone());
        Ok(SiteSpec {
            id,
            name: wish.name.app.clone(),
            version,
            tenant_row: rows.tenant,
            row: rows.app,
            hosts: wish.hosts.iter().map(ToString::to_string).collect(),
            mount: wish.mount.clone(),
            suspended: wish.suspended,
            uploads,
            file: wish.file.clone(),
            terms: wish.terms.clone(),
            prepared,
        })
    }

    async fn tried(self: &Arc<Self>, wish: &Wish, group: &str, site: &SiteSpec) -> Result<(), Refused> {
        self.widen(group, wish).await;
        if !wish.suspended {
            // No worker is replaced meanwhile.
            let _together = self.trials.read().await;
            self.workers.try_out(group, site, wish.check.clone()).await?;
        }
        Ok(())
    }

    /// Lets go of what was tried in vain; its rows are free when its last request has ended.
    pub(super) async fn give_up(self: &Arc<Self>, tenant: &TenantId, group: &str, site: &SiteSpec) {
        let (change, gone) = {
            let mut state = self.state();
            let change = self.workers.change(group, state.next_revision());
            let gone = state.leaves(tenant, group, site, change.workers());
            (change, gone)
        };
        self.forget_tenants(&gone);
        self.workers.forget(change, site.id).await;
    }

    /// Replaces the workers that may not write what this application keeps.
    async fn widen(self: &Arc<Self>, group: &str, wish: &Wish) {
        let data = roots(wish);
        if self.workers.narrow(group, &data).is_empty() {
            return;
        }
        // No trial runs in a worker that is replaced.
        let _alone = self.trials.write().await;
        let narrow = self.workers.narrow(group, &data);
        self.state().promised.insert(wish.name.clone(), (group.to_owned(), data));
        for worker in narrow {
            self.workers.retire(worker, self.plan.stop_grace).await;
        }
        self.state().promised.remove(&wish.name);
    }

    async fn staged(&self, wish: &Wish, group: &str) -> Result<(Prepared, Staging), Refused> {
        let cache = cache_of(&self.plan, group);
        let artifacts = Artifacts::new(&cache).map_err(|error| refused(error.to_string()))?;
        let mut terms = wish.terms.clone();
        if wish.shared_release {
            // Its place is not a tenant's.
            terms.tenant = TenantId::of(SHARED_RELEASES);
        }
        let wanted = Wanted {
            cache,
            file: std::path::absolute(&wish.file).map_err(|error| refused(error.to_string()))?,
            terms,
            start: Start::Released,
            required: self.plan.require_sandbox,
            format: self.plan.format.clone(),
        };
        let staging = artifacts.staging(&wanted.terms.tenant).map_err(|error| refused(error.to_string()))?;
        let tenant = wish.name.tenant.to_string();
        let log = |line: &str| self.logs.take(&Record { kind: Kind::App, tenant: tenant.clone(), text: line.to_owned() });
        let shared = wish.shared_release.then(|| key(&wanted)).flatten();
        let known = || shared.as_ref().and_then(|key| self.state().staged.get(key).filter(|staged| staged.code.is_file()).cloned());
        if let Some(staged) = known() {
            return Ok((staged, staging));
        }
        let _place = self.stages.acquire().await.map_err(|_| refused("the host is stopping".to_owned()))?;
        if let Some(staged) = known() {
            return Ok((staged, staging));
        }
        let began = std::time::Instant::now();
        let staged = stage::run(&wanted, log).await;
        let is_found = staged.as_ref().ok().map(|staged| staged.prepared.is_found);
        self.counts.staged(began.elapsed(), is_found);
        let staged = staged?;
        tracing::info!("{} is {}", wish.name, staged.took);
        for warning in staged.report.iter().flat_map(crate::sandbox::Report::warnings) {
            self.logs.take(&Record { kind: Kind::App, tenant: tenant.clone(), text: format!("warning: {warning}") });
        }
        if let Some(key) = shared {
            let mut state = self.state();
            state.staged.retain(|_, staged| staged.code.is_file());
            state.staged.insert(key, staged.prepared.clone());
        }
        Ok((staged.prepared, staging))
    }

    pub(super) fn group_of(&self, wish: &Wish) -> Result<String, Refused> {
        let first = self.plan.groups.first().map_or(DEFAULT_GROUP, |group| group.name.as_str());
        let name = wish.group.as_deref().unwrap_or(first);
        if self.plan.groups.iter().any(|group| group.name == name) {
            return Ok(name.to_owned());
        }
        Err(refused(format!("there is no group of workers `{name}`")))
    }
}

/// No two applications of a group are served at one place.
pub(super) fn is_free(state: &State, wish: &Wish, group: &str, moving: &BTreeSet<AppName>) -> Result<(), Refused> {
    let meets = |live: &&Live| live.group == group && live.name != wish.name && !moving.contains(&live.name) && meet(&live.wish, wish);
    match state.live.values().find(meets) {
        Some(live) => Err(taken(&live.name)),
        None => Ok(()),
    }
}

/// Whether two wishes are for one place.
#[must_use]
pub fn meet(one: &Wish, other: &Wish) -> bool {
    let hosts = (one.hosts.is_empty() && other.hosts.is_empty()) || one.hosts.iter().any(|host| other.hosts.contains(host));
    hosts && Mount::new(&one.mount) == Mount::new(&other.mount)
}

pub(super) fn taken(by: &AppName) -> Refused {
    let hint = "give it another `host` or `path`".to_owned();
    Refused { hint, ..refused(format!("{by} is served at the same host and path")) }
}

/// What an application may write.
pub(super) fn roots(wish: &Wish) -> Vec<PathBuf> {
    wish.terms.storage.iter().map(|storage| storage.root.clone()).collect()
}

pub(super) fn refused(what: String) -> Refused {
    Refused { what, ..Refused::default() }
}

/// By what a staged application is found again: the same file, on the same terms.
fn key(wanted: &Wanted) -> Option<(PathBuf, String)> {
    let terms = serde_json::to_string(&wanted.terms).ok()?;
    let changed = std::fs::metadata(&wanted.file).and_then(|status| status.modified()).ok()?;
    Some((wanted.file.clone(), format!("{changed:?} {terms}")))
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
