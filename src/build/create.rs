//! New applications: what `wasgi new` writes. The templates are folders of this repository, inside this program; the word APPNAME in them stands
//! for the application's name, and RANDOM for a secret.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{BuildFault, Language, Module, sdk};
use crate::artifact::hex;

macro_rules! template {
    ($folder:literal: $($name:literal)+) => {
        &[$(($name, include_str!(concat!("../../guest/templates/", $folder, "/", $name))),)+]
    };
}

/// What to begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Template {
    /// Flask: templates, a form, a page for errors.
    Flask,
    /// A Django project with its admin.
    Django,
    /// A callable in Python, and nothing else.
    Wsgi,
    /// Rust.
    Rust,
    /// C.
    C,
    /// Go, with net/http.
    Go,
    /// JavaScript, with the Fetch API.
    JavaScript,
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flask => "Python with Flask",
            Self::Django => "Python with Django",
            Self::Wsgi => "Python",
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Go => "Go",
            Self::JavaScript => "JavaScript",
        })
    }
}

impl Template {
    /// Its files, and their texts.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Flask => template! { "flask": "app.py" "gitignore" "requirements.txt" "templates/index.html" "wasgi.toml" },
            Self::Django => template! { "django":
                "APPNAME/__init__.py" "APPNAME/settings.py" "APPNAME/urls.py" "APPNAME/views.py" "APPNAME/wsgi.py" "env" "gitignore" "manage.py" "requirements.txt"
                "templates/index.html" "wasgi.toml"
            },
            Self::Wsgi => template! { "wsgi": "app.py" "gitignore" "wasgi.toml" },
            Self::Rust => template! { "rust": "Cargo.toml" "gitignore" "src/lib.rs" "wasgi.toml" },
            Self::C => template! { "c": "app.c" "gitignore" "wasgi.toml" },
            Self::Go => template! { "go": "app.go" "gitignore" "go.mod" "wasgi.toml" },
            Self::JavaScript => template! { "javascript": "app.js" "gitignore" "package.json" "wasgi.toml" },
        }
    }

    fn language(self) -> Language {
        match self {
            Self::Flask | Self::Django | Self::Wsgi => Language::Python(Module { module: String::new(), attribute: None, manage: None }),
            Self::Rust => Language::Rust,
            Self::C => Language::C,
            Self::Go => Language::Go,
            Self::JavaScript => Language::JavaScript,
        }
    }
}

/// Writes a new application into `folder`, which is made; its last part is the application's name.
///
/// # Errors
/// [`BuildFault`] for a name that not all languages could take, and for a folder that has something in it.
pub fn create(template: Template, folder: &Path) -> Result<(), BuildFault> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_name(&name) {
        let hint =
            "an application's name has letters, digits and `_`, begins with a letter, and has at most 40 of them: it names a package, too";
        return Err(BuildFault::new(format!("`{name}` cannot name an application"), "", hint));
    }
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BuildFault::new(format!("{} has something in it", folder.display()), "", "give another name; nothing was written"));
    }
    let secret = secret().map_err(BuildFault::io(Path::new(RANDOM)))?;
    for (file, text) in template.files() {
        // Called .gitignore, it would hold in this repository, too.
        let hidden = if matches!(*file, "gitignore" | "env") { "." } else { "" };
        let file = folder.join(format!("{hidden}{}", file.replace("APPNAME", &name)));
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(BuildFault::io(parent))?;
        let text = text.replace("APPNAME", &name).replace("RANDOM", &secret);
        // A secret is its owner's from the beginning.
        let mode = if file.ends_with(".env") { 0o600 } else { 0o644 };
        let written =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&file).and_then(|mut to| to.write_all(text.as_bytes()));
        written.map_err(BuildFault::io(&file))?;
    }
    match template.language() {
        Language::Python(_) => Ok(()),
        language @ (Language::Rust | Language::C | Language::Go | Language::JavaScript) => sdk::provide(folder, &language),
    }
}

const RANDOM: &str = "/dev/urandom";

fn secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open(RANDOM)?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

/// What Python, Go or a template calls something of its own: an application of that name would stand before it, or behind.
const TAKEN: &str = "\
    abc aifc antigravity archive arena argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect bufio \
    builtin builtins bytes bz2 calendar cgi cgitb chunk cmath cmd cmp code codecs codeop collections colorsys compileall compress \
    concurrent configparser container context contextlib contextvars copy copyreg crypt crypto csv ctypes curses database dataclasses \
    datetime dbm debug decimal difflib dis distutils django doctest email embed encoding encodings ensurepip enum errno errors expvar \
    faulthandler fcntl filecmp fileinput flag flask fmt fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob go \
    graphlib grp gzip hash hashlib heapq hmac html http idlelib image imaplib imghdr imp importlib index inspect internal io ipaddress \
    iter itertools jinja2 json keyword lib2to3 linecache locale log logging lzma mailbox mailcap main maps marshal math mime mimetypes \
    mmap modulefinder msilib msvcrt multiprocessing net netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os \
    ossaudiodev path pathlib pdb pickle pickletools pipes pkgutil platform plistlib plugin poplib posix posixpath pprint profile pstats \
    pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reflect regexp reprlib resource rlcompleter runpy \
    runtime sched secrets select selectors shelve shlex shutil signal site slices smtpd smtplib sndhdr socket socketserver sort spwd \
    sqlite3 sre_compile sre_constants sre_parse ssl stat statistics strconv string stringprep strings struct structs subprocess sunau \
    symtable sync sys syscall sysconfig syslog tabnanny tarfile telnetlib tempfile termios test testing text textwrap this threading time \
    timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicode unicodedata unique \
    unittest unsafe urllib uu uuid vendor venv warnings wasgi wave weak weakref webbrowser werkzeug winreg winsound wsgiref xdrlib xml \
    xmlrpc zipapp zipfile zipimport zlib zoneinfo";

/// Whether cargo, Go, npm, Django and a tenant can all be called `name`.
fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !TAKEN.split_whitespace().any(|taken| taken == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Template, &str); 7] = [
        (Template::Flask, "flask"),
        (Template::Django, "django"),
        (Template::Wsgi, "wsgi"),
        (Template::Rust, "rust"),
        (Template::C, "c"),
        (Template::Go, "go"),
        (Template::JavaScript, "javascript"),
    ];

    #[test]
    fn every_file_of_every_template_is_embedded() {
        for (template, folder) in ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/templates").join(folder);
            let entries = walkdir::WalkDir::new(&folder).sort_by_file_name().into_iter().map(Result::unwrap);
            let mut found: Vec<_> = entries
                .filter(|entry| entry.file_type().is_file())
                .map(|entry| entry.path().strip_prefix(&folder).unwrap().display().to_string())
                .collect();
            found.sort();
            assert_eq!(template.files().iter().map(|(name, _)| *name).collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn a_name_that_some_language_could_not_take_is_refused_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "a b", "1a", "a-b", "Blog", "test", "json", "net", &"a".repeat(41)] {
            assert!(create(Template::C, &folder.path().join("x").with_file_name(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let blog = folder.path().join("blog");
        create(Template::Wsgi, &blog).unwrap();
        fs::write(blog.join("app.py"), "mine").unwrap();
        assert!(create(Template::Wsgi, &blog).unwrap_err().to_string().ends_with("has something in it"));
        assert_eq!(fs::read_to_string(blog.join("app.py")).unwrap(), "mine");
    }
}
