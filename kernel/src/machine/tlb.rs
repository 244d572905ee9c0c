//! The TLB and the instruction cache, told what [`Flush`] says.
//!
//! Every order follows the same rule (Arm ARM D8.16, B2.3.11): the stores to the tables are complete before the
//! first TLBI, the TLBIs are complete on every CPU of the inner shareable domain before the DSB is, and the ISB
//! makes this CPU's next instruction see it. Many addresses cost many TLBIs and one of everything else.
//!
//! Emulation keeps no instruction cache and forgets more of its TLB than it is told to: what these lines owe is
//! shown by the tests of `address_space`, whose TLB forgets nothing by itself.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use shared_abi::addr::PhysRange;

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

macro_rules! tlbi {
    ($what:literal) => {
        // SAFETY: forgetting translations changes no memory; they are read again from the tables.
        unsafe { asm!(concat!("tlbi ", $what), options(nostack, preserves_flags)) }
    };
    ($what:literal, $operand:expr) => {
        // SAFETY: as above.
        unsafe { asm!(concat!("tlbi ", $what, ", {}"), in(reg) $operand, options(nostack, preserves_flags)) }
    };
}

impl Tlb for BareTlb {
    fn publish(&mut self) {
        barrier::dsb(barrier::ISHST);
        barrier::isb(barrier::SY);
    }

    fn invalidate(&mut self, flush: &Flush) {
        barrier::dsb(barrier::ISHST);
        match *flush {
            Flush::Pages { first, step, count, leaves_only, global } => {
                for operand in (0..count).map(|index| first + index * step) {
                    match (global, leaves_only) {
                        (false, false) => tlbi!("vae1is", operand),
                        (false, true) => tlbi!("vale1is", operand),
                        (true, false) => tlbi!("vaae1is", operand),
                        (true, true) => tlbi!("vaale1is", operand),
                    }
                }
            }
            Flush::Asid { operand } => tlbi!("aside1is", operand),
            Flush::Everything => tlbi!("vmalle1is"),
        }
        barrier::dsb(barrier::ISH);
        barrier::isb(barrier::SY);
    }

    fn sync_instructions(&mut self, memory: PhysRange) {
        let ctr: u64;
        // SAFETY: reading CTR_EL0 has no effect.
        unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
        let (idc, dic) = (ctr >> 28 & 1 != 0, ctr >> 29 & 1 != 0);
        if !idc {
            let line = 4 << (ctr >> 16 & 0xF); // DminLine, in words
            let mut at = memory.start().get() & !(line - 1);
            while at < memory.end() {
                let address = at.wrapping_add(self.direct_map_offset);
                // SAFETY: cleaning a line by an address that the direct map has changes no value.
                unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
                at += line;
            }
        }
        barrier::dsb(barrier::ISH);
        if !dic {
            // By address would not do: an instruction cache may be indexed by virtual addresses, and the one that
            // the memory will be executed at is not the direct map's.
            // SAFETY: invalidating instruction lines changes no memory.
            unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
            barrier::dsb(barrier::ISH);
        }
        barrier::isb(barrier::SY);
    }
}
