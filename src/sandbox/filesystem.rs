//! `wasi:filesystem`, as wasmtime-wasi answers it, with a quota on the one folder that a guest may write: its private `/tmp`.
//!
//! Every call is handed on; those that use disk are charged first. A guest is charged for all that it writes in its life, and not
//! credited for what it deletes: an unlinked file that is still open uses disk too, and nobody sees it. So the disk that one instance can
//! hold is bounded, whatever it does.

use std::{
    io, path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tempfile::TempDir;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::{
    filesystem::{WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::{
        DynInputStream, DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
        bindings::filesystem::types::{self, ErrorCode, HostDescriptor, HostDirectoryEntryStream},
    },
};

use super::state::State;

/// What a new name costs: an inode and its entry.
const NAME_BYTES: u64 = 4 << 10;
/// Names that an instance may make in its life. Removing them takes time, and listing them memory.
const NAMES: u64 = 4_096;
/// Folders that it may make: none lies deeper, so that removing them takes few files and little stack.
const FOLDERS: u64 = 64;
/// Listings that it may hold open: each is read whole into the host's memory.
const LISTINGS: u64 = 4;

/// The private folder of one instance, removed with it.
pub(super) struct Tmp {
    folder: TempDir,
    quota: Arc<Quota>,
}

impl Tmp {
    /// Makes a new, empty folder.
    pub(super) fn new(limit: u64) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("wasgi-tmp-").tempdir()?;
        Ok(Self { folder, quota: Arc::new(Quota { limit, ..Quota::default() }) })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &path::Path {
        self.folder.path()
    }

    /// Whether half of the quota is used: a reused instance retires then.
    pub(super) fn is_worn(&self) -> bool {
        let half = |used: &AtomicU64, limit: u64| used.load(Ordering::Relaxed) > limit / 2;
        half(&self.quota.used, self.quota.limit) || half(&self.quota.names, NAMES) || half(&self.quota.folders, FOLDERS)
    }
}

#[derive(Debug, Default)]
struct Quota {
    limit: u64,
    used: AtomicU64,
    names: AtomicU64,
    folders: AtomicU64,
    listings: AtomicU64,
}

/// Adds to a count, within its limit.
fn add(count: &AtomicU64, more: u64, limit: u64) -> bool {
    let added = |count: u64| count.checked_add(more).filter(|count| *count <= limit);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
}

/// Takes one from a count.
fn take(count: &AtomicU64) {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).unwrap_or_default();
}

impl Quota {
    fn charge(&self, bytes: u64) -> Result<(), ErrorCode> {
        if add(&self.used, bytes, self.limit) { Ok(()) } else { Err(ErrorCode::InsufficientSpace) }
    }

    fn charge_name(&self) -> Result<(), ErrorCode> {
        self.charge(NAME_BYTES)?;
        if add(&self.names, 1, NAMES) { Ok(()) } else { Err(ErrorCode::InsufficientSpace) }
    }

    fn charge_len(&self, bytes: usize) -> Result<(), ErrorCode> {
        self.charge(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Replaces wasmtime-wasi's `wasi:filesystem/types` in `linker`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<State, Filesystem>(linker, |state| {
        let quota = Arc::clone(&state.tmp.quota);
        View { wasi: state.filesystem(), quota }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Filesystem;

impl HasData for Filesystem {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    quota: Arc<Quota>,
}

type Fd = Resource<types::Descriptor>;

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: wasmtime_wasi::p2::FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.filesystem_error_code(error)
    }
}

impl HostDescriptor for View<'_> {
    async fn write(&mut self, fd: Fd, data: Vec<u8>, offset: u64) -> FsResult<u64> {
        self.quota.charge_len(data.len())?;
        self.wasi.write(fd, data, offset).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.quota.charge(size)?;
        self.wasi.set_size(fd, size).await
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let stream = self.wasi.write_via_stream(fd, offset)?;
        self.charged(stream)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let stream = self.wasi.append_via_stream(fd)?;
        self.charged(stream)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.quota.charge_name()?;
        if !add(&self.quota.folders, 1, FOLDERS) {
            return Err(ErrorCode::InsufficientSpace.into());
        }
        self.wasi.create_directory_at(fd, path).await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        if open_flags.contains(types::OpenFlags::CREATE) {
            self.quota.charge_name()?;
        }
        self.wasi.open_at(fd, path_flags, path, open_flags, flags).await
    }

    async fn link_at(&mut self, fd: Fd, flags: types::PathFlags, path: String, to: Fd, to_path: String) -> FsResult<()> {
        self.quota.charge_name()?;
        self.wasi.link_at(fd, flags, path, to, to_path).await
    }

    async fn symlink_at(&mut self, fd: Fd, path: String, to_path: String) -> FsResult<()> {
        self.quota.charge_name()?;
        self.wasi.symlink_at(fd, path, to_path).await
    }

    async fn rename_at(&mut self, fd: Fd, path: String, to: Fd, to_path: String) -> FsResult<()> {
        self.wasi.rename_at(fd, path, to, to_path).await
    }

    async fn advise(&mut self, fd: Fd, offset: u64, len: u64, advice: types::Advice) -> FsResult<()> {
        self.wasi.advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.wasi.sync_data(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.wasi.sync(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        self.wasi.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        self.wasi.get_type(fd).await
    }

    async fn set_times(&mut self, fd: Fd, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FsResult<()> {
        self.wasi.set_times(fd, accessed, modified).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.set_times_at(fd, flags, path, accessed, modified).await
    }

    async fn read(&mut self, fd: Fd, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(fd, len, offset).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<types::DirectoryEntryStream>> {
        if !add(&self.quota.listings, 1, LISTINGS) {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let listing = self.wasi.read_directory(fd).await;
        if listing.is_err() {
            take(&self.quota.listings);
        }
        listing
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        self.wasi.stat(fd).await
    }

    async fn stat_at(&mut self, fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        self.wasi.stat_at(fd, flags, path).await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.wasi.readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.wasi.remove_directory_at(fd, path).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.wasi.unlink_file_at(fd, path).await
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        self.wasi.metadata_hash(fd).await
    }

    async fn metadata_hash_at(&mut self, fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::MetadataHashValue> {
        self.wasi.metadata_hash_at(fd, flags, path).await
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.wasi, fd)
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(&mut self, stream: Resource<types::DirectoryEntryStream>) -> FsResult<Option<types::DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        take(&self.quota.listings);
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

impl View<'_> {
    fn charged(&mut self, stream: Resource<DynOutputStream>) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.wasi.table.delete(stream)?;
        let charged: DynOutputStream = Box::new(Charged { inner, quota: Arc::clone(&self.quota) });
        Ok(self.wasi.table.push(charged)?)
    }
}

/// A file's output stream whose writes are charged.
struct Charged {
    inner: DynOutputStream,
    quota: Arc<Quota>,
}

impl Charged {
    fn charge(&self, bytes: &Bytes) -> StreamResult<()> {
        let full = |_| StreamError::LastOperationFailed(io::Error::from(io::ErrorKind::StorageFull).into());
        self.quota.charge_len(bytes.len()).map_err(full)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Charged {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Charged {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(&bytes)?;
        self.inner.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(&bytes)?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_charged_under_and_at_its_limit_and_refuses_over_it() {
        let quota = Quota { limit: 10, ..Quota::default() };
        assert_eq!([quota.charge(9), quota.charge(1), quota.charge(1)], [Ok(()), Ok(()), Err(ErrorCode::InsufficientSpace)]);
        assert_eq!(quota.charge(u64::MAX), Err(ErrorCode::InsufficientSpace));
    }

    #[test]
    fn names_are_counted_under_and_at_their_limit_and_refused_over_it() {
        let quota = Quota { limit: u64::MAX, ..Quota::default() };
        assert!((0..NAMES).all(|_| quota.charge_name() == Ok(())));
        assert_eq!(quota.charge_name(), Err(ErrorCode::InsufficientSpace));
    }
}
