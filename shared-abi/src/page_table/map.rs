//! Mapping a range: survey, reserve, fill.
//!
//! The range is cut into *chunks*: runs of equal leaves inside one table, of the largest size that alignment,
//! length and the caller's cap allow. The survey walks to each chunk, sees that its entries are free and counts
//! the tables that are missing, exactly. Then those tables are taken from the store, unreachable for any walk.
//! Only then is anything written, and nothing can fail any more. Invalid entries become valid: no TLB has them. A
//! tree that nobody uses yet needs no survey: [`Builder`](super::Builder).

use super::chain::Chain;
use super::table::{ENTRIES, Table, TableStore};
use super::{PageTable, TableError, entry_shift, leaf_size};
use crate::addr::{Frame, PageSize, PhysAddr, VirtAddr, VirtRange};
use crate::vmsa::{Attributes, Descriptor};

/// Equal leaves in consecutive entries of one table.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub virt: u64,
    phys: u64,
    pub level: u8,
    count: usize,
}

impl Chunk {
    /// The index of the entry that translates it in a table at `level`.
    pub const fn index(&self, level: u8) -> usize {
        (self.virt >> entry_shift(level)) as usize % ENTRIES
    }

    /// Sees that none of its entries is taken.
    #[inline]
    pub fn check_free(&self, table: &Table) -> Result<(), TableError> {
        let first = self.index(self.level);
        match table.first_valid(first, self.count) {
            None => Ok(()),
            Some(taken) => Err(TableError::Overlap { at: self.at(taken - first), found: table.load(taken) }),
        }
    }

    /// Writes its leaves.
    #[inline]
    pub fn write(&self, table: &Table, size: PageSize, attributes: Attributes) {
        let leaf = Descriptor::leaf_attributes(size, attributes).bits() | self.phys;
        table.set_run(self.index(self.level), self.count, leaf, size.bytes());
    }

    /// Where it ends. Nothing ends at 2⁶⁴: a range is one.
    pub const fn end(&self) -> u64 {
        self.virt.wrapping_add((self.count as u64) << entry_shift(self.level))
    }

    /// Address of its `nth` leaf, for an error.
    pub fn at(&self, nth: usize) -> VirtAddr {
        VirtAddr::new(self.virt + ((nth as u64) << entry_shift(self.level))).unwrap_or(VirtAddr::HIGH_HALF)
    }
}

/// The chunks of a range, in order. Both ends are whole pages, so the smallest size always fits. Numbers, not
/// addresses: the range was one.
#[derive(Clone)]
pub(super) struct Chunks {
    virt: u64,
    left: u64,
    /// What takes a virtual address to its physical one, modulo 2⁶⁴.
    bias: u64,
    /// The level of the largest leaves that the caller and the bias allow.
    least_level: u8,
}

impl Chunks {
    /// The chunks of a range that is to be mapped to the physical memory from `phys` in a tree.
    pub fn of(
        tree: PageTable,
        range: VirtRange,
        phys: PhysAddr,
        largest: PageSize,
    ) -> Result<Self, TableError> {
        tree.check_range(range)?;
        let end = phys.get().checked_add(range.len());
        if !phys.is_aligned(PageSize::Size4K) || end.is_none_or(|end| end > PhysAddr::LIMIT) {
            return Err(TableError::PhysicalRange { phys, length: range.len() });
        }
        Ok(Self::new(range, phys, largest))
    }

    const fn new(range: VirtRange, phys: PhysAddr, largest: PageSize) -> Self {
        let virt = range.start().get();
        let bias = phys.get().wrapping_sub(virt);
        let mut least_level = largest.level();
        while least_level < 3 && !is_multiple(bias, least_level) {
            least_level += 1;
        }
        Self { virt, left: range.len(), bias, least_level }
    }
}

/// Whether a number is a multiple of what a leaf at `level` maps.
const fn is_multiple(number: u64, level: u8) -> bool {
    number & ((1 << entry_shift(level)) - 1) == 0
}

impl Iterator for Chunks {
    type Item = Chunk;

    #[inline]
    fn next(&mut self) -> Option<Chunk> {
        let Self { virt, left, bias, mut least_level } = *self;
        if left == 0 {
            return None;
        }
        while least_level < 3 && !(left >> entry_shift(least_level) > 0 && is_multiple(virt, least_level)) {
            least_level += 1;
        }
        let mut chunk = Chunk { virt, phys: virt.wrapping_add(bias), level: least_level, count: 0 };
        let (shift, to_table_end) = (entry_shift(chunk.level), ENTRIES - chunk.index(chunk.level));
        chunk.count = to_table_end.min((left >> shift) as usize);
        let bytes = (chunk.count as u64) << shift;
        self.left = left - bytes;
        self.virt = virt.wrapping_add(bytes);
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
        let chunks = Chunks::of(self, range, phys, largest)?;
        let needed = self.survey(store, chunks.clone())?;
        let mut spare = Chain::reserve(store, needed)?;
        self.fill(store, chunks, attributes, |store| spare.pop(store).map(|(frame, _)| frame))?;
        debug_assert!(spare.is_empty(), "the survey counts exactly");
        Ok(())
    }

    /// Writes the chunks' leaves, with the tables that are missing above them.
    #[inline]
    fn fill<S: TableStore + ?Sized>(
        self,
        store: &mut S,
        chunks: Chunks,
        attributes: Attributes,
        mut new_table: impl FnMut(&mut S) -> Option<Frame>,
    ) -> Result<(), TableError> {
        for chunk in chunks {
            let (mut frame, reached) = self.reach(store, &chunk)?;
            for level in reached..chunk.level {
                let next = new_table(store).ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
                let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
                table.link(chunk.index(level), next);
                frame = next;
            }
            let (Some(table), Some(size)) = (store.table(frame), leaf_size(chunk.level)) else {
                return Err(TableError::Unreachable { table: frame, level: chunk.level });
            };
            chunk.write(table, size, attributes);
        }
        Ok(())
    }

    /// Sees that all entries are free, and counts the tables that the chunks need and that are not there yet.
    fn survey<S: TableStore + ?Sized>(self, store: &S, chunks: Chunks) -> Result<usize, TableError> {
        let mut needed = 0;
        let mut previous: Option<Chunk> = None;
        for chunk in chunks {
            let (frame, reached) = self.reach(store, &chunk)?;
            // Chunks come in order, so a missing table that an earlier chunk needs too is one that the chunk just
            // before this one needs.
            for level in reached..chunk.level {
                let counted = previous.is_some_and(|before| {
                    before.level > level && (before.virt ^ chunk.virt) >> entry_shift(level) == 0
                });
                needed += usize::from(!counted);
            }
            if reached == chunk.level {
                let unreachable = TableError::Unreachable { table: frame, level: reached };
                chunk.check_free(store.table(frame).ok_or(unreachable)?)?;
            }
            previous = Some(chunk);
        }
        Ok(needed)
    }

    /// Walks to the chunk's entries as far as there are tables: the last one, and its level.
    fn reach<S: TableStore + ?Sized>(self, store: &S, chunk: &Chunk) -> Result<(Frame, u8), TableError> {
        let mut frame = self.root;
        for level in 0..chunk.level {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let entry = table.load(chunk.index(level));
            if !entry.is_valid() {
                return Ok((frame, level));
            }
            if !entry.is_table(level) {
                return Err(TableError::Overlap { at: chunk.at(0), found: entry });
            }
            frame = entry.address().frame();
        }
        Ok((frame, chunk.level))
    }
}
