//! `wsgi.errors`: text for the tenant's log, and the detour for Python's bytes.

use crate::sandbox::{
    bindings::wasgi::gateway::{errors, latin1},
    log::Stream,
    state::State,
};

impl errors::Host for State {
    fn write(&mut self, text: String) -> wasmtime::Result<()> {
        self.log.write(Stream::Errors, &text);
        Ok(())
    }
}

impl latin1::Host for State {
    fn chunk(&mut self, text: String) -> wasmtime::Result<()> {
        self.running()?.response.detour(&text)
    }

    fn whole(&mut self, text: String) -> wasmtime::Result<()> {
        let current = self.running()?;
        current.response.whole(&text, &current.timeline)
    }
}
