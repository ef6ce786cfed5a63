//! What a guest exports for a request, in whichever of two ways it can be called: `application`, as every language does, or, for an interpreter
//! in which each value that crosses costs, `direct` (`wit/python.wit`). The order of what PEP 3333 calls is the same in both.
//!
//! Knows functions and values. [`super::instance`] knows whose time they take, and what they may do.

use wasmtime::{Store, component::ResourceAny};

use super::{
    app::{App, Strictness},
    bindings::{Offered, callable::Callable, wasgi::gateway::types::ExcInfo},
    state::State,
};
use crate::environ::Environ;

/// What a call came back with: wasmtime's error, what the application raised, or what it answered.
type Answer<T> = wasmtime::Result<Result<T, ExcInfo>>;

/// The functions of one instance.
pub(super) enum Guest {
    /// Those of every language.
    Application(Offered),
    /// Those of an interpreter.
    Direct(Callable),
}

/// What an application returned.
pub(super) enum Returned {
    /// All that it will: the response was handed over, and the iterable is closed.
    Whole,
    /// Its iterable.
    Iterable(Body),
}

/// The iterable that an application returned.
pub struct Body {
    /// Its handle, where it has one.
    resource: Option<ResourceAny>,
    /// `len()` of it, where that is told.
    pub(super) chunks: Option<u32>,
}

impl Guest {
    /// The functions of an instance of `app`. Broken rules are looked for between the calls of `application`.
    pub(super) fn of(app: &App, store: &mut Store<State>, instance: &wasmtime::component::Instance) -> wasmtime::Result<Self> {
        match app.callable() {
            Some(pre) if app.options().strictness == Strictness::Plain => pre.load(store, instance).map(Self::Direct),
            Some(_) | None => app.pre().load(store, instance).map(Self::Application),
        }
    }

    /// Calls `application(environ, start_response)`.
    pub(super) async fn call(&self, store: &mut Store<State>, environ: Environ) -> Answer<Returned> {
        match self {
            Self::Application(guest) => {
                let called = guest.wasgi_gateway_application().call_call(store, &environ.into_pairs()).await?;
                Ok(called.map(|iterable| Returned::Iterable(Body { resource: Some(iterable.body), chunks: iterable.chunks })))
            }
            Self::Direct(guest) => {
                let called = guest.wasgi_gateway_direct().call_call(store, &environ.into_text()).await?;
                Ok(called.map(|whole| if whole { Returned::Whole } else { Returned::Iterable(Body { resource: None, chunks: None }) }))
            }
        }
    }

    /// The next chunk, or the end. Of `direct` it is none or an empty one: its chunk came another way.
    pub(super) async fn next(&self, store: &mut Store<State>, body: &Body) -> Answer<Option<Vec<u8>>> {
        match (self, body.resource) {
            (Self::Application(guest), Some(resource)) => guest.wasgi_gateway_application().body().call_next(store, resource).await,
            (Self::Direct(guest), None) => {
                let next = guest.wasgi_gateway_direct().call_next(store).await?;
                Ok(next.map(|more| more.then(Vec::new)))
            }
            (Self::Application(_), None) | (Self::Direct(_), Some(_)) => Err(strange()),
        }
    }

    /// The iterable's `close()`. `keeps`: the instance may serve another request, and its handle is given back.
    pub(super) async fn close(&self, store: &mut Store<State>, body: Body, keeps: bool) -> Answer<()> {
        match (self, body.resource) {
            (Self::Application(guest), Some(resource)) => {
                let closed = guest.wasgi_gateway_application().body().call_close(&mut *store, resource).await?;
                if keeps {
                    resource.resource_drop_async(store).await?;
                }
                Ok(closed)
            }
            (Self::Direct(guest), None) => guest.wasgi_gateway_direct().call_close(store).await,
            (Self::Application(_), None) | (Self::Direct(_), Some(_)) => Err(strange()),
        }
    }
}

/// An iterable of one instance was given to another: none does.
fn strange() -> wasmtime::Error {
    wasmtime::Error::msg("an iterable of another instance")
}
