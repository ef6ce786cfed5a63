//! What one instance may consist of, and what the host keeps of it beside its memories: wasmtime's own tables of functions, globals,
//! segments and the like, in the heap of the process that serves. Pure.
//!
//! How many of these there are is the choice of a guest's author, and a few bytes of a component can stand for many: what it instantiates
//! again and again, components within components. So they are counted as often as they are instantiated, bounded, and charged to his tenant
//! as memories are. The numbers of instances, tables and memories are no sizes that anything is made of: what the pool has of core instances
//! is a count, and of memories and tables it has addresses. They are there to say no.
//!
//! Next: [`super::engine`] has wasmtime refuse what is larger as far as it counts, [`super::limiter`] charges the tenant.

use thiserror::Error;
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind as Kind, ComponentInstance, ComponentOuterAliasKind as Outer, ComponentType,
    ElementItems, ElementKind, Instance, Parser, Payload,
};

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

/// What wasmtime 48 keeps of each part of a core instance, at most (`VMOffsets`, `Instance`): something imported, which may be referred to
/// besides; a function that may be; a global; a table or a memory with what is known of its place; a segment; an element of a passive one.
const IMPORT: usize = 64;
const FUNCTION: usize = 32;
const GLOBAL: usize = 16;
const PLACE: usize = 256;
const SEGMENT: usize = 48;
const ELEMENT: usize = 16;
/// Of a core instance besides, of a component's instance (`InstanceState`), of a function that is lifted or lowered, of a resource type.
const CORE_INSTANCE: usize = 1 << 10;
const COMPONENT_INSTANCE: usize = 256;
const CANONICAL: usize = 64;
const RESOURCE: usize = 72;

/// Why a component is not served: what the host would keep of an instance.
#[derive(Debug, Error)]
pub enum Heavy {
    /// It is too much.
    #[error("the host would keep {found} bytes of each instance beside its memories; the limit is {KEPT_BYTES}")]
    Over {
        /// Bytes.
        found: usize,
    },
    /// Of its code, in each process that serves it.
    #[error("each process that serves it would keep {found} bytes of its names and types; the limit is {limit}")]
    Code {
        /// Bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// It cannot be told.
    #[error(
        "it hands core modules or components on to components within it, so that nobody can tell what the host would keep of an instance"
    )]
    Untold,
    /// It cannot be read.
    #[error("it is no valid component: {0}")]
    Broken(#[from] BinaryReaderError),
}

/// Bytes that the host keeps of an instance of `component` beside its memories and tables, or somewhat more.
///
/// # Errors
/// [`Heavy`] if that is more than 8 MiB, or cannot be told.
pub fn kept_bytes(component: &[u8]) -> Result<u64, Heavy> {
    let found = count(component)?.ok_or(Heavy::Untold)?;
    if found > KEPT_BYTES {
        return Err(Heavy::Over { found });
    }
    Ok(u64::try_from(found).unwrap_or(u64::MAX))
}

/// A component, as far as it was read: what an instance of it costs, and of each thing that can be instantiated within it.
#[derive(Default)]
struct Scope {
    modules: Vec<usize>,
    components: Vec<usize>,
    cost: usize,
}

impl Scope {
    fn add(&mut self, cost: usize) {
        self.cost = self.cost.saturating_add(cost);
    }
}

/// What an instance costs; `None`: that is not to be told.
fn count(component: &[u8]) -> Result<Option<usize>, BinaryReaderError> {
    let at = |costs: &[usize], index: u32| costs.get(usize::try_from(index).unwrap_or(usize::MAX)).copied();
    // The component and those around it; and a module that is being read.
    let (mut scopes, mut module) = (vec![Scope::default()], None::<usize>);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        if let Some(cost) = &mut module {
            *cost = cost.saturating_add(of_section(&payload)?);
        }
        let depth = scopes.len();
        let Some(scope) = scopes.last_mut() else { return Ok(None) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these count")]
        match payload {
            Payload::ModuleSection { .. } => module = Some(CORE_INSTANCE),
            Payload::ComponentSection { .. } => scopes.push(Scope::default()),
            Payload::End(_) => {
                if let Some(cost) = module.take() {
                    scope.modules.push(cost);
                } else if depth > 1 {
                    let cost = scope.cost;
                    scopes.pop();
                    scopes.iter_mut().next_back().into_iter().for_each(|outer| outer.components.push(cost));
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let Some(cost) = at(&scope.modules, module_index) else { return Ok(None) };
                        scope.add(cost);
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        let Some(cost) = at(&scope.components, component_index) else { return Ok(None) };
                        scope.add(cost.saturating_add(COMPONENT_INSTANCE));
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    match alias? {
                        ComponentAlias::Outer { kind: kind @ (Outer::CoreModule | Outer::Component), count, index } => {
                            let outer = usize::try_from(count).ok().and_then(|count| (depth - 1).checked_sub(count));
                            let Some(outer) = outer.and_then(|outer| scopes.get(outer)) else { return Ok(None) };
                            let is_module = kind == Outer::CoreModule;
                            let cost = at(if is_module { &outer.modules } else { &outer.components }, index);
                            let (Some(cost), Some(scope)) = (cost, scopes.last_mut()) else { return Ok(None) };
                            if is_module { scope.modules.push(cost) } else { scope.components.push(cost) }
                        }
                        ComponentAlias::InstanceExport { kind: Kind::Module | Kind::Component, .. } => return Ok(None),
                        ComponentAlias::Outer { .. }
                        | ComponentAlias::InstanceExport { .. }
                        | ComponentAlias::CoreInstanceExport { .. } => {}
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    // Of the host nobody is given any, so that an instance never comes to be.
                    match import?.ty.kind() {
                        Kind::Module | Kind::Component if depth > 1 => return Ok(None),
                        Kind::Module => scope.modules.push(0),
                        Kind::Component => scope.components.push(0),
                        Kind::Func | Kind::Value | Kind::Type | Kind::Instance => {}
                    }
                }
            }
            // What is exported has a second index.
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    match export.kind {
                        Kind::Module => {
                            let Some(cost) = at(&scope.modules, export.index) else { return Ok(None) };
                            scope.modules.push(cost);
                        }
                        Kind::Component => {
                            let Some(cost) = at(&scope.components, export.index) else { return Ok(None) };
                            scope.components.push(cost);
                        }
                        Kind::Func | Kind::Value | Kind::Type | Kind::Instance => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(canonical) => scope.add(number(canonical.count()).saturating_mul(CANONICAL)),
            Payload::ComponentTypeSection(types) => {
                for ty in types {
                    if matches!(ty?, ComponentType::Resource { .. }) {
                        scope.add(RESOURCE);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(scopes.first().map(|scope| scope.cost))
}

/// What a section of a module costs in each of its instances.
fn of_section(payload: &Payload<'_>) -> Result<usize, BinaryReaderError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these count")]
    Ok(match payload {
        Payload::ImportSection(imports) => imports.clone().into_imports().count().saturating_mul(IMPORT),
        Payload::FunctionSection(functions) => number(functions.count()).saturating_mul(FUNCTION),
        Payload::TagSection(tags) => number(tags.count()).saturating_mul(GLOBAL),
        Payload::GlobalSection(globals) => number(globals.count()).saturating_mul(GLOBAL),
        Payload::TableSection(tables) => number(tables.count()).saturating_mul(PLACE),
        Payload::MemorySection(memories) => number(memories.count()).saturating_mul(PLACE),
        Payload::DataSection(segments) => number(segments.count()).saturating_mul(SEGMENT),
        Payload::ElementSection(segments) => {
            let mut cost = number(segments.count()).saturating_mul(SEGMENT);
            for segment in segments.clone() {
                let segment = segment?;
                if matches!(segment.kind, ElementKind::Passive) {
                    let items = match segment.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    cost = cost.saturating_add(number(items).saturating_mul(ELEMENT));
                }
            }
            cost
        }
        _ => 0,
    })
}

fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Component};

    use super::*;

    fn counted(text: &str) -> Option<usize> {
        count(&wat::parse_str(text).unwrap()).unwrap()
    }

    /// An engine that has so many bytes for an instance.
    fn engine(bytes: usize) -> Engine {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(1).total_core_instances(1).total_memories(1).total_tables(1).total_stacks(1);
        pool.max_component_instance_size(bytes).max_core_instance_size(bytes);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Engine::new(&config).unwrap()
    }

    /// A module that has so many of each kind, and exports what it imports.
    fn module(number: usize) -> String {
        let mut text = "(core module $many\n".to_owned();
        for index in 0..number {
            write!(text, "(import \"f\" \"{index}\" (func $i{index})) (export \"i{index}\" (func $i{index}))").unwrap();
        }
        for index in 0..number {
            write!(text, "(global (mut v128) (v128.const i64x2 0 0)) (func $f{index}) (elem declare func $f{index}) (data \"x\")").unwrap();
        }
        text + "(table 1 funcref) (memory 1))\n"
    }

    #[test]
    fn what_is_counted_is_enough_for_what_wasmtime_counts_and_not_much_more() {
        let compiled = |bytes, text: &str| {
            Component::new(&engine(bytes), wat::parse_str(text).unwrap()).map(drop).map_err(|error| format!("{error:#}"))
        };
        for (number, instances) in [(1_000, 1), (500, 3)] {
            let mut given = String::new();
            for index in 0..number {
                write!(given, "(export \"{index}\" (func $f))").unwrap();
            }
            let functions = format!(
                "(core module $one (func (export \"f\"))) (core instance $one (instantiate $one)) (alias core export $one \"f\" (core func $f)) (core instance $given {given})"
            );
            let many = "(core instance (instantiate $many (with \"f\" (instance $given))))".repeat(instances);
            let text = format!("(component {functions} {} {many})", module(number));
            let counted = counted(&text).unwrap();
            assert_eq!(compiled(counted, &text), Ok(()), "{number} {instances}");
            let refused = compiled(counted / 2, &text).unwrap_err();
            assert!(refused.contains("exceeds the configured maximum"), "{number} {instances}: {refused}");
        }
        let least = "(component (core module $m) (core instance (instantiate $m)))";
        assert_eq!(compiled(counted(least).unwrap(), least), Ok(()));
    }

    #[test]
    fn each_instance_counts_whatever_it_is_an_instance_of() {
        let one = CORE_INSTANCE + 10 * GLOBAL;
        let globals = "(global i32 (i32.const 0))".repeat(10);
        let module = format!("(core module $m {globals})");
        let of = |text: &str| counted(&format!("(component $root {module} {text})"));
        assert_eq!(of(""), Some(0));
        assert_eq!(of(&"(core instance (instantiate $m))".repeat(3)), Some(3 * one));
        // By another index, by one from outside, and of a component that is instantiated again and again.
        assert_eq!(of("(export $e \"e\" (core module $m)) (core instance (instantiate $e))"), Some(one));
        let within = "(component $c (alias outer $root $m (core module $n)) (core instance (instantiate $n)))";
        let again = "(instance (instantiate $c))".repeat(10);
        assert_eq!(of(&format!("{within} {again}")), Some(10 * (one + COMPONENT_INSTANCE)));
        let twice = format!("(component $d {within} (instance (instantiate $c)) (instance (instantiate $c))) (instance (instantiate $d))");
        assert_eq!(of(&twice), Some(2 * (one + COMPONENT_INSTANCE) + COMPONENT_INSTANCE));
    }

    #[test]
    fn elements_resources_and_lifted_functions_count() {
        let passive = format!("(core module $m (func $f) (elem func {})) (core instance (instantiate $m))", "$f ".repeat(1_000));
        assert_eq!(counted(&format!("(component {passive})")), Some(CORE_INSTANCE + FUNCTION + SEGMENT + 1_000 * ELEMENT));
        let resources = "(type (resource (rep i32)))".repeat(7);
        assert_eq!(counted(&format!("(component {resources})")), Some(7 * RESOURCE));
        let dropped = "(type $r (resource (rep i32))) (core func (canon resource.drop $r))";
        assert_eq!(counted(&format!("(component {dropped})")), Some(RESOURCE + CANONICAL));
    }

    #[test]
    fn what_is_handed_to_a_component_within_cannot_be_told() {
        for text in [
            "(component (component (import \"m\" (core module))))",
            "(component (component $c (core module $m) (export \"m\" (core module $m))) (instance $i (instantiate $c)) (alias export $i \"m\" (core module)))",
        ] {
            let component = wat::parse_str(text).unwrap();
            assert!(matches!(kept_bytes(&component), Err(Heavy::Untold)), "{text}");
        }
    }

    #[test]
    fn a_component_is_served_at_the_limit_and_refused_over_it() {
        let of = |resources: usize, canonical: usize| {
            let canonical = "(core func (canon resource.drop $r))".repeat(canonical);
            let text =
                format!("(component {} (type $r (resource (rep i32))) {canonical})", "(type (resource (rep i32)))".repeat(resources - 1));
            kept_bytes(&wat::parse_str(text).unwrap()).map_err(|heavy| heavy.to_string())
        };
        // 116 504 of 72 bytes, and five of 64.
        assert_eq!(of(116_504, 5), Ok(8 << 20));
        let over = "the host would keep 8388672 bytes of each instance beside its memories; the limit is 8388608";
        assert_eq!(of(116_504, 6), Err(over.to_owned()));
    }
}
