//! The variables of an application: what stands in files, and how many and how long they may be.

use std::{collections::BTreeMap, fs, path::Path};

use crate::build::is_variable;

/// Variables of one application.
const VARIABLES: usize = 64;
/// A variable's name and value.
const BYTES: usize = 5 << 10;

/// The lines `NAME=VALUE` of a file; empty lines, and those that begin with `#`, say nothing. A value may stand in quotes. A file may also be
/// one JSON object of strings.
///
/// # Errors
/// A sentence that names the file and the line.
pub fn read(file: &Path) -> Result<Vec<(String, String)>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    parse(&text).map_err(|line| format!("{}:{line}: not NAME=VALUE", file.display()))
}

/// Refuses what can be no environment.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check(variables: &BTreeMap<String, String>) -> Result<(), String> {
    if variables.len() > VARIABLES {
        return Err(format!("{} variables are more than {VARIABLES}", variables.len()));
    }
    for (name, value) in variables {
        if !is_variable(name) {
            return Err(format!("`{name}` is no name of a variable: letters, digits and `_`, and no digit first"));
        }
        if name.len() + value.len() > BYTES || value.contains('\0') {
            return Err(format!("the value of {name} is longer than {BYTES} bytes, or has a NUL"));
        }
    }
    Ok(())
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
        let taken =
            |count: usize, bytes: usize| check(&(0..count).map(|n| (format!("V{n:04}"), "x".repeat(bytes))).collect()).map(|()| count).ok();
        assert_eq!([taken(63, 1), taken(64, 1), taken(65, 1)], [Some(63), Some(64), None]);
        assert_eq!([taken(1, BYTES - 6), taken(1, BYTES - 5), taken(1, BYTES - 4)], [Some(1), Some(1), None]);
    }
}
