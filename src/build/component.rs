//! From a core module, as C and Go compilers make it, to a component of the world `wasgi:gateway/app`, or of `app-rewindable`. What it imports of WASI's first preview
//! is adapted to the second by wasmtime's own adapter.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{BuildFault, sdk};

/// What an SDK exports whose instances can be told to open what they will need.
const SETTLE: &str = "wasgi:gateway/rewind@0.1.0#settle";

fn exports(module: &[u8], name: &str) -> bool {
    Parser::new(0).parse_all(module).any(|payload| match payload {
        Ok(Payload::ExportSection(exports)) => exports.into_iter().flatten().any(|export| export.name == name),
        _ => false,
    })
}

/// The component of `module`, whose imports and exports are named as the canonical ABI has them.
pub(super) fn component(mut module: Vec<u8>) -> Result<Vec<u8>, BuildFault> {
    let failed = |error: &dyn std::fmt::Display| {
        let hint = "the module imports what no WSGI application has, or lacks what one has; functions of the system that WebAssembly does not know are missing symbols";
        BuildFault::new("the compiled module does not become a component", error.to_string(), hint)
    };
    let mut resolve = Resolve::default();
    // Two files of one package, whose name stands in the first line of each.
    let rewind = sdk::REWIND.split_once('\n').map_or("", |(_, rest)| rest);
    let text = [sdk::GATEWAY, rewind].concat();
    let package = resolve.push_str("gateway.wit", &text).map_err(|error| failed(&format!("{error:#}")))?;
    let world = if exports(&module, SETTLE) { "app-rewindable" } else { "app" };
    let world = resolve.select_world(&[package], Some(world)).map_err(|error| failed(&format!("{error:#}")))?;
    let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    let encoded =
        embedded.and_then(|()| ComponentEncoder::default().validate(true).module(&module)?.adapter(ADAPTER_NAME, ADAPTER)?.encode());
    encoded.map_err(|error| failed(&format!("{error:#}")))
}
