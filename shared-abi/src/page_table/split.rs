//! Splitting a block: the one edit that needs break-before-make.
//!
//! The smaller leaves are built aside, so the block's entry is invalid for as short as can be: broken, invalidated,
//! linked to the finished table. Whoever touches the range in between faults, which is why the caller must know
//! that nobody does: not this code, its stack, its tables, or the handler of that fault.

use super::chain::Chain;
use super::stale::Stale;
use super::table::{ENTRIES, TableStore};
use super::{PageTable, TableError, leaf_size};
use crate::addr::{PageSize, VirtAddr, VirtRange};
use crate::vmsa::Descriptor;

impl PageTable {
    /// Makes the leaf at `at` no larger than `size`: a block that holds `at` becomes the leaves of the sizes between,
    /// each level's other leaves as large as they can be. The translation and rights of every address stay as they are.
    ///
    /// `invalidate` is called once, between the break and the make, with the block's range; it makes every CPU
    /// forget it, as for [`Stale::retire`]. Nothing is done, and it is not called, if the leaf is small enough.
    ///
    /// # Errors
    /// [`TableError`]: nothing is mapped at `at`, or tables have run out; nothing has been changed then.
    pub fn split<S: TableStore + ?Sized>(
        self,
        store: &mut S,
        at: VirtAddr,
        size: PageSize,
        invalidate: impl FnOnce(&Stale),
    ) -> Result<(), TableError> {
        let translation = self.walk(store, at)?;
        let level = translation.size.level();
        if level >= size.level() {
            return Ok(());
        }
        let mut spare = Chain::reserve(store, usize::from(size.level() - level))?;
        let store = &*store;
        let exhausted = TableError::OutOfTables { needed: 1, available: 0 };
        let unreachable = |table, level| TableError::Unreachable { table, level };

        let (top, _) = spare.pop(store).ok_or(exhausted)?;
        let mut frame = top;
        let mut block = translation.leaf_phys();
        for below in level + 1..=size.level() {
            let table = store.table(frame).ok_or(unreachable(frame, below))?;
            let smaller = leaf_size(below).unwrap_or(PageSize::Size4K);
            let attributes = Descriptor::leaf_attributes(smaller, translation.attributes).bits();
            table.set_run(0, ENTRIES, attributes | block.get(), smaller.bytes());
            if below < size.level() {
                let index = at.table_index(below);
                block = block.checked_add((index as u64) << smaller.shift()).unwrap_or(block);
                (frame, _) = spare.pop(store).ok_or(exhausted)?;
                table.link(index, frame);
            }
        }

        let holder = translation.tables[usize::from(level)].unwrap_or(self.root);
        let table = store.table(holder).ok_or(unreachable(holder, level))?;
        let index = at.table_index(level);
        let start = VirtAddr::new(at.get() & !(translation.size.bytes() - 1)).unwrap_or(at);
        let mut stale = Stale::default();
        stale.note_size(translation.size);
        // Without a range, the block is the last of the half.
        match VirtRange::new(start, translation.size.bytes()) {
            Some(range) => stale.note_range(range),
            None => stale.note_everything(self.base()),
        }
        table.store(index, Descriptor::INVALID);
        invalidate(&stale);
        table.link(index, top);
        Ok(())
    }
}
