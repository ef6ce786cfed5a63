//! What a store carries for its guest: WASI, its limits, and the exchange that it serves now.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{filesystem::Files, hostcalls::Current, limiter::MemoryLimiter, log::RequestLog, meter::Meter};

/// The data of a `Store`.
pub(super) struct State {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub files: Files,
    pub limiter: MemoryLimiter,
    pub meter: Arc<Meter>,
    pub log: RequestLog,
    pub current: Option<Current>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
