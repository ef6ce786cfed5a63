//! The tools of a build, in an environment of their own: a Python of this machine, and a pinned componentize-py.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{BuildFault, progress::Progress};

/// The version of componentize-py. It decides about the guest's Python, too.
pub(super) const COMPONENTIZE: &str = "0.25.1";
/// The version of pip that installs packages.
pub(super) const PIP: &str = "26.3";
/// The Python inside the guest, as pip names it.
pub(super) const GUEST_PYTHON: &str = "3.14";

const INSTALL_PYTHON: &str = "install Python 3.10 or newer with venv and pip: `apt-get install python3 python3-venv python3-pip`";

/// Where the tools lie.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Takes the environment from the cache, or makes it. One that was not finished is made anew.
    pub(super) fn provide(cache: &Path, progress: &dyn Progress) -> Result<Self, BuildFault> {
        let folder = cache.join("tools").join(format!("componentize-py-{COMPONENTIZE}-pip-{PIP}"));
        let done = folder.join(".done");
        let tools = Self { folder };
        if done.is_file() && tools.python().exists() {
            return Ok(tools);
        }
        progress.step("tools", &format!("installing componentize-py {COMPONENTIZE} and pip {PIP}, once"));
        let python = system_python()?;
        if tools.folder.exists() {
            fs::remove_dir_all(&tools.folder).map_err(BuildFault::io(&tools.folder))?;
        }
        let made = output(Command::new(&python).args(["-m", "venv"]).arg(&tools.folder))?;
        if !made.status.success() {
            return Err(BuildFault::new("a Python environment cannot be made", text(&made), INSTALL_PYTHON));
        }
        let wanted = [format!("componentize-py=={COMPONENTIZE}"), format!("pip=={PIP}")];
        let mut install = tools.pip();
        install.args(["install", "--quiet", "--only-binary", ":all:"]).args(&wanted);
        let installed = output(&mut install)?;
        if !installed.status.success() {
            return Err(unreachable_index(&text(&installed))
                .unwrap_or_else(|| BuildFault::new(format!("componentize-py {COMPONENTIZE} cannot be installed"), text(&installed), "")));
        }
        fs::write(&done, "").map_err(BuildFault::io(&done))?;
        Ok(tools)
    }

    fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// The environment's Python, apart from what the person's own environment says.
    pub(super) fn run_python(&self) -> Command {
        let mut command = Command::new(self.python());
        command.arg("-I");
        command
    }

    pub(super) fn pip(&self) -> Command {
        let mut command = self.run_python();
        command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "2"]);
        command
    }

    pub(super) fn componentize(&self) -> Command {
        let mut command = Command::new(self.folder.join("bin/componentize-py"));
        // It would add the packages of an environment that is active by chance.
        command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
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

/// Runs a command to its end.
pub(super) fn output(command: &mut Command) -> Result<Output, BuildFault> {
    let program = command.get_program().to_owned();
    command.stdin(std::process::Stdio::null()).output().map_err(|error| {
        let program = Path::new(&program).file_name().unwrap_or(OsStr::new("a tool")).to_string_lossy().into_owned();
        BuildFault::new(format!("`{program}` cannot be run"), error.to_string(), "")
    })
}

/// What a command printed.
pub(super) fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// The fault of a pip that reaches no index, which is told apart from a package that is not there.
pub(super) fn unreachable_index(printed: &str) -> Option<BuildFault> {
    let signs = [
        "NewConnectionError",
        "Temporary failure in name resolution",
        "ConnectTimeoutError",
        "ProxyError",
        "Max retries exceeded",
        "SSLError",
        "Failed to establish",
    ];
    signs.iter().any(|sign| printed.contains(sign)).then(|| {
        let hint = "check the network; behind a mirror, set `index-url` in pip's configuration or PIP_INDEX_URL";
        BuildFault::new("the package index cannot be reached", last_lines(printed), hint)
    })
}

/// The last lines of a long text.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
}
