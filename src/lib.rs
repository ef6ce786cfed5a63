//! wasgi: a host for WSGI applications that nobody has to trust.
//!
//! It speaks HTTP, builds the PEP 3333 environ, and passes it through the WIT package `wasgi:gateway` to an application that is compiled to
//! a WebAssembly component. `docs/architecture.md` walks the way of a request through the files.
//!
//! The layers point one way: [`limits`], [`tenant`] and [`fault`] are the vocabulary; [`environ`] and [`response`] are pure rules;
//! [`sandbox`] is wasmtime; [`exchange`] is one request's life; [`server`] is HTTP; [`artifact`] is a built file, [`build`] makes one, and
//! [`cli`] is the command line. To embed a host, begin at [`Server`].

pub mod admin;
pub mod artifact;
pub mod build;
pub mod cli;
pub mod config;
pub mod confine;
pub mod environ;
pub mod exchange;
pub mod fault;
pub mod framing;
pub mod ledger;
pub mod limits;
pub mod response;
pub mod sandbox;
pub mod server;
pub mod stage;
pub mod supervisor;
pub mod telemetry;
pub mod tenant;
pub mod worker;

pub use self::{
    artifact::{Artifacts, Loaded, Start},
    environ::{Forwarding, Proxies},
    exchange::{Route, Uploads},
    ledger::Callers,
    limits::Limits,
    sandbox::{App, AppOptions, Engine, Folder, Isolation, Storage, TenantLog},
    server::{Bells, Config, Errors, Router, Server, Site, StaticFolder, Table},
    tenant::{HostName, Mount, TenantId},
};
