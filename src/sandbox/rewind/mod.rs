//! An instance that serves request after request, and begins each with the memory of a new one (`isolation = "rewind"`).
//!
//! What a request can change of an instance is put back, or the instance is thrown away: memories, page by page ([`pages`]); globals, by
//! value, by a module of the host's own within the component ([`instrument`]); what it has open, by identity. Tables cannot be put back: a
//! component that could change one is not eligible ([`eligible`]). wasmtime has no way to read the handles of a component; but it counts
//! them, and says whether there is room for one more.
//!
//! Next: [`super::instance`] gives the instance back when this says that it is as new.

mod eligible;
mod instrument;
mod pages;

use std::{fmt, sync::Arc};

use thiserror::Error;
use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance, Lift, Resource, ResourceAny, TypedFunc, WasmList},
};

use self::pages::{Kernel, PAGE, Pages, Span};
pub use self::{eligible::Ineligible, pages::Way};
use super::{filesystem::Held, standard::Handles, state::State};

/// After so many requests what was written is forgotten, so that pages that were written once are not copied for ever.
const FORGET: u32 = 1_024;
/// A store's limit of handles when nobody counts them.
pub(super) const HANDLES: usize = 1_000;
/// Bytes that one host call may lift out of the guest: a chunk as text, twice its size in UTF-8, and what goes with it.
pub(super) const HOSTCALL_BYTES: usize = 4 << 20;

/// `component`, as it can be rewound.
///
/// # Errors
/// [`Ineligible`]: something that its code could change could not be put back.
pub fn rewindable(component: &[u8]) -> Result<Vec<u8>, Ineligible> {
    eligible::eligible(component)?;
    instrument::instrument(component)
}

/// The calls of `ioctl` that a process needs for it.
#[must_use]
pub fn calls() -> [u64; 4] {
    pages::CALLS
}

/// What a process rewinds with; opened before the process is confined.
#[derive(Clone, Default)]
pub struct Rewinder(Option<Arc<Tools>>);

struct Tools {
    kernel: Kernel,
    verify: bool,
}

impl Rewinder {
    /// Opens what is needed, by the best way that this kernel has. With `verify`, every memory is compared with what it was, whole, after
    /// every request.
    #[must_use]
    pub fn open(verify: bool) -> Self {
        Self::by(None, verify)
    }

    /// The same, by one way.
    #[must_use]
    pub fn by(way: Option<Way>, verify: bool) -> Self {
        let kernel = Kernel::open(way != Some(Way::Private)).filter(|kernel| way.is_none_or(|way| way == kernel.way()));
        Self(kernel.map(|kernel| Arc::new(Tools { kernel, verify })))
    }

    /// How it finds what was written; `None`: this kernel has no way.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        self.0.as_ref().map(|tools| tools.kernel.way())
    }
}

impl fmt::Debug for Rewinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rewinder").field(&self.way()).finish()
    }
}

/// Why an instance is not given back.
#[derive(Debug, Error)]
pub(super) enum Doubt {
    #[error("this kernel has neither userfaultfd nor PAGEMAP_SCAN")]
    Kernel,
    #[error("the kernel refuses: {0}")]
    Io(#[from] std::io::Error),
    #[error("it does not show its memories: {0}")]
    Hidden(String),
    #[error("its memory limit leaves too little for what its requests take")]
    Narrow,
    #[error("it trapped when it was to make itself ready for that")]
    Trapped,
    #[error("it holds handles of its own when it starts")]
    Handles,
    #[error("its memory has grown")]
    Grown,
    #[error("it has left something open, or closed what was open when it started")]
    Open,
    #[error("its tenant has no memory left for what its pages held before")]
    Crowded,
    #[error("what was put back is not what there was")]
    Different,
}

impl Doubt {
    /// Of one that trapped when it was to make itself ready, and was refused memory, or not.
    pub(super) fn of_trap(was_refused: bool) -> Self {
        if was_refused { Self::Narrow } else { Self::Trapped }
    }

    /// Whether it is this host's own fault, or its kernel's.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Different | Self::Io(_) | Self::Hidden(_))
    }
}

/// What an instance was when it was new. It belongs to the one store that it was taken of, and goes before it.
pub(super) struct Snapshot {
    tools: Arc<Tools>,
    memories: Vec<Kept>,
    /// Puts the globals back.
    globals: TypedFunc<(), ()>,
    /// Bytes that its memories and tables had.
    bytes: usize,
    held: Held,
    streams: Handles,
    /// All that it had open: those, and pollables of them.
    open: usize,
    rewound: u32,
}

/// A memory: what it held on the pages that were ever written.
struct Kept {
    span: Span,
    /// Where in `saved` each page is, counted from 1; 0 for one that was never written.
    places: Vec<u32>,
    saved: Vec<u8>,
    /// All of it, to compare with.
    whole: Option<Vec<u8>>,
}

impl Snapshot {
    /// Remembers what an instance is now; from now on it is seen what changes.
    pub(super) async fn take(rewinder: &Rewinder, store: &mut Store<State>, instance: Instance) -> Result<Self, Doubt> {
        let tools = Arc::clone(rewinder.0.as_ref().ok_or(Doubt::Kernel)?);
        let (held, streams) = (store.data_mut().hold(), store.data().given.alive());
        // All that the guest has a handle of is what the host holds for it; what it has made itself, nobody could put back.
        let open = held.len() + streams.len() + store.data_mut().hold_pollables();
        if store.data_mut().open() != open || !handles(store, open).await? {
            return Err(Doubt::Handles);
        }
        let spans = look(store, instance).await?;
        let save = func(store, instance, instrument::SAVE)?;
        call(store, &save).await?;
        let globals = func::<()>(store, instance, instrument::RESTORE)?;
        let bytes = store.data().limiter.used();
        let mut snapshot = Self { tools, memories: Vec::new(), globals, bytes, held, streams, open, rewound: 0 };
        for span in spans {
            let kept = snapshot.keep(span, store)?;
            // Dropped, it leaves what it has begun to watch.
            snapshot.memories.push(kept);
            snapshot.tools.kernel.watch(span)?;
        }
        Ok(snapshot)
    }

    /// What a memory holds now on the pages that are not the image's any more.
    fn keep(&self, span: Span, store: &mut Store<State>) -> Result<Kept, Doubt> {
        let mut copies = Vec::new();
        self.tools.kernel.copies(span, &mut |pages| copies.push(pages))?;
        charge(store, &copies)?;
        Ok(Kept::of(span, span.bytes(store), &copies, self.tools.verify))
    }

    /// Makes the instance what it was, or says why it cannot.
    pub(super) async fn restore(&mut self, store: &mut Store<State>) -> Result<(), Doubt> {
        let state = store.data_mut();
        if state.limiter.used() != self.bytes {
            return Err(Doubt::Grown);
        }
        // The same by identity: nothing was closed, and so nothing else stands in its place.
        let same = self.streams.are_alive() && state.polled.are_alive() && state.still_holds(&self.held);
        if !same || state.open() != self.open || !handles(store, self.open).await? {
            return Err(Doubt::Open);
        }
        call(store, &self.globals).await?;
        for kept in &mut self.memories {
            kept.restore(&self.tools.kernel, store)?;
        }
        self.rewound += 1;
        if self.rewound.is_multiple_of(FORGET) {
            for kept in &mut self.memories {
                kept.begin_anew(&self.tools.kernel, kept.span.bytes(store))?;
            }
        }
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for kept in &self.memories {
            self.tools.kernel.leave(kept.span);
        }
    }
}

impl Kept {
    /// What a memory is now, of which these pages are not the image's.
    fn of(span: Span, memory: &[u8], copies: &[Pages], verify: bool) -> Self {
        let mut kept = Self { span, places: vec![0; span.pages], saved: Vec::new(), whole: verify.then(|| memory.to_vec()) };
        for pages in copies {
            kept.save(memory, pages);
        }
        kept
    }

    fn save(&mut self, memory: &[u8], pages: &Pages) {
        for page in pages.clone() {
            if let (Some(bytes), Some(place)) = (memory.get(page * PAGE..(page + 1) * PAGE), self.places.get_mut(page)) {
                self.saved.extend_from_slice(bytes);
                *place = u32::try_from(self.saved.len() / PAGE).unwrap_or(0);
            }
        }
    }

    fn is_saved(&self, page: usize) -> bool {
        self.places.get(page).is_none_or(|place| *place > 0)
    }

    fn restore(&mut self, kernel: &Kernel, store: &mut Store<State>) -> Result<(), Doubt> {
        let (written, new) = self.written(kernel)?;
        charge(store, &new)?;
        self.put_back(self.span.bytes(store), written, &new)
    }

    /// From now on only what is written again is put back: of a memory that is as new, pages are the image's again wherever that has the same.
    fn begin_anew(&mut self, kernel: &Kernel, memory: &mut [u8]) -> Result<(), Doubt> {
        let (written, _) = self.written(kernel)?;
        for pages in &written {
            Kernel::forget(memory, pages)?;
        }
        self.put_back(memory, written, &[])?;
        Ok(kernel.protect(self.span)?)
    }

    /// The pages that were written, and those of them that never were before.
    fn written(&self, kernel: &Kernel) -> std::io::Result<(Vec<Pages>, Vec<Pages>)> {
        let mut written = Vec::new();
        kernel.written(self.span, &mut |pages| written.push(pages))?;
        let new = written.iter().flat_map(|pages| runs(pages.clone(), |page| !self.is_saved(page))).collect();
        Ok((written, new))
    }

    fn put_back(&mut self, memory: &mut [u8], written: Vec<Pages>, new: &[Pages]) -> Result<(), Doubt> {
        for page in written.into_iter().flatten() {
            let place = self.places.get(page).and_then(|place| usize::try_from(*place).ok()?.checked_sub(1));
            let saved = place.and_then(|place| self.saved.get(place * PAGE..(place + 1) * PAGE));
            if let (Some(saved), Some(bytes)) = (saved, memory.get_mut(page * PAGE..(page + 1) * PAGE)) {
                // A request writes much that was there before: to look is cheaper than to write.
                if bytes != saved {
                    bytes.copy_from_slice(saved);
                }
            }
        }
        for pages in new {
            // What the image has there is seen when what was written is forgotten; then it is kept, and the page written again, so that the
            // next request finds it writable.
            Kernel::forget(memory, pages)?;
            self.save(memory, pages);
            for page in pages.clone() {
                if let Some(first) = memory.get_mut(page * PAGE) {
                    // Not left out by a compiler that sees that nothing changes.
                    *first = std::hint::black_box(*first);
                }
            }
        }
        match &self.whole {
            Some(whole) if memory != whole.as_slice() => Err(Doubt::Different),
            Some(_) | None => Ok(()),
        }
    }
}

fn hidden(error: &wasmtime::Error) -> Doubt {
    Doubt::Hidden(format!("{error:#}"))
}

fn func<R: ComponentNamedList + Lift + Send + Sync + 'static>(
    store: &mut Store<State>,
    instance: Instance,
    name: &str,
) -> Result<TypedFunc<(), R>, Doubt> {
    instance.get_typed_func(&mut *store, name).map_err(|error| hidden(&error))
}

async fn call(store: &mut Store<State>, func: &TypedFunc<(), ()>) -> Result<(), Doubt> {
    func.call_async(&mut *store, ()).await.map_err(|error| hidden(&error))
}

/// Where the memories of an instance are: the component was given exports that say so ([`instrument`]).
async fn look(store: &mut Store<State>, instance: Instance) -> Result<Vec<Span>, Doubt> {
    let mut spans = Vec::new();
    for number in 0.. {
        let name = format!("{}{number}", instrument::SHOW);
        if instance.get_export_index(&mut *store, None, &name).is_none() {
            break;
        }
        let show = func::<(WasmList<u8>,)>(store, instance, &name)?;
        // It is handed over where it lies, and not copied.
        store.set_hostcall_fuel(usize::MAX);
        let shown = show.call_async(&mut *store, ()).await.map_err(|error| hidden(&error));
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        let (list,) = shown?;
        let span = Span::of(list.as_le_slice(&*store)).ok_or_else(|| Doubt::Hidden("a memory of odd pages".to_owned()))?;
        let hide = func(store, instance, &format!("{}{number}", instrument::HIDE))?;
        call(store, &hide).await?;
        spans.extend((span.pages > 0).then_some(span));
    }
    Ok(spans)
}

/// A thing of the host's that a guest never sees.
struct Probe;

/// Whether there are as many handles in the store as `open`, and no more: those of guests included, which nothing else tells.
async fn handles(store: &mut Store<State>, open: usize) -> Result<bool, Doubt> {
    let probe = |store: &mut Store<State>, limit| -> Option<ResourceAny> {
        store.set_max_component_handles(limit);
        Resource::<Probe>::new_own(0).try_into_resource_any(&mut *store).ok()
    };
    // With room for so many there is none for another; with room for one more there is.
    let (over, within) = (probe(store, open), probe(store, open + 1));
    let as_many = over.is_none() && within.is_some();
    store.set_max_component_handles(HANDLES);
    for probe in [over, within].into_iter().flatten() {
        probe.resource_drop_async(&mut *store).await.map_err(|error| Doubt::Hidden(error.to_string()))?;
    }
    Ok(as_many)
}

/// Charges what is kept of these pages to the tenant.
fn charge(store: &mut Store<State>, pages: &[Pages]) -> Result<(), Doubt> {
    let bytes = pages.iter().map(|pages| pages.len() * PAGE).sum();
    if store.data_mut().limiter.keep(bytes) { Ok(()) } else { Err(Doubt::Crowded) }
}

/// The runs of pages for which `is` holds.
fn runs(pages: Pages, is: impl Fn(usize) -> bool) -> Vec<Pages> {
    let mut runs: Vec<Pages> = Vec::new();
    for page in pages.filter(|page| is(*page)) {
        match runs.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            Some(_) | None => runs.push(page..page + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, os::unix::fs::FileExt};

    use memmap2::{MmapMut, MmapOptions};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const PAGES: usize = 40;

    /// A place in a memory, what is written there, and whether the kernel writes it.
    type Written = (usize, u8, bool);

    fn writes() -> impl Strategy<Value = Vec<Written>> {
        vec((0..PAGES * PAGE, 0..4_u8, any::<bool>()), 0..24)
    }

    fn write(memory: &mut MmapMut, file: &File, writes: &[Written]) {
        for (place, byte, by_kernel) in writes {
            if *by_kernel {
                // The file begins with these numbers.
                file.read_exact_at(&mut memory[*place..=*place], u64::from(*byte)).unwrap();
            } else {
                memory[*place] = *byte;
            }
        }
    }

    proptest! {
        #[test]
        fn after_any_requests_a_memory_is_what_it_was_when_it_was_new(
            before in writes(), requests in vec((writes(), any::<bool>()), 1..8), is_image in any::<bool>(),
        ) {
            let file = tempfile::tempfile().unwrap();
            (&file).write_all(&vec![3; PAGES * PAGE]).unwrap();
            file.write_all_at(&[0, 1, 2, 3], 0).unwrap();
            for kernel in [true, false].map(|allowed| Kernel::open(allowed).unwrap()) {
                let options = MmapOptions::new().len(PAGES * PAGE).to_owned();
                #[expect(unsafe_code, reason = "nobody else has the file")]
                // SAFETY: the file is this test's own, and nobody changes it while it is mapped.
                let mut memory = if is_image { unsafe { options.map_copy(&file) } } else { options.map_anon() }.unwrap();
                write(&mut memory, &file, &before);
                let new = memory.to_vec();
                let span = Span::of(&memory).unwrap();
                let mut copies = Vec::new();
                kernel.copies(span, &mut |pages| copies.push(pages)).unwrap();
                let mut kept = Kept::of(span, &memory, &copies, true);
                kernel.watch(span).unwrap();
                for (writes, forgets) in &requests {
                    write(&mut memory, &file, writes);
                    let (written, unsaved) = kept.written(&kernel).unwrap();
                    let touched = |place: &usize| written.iter().any(|pages| pages.contains(&(place / PAGE)));
                    prop_assert!(writes.iter().all(|(place, ..)| touched(place)));
                    let put_back = kept.put_back(&mut memory, written, &unsaved);
                    prop_assert!(put_back.is_ok() && *memory == *new, "{:?}: {put_back:?}", kernel.way());
                    if *forgets {
                        let begun = kept.begin_anew(&kernel, &mut memory);
                        prop_assert!(begun.is_ok() && *memory == *new, "{:?}: {begun:?}", kernel.way());
                        let (mut left, _) = kept.written(&kernel).unwrap();
                        prop_assert!(left.iter_mut().flatten().all(|page| copies.iter().any(|pages| pages.contains(&page))));
                    }
                }
                kernel.leave(span);
            }
        }
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a run is a range")]
    fn runs_of_pages_are_found() {
        assert_eq!(runs(0..10, |page| page % 4 != 0), [1..4, 5..8, 9..10]);
        assert_eq!(runs(3..5, |_| true), [3..5]);
        assert_eq!(runs(3..5, |_| false), Vec::<Pages>::new());
    }
}
