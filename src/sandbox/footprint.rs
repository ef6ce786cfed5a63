//! What one instance may consist of, and what the host keeps of it beside its memories: wasmtime's own tables of functions, globals and the
//! like, in the heap of the process that serves. Pure.
//!
//! How many of these there are is the choice of a guest's author, who could have thousands of bytes kept for each byte of a memory that he
//! is charged for. So they are bounded, and charged to his tenant as memories are. The numbers are no sizes that anything is made of: what
//! the pool has of core instances is a count, and of memories and tables it has addresses. They are there to say no.
//!
//! Next: [`super::engine`] has wasmtime refuse what is larger, [`super::limiter`] charges the tenant.

use wasmparser::{BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, Instance, Parser, Payload};

/// Core instances of an instance. A component of componentize-py has 14, and one more for each extension module.
pub(super) const CORE_INSTANCES: u32 = 100;
/// Tables of an instance.
pub(super) const TABLES: u32 = 16;
/// Entries of a table. A component of componentize-py has about 5 700.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// Memories of an instance.
pub(super) const MEMORIES: u32 = 4;
/// Bytes that the host keeps of an instance beside its memories and tables.
pub(super) const KEPT_BYTES: usize = 8 << 20;

/// What wasmtime keeps of each function, global, table, memory and segment of a core instance, its own or imported (`VMFuncRef`,
/// `VMFunctionImport` and others: up to six words), and of each function that is lifted or lowered.
const ENTRY: usize = 48;
/// What it keeps of a core instance besides.
const CORE_INSTANCE: usize = 2 << 10;

/// Bytes that the host keeps of an instance of `component` beside its memories and tables, or somewhat more.
#[must_use]
pub fn kept_bytes(component: &[u8]) -> u64 {
    let kept = counted(component).unwrap_or(KEPT_BYTES).min(KEPT_BYTES);
    u64::try_from(kept).unwrap_or(u64::MAX)
}

/// The same without a bound; `None`: it is not easily told, for core modules are instantiated within other components.
pub(super) fn counted(component: &[u8]) -> Option<usize> {
    // What cannot be read is the compiler's to refuse.
    count(component).ok().flatten()
}

fn count(component: &[u8]) -> Result<Option<usize>, BinaryReaderError> {
    let (mut modules, mut instantiated, mut functions, mut depth) = (Vec::new(), Vec::new(), 0, 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these count")]
        let entries = match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentCanonicalSection(_) if depth > 0 => return Ok(None),
            Payload::ModuleSection { .. } => {
                modules.push(CORE_INSTANCE);
                depth += 1;
                0
            }
            Payload::ComponentSection { .. } => {
                depth += 1;
                0
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                0
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        instantiated.push(module_index);
                    }
                }
                // Within a component of its own it can only be of a module from outside.
                if depth > 0 && !instantiated.is_empty() {
                    return Ok(None);
                }
                0
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    if let ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
                    | ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } = alias?
                    {
                        return Ok(None);
                    }
                }
                0
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if import?.ty.kind() == ComponentExternalKind::Module {
                        return Ok(None);
                    }
                }
                0
            }
            Payload::ComponentCanonicalSection(canonical) => {
                functions += number(canonical.count());
                0
            }
            Payload::ImportSection(imports) => imports.into_imports().count(),
            Payload::FunctionSection(section) => number(section.count()),
            Payload::TableSection(section) => number(section.count()),
            Payload::MemorySection(section) => number(section.count()),
            Payload::TagSection(section) => number(section.count()),
            Payload::GlobalSection(section) => number(section.count()),
            Payload::ElementSection(section) => number(section.count()),
            Payload::DataSection(section) => number(section.count()),
            _ => 0,
        };
        if let Some(module) = modules.last_mut() {
            *module += entries * ENTRY;
        }
    }
    let of = |index: &u32| modules.get(usize::try_from(*index).unwrap_or(usize::MAX)).copied().unwrap_or(0);
    let core: usize = instantiated.iter().map(of).fold(0, usize::saturating_add);
    Ok(Some(core.saturating_add(functions * ENTRY)))
}

fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Component};

    use super::*;

    /// An engine that has so many bytes for an instance.
    fn engine(bytes: usize) -> Engine {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(1).total_core_instances(1).total_memories(1).total_tables(1).total_stacks(1);
        pool.max_component_instance_size(bytes).max_core_instance_size(bytes);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Engine::new(&config).unwrap()
    }

    /// `number` of each kind in a module, and `instances` of that.
    fn component(number: usize, instances: usize) -> Vec<u8> {
        let mut text = "(component (core module $many (table 1 funcref) (memory 1)\n".to_owned();
        for index in 0..number {
            write!(text, "(global (mut v128) (v128.const i64x2 0 0)) (func $f{index}) (elem declare func $f{index}) (data \"x\")").unwrap();
        }
        text.push_str(")\n");
        text.push_str(&"(core instance (instantiate $many))".repeat(instances));
        text.push(')');
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_is_counted_is_enough_for_what_wasmtime_keeps_and_not_much_more() {
        let compiled = |bytes, component: &[u8]| Component::new(&engine(bytes), component).map(drop).map_err(|error| format!("{error:#}"));
        for (number, instances) in [(1_000, 1), (500, 3)] {
            let component = component(number, instances);
            let counted = counted(&component).unwrap();
            assert_eq!(compiled(counted, &component), Ok(()), "{number} {instances}");
            let refused = compiled(counted / 4, &component).unwrap_err();
            assert!(refused.contains("exceeds the configured maximum"), "{number} {instances}: {refused}");
        }
        let least = component(0, 1);
        assert_eq!(compiled(counted(&least).unwrap(), &least), Ok(()));
    }

    #[test]
    fn modules_that_are_instantiated_within_other_components_cost_the_most_that_there_is() {
        for text in [
            "(component (component (core module)))",
            "(component (core module $m) (component (alias outer 1 $m (core module $n)) (core instance (instantiate $n))))",
            "(component (import \"m\" (core module)))",
        ] {
            let component = wat::parse_str(text).unwrap();
            assert_eq!((counted(&component), kept_bytes(&component)), (None, 8 << 20), "{text}");
        }
    }
}
