//! The guest's calls into the host: the imports of `wit/gateway.wit`, noun by noun.
//!
//! An instance serves one exchange at a time, so its exchange lies in the store's state, and the calls need no handles.

mod errors;
mod hashing;
mod input;
mod response;

use std::sync::Arc;

pub(super) use self::response::Response;
pub use self::{
    input::{Input, InputFault},
    response::{Frame, Hints, Wire},
};
use super::{bindings::wasgi::gateway::types, state::State, timeline::Timeline};
use crate::response::Asked;

/// What belongs to one request.
pub struct Exchange {
    /// `wasgi.request_id`.
    pub request_id: String,
    /// `wsgi.input`.
    pub input: Input,
    /// Where the response goes.
    pub wire: Wire,
    /// Whether a body is wanted.
    pub asked: Asked,
    /// Its clock.
    pub timeline: Arc<Timeline>,
}

/// The exchange that an instance serves now.
pub(super) struct Current {
    pub input: Input,
    pub response: Response,
    pub timeline: Arc<Timeline>,
}

impl State {
    /// The running exchange.
    fn running(&mut self) -> wasmtime::Result<&mut Current> {
        self.current.as_mut().ok_or_else(|| wasmtime::Error::msg("the host was called while no request is being served"))
    }
}

/// The interface has types only.
impl types::Host for State {}
