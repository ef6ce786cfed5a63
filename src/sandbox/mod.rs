//! The sandbox: everything that touches wasmtime.
//!
//! [`Engine`] holds the rules of the machine code and the pool of memories; [`App`] is a component that is ready to be instantiated; [`Instance`] is one
//! guest with its memory, and the only place that makes a `Store`. The guest's calls into the host are in `hostcalls`. No HTTP library
//! and no socket is known here.
//!
//! Next: [`crate::exchange`] drives an instance through one request.

mod app;
mod bindings;
mod engine;
mod filesystem;
mod footprint;
mod functions;
mod guest;
mod hostcalls;
mod idle;
mod instance;
mod libraries;
mod limiter;
mod lines;
mod log;
mod meter;
mod polls;
mod report;
mod rewind;
mod snapshot;
mod spaces;
mod standard;
mod state;
mod terminal;
mod timeline;
mod trapped;
mod turns;

pub use self::{
    app::{App, AppOptions, BadComponent, Isolation, Streams, Strictness},
    engine::Engine,
    filesystem::{Allowance, Folder, Kept, Missing, Storage, open_beneath},
    footprint::{Heavy, kept_bytes},
    guest::Body,
    hostcalls::{Exchange, Frame, Hints, Input, InputFault, Wire},
    instance::{Answered, Finished, Instance},
    libraries::{Code, Split, split},
    lines::{Lines, table},
    log::{TenantLog, escape},
    meter::Meter,
    report::{Django, DjangoStatic, Plan, Report, Warmed, Words},
    rewind::{Ineligible, Rewinder, Way, calls as rewind_calls, rewindable},
    snapshot::{NotReleasable, instrumented, snapshot},
    timeline::{Expired, Timeline},
};
