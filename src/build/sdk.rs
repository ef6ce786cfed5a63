//! The SDKs and the WIT package, inside this program: a build needs no other file of this repository. They are written into an application's
//! folder `.wasgi`, where its compiler and its author's editor find them; that folder is this program's own, and no part of the application.

use std::{fs, io, path::Path};

use super::{BuildFault, Language};

/// The folder.
pub(super) const FOLDER: &str = ".wasgi";
/// `wit/gateway.wit`.
pub(super) const GATEWAY: &str = include_str!("../../wit/gateway.wit");
/// `wit/rewind.wit`, of the same package.
pub(super) const REWIND: &str = include_str!("../../wit/rewind.wit");

macro_rules! files {
    ($folder:literal: $($name:literal)+) => {
        &[$((concat!($folder, "/", $name), include_str!(concat!("../../guest/", $folder, "/", $name))),)+]
    };
}

const RUST: &[(&str, &str)] = files! { "rust":
    "Cargo.toml" "src/body.rs" "src/environ.rs" "src/errors.rs" "src/exchange.rs" "src/headers.rs" "src/input.rs" "src/lib.rs" "src/start_response.rs"
};
const C: &[(&str, &str)] = files! { "c":
    "body.c" "environ.c" "errors.c" "gateway.c" "gateway.h" "headers.c" "input.c" "rewind.c" "start_response.c" "wasgi.h"
};
const GO: &[(&str, &str)] = files! { "go":
    "body.go" "environ.go" "errors.go" "gateway.go" "go.mod" "input.go" "nethttp/nethttp.go" "rewind.go" "start_response.go" "wasgi.go"
};
const JAVASCRIPT: &[(&str, &str)] = files! { "javascript":
    "body.js" "bytes.js" "environ.js" "errors.js" "exchange.js" "fetch.d.ts" "fetch.js" "gateway.js" "index.d.ts" "index.js" "input.js" "package.json" "quickjs-missing.js" "quickjs-web.js" "quickjs.js"
    "starlingmonkey.js" "start_response.js"
};

/// The files of a language's SDK, each under the language's name. Python's are the runtime's own.
fn files(language: &Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Python(_) => &[],
        Language::Rust => RUST,
        Language::C => C,
        Language::Go => GO,
        Language::JavaScript => JAVASCRIPT,
    }
}

/// Writes the SDK of `language` into `folder`, where it is not there as it is here: compilers go by the time of a file.
pub(super) fn provide(folder: &Path, language: &Language) -> Result<(), BuildFault> {
    let own = folder.join(FOLDER);
    // A stranger's project may have it lead anywhere.
    for folder in [&own, &own.join("sdk"), &own.join("wit")] {
        refuse_link(folder)?;
    }
    // In the application's workspace, the SDK is a member and no workspace of its own.
    let sdk = files(language).iter().map(|(name, text)| (own.join("sdk").join(name), text.replace("\n[workspace]\n", "")));
    // Git asks here, too.
    let others = [("wit/gateway.wit", GATEWAY), ("wit/rewind.wit", REWIND), (".gitignore", "*\n")]
        .map(|(name, text)| (own.join(name), text.to_owned()));
    for (file, text) in sdk.chain(others) {
        write(&file, &text).map_err(BuildFault::io(&file))?;
    }
    Ok(())
}

/// Refuses a path that is a link: of a folder that is wasgi's own, in a project that may be a stranger's.
///
/// # Errors
/// [`BuildFault`], with what to do.
pub fn refuse_link(path: &Path) -> Result<(), BuildFault> {
    if path.symlink_metadata().is_ok_and(|status| status.is_symlink()) {
        let hint = "remove it: it is wasgi's own, and is made again";
        return Err(BuildFault::new(format!("{} is a link, and is not followed", path.display()), "", hint));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if fs::read(file).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut temporary, text.as_bytes())?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_every_sdk_is_embedded() {
        for (language, files) in [("rust", RUST), ("c", C), ("go", GO), ("javascript", JAVASCRIPT)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest").join(language);
            let entries = walkdir::WalkDir::new(&folder).into_iter().filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                !["target", "node_modules", "build.mjs", "tools"].contains(&&*name) && !name.starts_with('.')
            });
            let mut found: Vec<_> = entries
                .map(Result::unwrap)
                .filter(|entry| entry.file_type().is_file())
                .map(|entry| entry.path().strip_prefix(folder.parent().unwrap()).unwrap().display().to_string())
                .filter(|name| {
                    !["README.md", "Cargo.lock", "go.sum"].iter().any(|left| name.ends_with(left)) && !name.ends_with("_test.go")
                })
                .collect();
            found.sort();
            let mut embedded: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
            embedded.sort();
            assert_eq!(embedded, found);
        }
    }
}
