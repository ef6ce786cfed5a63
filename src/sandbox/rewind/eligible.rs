//! Whether an instance of a component can be rewound: whether everything that its code could change is something that can be put back.
//!
//! Pure: reads every instruction of every core module once, in the process that compiles. What cannot run is looked at as well: a component
//! that carries it is refused, which is on the safe side.

use thiserror::Error;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentTypeRef, MemoryType, Operator, Parser, Payload, TypeRef, ValType,
};

/// Why an instance cannot be rewound.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Ineligible {
    /// Its code can change a table, or drop a segment.
    #[error("its code has `{0}`, which cannot be undone")]
    Instruction(&'static str),
    /// It has a global that holds a reference and can be changed.
    #[error("it has a global for a reference, which can be changed")]
    Global,
    /// It has a memory that is shared, or whose pages are odd.
    #[error("it has a memory that is shared between threads, or of pages of another size")]
    Memory,
    /// It uses a function of the component model that keeps a state.
    #[error("it uses a function of the component model that keeps a state of its own (tasks, streams, threads)")]
    Canonical,
    /// A component within it has core modules.
    #[error("a component within it has core modules of its own")]
    Nested,
    /// A core module of its has a second name.
    #[error("it exports a core module, or takes one of an instance")]
    Handed,
    /// It has an export that is the host's own.
    #[error("it has exports whose names begin with `wasgi-rewind-`, which are the host's own")]
    Name,
    /// It has too many globals.
    #[error("it has too many globals that can change")]
    Globals,
    /// It takes core modules from its host.
    #[error("it takes a core module or a component from outside")]
    Import,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl From<BinaryReaderError> for Ineligible {
    fn from(error: BinaryReaderError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Looks at a component.
///
/// # Errors
/// [`Ineligible`]: the first reason that is found.
pub(super) fn eligible(component: &[u8]) -> Result<(), Ineligible> {
    for payload in Parser::new(0).parse_all(component) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these can change something")]
        match payload? {
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader()?;
                while !operators.eof() {
                    instruction(&operators.read()?)?;
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    if ty.mutable && matches!(ty.content_type, ValType::Ref(_)) {
                        return Err(Ineligible::Global);
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    plain(memory?)?;
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if let TypeRef::Memory(memory) = import?.ty {
                        plain(memory)?;
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if matches!(import?.ty, ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)) {
                        return Err(Ineligible::Import);
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    canonical(&function?)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn plain(memory: MemoryType) -> Result<(), Ineligible> {
    let odd = memory.page_size_log2.is_some_and(|log2| log2 != 16);
    if memory.shared || odd { Err(Ineligible::Memory) } else { Ok(()) }
}

fn canonical(function: &CanonicalFunction) -> Result<(), Ineligible> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, or will be")]
    let options = match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => options,
        CanonicalFunction::ResourceNew { .. } | CanonicalFunction::ResourceDrop { .. } | CanonicalFunction::ResourceRep { .. } => {
            return Ok(());
        }
        _ => return Err(Ineligible::Canonical),
    };
    let keeps = options.iter().any(|option| matches!(option, CanonicalOption::Async | CanonicalOption::Callback(_)));
    if keeps { Err(Ineligible::Canonical) } else { Ok(()) }
}

/// Tables and dropped segments are no bytes that anybody could put back. Memories and globals are, and so is a stack.
fn instruction(operator: &Operator<'_>) -> Result<(), Ineligible> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of hundreds of instructions these change what cannot be put back")]
    let name = match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableInit { .. } => "table.init",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableFill { .. } => "table.fill",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        _ => return Ok(()),
    };
    Err(Ineligible::Instruction(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(), Ineligible> {
        eligible(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn what_changes_memories_and_numbers_is_eligible_and_what_changes_tables_is_not() {
        assert_eq!(
            of("(component (core module (memory 1) (global $g (mut i32) (i32.const 0)) (table 1 funcref) (func $f) (elem (i32.const 0) $f)
                 (func (global.set $g (i32.const 1)) (drop (memory.grow (i32.const 1))) (i32.store (i32.const 0) (i32.const 1)))))"),
            Ok(())
        );
        let code = |body: &str| {
            of(&format!(
                "(component (component (core module (memory 1) (data $d \"x\") (table $t 1 funcref) (func $f) (elem $e func $f)
                 (func {body}))))"
            ))
        };
        let refused = |name| Err(Ineligible::Instruction(name));
        assert_eq!(code("(table.set $t (i32.const 0) (ref.null func))"), refused("table.set"));
        assert_eq!(code("(drop (table.grow $t (ref.null func) (i32.const 1)))"), refused("table.grow"));
        assert_eq!(code("(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))"), refused("table.init"));
        assert_eq!(code("(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 1))"), refused("table.copy"));
        assert_eq!(code("(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))"), refused("table.fill"));
        assert_eq!(code("(elem.drop $e)"), refused("elem.drop"));
        assert_eq!(code("(data.drop $d)"), refused("data.drop"));
        assert_eq!(code("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"), Ok(()));
    }

    #[test]
    fn what_keeps_a_state_of_another_kind_is_not_eligible() {
        assert_eq!(of("(component (core module (global (mut funcref) (ref.null func))))"), Err(Ineligible::Global));
        assert_eq!(of("(component (core module (memory 1 1 shared)))"), Err(Ineligible::Memory));
        assert_eq!(of("(component (core func (canon backpressure.inc)))"), Err(Ineligible::Canonical));
        assert_eq!(of("(component (import \"m\" (core module)))"), Err(Ineligible::Import));
        assert!(matches!(eligible(b"\0asm\x0d\0\x01\0\xff"), Err(Ineligible::Unreadable(_))));
    }
}
