//! The TLB and the instruction cache, told what [`Flush`] says. Many addresses cost many TLBIs and one of everything
//! else.
//!
//! Emulation keeps no instruction cache and forgets more of its TLB than it is told to: what these lines owe is
//! shown by the tests of `address_space`, whose TLB forgets nothing by itself.

use handoff_bare::cache::{self, Reach};
use handoff_bare::{barrier, tlb};
use shared_abi::addr::{PhysRange, VirtRange};

use crate::address_space::{Flush, Tlb};

/// This machine's TLBs and caches.
#[derive(Debug)]
pub struct BareTlb {
    direct_map_offset: u64,
}

impl BareTlb {
    /// `direct_map_offset` is `BootInfo`'s: caches are cleaned by addresses of the direct map.
    pub const fn new(direct_map_offset: u64) -> Self {
        Self { direct_map_offset }
    }
}

impl Tlb for BareTlb {
    fn publish(&mut self) {
        tlb::publish();
    }

    fn invalidate(&mut self, flush: &Flush) {
        barrier::dsb(barrier::ISHST);
        match *flush {
            Flush::Pages { first, step, count, leaves_only, global } => {
                (0..count).for_each(|index| tlb::forget_page(first + index * step, global, leaves_only));
            }
            Flush::Asid { operand } => tlb::forget_asid(operand),
            Flush::Everything => tlb::forget_everything(),
        }
        tlb::complete();
    }

    fn sync_instructions(&mut self, memory: PhysRange) {
        let start = memory.start().get().wrapping_add(self.direct_map_offset);
        let mapped = VirtRange::from_bounds(start, start.wrapping_add(memory.len()));
        cache::make_executable(mapped.into_iter(), Reach::AllCpus);
    }
}
