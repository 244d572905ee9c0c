//! Mapping a range: survey, reserve, fill.
//!
//! The range is cut into *chunks*: runs of equal leaves inside one table, of the largest size that alignment,
//! length and the caller's cap allow. The survey walks to each chunk, sees that its entries are free and counts
//! the tables that are missing, exactly. Then those tables are taken from the store, unreachable for any walk.
//! Only then is anything written, and nothing can fail any more. Invalid entries become valid: no TLB has them.

use super::chain::Chain;
use super::table::{ENTRIES, TableStore};
use super::{PageTable, TableError, entry_shift};
use crate::addr::{Frame, PageSize, PhysAddr, VirtAddr, VirtRange};
use crate::vmsa::{Attributes, Descriptor};

/// Equal leaves in consecutive entries of one table.
#[derive(Clone, Copy)]
struct Chunk {
    virt: VirtAddr,
    phys: PhysAddr,
    size: PageSize,
    count: usize,
}

impl Chunk {
    fn level(&self) -> u8 {
        self.size.level()
    }

    fn index(&self) -> usize {
        self.virt.table_index(self.level())
    }
}

/// The chunks of a range, in order. Both ends are whole pages, so the smallest size always fits.
struct Chunks {
    virt: Option<VirtAddr>,
    phys: PhysAddr,
    left: u64,
    largest: PageSize,
}

impl Iterator for Chunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let virt = self.virt?;
        let fits = |size: PageSize| {
            size <= self.largest
                && self.left >= size.bytes()
                && virt.is_aligned(size)
                && self.phys.is_aligned(size)
        };
        let size = if fits(PageSize::Size1G) {
            PageSize::Size1G
        } else if fits(PageSize::Size2M) {
            PageSize::Size2M
        } else if fits(PageSize::Size4K) {
            PageSize::Size4K
        } else {
            return None;
        };
        let to_table_end = ENTRIES - virt.table_index(size.level());
        let count = to_table_end.min(usize::try_from(self.left >> size.shift()).unwrap_or(usize::MAX));
        let chunk = Chunk { virt, phys: self.phys, size, count };
        let bytes = (count as u64) << size.shift();
        self.left -= bytes;
        self.virt = virt.checked_add(bytes);
        self.phys = self.phys.checked_add(bytes).unwrap_or_default();
        Some(chunk)
    }
}

impl PageTable {
    /// Maps `range` to the physical memory from `phys`, by leaves of at most `largest`.
    ///
    /// Sizes are chosen by alignment: 1 GiB where virtual and physical address and what is left allow it, else
    /// 2 MiB, else 4 KiB. Cap the size where rights may change later, so that no live block has to be split. The
    /// caller makes the stores visible to the walker (`dsb ishst`, `isb`) before it uses the mapping.
    ///
    /// # Errors
    /// [`TableError`]; nothing has been changed then and every table taken has been given back.
    pub fn map<S: TableStore + ?Sized>(
        self,
        store: &mut S,
        range: VirtRange,
        phys: PhysAddr,
        attributes: Attributes,
        largest: PageSize,
    ) -> Result<(), TableError> {
        self.check_range(range)?;
        let end = phys.get().checked_add(range.len());
        if !phys.is_aligned(PageSize::Size4K) || end.is_none_or(|end| end > PhysAddr::LIMIT) {
            return Err(TableError::PhysicalRange { phys, length: range.len() });
        }
        let chunks = || Chunks { virt: Some(range.start()), phys, left: range.len(), largest };
        let needed = self.survey(store, chunks())?;
        let mut spare = Chain::reserve(store, needed)?;
        for chunk in chunks() {
            let level = chunk.level();
            let frame = self.descend(store, chunk.virt, level, &mut spare)?;
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let first = Descriptor::leaf_attributes(chunk.size, attributes).bits() | chunk.phys.get();
            table.set_run(chunk.index(), chunk.count, first, chunk.size.bytes());
        }
        debug_assert!(spare.is_empty(), "the survey counts exactly");
        Ok(())
    }

    /// Counts the tables that the chunks need and that are not there yet.
    fn survey<S: TableStore + ?Sized>(self, store: &S, chunks: Chunks) -> Result<usize, TableError> {
        let mut needed = 0;
        let mut previous: Option<Chunk> = None;
        for chunk in chunks {
            let missing_below = self.find_free(store, &chunk)?;
            // Chunks come in order, so a missing table that an earlier chunk needs too is one that the chunk just
            // before this one needs.
            for level in missing_below..chunk.level() {
                let counted = previous.is_some_and(|before| {
                    before.level() > level
                        && (before.virt.get() ^ chunk.virt.get()) >> entry_shift(level) == 0
                });
                needed += usize::from(!counted);
            }
            previous = Some(chunk);
        }
        Ok(needed)
    }

    /// Walks to the chunk's entries. The level of the last table that exists on the way.
    fn find_free<S: TableStore + ?Sized>(self, store: &S, chunk: &Chunk) -> Result<u8, TableError> {
        let mut frame = self.root;
        for level in 0..chunk.level() {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let entry = table.load(chunk.virt.table_index(level));
            if !entry.is_valid() {
                return Ok(level);
            }
            if !entry.is_table(level) {
                return Err(TableError::Overlap { at: chunk.virt, found: entry });
            }
            frame = entry.address().frame();
        }
        let table =
            store.table(frame).ok_or(TableError::Unreachable { table: frame, level: chunk.level() })?;
        match table.first_valid(chunk.index(), chunk.count) {
            None => Ok(chunk.level()),
            Some(taken) => {
                let bytes = ((taken - chunk.index()) as u64) << chunk.size.shift();
                let at = chunk.virt.checked_add(bytes).unwrap_or(chunk.virt);
                Err(TableError::Overlap { at, found: table.load(taken) })
            }
        }
    }

    /// Walks down to the table at `level` that translates `virt`, linking spare tables where there are none.
    fn descend<S: TableStore + ?Sized>(
        self,
        store: &S,
        virt: VirtAddr,
        level: u8,
        spare: &mut Chain,
    ) -> Result<Frame, TableError> {
        let mut frame = self.root;
        for level in 0..level {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let index = virt.table_index(level);
            let entry = table.load(index);
            frame = if entry.is_valid() {
                entry.address().frame()
            } else {
                let (next, _) =
                    spare.pop(store).ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
                table.link(index, next);
                next
            };
        }
        Ok(frame)
    }
}
