//! The allocator's view of memory in a kernel: the direct map. The only unsafe corner of `frames`.
#![expect(unsafe_code, reason = "physical frames become references here and nowhere else in this module")]

use super::memory::{FrameMemory, LineWords, OwnedFrame, OwnedLine, PageWords};
use crate::address_space::{TableFrame, TableMemory};
use handoff_bare::cache;
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
        // SAFETY: as in `page`, for each of the `count` frames: the allocator owns all of them.
        unsafe { cache::zero_pages(address, count * PAGE) }
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

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc, dealloc};

    use super::DirectMap;
    use crate::frames::{FrameAllocator, Order};
    use shared_abi::addr::{Frame, PAGE, PhysRange};
    use shared_abi::memory::RegionKind;

    /// Small enough for Miri, which checks that no reference is wrong or outlives another's claim.
    #[test]
    fn an_allocator_over_a_direct_map_works_on_real_memory_and_leaves_what_it_gave_alone() {
        const RAM: u64 = 0x4000_0000;
        const FRAMES: u64 = 64;
        let layout = Layout::from_size_align((FRAMES * PAGE) as usize, PAGE as usize).unwrap();
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc(layout) };
        assert!(!memory.is_null());
        let offset = (memory.expose_provenance() as u64).wrapping_sub(RAM);
        let at = |frame: Frame| {
            let address = frame.start().get().wrapping_add(offset) as usize;
            core::ptr::with_exposed_provenance_mut::<u8>(address)
        };
        // SAFETY: the frames told to the allocator are `memory`, which nothing else uses but through `at`, for frames
        // that were handed out.
        let map = unsafe { DirectMap::new(offset) };
        let ram = PhysRange::from_bounds(RAM, RAM + FRAMES * PAGE).unwrap();
        let mut frames = FrameAllocator::new([(ram, RegionKind::USABLE)].into_iter(), map).unwrap();
        let free = frames.free_frames();
        let mut held = Vec::new();
        for seed in 0..20u8 {
            let order = Order::new(seed % 3).unwrap();
            let first = frames.allocate_zeroed(order).unwrap();
            // SAFETY: the block was handed out.
            unsafe {
                assert_eq!(at(first).add(order.bytes() as usize - 1).read(), 0);
                at(first).write_bytes(seed + 1, order.bytes() as usize);
            }
            held.push((first, order, seed + 1));
            if seed % 4 == 3 {
                let (first, order, _) = held.swap_remove(usize::from(seed) % held.len());
                frames.free(first, order).unwrap();
            }
        }
        for (first, order, seed) in held {
            // SAFETY: the block is still handed out, and its bytes were written.
            let (low, high) = unsafe { (at(first).read(), at(first).add(order.bytes() as usize - 1).read()) };
            assert_eq!((low, high), (seed, seed));
            frames.free(first, order).unwrap();
        }
        assert_eq!(frames.free_frames(), free);
        // SAFETY: allocated above with this layout, and not used after this.
        unsafe { dealloc(memory, layout) };
    }
}
