//! Keeps the cache within its bounds. A host says what it serves ([`Pins`]); of the rest, what was used least recently goes first.
//!
//! Several hosts may share a cache: each has a list of its own, and holds a lock for as long as it lives. What a dead host has listed is
//! nobody's. What was used a moment ago is left alone, for it may be on its way to a list.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::NamedTempFile;

use super::{
    Artifacts, CacheFault, Prepared,
    code::{LIBRARIES, LINES, LIST, libraries_of},
};
use crate::tenant::TenantId;

/// Where the lists lie.
pub(super) const PINS: &str = "pins";
/// How long something is left alone after it was used.
const REST: Duration = Duration::from_hours(1);
/// What lies in the cache beside compiled code, and goes with it.
const BESIDE: [&str; 2] = [LINES, LIST];
/// The same, in place of its ending.
const BOUND: &str = "bound";

/// What a host serves; nobody sweeps it away while this lives.
#[derive(Debug)]
pub struct Pins {
    cache: PathBuf,
    list: PathBuf,
    lock: NamedTempFile,
}

/// A release of a tenant's is being made while this lives.
#[derive(Debug)]
pub struct Staging {
    _lock: fs::File,
}

/// What a sweep found, and left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// Bytes that are left.
    pub bytes: u64,
    /// Files and bundles that were removed.
    pub removed: usize,
}

/// Something that can go.
#[derive(Debug)]
struct Item {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Artifacts {
    /// An empty list of what is served.
    ///
    /// # Errors
    /// [`CacheFault`] when it cannot be written.
    pub fn pins(&self) -> Result<Pins, CacheFault> {
        let fault = |source| self.fault(source);
        let lock = tempfile::Builder::new().suffix(".lock").tempfile_in(self.folder().join(PINS)).map_err(fault)?;
        lock.as_file().lock().map_err(fault)?;
        let list = lock.path().with_extension("list");
        Ok(Pins { cache: self.folder().to_owned(), list, lock })
    }

    /// Removes what no host serves, the least recently used first, until at most `most` bytes are left.
    ///
    /// # Errors
    /// When the cache cannot be read. What cannot be removed is left.
    pub fn sweep(&self, most: u64) -> io::Result<Swept> {
        // One at a time; who comes second has nothing to do.
        let alone = fs::File::create(self.folder().join(PINS).join("sweep"))?;
        if alone.try_lock().is_err() {
            return Ok(Swept::default());
        }
        let (pinned, mut items) = (self.pinned()?, self.items()?);
        let mut swept = Swept { bytes: items.iter().map(|item| item.bytes).sum(), removed: 0 };
        items.sort_by_key(|item| item.used);
        let rests = |item: &Item| item.used.elapsed().is_ok_and(|rest| rest >= REST);
        for item in items.iter().filter(|item| !pinned.contains(&item.path) && rests(item)) {
            if swept.bytes <= most {
                break;
            }
            // It may have been used since: to look at all takes a while.
            if used(&item.path).is_ok_and(|now| now == item.used) && remove(&item.path).is_ok() {
                swept.bytes = swept.bytes.saturating_sub(item.bytes);
                swept.removed += 1;
            }
        }
        Ok(swept)
    }

    /// Says that a release of a tenant's is being made, or is on its way to a list.
    ///
    /// # Errors
    /// [`CacheFault`] when it cannot be said.
    pub fn staging(&self, tenant: &TenantId) -> Result<Staging, CacheFault> {
        let locked = fs::File::create(self.staging_lock(tenant)).and_then(|file| file.lock_shared().map(|()| file));
        Ok(Staging { _lock: locked.map_err(|source| self.fault(source))? })
    }

    fn staging_lock(&self, tenant: &TenantId) -> PathBuf {
        self.folder().join(PINS).join(format!("{tenant}.staging"))
    }

    /// Removes the releases of a tenant that no host serves, but `keep`: they hold what an environment held. None while one is being made.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn forget_releases(&self, tenant: &TenantId, keep: Option<&Path>) -> io::Result<()> {
        let folder = self.releases(tenant);
        if !folder.is_dir() {
            return Ok(());
        }
        let alone = fs::File::create(self.staging_lock(tenant))?;
        if alone.try_lock().is_err() {
            return Ok(());
        }
        let pinned = self.pinned()?;
        for file in code_in(&folder)? {
            if !pinned.contains(&file) && keep != Some(&*file) {
                remove(&file)?;
            }
        }
        Ok(())
    }

    /// Says that something was used.
    pub(super) fn touch(path: &Path) {
        // One that cannot be touched is swept away a little earlier.
        let touched = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        touched.unwrap_or_default();
    }

    fn pinned(&self) -> io::Result<BTreeSet<PathBuf>> {
        let mut pinned = BTreeSet::new();
        for list in entries(&self.folder().join(PINS))?.into_iter().filter(|path| ends_with(path, "list")) {
            let held = fs::File::open(list.with_extension("lock")).is_ok_and(|lock| lock.try_lock().is_err());
            if held {
                pinned.extend(fs::read_to_string(&list)?.lines().map(|line| self.folder().join(line)));
            } else {
                drop((fs::remove_file(&list), fs::remove_file(list.with_extension("lock"))));
            }
        }
        Ok(pinned)
    }

    fn items(&self) -> io::Result<Vec<Item>> {
        let mut paths = code_in(&self.folder().join("code"))?;
        paths.extend(code_in(&self.folder().join(LIBRARIES))?);
        for tenant in entries(&self.folder().join("releases"))?.iter().filter(|path| path.is_dir()) {
            paths.extend(code_in(tenant)?);
        }
        paths.extend(entries(&self.folder().join("bundles"))?);
        Ok(paths.into_iter().filter_map(item).collect())
    }
}

impl Pins {
    /// From now on this is what the host serves.
    ///
    /// # Errors
    /// When the list cannot be written: then it is what it was.
    pub fn set<'a>(&self, served: impl IntoIterator<Item = &'a Prepared>) -> io::Result<()> {
        let lines: BTreeSet<_> = served.into_iter().flat_map(|prepared| self.lines(prepared)).collect();
        let mut text = NamedTempFile::new_in(self.cache.join(PINS))?;
        for line in lines {
            io::Write::write_all(&mut text, line.as_bytes())?;
            io::Write::write_all(&mut text, b"\n")?;
        }
        text.persist(&self.list)?;
        Ok(())
    }

    /// What an application's code and files are called in the cache.
    fn lines(&self, prepared: &Prepared) -> Vec<String> {
        let bundles = self.cache.join("bundles");
        let bundle = |path: &PathBuf| Some(bundles.join(path.strip_prefix(&bundles).ok()?.components().next()?));
        let code = libraries_of(&self.cache, &prepared.code).into_iter().chain([prepared.code.clone()]);
        let parts = prepared.files.iter().filter_map(|folder| bundle(&folder.host)).chain(code);
        parts.filter_map(|path| Some(path.strip_prefix(&self.cache).ok()?.display().to_string())).collect()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.list));
        // Its own file goes with it, and with that its lock.
        tracing::trace!("{} lists nothing any more", self.lock.path().display());
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

fn code_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| ends_with(path, "cwasm")).collect())
}

/// What lies beside code has its name and an ending more, or another one.
fn beside(code: &Path) -> [PathBuf; 3] {
    let [lines, list] = BESIDE.map(|ending| {
        let mut name = code.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        name.into()
    });
    [lines, list, code.with_extension(BOUND)]
}

/// When something was used last.
fn used(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

fn item(path: PathBuf) -> Option<Item> {
    let used = used(&path).ok()?;
    let size = |path: &Path| fs::symlink_metadata(path).map_or(0, |status| status.blocks().saturating_mul(512));
    let bytes = if path.is_dir() {
        walkdir::WalkDir::new(&path).into_iter().flatten().map(|entry| size(entry.path())).sum()
    } else {
        beside(&path).iter().chain([&path]).map(|path| size(path)).sum()
    };
    Some(Item { path, bytes, used })
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        // Under another name first: nobody finds half of it.
        let gone = path.with_extension("gone");
        fs::rename(path, &gone)?;
        return fs::remove_dir_all(gone);
    }
    fs::remove_file(path)?;
    for path in beside(path) {
        drop(fs::remove_file(path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::{Next, bundle::Bundle},
        limits::Limits,
        sandbox::Folder,
    };

    const PIECE: usize = 1 << 20;

    fn cache() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Artifacts::new(folder.path().join("cache")).unwrap();
        (folder, cache)
    }

    /// Code of a mebibyte, used so many hours ago.
    fn code(cache: &Artifacts, name: &str, hours: u64) -> PathBuf {
        let path = cache.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![1; PIECE]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(hours * 3600);
        fs::File::options().write(true).open(&path).unwrap().set_modified(used).unwrap();
        path
    }

    fn prepared(code: &Path, files: Vec<Folder>) -> Prepared {
        Prepared { code: code.to_owned(), files, meta: None, next: Next::Serve, is_found: true, not_rewound: None, kept_bytes: 0 }
    }

    #[test]
    fn what_was_used_least_recently_goes_and_what_is_served_or_was_used_just_now_stays() {
        let (_folder, cache) = cache();
        let names = ["code/oldest.cwasm", "code/served.cwasm", "releases/a/older.cwasm", "code/recent.cwasm"];
        let files: Vec<_> = names.iter().zip([9, 8, 7, 0]).map(|(name, hours)| code(&cache, name, hours)).collect();
        let pins = cache.pins().unwrap();
        pins.set([&prepared(&files[1], Vec::new())]).unwrap();
        let left = || files.iter().map(|file| file.exists()).collect::<Vec<_>>();

        assert_eq!(cache.sweep(4 * PIECE as u64).unwrap().removed, 0, "at the limit");
        assert_eq!((cache.sweep(3 * PIECE as u64).unwrap().removed, left()), (1, vec![false, true, true, true]));
        assert_eq!((cache.sweep(0).unwrap().removed, left()), (1, vec![false, true, false, true]));
        drop(pins);
        assert_eq!((cache.sweep(0).unwrap().removed, left()), (1, vec![false, false, false, true]));
    }

    #[test]
    fn a_library_stays_as_long_as_code_is_served_that_is_linked_with_it() {
        let (_folder, cache) = cache();
        let [served, other] = ["code/a.cwasm", "libraries/other.cwasm"].map(|name| code(&cache, name, 9));
        let library = code(&cache, "libraries/own.cwasm", 9);
        fs::write(cache.folder().join("code/a.cwasm.libraries"), r#"{"libraries": [["x", "own.cwasm"]], "pages": 1}"#).unwrap();
        let pins = cache.pins().unwrap();
        pins.set([&prepared(&served, Vec::new())]).unwrap();
        let left = || [&served, &library, &other].map(|file| file.exists());
        assert_eq!((cache.sweep(0).unwrap().removed, left()), (1, [true, true, false]));
        drop(pins);
        assert_eq!((cache.sweep(0).unwrap().removed, left()), (2, [false, false, false]));
    }

    #[test]
    fn a_bundle_that_was_just_unpacked_is_left_alone() {
        let (_folder, cache) = cache();
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join("app.py"), "").unwrap();
        let packed = Bundle::pack(&[("0", source.path())]).unwrap();
        let folders = cache.bundle(Path::new("app.wasm"), &packed, &Limits::default()).unwrap();
        assert_eq!((cache.sweep(0).unwrap().removed, folders.iter().map(|folder| folder.host.is_dir()).collect()), (0, vec![true]));
    }

    #[test]
    fn a_bundle_is_one_thing() {
        let (_folder, cache) = cache();
        let file = code(&cache, "bundles/abc/app/x.py", 0);
        let bundle = cache.folder().join("bundles/abc");
        fs::File::open(&bundle).unwrap().set_modified(SystemTime::now() - 2 * REST).unwrap();
        let pins = cache.pins().unwrap();
        let folder = Folder { host: bundle.join("app"), guest: "/app".to_owned() };
        pins.set([&prepared(&cache.folder().join("code/none.cwasm"), vec![folder])]).unwrap();
        assert_eq!((cache.sweep(0).unwrap().removed, file.exists()), (0, true));
        drop(pins);
        assert_eq!((cache.sweep(0).unwrap(), bundle.exists()), (Swept { bytes: 0, removed: 1 }, false));
    }

    #[test]
    fn releases_that_are_not_served_are_forgotten_at_once_and_a_dead_hosts_list_holds_nothing() {
        let (_folder, cache) = cache();
        let [old, new, other] = ["releases/a/old.cwasm", "releases/a/new.cwasm", "releases/b/old.cwasm"].map(|name| code(&cache, name, 0));
        fs::write(cache.folder().join(PINS).join("dead.list"), "releases/a/old.cwasm\n").unwrap();
        let pins = cache.pins().unwrap();
        pins.set([&prepared(&new, Vec::new())]).unwrap();
        let left = || [&old, &new, &other].map(|file| file.exists());
        let staging = cache.staging(&TenantId::of("a")).unwrap();
        cache.forget_releases(&TenantId::of("a"), None).unwrap();
        assert_eq!(left(), [true, true, true], "one is being made");
        drop(staging);
        cache.forget_releases(&TenantId::of("a"), None).unwrap();
        assert_eq!(left(), [false, true, true]);
        cache.forget_releases(&TenantId::of("never"), None).unwrap();
        drop(pins);
        let lists = entries(&cache.folder().join(PINS)).unwrap().into_iter().filter(|path| ends_with(path, "list"));
        assert_eq!(lists.count(), 0);
    }
}
