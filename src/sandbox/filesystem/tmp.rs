//! An instance's private `/tmp`: an empty folder that it begins with, that is emptied when it is rewound, and that goes with it.
//!
//! To make and to remove a folder costs more than most requests do, so one that no guest has touched serves the next instance, whosever it
//! is. One that was touched never does: a folder has times, which a guest can set, and another could read.

use std::{
    fs::FileTimes,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tempfile::TempDir;
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Dir, OpenMode},
};

use super::{quota::Quota, volume::open};

/// Names that are removed between two requests; who has made more has his instance thrown away.
const FEW: u64 = 64;
/// Folders that wait for an instance.
const SPARES: usize = 128;

/// Folders that are being removed.
static REMOVING: AtomicUsize = AtomicUsize::new(0);
/// How many at once, before who leaves one removes it himself.
const REMOVALS: usize = 32;

/// Folders that no guest has touched. None is open: a burst must not leave its descriptors behind.
#[derive(Default)]
pub(in crate::sandbox) struct Spares(Mutex<Vec<TempDir>>);

impl Spares {
    /// Keeps one that was not touched, unless there are enough.
    fn add(&self, folder: io::Result<TempDir>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(folder) = folder
            && spares.len() < SPARES
        {
            spares.push(folder);
        }
    }
}

fn new_folder() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("wasgi-tmp-").tempdir()?;
    untimed(folder.path())?;
    Ok(folder)
}

/// Gives a folder the times that every new `/tmp` has.
fn untimed(folder: &Path) -> io::Result<()> {
    let times = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH).set_modified(SystemTime::UNIX_EPOCH);
    open(folder)?.set_times(times)
}

/// A private `/tmp`.
pub(in crate::sandbox) struct Tmp {
    folder: Option<TempDir>,
    quota: Arc<Quota>,
    /// A guest has changed something of it, its times included, or may have.
    touched: bool,
    spares: Arc<Spares>,
}

impl Tmp {
    /// An empty one, and the folder that the guest sees.
    pub(super) fn of(spares: &Arc<Spares>, limit: u64) -> io::Result<(Self, Dir)> {
        let spare = spares.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let folder = spare.map_or_else(new_folder, Ok)?;
        let dir = Dir::new(open(folder.path())?, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        let quota = Arc::new(Quota::life(limit));
        Ok((Self { folder: Some(folder), quota, touched: false, spares: Arc::clone(spares) }, dir))
    }

    pub(super) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// A guest is about to do something that may change it.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Makes it what a new one is, if that is little work.
    pub(super) fn empty(&mut self) -> bool {
        if !self.touched {
            return true;
        }
        let Some(folder) = &self.folder else { return false };
        let remove = || {
            for entry in std::fs::read_dir(folder.path())? {
                // A folder is no file, and is not removed so.
                std::fs::remove_file(entry?.path())?;
            }
            untimed(folder.path())
        };
        let emptied = self.quota.begins_anew(FEW) && remove().is_ok();
        self.touched = !emptied;
        emptied
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if !self.touched {
            self.spares.add(Ok(folder));
            return;
        }
        // What a guest has left there may take a while, and so may a new folder, where the disk has much to write: the guest's thread has
        // others to serve.
        let runtime = tokio::runtime::Handle::try_current().ok().filter(|_| REMOVING.load(Ordering::Relaxed) < REMOVALS);
        if let Some(runtime) = runtime {
            REMOVING.fetch_add(1, Ordering::Relaxed);
            let spares = Arc::clone(&self.spares);
            runtime.spawn_blocking(move || {
                spares.add(new_folder());
                drop(folder);
                REMOVING.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spares: &Arc<Spares>) -> Tmp {
        Tmp::of(spares, 1 << 20).unwrap().0
    }

    fn path(tmp: &Tmp) -> std::path::PathBuf {
        tmp.folder.as_ref().unwrap().path().to_owned()
    }

    #[test]
    fn a_folder_that_was_not_touched_serves_the_next_instance() {
        let spares = Arc::default();
        let first = of(&spares);
        let folder = path(&first);
        drop(first);
        assert_eq!(path(&of(&spares)), folder);
    }

    #[test]
    fn a_folder_that_was_touched_goes() {
        let spares = Arc::default();
        let mut first = of(&spares);
        let folder = path(&first);
        first.touch();
        drop(first);
        assert_eq!((folder.exists(), spares.0.lock().unwrap().len()), (false, 0));
    }

    #[test]
    fn one_that_is_rewound_has_neither_files_nor_times_of_before() {
        let spares = Arc::default();
        let mut tmp = of(&spares);
        let times = |tmp: &Tmp| path(tmp).metadata().map(|status| (status.modified().unwrap(), status.accessed().unwrap())).unwrap();
        let new = times(&tmp);
        tmp.touch();
        std::fs::write(path(&tmp).join("kept"), "by an earlier request").unwrap();
        let told = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(6_210_279));
        open(&path(&tmp)).unwrap().set_times(told).unwrap();
        assert_ne!(times(&tmp), new);
        assert!(tmp.empty());
        assert_eq!((times(&tmp), path(&tmp).read_dir().unwrap().count()), (new, 0));
    }

    #[test]
    fn one_with_a_folder_in_it_is_not_rewound() {
        let mut tmp = of(&Arc::default());
        tmp.touch();
        std::fs::create_dir(path(&tmp).join("folder")).unwrap();
        assert!(!tmp.empty());
    }
}
