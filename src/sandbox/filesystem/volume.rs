//! The folders that a guest sees, each opened once for all instances; and what one instance has open of them.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use wasmtime_wasi::{
    FsPerms,
    filesystem::{Dir, OpenMode},
};

use super::{
    beneath::{Missing, open_beneath},
    quota::Quota,
    tmp::Tmp,
};
use crate::ledger::Account;

/// How long the locks of a dropped instance wait for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// A folder of the host that a guest sees.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
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
    pub(super) fn stored(root: &Path, kept: &Kept, quota: Arc<Quota>) -> io::Result<Self> {
        let folder = open_beneath(root, &kept.inside, Missing::Make)?;
        let dir = Dir::new(folder, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        Ok(Self { guest: kept.guest.clone(), dir, kind: Kind::Stored, quota: Some(quota) })
    }

    /// `/`: empty, and without a name on the host. Code that makes a folder asks for those above it, and the first is this one.
    fn root() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        Self::read_only(&Folder { host: folder.path().to_owned(), guest: "/".to_owned() })
    }
}

pub(super) fn open(folder: &Path) -> io::Result<File> {
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
    /// The files of what is stored that it has had open.
    pub(super) written: Vec<Weak<File>>,
    /// Descriptors that are to stay open, and whether one of them was closed.
    held: HashMap<u32, usize>,
    lost: bool,
    pub(super) tmp: Tmp,
}

/// Descriptors that were open once, and whose folders they are of.
#[derive(Debug)]
pub(in crate::sandbox) struct Held(HashMap<u32, usize>);

impl Held {
    pub(in crate::sandbox) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Files {
    /// With a `/tmp`, which is empty.
    pub(in crate::sandbox) fn new(volumes: &Volumes, tmp: Tmp) -> io::Result<Self> {
        let (dir, mut volumes) = (tmp.dir()?, volumes.all.clone());
        volumes.push(Volume { guest: "/tmp".to_owned(), dir, kind: Kind::Temporary, quota: Some(Arc::clone(tmp.quota())) });
        Ok(Self {
            volumes,
            owners: HashMap::new(),
            used_storage: false,
            listings: 0,
            locks: HashMap::new(),
            written: Vec::new(),
            held: HashMap::new(),
            lost: false,
            tmp,
        })
    }

    /// A descriptor is closed.
    pub(super) fn closed(&mut self, descriptor: u32) {
        self.owners.remove(&descriptor);
        // Another one may get its number: it is another one.
        self.lost |= self.held.contains_key(&descriptor);
    }

    /// The descriptors that are open.
    pub(in crate::sandbox) fn hold(&mut self) -> Held {
        self.held.clone_from(&self.owners);
        self.lost = false;
        Held(self.owners.clone())
    }

    /// Whether the same are open, and no others.
    pub(in crate::sandbox) fn still_holds(&self, held: &Held) -> bool {
        !self.lost && self.owners == held.0 && self.locks.is_empty() && self.listings == 0
    }

    /// Makes them what they are for a new instance, whose `/tmp` is empty. False: that would take too long.
    pub(in crate::sandbox) fn rewind(&mut self) -> bool {
        self.used_storage = false;
        self.written.clear();
        self.tmp.empty()
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
pub(in crate::sandbox) struct Volumes {
    all: Vec<Volume>,
}

impl Volumes {
    /// Opens `read_only`, and what may be kept; what that grows by is kept in `usage`.
    pub(in crate::sandbox) fn open(read_only: &[Folder], storage: &[Storage], usage: &Account) -> io::Result<Self> {
        let mut volumes = read_only.iter().map(Volume::read_only).collect::<io::Result<Vec<_>>>()?;
        volumes.push(Volume::root()?);
        for Storage { root, folders, limit, names, allowance } in storage {
            let quota = Arc::new(Quota::stored(root.clone(), *limit, *names, *allowance, usage.clone()));
            for kept in folders {
                volumes.push(Volume::stored(root, kept, Arc::clone(&quota))?);
            }
        }
        Ok(Self { all: volumes })
    }
}

/// What a tenant may keep: folders that it may write, all within one of the host's, which has a quota.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Storage {
    /// The folder that the quota counts. Who runs the host owns it; what is in it is the guests'.
    pub root: PathBuf,
    /// What the guest sees of it.
    pub folders: Vec<Kept>,
    /// Bytes that it may hold, each name charged 4 KiB.
    pub limit: u64,
    /// Names that it may hold.
    pub names: u64,
    /// What these are counted from.
    pub allowance: Allowance,
}

/// A folder in a [`Storage`].
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Kept {
    /// Where it lies in the root: plain names, and nothing for the root itself. It is made if it is not there; a link is refused.
    pub inside: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
}

/// What a quota is counted from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Allowance {
    /// Everything that is there.
    #[default]
    All,
    /// What comes to what is there now: for a project, which is its author's.
    Growth,
}

impl Storage {
    /// Names that a tenant's storage holds: they are counted on the thread that serves, and that must take milliseconds.
    pub const NAMES: u64 = 16_384;
}

/// A guest that is dropped may leave a write on its way on another thread, which nothing stops. Its locks end when that has ended, or
/// another instance would roll back what is then written.
impl Drop for Files {
    fn drop(&mut self) {
        if self.locks.is_empty() {
            return;
        }
        let (locks, written) = (std::mem::take(&mut self.locks), std::mem::take(&mut self.written));
        let wait = move || {
            let started = Instant::now();
            while written.iter().any(|file| file.strong_count() > 0) && started.elapsed() < LAST_WRITES {
                thread::park_timeout(Duration::from_millis(1));
            }
            drop(locks);
        };
        if let Err(error) = thread::Builder::new().name("last-writes".into()).spawn(wait) {
            tracing::warn!("the locks of an instance end before its last writes may have: {error}");
        }
    }
}
