//! Building a tree that nobody uses before it is finished: range after range, best in ascending order.
//!
//! Such a tree is given up where it cannot be finished, so nothing is surveyed. The way to the last leaves is remembered:
//! what follows them begins in the last table that it shares with them. A table that was made on this way is empty behind
//! them and is not looked at; any other is checked entry by entry.

use super::map::{Chunk, Chunks};
use super::table::TableStore;
use super::{PageTable, TableError, entry_shift, leaf_size};
use crate::addr::{Frame, PageSize, PhysAddr, VirtRange};
use crate::vmsa::{Attributes, Descriptor};

/// A table on the way.
#[derive(Clone, Copy, Debug)]
struct Step {
    table: Frame,
    /// Whether it was made on this way, so that it is empty behind the last leaves.
    is_new: bool,
}

/// Maps in a tree under construction. See the module's documentation.
#[derive(Debug)]
pub struct Builder<'s, S: ?Sized> {
    tree: PageTable,
    store: &'s mut S,
    /// The tables on the way to the last leaves, by level.
    way: [Step; 4],
    /// The level of the last of them, at which those leaves are; 0 if there are none.
    level: u8,
    /// Virtual address of the first of those leaves, and where they end.
    virt: u64,
    end: u64,
}

impl PageTable {
    /// Begins to map in a tree under construction, whose tables are in `store`.
    pub fn builder<S: TableStore + ?Sized>(self, store: &mut S) -> Builder<'_, S> {
        let root = Step { table: self.root, is_new: false };
        Builder { tree: self, store, way: [root; 4], level: 0, virt: 0, end: 0 }
    }
}

impl<S: TableStore + ?Sized> Builder<'_, S> {
    /// Maps like [`PageTable::map`], but not all or nothing.
    ///
    /// # Errors
    /// [`TableError`]; what precedes the place of the error is then mapped, and the tables taken stay in the tree.
    pub fn map(
        &mut self,
        range: VirtRange,
        phys: PhysAddr,
        attributes: Attributes,
        largest: PageSize,
    ) -> Result<(), TableError> {
        for chunk in Chunks::of(self.tree, range, phys, largest)? {
            // Forgotten until the chunk is mapped, and for good if it lies before the last leaves.
            let known = core::mem::take(&mut self.level);
            let step = self.descend(&chunk, if chunk.virt < self.end { 0 } else { known })?;
            let unreachable = TableError::Unreachable { table: step.table, level: chunk.level };
            let (Some(table), Some(size)) = (self.store.table(step.table), leaf_size(chunk.level)) else {
                return Err(unreachable);
            };
            if !step.is_new {
                chunk.check_free(table)?;
            }
            chunk.write(table, size, attributes);
            (self.level, self.virt, self.end) = (chunk.level, chunk.virt, chunk.end());
        }
        Ok(())
    }

    /// Walks to the chunk's table, from the last table that is on the way to it, whose level is at most `known`, and makes
    /// what is missing.
    fn descend(&mut self, chunk: &Chunk, known: u8) -> Result<Step, TableError> {
        let mut step = self.way[0];
        for level in 0..chunk.level {
            let below = usize::from(level) + 1;
            if level < known && (chunk.virt ^ self.virt) >> entry_shift(level) == 0 {
                step = self.way[below];
                continue;
            }
            let table = self.store.table(step.table);
            let table = table.ok_or(TableError::Unreachable { table: step.table, level })?;
            let index = chunk.index(level);
            let entry = if step.is_new { Descriptor::INVALID } else { table.load(index) };
            step = if !entry.is_valid() {
                let next = self.store.allocate();
                let next = next.ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
                let table = self.store.table(step.table);
                table.ok_or(TableError::Unreachable { table: step.table, level })?.link(index, next);
                Step { table: next, is_new: true }
            } else if entry.is_table(level) {
                Step { table: entry.address().frame(), is_new: false }
            } else {
                return Err(TableError::Overlap { at: chunk.at(0), found: entry });
            };
            self.way[below] = step;
        }
        Ok(step)
    }
}
