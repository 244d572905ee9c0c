//! TLB upkeep: what the hardware is told after its tables were edited.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use shared_abi::addr::PAGE_SHIFT;
use shared_abi::page_table::Stale;

/// Pages from which forgetting everything is cheaper than page by page.
const MANY: u64 = 512;

/// Makes new entries visible to the walker: nothing was mapped there before, so nothing is cached.
pub fn publish() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// Forgets the kernel's translations that `stale` names, on every CPU.
pub fn forget(stale: &Stale) {
    let Some(range) = stale.range() else { return };
    barrier::dsb(barrier::ISHST);
    let step = stale.smallest().bytes();
    if range.len() / step > MANY {
        // SAFETY: forgetting translations changes no memory; they are read again from the tables.
        unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
    } else {
        let mut at = range.start().get();
        while at < range.end() {
            let operand = at >> PAGE_SHIFT & ((1 << 44) - 1);
            // SAFETY: as above.
            unsafe { asm!("tlbi vaae1is, {}", in(reg) operand, options(nostack, preserves_flags)) };
            at += step;
        }
    }
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}
