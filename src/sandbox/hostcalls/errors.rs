//! `wsgi.errors`: text for the tenant's log, and the detour for Python's bytes.

use wasmtime::component::Resource;

use super::{ErrorsHandle, server};
use crate::sandbox::{bindings::wasgi::gateway::latin1, log::Stream, state::State};

impl server::HostErrors for State {
    fn write(&mut self, handle: Resource<ErrorsHandle>, text: String) -> wasmtime::Result<()> {
        self.exchange(&handle)?;
        self.log.write(Stream::Errors, &text);
        Ok(())
    }

    fn drop(&mut self, _: Resource<ErrorsHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl latin1::Host for State {
    fn chunk(&mut self, text: String) -> wasmtime::Result<()> {
        self.running()?.response.detour(&text)
    }
}
