//! What changes in a project. Builds write into it, too: only what its author writes counts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::oneshot;

use super::super::{build::Talk, fault::Failure};
use crate::{
    build::{Change, Live, Progress},
    sandbox::App,
};

/// How long changes are waited for that belong together: an editor writes a file in several steps.
const TOGETHER: Duration = Duration::from_millis(100);
/// How long at most: something may be written all the time.
const AT_MOST: Duration = Duration::from_secs(1);
/// Folders that tools make: at the top of a project, and anywhere.
const MADE: [&str; 3] = ["dist", "target", "build"];
const MADE_ANYWHERE: [&str; 2] = ["node_modules", "__pycache__"];
/// Files that compilers write beside those of the author.
const LOCKS: [&str; 2] = ["Cargo.lock", "go.sum"];

/// A project that is watched.
pub(super) struct Watched {
    folder: PathBuf,
    data: Option<PathBuf>,
    seen: Files,
    events: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    stopped: Arc<AtomicBool>,
    _watcher: notify::RecommendedWatcher,
}

/// Each file's time and size.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Watched {
    /// Watches from now on; `data` is the guest's, wherever it lies.
    pub(super) fn of(folder: &Path, data: Option<&Path>) -> Result<Self, Failure> {
        let unwatched =
            |error: notify::Error| Failure::failed(format!("{} cannot be watched: {error}", folder.display()), "`--no-watch` does without");
        let (events, changes) = mpsc::channel();
        let told = events.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Being read is no change.
            if !event.as_ref().is_ok_and(|event| event.kind.is_access()) {
                told.send(()).unwrap_or_default();
            }
        })
        .map_err(unwatched)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(unwatched)?;
        let data = data.and_then(|data| data.canonicalize().ok());
        let seen = files(folder, data.as_deref());
        let stopped = Arc::new(AtomicBool::new(false));
        Ok(Self { folder: folder.to_owned(), data, seen, events, changes, stopped, _watcher: watcher })
    }

    /// What a build has just written is no change.
    pub(super) fn built(&mut self) {
        let is_lock = |path: &Path| LOCKS.iter().any(|name| path.ends_with(name));
        let now = files(&self.folder, self.data.as_deref());
        self.seen.retain(|path, _| !is_lock(path));
        self.seen.extend(now.into_iter().filter(|(path, _)| is_lock(path)));
    }

    /// What stops its waiting.
    pub(super) fn stop(&self) -> Stop {
        Stop { stopped: Arc::clone(&self.stopped), events: self.events.clone() }
    }

    /// Waits for a change of something that the author wrote, and for those that belong to it; false: it was stopped.
    pub(super) fn next(&mut self) -> bool {
        loop {
            let woken = self.changes.recv();
            if woken.is_err() || self.stopped.load(Ordering::SeqCst) {
                return false;
            }
            let started = Instant::now();
            while started.elapsed() < AT_MOST && self.changes.recv_timeout(TOGETHER).is_ok() {}
            let seen = files(&self.folder, self.data.as_deref());
            if seen != self.seen {
                self.seen = seen;
                return true;
            }
        }
    }
}

/// Stops the waiting for changes, when it is dropped.
pub(super) struct Stop {
    stopped: Arc<AtomicBool>,
    events: mpsc::Sender<()>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.events.send(()).unwrap_or_default();
    }
}

/// The files that an author writes: nothing that is hidden but `.env`, nothing that tools make, no virtual environment, no cache, and not
/// what the guest keeps.
fn files(folder: &Path, data: Option<&Path>) -> Files {
    let wanted = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        if entry.depth() == 0 {
            return true;
        }
        if !entry.file_type().is_dir() {
            return !name.starts_with('.') || name == ".env";
        }
        let made = MADE_ANYWHERE.contains(&&*name) || (entry.depth() == 1 && MADE.contains(&&*name));
        let has = |file: &str| entry.path().join(file).is_file();
        !(made || name.starts_with('.') || has("pyvenv.cfg") || has("CACHEDIR.TAG") || data == Some(entry.path()))
    };
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_entry(wanted).flatten();
    // What vanishes while it is looked at has changed.
    let described = |entry: walkdir::DirEntry| {
        let described = entry.metadata().map_or((None, 0), |status| (status.modified().ok(), status.len()));
        (entry.into_path(), described)
    };
    entries.filter(|entry| !entry.file_type().is_dir()).map(described).collect()
}

/// Follows a project on a thread of its own, until it is dropped.
pub(super) struct Follow {
    stop: Option<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Follow {
    /// `live` takes over what it can; everything else asks for a build.
    pub(super) fn start(mut watched: Watched, live: Option<Live>, app: Arc<App>, rebuild: oneshot::Sender<()>) -> Self {
        let stop = watched.stop();
        let thread = thread::spawn(move || {
            while watched.next() {
                if live.as_ref().is_none_or(|live| !taken_over(live, &app)) {
                    rebuild.send(()).unwrap_or_default();
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Follow {
    /// Waits for the thread, which has the copy of the application that is to be removed.
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join).and_then(Result::ok).unwrap_or_default();
    }
}

/// Takes over what has changed; false: it takes a build.
fn taken_over(live: &Live, app: &App) -> bool {
    let started = Instant::now();
    match live.refresh() {
        Ok(Change::Nothing) => {}
        Ok(Change::Build) => return false,
        Ok(change @ (Change::Content | Change::Code)) => {
            if change == Change::Code || !app.rereads_content() {
                app.renew();
            }
            let took = started.elapsed().as_secs_f64() * 1e3;
            let what = if change == Change::Code { "code" } else { "templates or static files" };
            Talk.step("change", &format!("{what}, taken over in {took:.0} ms"));
        }
        Err(fault) => Failure::from(fault).print(),
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_an_author_writes_counts() {
        let folder = tempfile::tempdir().unwrap();
        let counted = [".env", "Cargo.lock", "app.py", "src/build/mod.rs", "static/dist/app.js"];
        let left = [
            ".app.c.swp",
            ".git/index",
            ".wasgi/data/x",
            "data/x",
            "dist/app.wasm",
            "node_modules/a/index.js",
            "out/CACHEDIR.TAG",
            "out/release/x",
            "src/node_modules/b.js",
            "target/x",
            "venv/lib/x.py",
            "venv/pyvenv.cfg",
        ];
        for name in counted.iter().chain(&left) {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let data = folder.path().join("data");
        let found: Vec<_> = files(folder.path(), Some(&data)).into_keys().collect();
        let expected: Vec<_> = counted.iter().map(|name| folder.path().join(name)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_build_writes_beside_the_authors_files_is_no_change_and_later_changes_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = Watched::of(folder.path(), None).unwrap();
        fs::write(folder.path().join("Cargo.lock"), "1").unwrap();
        watched.built();
        fs::write(folder.path().join("app.c"), "1").unwrap();
        assert!(watched.next());
        fs::write(folder.path().join("Cargo.lock"), "1 2").unwrap();
        assert!(watched.next());
        drop(watched.stop());
        assert!(!watched.next());
    }
}
