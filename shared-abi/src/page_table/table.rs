//! One translation table, and where tables come from.
//!
//! Entries are atomics because the hardware walker reads them at any time: each access is one 64-bit
//! single-copy-atomic load or store (Arm ARM B2.2.1). Runs of entries are handled a slice at a time, eight to
//! the turn, so that filling, checking and comparing cost an instruction or two an entry.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::addr::Frame;
use crate::vmsa::Descriptor;

/// Entries of a table: a frame of 64-bit descriptors.
pub const ENTRIES: usize = 512;

/// A translation table as it lies in memory: one frame.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct Table {
    entries: [AtomicU64; ENTRIES],
}

const _: () = assert!(size_of::<Table>() == 4096 && align_of::<Table>() == 4096);

/// Where finished tables are read from: a store, live memory, or a dump of it.
pub trait TableSource {
    /// The entry `index` (below 512) of the table in `table`; `None` if that frame cannot be read.
    fn entry(&self, table: Frame, index: usize) -> Option<Descriptor>;
}

/// Where tables live and come from.
///
/// A frame that `allocate` gave is the editor's alone until `free` takes it back, `table` reaches it all that
/// time, and its 512 entries are zero when it is given.
pub trait TableStore {
    /// The table in `table`; `None` if the store cannot reach that frame.
    fn table(&self, table: Frame) -> Option<&Table>;

    /// A frame for a table, all zero and owned by nobody else; `None` if there is none left.
    fn allocate(&mut self) -> Option<Frame>;

    /// Takes a table back. No walk can still be inside it. What it holds is of no meaning.
    fn free(&mut self, table: Frame);
}

impl<S: TableStore + ?Sized> TableSource for S {
    fn entry(&self, table: Frame, index: usize) -> Option<Descriptor> {
        self.table(table).map(|table| table.load(index))
    }
}

impl Table {
    /// A table that maps nothing.
    pub const fn new() -> Self {
        Self { entries: [const { AtomicU64::new(0) }; ENTRIES] }
    }

    /// The entry `index`, taken modulo 512.
    #[inline]
    pub fn load(&self, index: usize) -> Descriptor {
        Descriptor::from_bits_retain(self.entries[index % ENTRIES].load(Ordering::Relaxed))
    }

    /// Replaces the entry `index`, taken modulo 512, by one store.
    #[inline]
    pub fn store(&self, index: usize, descriptor: Descriptor) {
        self.entries[index % ENTRIES].store(descriptor.bits(), Ordering::Relaxed);
    }

    /// Makes the table in `next` part of the tree: whoever sees the link sees all that was written to the table.
    #[inline]
    pub(super) fn link(&self, index: usize, next: Frame) {
        self.entries[index % ENTRIES].store(Descriptor::table(next).bits(), Ordering::Release);
    }

    /// Makes all entries zero: for stores that give the same frame again.
    pub fn clear(&self) {
        self.set_run(0, ENTRIES, 0, 0);
    }

    /// `count` entries from `index`, as far as the table has them.
    #[inline]
    fn run(&self, index: usize, count: usize) -> &[AtomicU64] {
        self.entries.get(index..).map_or(&[], |tail| tail.get(..count).unwrap_or(tail))
    }

    /// Stores `first`, `first + step`, … to `count` entries from `index`.
    pub(super) fn set_run(&self, index: usize, count: usize, first: u64, step: u64) {
        let mut value = first;
        let (eights, rest) = self.run(index, count).as_chunks::<8>();
        for eight in eights {
            for entry in eight {
                entry.store(value, Ordering::Relaxed);
                value = value.wrapping_add(step);
            }
        }
        for entry in rest {
            entry.store(value, Ordering::Relaxed);
            value = value.wrapping_add(step);
        }
    }

    /// Joins the bits of `count` entries from `index`, beginning with `bits`.
    #[inline]
    fn fold(&self, index: usize, count: usize, mut bits: u64, join: impl Fn(u64, u64) -> u64) -> Descriptor {
        let (eights, rest) = self.run(index, count).as_chunks::<8>();
        for eight in eights {
            for entry in eight {
                bits = join(bits, entry.load(Ordering::Relaxed));
            }
        }
        for entry in rest {
            bits = join(bits, entry.load(Ordering::Relaxed));
        }
        Descriptor::from_bits_retain(bits)
    }

    /// Whether an entry may lead to another table: blocks and entries that are not valid have bit 1 clear.
    #[inline]
    pub(super) fn may_have_tables(&self) -> bool {
        self.fold(0, ENTRIES, 0, |all, entry| all | entry).contains(Descriptor::TABLE_OR_PAGE)
    }

    /// The first of `count` entries from `index` that is valid, as an index.
    pub(super) fn first_valid(&self, index: usize, count: usize) -> Option<usize> {
        if !self.fold(index, count, 0, |all, entry| all | entry).is_valid() {
            return None;
        }
        let valid = |entry: &AtomicU64| entry.load(Ordering::Relaxed) & Descriptor::VALID.bits() != 0;
        self.run(index, count).iter().position(valid).map(|offset| index + offset)
    }

    /// Eight entries from `index`, taken modulo 512 and rounded down to a multiple of eight.
    #[inline]
    pub(super) fn eight(&self, index: usize) -> [Descriptor; 8] {
        let (eights, _) = self.entries.as_chunks::<8>();
        let mut eight = [Descriptor::INVALID; 8];
        if let Some(entries) = eights.get(index % ENTRIES / 8) {
            for (copy, entry) in eight.iter_mut().zip(entries) {
                *copy = Descriptor::from_bits_retain(entry.load(Ordering::Relaxed));
            }
        }
        eight
    }

    /// How many of `count` entries from `index` are leaves at `level`, up to the first that is none.
    #[inline]
    pub(super) fn count_leaves(&self, index: usize, count: usize, level: u8) -> usize {
        let page = Descriptor::VALID.union(Descriptor::TABLE_OR_PAGE);
        if level == 3 && self.fold(index, count, u64::MAX, |all, entry| all & entry).contains(page) {
            return count;
        }
        let wanted = if level == 3 { page } else { Descriptor::VALID };
        let leaf = |entry: &AtomicU64| entry.load(Ordering::Relaxed) & page.bits() == wanted.bits();
        self.run(index, count).iter().take_while(|entry| leaf(entry)).count()
    }

    /// Whether nothing is left in the table after entries `first` to `end` were cleared. Looks at the neighbours
    /// first: in a table that is in use they answer.
    #[inline]
    pub(super) fn is_empty_around(&self, first: usize, end: usize) -> bool {
        !self.load(first.wrapping_sub(1)).is_valid()
            && !self.load(end).is_valid()
            && self.first_valid(0, ENTRIES).is_none()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}
