//! Taking mappings away.
//!
//! Afterwards nothing in the range is mapped; holes in it are no error, since lazily filled ranges have them. Only
//! the two ends can cut a block, so they alone are looked at first. What the range covers whole goes whole: a
//! table is unlinked with all that is below it, unread, and its leaves are never visited.

use super::stale::Stale;
use super::table::{Table, TableStore};
use super::{PageTable, TableError, entry_shift, leaf_size};
use crate::addr::{Frame, PageSize, VirtAddr, VirtRange};
use crate::vmsa::Descriptor;

impl PageTable {
    /// Unmaps whatever is mapped in `range`. Tables that become empty are unlinked.
    ///
    /// # Errors
    /// [`TableError::InsideBlock`] if the range begins or ends inside a block, and the errors of every range;
    /// nothing has been changed then. [`TableError::Unreachable`] if the store cannot reach a table that it gave.
    pub fn unmap<S: TableStore + ?Sized>(self, store: &mut S, range: VirtRange) -> Result<Stale, TableError> {
        self.check_range(range)?;
        let mut stale = Stale::default();
        if range.is_empty() {
            return Ok(stale);
        }
        self.check_edge(store, Some(range.start()))?;
        // Without an address past the end, the range ends where the half does.
        self.check_edge(store, range.start().checked_add(range.len()))?;
        stale.note_range(range);
        let from = range.start().get() - self.base();
        let mut edit = Unmap { store: &*store, stale: &mut stale };
        edit.below(self.root, 0, from, from + range.len())?;
        Ok(stale)
    }

    /// Sees that `edge` is not inside a block.
    fn check_edge<S: TableStore + ?Sized>(self, store: &S, edge: Option<VirtAddr>) -> Result<(), TableError> {
        let Some(at) = edge else { return Ok(()) };
        let mut frame = self.root;
        for level in 0..3 {
            // An edge between two entries of this table cuts neither.
            if at.get() & ((1 << entry_shift(level)) - 1) == 0 {
                return Ok(());
            }
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let entry = table.load(at.table_index(level));
            if entry.is_table(level) {
                frame = entry.address().frame();
            } else if let (true, Some(size)) = (entry.is_valid(), leaf_size(level)) {
                let at = VirtAddr::new(at.get() & !(size.bytes() - 1)).unwrap_or(at);
                return Err(TableError::InsideBlock { at, size });
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Unlinks everything below the root, for a space that is being dropped. The root stays, empty, and is the
    /// caller's to free after the [`Stale`] is retired.
    ///
    /// # Errors
    /// [`TableError::Unreachable`] if the store cannot reach a table that it gave.
    pub fn clear<S: TableStore + ?Sized>(self, store: &mut S) -> Result<Stale, TableError> {
        let mut stale = Stale::default();
        stale.note_everything(self.base());
        let mut edit = Unmap { store: &*store, stale: &mut stale };
        edit.below(self.root, 0, 0, 1 << 48)?;
        Ok(stale)
    }
}

/// An unmapping under way.
struct Unmap<'a, S: ?Sized> {
    store: &'a S,
    stale: &'a mut Stale,
}

impl<S: TableStore + ?Sized> Unmap<'_, S> {
    /// Clears bytes `from` to `to`, counted from the first that the table in `frame` translates. Whether the table
    /// is empty then.
    fn below(&mut self, frame: Frame, level: u8, from: u64, to: u64) -> Result<bool, TableError> {
        let table = self.store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
        let shift = entry_shift(level);
        let within = |offset: u64| offset & ((1 << shift) - 1);
        let (first, last) = ((from >> shift) as usize, (to >> shift) as usize);
        let covered = first + usize::from(within(from) != 0);

        if first == last {
            self.inside(table, first, level, within(from), within(to))?;
        } else {
            if within(from) != 0 {
                self.inside(table, first, level, within(from), 1 << shift)?;
            }
            if level < 3 {
                for index in covered..last {
                    let entry = table.load(index);
                    if entry.is_table(level) {
                        table.store(index, Descriptor::INVALID);
                        self.stale.detach(self.store, entry.address().frame(), level + 1)?;
                    }
                }
            }
            if covered < last {
                table.set_run(covered, last - covered, 0, 0);
                self.stale.note_size(leaf_size(level).unwrap_or(PageSize::Size1G));
            }
            if within(to) != 0 {
                self.inside(table, last, level, 0, within(to))?;
            }
        }
        // The root stays, whatever is in it.
        Ok(level > 0 && table.is_empty_around(first, last))
    }

    /// Clears a part of what entry `index` translates. It is a table or nothing: the range cuts no block.
    fn inside(
        &mut self,
        table: &Table,
        index: usize,
        level: u8,
        from: u64,
        to: u64,
    ) -> Result<(), TableError> {
        let entry = table.load(index);
        if entry.is_table(level) {
            let frame = entry.address().frame();
            if self.below(frame, level + 1, from, to)? {
                table.store(index, Descriptor::INVALID);
                self.stale.detach_empty(self.store, frame)?;
            }
        }
        Ok(())
    }
}
