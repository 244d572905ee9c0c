//! A store over one physically contiguous run of frames, handed out from the front.
//!
//! The loader's tables come from its arena this way, and so do those of host tests. A table that is given back is
//! the next to be handed out again; until then its first entry leads to the one that was given back before it.

use super::table::{Table, TableStore};
use crate::addr::{Frame, PAGE_SHIFT};
use crate::vmsa::Descriptor;

/// A [`TableStore`] over a slice of tables that lie in consecutive frames.
#[derive(Debug)]
pub struct TablePool<'a> {
    tables: &'a [Table],
    first: Frame,
    used: usize,
    /// One more than the index of the table that was given back last; 0 for none.
    free: usize,
    live: usize,
}

impl<'a> TablePool<'a> {
    /// The tables of a slice whose first lies in frame `first`. All must be zero and nobody else's.
    pub const fn new(tables: &'a [Table], first: Frame) -> Self {
        Self { tables, first, used: 0, free: 0, live: 0 }
    }

    /// Tables that were ever handed out: the first so many frames of the run.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Tables that are handed out now.
    pub const fn live(&self) -> usize {
        self.live
    }

    #[inline]
    fn index(&self, table: Frame) -> Option<usize> {
        usize::try_from(table.number().checked_sub(self.first.number())?).ok()
    }
}

impl TableStore for TablePool<'_> {
    #[inline]
    fn table(&self, table: Frame) -> Option<&Table> {
        self.tables.get(self.index(table)?)
    }

    fn allocate(&mut self) -> Option<Frame> {
        let index = match self.free.checked_sub(1) {
            Some(index) => {
                let table = self.tables.get(index)?;
                self.free = (table.load(0).bits() >> PAGE_SHIFT) as usize;
                table.clear();
                index
            }
            None if self.used < self.tables.len() => {
                self.used += 1;
                self.used - 1
            }
            None => return None,
        };
        self.live += 1;
        self.first.checked_add(index as u64)
    }

    #[inline]
    fn free(&mut self, table: Frame) {
        // A frame that is not of this run did not come from it and is left alone.
        let Some(index) = self.index(table) else { return };
        if let Some(table) = self.tables.get(index) {
            table.store(0, Descriptor::from_bits_retain((self.free as u64) << PAGE_SHIFT));
            self.free = index + 1;
            self.live -= 1;
        }
    }
}
