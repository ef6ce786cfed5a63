//! What it means that a call into a guest failed.

use wasmtime::WasmBacktrace;
use wasmtime_wasi::I32Exit;

use super::{
    app::App,
    bindings::wasgi::gateway::types::ExcInfo,
    log::{raised, shortened},
};
use crate::fault::{GuestFault, Stopped, Trapped};

/// The CPU budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("the CPU limit is used up")]
pub(super) struct CpuSpent;

pub(super) fn raised_fault(exc: &ExcInfo) -> GuestFault {
    GuestFault::Raised(raised(&exc.kind, &exc.message, &exc.traceback))
}

/// What a failed call means.
pub(super) fn trapped(error: &wasmtime::Error, app: &App) -> GuestFault {
    if let Some(fault) = error.downcast_ref::<GuestFault>() {
        return fault.clone();
    }
    if error.is::<CpuSpent>() {
        return GuestFault::Stopped(Stopped::Cpu);
    }
    let reason = match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(code)) => format!("it called exit({code})"),
        None => raised("", &error.root_cause().to_string(), "").message,
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(|backtrace| told(backtrace, app)).unwrap_or_default();
    GuestFault::Trap(Trapped { reason, backtrace: shortened(&backtrace).to_owned() })
}

/// The functions of a backtrace, with their names as wasmtime tells them, and their lines.
fn told(backtrace: &WasmBacktrace, app: &App) -> String {
    let text = backtrace.to_string();
    // The first line is a title; each other one has a number, a place, a module and a function.
    let function = |line: &str| Some(line.split_once(" - ")?.1.split_once('!')?.1.to_owned());
    let functions = text.lines().skip(1).filter_map(function);
    let places = backtrace.frames().iter().map(wasmtime::FrameInfo::module_offset);
    let lines = app.options().lines.as_ref().map(|lines| lines.find(places)).unwrap_or_default();
    let mut lines = lines.into_iter();
    let frame = |function| match lines.next().flatten() {
        Some(line) => format!("  {function}\n      at {line}\n"),
        None => format!("  {function}\n"),
    };
    functions.map(frame).collect()
}

pub(super) fn not_started(error: &wasmtime::Error, app: &App) -> GuestFault {
    let fault = trapped(error, app);
    if let GuestFault::Trap(trapped) = fault { GuestFault::Start(trapped) } else { fault }
}
