//! What is served, changed: all that comes and all that goes in one step for each group of workers, so that no place is empty between. What
//! goes is let go of when its last request has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};

use super::{
    Host,
    deploy::{Deployed, Origin, Ready, Wish, is_free, meet, taken},
    rows::AppName,
    state::Live,
    workers::Change,
};
use crate::{stage::Refused, worker::message::SiteSpec};

/// What changes in a group of workers.
#[derive(Default)]
struct Step {
    put: Vec<SiteSpec>,
    remove: Vec<Live>,
}

impl Host {
    /// Begins the workers, and has them accept connections when all of `wishes` can be served. What fails is not served, and told.
    pub async fn deploy_all(self: &Arc<Self>, wishes: Vec<Wish>) -> Vec<(AppName, Refused)> {
        for wish in &wishes {
            self.promise(wish);
        }
        (0..self.workers.count()).for_each(|worker| self.begin(worker));
        let failed = self.apply(wishes, &BTreeSet::new()).await;
        let changes: Vec<_> = {
            let mut state = self.state();
            state.has_begun = true;
            state.promised.clear();
            let groups: Vec<_> = self.plan.groups.iter().map(|group| group.name.clone()).collect();
            groups.into_iter().map(|group| (self.workers.change(&group, state.next_revision()), state.sites_of(&group), group)).collect()
        };
        for (change, sites, group) in changes {
            let tenants = sites.iter().map(|site| site.terms.tenant.clone()).collect();
            self.workers.make(change, sites, Vec::new()).await;
            self.pin(&group);
            self.forget_releases(&group, &tenants);
        }
        failed
    }

    /// Has what `origin` asked for be exactly `wishes`; of those in `kept` it is not known, and they stay as they are.
    pub async fn reload(self: &Arc<Self>, wishes: Vec<Wish>, kept: &BTreeSet<AppName>, origin: Origin) -> Vec<(AppName, Refused)> {
        let wanted: BTreeSet<_> = wishes.iter().map(|wish| wish.name.clone()).collect();
        let gone: BTreeSet<_> = {
            let mut state = self.state();
            let goes = |name: &AppName, of: Origin| of == origin && !wanted.contains(name) && !kept.contains(name);
            state.failed.retain(|name, (wish, _)| !goes(name, wish.origin));
            state.live.values().filter(|live| goes(&live.name, live.wish.origin)).map(|live| live.name.clone()).collect()
        };
        self.apply(wishes, &gone).await
    }

    /// Prepares all of `wishes`, and then serves them, and `gone` no longer.
    async fn apply(self: &Arc<Self>, wishes: Vec<Wish>, gone: &BTreeSet<AppName>) -> Vec<(AppName, Refused)> {
        let moving: BTreeSet<_> = wishes.iter().map(|wish| wish.name.clone()).chain(gone.iter().cloned()).collect();
        // In the order of their names: two that want several turns do not wait for each other.
        let turns: Vec<_> = {
            let mut state = self.state();
            moving.iter().map(|name| state.turns.of(name)).collect()
        };
        let _alone = futures_util::future::join_all(turns.iter().map(|turn| turn.lock())).await;
        let deploys = wishes.into_iter().map(|wish| async {
            let prepared = Box::pin(self.prepare(wish.clone(), &moving)).await;
            (wish, prepared)
        });
        // As many as there are stages; those that need none are quick.
        let prepared: Vec<_> = stream::iter(deploys).buffer_unordered(self.plan.stages.max(1) * 2).collect().await;
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for (wish, prepared) in prepared {
            match prepared {
                Ok(prepared) => ready.push((wish, prepared)),
                Err(refused) => failed.push((wish, refused)),
            }
        }
        // Whose successor failed is served on.
        let gone: Vec<_> = {
            let state = self.state();
            let succeeded = |name: &AppName| {
                let live = state.live.get(name);
                !live.is_some_and(|live| failed.iter().any(|(wish, _)| meet(wish, &live.wish)))
            };
            gone.iter().filter(|name| succeeded(name)).cloned().collect()
        };
        let given_up = self.switch(ready.into_iter().map(|(_, ready)| ready).collect(), &gone).await;
        failed.extend(given_up);
        failed.into_iter().map(|(wish, refused)| (wish.name.clone(), self.note_failure(wish, refused))).collect()
    }

    /// Serves an application, or another version of it.
    ///
    /// # Errors
    /// [`Refused`]; what was served before is served on.
    pub async fn deploy(self: &Arc<Self>, wish: Wish) -> Result<Deployed, Refused> {
        let turn = self.state().turns.of(&wish.name);
        let _alone = turn.lock().await;
        let done = match Box::pin(self.prepare(wish.clone(), &BTreeSet::new())).await {
            Ok(ready) => {
                let deployed = match &ready {
                    Ready::Unchanged { site, .. } => Deployed { version: site.version.clone(), unchanged: true },
                    Ready::New { site, .. } => Deployed { version: site.version.clone(), unchanged: false },
                };
                let failed = self.switch(vec![ready], &[]).await;
                failed.into_iter().next().map_or(Ok(deployed), |(_, refused)| Err(refused))
            }
            Err(refused) => Err(refused),
        };
        done.map_err(|refused| self.note_failure(wish, refused))
    }

    fn note_failure(&self, wish: Wish, refused: Refused) -> Refused {
        let refused = refused.renamed(&wish.file, &wish.given);
        tracing::warn!("{} is not deployed: {refused}", wish.name);
        let detail = if refused.detail.is_empty() { String::new() } else { format!("\n{}", refused.detail) };
        self.state().failed.insert(wish.name.clone(), (wish, format!("{refused}{detail}")));
        refused
    }

    /// Serves all of `ready` from now on, and `gone` no longer. Those whose place another has taken meanwhile are given up, and returned.
    async fn switch(self: &Arc<Self>, ready: Vec<Ready>, gone: &[AppName]) -> Vec<(Wish, Refused)> {
        let (mut steps, mut refusals) = (BTreeMap::<String, Step>::new(), Vec::new());
        let (changes, gone_tenants) = {
            let mut state = self.state();
            for name in gone {
                state.failed.remove(name);
                if let Some(live) = state.live.remove(name) {
                    steps.entry(live.group.clone()).or_default().remove.push(live);
                }
            }
            let moving: BTreeSet<_> = ready.iter().map(|ready| ready.wish().name.clone()).collect();
            let mut placed: Vec<Wish> = Vec::new();
            for ready in ready {
                let (Ready::New { wish, group, site } | Ready::Unchanged { wish, group, site }) = &ready;
                let met = placed.iter().find(|other| other.group == wish.group && meet(other, wish)).map(|other| taken(&other.name));
                if let Some(refused) = met.or_else(|| is_free(&state, wish, group, &moving).err()) {
                    refusals.push((ready, refused));
                    continue;
                }
                placed.push(wish.clone());
                let (name, is_new) = (wish.name.clone(), matches!(ready, Ready::New { .. }));
                state.failed.remove(&name);
                let live = Live { name: name.clone(), wish: wish.clone(), group: group.clone(), site: site.clone() };
                let step = steps.entry(group.clone()).or_default();
                if is_new {
                    step.put.push(site.clone());
                }
                if let Some(old) = state.live.insert(name, live).filter(|_| is_new) {
                    steps.entry(old.group.clone()).or_default().remove.push(old);
                }
            }
            let (mut changes, mut gone_tenants) = (Vec::new(), Vec::new());
            // Before the workers accept connections, they have not been told of anything.
            for (group, step) in steps {
                let change = state.has_begun.then(|| self.workers.change(&group, state.next_revision()));
                let told = change.as_ref().map(Change::workers).unwrap_or_default();
                for old in &step.remove {
                    gone_tenants.extend(state.leaves(&old.name.tenant, &group, &old.site, told.clone()));
                }
                changes.extend(change.map(|change| (group, change, step)));
            }
            (changes, gone_tenants)
        };
        self.forget_tenants(&gone_tenants);
        for (group, change, Step { put, remove }) in changes {
            let tenants: BTreeSet<_> = remove.iter().map(|old| old.name.tenant.clone()).collect();
            self.workers.make(change, put, remove.iter().map(|old| old.site.id).collect()).await;
            self.pin(&group);
            self.forget_releases(&group, &tenants);
        }
        let mut failed = Vec::new();
        for (ready, refused) in refusals {
            if let Ready::New { wish, group, site } = &ready {
                self.give_up(&wish.name.tenant, group, site).await;
            }
            failed.push((ready.into_wish(), refused));
        }
        failed
    }

    /// Serves an application no longer. False: it was not.
    pub async fn undeploy(self: &Arc<Self>, name: &AppName) -> bool {
        let turn = self.state().turns.of(name);
        let _alone = turn.lock().await;
        let found = {
            let mut state = self.state();
            let failed = state.failed.remove(name).is_some();
            state.live.contains_key(name) || failed
        };
        self.switch(Vec::new(), std::slice::from_ref(name)).await;
        found
    }

    /// Suspends an application, or resumes it: its version stays what it is. `None`: there is none of the name.
    pub async fn suspend(self: &Arc<Self>, name: &AppName, suspended: bool) -> Option<Result<(), Refused>> {
        let turn = self.state().turns.of(name);
        let _alone = turn.lock().await;
        let live = self.state().live.get(name).cloned()?;
        let site = SiteSpec { suspended, ..live.site };
        if !suspended {
            // It may never have been tried.
            let _together = self.trials.read().await;
            if let Err(refused) = self.workers.try_out(&live.group, &site, live.wish.check.clone()).await {
                return Some(Err(refused.renamed(&live.wish.file, &live.wish.given)));
            }
        }
        let change = {
            let mut state = self.state();
            let wish = Wish { suspended, ..live.wish };
            state.live.insert(name.clone(), Live { name: name.clone(), wish, group: live.group.clone(), site: site.clone() });
            self.workers.change(&live.group, state.next_revision())
        };
        self.workers.make(change, vec![site], Vec::new()).await;
        Some(Ok(()))
    }
}

impl Ready {
    fn wish(&self) -> &Wish {
        match self {
            Self::Unchanged { wish, .. } | Self::New { wish, .. } => wish,
        }
    }

    fn into_wish(self) -> Wish {
        match self {
            Self::Unchanged { wish, .. } | Self::New { wish, .. } => wish,
        }
    }
}
