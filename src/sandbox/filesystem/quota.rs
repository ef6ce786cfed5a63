//! What a volume may hold: a sum over an instance's life for `/tmp`, and what is stored now for `/data`.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use super::volume::Allowance;
use crate::ledger::{Account, Counter};

/// What a new name costs: an inode and its entry.
pub(super) const NAME_BYTES: u64 = 4 << 10;
/// Names that an instance may make in its life. Removing them takes time, and listing them memory.
pub(super) const LIFE_NAMES: u64 = 4_096;
/// Folders that it may make: none lies deeper, so that removing them takes few files and little stack.
const LIFE_FOLDERS: u64 = 64;
/// A volume that is full is counted anew at most so often.
const RECOUNT: Duration = Duration::from_secs(1);

/// The quota of one volume.
#[derive(Debug)]
pub(super) enum Quota {
    /// Everything that is written in an instance's life, never credited: an unlinked file that is still open uses disk too, and nobody
    /// sees it.
    Life(Mutex<Life>),
    /// What is stored, over all instances of all workers: growth is charged, and what was deleted is found by counting again.
    Stored(Mutex<Stored>),
}

/// What an instance has written.
#[derive(Debug, Default)]
pub(super) struct Life {
    limit: u64,
    bytes: u64,
    names: u64,
    folders: u64,
}

/// What a volume holds: what was there when it was counted, and what all workers have made it grow by since.
#[derive(Debug)]
pub(super) struct Stored {
    folder: PathBuf,
    limit: u64,
    most_names: u64,
    /// Has the growth.
    account: Account,
    /// What was there, less what had grown until then: bytes and names.
    before: (u64, u64),
    counted: Option<Instant>,
    /// Files that guests hold open: without a name they use disk all the same.
    open: Vec<Weak<std::fs::File>>,
}

fn full<T>() -> Result<T, ErrorCode> {
    Err(ErrorCode::InsufficientSpace)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quota {
    pub(super) fn life(limit: u64) -> Self {
        Self::Life(Mutex::new(Life { limit, ..Life::default() }))
    }

    /// Counts what lies in `folder`. What it grows by is kept in `account`, which all workers share.
    pub(super) fn stored(folder: PathBuf, limit: u64, names: u64, allowance: Allowance, account: Account) -> Self {
        let mut stored = Stored { folder, limit, most_names: names, account, before: (0, 0), counted: None, open: Vec::new() };
        stored.count();
        if allowance == Allowance::Growth {
            let (bytes, names) = stored.held();
            (stored.limit, stored.most_names) = (stored.limit.saturating_add(bytes), stored.most_names.saturating_add(names));
        }
        Self::Stored(Mutex::new(stored))
    }

    /// `len` bytes are written at `offset` of a file that has `size`.
    pub(super) fn write(&self, len: u64, offset: u64, size: impl FnOnce() -> u64) -> Result<(), ErrorCode> {
        match self {
            Self::Life(life) => lock(life).charge(len),
            Self::Stored(stored) => lock(stored).grow(offset.saturating_add(len).saturating_sub(size()), 0),
        }
    }

    /// A file of `size` becomes `wanted` long.
    pub(super) fn resize(&self, wanted: u64, size: impl FnOnce() -> u64) -> Result<(), ErrorCode> {
        match self {
            Self::Life(life) => lock(life).charge(wanted),
            Self::Stored(stored) => lock(stored).grow(wanted.saturating_sub(size()), 0),
        }
    }

    /// A new name.
    pub(super) fn name(&self) -> Result<(), ErrorCode> {
        match self {
            Self::Life(life) => lock(life).name(),
            Self::Stored(stored) => lock(stored).grow(NAME_BYTES, 1),
        }
    }

    /// A name that was charged was not made after all.
    pub(super) fn not_named(&self) {
        match self {
            Self::Life(life) => {
                let mut life = lock(life);
                (life.bytes, life.names) = (life.bytes.saturating_sub(NAME_BYTES), life.names.saturating_sub(1));
            }
            Self::Stored(stored) => lock(stored).take_back(NAME_BYTES, 1),
        }
    }

    /// A new folder.
    pub(super) fn folder(&self) -> Result<(), ErrorCode> {
        self.name()?;
        match self {
            Self::Life(life) => lock(life).folder(),
            Self::Stored(_) => Ok(()),
        }
    }

    /// A file is open.
    pub(super) fn opened(&self, file: &Arc<std::fs::File>) {
        if let Self::Stored(stored) = self {
            let mut stored = lock(stored);
            stored.open.retain(|file| file.strong_count() > 0);
            stored.open.push(Arc::downgrade(file));
        }
    }

    /// Begins a new life, if in the old one at most `few` names were made.
    pub(super) fn begins_anew(&self, few: u64) -> bool {
        match self {
            Self::Life(life) => {
                let mut life = lock(life);
                let modest = life.names <= few && life.folders == 0;
                if modest {
                    *life = Life { limit: life.limit, ..Life::default() };
                }
                modest
            }
            Self::Stored(_) => false,
        }
    }

    /// Whether half of a life's quota is used.
    pub(super) fn is_worn(&self) -> bool {
        match self {
            Self::Life(life) => lock(life).is_worn(),
            Self::Stored(_) => false,
        }
    }
}

impl Life {
    fn charge(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        match self.bytes.checked_add(bytes).filter(|bytes| *bytes <= self.limit) {
            Some(bytes) => self.bytes = bytes,
            None => return full(),
        }
        Ok(())
    }

    fn name(&mut self) -> Result<(), ErrorCode> {
        if self.names >= LIFE_NAMES {
            return full();
        }
        self.charge(NAME_BYTES)?;
        self.names += 1;
        Ok(())
    }

    fn folder(&mut self) -> Result<(), ErrorCode> {
        if self.folders >= LIFE_FOLDERS {
            return full();
        }
        self.folders += 1;
        Ok(())
    }

    fn is_worn(&self) -> bool {
        self.bytes > self.limit / 2 || self.names > LIFE_NAMES / 2 || self.folders > LIFE_FOLDERS / 2
    }
}

impl Stored {
    fn grow(&mut self, bytes: u64, names: u64) -> Result<(), ErrorCode> {
        if self.admit(bytes, names) {
            return Ok(());
        }
        if self.counted.is_none_or(|counted| counted.elapsed() >= RECOUNT) {
            self.count();
        }
        if self.admit(bytes, names) { Ok(()) } else { full() }
    }

    fn admit(&self, bytes: u64, names: u64) -> bool {
        // Nothing new is nothing to refuse, however full the volume is.
        if bytes == 0 && names == 0 {
            return true;
        }
        if bytes > self.limit {
            return false;
        }
        // Charged first: of two workers that want the last room, one sees the other.
        self.account.count(Counter::StoredBytes, bytes);
        self.account.count(Counter::StoredNames, names);
        let (all, count) = self.held();
        let fits = all <= self.limit && count <= self.most_names;
        if !fits {
            self.take_back(bytes, names);
        }
        fits
    }

    fn take_back(&self, bytes: u64, names: u64) {
        self.account.uncount(Counter::StoredBytes, bytes);
        self.account.uncount(Counter::StoredNames, names);
    }

    /// What all workers have charged: sums that go round.
    fn grown(&self) -> (u64, u64) {
        (self.account.sum(Counter::StoredBytes), self.account.sum(Counter::StoredNames))
    }

    /// Bytes and names that it holds, as far as is known.
    fn held(&self) -> (u64, u64) {
        let ((bytes, names), (more_bytes, more_names)) = (self.before, self.grown());
        (bytes.wrapping_add(more_bytes), names.wrapping_add(more_names))
    }

    /// What lies there now, and what is open without a name. What cannot be looked at is not forgotten: the counts then only grow.
    fn count(&mut self) {
        let (mut bytes, mut names, mut whole) = (0_u64, 0_u64, true);
        // What is charged while it is counted may be counted twice, and is never missed.
        let grown = self.grown();
        for entry in walkdir::WalkDir::new(&self.folder).min_depth(1) {
            let Ok(entry) = entry else {
                whole = false;
                continue;
            };
            let size = entry.metadata().map_or(0, |status| if status.is_file() { status.len() } else { 0 });
            bytes = bytes.saturating_add(size).saturating_add(NAME_BYTES);
            names += 1;
        }
        self.open.retain(|file| file.strong_count() > 0);
        for file in self.open.iter().filter_map(Weak::upgrade) {
            let nameless = file.metadata().ok().filter(|status| std::os::unix::fs::MetadataExt::nlink(status) == 0);
            bytes = bytes.saturating_add(nameless.map_or(0, |status| status.len()));
        }
        if !whole {
            let (known_bytes, known_names) = self.held();
            (bytes, names) = (bytes.max(known_bytes), names.max(known_names));
        }
        self.before = (bytes.wrapping_sub(grown.0), names.wrapping_sub(grown.1));
        self.counted = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    const FULL: Result<(), ErrorCode> = Err(ErrorCode::InsufficientSpace);

    #[test]
    fn a_life_is_charged_under_and_at_its_limit_and_refused_over_it() {
        let quota = Quota::life(10);
        assert_eq!([quota.write(9, 0, || 0), quota.write(1, 0, || 100), quota.write(1, 0, || 100)], [Ok(()), Ok(()), FULL]);
        assert_eq!(quota.resize(u64::MAX, || 0), FULL);
    }

    #[test]
    fn a_life_with_few_names_can_begin_anew_and_one_with_more_or_with_a_folder_cannot() {
        let quota = Quota::life(u64::MAX);
        assert!(quota.name().is_ok() && quota.name().is_ok());
        assert!(!quota.begins_anew(1) && quota.begins_anew(2));
        assert!(quota.folder().is_ok() && !quota.begins_anew(2));
    }

    #[test]
    fn names_of_a_life_are_counted_under_and_at_their_limit_and_refused_over_it() {
        let quota = Quota::life(u64::MAX);
        assert!((0..LIFE_NAMES).all(|_| quota.name() == Ok(())));
        assert_eq!(quota.name(), FULL);
        quota.not_named();
        assert_eq!([quota.name(), quota.name()], [Ok(()), FULL]);
    }

    #[test]
    fn a_volume_is_charged_for_growth_only_and_counted_again_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, vec![0; 1_000]).unwrap();
        let quota = Quota::stored(folder.path().to_owned(), 2 * NAME_BYTES, 10, Allowance::All, Account::alone());
        let room = NAME_BYTES - 1_000;
        assert_eq!([quota.write(1_000, 0, || 1_000), quota.write(room, 1_000, || 1_000)], [Ok(()), Ok(())]);
        assert_eq!(quota.write(1, 0, || 0), FULL, "full, and counted a moment ago");
        let Quota::Stored(stored) = &quota else { panic!() };
        lock(stored).counted = None;
        assert_eq!(quota.write(1, 0, || 0), Ok(()), "what was charged was never written");
    }

    #[test]
    fn a_file_without_a_name_is_counted_while_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![0; 1_000]).unwrap();
        let quota = Quota::stored(folder.path().to_owned(), 1_500, 10, Allowance::All, Account::alone());
        let file = Arc::new(std::fs::File::open(&path).unwrap());
        quota.opened(&file);
        std::fs::remove_file(&path).unwrap();
        let Quota::Stored(stored) = &quota else { panic!() };
        lock(stored).counted = None;
        assert_eq!(quota.resize(501, || 0), FULL);
        drop(file);
        lock(stored).counted = None;
        assert_eq!(quota.resize(501, || 0), Ok(()));
    }

    #[test]
    fn names_of_a_volume_are_counted_under_and_at_their_limit_and_refused_over_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let names = |allowance| {
            let quota = Quota::stored(folder.path().to_owned(), u64::MAX, 2, allowance, Account::alone());
            [quota.name(), quota.name(), quota.name()]
        };
        assert_eq!(names(Allowance::All), [Ok(()), FULL, FULL]);
        assert_eq!(names(Allowance::Growth), [Ok(()), Ok(()), FULL]);
    }

    #[test]
    fn workers_share_what_is_left_under_and_at_the_limit_and_not_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::shared(1, 2).unwrap().0;
        let quota = |worker| Quota::stored(folder.path().to_owned(), 10_000, 2, Allowance::All, ledger.account(0, worker).unwrap());
        let (first, second) = (quota(0), quota(1));
        assert_eq!([first.write(5_000, 0, || 0), second.write(4_999, 0, || 0), first.write(2, 0, || 0)], [Ok(()), Ok(()), FULL]);
        assert_eq!([second.write(1, 0, || 0), first.write(1, 0, || 0), first.write(0, 0, || 0)], [Ok(()), FULL, Ok(())]);
        // Counted again, there is nothing: what was charged was never written. Each sees that of itself alone.
        let forget = |quota: &Quota| match quota {
            Quota::Stored(stored) => lock(stored).counted = None,
            Quota::Life(_) => panic!(),
        };
        forget(&first);
        assert_eq!([first.name(), second.name()], [Ok(()), FULL]);
        first.not_named();
        forget(&second);
        assert_eq!([second.name(), first.name(), first.name()], [Ok(()), Ok(()), FULL]);
    }

    #[test]
    fn what_cannot_be_counted_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let quota = Quota::stored(folder.path().to_owned(), 10_000, 10, Allowance::All, Account::alone());
        assert_eq!(quota.write(9_000, 0, || 0), Ok(()));
        let Quota::Stored(stored) = &quota else { panic!() };
        // A folder that is not there any more cannot be looked at.
        lock(stored).folder = folder.path().join("none");
        lock(stored).counted = None;
        assert_eq!(quota.write(2_000, 0, || 0), FULL);
    }
}
