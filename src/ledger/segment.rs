//! The memory of a ledger: cells that several processes map. The only place with unsafe code for it.

use std::{fs::File, io, mem::size_of};

use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::cell::Cell;

/// Cells, all zero at first.
#[derive(Debug)]
pub enum Segment {
    /// Memory that other processes map too, for so many cells.
    #[doc(hidden)]
    Shared(Mapped),
    /// This process's own.
    #[doc(hidden)]
    Own(Own),
}

/// Mapped memory with room for `cells` cells.
#[derive(Debug)]
pub struct Mapped {
    map: MmapRaw,
    cells: usize,
}

/// Cells on the heap; at least one.
#[derive(Debug)]
pub struct Own(Box<[Cell]>);

impl Segment {
    /// Memory that other processes can map by its file.
    pub(super) fn shared(cells: usize) -> io::Result<(Self, File)> {
        let file = File::from(memfd_create("wasgi-ledger", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.set_len(bytes(cells)?)?;
        // Whoever maps it may rely on its size.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::open(&file, cells)?, file))
    }

    /// The same memory, in another process.
    pub(super) fn open(file: &File, cells: usize) -> io::Result<Self> {
        if cells == 0 || file.metadata()?.len() != bytes(cells)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the shared memory has another size"));
        }
        Ok(Self::Shared(Mapped { map: MmapRaw::map_raw(file)?, cells }))
    }

    pub(super) fn own(cells: usize) -> Self {
        Self::Own(Own((0..cells.max(1)).map(|_| Cell::default()).collect()))
    }

    /// The cell at `index`; the last one for an index beyond it, which no caller has.
    pub(super) fn cell(&self, index: usize) -> &Cell {
        match self {
            Self::Shared(mapped) => mapped.cell(index.min(mapped.cells - 1)),
            #[expect(clippy::indexing_slicing, reason = "the index is below the length, which is not 0")]
            Self::Own(Own(cells)) => &cells[index.min(cells.len() - 1)],
        }
    }
}

impl Mapped {
    #[expect(unsafe_code, reason = "memory that other processes write; see the proof")]
    #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
    fn cell(&self, index: usize) -> &Cell {
        debug_assert!(index < self.cells);
        // SAFETY: the mapping begins at a page, so a cell is aligned; it has `cells` cells (`open` has compared the file's length, which is
        // sealed, so that no page can vanish below us), and `index` is one of them. A cell is made of atomic numbers alone, for which every
        // bit pattern is valid, and which are made to be written by others at any time. The reference does not outlive the mapping.
        unsafe { &*self.map.as_ptr().cast::<Cell>().add(index) }
    }
}

fn bytes(cells: usize) -> io::Result<u64> {
    let bytes = cells.checked_mul(size_of::<Cell>()).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too many cells"))
}
