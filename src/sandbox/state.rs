//! What a store carries for its guest: WASI, its limits, and the exchange that it serves now.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    engine::{Engine, Place},
    filesystem::Files,
    hostcalls::Current,
    limiter::MemoryLimiter,
    log::RequestLog,
    meter::Meter,
};
use crate::{
    fault::BusyFault,
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
    pub current: Option<Current>,
    /// What it takes of its tenant and of the pool.
    pub _place: Taken,
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
