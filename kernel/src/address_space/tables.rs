//! Where the tables of spaces live: frames of the allocator, seen through the direct map.

use crate::frames::{FrameAllocator, FrameMemory, Order};
use shared_abi::addr::Frame;
use shared_abi::page_table::{Table, TableStore};

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
