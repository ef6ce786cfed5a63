//! One guest with its memory. The only place that makes a `Store`.
//!
//! Every call into the guest goes through [`Instance::enter`]: it is charged for its CPU time, yields to its neighbours, and after any
//! trap the instance is broken and never entered again.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wasmtime::{Store, UpdateDeadline};

use super::{
    app::{App, Isolation},
    bindings::{releasable::Releasable, rewindable::Rewindable},
    engine::Running,
    filesystem::Tmp,
    guest::{Body, Guest, Returned},
    hostcalls::{Current, Exchange, InputFault, Response, Serving},
    meter::{Meter, Piece},
    report::{Plan, Report},
    rewind::{Doubt, HANDLES, HOSTCALL_BYTES, Snapshot},
    state::{NO_TMP, State, wasi},
    timeline::Timeline,
    trapped::{CpuSpent, not_started, raised_fault, trapped},
};
use crate::{
    environ::Environ,
    fault::{BusyFault, Fault, GuestFault, HostFault, Stopped},
    ledger::{Account, Counter},
    limits::Limits,
    response::Phase,
};

/// An instance of more memory goes on another thread.
const LARGE_BYTES: usize = 64 << 20;

/// A guest.
pub struct Instance {
    /// What it was when it was new; dropped before its memories.
    snapshot: Option<Snapshot>,
    /// Its body was iterated to its end.
    ended: bool,
    store: Store<State>,
    component: wasmtime::component::Instance,
    guest: Guest,
    meter: Arc<Meter>,
    account: Account,
    born: Instant,
    rested: Instant,
    first_bytes: usize,
    served: u32,
    generation: u64,
    broken: bool,
}

/// What a call of the application has led to.
pub enum Answered {
    /// Its iterable is to be asked for chunks.
    Iterable(Body),
    /// The response is handed over, and the iterable closed.
    Whole,
    /// The same, and nobody listens any more.
    Gone,
}

impl Instance {
    /// Takes an idle instance of `app`, or starts a new one. The time until then is charged to `start_cpu_ms`.
    ///
    /// # Errors
    /// [`GuestFault::Start`] if the guest cannot start within its limits; [`HostFault`] if the machine refuses.
    pub async fn of(app: &App, request_id: &str) -> Result<Box<Self>, Fault> {
        let idle = match app.isolation() {
            Isolation::Request => None,
            Isolation::Reuse | Isolation::Rewind => app.take_idle(),
        };
        match idle {
            Some(instance) => {
                instance.store.data().log.begin(request_id);
                Ok(instance)
            }
            None => Self::start(app, request_id).await,
        }
    }

    /// Starts a new one.
    ///
    /// # Errors
    /// As [`Instance::of`].
    pub async fn start(app: &App, request_id: &str) -> Result<Box<Self>, Fault> {
        let (limits, generation) = (app.limits(), app.generation());
        let wall = Duration::from_millis(limits.head_wall_ms);
        // Others wait for the same disk.
        let tmp = Tmp::take(app.engine().spares(), app.options().account.row(), limits.tmp_bytes);
        let tmp = match tokio::time::timeout(wall, tmp).await {
            Ok(tmp) => tmp.map_err(|source| HostFault::Io { what: NO_TMP, source })?,
            Err(_) => return Err(BusyFault::NoInstance.into()),
        };
        let state = State::new(app, tmp)?;
        state.log.begin(request_id);
        let meter = Arc::clone(&state.meter);
        #[expect(clippy::disallowed_methods, reason = "the one place that makes a store")]
        let mut store = Store::new(app.engine().wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| if store.data().meter.is_spent() { Err(CpuSpent.into()) } else { Ok(yielded()) });
        meter.reset(Duration::from_millis(limits.start_cpu_ms));
        let _running = app.engine().running();
        let started = tokio::time::timeout(wall, meter.charge(app.seat(), app.pre().instance_pre().instantiate_async(&mut store))).await;
        let component = match started {
            Ok(Ok(component)) => component,
            // It is not to blame for what the tenant's others have.
            Ok(Err(_)) if store.data().limiter.is_crowded() => return Err(BusyFault::NoInstance.into()),
            Ok(Err(error)) => return Err(not_started(&error, app).into()),
            Err(_) => return Err(GuestFault::Stopped(Stopped::Wall).into()),
        };
        let guest = Guest::of(app, &mut store, &component).map_err(|error| not_started(&error, app))?;
        let (now, account) = (Instant::now(), app.options().account.clone());
        let mut instance = Box::new(Self {
            snapshot: None,
            ended: false,
            store,
            component,
            guest,
            meter,
            account,
            born: now,
            rested: now,
            first_bytes: 0,
            served: 0,
            generation,
            broken: false,
        });
        if let Some(plan) = &app.options().plan {
            let report = instance.prepare(app, plan).await?;
            if let Some(raised) = report.raised() {
                return Err(GuestFault::Raised(raised).into());
            }
            app.note(report);
        }
        if app.isolation() == Isolation::Rewind {
            instance.store.data_mut().limiter.forgive();
            let remembered = instance.remember(app).await;
            let limiter = &mut instance.store.data_mut().limiter;
            // Where there is less than it wants to have for its requests, some languages go on, and some trap.
            let (is_crowded, doubt) = (limiter.is_crowded(), Doubt::of_trap(limiter.was_refused()));
            match remembered {
                Ok(()) => {}
                Err(GuestFault::Trap(_)) if is_crowded => return Err(BusyFault::NoInstance.into()),
                Err(GuestFault::Trap(_)) => {
                    drop(instance);
                    app.refuse_rewind(&doubt.to_string());
                    return Box::pin(Self::start(app, request_id)).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        instance.first_bytes = instance.store.data().limiter.used();
        Ok(instance)
    }

    /// Remembers what a new instance is, so that it can be again.
    async fn remember(&mut self, app: &App) -> Result<(), GuestFault> {
        if app.can_settle() {
            let rewindable = Rewindable::new(&mut self.store, &self.component).map_err(|error| not_started(&error, app))?;
            let call = rewindable.wasgi_gateway_rewind().call_settle(&mut self.store);
            outside(&mut self.broken, &self.meter, app, call).await?;
            self.store.data().log.finish();
        }
        match Snapshot::take(app.engine().rewinder(), &mut self.store, self.component).await {
            Ok(snapshot) => self.snapshot = Some(snapshot),
            Err(doubt @ Doubt::Crowded) => app.tell_discarded(&doubt.to_string()),
            Err(doubt) => app.refuse_rewind(&doubt.to_string()),
        }
        Ok(())
    }

    /// Makes it what it was when it was new. False: it is to be thrown away.
    async fn rewind(&mut self, app: &App) -> bool {
        let Some(mut snapshot) = self.snapshot.take() else { return false };
        let piece = Piece::begin();
        let rewound = self.reset(app, &mut snapshot).await;
        self.snapshot = Some(snapshot);
        app.seat().computed(piece.took());
        let usage = &app.options().usage;
        match rewound {
            Ok(()) => usage.count(Counter::Rewound, 1),
            Err(doubt) => {
                usage.count(Counter::Discarded, 1);
                if doubt.is_ours() {
                    tracing::error!("an instance of {} is not rewound: {doubt}", app.log().tenant());
                } else {
                    app.tell_discarded(&doubt.to_string());
                }
                return false;
            }
        }
        true
    }

    async fn reset(&mut self, app: &App, snapshot: &mut Snapshot) -> Result<(), Doubt> {
        snapshot.restore(&mut self.store).await?;
        let state = self.store.data_mut();
        if !state.files.rewind() {
            return Err(Doubt::Open);
        }
        state.wasi = wasi(app, &state.log, &state.given);
        self.ended = false;
        Ok(())
    }

    /// Has the guest import its application; its report.
    ///
    /// # Errors
    /// What the guest did wrong beside raising, which is in the report.
    pub async fn prepare(&mut self, app: &App, plan: &Plan) -> Result<Report, GuestFault> {
        let (release, plan) = (self.releasable(app)?, plan.json());
        self.meter.reset(Duration::from_millis(app.limits().release_cpu_ms));
        self.store.data_mut().serving = Serving::Rehearsal;
        let call = release.wasgi_gateway_release().call_prepare(&mut self.store, &plan);
        let report = outside(&mut self.broken, &self.meter, app, call).await;
        self.store.data_mut().serving = Serving::Nobody;
        self.store.data().log.finish();
        Report::of(&report?).map_err(|why| GuestFault::Start(why.into()))
    }

    /// Has the guest run a command of its application; the exit status.
    ///
    /// # Errors
    /// What the guest did wrong.
    pub async fn manage(&mut self, app: &App, plan: &Plan, arguments: &[String]) -> Result<u8, GuestFault> {
        let (release, plan) = (self.releasable(app)?, plan.json());
        self.meter.reset(Duration::from_millis(app.limits().release_cpu_ms));
        let call = release.wasgi_gateway_release().call_manage(&mut self.store, &plan, arguments);
        outside(&mut self.broken, &self.meter, app, call).await
    }

    fn releasable(&mut self, app: &App) -> Result<Releasable, GuestFault> {
        let missing = || GuestFault::Start("the component has no release: it was not built by `wasgi build`".to_owned().into());
        if !app.has_release() {
            return Err(missing());
        }
        Releasable::new(&mut self.store, &self.component).map_err(|error| trapped(&error, app))
    }

    /// Whether it has read or written what its tenant keeps.
    #[must_use]
    pub fn used_storage(&self) -> bool {
        self.store.data().files.used_storage
    }

    /// What its tenant uses.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Bytes that its memories and tables have.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limiter.used()
    }

    /// The store and the instance, for what looks at the guest's memory.
    pub(super) fn parts(&mut self) -> (&mut Store<State>, wasmtime::component::Instance) {
        (&mut self.store, self.component)
    }

    /// Calls the application. `exchange` is the instance's until [`Instance::finish`].
    ///
    /// # Errors
    /// What the guest did wrong.
    pub async fn call(&mut self, app: &App, environ: Environ, exchange: Exchange) -> Result<Answered, GuestFault> {
        self.served = self.served.saturating_add(1);
        let timeline = Arc::clone(&exchange.timeline);
        let response = Response::new(exchange.wire, exchange.asked, app.options());
        let current = Current { input: exchange.input, response, timeline: Arc::clone(&timeline) };
        self.store.data_mut().serving = Serving::Client(Box::new(current));
        self.meter.reset(Duration::from_millis(app.limits().guest_cpu_ms));
        self.wind();
        let call = self.guest.call(&mut self.store, environ);
        let result = enter(&mut self.broken, &self.meter, app, &timeline, call).await?;
        let returned = result.map_err(|exc| raised_fault(&exc))?;
        let Current { response, timeline, .. } = self.current()?;
        match returned {
            Returned::Whole => Ok(if response.was_whole(timeline).await? { Answered::Whole } else { Answered::Gone }),
            Returned::Iterable(body) if response.goes_on() => {
                if let Some(strict) = response.strict() {
                    strict.returned(body.chunks);
                    strict.enters(Phase::Iterating);
                }
                Ok(Answered::Iterable(body))
            }
            Returned::Iterable(_) => Err(GuestFault::Trap("the body was whole, and more was to come".to_owned().into())),
        }
    }

    /// The next chunk.
    ///
    /// # Errors
    /// What the guest did wrong.
    pub async fn next(&mut self, app: &App, body: &Body) -> Result<Option<Bytes>, GuestFault> {
        let timeline = self.timeline()?;
        self.wind();
        let call = self.guest.next(&mut self.store, body);
        let result = enter(&mut self.broken, &self.meter, app, &timeline, call).await?;
        let chunk = result.map_err(|exc| raised_fault(&exc))?;
        let chunk = self.current()?.response.next(chunk);
        self.broken |= chunk.is_err();
        chunk
    }

    /// Sends a chunk. `Some(true)`: iteration may stop. `None`: nobody listens any more.
    ///
    /// # Errors
    /// What the guest did wrong.
    pub async fn send(&mut self, chunk: Bytes, body: &Body) -> Result<Option<bool>, GuestFault> {
        let current = self.current()?;
        let sent = current.response.yielded(chunk, body.chunks == Some(1), &current.timeline).await?;
        Ok(sent.ok())
    }

    /// The application has returned its iterable. False: nobody listens any more.
    ///
    /// # Errors
    /// None that a guest can cause; see [`Instance::current`].
    pub fn returned(&mut self) -> Result<bool, GuestFault> {
        let current = self.current()?;
        Ok(current.response.returned(&current.timeline).is_ok())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`GuestFault::NeverStarted`] and [`GuestFault::TooShort`].
    pub async fn end(&mut self) -> Result<(), GuestFault> {
        let current = self.current()?;
        current.response.end(&current.timeline).await?;
        self.ended = true;
        Ok(())
    }

    /// Calls the iterable's `close()`, within its grace, if the guest can still be entered (S67, S68).
    ///
    /// # Errors
    /// What the guest did wrong.
    pub async fn close(&mut self, app: &App, body: Body) -> Result<(), GuestFault> {
        if self.broken {
            return Ok(());
        }
        let grace = Duration::from_millis(app.limits().close_grace_ms);
        if let Some(strict) = self.current()?.response.strict() {
            strict.enters(Phase::Closing);
        }
        self.wind();
        let call = self.guest.close(&mut self.store, body, app.isolation() != Isolation::Request);
        let _running = app.engine().running();
        let closed = tokio::time::timeout(grace, self.meter.charge(app.seat(), call)).await;
        match closed {
            Ok(Ok(closed)) => {
                if let (Err(_), Some(strict)) = (&closed, self.current()?.response.strict()) {
                    strict.close_raised();
                }
                closed.map_err(|exc| raised_fault(&exc))
            }
            Ok(Err(error)) => {
                self.broken = true;
                Err(trapped(&error, app))
            }
            Err(_) => {
                self.broken = true;
                Err(GuestFault::Stopped(Stopped::Wall))
            }
        }
    }

    /// The exchange is over. The instance goes back to `app` if it may serve another.
    pub async fn finish(mut self: Box<Self>, app: &App) -> Finished {
        let current = std::mem::take(&mut self.store.data_mut().serving).client();
        self.store.data().log.finish();
        let cpu = self.meter.used();
        let memory_refused = self.store.data_mut().limiter.was_refused();
        let input = current.as_ref().and_then(|current| current.input.fault());
        let (bytes_in, memory) = (current.as_ref().map_or(0, |current| current.input.taken()), self.memory_bytes());
        let (fault, findings) = current.map(|current| current.response.into_fault(input)).unwrap_or_default();
        for finding in &findings {
            self.store.data().log.finding(finding);
        }
        let is_fit = self.generation == app.generation() && self.is_fit(app.limits());
        let stays = match app.isolation() {
            Isolation::Request => false,
            Isolation::Reuse => is_fit && u64::from(self.served) < app.limits().reuse_requests && !self.store.data().files.is_worn(),
            // What did not end as it should is not looked at any closer.
            Isolation::Rewind => is_fit && self.ended && fault.is_none() && self.rewind(app).await,
        };
        if stays {
            self.rested = Instant::now();
            app.give_back(self);
        } else if memory > LARGE_BYTES {
            // To give so much back takes the kernel a while, and this thread has others to serve.
            drop(tokio::task::spawn_blocking(move || drop(self)));
        }
        Finished { input, bytes_in, fault, cpu, memory, memory_refused }
    }

    /// Until the next tick it computes without a break: those that passed while it waited for this call are not its own.
    fn wind(&mut self) {
        self.store.set_epoch_deadline(1);
    }

    fn is_fit(&self, limits: &Limits) -> bool {
        let grown = u64::try_from(self.memory_bytes().saturating_sub(self.first_bytes)).unwrap_or(u64::MAX);
        !self.broken && self.age() < Duration::from_millis(limits.reuse_age_ms) && grown <= limits.reuse_growth_bytes
    }

    /// Whether it has served no request yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.served == 0
    }

    /// How long it has lived.
    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// How long it has waited for work.
    pub(super) fn idle_for(&self) -> Duration {
        self.rested.elapsed()
    }

    /// The exchange. It is there between `call` and `finish`, and only then are the methods above called.
    fn current(&mut self) -> Result<&mut Current, GuestFault> {
        self.store.data_mut().serving.as_client().ok_or_else(|| GuestFault::Trap("no exchange is running".to_owned().into()))
    }

    fn timeline(&mut self) -> Result<Arc<Timeline>, GuestFault> {
        self.current().map(|current| Arc::clone(&current.timeline))
    }
}

/// What is left of an exchange.
pub struct Finished {
    /// Why the guest could not read its input, if it could not.
    pub input: Option<InputFault>,
    /// Bytes of the request's body that came.
    pub bytes_in: u64,
    /// A rule that the guest broke though its response went out.
    pub fault: Option<GuestFault>,
    /// The CPU time that the guest used.
    pub cpu: Duration,
    /// Bytes that its memories and tables had at the end, which is the most that they had.
    pub memory: usize,
    /// It was refused memory.
    pub memory_refused: bool,
}

/// A guest that computes lets its neighbours run. tokio's own yield puts it behind them, and behind new sockets and timers, which a plain
/// wake-up would starve for some sixty turns.
fn yielded() -> UpdateDeadline {
    UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
}

/// Runs a call into the guest within its limits.
async fn enter<T>(
    broken: &mut bool,
    meter: &Meter,
    app: &App,
    timeline: &Timeline,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, GuestFault> {
    let _running: Running = app.engine().running();
    // Broken until it has come back: a dropped call leaves the guest in the middle of its work.
    let was = std::mem::replace(broken, true);
    match timeline.guest(meter.charge(app.seat(), call)).await {
        Ok(Ok(value)) => {
            *broken = was;
            Ok(value)
        }
        Ok(Err(error)) => Err(trapped(&error, app)),
        Err(_) => Err(GuestFault::Stopped(Stopped::Wall)),
    }
}

/// Runs a call into the guest that belongs to no exchange, within its limits.
async fn outside<T>(broken: &mut bool, meter: &Meter, app: &App, call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, GuestFault> {
    let _running: Running = app.engine().running();
    let was = std::mem::replace(broken, true);
    match tokio::time::timeout(Duration::from_millis(app.limits().release_wall_ms), meter.charge(app.seat(), call)).await {
        Ok(Ok(value)) => {
            *broken = was;
            Ok(value)
        }
        Ok(Err(error)) => Err(trapped(&error, app)),
        Err(_) => Err(GuestFault::Stopped(Stopped::Wall)),
    }
}
