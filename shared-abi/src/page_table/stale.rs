//! What a TLB may still hold after an edit, and the tables that wait for it to forget.
//!
//! A TLB and its walk caches may use an unlinked table until they are told. So unlinked tables are kept in a
//! [`Chain`], and [`Stale::retire`] gives them back only after its callback has done the invalidation.

use super::TableError;
use super::chain::Chain;
use super::table::TableStore;
use crate::addr::{Frame, PageSize, VirtRange};

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

    /// A size that no changed leaf is below: the step for an invalidation address by address.
    pub fn smallest(&self) -> PageSize {
        self.smallest.unwrap_or(PageSize::Size4K)
    }

    /// Whether tables were unlinked: walk caches must go as well then (`tlbi vae1is`, not `vale1is`).
    pub const fn has_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    pub(super) fn note_size(&mut self, size: PageSize) {
        self.smallest = Some(self.smallest.map_or(size, |smallest| smallest.min(size)));
    }

    pub(super) fn note_range(&mut self, range: VirtRange) {
        self.range = match self.range {
            None => Some(range),
            Some(old) => {
                let start = old.start().get().min(range.start().get());
                // Both lie in one half, so their hull does.
                VirtRange::from_bounds(start, old.end().max(range.end()))
            }
        };
    }

    /// The whole half that begins at `base`.
    pub(super) fn note_everything(&mut self, base: u64) {
        self.range = VirtRange::from_bounds(base, base | 0x0000_FFFF_FFFF_F000);
    }

    /// Keeps a table that was just unlinked, and all that hangs below it.
    pub(super) fn detach<S: TableStore + ?Sized>(
        &mut self,
        store: &S,
        frame: Frame,
        level: u8,
    ) -> Result<(), TableError> {
        self.note_size(PageSize::Size4K);
        self.tables.push_tree(store, frame, level)
    }

    /// Keeps a table that was just unlinked and has no entries left.
    pub(super) fn detach_empty<S: TableStore + ?Sized>(
        &mut self,
        store: &S,
        frame: Frame,
    ) -> Result<(), TableError> {
        self.tables.push_tree(store, frame, 3)
    }

    /// Joins another edit of the same tree, so that one invalidation serves both: the range is the hull of the two.
    pub fn merge<S: TableStore + ?Sized>(&mut self, store: &S, other: Self) {
        if let Some(range) = other.range {
            self.note_range(range);
        }
        if let Some(size) = other.smallest {
            self.note_size(size);
        }
        self.tables.append(store, other.tables);
    }

    /// Calls `invalidate`, then gives the unlinked tables back to the store. When `invalidate` returns, no CPU and
    /// no walk may still use what the value names: `dsb ishst`, `tlbi …is` over the range, `dsb ish`, `isb`. It is
    /// not called if nothing changed.
    pub fn retire<S: TableStore + ?Sized>(self, store: &mut S, invalidate: impl FnOnce(&Self)) {
        if self.range.is_some() {
            invalidate(&self);
        }
        self.tables.release(store);
    }
}
