//! From a core module, as C and Go compilers make it, to a component of the world `wasgi:gateway/app`. What it imports of WASI's first preview
//! is adapted to the second by wasmtime's own adapter.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{BuildFault, sdk};

/// The component of `module`, whose imports and exports are named as the canonical ABI has them.
pub(super) fn component(mut module: Vec<u8>) -> Result<Vec<u8>, BuildFault> {
    let failed = |error: &dyn std::fmt::Display| {
        let hint = "the module imports what no WSGI application has, or lacks what one has; functions of the system that WebAssembly does not know are missing symbols";
        BuildFault::new("the compiled module does not become a component", error.to_string(), hint)
    };
    let mut resolve = Resolve::default();
    let package = resolve.push_str("gateway.wit", sdk::GATEWAY).map_err(|error| failed(&format!("{error:#}")))?;
    let world = resolve.select_world(&[package], Some("app")).map_err(|error| failed(&format!("{error:#}")))?;
    let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    let encoded =
        embedded.and_then(|()| ComponentEncoder::default().validate(true).module(&module)?.adapter(ADAPTER_NAME, ADAPTER)?.encode());
    encoded.map_err(|error| failed(&format!("{error:#}")))
}
