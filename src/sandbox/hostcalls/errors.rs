//! `wsgi.errors`: text for the tenant's log, and the detour for Python's bytes.

use crate::sandbox::{
    bindings::wasgi::gateway::{errors, latin1},
    hostcalls::Serving,
    log::Stream,
    state::State,
};

impl errors::Host for State {
    fn write(&mut self, text: String) -> wasmtime::Result<()> {
        if !matches!(self.serving, Serving::Rehearsal) {
            self.log.write(Stream::Errors, &text);
        }
        Ok(())
    }
}

impl latin1::Host for State {
    fn chunk(&mut self, text: String) -> wasmtime::Result<()> {
        self.running()?.map_or(Ok(()), |current| current.response.detour(&text))
    }

    fn whole(&mut self, text: String) -> wasmtime::Result<()> {
        self.running()?.map_or(Ok(()), |current| current.response.whole(&text, &current.timeline))
    }
}
