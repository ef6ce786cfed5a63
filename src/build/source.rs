//! Which application is meant: a folder, a file, or `module:name`, as `flask --app` takes them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The files in which an application is looked for, in their order.
const FILES: [&str; 2] = ["wsgi.py", "app.py"];

/// An application's source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// Its folder; for Python, the one that its module is imported from.
    pub folder: PathBuf,
    /// What it is written in.
    pub language: Language,
}

/// What an application is written in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Language {
    /// Python, and where its application is.
    Python(Module),
    /// Rust: a folder with `Cargo.toml`.
    Rust,
    /// C: a folder with `.c` files.
    C,
    /// Go: a folder with `go.mod` or `.go` files.
    Go,
    /// JavaScript: a folder with `package.json`, `app.js` or `index.js`.
    JavaScript,
}

/// Where a Python application is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Module {
    /// The module.
    pub module: String,
    /// The name in it; without, the guest looks for one.
    pub attribute: Option<String>,
    /// The file of its management commands, in the folder: Django's `manage.py`.
    pub manage: Option<String>,
}

/// No application.
#[derive(Debug, Error)]
pub enum SourceFault {
    /// Nothing to look into.
    #[error("{0} is neither a folder nor a Python file nor `module:name`")]
    Unknown(String),
    /// A folder without one.
    #[error(
        "no application in {folder}: it has none of manage.py, {} (Python), Cargo.toml (Rust), go.mod (Go), package.json, app.js (JavaScript), a .c file (C)",
        FILES.join(", ")
    )]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// A module that is not there.
    #[error("no module `{module}` in {folder}")]
    NoModule {
        /// Its name.
        module: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The disk refuses.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Source {
    /// Finds what `what` means, seen from the folder `here`.
    ///
    /// # Errors
    /// [`SourceFault`].
    pub fn find(what: &str, here: &Path) -> Result<Self, SourceFault> {
        let path = here.join(what);
        if path.is_dir() {
            let folder = absolute(&path)?;
            return match language(&folder) {
                Some(language) => Ok(Self { folder, language }),
                None => Err(SourceFault::None { folder }),
            };
        }
        let (left, attribute) = match what.rsplit_once(':') {
            Some((left, name)) => (left, Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (what, None),
        };
        if let Some(file) = left.strip_suffix(".py") {
            let path = absolute(&here.join(left))?;
            let module = Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
            return match (path.parent(), module) {
                (Some(folder), Some(module)) => Ok(Self::python(folder, module, attribute)),
                _ => Err(SourceFault::Unknown(what.to_owned())),
            };
        }
        let identifier =
            |part: &str| part.chars().all(|c| c.is_alphanumeric() || c == '_') && !part.starts_with(|c: char| c.is_ascii_digit());
        if left.is_empty() || !left.split('.').all(|part| !part.is_empty() && identifier(part)) || !what.contains(':') {
            return Err(SourceFault::Unknown(what.to_owned()));
        }
        let folder = absolute(here)?;
        let file = folder.join(left.replace('.', "/"));
        if file.with_extension("py").is_file() || file.join("__init__.py").is_file() {
            Ok(Self::python(&folder, left.to_owned(), attribute))
        } else {
            Err(SourceFault::NoModule { module: left.to_owned(), folder })
        }
    }

    fn python(folder: &Path, module: String, attribute: Option<String>) -> Self {
        Self { folder: folder.to_owned(), language: Language::Python(Module { module, attribute, manage: manage(folder) }) }
    }

    /// A name for the built file: its folder's.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().map_or_else(|| "app".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Where the built file goes when nothing else is said.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.folder.join("dist").join(format!("{}.wasm", self.name()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.language, self.folder.display())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python(Module { module, attribute: Some(name), .. }) => write!(f, "{module}:{name}"),
            Self::Python(Module { module, .. }) => f.write_str(module),
            Self::Rust => f.write_str("Rust"),
            Self::C => f.write_str("C"),
            Self::Go => f.write_str("Go"),
            Self::JavaScript => f.write_str("JavaScript"),
        }
    }
}

/// What a folder holds. Python first: projects in Python often have a `package.json` for their pages.
fn language(folder: &Path) -> Option<Language> {
    let python = |module: String, attribute| Language::Python(Module { module, attribute, manage: manage(folder) });
    if let Some((module, attribute)) = django(folder) {
        return Some(python(module, attribute));
    }
    if let Some(file) = FILES.iter().find(|file| folder.join(file).is_file()) {
        return Some(python(file.trim_end_matches(".py").to_owned(), None));
    }
    let has = |name: &str| folder.join(name).is_file();
    let has_ending = |ending: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path.is_file() && path.extension().is_some_and(|found| found == ending))
    };
    if has("Cargo.toml") {
        Some(Language::Rust)
    } else if has("go.mod") || has_ending("go") {
        Some(Language::Go)
    } else if has("package.json") || has("app.js") || has("index.js") {
        Some(Language::JavaScript)
    } else if has_ending("c") {
        Some(Language::C)
    } else {
        None
    }
}

const MANAGE: &str = "manage.py";

fn manage(folder: &Path) -> Option<String> {
    folder.join(MANAGE).is_file().then(|| MANAGE.to_owned())
}

/// The application of a Django project, as its own files name it: `manage.py` the settings, and these `WSGI_APPLICATION`.
fn django(folder: &Path) -> Option<(String, Option<String>)> {
    let text = fs::read_to_string(folder.join(MANAGE)).ok()?;
    let settings = quoted_after(&text, "DJANGO_SETTINGS_MODULE\"").or_else(|| quoted_after(&text, "DJANGO_SETTINGS_MODULE'"))?;
    let (package, _) = settings.split_once('.')?;
    let file = folder.join(settings.replace('.', "/"));
    let found = [file.with_extension("py"), file.join("__init__.py")].iter().find_map(|file| fs::read_to_string(file).ok());
    let named = found.as_deref().and_then(|text| {
        let line = text.lines().find(|line| line.trim_start().starts_with("WSGI_APPLICATION"))?;
        quoted_after(line, "=")
    });
    match named.as_deref().and_then(|named| named.rsplit_once('.')) {
        Some((module, name)) => Some((module.to_owned(), Some(name.to_owned()))),
        None => Some((format!("{package}.wsgi"), None)),
    }
}

/// The next text in quotes behind `mark`.
fn quoted_after(text: &str, mark: &str) -> Option<String> {
    let (_, rest) = text.split_once(mark)?;
    let start = rest.find(['"', '\''])?;
    let quote = rest.get(start..=start)?;
    rest.get(start + 1..)?.split_once(quote).map(|(quoted, _)| quoted.to_owned())
}

fn absolute(path: &Path) -> Result<PathBuf, SourceFault> {
    path.canonicalize().map_err(|source| SourceFault::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(files: &[&str], what: &str) -> Result<(String, Option<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let place = folder.path().canonicalize().unwrap().display().to_string();
        let source = Source::find(what, folder.path()).map_err(|fault| fault.to_string().replace(&place, "HERE"))?;
        match source.language {
            Language::Python(module) => Ok((module.module, module.attribute)),
            other @ (Language::Rust | Language::C | Language::Go | Language::JavaScript) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn wsgi_py_comes_before_app_py() {
        assert_eq!(found(&["wsgi.py", "app.py"], "."), Ok(("wsgi".into(), None)));
        assert_eq!(found(&["app.py"], "."), Ok(("app".into(), None)));
        assert_eq!(found(&["main.py"], "."), Err("no application in HERE: it has none of manage.py, wsgi.py, app.py (Python), Cargo.toml (Rust), go.mod (Go), package.json, app.js (JavaScript), a .c file (C)".into()));
    }

    #[test]
    fn a_folder_says_by_its_files_what_it_is_written_in() {
        for (files, language) in [
            (&["Cargo.toml", "main.c"][..], "Rust"),
            (&["go.mod"], "Go"),
            (&["main.go"], "Go"),
            (&["package.json"], "JavaScript"),
            (&["app.js"], "JavaScript"),
            (&["hello.c"], "C"),
        ] {
            assert_eq!(found(files, "."), Err(language.into()));
        }
        assert_eq!(found(&["package.json", "app.py"], "."), Ok(("app".into(), None)));
    }

    #[test]
    fn a_django_project_names_its_application_itself() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("manage.py", "def main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n");
        let found = || {
            let Language::Python(found) = Source::find(".", folder.path()).unwrap().language else { panic!("no Python") };
            (found.module, found.attribute, found.manage)
        };
        assert_eq!(found(), ("mysite.wsgi".into(), None, Some("manage.py".into())));
        write("mysite/settings.py", "DEBUG = True\nWSGI_APPLICATION = \"mysite.server.application\"\n");
        assert_eq!(found(), ("mysite.server".into(), Some("application".into()), Some("manage.py".into())));
    }

    #[test]
    fn a_module_and_a_name_can_be_given() {
        assert_eq!(found(&["main.py"], "main:site"), Ok(("main".into(), Some("site".into()))));
        assert_eq!(found(&["a/b.py"], "a.b:site"), Ok(("a.b".into(), Some("site".into()))));
        assert_eq!(found(&["a/__init__.py"], "a:"), Ok(("a".into(), None)));
        assert_eq!(found(&["main.py"], "main.py:site"), Ok(("main".into(), Some("site".into()))));
        assert_eq!(found(&["main.py"], "main.py"), Ok(("main".into(), None)));
        assert_eq!(found(&[], "main:app"), Err("no module `main` in HERE".into()));
        assert_eq!(found(&[], "nowhere"), Err("nowhere is neither a folder nor a Python file nor `module:name`".into()));
        assert_eq!(found(&[], "../x:y"), Err("../x:y is neither a folder nor a Python file nor `module:name`".into()));
    }
}
