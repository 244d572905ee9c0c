//! Tables that are nobody's but the editor's, in a list that needs no memory: it is threaded through them.
//!
//! The first entry of a chained table holds the frame of the next one, in a form that is no valid descriptor, so
//! that a late walk through a table that was just unlinked faults there as it would anywhere. A table can be
//! chained with the tree below it still hanging on; only what its first entry led to is chained by itself.
//!
//! ```text
//! entry 0:  63      48 47                 12 11      4 3   2  1   0
//!          │    0     │ frame of the next   │    0    │level│next│0│
//! ```

use super::TableError;
use super::table::{ENTRIES, Table, TableStore};
use crate::addr::Frame;
use crate::vmsa::Descriptor;

/// Set if there is a next table. Bit 0 stays clear: the entry never translates.
const NEXT: u64 = 0b10;
const LEVEL_SHIFT: u32 = 2;

/// A list of tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chain {
    /// The first and the last.
    ends: Option<(Frame, Frame)>,
}

impl Default for Chain {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Chain {
    pub(super) const EMPTY: Self = Self { ends: None };

    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Puts a table in front. `level` is its own if tables hang below it, 3 if none do.
    #[inline]
    pub(super) fn push<S: TableStore + ?Sized>(&mut self, store: &S, frame: Frame, level: u8) -> Option<()> {
        let next = self.ends.map_or(0, |(first, _)| first.start().get() | NEXT);
        let link = next | u64::from(level) << LEVEL_SHIFT;
        store.table(frame)?.store(0, Descriptor::from_bits_retain(link));
        self.ends = Some((frame, self.ends.map_or(frame, |(_, last)| last)));
        Some(())
    }

    /// Puts a table of `level` in front, with what hangs below it.
    pub(super) fn push_tree<S: TableStore + ?Sized>(
        &mut self,
        store: &S,
        frame: Frame,
        level: u8,
    ) -> Result<(), TableError> {
        let unreachable = TableError::Unreachable { table: frame, level };
        let first = store.table(frame).ok_or(unreachable)?.load(0);
        if first.is_table(level) {
            self.push_tree(store, first.address().frame(), level + 1)?;
        }
        self.push(store, frame, level).ok_or(unreachable)
    }

    /// Puts the other list behind this one.
    pub(super) fn append<S: TableStore + ?Sized>(&mut self, store: &S, other: Self) {
        let Some((other_first, other_last)) = other.ends else { return };
        let Some((first, last)) = self.ends else {
            *self = other;
            return;
        };
        // The last table was reached when it was put there.
        if let Some(table) = store.table(last) {
            let link = table.load(0).bits() | other_first.start().get() | NEXT;
            table.store(0, Descriptor::from_bits_retain(link));
        }
        self.ends = Some((first, other_last));
    }

    /// Takes the first table, its first entry made zero again, and says from which level tables hang below it.
    #[inline]
    pub(super) fn pop<S: TableStore + ?Sized>(&mut self, store: &S) -> Option<(Frame, u8)> {
        let (first, last) = self.ends?;
        let table = store.table(first)?;
        let link = table.load(0);
        self.ends = (link.bits() & NEXT != 0).then(|| (link.address().frame(), last));
        table.store(0, Descriptor::INVALID);
        Some((first, (link.bits() >> LEVEL_SHIFT & 0b11) as u8))
    }

    /// `needed` fresh tables in the order in which the store gives them, or none at all.
    pub(super) fn reserve<S: TableStore + ?Sized>(store: &mut S, needed: usize) -> Result<Self, TableError> {
        let mut chain = Self::EMPTY;
        for available in 0..needed {
            let mut one = Self::EMPTY;
            let error = match store.allocate() {
                None => TableError::OutOfTables { needed, available },
                Some(table) if one.push(store, table, 3).is_none() => {
                    store.free(table);
                    TableError::Unreachable { table, level: 3 }
                }
                Some(_) => {
                    chain.append(store, one);
                    continue;
                }
            };
            chain.release(store);
            return Err(error);
        }
        Ok(chain)
    }

    /// Gives every table back, with what hangs below it.
    pub(super) fn release<S: TableStore + ?Sized>(mut self, store: &mut S) {
        while let Some((frame, level)) = self.pop(store) {
            free_below(store, frame, level);
            store.free(frame);
        }
    }
}

/// Gives back the tables below the one in `frame`.
fn free_below<S: TableStore + ?Sized>(store: &mut S, frame: Frame, level: u8) {
    if level >= 3 || !store.table(frame).is_some_and(Table::may_have_tables) {
        return;
    }
    for index in (0..ENTRIES).step_by(8) {
        // Copied out, because the store is changed in between.
        let Some(eight) = store.table(frame).map(|table| table.eight(index)) else { return };
        for entry in eight {
            if entry.is_table(level) {
                if level < 2 {
                    free_below(store, entry.address().frame(), level + 1);
                }
                store.free(entry.address().frame());
            }
        }
    }
}
