//! What a store carries for its guest: WASI, its limits, and the exchange that it serves now.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    app::{App, Streams},
    engine::{Engine, Place},
    filesystem::{Files, Held, Tmp},
    hostcalls::Serving,
    limiter::MemoryLimiter,
    log::{RequestLog, Stream},
    meter::Meter,
    polls::Polled,
    standard::{Given, Nothing, StandardStream},
    terminal::Terminal,
};
use crate::{
    fault::{BusyFault, Fault, HostFault},
    ledger::{Account, Gauge},
    limits::Limits,
};

/// The data of a `Store`.
pub(super) struct State {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub files: Files,
    pub limiter: MemoryLimiter,
    pub meter: Arc<Meter>,
    pub log: RequestLog,
    /// Its standard streams that are open.
    pub given: Given,
    pub polled: Polled,
    pub serving: Serving,
    /// What it takes of its tenant and of the pool.
    pub _place: Taken,
}

/// What is said when the disk gives none.
pub(super) const NO_TMP: &str = "a private /tmp cannot be made";
/// Random bytes a call.
const RANDOM_BYTES: u64 = 64 << 10;
/// What the host keeps for a guest at once: files, streams, pollables. A file is one of the host's.
pub(super) const RESOURCES: u32 = 256;

impl State {
    /// A new guest's data: nothing of the host, but its own files and an empty `/tmp`.
    pub(super) fn new(app: &App, tmp: Tmp) -> Result<Self, Fault> {
        let limits = app.limits();
        let place = Taken::of(app.engine(), &app.options().account, limits)?;
        let files = Files::new(app.volumes(), tmp).map_err(|source| HostFault::Io { what: NO_TMP, source })?;
        let log = RequestLog::new(app.log().clone(), limits);
        let given = Given::default();
        let wasi = wasi(app, &log, &given);
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(RESOURCES).unwrap_or(usize::MAX));
        let meter = Arc::new(Meter::default());
        let mut limiter = MemoryLimiter::new(limits, app.options().account.clone(), Arc::clone(app.engine().idle()));
        if !limiter.keep(usize::try_from(app.options().kept_bytes).unwrap_or(usize::MAX)) {
            return Err(BusyFault::NoInstance.into());
        }
        Ok(Self { wasi, table, files, limiter, meter, log, given, polled: Polled::default(), serving: Serving::default(), _place: place })
    }

    /// How many things the host keeps for the guest.
    pub(super) fn open(&mut self) -> usize {
        self.table.iter_mut().count()
    }

    /// The folders and files that are open. From now on it is seen when one of them is closed.
    pub(super) fn hold(&mut self) -> Held {
        self.files.hold()
    }

    /// The same of pollables; how many there are.
    pub(super) fn hold_pollables(&mut self) -> usize {
        self.polled.hold(&mut self.table)
    }

    /// Whether the same folders and files are open, and no others.
    pub(super) fn still_holds(&self, held: &Held) -> bool {
        self.files.still_holds(held)
    }
}

/// What a new guest has of WASI: clocks, random numbers, its environment, and streams that go to its log.
pub(super) fn wasi(app: &App, log: &RequestLog, given: &Given) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    match app.options().streams {
        Streams::Log => {
            let stream = |stream| StandardStream { log: log.clone(), stream, given: given.clone() };
            wasi.stdin(Nothing(given.clone())).stdout(stream(Stream::Stdout)).stderr(stream(Stream::Stderr));
        }
        Streams::Terminal => {
            wasi.stdin(wasmtime_wasi::cli::stdin()).stdout(Terminal::Stdout).stderr(Terminal::Stderr);
        }
    }
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi.max_random_size(RANDOM_BYTES);
    wasi.arg("wasgi").env("HOME", "/tmp");
    if let Some(storage) = app.options().data() {
        wasi.env("WASGI_DATA_BYTES", storage.limit.to_string());
    }
    for (name, value) in &app.options().environment {
        wasi.env(name, value);
    }
    wasi.build()
}

/// An instance's place, until it is dropped.
pub(super) struct Taken {
    account: Account,
    _place: Place,
}

impl Taken {
    /// A place of the tenant's and one of the pool. Idle instances give way, the tenant's own to its own.
    pub(super) fn of(engine: &Engine, account: &Account, limits: &Limits) -> Result<Self, BusyFault> {
        while !account.take(Gauge::Instances, 1, limits.instances) {
            if !engine.idle().give_way(Some(account.row())) {
                return Err(BusyFault::NoInstance);
            }
        }
        match engine.place() {
            Ok(place) => Ok(Self { account: account.clone(), _place: place }),
            Err(busy) => {
                account.give_back(Gauge::Instances, 1);
                Err(busy)
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.account.give_back(Gauge::Instances, 1);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
