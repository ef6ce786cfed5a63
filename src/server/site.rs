//! An application as it is served: where it is mounted, what of it the host serves itself, and how it is made ready when it is asked for.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{admission::Desk, static_files::StaticFolder};
use crate::{
    exchange::{Route, Uploads},
    fault::{BusyFault, Fault, HostFault},
    ledger::{Account, Gauge, Rate, monotonic_ns},
    limits::Limits,
    sandbox::{App, AppOptions, TenantLog},
    tenant::Mount,
};

/// Makes an application ready.
pub type Load = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Arc<App>, HostFault>> + Send>> + Send + Sync>;

/// An application as it is served.
pub struct Site {
    /// The application's name among its tenant's.
    pub name: String,
    /// Which of its versions it is.
    pub version: String,
    mount: Mount,
    uploads: Uploads,
    static_folders: Vec<StaticFolder>,
    limits: Limits,
    log: TenantLog,
    usage: Account,
    desk: Arc<Desk>,
    state: State,
}

enum State {
    /// It is there for good.
    Ready(Arc<App>),
    /// It is made ready when it is asked for, and dropped when it was not for a while.
    OnDemand(Load, Mutex<Option<(Arc<App>, Instant)>>),
    /// Its operator has suspended it.
    Suspended,
}

impl Site {
    /// An application that is ready.
    #[must_use]
    pub fn ready(route: Route, static_folders: Vec<StaticFolder>) -> Self {
        let Route { app, mount, uploads } = route;
        let options = app.options();
        let (name, version) = (options.log.tenant().to_string(), String::new());
        Self::new(name, version, options, mount, uploads, static_folders, State::Ready(Arc::clone(&app)))
    }

    /// One that `load` makes ready; `options` are the same that it will have.
    #[must_use]
    pub fn on_demand(
        (name, version): (String, String),
        options: &AppOptions,
        (mount, uploads): (Mount, Uploads),
        static_folders: Vec<StaticFolder>,
        load: Load,
    ) -> Self {
        Self::new(name, version, options, mount, uploads, static_folders, State::OnDemand(load, Mutex::default()))
    }

    /// One that answers 503.
    #[must_use]
    pub fn suspended(name: String, version: String, options: &AppOptions, mount: Mount) -> Self {
        Self::new(name, version, options, mount, Uploads::default(), Vec::new(), State::Suspended)
    }

    fn new(
        name: String,
        version: String,
        options: &AppOptions,
        mount: Mount,
        uploads: Uploads,
        static_folders: Vec<StaticFolder>,
        state: State,
    ) -> Self {
        let AppOptions { limits, log, usage, account, .. } = options;
        let desk = Desk::new(account.clone(), limits);
        Self { name, version, mount, uploads, static_folders, limits: limits.clone(), log: log.clone(), usage: usage.clone(), desk, state }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Its tenant's log.
    #[must_use]
    pub fn log(&self) -> &TenantLog {
        &self.log
    }

    /// What it uses itself.
    #[must_use]
    pub fn usage(&self) -> &Account {
        &self.usage
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    pub(super) fn static_folders(&self) -> &[StaticFolder] {
        &self.static_folders
    }

    /// Whether it takes requests now.
    ///
    /// # Errors
    /// [`BusyFault::Suspended`] and [`BusyFault::CoolingDown`].
    pub fn is_open(&self) -> Result<(), BusyFault> {
        if matches!(self.state, State::Suspended) {
            return Err(BusyFault::Suspended);
        }
        match self.usage.latest(Gauge::CoolUntil).checked_sub(monotonic_ns()) {
            Some(left @ 1..) => Err(BusyFault::CoolingDown { seconds: left.div_ceil(1_000_000_000) }),
            Some(0) | None => Ok(()),
        }
    }

    /// Its guest has ended as it should not. Who does so again and again is let alone for a while.
    pub(super) fn broke(&self) {
        self.usage.spend(Rate::Traps, 1);
        let traps = self.usage.used(Rate::Traps);
        if traps >= self.limits.traps && self.is_open().is_ok() {
            let cool = Duration::from_millis(self.limits.cool_ms);
            let until = monotonic_ns().saturating_add(u64::try_from(cool.as_nanos()).unwrap_or(u64::MAX));
            self.usage.set(Gauge::CoolUntil, until);
            self.log.tell(&format!("{} trapped {traps} times in a minute: it is cooled down for {} s", self.name, cool.as_secs()));
        }
    }

    /// The application, made ready if it is not.
    ///
    /// # Errors
    /// [`HostFault`] when it cannot be.
    pub async fn route(&self) -> Result<Route, Fault> {
        let app = match &self.state {
            State::Ready(app) => Arc::clone(app),
            State::OnDemand(load, ready) => {
                // Requests that come together wait for the first one's.
                let mut ready = ready.lock().await;
                let app = match ready.take() {
                    Some((app, _)) => app,
                    None => load().await?,
                };
                *ready = Some((Arc::clone(&app), Instant::now()));
                app
            }
            State::Suspended => return Err(BusyFault::Suspended.into()),
        };
        Ok(Route { app, mount: self.mount.clone(), uploads: self.uploads })
    }

    /// Drops idle instances that have been so for too long, and the application, if nobody has asked for it for `unused`.
    pub(super) fn retire_idle(&self, unused: Duration) {
        match &self.state {
            State::Ready(app) => app.retire_idle(),
            State::OnDemand(_, ready) => {
                // Who holds it is asking for it.
                let Ok(mut ready) = ready.try_lock() else { return };
                if let Some((app, asked)) = &*ready {
                    app.retire_idle();
                    if asked.elapsed() >= unused && Arc::strong_count(app) == 1 {
                        *ready = None;
                    }
                }
            }
            State::Suspended => {}
        }
    }
}
