//! The index spaces of a component: what has to be known of it to append to it. Pure.

use std::ops::Range;

use wasm_encoder::ComponentSection;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind as Kind, ComponentOuterAliasKind, ExternalKind,
    Instance as CoreInstance, Parser, Payload,
};

/// The sizes of a component's index spaces, and what stands in some of them.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pub core_modules: Vec<Range<usize>>,
    pub core_instances: u32,
    /// Which core instances are made of which module.
    pub instantiated: Vec<(u32, u32)>,
    pub core_funcs: u32,
    pub core_memories: u32,
    pub funcs: u32,
    pub types: u32,
    /// Functions of the names that were asked for, by the core instance that exports them.
    pub named: Vec<(u32, String)>,
    /// Whether a component within it has core modules of its own.
    pub is_nested: bool,
    /// Whether a core module has a second index: it is exported, or taken of an instance.
    pub is_handed: bool,
}

impl Spaces {
    /// Of a component; `names` are asked for.
    pub(super) fn of(component: &[u8], names: &[&str]) -> Result<Self, BinaryReaderError> {
        let (mut spaces, mut depth) = (Self::default(), 0_u32);
        for payload in Parser::new(0).parse_all(component) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these count")]
            match payload? {
                Payload::ModuleSection { unchecked_range, .. } => {
                    if depth == 0 {
                        spaces.core_modules.push(unchecked_range);
                    } else {
                        spaces.is_nested = true;
                    }
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                Payload::InstanceSection(instances) => {
                    for instance in instances {
                        spaces.core_instance(&instance?, names);
                    }
                }
                Payload::ComponentAliasSection(aliases) => {
                    for alias in aliases {
                        spaces.alias(&alias?);
                    }
                }
                Payload::ComponentCanonicalSection(functions) => {
                    for function in functions {
                        match function? {
                            CanonicalFunction::Lift { .. } => spaces.funcs += 1,
                            _ => spaces.core_funcs += 1,
                        }
                    }
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        spaces.add(import?.ty.kind());
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        let kind = export?.kind;
                        spaces.is_handed |= kind == Kind::Module;
                        spaces.add(kind);
                    }
                }
                Payload::ComponentTypeSection(types) => spaces.types += types.count(),
                _ => {}
            }
        }
        Ok(spaces)
    }

    fn core_instance(&mut self, instance: &CoreInstance<'_>, names: &[&str]) {
        match instance {
            CoreInstance::FromExports(exports) => {
                let found = exports.iter().filter(|export| export.kind == ExternalKind::Func && names.contains(&export.name));
                self.named.extend(found.map(|export| (self.core_instances, export.name.to_owned())));
            }
            CoreInstance::Instantiate { module_index, .. } => self.instantiated.push((self.core_instances, *module_index)),
        }
        self.core_instances += 1;
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, .. } => self.core_funcs += 1,
            ComponentAlias::CoreInstanceExport { kind: ExternalKind::Memory, .. } => self.core_memories += 1,
            ComponentAlias::InstanceExport { kind, .. } => {
                self.is_handed |= *kind == Kind::Module;
                self.add(*kind);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
            ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => {}
        }
    }

    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Func => self.funcs += 1,
            Kind::Type => self.types += 1,
            Kind::Module | Kind::Value | Kind::Instance | Kind::Component => {}
        }
    }
}

/// Appends a section.
pub(super) fn push(component: &mut Vec<u8>, section: &impl ComponentSection) {
    component.push(section.id());
    section.encode(component);
}
