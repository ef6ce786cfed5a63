//! Which pages of a memory were written, and what they held before: the only place with unsafe code for it, each call of the kernel with its
//! proof.
//!
//! Pages that were never written are the image's, which the kernel maps again when they are dropped. A page that was written is kept, is
//! copied back after each request, and stays writable: in the end requests fault no more. Which pages those are, the kernel says
//! (`PAGEMAP_SCAN`, Linux 6.7): where userfaultfd may be used, by write-protection that it takes away itself (`UFFD_FEATURE_WP_ASYNC`);
//! elsewhere by whether they are copies of the image's (`private`). See userfaultfd(2), ioctl_userfaultfd(2) and
//! Documentation/admin-guide/mm/pagemap.rst.
//!
//! Knows addresses and no guest. [`super`] knows whose they are.

use std::{
    fs::File,
    io,
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use wasmtime::Store;

/// Bytes of a page.
pub(super) const PAGE: usize = 4 << 10;

/// Pages that are found by one call.
const REGIONS: usize = 256;

/// `struct uffdio_api` and its kin, of `linux/userfaultfd.h`.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_UNREGISTER: libc::c_ulong = 0x8010_aa01;
const UFFDIO_WRITEPROTECT: libc::c_ulong = 0xc018_aa06;
const UFFD_API: u64 = 0xaa;
const UFFD_FEATURE_PAGEFAULT_FLAG_WP: u64 = 1;
const UFFD_FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;
const UFFDIO_REGISTER_MODE_WP: u64 = 1 << 1;
const UFFDIO_WRITEPROTECT_MODE_WP: u64 = 1;
const UFFD_USER_MODE_ONLY: libc::c_int = 1;

/// `struct pm_scan_arg`, of `linux/fs.h`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;
const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// The calls of `ioctl` that are made here, for who filters them.
pub(super) const CALLS: [u64; 4] = [UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT, PAGEMAP_SCAN];

#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Range {
    start: u64,
    len: u64,
}

#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Protect {
    range: Range,
    mode: u64,
}

#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// How it is found which pages were written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Way {
    /// By write-protection.
    Userfaultfd,
    /// By being copies: each page that was ever written is copied back.
    Private,
}

/// Before that its loop for written pages alone did not look whether a page was there, and took some that were swapped out, or on their way, for
/// untouched (fs/proc/task_mmu.c, "fix uffd-wp confusion in pagemap_scan_pmd_entry").
const SURE_LOOP: (u32, u32) = (6, 10);

/// What the kernel is asked with.
#[derive(Debug)]
pub(super) struct Kernel {
    pagemap: File,
    userfaultfd: Option<OwnedFd>,
    /// Whether its loop for who asks for written pages alone finds all of them.
    has_sure_loop: bool,
}

/// Pages, by their first and the one behind their last, seen from the beginning of a memory.
pub(super) type Pages = std::ops::Range<usize>;

/// A memory of a guest: it lies at `base`, and has `pages` pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    base: usize,
    pub pages: usize,
}

impl Span {
    /// Where a memory is that a guest has shown whole. `None` if it does not begin and end at pages.
    pub(super) fn of(memory: &[u8]) -> Option<Self> {
        let base = memory.as_ptr() as usize;
        let at_pages = base.is_multiple_of(PAGE) && memory.len().is_multiple_of(PAGE);
        at_pages.then_some(Self { base, pages: memory.len() / PAGE })
    }

    /// Its bytes, which the guest cannot reach meanwhile: `store` is the one whose memory this is.
    #[expect(unsafe_code, reason = "wasmtime tells nobody where memories are but by lists; see the proof")]
    pub(super) fn bytes<'a, T>(&self, _store: &'a mut Store<T>) -> &'a mut [u8] {
        // SAFETY: the address and the length are those of a list that wasmtime has lifted, and so checked to lie in one memory of the store
        // (`Span::of`). A memory of the pooling allocator never moves, shrinks or goes before its store does, and a `Span` is kept by a
        // `Snapshot`, beside the store that it was taken of and dropped before it. The store is borrowed mutably for as long as the slice
        // lives, so that no guest runs and no other slice of its memory exists; and bytes have no invalid values.
        unsafe { std::slice::from_raw_parts_mut(self.base as *mut u8, self.pages * PAGE) }
    }
}

impl Kernel {
    /// Opens what is needed; `None` where this kernel has neither way.
    pub(super) fn open(allow_userfaultfd: bool) -> Option<Self> {
        let pagemap = File::open("/proc/self/pagemap").ok()?;
        let has_sure_loop = release().is_some_and(|release| release >= SURE_LOOP);
        let mut kernel = Self { pagemap, userfaultfd: None, has_sure_loop };
        // Asked of nothing: does the kernel know the call?
        kernel.scan(0, 0, 0, &mut |_| {}).ok()?;
        kernel.userfaultfd = allow_userfaultfd.then(userfaultfd).and_then(Result::ok);
        Some(kernel)
    }

    pub(super) fn way(&self) -> Way {
        if self.userfaultfd.is_some() { Way::Userfaultfd } else { Way::Private }
    }

    /// From now on it is seen what is written in a memory.
    pub(super) fn watch(&self, span: Span) -> io::Result<()> {
        if let Some(userfaultfd) = &self.userfaultfd {
            let mut register = Register { range: range(span), mode: UFFDIO_REGISTER_MODE_WP, ioctls: 0 };
            ioctl(userfaultfd.as_raw_fd(), UFFDIO_REGISTER, &mut register)?;
            self.protect(span)?;
        }
        Ok(())
    }

    /// What was written until now is no longer seen.
    pub(super) fn protect(&self, span: Span) -> io::Result<()> {
        let Some(userfaultfd) = &self.userfaultfd else { return Ok(()) };
        let mut protect = Protect { range: range(span), mode: UFFDIO_WRITEPROTECT_MODE_WP };
        ioctl(userfaultfd.as_raw_fd(), UFFDIO_WRITEPROTECT, &mut protect).map(drop)
    }

    /// Nothing of a memory is watched any more.
    pub(super) fn leave(&self, span: Span) {
        if let Some(userfaultfd) = &self.userfaultfd
            && let Err(error) = ioctl(userfaultfd.as_raw_fd(), UFFDIO_UNREGISTER, &mut range(span))
        {
            tracing::warn!("a memory cannot be let go of: {error}");
        }
    }

    /// The pages of a memory that were written since it was watched, or since it was protected last.
    pub(super) fn written(&self, span: Span, found: &mut impl FnMut(Pages)) -> io::Result<()> {
        match self.way() {
            Way::Userfaultfd => self.scan_all(span, PM_SCAN_CHECK_WPASYNC, found),
            Way::Private => self.copies(span, found),
        }
    }

    /// The pages of a memory that are not the image's, and not empty ones that were never written.
    pub(super) fn copies(&self, span: Span, found: &mut impl FnMut(Pages)) -> io::Result<()> {
        self.scan_all(span, 0, found)
    }

    fn scan_all(&self, span: Span, flags: u64, found: &mut impl FnMut(Pages)) -> io::Result<()> {
        let (mut at, end) = (span.base, span.base + span.pages * PAGE);
        while at < end {
            at = self.scan(at, end, flags, &mut |region| {
                let page = |address: u64| (usize::try_from(address).unwrap_or(usize::MAX).saturating_sub(span.base) / PAGE).min(span.pages);
                found(page(region.start)..page(region.end));
            })?;
        }
        Ok(())
    }

    /// Looks from `start` to `end`; how far it came.
    fn scan(&self, start: usize, end: usize, flags: u64, found: &mut dyn FnMut(Region)) -> io::Result<usize> {
        let mut regions = [Region::default(); REGIONS];
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            flags,
            start: start as u64,
            end: end as u64,
            vec: regions.as_mut_ptr() as u64,
            vec_len: REGIONS as u64,
            ..Scan::default()
        };
        if flags & PM_SCAN_CHECK_WPASYNC == 0 {
            // Neither a page of a file nor the one of zeroes; here, or swapped out.
            (scan.category_inverted, scan.category_mask) = (PAGE_IS_FILE | PAGE_IS_PFNZERO, PAGE_IS_FILE | PAGE_IS_PFNZERO);
            (scan.category_anyof_mask, scan.return_mask) = (PAGE_IS_PRESENT | PAGE_IS_SWAPPED, PAGE_IS_PRESENT);
        } else if self.has_sure_loop {
            // Asked just so, the kernel has a loop for it of its own. That finds pages as well that were never there, which is too much, not too little.
            (scan.category_mask, scan.return_mask) = (PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
        } else {
            (scan.category_anyof_mask, scan.return_mask) = (PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
        }
        let count = ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &mut scan)?;
        regions.iter().take(count).for_each(|region| found(*region));
        let came = usize::try_from(scan.walk_end).unwrap_or(end);
        // Whoever comes no further has seen all.
        Ok(if came > start { came } else { end })
    }

    /// Forgets what was written in these pages of a memory: they are the image's again, or empty.
    #[expect(unsafe_code, reason = "a call of the kernel; see the proof")]
    pub(super) fn forget(memory: &mut [u8], pages: &Pages) -> io::Result<()> {
        let Some(part) = memory.get_mut(pages.start * PAGE..pages.end * PAGE) else { return Err(io::ErrorKind::InvalidInput.into()) };
        // SAFETY: `part` is borrowed mutably and lies within one memory of a guest that does not run, so that nobody else reads it now; it
        // begins and ends at pages, for a memory does. wasmtime's pooling allocator maps a memory privately, from the image's file or
        // anonymously, and drops its pages with the same call when the memory goes; what is mapped there stays mapped, with the same rights.
        // Only the content changes, from bytes to bytes, as after a write through `part`.
        let done = unsafe { libc::madvise(part.as_mut_ptr().cast(), part.len(), libc::MADV_DONTNEED) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The kernel's version: its first two numbers.
fn release() -> Option<(u32, u32)> {
    version(&std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn range(span: Span) -> Range {
    Range { start: span.base as u64, len: (span.pages * PAGE) as u64 }
}

/// A userfaultfd for faults of this process's own code alone, whose write-protection the kernel takes away itself.
#[expect(unsafe_code, reason = "a call of the kernel; see the proof")]
fn userfaultfd() -> io::Result<OwnedFd> {
    // SAFETY: userfaultfd(2) takes flags and touches no memory; what it returns is a new descriptor, or -1.
    let opened = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY) };
    let opened = libc::c_int::try_from(opened).map_err(io::Error::other)?;
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else's.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    let features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC;
    ioctl(opened.as_raw_fd(), UFFDIO_API, &mut Api { version: UFFD_API, features, ioctls: 0 })?;
    Ok(opened)
}

/// Asks the kernel; what it counts.
#[expect(unsafe_code, reason = "a call of the kernel; see the proof")]
fn ioctl<T>(descriptor: libc::c_int, request: libc::c_ulong, argument: &mut T) -> io::Result<usize> {
    // SAFETY: every request of this file takes a pointer to the structure that it is called with here (its size is a part of the request's
    // number; a test compares them), reads and writes it, and nothing else but the vector that `PAGEMAP_SCAN` is told of, which `scan` keeps
    // for as long. Watching and protecting change which writes fault, and never what is read: the kernel resolves those faults itself.
    let count = unsafe { libc::ioctl(descriptor, request, ptr::from_mut(argument)) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use memmap2::{MmapMut, MmapOptions};

    use super::*;

    fn span(map: &MmapMut) -> Span {
        Span::of(map).unwrap()
    }

    fn pages(kernel: &Kernel, span: Span) -> Vec<usize> {
        let mut found = Vec::new();
        kernel.written(span, &mut |pages| found.extend(pages)).unwrap();
        found
    }

    fn ways() -> [Kernel; 2] {
        let [first, second] = [true, false].map(|allowed| Kernel::open(allowed).unwrap());
        assert_eq!([first.way(), second.way()], [Way::Userfaultfd, Way::Private]);
        [first, second]
    }

    #[test]
    fn the_numbers_of_calls_carry_the_sizes_of_what_they_take() {
        let size = |request: libc::c_ulong| usize::try_from(request >> 16 & 0x3fff).unwrap();
        assert_eq!(
            [UFFDIO_API, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT, PAGEMAP_SCAN].map(size),
            [size_of::<Api>(), size_of::<Register>(), size_of::<Range>(), size_of::<Protect>(), size_of::<Scan>()]
        );
    }

    #[test]
    fn pages_that_were_written_are_found_in_memory_and_in_the_image_of_a_file() {
        let file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut &file, &vec![7; 16 * PAGE]).unwrap();
        for kernel in ways() {
            let mut anonymous = MmapOptions::new().len(16 * PAGE).map_anon().unwrap();
            #[expect(unsafe_code, reason = "nobody else has the file")]
            // SAFETY: the file is this test's own, and nobody changes it.
            let mut image = unsafe { MmapOptions::new().map_copy(&file).unwrap() };
            for (map, at_first) in [(&mut anonymous, 0), (&mut image, 7)] {
                let all = span(map);
                // A page that is read is none that is written.
                assert_eq!(map[PAGE], at_first);
                kernel.watch(all).unwrap();
                assert_eq!((map[2 * PAGE], pages(&kernel, all)), (at_first, Vec::new()), "{:?}", kernel.way());
                for page in [0, 3, 4, 15] {
                    map[page * PAGE + 9] = 1;
                }
                assert_eq!(pages(&kernel, all), [0, 3, 4, 15], "{:?}", kernel.way());
                Kernel::forget(map, &(3..5)).unwrap();
                assert_eq!([map[3 * PAGE + 9], map[4 * PAGE + 9], map[9]], [at_first, at_first, 1]);
                kernel.protect(all).unwrap();
                map[3 * PAGE] = 2;
                let again = if kernel.way() == Way::Userfaultfd { vec![3] } else { vec![0, 3, 15] };
                assert_eq!(pages(&kernel, all), again, "{:?}", kernel.way());
                kernel.leave(all);
            }
        }
    }

    #[test]
    fn more_regions_than_one_call_finds_are_found() {
        for kernel in ways() {
            let mut map = MmapOptions::new().len(4 * REGIONS * PAGE).map_anon().unwrap();
            kernel.watch(span(&map)).unwrap();
            let written: Vec<_> = (0..2 * REGIONS).map(|number| 2 * number).collect();
            for page in &written {
                map[page * PAGE] = 1;
            }
            assert_eq!(pages(&kernel, span(&map)), written);
        }
    }

    #[test]
    fn a_memory_begins_and_ends_at_pages() {
        let map = MmapOptions::new().len(2 * PAGE).map_anon().unwrap();
        let pages = |bytes: &[u8]| Span::of(bytes).map(|span| span.pages);
        assert_eq!([pages(&map), pages(&map[PAGE..]), pages(&map[1..]), pages(&map[..PAGE - 1])], [Some(2), Some(1), None, None]);
    }

    #[test]
    fn pages_beyond_a_memory_are_not_forgotten() {
        let mut map = MmapOptions::new().len(2 * PAGE).map_anon().unwrap();
        assert_eq!(Kernel::forget(&mut map, &(1..3)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_kernels_version_is_its_first_two_numbers() {
        let found = ["6.18.44-fc-v769", "6.10.0", "6.9.12-200.fc40.x86_64", "6.7", "7.0-rc1", "6", "", "generic"].map(version);
        assert_eq!(found, [Some((6, 18)), Some((6, 10)), Some((6, 9)), Some((6, 7)), Some((7, 0)), None, None, None]);
        let sure = found.map(|release| release.is_some_and(|release| release >= SURE_LOOP));
        assert_eq!(sure, [true, true, false, false, true, false, false, false]);
        assert!(release().is_some());
    }
}
