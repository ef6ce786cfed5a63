//! Locks on the files of a volume. WASI has none; SQLite's `unix-dotfile` VFS makes do with a folder `NAME.lock` beside the database, which
//! stays for ever when its maker dies. Here that folder is no folder but the operating system's own lock on the file `NAME`: it excludes
//! other instances and other processes of this host, and ends with whoever holds it.

use std::fs::{File, TryLockError};

use wasmtime_wasi::{
    filesystem::Descriptor,
    p2::{
        FsResult,
        bindings::filesystem::types::{DescriptorFlags, ErrorCode, HostDescriptor, OpenFlags, PathFlags},
    },
};

use super::{Fd, View, volume::Kind};

const ENDING: &str = ".lock";
/// Locks that an instance holds at once: each is an open file.
const LOCKS: usize = 64;

impl View<'_> {
    /// The file that the folder `path` is a lock on, if it is one.
    fn locked_by<'p>(&self, fd: &Fd, path: &'p str) -> Option<&'p str> {
        let volume = self.files.volume(fd.rep())?;
        let file = path.strip_suffix(ENDING)?;
        (volume.kind == Kind::Stored && !file.is_empty() && !file.ends_with('/')).then_some(file)
    }

    /// Takes the lock that the folder `path` stands for. `None`: it is a folder like others.
    pub(super) async fn lock(&mut self, fd: &Fd, path: &str) -> FsResult<Option<()>> {
        let Some(name) = self.locked_by(fd, path) else { return Ok(None) };
        let key = (fd.rep(), path.to_owned());
        if self.files.locks.contains_key(&key) {
            return Err(ErrorCode::Exist.into());
        }
        if self.files.locks.len() >= LOCKS {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let folder = Fd::new_borrow(fd.rep());
        let opened = self.wasi.open_at(folder, PathFlags::empty(), name.to_owned(), OpenFlags::empty(), DescriptorFlags::READ).await;
        let Ok(opened) = opened else { return Ok(None) };
        // A descriptor of its own: the lock belongs to it, and ends with it.
        let file = match self.wasi.table.get(&opened)? {
            Descriptor::File(file) => Some(std::sync::Arc::clone(&file.file)),
            Descriptor::Dir(_) => None,
        };
        HostDescriptor::drop(&mut self.wasi, opened).map_err(wasmtime_wasi::p2::FsError::trap)?;
        let Some(file) = file.and_then(std::sync::Arc::into_inner) else { return Ok(None) };
        self.files.used_storage = true;
        match File::try_lock(&file) {
            Ok(()) => {
                self.files.locks.insert(key, file);
                Ok(Some(()))
            }
            Err(TryLockError::WouldBlock) => Err(ErrorCode::Exist.into()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Lets the lock go that the folder `path` stands for. False: it is a folder like others.
    pub(super) fn unlock(&mut self, fd: &Fd, path: &str) -> bool {
        self.files.locks.remove(&(fd.rep(), path.to_owned())).is_some()
    }
}
