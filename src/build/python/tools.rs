//! The tools of a Python build, pinned.

use std::{path::Path, process::Command};

use super::super::{BuildFault, progress::Progress, venv::Venv};

/// The version of componentize-py. It decides about the guest's Python, too.
pub(super) const COMPONENTIZE: &str = "0.25.1";
/// The version of pip that installs packages.
pub(super) const PIP: &str = "26.3";
/// The Python inside the guest, as pip names it.
pub(super) const GUEST_PYTHON: &str = "3.14";

/// Where the tools lie.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    venv: Venv,
}

impl Tools {
    /// Takes the tools from the cache, or installs them.
    pub(super) fn provide(cache: &Path, progress: &dyn Progress) -> Result<Self, BuildFault> {
        let packages = [format!("componentize-py=={COMPONENTIZE}"), format!("pip=={PIP}")];
        let venv = Venv::provide(cache, &packages.each_ref().map(String::as_str), progress)?;
        Ok(Self { venv })
    }

    /// The environment's Python.
    pub(super) fn run_python(&self) -> Command {
        self.venv.python()
    }

    pub(super) fn pip(&self) -> Command {
        self.venv.pip()
    }

    pub(super) fn componentize(&self) -> Command {
        let mut command = Command::new(self.venv.program("componentize-py"));
        // It would add the packages of an environment that is active by chance.
        command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }
}
