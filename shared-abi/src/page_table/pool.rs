//! A store over one physically contiguous run of frames, handed out from the front.
//!
//! The loader's tables come from its arena this way, and so do those of host tests. A table that is given back is
//! the next to be handed out again.

use super::stale::Chain;
use super::table::{Table, TableStore};
use crate::addr::Frame;

/// A [`TableStore`] over a slice of tables that lie in consecutive frames.
#[derive(Debug)]
pub struct TablePool<'a> {
    tables: &'a [Table],
    first: Frame,
    used: usize,
    free: Chain,
}

impl<'a> TablePool<'a> {
    /// The tables of a slice whose first lies in frame `first`. All must be zero and nobody else's.
    pub const fn new(tables: &'a [Table], first: Frame) -> Self {
        Self { tables, first, used: 0, free: Chain::EMPTY }
    }

    /// Tables that were ever handed out: the first so many frames of the run.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Tables that are handed out now.
    pub const fn live(&self) -> usize {
        self.used - self.free.len()
    }
}

impl TableStore for TablePool<'_> {
    #[inline]
    fn table(&self, table: Frame) -> Option<&Table> {
        let index = table.number().checked_sub(self.first.number())?;
        self.tables.get(usize::try_from(index).ok()?)
    }

    fn allocate(&mut self) -> Option<Frame> {
        let mut free = self.free;
        if let Some(frame) = free.pop(self) {
            self.free = free;
            self.table(frame)?.clear();
            return Some(frame);
        }
        if self.used == self.tables.len() {
            return None;
        }
        let frame = self.first.checked_add(self.used as u64)?;
        self.used += 1;
        Some(frame)
    }

    fn free(&mut self, table: Frame) {
        let mut free = self.free;
        // A frame that is not of this run cannot have come from it, and is left alone.
        if free.push(self, table, 3).is_ok() {
            self.free = free;
        }
    }
}
