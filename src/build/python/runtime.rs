//! The runtime that every Python application starts from: the guest's interpreter with the SDK in its memory and no application, made once
//! by componentize-py; and the standard library, compiled, with the time zones that a guest has no system for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    super::command::{last_lines, output, text, unreachable_index},
    BuildFault, Progress, embedded, hex,
    tools::{self, GUEST_PYTHON, Tools},
};

/// The module that componentize-py takes: it makes the interpreter ready, and offers what the WIT world exports.
const ENTRY: &str = "\
from wasgi import runtime

from wasgi.gateway import Application, Direct  # noqa: F401
from wasgi.release import Release  # noqa: F401
from wasgi.rewind import Rewind  # noqa: F401

runtime.build('/2')
";
/// The time zones of the guest: what an application requires of its own comes first.
const TZDATA: &str = "tzdata==2026.6";

/// Where the runtime lies.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    folder: PathBuf,
}

impl Runtime {
    /// Takes the runtime from the cache, or makes it.
    pub(super) fn provide(tools: &Tools, cache: &Path, progress: &dyn Progress) -> Result<Self, BuildFault> {
        let parent = cache.join("runtime");
        let runtime = Self { folder: parent.join(digest()) };
        if runtime.folder.is_dir() {
            return Ok(runtime);
        }
        progress.step("python", &format!("preparing Python {GUEST_PYTHON} for the guest, once"));
        fs::create_dir_all(&parent).map_err(BuildFault::io(&parent))?;
        let temporary = tempfile::tempdir_in(&parent).map_err(BuildFault::io(&parent))?;
        make(tools, temporary.path())?;
        let kept = temporary.keep();
        fs::rename(&kept, &runtime.folder).map_err(BuildFault::io(&runtime.folder))?;
        Ok(runtime)
    }

    /// The component.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.join("component.wasm")
    }

    /// The standard library.
    pub(super) fn python(&self) -> PathBuf {
        self.folder.join("python")
    }
}

/// Of everything that the runtime is made of.
pub(super) fn digest() -> String {
    let mut sum = Sha256::new();
    for part in [tools::COMPONENTIZE, TZDATA, ENTRY] {
        sum.update(format!("{part}\0"));
    }
    for (name, text) in embedded::files() {
        sum.update(format!("{name}\0{text}\0"));
    }
    hex(&sum.finalize())
}

/// Fills `folder` with `component.wasm` and `python`.
fn make(tools: &Tools, folder: &Path) -> Result<(), BuildFault> {
    let (sdk, wit, empty, component) = (folder.join("sdk"), folder.join("wit"), folder.join("empty"), folder.join("component.wasm"));
    let written = embedded::write(&sdk, &wit).and_then(|()| fs::write(sdk.join("wasgi_entry.py"), ENTRY));
    written.and_then(|()| fs::create_dir(&empty)).map_err(BuildFault::io(folder))?;
    let mut command = tools.componentize();
    command.arg("-d").arg(&wit).args(["-w", "app-python", "componentize", "wasgi_entry"]);
    // The application and its packages come later, to where they are now looked for: /0 and /1.
    for path in [&empty, &empty, &sdk] {
        command.arg("-p").arg(path);
    }
    let ran = output(command.arg("-o").arg(&component))?;
    let python = folder.join("python");
    if !ran.status.success() || !component.is_file() {
        return Err(BuildFault::new("componentize-py failed", last_lines(&text(&ran)), ""));
    }
    fs::rename(sdk.join("python"), &python).map_err(BuildFault::io(&python))?;
    let mut pip = tools.pip();
    pip.args(["install", "--quiet", "--only-binary", ":all:", "--no-compile", TZDATA, "--target"]).arg(python.join("fallback"));
    let installed = output(&mut pip)?;
    if !installed.status.success() {
        let printed = text(&installed);
        return Err(unreachable_index(&printed).unwrap_or_else(|| BuildFault::new("the time zones cannot be installed", printed, "")));
    }
    for folder in [&sdk, &wit, &empty] {
        fs::remove_dir_all(folder).map_err(BuildFault::io(folder))?;
    }
    Ok(())
}
