//! The environment of an application: what was typed, and what stands in files. Nothing else of this process's environment reaches a guest.

use std::{collections::BTreeMap, fs, path::Path};

use super::{args, fault::Failure};
use crate::build::is_variable;

/// Variables of one application.
const VARIABLES: usize = 64;
/// A variable's name and value.
const BYTES: usize = 5 << 10;

/// The variables, in the order of their names; what was typed comes before what stands in a file.
pub(super) fn of(typed: &args::Environment) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = BTreeMap::new();
    for file in &typed.env_file {
        for (name, value) in lines(file)? {
            variables.insert(name, value);
        }
    }
    for word in &typed.env {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (word.as_str(), own(word)?),
        };
        variables.insert(name.to_owned(), value);
    }
    checked(variables)
}

/// A variable of this process, which the person asked for by its name.
fn own(name: &str) -> Result<String, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the person named this one variable")]
    let value = std::env::var(name);
    value.map_err(|_| {
        Failure::usage(
            format!("-e {name}: the environment has no such variable, or it is no text"),
            format!("give its value: `-e {name}=VALUE`"),
        )
    })
}

fn checked(variables: BTreeMap<String, String>) -> Result<Vec<(String, String)>, Failure> {
    if variables.len() > VARIABLES {
        return Err(Failure::usage(format!("{} variables are more than {VARIABLES}", variables.len()), ""));
    }
    for (name, value) in &variables {
        if !is_variable(name) {
            return Err(Failure::usage(format!("`{name}` is no name of a variable"), "letters, digits and `_`, and no digit first"));
        }
        if name.len() + value.len() > BYTES || value.contains('\0') {
            return Err(Failure::usage(format!("the value of {name} is longer than {BYTES} bytes, or has a NUL"), ""));
        }
    }
    Ok(variables.into_iter().collect())
}

/// The lines `NAME=VALUE` of a file; empty lines, and those that begin with `#`, say nothing. A value may stand in quotes.
fn lines(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display()), ""))?;
    parse(&text).map_err(|line| Failure::usage(format!("{}:{line}: not NAME=VALUE", file.display()), ""))
}

/// The variables of a text, which may also be one JSON object of strings, or the number of the first line that is none.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    if text.starts_with('{') {
        return serde_json::from_str::<BTreeMap<_, _>>(text).map(|variables| variables.into_iter().collect()).map_err(|error| error.line());
    }
    let mut variables = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(number)?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        variables.push((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_lines_are_variables() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = "# secrets\nA=1\n\nexport B = two words \nC='x=y'\nD=\"\"\nE=it's\n";
        assert_eq!(parse(text), Ok(vec![pair("A", "1"), pair("B", "two words"), pair("C", "x=y"), pair("D", ""), pair("E", "it's")]));
        assert_eq!(parse("A=1\nnothing"), Err(2));
        assert_eq!(parse("{\"A\": \"two\\nlines\"}"), Ok(vec![pair("A", "two\nlines")]));
        assert_eq!(parse("{\n\"A\": 1}"), Err(2));
    }

    #[test]
    fn variables_are_taken_under_and_at_their_limits_and_refused_over_them() {
        let taken = |count: usize, bytes: usize| {
            checked((0..count).map(|n| (format!("V{n:04}"), "x".repeat(bytes))).collect()).map(|all| all.len()).ok()
        };
        assert_eq!([taken(63, 1), taken(64, 1), taken(65, 1)], [Some(63), Some(64), None]);
        assert_eq!([taken(1, BYTES - 6), taken(1, BYTES - 5), taken(1, BYTES - 4)], [Some(1), Some(1), None]);
    }

    #[test]
    fn what_was_typed_comes_before_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        fs::write(&file, "A=file\nB=file\n").unwrap();
        let typed = args::Environment { env: vec!["A=typed".into()], env_file: vec![file] };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(&typed).unwrap(), [pair("A", "typed"), pair("B", "file")]);
    }
}
