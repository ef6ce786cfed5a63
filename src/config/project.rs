//! An application's own `wasgi.toml`, looked at without building it: every mistake at once, with its place.

use std::{fs, io, path::Path};

use serde_json::Value as Json;

use super::{
    keys::{self, PROJECT},
    mistakes::Mistakes,
    tree::Reader,
};
use crate::build::{BuildFault, Settings};

/// What is wrong with an application's file.
#[derive(Debug)]
pub enum Wrong {
    /// With its keys and the kinds of its values.
    Shape(Mistakes),
    /// With what they say.
    Meaning(Box<BuildFault>),
}

/// Looks at `file`; what it says.
///
/// # Errors
/// When it cannot be read.
pub fn check(file: &Path) -> io::Result<Result<Settings, Wrong>> {
    let text = fs::read_to_string(file)?;
    let reader = Reader::of(file, &text, PROJECT);
    if reader.mistakes.count() > 0 {
        return Ok(Err(Wrong::Shape(reader.mistakes)));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Settings::of(folder).map_err(|fault| Wrong::Meaning(Box::new(fault))))
}

/// The JSON Schema of a `wasgi.toml`, for editors.
#[must_use]
pub fn schema() -> Json {
    keys::schema_of(PROJECT, "wasgi.toml of wasgi")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wasgi.toml");
        fs::write(&file, text).unwrap();
        match check(&file).unwrap() {
            Ok(settings) => format!("{:?}", settings.name),
            Err(Wrong::Shape(mistakes)) => mistakes.to_string(),
            Err(Wrong::Meaning(fault)) => match *fault {
                BuildFault::Failed { what, detail, .. } => format!("{what}\n{detail}"),
                fault @ (BuildFault::Source(_) | BuildFault::Io { .. }) => fault.to_string(),
            },
        }
    }

    #[test]
    fn every_mistake_of_a_project_is_told_at_once_with_its_place() {
        let said = checked(
            "nam = 'x'\n[python]\nthreads = 'real'\nstubs = 'fcntl'\n[javascript]\nengine = 'v8'\n[env]\nA = 1\n[limits]\nmemory = '64 apples'\nweight = 5\n",
        );
        for (line, what, allowed) in [
            (1, "`nam` is not known", "did you mean `name`?"),
            (3, "`python.threads` is \"real\"", "expected one of \"inline\""),
            (4, "`python.stubs` is \"fcntl\"", "expected"),
            (6, "`javascript.engine` is \"v8\"", "\"quickjs\""),
            (8, "`env.A` is 1", "expected"),
            (10, "`limits.memory` is \"64 apples\"", "write bytes, or 64KiB"),
            (11, "`limits.weight` is not known", "known are memory, "),
        ] {
            assert!(said.contains(what) && said.contains(allowed) && said.contains(&format!("wasgi.toml:{line}:")), "{what}: {said}");
        }
        assert!(said.contains("wasgi.toml has 7 problems"), "{said}");
        let said = checked("[build]\nwarm = ['x']\n[python]\nstubs = ['ctypes']\n");
        assert!(said.contains("`x` must start with `/`") && said.contains("there is no stub for `ctypes`"), "{said}");
        assert_eq!(checked("name = 'blog'\n[static]\n'/media/' = '/data/media'\n"), "Some(\"blog\")");
    }

    #[test]
    fn every_key_that_a_build_reads_can_be_checked() {
        let read: Json = serde_json::to_value(Settings::default()).unwrap();
        let keys = |value: &Json| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&read), keys(&schema()["properties"]));
        for table in ["build", "python", "c", "javascript"] {
            assert_eq!(keys(&read[table]), keys(&schema()["properties"][table]["properties"]), "{table}");
        }
    }
}
