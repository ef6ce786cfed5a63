//! The folders that a guest sees, each opened once for all instances; and what one instance has open of them.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Dir, OpenMode},
};

use super::quota::Quota;

/// A folder of the host that a guest sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    /// Where it lies.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
}

/// What is written in a volume goes where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Nowhere: it cannot be written.
    ReadOnly,
    /// Away, with the instance.
    Temporary,
    /// To disk, for good; and a folder `NAME.lock` is a lock on the file `NAME` (see [`super::locks`]).
    Stored,
}

/// An open folder with its rules.
#[derive(Clone)]
pub(super) struct Volume {
    pub guest: String,
    pub dir: Dir,
    pub kind: Kind,
    pub quota: Option<Arc<Quota>>,
}

impl Volume {
    /// A folder that is read only. Its calls are answered on the guest's own thread: they read what the operator put there, mostly from
    /// the page cache, and a change of threads costs more than the call.
    pub(super) fn read_only(folder: &Folder) -> io::Result<Self> {
        let dir = Dir::new(open(&folder.host)?, FsPerms::ReadOnly, OpenMode::READ, true);
        Ok(Self { guest: folder.guest.clone(), dir, kind: Kind::ReadOnly, quota: None })
    }

    /// A tenant's own folder. Its calls go to other threads: a guest could make them wait for a disk.
    pub(super) fn stored(folder: &Folder, quota: Arc<Quota>) -> io::Result<Self> {
        let dir = Dir::new(open(&folder.host)?, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        Ok(Self { guest: folder.guest.clone(), dir, kind: Kind::Stored, quota: Some(quota) })
    }

    /// `/`: empty, and without a name on the host. Code that makes a folder asks for those above it, and the first is this one.
    fn root() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        Self::read_only(&Folder { host: folder.path().to_owned(), guest: "/".to_owned() })
    }

    fn temporary(folder: &Path, limit: u64) -> io::Result<Self> {
        let dir = Dir::new(open(folder)?, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        Ok(Self { guest: "/tmp".to_owned(), dir, kind: Kind::Temporary, quota: Some(Arc::new(Quota::life(limit))) })
    }
}

fn open(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    if file.metadata()?.is_dir() { Ok(file) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// The files of one instance: the volumes of its application, a private `/tmp` that is removed with it, and what of them is open.
pub(in crate::sandbox) struct Files {
    pub(super) volumes: Vec<Volume>,
    /// Of which volume a descriptor is, by its number in the store's table.
    pub(super) owners: HashMap<u32, usize>,
    /// Whether it has opened or made anything in what is stored.
    pub(in crate::sandbox) used_storage: bool,
    /// Listings that are open.
    pub(super) listings: u64,
    /// The locks that it holds, by descriptor and path of the folder that stands for them.
    pub(super) locks: HashMap<(u32, String), File>,
    _tmp: TempDir,
}

impl Files {
    /// With a new, empty `/tmp`.
    pub(in crate::sandbox) fn new(volumes: &Volumes, tmp_bytes: u64) -> io::Result<Self> {
        let tmp = tempfile::Builder::new().prefix("wasgi-tmp-").tempdir()?;
        let mut volumes = volumes.0.clone();
        volumes.push(Volume::temporary(tmp.path(), tmp_bytes)?);
        Ok(Self { volumes, owners: HashMap::new(), used_storage: false, listings: 0, locks: HashMap::new(), _tmp: tmp })
    }

    /// Whether half of a quota for life is used: a reused instance retires then.
    pub(in crate::sandbox) fn is_worn(&self) -> bool {
        self.volumes.iter().filter_map(|volume| volume.quota.as_ref()).any(|quota| quota.is_worn())
    }

    pub(super) fn volume(&self, descriptor: u32) -> Option<&Volume> {
        self.owners.get(&descriptor).and_then(|owner| self.volumes.get(*owner))
    }
}

/// The volumes of an application, opened once.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Volumes(Vec<Volume>);

impl Volumes {
    /// Opens `read_only`, and `stored` with one quota for all of them; they lie in `root`.
    pub(in crate::sandbox) fn open(read_only: &[Folder], stored: Option<&Storage>) -> io::Result<Self> {
        let mut volumes = read_only.iter().map(Volume::read_only).collect::<io::Result<Vec<_>>>()?;
        volumes.push(Volume::root()?);
        if let Some(Storage { root, folders, limit }) = stored {
            let quota = Arc::new(Quota::stored(root.clone(), *limit));
            for folder in folders {
                volumes.push(Volume::stored(folder, Arc::clone(&quota))?);
            }
        }
        Ok(Self(volumes))
    }
}

/// What a tenant may keep: folders that it may write, all within one of the host's, which has a quota.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Storage {
    /// The folder that the quota counts.
    pub root: PathBuf,
    /// What the guest sees of it.
    pub folders: Vec<Folder>,
    /// Bytes that it may hold.
    pub limit: u64,
}
