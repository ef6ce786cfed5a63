//! The sections of a built file: the component, and behind it what the builder added (`wasgi:meta`, `wasgi:bundle`).

use std::{borrow::Cow, fmt};

use wasm_encoder::{CustomSection, Encode, Section};
use wasmparser::{Encoding, Parser, Payload};

/// The section with [`super::Meta`].
pub const META: &str = "wasgi:meta";
/// The section with [`super::Bundle`].
pub const BUNDLE: &str = "wasgi:bundle";

/// A section to add.
pub struct Custom<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its content.
    pub data: &'a [u8],
}

/// What a file is that is no component.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Not WebAssembly at all.
    Foreign,
    /// A core module.
    Module,
    /// Code that some wasmtime compiled.
    Precompiled,
    /// A component that ends too early, or whose sections cannot be told apart.
    Broken(String),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("no WebAssembly file"),
            Self::Module => f.write_str("a core WebAssembly module, not a component; build it for wasm32-wasip2, or with `wasgi build`"),
            Self::Precompiled => {
                f.write_str("precompiled code, which only the host that made it may load; give the .wasm file that it was made of")
            }
            Self::Broken(why) => write!(f, "a component that is cut short or damaged: {why}"),
        }
    }
}

/// A built file's parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts<'a> {
    /// The component, without what the builder added.
    pub component: &'a [u8],
    /// The content of `wasgi:meta`.
    pub meta: Option<&'a [u8]>,
    /// The content of `wasgi:bundle`.
    pub bundle: Option<&'a [u8]>,
}

/// Takes a built file apart. The component is not validated; that is the compiler's part.
///
/// # Errors
/// [`Shape`] for everything that is no component.
pub fn parts(bytes: &[u8]) -> Result<Parts<'_>, Shape> {
    if bytes.starts_with(b"\x7fELF") {
        return Err(Shape::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Shape::Foreign);
    }
    let (mut end, mut depth, mut meta, mut bundle) = (None, 0_u32, None, None);
    let mut start = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these matter")]
        match payload.map_err(|error| broken(&error))? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Shape::Module),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(offset) if depth > 0 => {
                depth -= 1;
                start = offset;
            }
            Payload::CustomSection(section) if depth == 0 && matches!(section.name(), META | BUNDLE) => {
                // The header of a section is its id, its size, and the name's.
                end.get_or_insert(start);
                let slot = if section.name() == META { &mut meta } else { &mut bundle };
                if slot.replace(section.data()).is_some() {
                    return Err(Shape::Broken(format!("it has two sections `{}`", section.name())));
                }
                start = section.range().end;
            }
            other => {
                if let Some((_, range)) = other.as_section() {
                    if depth == 0 && end.is_some() {
                        return Err(Shape::Broken("a section stands behind those of the builder".to_owned()));
                    }
                    start = range.end;
                }
            }
        }
    }
    let component = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
    Ok(Parts { component, meta, bundle })
}

fn broken(error: &wasmparser::BinaryReaderError) -> Shape {
    Shape::Broken(error.to_string())
}

/// Adds sections to a component.
#[must_use]
pub fn append(component: Vec<u8>, sections: &[Custom<'_>]) -> Vec<u8> {
    let mut bytes = component;
    for section in sections {
        let custom = CustomSection { name: Cow::Borrowed(section.name), data: Cow::Borrowed(section.data) };
        bytes.push(custom.id());
        custom.encode(&mut bytes);
    }
    bytes
}

/// What a component imports and exports, by name, and what it consists of; for people.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Core modules inside it, and their bytes.
    pub modules: Vec<usize>,
}

/// Reads the outermost imports and exports.
///
/// # Errors
/// [`Shape`] for a component that cannot be read.
pub fn summary(component: &[u8]) -> Result<Summary, Shape> {
    let (mut summary, mut depth) = (Summary::default(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these matter")]
        match payload.map_err(|error| broken(&error))? {
            Payload::ModuleSection { unchecked_range, .. } => {
                if depth == 0 {
                    summary.modules.push(unchecked_range.len());
                }
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    summary.imports.push(import.map_err(|error| broken(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    summary.exports.push(export.map_err(|error| broken(&error))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Vec<u8> {
        wat::parse_str("(component (import \"a:b/c\" (instance)) (core module))").unwrap()
    }

    #[test]
    fn what_is_appended_is_found_again_and_the_component_is_unchanged() {
        let built = append(component(), &[Custom { name: META, data: b"{}" }, Custom { name: BUNDLE, data: b"tar" }]);
        let expected = Parts { component: &component(), meta: Some(b"{}"), bundle: Some(b"tar") };
        assert_eq!(parts(&built), Ok(expected));
        let plain = component();
        assert_eq!(parts(&plain), Ok(Parts { component: &plain, meta: None, bundle: None }));
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(parts(b""), Err(Shape::Foreign));
        assert_eq!(parts(b"#!/usr/bin/python"), Err(Shape::Foreign));
        assert_eq!(parts(b"\x7fELF\x02"), Err(Shape::Precompiled));
        assert_eq!(parts(&wat::parse_str("(module)").unwrap()), Err(Shape::Module));
        let whole = append(component(), &[Custom { name: META, data: b"{}" }]);
        for length in 4..whole.len() {
            let cut = parts(&whole[..length]).map(|parts| parts.meta);
            assert!(matches!(cut, Err(Shape::Broken(_)) | Ok(None)), "{length}: {cut:?}");
        }
    }

    #[test]
    fn a_section_comes_once_and_at_the_end() {
        let twice = append(component(), &[Custom { name: META, data: b"1" }, Custom { name: META, data: b"2" }]);
        assert_eq!(parts(&twice), Err(Shape::Broken("it has two sections `wasgi:meta`".into())));
        let followed = append(component(), &[Custom { name: META, data: b"1" }, Custom { name: "other", data: b"2" }]);
        assert_eq!(parts(&followed), Err(Shape::Broken("a section stands behind those of the builder".into())));
    }

    #[test]
    fn a_summary_names_the_imports() {
        let expected = Summary { imports: vec!["a:b/c".into()], exports: vec![], modules: vec![8] };
        assert_eq!(summary(&component()), Ok(expected));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let with_magic = [b"\0asm\x0d\0\x01\0", &bytes[..]].concat();
            for input in [&bytes, &with_magic] {
                if let Ok(parts) = parts(input) {
                    proptest::prop_assert!(parts.component.len() <= input.len());
                }
            }
        }
    }
}
