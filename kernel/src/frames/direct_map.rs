//! The allocator's view of memory in a kernel: the direct map. The only unsafe corner of `frames`.
#![expect(unsafe_code, reason = "physical frames become references here and nowhere else in this module")]

use super::memory::{FrameMemory, LineWords, OwnedFrame, OwnedLine, PageWords};
use crate::address_space::{TableFrame, TableMemory};
use shared_abi::addr::{PAGE, PAGE_SHIFT};
use shared_abi::page_table::Table;

/// Physical memory mapped at a constant distance, `virtual = physical + offset` (modulo 2⁶⁴).
///
/// A value of this type proves what [`DirectMap::new`] asks for.
#[derive(Debug)]
pub struct DirectMap {
    offset: u64,
}

impl DirectMap {
    /// The direct map with this offset, `BootInfo`'s `direct_map_offset`.
    ///
    /// # Safety
    /// For every frame that the allocator which gets this value is told to be free, at its start or by a later
    /// `reclaim` or `release`:
    /// 1. its bytes are mapped read-write as Normal memory at `physical + offset`, for as long as this value lives;
    /// 2. nothing else reads or writes them until the allocator hands the frame out.
    pub const unsafe fn new(offset: u64) -> Self {
        Self { offset }
    }
}

impl FrameMemory for DirectMap {
    #[inline(always)]
    fn page(&mut self, frame: OwnedFrame) -> &mut PageWords {
        let address = (frame.number() << PAGE_SHIFT).wrapping_add(self.offset);
        let page = core::ptr::with_exposed_provenance_mut::<PageWords>(address as usize);
        // SAFETY:
        // 1. The address is mapped read-write and page-aligned: promised to `new`, and an `OwnedFrame` is a frame
        //    of the allocator that holds `self`.
        // 2. No other reference to the page exists: nothing outside uses the frame (promised to `new`), and inside
        //    every one comes from here and borrows `self` exclusively.
        // 3. Every bit pattern is a valid `u64`, and RAM that nobody has written holds some pattern.
        unsafe { &mut *page }
    }

    #[inline(always)]
    fn line(&mut self, line: OwnedLine) -> &mut LineWords {
        let address = (line.number() * size_of::<LineWords>() as u64).wrapping_add(self.offset);
        let line = core::ptr::with_exposed_provenance_mut::<LineWords>(address as usize);
        // SAFETY: as in `page`; the line is part of one.
        unsafe { &mut *line }
    }

    fn clear(&mut self, frame: OwnedFrame, count: u64) {
        let address = (frame.number() << PAGE_SHIFT).wrapping_add(self.offset);
        let page = core::ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: as in `page`, for each of the `count` frames: the allocator owns all of them.
        unsafe { page.write_bytes(0, (count * PAGE) as usize) }
    }
}

impl TableMemory for DirectMap {
    #[inline(always)]
    fn table(&self, frame: TableFrame) -> Option<&Table> {
        let address = frame.frame().start().get().wrapping_add(self.offset);
        let table = core::ptr::with_exposed_provenance::<Table>(address as usize);
        // SAFETY: the frame holds a table, as a `TableFrame` proves, and is mapped. Whoever else looks at a table does
        // so by atomics as well, as the hardware does.
        Some(unsafe { &*table })
    }
}
