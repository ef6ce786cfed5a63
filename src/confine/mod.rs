//! The walls around a process of this host that meets what a tenant chose: a worker, a compiler, a releaser.
//!
//! The guest's own wall is WebAssembly's; these are for the day when that has a hole. The process can open no file but those that it needs
//! (Landlock), has no calls of the kernel but those of its work (seccomp: no new sockets, no other program, no look into other processes),
//! has no capabilities and gains none (`no_new_privs`), locks no memory, and leaves no core file. What a kernel lacks is told, not hidden.
//!
//! Knows no tenant and no component.

mod calls;
mod files;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};
use thiserror::Error;

/// What a process may do.
#[derive(Clone, Debug, Default)]
pub struct Walls {
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Folders that it may write in.
    pub write: Vec<PathBuf>,
    /// Bytes of address space, where the process does with a limit: one that runs guests reserves terabytes of it.
    pub address_space: Option<u64>,
}

/// What holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Held {
    /// How much of Landlock.
    pub files: Level,
    /// Whether the calls of the kernel are filtered.
    pub calls: bool,
}

/// How much of a wall a kernel offers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Level {
    /// None of it.
    #[default]
    None,
    /// A part: the kernel is older than this program.
    Part,
    /// All that this program asks for.
    Full,
}

impl Held {
    /// Whether nothing is missing without which the walls are none.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.files != Level::None && self.calls
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = match self.files {
            Level::None => "no landlock",
            Level::Part => "landlock (in part: the kernel is old)",
            Level::Full => "landlock",
        };
        write!(f, "{files}, {}, no_new_privs", if self.calls { "seccomp" } else { "no seccomp" })
    }
}

/// A wall that cannot be built for another reason than that the kernel lacks it.
#[derive(Debug, Error)]
#[error("this process cannot be confined: {0}")]
pub struct Unconfined(String);

/// The walls that have to stand before the process has a second thread: files, limits, privileges.
///
/// # Errors
/// [`Unconfined`] when the kernel offers a wall and refuses it.
pub fn before_threads(walls: &Walls) -> Result<Level, Unconfined> {
    let refused = |error: &dyn fmt::Display| Unconfined(error.to_string());
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| refused(&error))?;
    if let Some(bytes) = walls.address_space {
        setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) }).map_err(|error| refused(&error))?;
    }
    // Files: as many as this machine gives. Locked memory, queues of messages, signals and the priority of a real-time task: none.
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).map_err(|error| refused(&error))?;
    for resource in [Resource::Memlock, Resource::Msgqueue, Resource::Rtprio] {
        setrlimit(resource, none).map_err(|error| refused(&error))?;
    }
    // Who runs as root has no more rights than another who owns the files.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(|error| refused(&error))?;
    // When memory runs out, the kernel ends one that can be replaced.
    fs::write("/proc/self/oom_score_adj", "500").unwrap_or_default();
    rustix::thread::set_no_new_privs(true).map_err(|error| refused(&error))?;
    files::restrict(&walls.read, &walls.write).map_err(|error| refused(&error))
}

/// The wall that has to stand before the first guest runs, and behind everything that needs more: the filter of calls, for all threads.
/// `asks`: what may be asked with `ioctl` beside what every process may.
///
/// # Errors
/// [`Unconfined`] when the kernel has such filters and refuses this one.
pub fn before_guests(level: Level, asks: &[u64]) -> Result<Held, Unconfined> {
    match calls::restrict(asks) {
        Ok(()) => Ok(Held { files: level, calls: true }),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Held { files: level, calls: false }),
        Err(error) => Err(Unconfined(error.to_string())),
    }
}

/// What this kernel offers.
#[must_use]
pub fn offered() -> Held {
    Held { files: files::offered(), calls: calls::are_offered() }
}

/// A folder of its own for a process's temporary files.
///
/// # Errors
/// When it cannot be made.
pub fn temporary(within: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = within.join(name);
    if folder.exists() {
        // What a process has left there may be much. It goes beside, and under another name.
        let old = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(within)?.keep();
        fs::rename(&folder, &old)?;
        std::thread::Builder::new().name("remove".into()).spawn(move || {
            if let Err(error) = fs::remove_dir_all(&old) {
                tracing::warn!("{} cannot be removed: {error}", old.display());
            }
        })?;
    }
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).recursive(true).create(&folder)?;
    Ok(folder)
}
