//! An application's read-only files: a tar archive, compressed with zstd. Its top folders are the guest's: `python/…` is seen as `/python`.
//!
//! An archive is a stranger's: only folders and plain files are unpacked, no path leaves the folder, and its size is counted as it grows.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use thiserror::Error;

use crate::sandbox::Folder;

/// Files and folders of one bundle.
const ENTRIES: u64 = 100_000;
/// Folders at the top: each instance opens all of them.
const FOLDERS: usize = 16;
/// Folders in folders.
const DEPTH: usize = 32;
const LEVEL: i32 = 9;
/// What an entry takes in the archive beside its content: a header, the same again for a long name, and padding.
const HEADER_BYTES: u64 = 2_560;
/// The time of every folder: Python's import system need not list one again whose time it knows (`guest/python/wasgi/prepare.py`).
const FOLDER_TIME: Duration = Duration::from_secs(1);

/// Why a bundle is not unpacked.
#[derive(Debug, Error)]
pub enum BundleFault {
    /// A path that would lie elsewhere.
    #[error("`{0}` is no path within the bundle")]
    Path(String),
    /// A link, a device, or another thing that is neither a file nor a folder.
    #[error("`{0}` is neither a file nor a folder")]
    Kind(String),
    /// More than `bundle_bytes`.
    #[error("its files are larger than {0} bytes (`--max-bundle` raises it)")]
    TooLarge(u64),
    /// Too many of them.
    #[error("it has more than {ENTRIES} files")]
    TooMany,
    /// The archive is damaged, or the disk refuses.
    #[error("it cannot be unpacked")]
    Io(#[from] io::Error),
}

/// A bundle.
pub struct Bundle;

impl Bundle {
    /// Packs folders, each under the name that the guest sees, in the order of their names, so that the same files make the same bytes.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn pack(folders: &[(&str, &Path)]) -> io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        let mut archive = tar::Builder::new(&mut encoder);
        archive.mode(tar::HeaderMode::Deterministic);
        for (name, folder) in folders {
            for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
                let entry = entry?;
                let inside = entry.path().strip_prefix(folder).map_err(io::Error::other)?;
                let path = Path::new(name).join(inside);
                if entry.file_type().is_dir() {
                    archive.append_dir(path, entry.path())?;
                } else if entry.file_type().is_file() {
                    append_file(&mut archive, &path, entry.path())?;
                }
            }
        }
        archive.finish()?;
        drop(archive);
        encoder.finish()
    }

    /// Unpacks `bytes` into the empty folder `to`.
    ///
    /// # Errors
    /// [`BundleFault`]; what was unpacked until then stays for the caller to remove.
    pub fn unpack(bytes: &[u8], to: &Path, limit: u64) -> Result<(), BundleFault> {
        let most = limit.saturating_add(ENTRIES * HEADER_BYTES);
        let mut archive = tar::Archive::new(zstd::Decoder::new(bytes)?.take(most));
        let (mut left, mut entries) = (limit, 0);
        for entry in archive.entries()? {
            let mut entry = entry?;
            entries += 1;
            if entries > ENTRIES {
                return Err(BundleFault::TooMany);
            }
            let path = safe(&entry.path()?)?;
            let target = to.join(&path);
            #[expect(clippy::wildcard_enum_match_arm, reason = "two kinds are allowed, all others refused")]
            match entry.header().entry_type() {
                tar::EntryType::Directory => fs::create_dir_all(&target)?,
                tar::EntryType::Regular => {
                    left = left.checked_sub(entry.size()).ok_or(BundleFault::TooLarge(limit))?;
                    if let Some(parent) = target.parent() {
                        fs::create_dir_all(parent)?;
                    }
                    // `create_new`: a second entry of the same name does not write through what the first has become.
                    let mut file = File::create_new(&target)?;
                    io::copy(&mut entry, &mut file)?;
                    let time = UNIX_EPOCH.checked_add(Duration::from_secs(entry.header().mtime()?));
                    file.set_modified(time.unwrap_or(UNIX_EPOCH))?;
                }
                _ => return Err(BundleFault::Kind(path.display().to_string())),
            }
        }
        for entry in walkdir::WalkDir::new(to) {
            let entry = entry.map_err(io::Error::from)?;
            if entry.file_type().is_dir() {
                File::open(entry.path())?.set_modified(UNIX_EPOCH + FOLDER_TIME)?;
            }
        }
        Ok(())
    }

    /// The folders that the guest sees of a bundle that lies unpacked in `folder`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn folders(folder: &Path) -> io::Result<Vec<Folder>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
                folders.push(Folder { host: entry.path(), guest: format!("/{name}") });
            }
        }
        if folders.len() > FOLDERS {
            return Err(io::Error::other(format!("the bundle has more than {FOLDERS} folders at its top")));
        }
        folders.sort_by(|a, b| a.guest.cmp(&b.guest));
        Ok(folders)
    }
}

/// With its time, in seconds: Python compares it with the one in the compiled file beside.
fn append_file<W: io::Write>(archive: &mut tar::Builder<W>, path: &Path, from: &Path) -> io::Result<()> {
    let file = File::open(from)?;
    let status = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_size(status.len());
    header.set_mode(0o644);
    let modified = status.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    header.set_mtime(modified);
    archive.append_data(&mut header, path, file.take(status.len()))
}

/// A path of plain names only.
fn safe(path: &Path) -> Result<PathBuf, BundleFault> {
    let plain = |component: &Component<'_>| matches!(component, Component::Normal(_));
    let shown = || path.display().to_string();
    if path.as_os_str().is_empty() || path.to_str().is_none_or(|text| text.contains('\0')) {
        return Err(BundleFault::Path(shown()));
    }
    if path.components().all(|component| plain(&component)) && path.components().count() <= DEPTH {
        Ok(path.to_owned())
    } else {
        Err(BundleFault::Path(shown()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        fill(&mut builder);
        zstd::encode_all(&builder.into_inner().unwrap()[..], 1).unwrap()
    }

    /// An entry whose name the library would refuse to write.
    fn raw(name: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
        archive(|builder| {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(u64::try_from(content.len()).unwrap());
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        })
    }

    fn unpack(bytes: &[u8], limit: u64) -> (tempfile::TempDir, Result<(), String>) {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let result = Bundle::unpack(bytes, &inner, limit).map_err(|fault| fault.to_string());
        (outer, result)
    }

    #[test]
    fn what_is_packed_comes_out_again_with_its_time() {
        let source = tempfile::tempdir().unwrap();
        fs::create_dir(source.path().join("templates")).unwrap();
        let file = source.path().join("templates/a.html");
        fs::write(&file, "hello").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let packed = Bundle::pack(&[("0", source.path())]).unwrap();
        assert_eq!(packed, Bundle::pack(&[("0", source.path())]).unwrap());

        let (outer, result) = unpack(&packed, 5);
        assert_eq!(result, Ok(()));
        let unpacked = outer.path().join("inner/0/templates/a.html");
        assert_eq!(fs::read_to_string(&unpacked).unwrap(), "hello");
        assert_eq!(fs::metadata(&unpacked).unwrap().modified().unwrap(), time);
        let guest: Vec<_> = Bundle::folders(&outer.path().join("inner")).unwrap().into_iter().map(|folder| folder.guest).collect();
        assert_eq!(guest, ["/0"]);
        assert_eq!(unpack(&packed, 4).1, Err("its files are larger than 4 bytes (`--max-bundle` raises it)".into()));
    }

    #[test]
    fn a_path_that_leaves_the_bundle_is_refused() {
        let deep = "a/".repeat(DEPTH) + "b";
        for name in ["../evil", "/evil", "a/../../evil", ".", "a/..", deep.as_str()] {
            let (outer, result) = unpack(&raw(name, tar::EntryType::Regular, b"x"), 10);
            assert_eq!(result, Err(format!("`{name}` is no path within the bundle")));
            assert!(!outer.path().join("evil").exists());
        }
    }

    #[test]
    fn links_and_devices_are_refused() {
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Fifo] {
            assert_eq!(unpack(&raw("a", kind, b""), 10).1, Err("`a` is neither a file nor a folder".into()), "{kind:?}");
        }
    }

    #[test]
    fn a_zip_bomb_stops_at_the_limit() {
        let zeros = vec![0; 1 << 20];
        let bomb = archive(|builder| {
            for number in 0..50 {
                let mut header = tar::Header::new_gnu();
                header.set_size(1 << 20);
                builder.append_data(&mut header, format!("a/{number}"), &zeros[..]).unwrap();
            }
        });
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unpack(&bomb, 10 << 20).1, Err(format!("its files are larger than {} bytes (`--max-bundle` raises it)", 10 << 20)));
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let twice = archive(|builder| {
            for content in [b"1", b"2"] {
                let mut header = tar::Header::new_gnu();
                header.set_size(1);
                builder.append_data(&mut header, "a", &content[..]).unwrap();
            }
        });
        assert_eq!(unpack(&twice, 10).1, Err("it cannot be unpacked".into()));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_unpacking_panic_or_escape(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2_000)) {
            let packed = zstd::encode_all(&bytes[..], 1).unwrap();
            for input in [&bytes, &packed] {
                let (outer, _) = unpack(input, 4_096);
                proptest::prop_assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
            }
        }
    }
}
