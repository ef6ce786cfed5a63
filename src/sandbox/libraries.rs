//! A component without those of its core modules that other components have as well: an interpreter and its libraries. Pure.
//!
//! A module that defines no memory is a library: what it computes lies in another's memory, and its own bytes are the same in every
//! application that is linked with it. Each is imported where it stood, under a name that says what it is, so that nothing else of the
//! component changes; its machine code is made once, and is there once in a process, whoever uses it. An instance of such a component takes
//! longer to make, for wasmtime looks up by name what a module imports of the host's: it is for instances that serve more than one request.

use std::{collections::HashSet, sync::Arc};

use wasm_encoder::{
    ComponentImportSection, ComponentSectionId, ComponentTypeRef, CoreTypeSection, EntityType, ModuleType, RawSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{BinaryReaderError, CompositeInnerType, ExternalKind, GlobalType, Parser, Payload, TableType, TypeRef};
use wasmtime::{
    Module,
    component::{Component, Linker},
};

/// What the names of imported modules begin with; the digits behind it are SHA-256.
const NAME: &str = "wasgi-library-x";
/// Less code than this is not worth a file of its own.
const LEAST: usize = 64 << 10;

/// A component, and what was taken out of it.
#[derive(Debug)]
pub struct Split<'a> {
    /// The component, which imports the libraries.
    pub component: Vec<u8>,
    /// The libraries, by their digests.
    pub libraries: Vec<(String, &'a [u8])>,
    /// Bytes of functions that are left in the component.
    pub code_bytes: usize,
    /// Pages of 64 KiB that the largest of its memories begins with.
    pub pages: u64,
}

/// Machine code that an application is linked of.
pub struct Code {
    /// The component's.
    pub component: Component,
    /// The libraries' that it imports, by their digests.
    pub libraries: Vec<(String, Arc<Module>)>,
    /// Pages of 64 KiB that the largest of its memories begins with.
    pub pages: u64,
}

impl Code {
    /// Gives a linker the libraries.
    pub(super) fn add_to_linker<T>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
        self.libraries.iter().try_for_each(|(digest, library)| linker.root().module(&import_name(digest), library))
    }
}

impl From<Component> for Code {
    /// Of a component that imports none.
    fn from(component: Component) -> Self {
        let pages = component.resources_required().and_then(|needs| needs.max_initial_memory_size).unwrap_or(0);
        Self { component, libraries: Vec::new(), pages }
    }
}

/// The name of the import of a library.
fn import_name(digest: &str) -> String {
    format!("{NAME}{digest}")
}

/// Takes the libraries out of `component`; `None`: it has none. `digest` names a module by its bytes, in hexadecimal digits.
pub fn split(component: &[u8], digest: impl Fn(&[u8]) -> String) -> Option<Split<'_>> {
    // What cannot be read is the compiler's to refuse.
    divided(component, digest).ok().flatten()
}

fn divided(component: &[u8], digest: impl Fn(&[u8]) -> String) -> Result<Option<Split<'_>>, BinaryReaderError> {
    let (mut encoder, mut libraries, mut depth) = (wasm_encoder::Component::new(), Vec::<(String, &[u8])>::new(), 0_u32);
    let (mut pages, mut code_bytes, mut is_taken) = (0, 0, false);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        if depth == 0
            && let Some((id, range)) = payload.as_section()
        {
            let data = component.get(range).unwrap_or_default();
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others are as they were")]
            match payload {
                // It would have other indices behind those that are added.
                Payload::CoreTypeSection(_) => return Ok(None),
                Payload::ModuleSection { .. } => {
                    let found = library(data)?.map(|ty| (ty, digest(data)));
                    let found = found.filter(|(_, digest)| libraries.iter().all(|(known, _)| known != digest));
                    is_taken = found.is_some();
                    match found {
                        Some((ty, digest)) => {
                            let (mut types, mut imports) = (CoreTypeSection::new(), ComponentImportSection::new());
                            types.ty().module(&ty);
                            let number = u32::try_from(libraries.len()).unwrap_or(u32::MAX);
                            imports.import(import_name(&digest).as_str(), ComponentTypeRef::Module(number));
                            encoder.section(&types).section(&imports);
                            libraries.push((digest, data));
                        }
                        None => {
                            encoder.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data });
                        }
                    }
                }
                _ => {
                    encoder.section(&RawSection { id, data });
                }
            }
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "these have others within them, or memories")]
        match payload {
            Payload::MemorySection(memories) => {
                for memory in memories {
                    pages = pages.max(memory?.initial);
                }
            }
            // The module that was just taken comes with its own sections, or another that is within the component.
            Payload::CodeSectionStart { size, .. } if !is_taken => code_bytes += usize::try_from(size).unwrap_or(usize::MAX),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                is_taken &= depth > 0;
            }
            _ => {}
        }
    }
    Ok((!libraries.is_empty()).then(|| Split { component: encoder.finish(), libraries, code_bytes, pages }))
}

/// What a module imports and exports, if it is a library.
fn library(module: &[u8]) -> Result<Option<ModuleType>, BinaryReaderError> {
    let (mut ty, mut spaces, mut names, mut code, mut borrows) = (ModuleType::new(), Spaces::default(), HashSet::new(), 0, false);
    for payload in Parser::new(0).parse_all(module) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these matter")]
        match payload? {
            Payload::TypeSection(groups) => {
                for group in groups {
                    let mut types = group?.into_types();
                    let (Some(first), None) = (types.next(), types.next()) else { return Ok(None) };
                    let CompositeInnerType::Func(function) = first.composite_type.inner else { return Ok(None) };
                    let Ok(function) = RoundtripReencoder.func_type(function) else { return Ok(None) };
                    ty.ty().func_type(&function);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    borrows |= matches!(import.ty, TypeRef::Memory(_));
                    let Some(entity) = spaces.add(import.ty) else { return Ok(None) };
                    // A module may import the same twice; the type of one may not.
                    if !names.insert((import.module, import.name)) {
                        return Ok(None);
                    }
                    ty.import(import.module, import.name, entity);
                }
            }
            Payload::FunctionSection(functions) => {
                for number in functions {
                    spaces.functions.push(number?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    spaces.tables.push(table?.ty);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    spaces.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let Some(entity) = spaces.entity(export.kind, export.index) else { return Ok(None) };
                    ty.export(export.name, entity);
                }
            }
            Payload::CodeSectionStart { size, .. } => code = usize::try_from(size).unwrap_or(usize::MAX),
            // The lines of a backtrace are looked up by their place in the whole component.
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => return Ok(None),
            Payload::MemorySection(_) | Payload::TagSection(_) => return Ok(None),
            _ => {}
        }
    }
    Ok((borrows && code >= LEAST).then_some(ty))
}

/// The index spaces of a module, as far as its exports need them.
#[derive(Default)]
struct Spaces {
    /// Their types, by index.
    functions: Vec<u32>,
    tables: Vec<TableType>,
    globals: Vec<GlobalType>,
    memories: Vec<wasmparser::MemoryType>,
}

impl Spaces {
    /// Adds what is imported, and says what that is.
    fn add(&mut self, ty: TypeRef) -> Option<EntityType> {
        match ty {
            TypeRef::Func(number) => self.functions.push(number),
            TypeRef::Table(table) => self.tables.push(table),
            TypeRef::Memory(memory) => self.memories.push(memory),
            TypeRef::Global(global) => self.globals.push(global),
            TypeRef::Tag(_) | TypeRef::FuncExact(_) => return None,
        }
        RoundtripReencoder.entity_type(ty).ok()
    }

    fn entity(&self, kind: ExternalKind, index: u32) -> Option<EntityType> {
        let index = usize::try_from(index).ok()?;
        let ty = match kind {
            ExternalKind::Func => TypeRef::Func(*self.functions.get(index)?),
            ExternalKind::Table => TypeRef::Table(*self.tables.get(index)?),
            ExternalKind::Memory => TypeRef::Memory(*self.memories.get(index)?),
            ExternalKind::Global => TypeRef::Global(*self.globals.get(index)?),
            ExternalKind::Tag | ExternalKind::FuncExact => return None,
        };
        RoundtripReencoder.entity_type(ty).ok()
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Store};

    use super::*;

    /// A library of so much code, beside the module whose memory it uses; what it has of its own comes from `more`.
    fn component(code: usize, more: &str) -> Vec<u8> {
        let nops = "nop ".repeat(code);
        let text = format!(
            r#"(component
                 (core module $main (memory (export "memory") 1) (global (export "base") i32 (i32.const 8))
                   (table (export "table") 1 funcref) (func (export "seven") (result i32) i32.const 7))
                 (core module $library
                   (import "env" "memory" (memory 1)) (import "env" "base" (global $base i32)) (import "env" "table" (table 1 funcref))
                   (import "env" "seven" (func $seven (result i32))) {more}
                   (func (export "answer") (result i32) {nops}
                     (i32.store (global.get $base) (i32.mul (call $seven) (i32.const 6))) (i32.load (global.get $base))))
                 (core instance $main (instantiate $main))
                 (core instance $library (instantiate $library (with "env" (instance $main))))
                 (func (export "answer") (result u32) (canon lift (core func $library "answer"))))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn name(module: &[u8]) -> String {
        format!("{:x}", module.len())
    }

    #[expect(clippy::disallowed_methods, reason = "a store without a guest of anybody's")]
    fn answer(split: &Split<'_>) -> u32 {
        let engine = Engine::new(&Config::new()).unwrap();
        let module = |(digest, module): &(String, &[u8])| (digest.clone(), Arc::new(Module::new(&engine, module).unwrap()));
        let component = Component::new(&engine, &split.component).unwrap();
        let code = Code { component, libraries: split.libraries.iter().map(module).collect(), pages: split.pages };
        let mut linker = Linker::<()>::new(&engine);
        code.add_to_linker(&mut linker).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &code.component).unwrap();
        let function = instance.get_typed_func::<(), (u32,)>(&mut store, "answer").unwrap();
        function.call(&mut store, ()).unwrap().0
    }

    #[test]
    fn a_library_is_imported_where_it_stood_and_what_has_a_memory_of_its_own_stays() {
        let whole = component(LEAST, "");
        let split = split(&whole, name).unwrap();
        let names: Vec<_> =
            split.libraries.iter().map(|(digest, module)| (*digest == name(module), module.starts_with(b"\0asm"))).collect();
        let smaller = split.component.len() < whole.len() - LEAST;
        assert_eq!((names, smaller, split.pages, answer(&split)), (vec![(true, true)], true, 1, 42));
    }

    #[test]
    fn what_is_too_small_or_cannot_be_imported_stays() {
        assert!(split(&component(LEAST - 1_000, ""), name).is_none());
        assert!(split(&component(LEAST, r#"(@custom ".debug_line" "x")"#), name).is_none());
        assert!(split(&component(LEAST, r#"(import "env" "seven" (func (result i32)))"#), name).is_none());
        assert!(split(&component(LEAST, "(memory 1)"), name).is_none());
        assert!(split(b"\0asm\x0d\0\x01\0\xff", name).is_none());
        assert!(split(&wat::parse_str("(component)").unwrap(), name).is_none());
    }
}
