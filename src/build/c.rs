//! C: clang and a C library for WebAssembly, as PyPI's `ziglang` brings them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    BuildFault, Request,
    command::{output, text},
    component::component,
    finish::alone,
    native::Compiled,
    progress::Progress,
    sdk,
    venv::Venv,
};

const ZIG: &str = "0.17.1";

/// Compiles the `.c` files of the folder, and the SDK with them.
pub(super) fn compile(request: &Request, progress: &dyn Progress) -> Result<Compiled, BuildFault> {
    let folder = &request.source.folder;
    let sources = sources(request)?;
    let alone = alone(&request.cache)?;
    let venv = Venv::provide(&request.cache, &[&format!("ziglang=={ZIG}")], progress)?;
    drop(alone);
    progress.step("compile", &format!("{} files with zig cc {ZIG}", sources.len()));
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let module = temporary.path().join("core.wasm");
    let sdk = Path::new(sdk::FOLDER).join("sdk/c");
    let zig = request.cache.join("zig");
    let mut compiler = venv.python();
    compiler.current_dir(folder).env("ZIG_GLOBAL_CACHE_DIR", &zig).env("ZIG_LOCAL_CACHE_DIR", &zig);
    compiler.args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-gline-tables-only", "-Wall"]);
    // Traps name files as their author knows them, and nothing of this machine.
    compiler.arg(format!("-ffile-prefix-map={}=.", folder.display()));
    compiler
        .arg(format!("-ffile-prefix-map={}=/wasgi", request.cache.display()))
        .arg("-I")
        .arg(&sdk)
        .args(&request.settings.c.flags)
        .args(&sources);
    for file in ["body.c", "environ.c", "errors.c", "gateway.c", "headers.c", "input.c", "rewind.c", "start_response.c"] {
        compiler.arg(sdk.join(file));
    }
    let ran = output(compiler.arg("-o").arg(&module))?;
    let said = text(&ran);
    if !ran.status.success() {
        let hint = if said.contains("undefined symbol: application") {
            "define `wasgi_body application(wasgi_environ *, wasgi_start_response *)`, as wasgi.h says"
        } else {
            ""
        };
        return Err(BuildFault::new("the C compiler failed", said, hint));
    }
    if !said.is_empty() {
        progress.warn(&said);
    }
    let module = fs::read(&module).map_err(BuildFault::io(&module))?;
    Ok(Compiled { inputs: module.clone(), builder: format!("ziglang {ZIG}"), component: Box::new(move || component(module)) })
}

/// What is compiled, seen from the folder: what the settings name, or every `.c` file that is not hidden.
fn sources(request: &Request) -> Result<Vec<PathBuf>, BuildFault> {
    let folder = &request.source.folder;
    let named = &request.settings.c.sources;
    if let Some(missing) = named.iter().find(|name| !folder.join(name).is_file()) {
        return Err(BuildFault::new(format!("c.sources: there is no file {}", folder.join(missing).display()), "", ""));
    }
    if !named.is_empty() {
        return Ok(named.iter().map(PathBuf::from).collect());
    }
    let seen = |entry: &walkdir::DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(seen) {
        let entry = entry.map_err(|error| BuildFault::io(folder)(error.into()))?;
        if entry.path().extension().is_some_and(|ending| ending == "c") {
            found.extend(entry.path().strip_prefix(folder).ok().map(Path::to_owned));
        }
    }
    Ok(found)
}
