//! `wasi:io/poll`, as wasmtime-wasi answers it, and a watch over what is dropped.
//!
//! A guest's library may keep a pollable of each standard stream, from when that is first used. An instance that is rewound has to have
//! the same ones behind each request, so it is seen here when one of them goes: another could take its number. Next: [`super::rewind`].

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi_io::{
    bindings::wasi::io::poll::{self, Host, HostPollable},
    poll::DynPollable,
};

use super::state::{RESOURCES, State};

/// Replaces wasmtime-wasi's `wasi:io/poll` in `linker`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, Polling>(linker, |state| View { table: &mut state.table, polled: &mut state.polled })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The pollables that an instance had when it was new.
#[derive(Debug, Default)]
pub(super) struct Polled {
    /// Their numbers in the host's table.
    held: Vec<u32>,
    is_one_gone: bool,
}

impl Polled {
    /// Holds all that there are now; how many.
    pub(super) fn hold(&mut self, table: &mut ResourceTable) -> usize {
        let is_pollable = |number: &u32| table.get_any_mut(*number).is_ok_and(|entry| entry.is::<DynPollable>());
        *self = Self { held: (0..RESOURCES).filter(is_pollable).collect(), is_one_gone: false };
        self.held.len()
    }

    /// Whether none of them was dropped since.
    pub(super) fn are_alive(&self) -> bool {
        !self.is_one_gone
    }
}

struct Polling;

impl HasData for Polling {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    table: &'a mut ResourceTable,
    polled: &'a mut Polled,
}

impl Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.table.poll(pollables).await
    }
}

impl HostPollable for View<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.table.ready(pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.table.block(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.polled.is_one_gone |= self.polled.held.contains(&pollable.rep());
        HostPollable::drop(self.table, pollable)
    }
}
