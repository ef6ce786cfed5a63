//! A component whose instances begin where another one stood: its memory and globals, taken after it has prepared itself.
//!
//! wasmtime-wizer does the work, in three steps: [`instrumented`] adds exports through which a component's state can be read; the host
//! instantiates that and has it prepare itself, within the limits of every instance; [`snapshot`] reads the state and writes a component
//! that begins with it. What of the state belongs to the old instance alone, the handles of its open folders and streams, is forgotten
//! before, by functions that componentize-py's own runtime calls at the end of a build.

use std::{borrow::Cow, time::Duration};

use thiserror::Error;
use wasm_encoder::{
    Alias, CanonicalFunctionSection, ComponentAliasSection, ComponentExportKind, ComponentExportSection, ComponentTypeSection,
    ComponentValType, ExportKind,
};
use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance as ComponentInstance, Lift, TypedFunc, WasmList},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::{
    app::App,
    instance::Instance,
    report::Words,
    spaces::{Spaces, push},
    state::State,
};
use crate::fault::{GuestFault, Stopped};

/// Memory that reading the state needs.
const HEADROOM: u64 = 1 << 20;
/// Makes the guest's libc forget the folders and streams that it has open.
const FORGET: [&str; 2] = ["__wasilibc_reset_preopens", "reset_adapter_state"];
/// What the exports that call them are named, with a number.
const EXPORT: &str = "wasgi-forget-";

/// A component of which no snapshot can be made.
#[derive(Debug, Error)]
#[error("no release can be made of this component: {0}")]
pub struct NotReleasable(String);

/// `component` with exports through which its state can be read.
///
/// # Errors
/// [`NotReleasable`] for a component of a shape that wasmtime-wizer does not know.
pub fn instrumented(component: &[u8]) -> Result<Vec<u8>, NotReleasable> {
    let forgetful = forgetful(component)?;
    let refused = |error: wasmtime::Error| NotReleasable(format!("{error:#}"));
    Wizer::new().instrument_component(&forgetful).map(|(_, instrumented)| instrumented).map_err(refused)
}

/// `component`, beginning with the state of `instance`, which is one of [`instrumented`]'s; a memory that has all of `words` has them as it asks.
///
/// # Errors
/// [`GuestFault`] when the guest cannot be read any more.
pub async fn snapshot(app: &App, component: &[u8], instance: Box<Instance>, words: Option<Words>) -> Result<Vec<u8>, GuestFault> {
    let time = Duration::from_millis(app.limits().release_wall_ms);
    tokio::time::timeout(time, read(app, component, instance, words)).await.unwrap_or(Err(GuestFault::Stopped(Stopped::Wall)))
}

async fn read(app: &App, component: &[u8], mut instance: Box<Instance>, words: Option<Words>) -> Result<Vec<u8>, GuestFault> {
    let failed = |error: &dyn std::fmt::Display| GuestFault::Start(format!("no release can be made of it: {error}").into());
    let forgetful = forgetful(component).map_err(|error| failed(&error))?;
    let wizer = Wizer::new();
    let (context, _) = wizer.instrument_component(&forgetful).map_err(|error| failed(&format!("{error:#}")))?;
    let _running = app.engine().running();
    // Each look at a memory adds a page to it.
    let used = u64::try_from(instance.memory_bytes()).unwrap_or(u64::MAX);
    if used.saturating_add(HEADROOM) > app.limits().memory_bytes {
        return Err(failed(&format!("it uses {used} bytes of memory, too near to its limit of {}", app.limits().memory_bytes)));
    }
    let (store, component) = instance.parts();
    let mut reader = Reader { store, component, words, failed: None };
    for number in 0.. {
        let name = format!("{EXPORT}{number}");
        if reader.component.get_export_index(&mut *reader.store, None, &name).is_none() {
            break;
        }
        reader.call::<()>(None, &name).await;
    }
    let released = wizer.snapshot_component(&context, &mut reader).await.map_err(|error| failed(&format!("{error:#}")))?;
    match reader.failed {
        Some(error) => Err(failed(&format!("{error:#}"))),
        None => Ok(released),
    }
}

/// Reads the state through the exports. The trait has no way to fail: what failed is kept, and the result then thrown away.
struct Reader<'a> {
    store: &'a mut Store<State>,
    component: ComponentInstance,
    words: Option<Words>,
    failed: Option<wasmtime::Error>,
}

impl Reader<'_> {
    fn func<R: ComponentNamedList + Lift + Send + Sync + 'static>(
        &mut self,
        instance: Option<&str>,
        name: &str,
    ) -> wasmtime::Result<TypedFunc<(), R>> {
        let missing = || wasmtime::Error::msg(format!("it has no export `{name}`"));
        let outer = match instance {
            Some(instance) => Some(self.component.get_export_index(&mut *self.store, None, instance).ok_or_else(missing)?),
            None => None,
        };
        let index = self.component.get_export_index(&mut *self.store, outer.as_ref(), name).ok_or_else(missing)?;
        self.component.get_typed_func(&mut *self.store, index)
    }

    async fn call<R: ComponentNamedList + Lift + Send + Sync + 'static>(&mut self, instance: Option<&str>, name: &str) -> Option<R> {
        if self.failed.is_some() {
            return None;
        }
        let called = match self.func::<R>(instance, name) {
            Ok(func) => func.call_async(&mut *self.store, ()).await,
            Err(error) => Err(error),
        };
        called.map_err(|error| self.failed = Some(error)).ok()
    }
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        // Without limit on what one call may hand over: it is the guest's whole memory, which has its own.
        self.store.set_hostcall_fuel(usize::MAX);
        let list = self.call::<(WasmList<u8>,)>(Some(instance), func).await;
        let memory = list.as_ref().map_or(&[][..], |(list,)| list.as_le_slice(&*self.store));
        // It may be asked for more than once.
        match self.words.and_then(|words| words.in_memory(memory)) {
            Some(changed) => contents(&changed),
            None => contents(memory),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call::<(i32,)>(Some(instance), func).await.map_or(0, |(value,)| value)
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call::<(i64,)>(Some(instance), func).await.map_or(0, |(value,)| value)
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<(f32,)>(Some(instance), func).await.map_or(0, |(value,)| value.to_bits())
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<(f64,)>(Some(instance), func).await.map_or(0, |(value,)| value.to_bits())
    }
}

/// `component` with exports for the functions of [`FORGET`], each instance of them once.
fn forgetful(component: &[u8]) -> Result<Vec<u8>, NotReleasable> {
    let spaces = Spaces::of(component, &FORGET).map_err(|error| NotReleasable(error.to_string()))?;
    let mut types = ComponentTypeSection::new();
    types.function().params::<_, ComponentValType>([]).result(None);
    let (mut aliases, mut lifts, mut exports) =
        (ComponentAliasSection::new(), CanonicalFunctionSection::new(), ComponentExportSection::new());
    for (number, (instance, name)) in (0..).zip(&spaces.named) {
        aliases.alias(Alias::CoreInstanceExport { instance: *instance, kind: ExportKind::Func, name });
        lifts.lift(spaces.core_funcs + number, spaces.types, []);
        // An export is a new item of its space, but these stand behind all that is lifted.
        exports.export(Cow::from(format!("{EXPORT}{number}")).as_ref(), ComponentExportKind::Func, spaces.funcs + number, None);
    }
    let mut forgetful = component.to_vec();
    push(&mut forgetful, &types);
    push(&mut forgetful, &aliases);
    push(&mut forgetful, &lifts);
    push(&mut forgetful, &exports);
    Ok(forgetful)
}
