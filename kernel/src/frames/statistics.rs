//! What the allocator can say about itself.

use super::field::{TOP, UNITS};
use super::memory::FrameMemory;
use super::uses::Use;
use super::zone::{WHOLE, ZONE_SHIFT, field_at, zone_at};
use super::{FrameAllocator, Order};

/// Counts in frames, except where a name says otherwise. `free + allocated + reserved = total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// All RAM that the memory map lists.
    pub total: u64,
    /// What can be allocated.
    pub free: u64,
    /// What was handed out and not given back.
    pub allocated: u64,
    /// What cannot be handed out: reserved by the map or by `reserve`, and the metadata.
    pub reserved: u64,
    /// The allocator's own tables, part of `reserved`.
    pub metadata: u64,
    /// Free blocks of each order, every free frame counted once, in the largest aligned block that holds it.
    pub free_blocks: [u64; Order::COUNT],
}

impl Statistics {
    /// The order of the largest free block.
    pub fn largest(&self) -> Option<Order> {
        let order = self.free_blocks.iter().rposition(|count| *count != 0)?;
        Order::new(order as u8)
    }

    /// Fragmentation as seen by a request of `order`: how many in a thousand free frames lie in blocks that are
    /// too small for it (the "unusable free space index" of Gorman and Whitcroft, 2005). 0 if nothing is free.
    pub fn unusable_permille(&self, order: Order) -> u64 {
        let small: u64 =
            self.free_blocks.iter().zip(0..order.get()).map(|(count, order)| count << order).sum();
        (small * 1000).checked_div(self.free).unwrap_or(0)
    }
}

impl<M: FrameMemory> FrameAllocator<M> {
    /// Counts everything. The cost grows with the zones and with the split chunks.
    pub fn statistics(&mut self) -> Statistics {
        self.settle();
        let mut free_blocks = [0; Order::COUNT];
        let mut ordinal = 0;
        while let Some(place) = self.ledger.zone_by_ordinal(&mut self.memory, ordinal) {
            if self.ledger.is_touched(&mut self.memory, ordinal) {
                let mut chunks = [0; TOP as usize + 1];
                zone_at(&mut self.memory, place.page).chunks.tally(&mut chunks);
                for (sum, count) in free_blocks.iter_mut().skip(TOP as usize).zip(chunks) {
                    *sum += count;
                }
                for chunk in 0..UNITS {
                    let record = zone_at(&mut self.memory, place.page);
                    if record.class[chunk] != WHOLE {
                        let mut frames = [0; TOP as usize + 1];
                        let line = record.line(chunk);
                        field_at(&mut self.memory, line).tally(&mut frames);
                        for (sum, count) in free_blocks.iter_mut().zip(frames) {
                            *sum += count;
                        }
                    }
                }
            } else {
                self.tally_fresh(place.number, &mut free_blocks);
            }
            ordinal += 1;
        }
        let free = self.free_frames();
        Statistics {
            total: self.total,
            free,
            allocated: self.total - free - self.reserved,
            reserved: self.reserved,
            metadata: self.ledger.length(),
            free_blocks,
        }
    }

    /// Adds the free blocks of a zone that was never touched.
    fn tally_fresh(&mut self, zone: u64, free_blocks: &mut [u64; Order::COUNT]) {
        let end = (zone + 1) << ZONE_SHIFT;
        let mut at = zone << ZONE_SHIFT;
        while at < end {
            let stretch = self.stretch(at);
            let mut run_end = stretch.end;
            if stretch.what != Use::Free {
                at = run_end;
                continue;
            }
            // Regions that touch make one run.
            while run_end < end {
                let next = self.stretch(run_end);
                if next.what != Use::Free {
                    break;
                }
                run_end = next.end;
            }
            while at < run_end {
                let aligned = if at == 0 { u32::from(Order::ZONE.get()) } else { at.trailing_zeros() };
                let order = aligned.min((run_end - at).ilog2()).min(u32::from(Order::ZONE.get()));
                free_blocks[order as usize] += 1;
                at += 1 << order;
            }
        }
    }
}
