//! The environment of an application: what was typed, and what stands in files. Nothing else of this process's environment reaches a guest.

use std::collections::BTreeMap;

use super::{args, fault::Failure};
use crate::config::environment;

/// The variables, in the order of their names; what was typed comes before what stands in a file.
pub(super) fn of(typed: &args::Environment) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = BTreeMap::new();
    for file in &typed.env_file {
        for (name, value) in environment::read(file).map_err(|why| Failure::usage(why, ""))? {
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
    environment::check(&variables).map_err(|why| Failure::usage(why, ""))?;
    Ok(variables.into_iter().collect())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
