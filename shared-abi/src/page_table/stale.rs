//! What a TLB may still hold after an edit, and the tables that wait for it to forget.
//!
//! A TLB and its walk caches may use an unlinked table until they are told. So unlinked tables are kept in a chain
//! threaded through the tables themselves (a link is an invalid descriptor: a late walk that meets it faults), and
//! [`Stale::retire`] gives them back only after its callback has done the invalidation.

use super::TableError;
use super::table::{Table, TableStore};
use crate::addr::{Frame, PageSize, VirtAddr, VirtRange};
use crate::vmsa::Descriptor;

/// Tables that no walk can reach, linked through their first entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    ends: Option<(Frame, Frame)>,
    length: usize,
}

/// Bit 1 marks a link, bit 0 stays clear so that it never translates.
const LINK: u64 = 0b10;

fn follow(table: &Table) -> Option<Frame> {
    let link = table.load(0);
    (link.bits() & LINK != 0).then(|| link.address().frame())
}

/// Makes `next` follow the last table of a chain, which was reached when it was put there.
fn link_behind<S: TableStore + ?Sized>(store: &S, last: Frame, next: Frame) {
    if let Some(table) = store.table(last) {
        table.store(0, Descriptor::from_bits_retain(next.start().get() | LINK));
    }
}

impl Chain {
    pub(super) const EMPTY: Self = Self { ends: None, length: 0 };

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push<S: TableStore + ?Sized>(
        &mut self,
        store: &S,
        frame: Frame,
        level: u8,
    ) -> Result<(), TableError> {
        let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
        table.store(0, Descriptor::INVALID);
        self.ends = match self.ends {
            None => Some((frame, frame)),
            Some((first, last)) => {
                link_behind(store, last, frame);
                Some((first, frame))
            }
        };
        self.length += 1;
        Ok(())
    }

    /// The first table, its link made zero again.
    pub(super) fn pop<S: TableStore + ?Sized>(&mut self, store: &S) -> Option<Frame> {
        let (first, last) = self.ends?;
        let table = store.table(first)?;
        self.ends = follow(table).map(|next| (next, last));
        self.length -= 1;
        table.store(0, Descriptor::INVALID);
        Some(first)
    }

    /// `needed` fresh tables, or none at all.
    pub(super) fn reserve<S: TableStore + ?Sized>(store: &mut S, needed: usize) -> Result<Self, TableError> {
        let mut chain = Self::default();
        for available in 0..needed {
            let pushed = match store.allocate() {
                Some(frame) => chain.push(store, frame, 3).inspect_err(|_| store.free(frame)),
                None => Err(TableError::OutOfTables { needed, available }),
            };
            if let Err(error) = pushed {
                chain.release(store);
                return Err(error);
            }
        }
        Ok(chain)
    }

    /// Gives every table back.
    pub(super) fn release<S: TableStore + ?Sized>(mut self, store: &mut S) {
        while let Some(frame) = self.pop(store) {
            store.free(frame);
        }
    }
}

/// Translations that were changed or taken away and may still be cached. Holding one is a duty: until it is
/// retired, memory that was unmapped must not be given to anyone else.
#[must_use = "the TLB still holds what was changed: retire it"]
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Stale {
    range: Option<VirtRange>,
    smallest: Option<PageSize>,
    tables: Chain,
}

impl Stale {
    /// The addresses whose translations changed; `None` if nothing did.
    pub const fn range(&self) -> Option<VirtRange> {
        self.range
    }

    /// The smallest leaf that changed: the step for an invalidation address by address.
    pub fn smallest(&self) -> PageSize {
        self.smallest.unwrap_or(PageSize::Size4K)
    }

    /// How many tables were unlinked. If any, walk caches must go as well (`tlbi vae1is`, not `vale1is`).
    pub const fn tables(&self) -> usize {
        self.tables.length
    }

    pub(super) fn note_leaves(&mut self, at: VirtAddr, count: usize, size: PageSize) {
        if let Some(range) = VirtRange::new(at, (count as u64) << size.shift()) {
            self.note_range(range);
        }
        self.smallest = Some(self.smallest.map_or(size, |smallest| smallest.min(size)));
    }

    /// The whole half that begins at `base`.
    pub(super) fn note_everything(&mut self, base: u64) {
        self.range = VirtRange::from_bounds(base, base | 0x0000_FFFF_FFFF_F000);
    }

    fn note_range(&mut self, range: VirtRange) {
        self.range = match self.range {
            None => Some(range),
            Some(old) => {
                let start = old.start().get().min(range.start().get());
                // Both lie in one half, so their hull does.
                VirtRange::from_bounds(start, old.end().max(range.end()))
            }
        };
    }

    pub(super) fn note_table<S: TableStore + ?Sized>(
        &mut self,
        store: &S,
        frame: Frame,
        level: u8,
    ) -> Result<(), TableError> {
        self.tables.push(store, frame, level)
    }

    /// Joins another edit of the same tree, so that one invalidation serves both: the range is the hull of the two.
    pub fn merge<S: TableStore + ?Sized>(&mut self, store: &S, other: Self) {
        if let Some(range) = other.range {
            self.note_range(range);
        }
        self.smallest = match (self.smallest, other.smallest) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.tables = match (self.tables.ends, other.tables.ends) {
            (None, _) => other.tables,
            (_, None) => self.tables,
            (Some((first, last)), Some((other_first, other_last))) => {
                link_behind(store, last, other_first);
                Chain { ends: Some((first, other_last)), length: self.tables.length + other.tables.length }
            }
        };
    }

    /// Calls `invalidate`, then gives the unlinked tables back to the store. When `invalidate` returns, no CPU and
    /// no walk may still use what the value names: `dsb ishst`, `tlbi …is` over the range, `dsb ish`, `isb`. It is
    /// not called if nothing changed.
    pub fn retire<S: TableStore + ?Sized>(self, store: &mut S, invalidate: impl FnOnce(&Self)) {
        if self.range.is_some() || self.tables.length != 0 {
            invalidate(&self);
        }
        self.tables.release(store);
    }
}
