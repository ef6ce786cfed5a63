//! An application that is ready to be instantiated: its component, linked, with what it may touch and how it is isolated.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use wasmtime::component::{Component, Linker};

use super::{bindings, engine::Engine, filesystem, instance::Instance, log::TenantLog, state::State};
use crate::limits::Limits;

/// What of one request the next can see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// Nothing: a pristine instance for each request.
    #[default]
    Request,
    /// Everything that the application keeps: an instance serves request after request until it retires.
    Reuse,
}

/// A folder of the host that the guest sees read-only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadOnlyFolder {
    /// Where it lies.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
}

/// How an application runs.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// Whose it is.
    pub log: TenantLog,
    /// What it may use.
    pub limits: Limits,
    /// What of one request the next can see.
    pub isolation: Isolation,
    /// What it may read.
    pub files: Vec<ReadOnlyFolder>,
}

/// A component that is no application for this host.
#[derive(Debug, Error)]
#[error("this is no component for the world wasgi:gateway/app: {detail}")]
pub struct BadComponent {
    detail: String,
}

/// An application, and its idle instances.
pub struct App {
    engine: Engine,
    pre: bindings::AppPythonPre<State>,
    options: AppOptions,
    idle: Mutex<Vec<Instance>>,
}

impl App {
    /// Links `component`.
    ///
    /// # Errors
    /// [`BadComponent`] if it lacks the export `application`, or imports what this host does not offer.
    pub fn new(engine: &Engine, component: &Component, options: AppOptions) -> Result<Self, BadComponent> {
        let bad = |error: wasmtime::Error| BadComponent { detail: format!("{error:#}") };
        let mut linker = Linker::new(engine.wasmtime());
        add_to_linker(&mut linker).map_err(bad)?;
        let pre = linker.instantiate_pre(component).and_then(bindings::AppPythonPre::new).map_err(bad)?;
        Ok(Self { engine: engine.clone(), pre, options, idle: Mutex::default() })
    }

    /// How it runs.
    #[must_use]
    pub fn options(&self) -> &AppOptions {
        &self.options
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// Its tenant's log.
    #[must_use]
    pub fn log(&self) -> &TenantLog {
        &self.options.log
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pre(&self) -> &bindings::AppPythonPre<State> {
        &self.pre
    }

    /// An instance that waits for work, the last that worked first; those that waited for too long are dropped.
    pub(super) fn take_idle(&self) -> Option<Instance> {
        self.retire_idle();
        self.idle().pop()
    }

    pub(super) fn give_back(&self, instance: Instance) {
        self.idle().push(instance);
    }

    /// Drops the instances that have been idle for `reuse_idle_ms` or have come of age. Called now and then, so that an app without
    /// requests holds no memory.
    pub fn retire_idle(&self) {
        let limits = self.limits();
        let (idle, age) = (Duration::from_millis(limits.reuse_idle_ms), Duration::from_millis(limits.reuse_age_ms));
        self.idle().retain(|instance| instance.idle_for() < idle && instance.age() < age);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that a guest can import.
fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    filesystem::add_to_linker(linker)?;
    bindings::AppPython::add_to_linker::<_, wasmtime::component::HasSelf<_>>(linker, |state| state)
}
