//! Cache upkeep with the MMU on: by address, with the line sizes that CTR_EL0 states, only where it is owed.
//!
//! | what | owed | why |
//! | --- | --- | --- |
//! | tables, written cacheable | DSB | the walker is coherent with write-back inner-shareable data (Arm ARM D8.2.10) |
//! | code mapped where firmware put it | IC, DSB, ISB | the boot protocol cleaned it to the point of coherency; only a stale instruction line could differ |
//! | code that the loader wrote (copies) | DC CVAU, DSB, then the same | IC fetches from the point of unification; not needed where CTR_EL0.IDC = 1 |
//! | anything else | nothing | one CPU, one coherent view |
//!
//! `ic iallu` costs one instruction whatever the kernel's size. It is skipped where CTR_EL0.DIC = 1, and it is
//! local: no other CPU runs, and one that is started later begins with its own invalidation.
//!
//! Never by set and way: that reaches neither system caches nor other CPUs, and its cost grows with the cache.
//! Emulation has no caches, so what this module does is shown by a model of the lines, not by the boot itself.

use core::arch::asm;
use shared_abi::addr::PhysRange;

use aarch64_cpu::asm::barrier;

fn ctr() -> u64 {
    let value: u64;
    // SAFETY: reading CTR_EL0 at EL1 has no effect.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Makes executable what was just placed or mapped. `written` is the code that this CPU stored itself,
/// which the identity map has.
pub fn make_executable(written: impl Iterator<Item = PhysRange>) {
    let ctr = ctr();
    let coherent_data = ctr >> 28 & 1 != 0; // IDC
    let coherent_instructions = ctr >> 29 & 1 != 0; // DIC
    if !coherent_data {
        let line = 4u64 << (ctr >> 16 & 0xF); // DminLine, in words
        for range in written {
            let mut address = range.start().get() & !(line - 1);
            while address < range.end() {
                // SAFETY: cleaning a line by a mapped address changes no value that anyone can read.
                unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
                address += line;
            }
        }
    }
    barrier::dsb(barrier::ISH);
    if !coherent_instructions {
        // SAFETY: invalidating instruction lines changes no memory.
        unsafe { asm!("ic iallu", options(nostack, preserves_flags)) };
        barrier::dsb(barrier::NSH);
    }
    barrier::isb(barrier::SY);
}

/// Zeroes whole pages, by cache block where DCZID_EL0 allows.
///
/// # Safety
///
/// `start..start + length` is mapped writable as Normal memory, page-aligned, and nobody else's.
#[inline(never)]
pub unsafe fn zero_pages(start: u64, length: u64) {
    let dczid: u64;
    // SAFETY: reading DCZID_EL0 has no effect.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
    let end = start + length;
    let mut address = start;
    // DZP = 0 allows it; a block is at most 2 KiB (Arm ARM: BS ≤ 9), so two of them divide a page.
    if dczid & 1 << 4 == 0 {
        let block = 4u64 << (dczid & 0xF);
        while address < end {
            // SAFETY: both blocks lie in the range that the caller gives away.
            unsafe {
                asm!("dc zva, {}", "dc zva, {}", in(reg) address, in(reg) address + block,
                    options(nostack, preserves_flags));
            };
            address += 2 * block;
        }
    } else {
        while address < end {
            // SAFETY: as above; two doublewords at a time.
            unsafe { asm!("stp xzr, xzr, [{}]", in(reg) address, options(nostack, preserves_flags)) };
            address += 16;
        }
    }
}
