//! Machine code of single functions, kept from one compilation to the next: two components that share an interpreter, or two releases of one
//! application, differ in their data and hardly in their functions.
//!
//! Knows no component: wasmtime asks it by a key that stands for all that decides about a function's code. What it gives is run, so it lies
//! in a folder that nobody else can write, and a file that is not as it was written is not used.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::CacheStore;

/// The largest file, in bytes. Python, its standard modules in C among it, has 35 MB.
const MOST: usize = 256 << 20;
const DIGEST: usize = 32;
const LENGTH: usize = 4;

/// The functions.
#[derive(Debug)]
pub(super) struct Functions {
    file: PathBuf,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    code: HashMap<Vec<u8>, Vec<u8>>,
    /// Keys that this process has asked for, or brought.
    used: HashSet<Vec<u8>>,
    fresh: bool,
}

impl Functions {
    /// Those that are kept in `file`, which is read when the first one is asked for.
    pub(super) fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), known: Mutex::default() }
    }

    /// Writes what has come. Another process may do the same: one of them wins, and the other's are compiled again.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut known = self.known();
        let Some(Known { code, used, fresh: fresh @ true }) = known.as_mut() else { return Ok(()) };
        let size = |code: &HashMap<Vec<u8>, Vec<u8>>| code.iter().map(|(key, value)| key.len() + value.len() + 2 * LENGTH).sum::<usize>();
        if size(code) > MOST {
            // Half of it is given up, but nothing of this compilation.
            let mut left = MOST / 2;
            code.retain(|key, value| {
                let kept = used.contains(key) || left > 0;
                left = left.saturating_sub(key.len() + value.len() + 2 * LENGTH);
                kept
            });
        }
        *fresh = false;
        if size(code) > MOST {
            *known = None;
            return Ok(());
        }
        let mut bytes = vec![0; DIGEST];
        for part in code.iter().flat_map(|(key, value)| [key, value]) {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_le_bytes());
            bytes.extend(part);
        }
        let digest = Sha256::digest(bytes.get(DIGEST..).unwrap_or_default());
        bytes.splice(..DIGEST, digest);
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut temporary, &bytes)?;
        temporary.persist(&self.file)?;
        // It is read again for the next compilation, which may be hours away.
        *known = None;
        Ok(())
    }

    fn read<'a>(&self, known: &'a mut Option<Known>) -> &'a mut Known {
        known.get_or_insert_with(|| Known { code: read(&self.file).unwrap_or_default(), ..Known::default() })
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut known = self.known();
        let known = self.read(&mut known);
        let found = known.code.get(key)?.clone();
        known.used.insert(key.to_owned());
        Some(Cow::Owned(found))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let mut known = self.known();
        let known = self.read(&mut known);
        known.code.insert(key.to_owned(), value);
        known.used.insert(key.to_owned());
        known.fresh = true;
        true
    }
}

/// What a file holds; None for one that is not as it was written.
fn read(file: &Path) -> Option<HashMap<Vec<u8>, Vec<u8>>> {
    let bytes = fs::read(file).ok()?;
    let (digest, mut rest) = bytes.split_at_checked(DIGEST)?;
    if Sha256::digest(rest).as_slice() != digest {
        return None;
    }
    let mut part = || {
        let (length, behind) = rest.split_first_chunk::<LENGTH>()?;
        let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        rest = behind;
        Some(part.to_owned())
    };
    let mut code = HashMap::new();
    while let Some(key) = part() {
        code.insert(key, part()?);
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_brings_the_next_has_and_a_file_that_was_changed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("functions");
        let first = Functions::of(&file);
        assert_eq!(first.get(b"key"), None);
        assert!(first.insert(b"key", vec![1, 2, 3]) && first.insert(b"", Vec::new()));
        first.keep().unwrap();
        let seen = |key: &[u8]| Functions::of(&file).get(key).map(Cow::into_owned);
        assert_eq!((seen(b"key"), seen(b""), seen(b"other")), (Some(vec![1, 2, 3]), Some(Vec::new()), None));
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            assert_eq!(seen(b"key"), None, "byte {at}");
            fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(seen(b"key"), None, "{at} bytes");
        }
    }
}
