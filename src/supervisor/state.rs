//! What is served now, what is on its way out, and what is not served though it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    deploy::Wish,
    rows::{AppName, Rows},
};
use crate::{artifact::Prepared, worker::message::SiteSpec};

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

/// What a supervisor knows.
pub(super) struct State {
    pub rows: Rows,
    pub live: BTreeMap<AppName, Live>,
    /// Why the last deployment of an application failed.
    pub failed: BTreeMap<AppName, (Wish, String)>,
    /// Sites that were removed, the workers that still have requests of theirs, and the application, if it is gone altogether.
    leaving: BTreeMap<u64, (BTreeSet<usize>, Option<AppName>)>,
    /// Rows that are free, to be cleared by who holds the ledger.
    pub freed: Vec<usize>,
    /// Whether the workers accept connections.
    pub has_begun: bool,
    pub last_id: u64,
    pub revision: u64,
    /// Applications that are being deployed: one at a time each.
    /// Folders that a group's next workers may write, for an application that is being deployed.
    pub promised: BTreeMap<AppName, (String, Vec<PathBuf>)>,
    /// What was staged for many, by file and terms.
    pub staged: BTreeMap<Option<(PathBuf, String)>, Prepared>,
    pub locks: BTreeMap<AppName, Arc<tokio::sync::Mutex<()>>>,
}

impl State {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            rows: Rows::new(rows),
            live: BTreeMap::new(),
            failed: BTreeMap::new(),
            leaving: BTreeMap::new(),
            freed: Vec::new(),
            has_begun: false,
            last_id: 0,
            revision: 0,
            promised: BTreeMap::new(),
            staged: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    /// The site `id` is removed from `workers`; with it the application, if `last` names it.
    pub(super) fn leaves(&mut self, id: u64, workers: BTreeSet<usize>, last: Option<AppName>) {
        self.leaving.insert(id, (workers, last));
        self.settle();
    }

    /// The last request of a site has ended in a worker.
    pub(super) fn gone(&mut self, id: u64, worker: usize) {
        if let Some((workers, _)) = self.leaving.get_mut(&id) {
            workers.remove(&worker);
        }
        self.settle();
    }

    /// A worker is dead, and with it all its requests.
    pub(super) fn died(&mut self, worker: usize) {
        for (workers, _) in self.leaving.values_mut() {
            workers.remove(&worker);
        }
        self.settle();
    }

    /// Gives back the rows of what is gone everywhere, and not served again meanwhile.
    fn settle(&mut self) {
        let (rows, live, freed) = (&mut self.rows, &self.live, &mut self.freed);
        self.leaving.retain(|_, (workers, last)| {
            if !workers.is_empty() {
                return true;
            }
            if let Some(name) = last.take().filter(|name| !live.contains_key(name)) {
                freed.extend(rows.give_back(&name));
            }
            false
        });
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
