//! Where the tables of spaces live: frames of the allocator, seen through the direct map.

use crate::frames::{FrameAllocator, FrameMemory, Order};
use shared_abi::addr::Frame;
use shared_abi::page_table::{ENTRIES, PageTable, Table, TableError, TableStore};
use shared_abi::vmsa::Descriptor;

/// A frame that holds a translation table: one that this module took from the allocator for it, or one that an
/// adopted root leads to. Only this module makes such a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct TableFrame(Frame);

impl TableFrame {
    /// The frame.
    #[inline(always)]
    pub const fn frame(self) -> Frame {
        self.0
    }
}

/// Access to translation tables: in the kernel the direct map. `None` if the frame cannot be reached.
pub trait TableMemory: FrameMemory {
    /// The table in the frame. The hardware reads it at any time, so it is a table of atomics.
    fn table(&self, frame: TableFrame) -> Option<&Table>;
}

/// The editor's view of the allocator.
///
/// It is private to this module, and is used only with trees whose frames came from it or from an adopted root:
/// that makes the frames that the editor asks for [`TableFrame`]s.
pub(super) struct Tables<'a, M>(pub(super) &'a mut FrameAllocator<M>);

impl<M: TableMemory> Tables<'_, M> {
    /// A tree for TTBR1 of new tables with the entries of `table`'s.
    pub fn copy(&mut self, table: PageTable) -> Result<PageTable, TableError> {
        let root = self.allocate().ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
        let copy = PageTable::ttbr1(root);
        match self.copy_below(table.root(), root, 0) {
            Ok(()) => Ok(copy),
            Err(error) => self.drop_tables(copy).and(Err(error)),
        }
    }

    /// Copies the entries of `from` to `to`; tables below become new ones.
    fn copy_below(&mut self, from: Frame, to: Frame, level: u8) -> Result<(), TableError> {
        let unreachable = |table| TableError::Unreachable { table, level };
        for index in 0..ENTRIES {
            let mut entry = self.table(from).ok_or(unreachable(from))?.load(index);
            let below = entry.is_table(level).then(|| entry.address().frame());
            if below.is_some() {
                let next = self.allocate().ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
                entry = Descriptor::table(next);
            }
            if entry != Descriptor::INVALID {
                self.table(to).ok_or(unreachable(to))?.store(index, entry);
            }
            if let Some(below) = below {
                self.copy_below(below, entry.address().frame(), level + 1)?;
            }
        }
        Ok(())
    }

    /// Frees the tables of a tree, the root too. No walk is inside of it; what its leaves lead to stays.
    pub fn drop_tables(&mut self, table: PageTable) -> Result<(), TableError> {
        table.clear(self)?.retire(self, |_| {});
        self.free(table.root());
        Ok(())
    }
}

impl<M: TableMemory> TableStore for Tables<'_, M> {
    #[inline]
    fn table(&self, table: Frame) -> Option<&Table> {
        self.0.memory().table(TableFrame(table))
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.0.allocate_zeroed(Order::FRAME).ok()
    }

    fn free(&mut self, table: Frame) {
        // A table that the loader made lies in a reserved region. It is refused here and is taken back with that
        // region, by `reclaim`.
        let _ = self.0.free_frame(table);
    }
}
