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

/// Whom a guest serves.
#[derive(Default)]
pub(super) enum Serving {
    /// Nobody.
    #[default]
    Nobody,
    /// Itself: it makes itself ready, and requests are part of that. The host answers as if somebody asked, with an empty `wsgi.input`, and
    /// what it is given by these calls goes nowhere.
    Rehearsal,
    /// A client.
    Client(Box<Current>),
}

impl Serving {
    /// The exchange with a client.
    pub(super) fn as_client(&mut self) -> Option<&mut Current> {
        match self {
            Self::Client(current) => Some(current),
            Self::Nobody | Self::Rehearsal => None,
        }
    }

    /// The same, taken out.
    pub(super) fn client(self) -> Option<Box<Current>> {
        match self {
            Self::Client(current) => Some(current),
            Self::Nobody | Self::Rehearsal => None,
        }
    }
}

impl State {
    /// The running exchange; `None`: it is rehearsed.
    fn running(&mut self) -> wasmtime::Result<Option<&mut Current>> {
        match &mut self.serving {
            Serving::Nobody => Err(wasmtime::Error::msg("the host was called while no request is being served")),
            Serving::Rehearsal => Ok(None),
            Serving::Client(current) => Ok(Some(current)),
        }
    }
}

/// The interface has types only.
impl types::Host for State {}
