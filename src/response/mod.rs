//! The response's rules: what start_response accepts, and when what is sent (PEP 3333; checklist S40 to S66).
//!
//! Pure: no I/O, no tokio, no wasmtime. [`Head`] is a checked status line and fields; [`Progress`] is the state machine that every call of
//! start_response, every chunk and the end of the body go through.
//!
//! Next: [`crate::sandbox`] drives it from the guest's calls, [`crate::server`] turns a [`Reply`] into bytes.

mod head;
mod progress;
mod status;
mod strict;

pub use self::{
    head::{Head, HeadFault},
    progress::{Asked, Commit, Ended, Framing, Progress, Reply, StartFault, Step},
    status::Status,
    strict::{Finding, Phase, Strict},
};

#[cfg(test)]
mod tests;
