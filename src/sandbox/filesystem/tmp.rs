//! An instance's private `/tmp`: an empty folder that it begins with, that is emptied when it is rewound, and that goes with it.
//!
//! To make and to remove a folder costs more than most requests do, so one that no guest has touched serves the next instance, whosever it
//! is. One that was touched never does: a folder has times, which a guest can set, and another could read. Neither is done by the thread that
//! serves: folders that lie in the same one are made and removed one after the other, and where the disk has much to write each may take long.

use std::{
    collections::{HashMap, VecDeque},
    fs::FileTimes,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tempfile::TempDir;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    task::{JoinError, spawn_blocking},
};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Dir, OpenMode},
};

use super::{quota::Quota, volume::open};

/// Names that are removed between two requests; who has made more has his instance thrown away.
const FEW: u64 = 64;
/// Folders that wait for an instance, at most; and how many are made ahead.
const SPARES: usize = 128;
const AHEAD: usize = 8;
/// Folders of a tenant that are being removed, before his next instance waits for that: what he writes must not grow faster than it goes.
const REMOVALS: usize = 16;
/// Removals that run at once, of all tenants together: the threads for file calls are more, and must be there for these.
const REMOVERS: usize = 4;

/// Folders that no guest has touched. None is open: a burst must not leave its descriptors behind.
pub(in crate::sandbox) struct Spares {
    folders: Mutex<Vec<TempDir>>,
    /// Some are being made.
    makes: AtomicBool,
    /// What is removed is removed in turns.
    removers: Arc<Semaphore>,
    /// What of each tenant is to be removed, by his row in the ledger.
    removals: Mutex<HashMap<usize, Arc<Removals>>>,
}

impl Default for Spares {
    fn default() -> Self {
        let removers = Arc::new(Semaphore::new(REMOVERS));
        Self { folders: Mutex::default(), makes: AtomicBool::default(), removers, removals: Mutex::default() }
    }
}

impl Spares {
    fn folders(&self) -> MutexGuard<'_, Vec<TempDir>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn removals(&self, tenant: usize) -> Arc<Removals> {
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(removals.entry(tenant).or_default())
    }

    /// Keeps one that was not touched, unless there are enough. True: there are few.
    fn add(&self, folder: TempDir) -> bool {
        let mut folders = self.folders();
        if folders.len() < SPARES {
            folders.push(folder);
        }
        folders.len() < AHEAD
    }

    /// One of them, or a new one.
    async fn take(self: &Arc<Self>) -> io::Result<TempDir> {
        let (spare, left) = {
            let mut folders = self.folders();
            (folders.pop(), folders.len())
        };
        if left < AHEAD && !self.makes.swap(true, Ordering::SeqCst) {
            let spares = Arc::clone(self);
            drop(spawn_blocking(move || {
                // What fails here fails again where it is needed, and is told there.
                while new_folder().is_ok_and(|folder| spares.add(folder)) {}
                spares.makes.store(false, Ordering::SeqCst);
            }));
        }
        match spare {
            Some(folder) => Ok(folder),
            None => spawn_blocking(new_folder).await.map_err(JoinError::into).flatten(),
        }
    }
}

/// Folders of one tenant that are to be removed: one after the other, so that who fills many takes no more turns than another.
#[derive(Debug, Default)]
struct Removals {
    going: Mutex<Going>,
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Going {
    waiting: VecDeque<TempDir>,
    /// One is being removed, or waits for its turn.
    is_removing: bool,
}

impl Removals {
    fn going(&self) -> MutexGuard<'_, Going> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until they are few.
    async fn few(&self) {
        loop {
            let fewer = self.fewer.notified();
            let all = {
                let going = self.going();
                going.waiting.len() + usize::from(going.is_removing)
            };
            if all < REMOVALS {
                return;
            }
            fewer.await;
        }
    }

    /// Has it removed, on another thread; where there is none, at once.
    fn remove(self: &Arc<Self>, folder: TempDir, turns: &Arc<Semaphore>) {
        let Ok(runtime) = Handle::try_current() else { return drop(folder) };
        let begins = {
            let mut going = self.going();
            going.waiting.push_back(folder);
            !std::mem::replace(&mut going.is_removing, true)
        };
        if begins {
            drop(runtime.spawn(Remover { removals: Arc::clone(self), is_done: false }.remove_all(Arc::clone(turns))));
        }
    }

    fn next(&self) -> Option<TempDir> {
        let next = {
            let mut going = self.going();
            let next = going.waiting.pop_front();
            going.is_removing = next.is_some();
            next
        };
        self.fewer.notify_waiters();
        next
    }
}

/// Who removes a tenant's folders. Broken off, it leaves those that there are to the next.
struct Remover {
    removals: Arc<Removals>,
    is_done: bool,
}

impl Remover {
    async fn remove_all(mut self, turns: Arc<Semaphore>) {
        while let Some(folder) = self.removals.next() {
            // Who waits for a turn is served in the order of coming.
            let turn = turns.acquire().await;
            drop(spawn_blocking(move || drop(folder)).await);
            drop(turn);
        }
        self.is_done = true;
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if !self.is_done {
            self.removals.going().is_removing = false;
            self.removals.fewer.notify_waiters();
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
    removals: Arc<Removals>,
}

impl Tmp {
    /// An empty one, for an instance of a tenant; who waits for it holds nothing yet.
    pub(in crate::sandbox) async fn take(spares: &Arc<Spares>, tenant: usize, limit: u64) -> io::Result<Self> {
        let removals = spares.removals(tenant);
        removals.few().await;
        let folder = Some(spares.take().await?);
        let quota = Arc::new(Quota::life(limit));
        Ok(Self { folder, quota, touched: false, spares: Arc::clone(spares), removals })
    }

    /// The folder that the guest sees.
    pub(super) fn dir(&self) -> io::Result<Dir> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(Dir::new(open(folder.path())?, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false))
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
        if self.touched {
            self.removals.remove(folder, &self.spares.removers);
        } else {
            self.spares.add(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        task::Poll,
    };

    use super::*;

    async fn of(spares: &Arc<Spares>) -> Tmp {
        Tmp::take(spares, 0, 1 << 20).await.unwrap()
    }

    fn path(tmp: &Tmp) -> std::path::PathBuf {
        tmp.folder.as_ref().unwrap().path().to_owned()
    }

    #[tokio::test]
    async fn a_folder_that_was_not_touched_serves_the_next_instance() {
        let spares = Arc::default();
        let first = of(&spares).await;
        let folder = path(&first);
        // Those that are made ahead come before it.
        while spares.makes.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert_eq!(path(&of(&spares).await), folder);
    }

    #[tokio::test]
    async fn a_few_folders_are_made_ahead() {
        let spares = Arc::default();
        drop(of(&spares).await);
        while spares.makes.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let ready = spares.folders().len();
        assert!((AHEAD..=AHEAD + 1).contains(&ready), "{ready}");
    }

    async fn leave(spares: &Arc<Spares>, tenant: usize) -> std::path::PathBuf {
        let mut tmp = Tmp::take(spares, tenant, 1 << 20).await.unwrap();
        tmp.touch();
        path(&tmp)
    }

    async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_folder_that_was_touched_goes_and_the_next_instance_waits_while_many_are_going() {
        let spares = Arc::<Spares>::default();
        let busy = spares.removers.acquire_many(u32::try_from(REMOVERS).unwrap()).await.unwrap();
        let mut folders = Vec::new();
        for _ in 0..REMOVALS {
            folders.push(leave(&spares, 0).await);
        }
        let mut waiting = Box::pin(Tmp::take(&spares, 0, 1 << 20));
        assert!(is_pending(&mut waiting).await);
        assert!(folders.iter().all(|folder| folder.exists()));
        drop(busy);
        drop(waiting.await.unwrap());
        assert!(!folders.first().unwrap().exists());
        while spares.removals(0).going().is_removing {
            tokio::task::yield_now().await;
        }
        assert!(!folders.iter().any(|folder| folder.exists()));
    }

    #[tokio::test]
    async fn who_leaves_one_folder_waits_for_one_of_who_leaves_many() {
        let spares = Arc::<Spares>::default();
        let mut busy = spares.removers.acquire_many(u32::try_from(REMOVERS).unwrap()).await.unwrap();
        let mut theirs = Vec::new();
        for _ in 0..REMOVALS {
            theirs.push(leave(&spares, 0).await);
        }
        tokio::task::yield_now().await;
        let own = leave(&spares, 1).await;
        drop(busy.split(1));
        while own.exists() {
            tokio::task::yield_now().await;
        }
        assert!(theirs.last().unwrap().exists());
    }

    #[tokio::test]
    async fn so_many_are_removed_at_once_and_no_more() {
        let spares = Arc::<Spares>::default();
        let busy = spares.removers.acquire_many(u32::try_from(REMOVERS).unwrap()).await.unwrap();
        let mut folders = Vec::new();
        for tenant in 0..=REMOVERS {
            folders.push(leave(&spares, tenant).await);
        }
        tokio::task::yield_now().await;
        drop(busy);
        // Without a look at what has ended, no turn is given back.
        tokio::task::yield_now().await;
        assert_eq!(spares.removers.available_permits(), 0);
        while folders.iter().any(|folder| folder.exists()) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn removals_that_were_broken_off_go_on_with_the_next() {
        let spares = Arc::<Spares>::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let broken = runtime();
        let first = broken.block_on(leave(&spares, 0));
        drop(broken);
        assert!(!spares.removals(0).going().is_removing);
        runtime().block_on(async {
            let second = leave(&spares, 0).await;
            while first.exists() || second.exists() {
                tokio::task::yield_now().await;
            }
        });
    }

    #[tokio::test]
    async fn one_that_is_rewound_has_neither_files_nor_times_of_before() {
        let spares = Arc::default();
        let mut tmp = of(&spares).await;
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

    #[tokio::test]
    async fn one_with_a_folder_in_it_is_not_rewound() {
        let mut tmp = of(&Arc::default()).await;
        tmp.touch();
        std::fs::create_dir(path(&tmp).join("folder")).unwrap();
        assert!(!tmp.empty());
    }
}
