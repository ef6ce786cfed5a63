//! What is served now, what is on its way out, and what is not served though it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use tokio::sync::Mutex;

use super::{
    Plan,
    deploy::Wish,
    rows::{AppName, Rows},
};
use crate::{artifact::Prepared, tenant::TenantId, worker::message::SiteSpec};

/// An application that is served.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its name.
    pub name: AppName,
    /// What was asked for.
    pub wish: Wish,
    /// Its group of workers.
    pub group: String,
    /// What the workers were told.
    pub site: SiteSpec,
}

/// How an application is, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub app: String,
    /// The version that is served.
    pub version: Option<String>,
    /// `serving`, `suspended` or `failed`.
    pub state: &'static str,
    /// Why the last deployment failed, if it did.
    pub error: Option<String>,
    /// The host names.
    pub hosts: Vec<String>,
    /// The mount.
    pub path: String,
}

/// Who changes an application: one at a time each.
#[derive(Debug, Default)]
pub struct Turns(BTreeMap<AppName, Arc<Mutex<()>>>);

impl Turns {
    /// What to lock for as long as an application is being changed.
    pub fn of(&mut self, name: &AppName) -> Arc<Mutex<()>> {
        // Of those that nobody holds or waits for, nothing is kept.
        self.0.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(self.0.entry(name.clone()).or_default())
    }
}

/// A version that is served no longer, or never was, and may still have requests.
#[derive(Debug)]
struct Leaving {
    group: String,
    tenant: TenantId,
    row: usize,
    prepared: Prepared,
    /// The workers that have not let go of it.
    workers: BTreeSet<usize>,
}

/// What a supervisor knows.
pub(super) struct State {
    /// The rows of each group's ledger.
    pub rows: BTreeMap<String, Rows>,
    pub live: BTreeMap<AppName, Live>,
    /// Why the last deployment of an application failed.
    pub failed: BTreeMap<AppName, (Wish, String)>,
    leaving: BTreeMap<u64, Leaving>,
    /// What is being tried.
    pub trying: BTreeMap<u64, Prepared>,
    /// Whether the workers accept connections.
    pub has_begun: bool,
    pub last_id: u64,
    pub revision: u64,
    /// Folders that a group's next workers may write, for an application that is being deployed.
    pub promised: BTreeMap<AppName, (String, Vec<PathBuf>)>,
    /// What was staged for many, by file and terms.
    pub staged: BTreeMap<(PathBuf, String), Prepared>,
    pub turns: Turns,
}

impl State {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            rows: plan.groups.iter().map(|group| (group.name.clone(), Rows::new(plan.rows))).collect(),
            live: BTreeMap::new(),
            failed: BTreeMap::new(),
            leaving: BTreeMap::new(),
            trying: BTreeMap::new(),
            has_begun: false,
            last_id: 0,
            revision: 0,
            promised: BTreeMap::new(),
            staged: BTreeMap::new(),
            turns: Turns::default(),
        }
    }

    pub(super) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// A version is removed from `workers`. Said before they are told, so that none can answer too early.
    pub(super) fn leaves(&mut self, tenant: &TenantId, group: &str, site: &SiteSpec, workers: BTreeSet<usize>) -> Vec<String> {
        let (group, tenant, prepared) = (group.to_owned(), tenant.clone(), site.prepared.clone());
        self.leaving.insert(site.id, Leaving { group, tenant, row: site.row, prepared, workers });
        self.settle()
    }

    /// The last request of a version has ended in a worker. The tenants of which nothing is left.
    pub(super) fn gone(&mut self, id: u64, worker: usize) -> Vec<String> {
        if let Some(leaving) = self.leaving.get_mut(&id) {
            leaving.workers.remove(&worker);
        }
        self.settle()
    }

    /// A worker is dead, and with it all its requests.
    pub(super) fn died(&mut self, worker: usize) -> Vec<String> {
        for leaving in self.leaving.values_mut() {
            leaving.workers.remove(&worker);
        }
        self.settle()
    }

    /// Gives back the rows of what is gone everywhere.
    fn settle(&mut self) -> Vec<String> {
        let (rows, mut last) = (&mut self.rows, Vec::new());
        self.leaving.retain(|_, Leaving { group, tenant, row, workers, .. }| {
            if workers.is_empty()
                && let Some(rows) = rows.get_mut(group)
                && rows.give_back(tenant, *row)
            {
                last.push(tenant.to_string());
            }
            !workers.is_empty()
        });
        last
    }

    /// Whether a worker of `group` can have something to say of a tenant.
    pub(super) fn serves(&self, group: &str, tenant: &str) -> bool {
        self.rows.get(group).is_some_and(|rows| rows.knows(tenant))
    }

    /// What a group's workers may have to load.
    pub(super) fn needed<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Prepared> {
        let live = self.live.values().filter(move |live| live.group == group).map(|live| &live.site.prepared);
        let leaving = self.leaving.values().filter(move |leaving| leaving.group == group).map(|leaving| &leaving.prepared);
        live.chain(leaving).chain(self.trying.values()).chain(self.staged.values())
    }

    /// What a group serves.
    pub(super) fn sites_of(&self, group: &str) -> Vec<SiteSpec> {
        self.live.values().filter(|live| live.group == group).map(|live| live.site.clone()).collect()
    }

    /// The folders that guests of a group may write.
    pub(super) fn data_of(&self, group: &str) -> Vec<PathBuf> {
        let of_group = self.live.values().filter(|live| live.group == group);
        let kept = of_group.flat_map(|live| live.wish.terms.storage.iter().map(|storage| storage.root.clone()));
        let promised = self.promised.values().filter(|(name, _)| name == group).flat_map(|(_, roots)| roots.clone());
        let roots: BTreeSet<_> = kept.chain(promised).collect();
        roots.into_iter().collect()
    }

    pub(super) fn status(&self) -> Vec<Status> {
        let names: BTreeSet<_> = self.live.keys().chain(self.failed.keys()).collect();
        let status = |name: &AppName| {
            let (live, failed) = (self.live.get(name), self.failed.get(name));
            let wish = live.map(|live| &live.wish).or(failed.map(|(wish, _)| wish));
            Status {
                tenant: name.tenant.to_string(),
                app: name.app.clone(),
                version: live.map(|live| live.site.version.clone()),
                state: match live {
                    Some(live) if live.site.suspended => "suspended",
                    Some(_) => "serving",
                    None => "failed",
                },
                error: failed.map(|(_, why)| why.clone()),
                hosts: wish.map(|wish| wish.hosts.iter().map(ToString::to_string).collect()).unwrap_or_default(),
                path: wish.map_or_else(String::new, |wish| wish.mount.clone()),
            }
        };
        names.into_iter().map(status).collect()
    }
}
