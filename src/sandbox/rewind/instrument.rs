//! A component with exports through which its host sees where its memories lie, and has its globals kept and put back. Pure.
//!
//! wasmtime tells nobody of the memories and globals within a component. So each core module is given exports for those that its code can
//! change, and a module of the host's own is instantiated with them, behind all others: it copies globals to its own and back, and hands a
//! memory out as a list. None of the guest's own code is changed, and none of it can reach what is appended.

use std::{borrow::Cow, collections::HashSet};

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, CodeSection, ComponentAliasSection, ComponentExportKind, ComponentExportSection,
    ComponentSectionId, ComponentTypeSection, ComponentValType, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, InstanceSection, MemArg, MemoryType, Module, ModuleArg, ModuleSection,
    PrimitiveValType, RawSection, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef};

use super::Ineligible;
use crate::sandbox::spaces::{Spaces, push};

/// What the exports of a component are called.
pub(super) const SAVE: &str = "wasgi-rewind-save";
pub(super) const RESTORE: &str = "wasgi-rewind-restore";
pub(super) const SHOW: &str = "wasgi-rewind-show-";
pub(super) const HIDE: &str = "wasgi-rewind-hide-";
/// What those of core modules begin with; no module may have such an export itself.
const CORE: &str = "wasgi-rewind-";
/// Globals that are put back, at most: each is an instruction or two a request.
const GLOBALS: usize = 10_000;
/// Where a memory says for a moment where it begins and how long it is; what stands there is put back.
const PLACE: u64 = 8;

/// What of a core module can change.
#[derive(Debug, Default)]
struct Changing {
    /// Globals, by their index.
    globals: Vec<(u32, ValType)>,
    /// Memories that it defines, by their index.
    memories: Vec<u32>,
}

/// `component` with those exports.
///
/// # Errors
/// [`Ineligible`].
pub(super) fn instrument(component: &[u8]) -> Result<Vec<u8>, Ineligible> {
    let spaces = Spaces::of(component, &[])?;
    if spaces.is_nested {
        return Err(Ineligible::Nested);
    }
    if spaces.is_handed {
        return Err(Ineligible::Handed);
    }
    let modules = spaces.core_modules.iter().map(|range| Changing::of(component.get(range.clone()).unwrap_or_default()));
    let modules: Vec<_> = modules.collect::<Result<_, _>>()?;
    let mut rewritten = rewritten(component, &modules)?;
    append(&mut rewritten, &spaces, &modules)?;
    Ok(rewritten)
}

impl Changing {
    fn of(module: &[u8]) -> Result<Self, Ineligible> {
        let (mut changing, mut globals, mut written, mut exported) = (Self::default(), Vec::new(), HashSet::new(), HashSet::new());
        let (mut imported_globals, mut memories) = (0_u32, 0_u32);
        for payload in Parser::new(0).parse_all(module) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these say what can change")]
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        match import?.ty {
                            TypeRef::Global(_) => imported_globals += 1,
                            TypeRef::Memory(_) => memories += 1,
                            TypeRef::Func(_) | TypeRef::FuncExact(_) | TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::MemorySection(defined) => {
                    for memory in defined {
                        if memory?.memory64 {
                            return Err(Ineligible::Memory);
                        }
                        changing.memories.push(memories);
                        memories += 1;
                    }
                }
                Payload::GlobalSection(defined) => {
                    for (number, global) in (imported_globals..).zip(defined) {
                        let ty = global?.ty;
                        globals.push((number, ty.mutable.then_some(ty.content_type)));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.name.starts_with(CORE) {
                            return Err(Ineligible::Name);
                        }
                        if export.kind == ExternalKind::Global {
                            exported.insert(export.index);
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let mut operators = body.get_operators_reader()?;
                    while !operators.eof() {
                        if let Operator::GlobalSet { global_index } = operators.read()? {
                            written.insert(global_index);
                        }
                    }
                }
                _ => {}
            }
        }
        for (number, ty) in globals {
            // One that is exported may be written by another module.
            if let Some(ty) = ty.filter(|_| written.contains(&number) || exported.contains(&number)) {
                changing.globals.push((number, number_type(ty)?));
            }
        }
        Ok(changing)
    }
}

fn number_type(ty: wasmparser::ValType) -> Result<ValType, Ineligible> {
    match ty {
        wasmparser::ValType::I32 => Ok(ValType::I32),
        wasmparser::ValType::I64 => Ok(ValType::I64),
        wasmparser::ValType::F32 => Ok(ValType::F32),
        wasmparser::ValType::F64 => Ok(ValType::F64),
        wasmparser::ValType::V128 => Ok(ValType::V128),
        wasmparser::ValType::Ref(_) => Err(Ineligible::Global),
    }
}

fn global_name(number: u32) -> String {
    format!("{CORE}global-{number}")
}

fn memory_name(number: u32) -> String {
    format!("{CORE}memory-{number}")
}

/// `component`, each of whose modules exports what it can change.
fn rewritten(component: &[u8], modules: &[Changing]) -> Result<Vec<u8>, Ineligible> {
    let (mut encoder, mut depth, mut next) = (wasm_encoder::Component::new(), 0_u32, modules.iter());
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        if depth == 0
            && let Some((id, range)) = payload.as_section()
        {
            let data = component.get(range).unwrap_or_default();
            match (&payload, next.as_slice().first()) {
                (Payload::ModuleSection { .. }, Some(changing)) => {
                    next.next();
                    let module = exporting(data, changing)?;
                    encoder.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: &module });
                }
                _ => {
                    encoder.section(&RawSection { id, data });
                }
            }
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "these have others within them")]
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(encoder.finish())
}

/// `module` with more exports.
fn exporting(module: &[u8], changing: &Changing) -> Result<Vec<u8>, Ineligible> {
    let (mut encoder, mut exports, mut is_written) = (Module::new(), ExportSection::new(), false);
    let more = |exports: &mut ExportSection| {
        for (number, _) in &changing.globals {
            exports.export(&global_name(*number), ExportKind::Global, *number);
        }
        for number in &changing.memories {
            exports.export(&memory_name(*number), ExportKind::Memory, *number);
        }
    };
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::ExportSection(present) = &payload {
            for export in present.clone() {
                let export = export?;
                exports.export(export.name, export_kind(export.kind)?, export.index);
            }
            more(&mut exports);
            encoder.section(&exports);
            is_written = true;
            continue;
        }
        // Exports stand before these.
        let is_behind = matches!(
            payload,
            Payload::StartSection { .. }
                | Payload::ElementSection(_)
                | Payload::DataCountSection { .. }
                | Payload::CodeSectionStart { .. }
                | Payload::DataSection(_)
                | Payload::End(_)
        );
        if is_behind && !is_written {
            more(&mut exports);
            encoder.section(&exports);
            is_written = true;
        }
        if let Some((id, range)) = payload.as_section() {
            encoder.section(&RawSection { id, data: module.get(range).unwrap_or_default() });
        }
    }
    Ok(encoder.finish())
}

fn export_kind(kind: ExternalKind) -> Result<ExportKind, Ineligible> {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => Ok(ExportKind::Func),
        ExternalKind::Table => Ok(ExportKind::Table),
        ExternalKind::Memory => Ok(ExportKind::Memory),
        ExternalKind::Global => Ok(ExportKind::Global),
        ExternalKind::Tag => Err(Ineligible::Import),
    }
}

/// The host's own module in the making.
#[derive(Default)]
struct Keeper {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    globals: GlobalSection,
    exports: ExportSection,
    code: CodeSection,
    count: u32,
}

impl Keeper {
    fn function(&mut self, ty: u32, name: &str, function: &Function) {
        self.functions.function(ty);
        self.exports.export(name, ExportKind::Func, self.count);
        self.code.function(function);
        self.count += 1;
    }

    fn finish(self) -> Module {
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions).section(&self.globals);
        module.section(&self.exports).section(&self.code);
        module
    }
}

/// Appends the host's module, its instance, and what the component exports of it.
fn append(component: &mut Vec<u8>, spaces: &Spaces, modules: &[Changing]) -> Result<(), Ineligible> {
    let mut keeper = Keeper::default();
    keeper.types.ty().function([], []);
    keeper.types.ty().function([], [ValType::I32]);
    let (mut instances, mut memories, mut globals) = (Vec::new(), Vec::new(), Vec::new());
    for (instance, module) in &spaces.instantiated {
        let changing = usize::try_from(*module).ok().and_then(|module| modules.get(module)).ok_or(Ineligible::Import)?;
        if changing.globals.is_empty() && changing.memories.is_empty() {
            continue;
        }
        let from = instance.to_string();
        for (number, val_type) in &changing.globals {
            let ty = GlobalType { val_type: *val_type, mutable: true, shared: false };
            keeper.imports.import(&from, &global_name(*number), EntityType::Global(ty));
            globals.push(*val_type);
        }
        for number in &changing.memories {
            let ty = MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
            keeper.imports.import(&from, &memory_name(*number), EntityType::Memory(ty));
            memories.push((*instance, memory_name(*number)));
        }
        instances.push((from, *instance));
    }
    if globals.len() > GLOBALS {
        return Err(Ineligible::Globals);
    }
    write(&mut keeper, &globals, memories.len());

    push(component, &ModuleSection(&keeper.finish()));
    let mut section = InstanceSection::new();
    let module = u32::try_from(spaces.core_modules.len()).unwrap_or(u32::MAX);
    section.instantiate(module, instances.iter().map(|(name, instance)| (name.as_str(), ModuleArg::Instance(*instance))));
    push(component, &section);
    lift(component, spaces, &memories);
    Ok(())
}

/// The functions: `save`, `restore`, and for each memory one that shows where it is and one that puts back what that has written.
fn write(keeper: &mut Keeper, globals: &[ValType], memories: usize) {
    let count = u32::try_from(globals.len()).unwrap_or(u32::MAX);
    for val_type in globals {
        let zero = match val_type {
            ValType::I64 => ConstExpr::i64_const(0),
            ValType::F32 => ConstExpr::f32_const(0.0_f32.into()),
            ValType::F64 => ConstExpr::f64_const(0.0_f64.into()),
            ValType::V128 => ConstExpr::v128_const(0),
            ValType::I32 | ValType::Ref(_) => ConstExpr::i32_const(0),
        };
        keeper.globals.global(GlobalType { val_type: *val_type, mutable: true, shared: false }, &zero);
    }
    let [mut save, mut restore] = [Function::new([]), Function::new([])];
    for number in 0..count {
        save.instructions().global_get(number).global_set(count + number);
        restore.instructions().global_get(count + number).global_set(number);
    }
    save.instructions().end();
    restore.instructions().end();
    keeper.function(0, SAVE, &save);
    keeper.function(0, RESTORE, &restore);
    for number in 0..u32::try_from(memories).unwrap_or(u32::MAX) {
        // What stands at the place, meanwhile.
        let there = 2 * count + number;
        keeper.globals.global(GlobalType { val_type: ValType::I64, mutable: true, shared: false }, &ConstExpr::i64_const(0));
        let place = |offset| MemArg { offset: PLACE + offset, align: 0, memory_index: number };
        let mut show = Function::new([]);
        show.instructions()
            .i32_const(0)
            .i64_load(place(0))
            .global_set(there)
            .i32_const(0)
            .i32_const(0)
            .i32_store(place(0))
            .i32_const(0)
            .memory_size(number)
            .i32_const(16)
            .i32_shl()
            .i32_store(place(4))
            .i32_const(i32::try_from(PLACE).unwrap_or(0))
            .end();
        keeper.function(1, &format!("{SHOW}{number}"), &show);
        let mut hide = Function::new([]);
        hide.instructions().i32_const(0).global_get(there).i64_store(place(0)).end();
        keeper.function(0, &format!("{HIDE}{number}"), &hide);
    }
}

/// Has the component export what the host's module does.
fn lift(component: &mut Vec<u8>, spaces: &Spaces, memories: &[(u32, String)]) {
    let (mut aliases, mut types) = (ComponentAliasSection::new(), ComponentTypeSection::new());
    let (mut lifts, mut exports) = (CanonicalFunctionSection::new(), ComponentExportSection::new());
    types.function().params::<_, ComponentValType>([]).result(None);
    types.defined_type().list(ComponentValType::Primitive(PrimitiveValType::U8));
    types.function().params::<_, ComponentValType>([]).result(Some(ComponentValType::Type(spaces.types + 1)));
    for (instance, name) in memories {
        aliases.alias(Alias::CoreInstanceExport { instance: *instance, kind: ExportKind::Memory, name });
    }
    let mut count = 0;
    let mut one = |name: Cow<'_, str>, memory: Option<u32>| {
        aliases.alias(Alias::CoreInstanceExport { instance: spaces.core_instances, kind: ExportKind::Func, name: &name });
        let ty = if memory.is_some() { spaces.types + 2 } else { spaces.types };
        lifts.lift(spaces.core_funcs + count, ty, memory.map(|memory| CanonicalOption::Memory(spaces.core_memories + memory)));
        // An export is a new item of its space, but these stand behind all that is lifted.
        exports.export(name.as_ref(), ComponentExportKind::Func, spaces.funcs + count, None);
        count += 1;
    };
    one(SAVE.into(), None);
    one(RESTORE.into(), None);
    for number in 0..u32::try_from(memories.len()).unwrap_or(u32::MAX) {
        one(format!("{SHOW}{number}").into(), Some(number));
        one(format!("{HIDE}{number}").into(), None);
    }
    push(component, &types);
    push(component, &aliases);
    push(component, &lifts);
    push(component, &exports);
}

#[cfg(test)]
mod tests {
    use wasmparser::Validator;

    use super::*;

    fn of(text: &str) -> Result<Vec<u8>, Ineligible> {
        instrument(&wat::parse_str(text).unwrap())
    }

    fn exports(component: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            if let Payload::ComponentExportSection(exports) = payload.unwrap() {
                names.extend(exports.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
        }
        names
    }

    #[test]
    fn a_component_shows_its_memories_and_keeps_the_globals_that_can_change() {
        let text = "(component
            (core module $a
              (memory 1)
              (global $written (mut i64) (i64.const 1)) (global (mut i32) (i32.const 2)) (global i32 (i32.const 3))
              (func (export \"f\") (global.set $written (i64.const 4)))
              (data (i32.const 0) \"x\"))
            (core module $b
              (import \"a\" \"f\" (func)) (memory 1) (memory 2)
              (global (export \"shared\") (mut f32) (f32.const 5)))
            (core module $never (memory 1))
            (core instance $ia (instantiate $a))
            (core instance (instantiate $b (with \"a\" (instance $ia))))
            (core instance (instantiate $a))
            (func (export \"g\") (canon lift (core func $ia \"f\"))))";
        let instrumented = of(text).unwrap();
        Validator::new().validate_all(&instrumented).unwrap();
        let mut expected = vec!["g".to_owned(), SAVE.to_owned(), RESTORE.to_owned()];
        expected.extend((0..4).flat_map(|number| [format!("{SHOW}{number}"), format!("{HIDE}{number}")]));
        assert_eq!(exports(&instrumented), expected);
        let changing = |module: &str| Changing::of(&wat::parse_str(module).unwrap()).unwrap().globals;
        assert_eq!(
            changing("(module (global (mut i32) (i32.const 0)) (global $g (mut i64) (i64.const 0)) (func (global.set $g (i64.const 1))))"),
            [(1, ValType::I64)]
        );
    }

    #[test]
    fn what_cannot_be_reached_or_has_the_hosts_own_names_is_refused() {
        assert_eq!(of("(component (component (core module)))"), Err(Ineligible::Nested));
        assert_eq!(of("(component (core module (func (export \"wasgi-rewind-x\"))))"), Err(Ineligible::Name));
        assert_eq!(of("(component (core module (memory i64 1)))"), Err(Ineligible::Memory));
        let globals = |count: usize| {
            let all: Vec<_> = (0..count).map(|number| format!("(global (export \"{number}\") (mut i32) (i32.const 0))")).collect();
            let all = all.concat();
            of(&format!("(component (core module $m {all}) (core instance (instantiate $m)))"))
        };
        globals(GLOBALS - 1).unwrap();
        globals(GLOBALS).unwrap();
        assert_eq!(globals(GLOBALS + 1), Err(Ineligible::Globals));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let with_magic = [b"\0asm\x0d\0\x01\0", &bytes[..]].concat();
            if let Ok(instrumented) = instrument(&with_magic) {
                proptest::prop_assert!(instrumented.len() >= with_magic.len());
            }
        }
    }
}
