//! Instances of all applications of a worker that wait for work (`isolation = "reuse"`), in the order in which they began to: when a place
//! is wanted and there is none, the one that waits longest gives way.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::instance::Instance;
use crate::ledger::Gauge;

/// What waits.
#[derive(Default)]
pub(super) struct Idle(Mutex<Waiting>);

/// Those of an application, and when they began.
type Own = VecDeque<(u64, Box<Instance>)>;

#[derive(Default)]
struct Waiting {
    /// Of each application, the last that worked at the end.
    of_app: HashMap<u64, Own>,
    /// When they began, and whose they are: application and tenant.
    order: BTreeMap<u64, (u64, usize)>,
    began: u64,
}

impl Idle {
    /// The one of `app` that worked last.
    pub(super) fn take(&self, app: u64) -> Option<Box<Instance>> {
        let mut waiting = self.waiting();
        let (began, instance) = waiting.of_app.get_mut(&app)?.pop_back()?;
        waiting.forget(app, began);
        drop(waiting);
        instance.account().give_back(Gauge::Idle, 1);
        Some(instance)
    }

    pub(super) fn give_back(&self, app: u64, instance: Box<Instance>) {
        instance.account().add(Gauge::Idle, 1);
        let tenant = instance.account().row();
        let mut waiting = self.waiting();
        waiting.began += 1;
        let began = waiting.began;
        waiting.order.insert(began, (app, tenant));
        waiting.of_app.entry(app).or_default().push_back((began, instance));
    }

    /// Drops the one that waits longest, of a tenant or of all. False: none does.
    pub(super) fn give_way(&self, of: Option<usize>) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.order.iter().find(|(_, (_, tenant))| of.is_none_or(|of| of == *tenant));
        let Some((began, app)) = first.map(|(began, (app, _))| (*began, *app)) else { return false };
        let dropped = waiting.remove(app, |instance_began, _| instance_began == began);
        drop(waiting);
        let found = !dropped.is_empty();
        gone(dropped);
        found
    }

    /// Drops those of `app` that `goes` names.
    pub(super) fn retire(&self, app: u64, goes: impl Fn(&Instance) -> bool) {
        let dropped = self.waiting().remove(app, |_, instance| goes(instance));
        gone(dropped);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops instances, when no lock is held: that takes its time.
fn gone(instances: Own) {
    for (_, instance) in instances {
        instance.account().give_back(Gauge::Idle, 1);
        drop(instance);
    }
}

impl Waiting {
    fn remove(&mut self, app: u64, goes: impl Fn(u64, &Instance) -> bool) -> Own {
        // Before most requests, none does.
        if self.of_app.get(&app).is_none_or(|own| !own.iter().any(|(began, instance)| goes(*began, instance))) {
            return Own::new();
        }
        let Some(own) = self.of_app.remove(&app) else { return Own::new() };
        let (removed, kept): (Own, Own) = own.into_iter().partition(|(began, instance)| goes(*began, instance));
        for (began, _) in &removed {
            self.order.remove(began);
        }
        if !kept.is_empty() {
            self.of_app.insert(app, kept);
        }
        removed
    }

    fn forget(&mut self, app: u64, began: u64) {
        self.order.remove(&began);
        if self.of_app.get(&app).is_some_and(VecDeque::is_empty) {
            self.of_app.remove(&app);
        }
    }
}
