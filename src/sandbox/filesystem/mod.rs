//! `wasi:filesystem`, as wasmtime-wasi answers it, over folders of ours: each volume with its rule for threads, a quota where it can be
//! written, and locks where it is kept.
//!
//! Every call is handed on; those that use disk are charged first. What a path may reach is wasmtime-wasi's part (it opens beneath the
//! folder, by `openat2`); which folders there are, and what they may hold, is decided here.

mod beneath;
mod locks;
mod quota;
mod tmp;
mod volume;

use std::{io, sync::Arc};

use bytes::Bytes;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystemCtxView},
    p2::{
        DynInputStream, DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult,
        bindings::filesystem::{
            preopens,
            types::{self, ErrorCode, HostDescriptor, HostDirectoryEntryStream},
        },
    },
};

pub use self::{
    beneath::{Missing, open_beneath},
    volume::{Allowance, Folder, Kept, Storage},
};
use self::{
    quota::Quota,
    volume::{Kind, Volume},
};
pub(super) use self::{
    tmp::{Spares, Tmp},
    volume::{Files, Held, Volumes},
};
use super::state::State;

/// Listings that an instance may hold open: each is read whole into the host's memory.
const LISTINGS: u64 = 4;

/// What one write takes.
const WRITE_BYTES: usize = 2 << 20;

/// Replaces wasmtime-wasi's `wasi:filesystem` in `linker`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<State, Filesystem>(linker, |state| View::of(state))?;
    preopens::add_to_linker::<State, Filesystem>(linker, |state| View::of(state))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Filesystem;

impl HasData for Filesystem {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    files: &'a mut Files,
}

type Fd = Resource<Descriptor>;

impl<'a> View<'a> {
    fn of(state: &'a mut State) -> Self {
        let State { wasi, table, files, .. } = state;
        Self { wasi: WasiFilesystemCtxView { ctx: wasi.filesystem(), table }, files }
    }

    fn quota(&self, fd: &Fd) -> Option<&Quota> {
        self.files.volume(fd.rep())?.quota.as_deref()
    }

    fn kind(&self, fd: &Fd) -> Kind {
        self.files.volume(fd.rep()).map_or(Kind::ReadOnly, |volume| volume.kind)
    }

    /// Notes that a folder that goes with its instance may be changed, if only in its times.
    fn touches(&mut self, fd: &Fd) {
        if self.kind(fd) == Kind::Temporary {
            self.files.tmp.touch();
        }
    }

    /// What a guest sees of a file's times. Those that tell of earlier requests and of other instances are not among them: when what is read
    /// only was read, and when what is temporary was last emptied.
    fn timed(&self, fd: &Fd, status: types::DescriptorStat) -> types::DescriptorStat {
        match self.kind(fd) {
            Kind::ReadOnly => types::DescriptorStat { data_access_timestamp: None, ..status },
            Kind::Temporary => types::DescriptorStat { data_access_timestamp: None, status_change_timestamp: None, ..status },
            Kind::Stored => status,
        }
    }

    fn file(&self, fd: &Fd) -> Option<Arc<std::fs::File>> {
        match self.wasi.table.get(fd) {
            Ok(Descriptor::File(file)) => Some(Arc::clone(&file.file)),
            Ok(Descriptor::Dir(_)) | Err(_) => None,
        }
    }

    /// Notes that a guest's state may depend on what is stored. That the folder itself is there depends on the host alone.
    fn looks(&mut self, fd: &Fd, path: &str) {
        self.files.used_storage |= self.kind(fd) == Kind::Stored && !matches!(path, "" | ".");
    }

    /// Refuses to move from one quota to another: what is moved is charged to neither.
    fn within(&self, from: &Fd, to: &Fd) -> FsResult<()> {
        let quota = |fd: &Fd| self.files.volume(fd.rep()).and_then(|volume| volume.quota.clone());
        match (quota(from), quota(to)) {
            (Some(from), Some(to)) if !Arc::ptr_eq(&from, &to) => Err(ErrorCode::CrossDevice.into()),
            _ => Ok(()),
        }
    }

    /// Gives back what was charged for a name that was not made.
    fn settled<T>(&self, fd: &Fd, made: FsResult<T>) -> FsResult<T> {
        if made.is_err()
            && let Some(quota) = self.quota(fd)
        {
            quota.not_named();
        }
        made
    }

    fn size(&self, fd: &Fd) -> u64 {
        self.file(fd).and_then(|file| file.metadata().ok()).map_or(0, |status| status.len())
    }

    fn charged(&mut self, fd: &Fd, stream: Resource<DynOutputStream>, at: Position) -> FsResult<Resource<DynOutputStream>> {
        let (Some(file), Some(quota)) = (self.file(fd), self.files.volume(fd.rep()).and_then(|volume| volume.quota.clone())) else {
            return Ok(stream);
        };
        let inner = self.wasi.table.delete(stream)?;
        let charged: DynOutputStream = Box::new(Charged { inner, quota, file, at });
        Ok(self.wasi.table.push(charged)?)
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let mut folders = Vec::new();
        for (owner, Volume { guest, dir, .. }) in self.files.volumes.iter().enumerate() {
            let fd = self.wasi.table.push(Descriptor::Dir(dir.clone()))?;
            self.files.owners.insert(fd.rep(), owner);
            folders.push((fd, guest.clone()));
        }
        Ok(folders)
    }
}

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
        self.touches(&fd);
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.quota(&fd).map_or(Ok(()), |quota| quota.write(len, offset, || self.size(&fd)))?;
        self.wasi.write(fd, data, offset).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.touches(&fd);
        self.quota(&fd).map_or(Ok(()), |quota| quota.resize(size, || self.size(&fd)))?;
        self.wasi.set_size(fd, size).await
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.touches(&fd);
        let stream = self.wasi.write_via_stream(borrowed(&fd), offset)?;
        self.charged(&fd, stream, Position::At(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.touches(&fd);
        let stream = self.wasi.append_via_stream(borrowed(&fd))?;
        self.charged(&fd, stream, Position::End)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.touches(&fd);
        if self.lock(&fd, &path).await?.is_some() {
            return Ok(());
        }
        self.looks(&fd, &path);
        self.quota(&fd).map_or(Ok(()), Quota::folder)?;
        let made = self.wasi.create_directory_at(borrowed(&fd), path).await;
        self.settled(&fd, made)
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        self.touches(&fd);
        self.looks(&fd, &path);
        // An existing file is no new name; whoever opens a file again and again to append to it makes none.
        let new =
            open_flags.contains(types::OpenFlags::CREATE) && self.wasi.stat_at(borrowed(&fd), path_flags, path.clone()).await.is_err();
        if new {
            self.quota(&fd).map_or(Ok(()), Quota::name)?;
        }
        let opened = self.wasi.open_at(borrowed(&fd), path_flags, path, open_flags, flags).await;
        let opened = if new { self.settled(&fd, opened)? } else { opened? };
        if let Some(owner) = self.files.owners.get(&fd.rep()).copied() {
            self.files.owners.insert(opened.rep(), owner);
        }
        if let (Some(quota), Some(file)) = (self.quota(&fd), self.file(&opened)) {
            quota.opened(&file);
            if self.kind(&fd) == Kind::Stored {
                self.files.written.retain(|file| file.strong_count() > 0);
                self.files.written.push(Arc::downgrade(&file));
            }
        }
        Ok(opened)
    }

    async fn link_at(&mut self, fd: Fd, flags: types::PathFlags, path: String, to: Fd, to_path: String) -> FsResult<()> {
        self.touches(&fd);
        self.touches(&to);
        self.within(&fd, &to)?;
        self.quota(&fd).map_or(Ok(()), Quota::name)?;
        let made = self.wasi.link_at(borrowed(&fd), flags, path, to, to_path).await;
        self.settled(&fd, made)
    }

    async fn symlink_at(&mut self, fd: Fd, path: String, to_path: String) -> FsResult<()> {
        self.touches(&fd);
        self.quota(&fd).map_or(Ok(()), Quota::name)?;
        let made = self.wasi.symlink_at(borrowed(&fd), path, to_path).await;
        self.settled(&fd, made)
    }

    async fn rename_at(&mut self, fd: Fd, path: String, to: Fd, to_path: String) -> FsResult<()> {
        self.touches(&fd);
        self.touches(&to);
        self.looks(&fd, &path);
        self.within(&fd, &to)?;
        self.wasi.rename_at(fd, path, to, to_path).await
    }

    async fn advise(&mut self, fd: Fd, offset: u64, len: u64, advice: types::Advice) -> FsResult<()> {
        self.wasi.advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        if self.kind(&fd) == Kind::Temporary {
            // Nothing of it outlives the instance.
            return Ok(());
        }
        self.wasi.sync_data(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        if self.kind(&fd) == Kind::Temporary {
            return Ok(());
        }
        self.wasi.sync(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        self.wasi.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        self.wasi.get_type(fd).await
    }

    async fn set_times(&mut self, fd: Fd, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FsResult<()> {
        self.touches(&fd);
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
        self.touches(&fd);
        self.wasi.set_times_at(fd, flags, path, accessed, modified).await
    }

    async fn read(&mut self, fd: Fd, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(fd, len, offset).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<types::DirectoryEntryStream>> {
        self.touches(&fd);
        if self.files.listings >= LISTINGS {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        self.files.used_storage |= self.kind(&fd) == Kind::Stored;
        let listing = self.wasi.read_directory(fd).await?;
        self.files.listings += 1;
        Ok(listing)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        let status = self.wasi.stat(borrowed(&fd)).await?;
        Ok(self.timed(&fd, status))
    }

    async fn stat_at(&mut self, fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        self.looks(&fd, &path);
        let status = self.wasi.stat_at(borrowed(&fd), flags, path).await?;
        Ok(self.timed(&fd, status))
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.looks(&fd, &path);
        self.wasi.readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.touches(&fd);
        if self.unlock(&fd, &path) {
            return Ok(());
        }
        self.wasi.remove_directory_at(fd, path).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.touches(&fd);
        self.looks(&fd, &path);
        self.wasi.unlink_file_at(fd, path).await
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        self.wasi.metadata_hash(fd).await
    }

    async fn metadata_hash_at(&mut self, fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::MetadataHashValue> {
        self.looks(&fd, &path);
        self.wasi.metadata_hash_at(fd, flags, path).await
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.files.closed(fd.rep());
        HostDescriptor::drop(&mut self.wasi, fd)
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(&mut self, stream: Resource<types::DirectoryEntryStream>) -> FsResult<Option<types::DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.files.listings = self.files.listings.saturating_sub(1);
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

/// The same descriptor, for a call that would keep it.
fn borrowed(fd: &Fd) -> Fd {
    Fd::new_borrow(fd.rep())
}

/// Where a stream writes next.
enum Position {
    At(u64),
    End,
}

/// A file's output stream whose writes are charged.
struct Charged {
    inner: DynOutputStream,
    quota: Arc<Quota>,
    file: Arc<std::fs::File>,
    at: Position,
}

impl Charged {
    fn charge(&mut self, bytes: &Bytes) -> StreamResult<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let size = || self.file.metadata().map_or(0, |status| status.len());
        let charged = match &mut self.at {
            Position::At(offset) => {
                let from = *offset;
                *offset = from.saturating_add(len);
                self.quota.write(len, from, size)
            }
            Position::End => self.quota.write(len, size(), size),
        };
        charged.map_err(|_| StreamError::LastOperationFailed(io::Error::from(rustix::io::Errno::NOSPC).into()))
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
        // wasmtime-wasi says 64 KiB and takes whatever comes. Python writes a compiled module in one call, and does not try the rest.
        self.inner.check_write().map(|ready| if ready > 0 { WRITE_BYTES } else { 0 })
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
