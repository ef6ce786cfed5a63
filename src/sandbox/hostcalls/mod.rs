//! The guest's calls into the host: the interface `server` of `wit/server.wit`, noun by noun.
//!
//! An instance serves one exchange at a time, so its [`Exchange`] lies in the store's state, and a handle needs to carry only the number
//! of its exchange. A handle that a guest kept from an earlier one is thus dead, and nothing has to be freed that a guest did not drop.
//!
//! Next: `input`, `errors` and `response` answer the calls.

mod errors;
mod input;
mod response;

use std::sync::Arc;

use wasmtime::component::Resource;

pub use self::{
    input::{Input, InputFault},
    response::{Frame, Wire},
};
pub(super) use self::response::Response;
use super::{bindings::wasgi::gateway::server, state::State, timeline::Timeline};

/// The mark of a handle to `input`.
pub struct InputHandle;
/// The mark of a handle to `errors`.
pub struct ErrorsHandle;
/// The mark of a handle to `writer`.
pub struct WriterHandle;

/// What belongs to one request.
pub struct Exchange {
    /// `wasgi.request_id`.
    pub request_id: String,
    /// `wsgi.input`.
    pub input: Input,
    /// Where the response goes.
    pub wire: Wire,
    /// Whether a body is wanted.
    pub asked: crate::response::Asked,
    /// Its clock.
    pub timeline: Arc<Timeline>,
}

/// The exchange that an instance serves now, and its number.
pub(super) struct Current {
    pub number: u32,
    pub input: Input,
    pub response: Response,
    pub timeline: Arc<Timeline>,
}

impl State {
    /// The exchange that a handle belongs to.
    fn exchange<T: 'static>(&mut self, handle: &Resource<T>) -> wasmtime::Result<&mut Current> {
        let number = handle.rep();
        let current = self.current.as_mut().filter(|current| current.number == number);
        current.ok_or_else(|| wasmtime::Error::msg("a handle was used after its exchange had ended"))
    }

    /// The running exchange, for a call that has no handle.
    fn running(&mut self) -> wasmtime::Result<&mut Current> {
        self.current.as_mut().ok_or_else(|| wasmtime::Error::msg("the host was called while no exchange is running"))
    }
}

impl server::Host for State {
    fn start_response(
        &mut self,
        status: String,
        headers: Vec<(String, String)>,
        exc_info: Option<server::ExcInfo>,
    ) -> wasmtime::Result<Result<Resource<WriterHandle>, server::StartError>> {
        let current = self.running()?;
        let number = current.number;
        Ok(current.response.start(&status, headers, exc_info).map(|()| Resource::new_own(number)))
    }
}
