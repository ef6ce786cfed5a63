//! What changes in a project. Builds write into it, too: only what its author writes counts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
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
/// Folders that tools make.
const MADE: [&str; 5] = ["node_modules", "dist", "target", "build", "__pycache__"];

/// Files that tools write beside those of the author.
const LOCKS: [&str; 2] = ["Cargo.lock", "go.sum"];

/// A project that is watched.
pub(super) struct Watched {
    folder: PathBuf,
    seen: Files,
    changes: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

/// Each file's time and size.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl Watched {
    /// Watches from now on.
    pub(super) fn of(folder: &Path) -> Result<Self, Failure> {
        let unwatched =
            |error: notify::Error| Failure::failed(format!("{} cannot be watched: {error}", folder.display()), "`--no-watch` does without");
        let (events, changes) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Being read is no change.
            if !event.as_ref().is_ok_and(|event| event.kind.is_access()) {
                events.send(()).unwrap_or_default();
            }
        })
        .map_err(unwatched)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(unwatched)?;
        Ok(Self { folder: folder.to_owned(), seen: files(folder), changes, _watcher: watcher })
    }

    /// Waits for a change of something that the author wrote, and for those that belong to it.
    pub(super) fn changed(mut self) -> bool {
        self.next()
    }

    /// The same, again and again; false: nothing is watched any more.
    fn next(&mut self) -> bool {
        loop {
            if self.changes.recv().is_err() {
                return false;
            }
            while self.changes.recv_timeout(TOGETHER).is_ok() {}
            let seen = files(&self.folder);
            if seen != self.seen {
                self.seen = seen;
                return true;
            }
        }
    }
}

/// The files that an author writes: not in hidden folders, nor in those that tools make, nor in virtual environments.
fn files(folder: &Path) -> Files {
    let wanted = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let is_made = name.starts_with('.') || MADE.contains(&&*name) || entry.path().join("pyvenv.cfg").is_file();
        entry.depth() == 0 || if entry.file_type().is_dir() { !is_made } else { !LOCKS.contains(&&*name) }
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
    _stop: mpsc::Sender<()>,
}

impl Follow {
    /// `live` takes over what it can; everything else asks for a build.
    pub(super) fn start(mut watched: Watched, live: Option<Live>, app: Arc<App>, rebuild: oneshot::Sender<()>) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            while watched.next() && stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                if live.as_ref().is_none_or(|live| !taken_over(live, &app)) {
                    rebuild.send(()).unwrap_or_default();
                    return;
                }
            }
        });
        Self { _stop: stop }
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
