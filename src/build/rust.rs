//! Rust: cargo, for the target wasm32-wasip2, whose linker makes a component by itself.

use std::{fs, path::Path, path::PathBuf, process::Command};

use super::{
    BuildFault, Request,
    command::{output, text},
    native::Compiled,
    progress::Progress,
};

const TARGET: &str = "wasm32-wasip2";
const INSTALL: &str = "install Rust by rustup: https://rustup.rs";

/// Builds the package in the folder, in its release profile.
pub(super) fn compile(request: &Request, progress: &dyn Progress) -> Result<Compiled, BuildFault> {
    let folder = &request.source.folder;
    target(folder, progress)?;
    progress.step("compile", &format!("cargo build --release --target {TARGET}"));
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--release", "--quiet", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    // Its own: in a shared one, two applications of one name take each other's place.
    cargo.arg("--target-dir").arg(folder.join("target"));
    let ran = cargo.stdin(std::process::Stdio::null()).output();
    let ran = ran.map_err(|error| BuildFault::new("`cargo` cannot be run", error.to_string(), INSTALL))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if !ran.status.success() {
        return Err(BuildFault::new("cargo failed", said, ""));
    }
    if !said.is_empty() {
        progress.warn(&said);
    }
    let file = made(&ran.stdout, folder)?;
    let component = fs::read(&file).map_err(BuildFault::io(&file))?;
    Ok(Compiled { inputs: component.clone(), builder: version(folder), component: Box::new(move || Ok(component)) })
}

/// Adds the target to rustup's toolchain. A toolchain of another origin says for itself that it lacks it.
fn target(folder: &Path, progress: &dyn Progress) -> Result<(), BuildFault> {
    let Ok(listed) = Command::new("rustup").current_dir(folder).args(["target", "list", "--installed"]).output() else { return Ok(()) };
    if !listed.status.success() || String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.trim() == TARGET) {
        return Ok(());
    }
    progress.step("tools", &format!("rustup target add {TARGET}, once"));
    let added = output(Command::new("rustup").current_dir(folder).args(["target", "add", TARGET]))?;
    if added.status.success() {
        return Ok(());
    }
    Err(BuildFault::new(format!("rustup does not add {TARGET}"), text(&added), "check the network, and rustup's toolchain"))
}

/// The one component that cargo made of the package in `folder`.
fn made(messages: &[u8], folder: &Path) -> Result<PathBuf, BuildFault> {
    let manifest = folder.join("Cargo.toml");
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let mut files: Vec<_> = messages
        .filter(|message| {
            message["reason"] == "compiler-artifact" && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
        })
        .flat_map(|message| {
            message["filenames"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).map(PathBuf::from).collect::<Vec<_>>()
        })
        .filter(|file| file.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        (None, _) => Err(BuildFault::new(
            format!("{} makes no component", manifest.display()),
            "",
            "its library needs `crate-type = [\"cdylib\"]`, as `wasgi new -t rust` writes it",
        )),
        (Some(_), false) => Err(BuildFault::new(
            format!("{} makes more than one component", manifest.display()),
            "",
            "an application is one; serve the others' files by their paths",
        )),
    }
}

fn version(folder: &Path) -> String {
    let told = Command::new("rustc").current_dir(folder).arg("--version").output().ok().filter(|ran| ran.status.success());
    told.map_or_else(|| "rustc".to_owned(), |ran| text(&ran))
}
