//! The shape of the sources: layers point one way, files are short and say what they own.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The layers, lowest first. A file may use its own layer and those before it.
const LAYERS: [&[&str]; 9] = [
    &["limits", "tenant", "fault"],
    &["ledger"],
    &["environ", "framing", "response"],
    &["sandbox"],
    &["exchange"],
    &["server"],
    &["artifact", "build"],
    &["confine", "telemetry", "stage", "config", "worker", "supervisor", "admin"],
    &["cli", "lib", "main"],
];

/// What a layer must not know.
const FORBIDDEN: [(usize, &[&str]); 5] = [
    (0, &["tokio", "hyper", "wasmtime", "anyhow"]),
    (1, &["tokio", "hyper", "wasmtime", "anyhow"]),
    (2, &["tokio", "hyper", "wasmtime", "anyhow"]),
    (3, &["hyper", "hyper_util", "anyhow", "net"]),
    (4, &["hyper", "hyper_util", "anyhow", "net", "wasmtime"]),
];

fn sources(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = walkdir::WalkDir::new(root.join(folder)).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file() && entry.path().extension().is_some_and(|found| found == ending));
    let read = |path: &Path| (path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(path).unwrap());
    let found: Vec<_> = files
        .filter(|entry| !entry.path().components().any(|part| part.as_os_str() == "target" || part.as_os_str() == ".wasgi"))
        .map(|entry| read(entry.path()))
        .collect();
    assert!(!found.is_empty(), "no {ending} files in {folder}");
    found
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top module of a source file.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of this crate that a text names: `crate::a`, and those of `crate::{…}`.
fn used(text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let text = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if depth == 0 && start && !c.is_whitespace() => {
                    found.push(word(&group[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn uses_are_found_in_both_forms() {
    let text = "use crate::limits::Limits;\nuse crate::{\n    fault::{A, B},\n    tenant,\n};\n";
    assert_eq!(used(text), ["limits", "fault", "tenant"]);
}

#[test]
fn layers_point_one_way() {
    for (path, text) in sources("src", "rs") {
        let module = module_of(&path);
        let own = layer_of(&module).unwrap_or_else(|| panic!("{} belongs to no layer", path.display()));
        for name in used(&text) {
            let other = layer_of(&name).unwrap_or_else(|| panic!("{} uses crate::{name}, which is in no layer", path.display()));
            assert!(other <= own, "{} (layer {own}) uses {name} (layer {other})", path.display());
        }
        for (_, names) in FORBIDDEN.iter().filter(|(layer, _)| *layer == own) {
            for name in *names {
                let known = text.lines().any(|line| {
                    let line = line.trim_start();
                    !line.starts_with("//") && line.match_indices(name).any(|(at, _)| line[at + name.len()..].starts_with("::"))
                });
                assert!(!known, "{} knows {name}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_is_short() {
    for folder in ["src", "tests", "guest/rust/src"] {
        for (path, text) in sources(folder, "rs") {
            let opens = text.starts_with("//!") || (folder == "guest/rust/src" && !path.ends_with("lib.rs"));
            assert!(opens, "{} does not open with `//!`", path.display());
            assert!(text.lines().count() <= 500, "{} has {} lines", path.display(), text.lines().count());
        }
    }
    for (path, text) in sources("guest/python", "py") {
        assert!(text.starts_with("\"\"\""), "{} does not open with a docstring", path.display());
    }
}

/// The rules in a test's name: `s1_s3_to_s5_…`.
fn rules_of(name: &str) -> Vec<String> {
    let number = |word: &str| word.strip_prefix(['s', 'a']).and_then(|digits| digits.parse::<u32>().ok());
    let (mut found, mut last, mut through) = (Vec::new(), 0, false);
    for word in name.split('_') {
        let Some(rule) = number(word) else {
            if word != "to" || found.is_empty() {
                break;
            }
            through = true;
            continue;
        };
        let kind = word[..1].to_uppercase();
        let first = if through { last + 1 } else { rule };
        found.extend((first..=rule).map(|number| format!("{kind}{number}")));
        (last, through) = (rule, false);
    }
    found
}

#[test]
fn every_rule_of_the_checklist_is_proven_by_a_case_or_a_test_or_is_deferred() {
    assert_eq!(rules_of("s1_s3_to_s5_the_rest_s9"), ["S1", "S3", "S4", "S5"]);
    let suite = |file: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/wsgi_conformance").join(file)).unwrap()
    };
    let rules = suite("rules.py");
    let listed: Vec<_> = rules
        .lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("must(\"").or_else(|| line.trim().strip_prefix("should(\""))?;
            Some((rest.split_once('"')?.0.to_owned(), line.contains("deferred=")))
        })
        .collect();
    let all: Vec<_> = (1..=83).map(|number| format!("S{number}")).chain((1..=14).map(|number| format!("A{number}"))).collect();
    assert_eq!(listed.iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>(), all);

    let cases: String = sources("tests/conformance/wsgi_conformance/cases", "py").into_iter().map(|(_, text)| text).collect();
    let tests: Vec<_> = [sources("src", "rs"), sources("tests/it", "rs")]
        .concat()
        .iter()
        .flat_map(|(_, text)| {
            text.split("#[test]")
                .chain(text.split("#[tokio::test]"))
                .skip(1)
                .filter_map(|rest| rest.split_once("fn "))
                .map(|(_, rest)| rest.split('(').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .flat_map(|name| rules_of(&name))
        .collect();
    let unproven: Vec<_> = listed
        .iter()
        .filter(|(rule, deferred)| !deferred && !cases.contains(&format!("@case(\"{rule}\"")) && !tests.contains(rule))
        .collect();
    assert_eq!(unproven, [] as [&(String, bool); 0]);
}

#[test]
fn modules_are_folders_with_a_mod_rs() {
    for (path, _) in sources("src", "rs") {
        assert!(!path.with_extension("").is_dir(), "{} lies beside its folder", path.display());
    }
}

#[test]
fn no_test_is_ignored_retried_or_sleeps() {
    let words = [concat!("#[", "ignore"), concat!("thread::", "sleep"), concat!("time::", "sleep(")];
    for (path, text) in sources("tests/it", "rs") {
        for word in words {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

/// StarlingMonkey never drops a handle unless it is told to, what C generators free keeps handles, and 64-bit integers are BigInt in one
/// JavaScript engine and a number in the other. A guest in any language can speak an interface without them.
#[test]
fn what_a_guest_imports_has_no_handles_and_nothing_has_integers_of_64_bits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(root.join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("app")).unwrap();
    let mut interfaces = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        let wit_parser::WorldItem::Interface { id, .. } = item else { panic!("the world imports interfaces only") };
        interfaces.push(resolve.interfaces[*id].name.clone().unwrap());
        for ty in resolve.interfaces[*id].types.values() {
            let is_handle = matches!(resolve.types[*ty].kind, wit_parser::TypeDefKind::Resource | wit_parser::TypeDefKind::Handle(_));
            assert!(!is_handle, "{:?}", resolve.types[*ty].name);
        }
    }
    interfaces.sort();
    assert_eq!(interfaces, ["errors", "input", "response", "types"]);
    let gateway = fs::read_to_string(root.join("wit/gateway.wit")).unwrap();
    let code: Vec<_> = gateway.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for word in ["u64", "s64", "borrow<", "own<"] {
        assert!(!code.iter().any(|line| line.contains(word)), "{word}");
    }
}
