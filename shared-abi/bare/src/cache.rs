//! Cache upkeep with the MMU on: by address, with the line sizes that CTR_EL0 states, only where it is owed.
//!
//! | what | owed | why |
//! | --- | --- | --- |
//! | tables, written cacheable | DSB | the walker is coherent with write-back inner-shareable data (Arm ARM D8.2.10) |
//! | code that is clean to the point of coherency | IC, DSB, ISB | only a stale instruction line could differ |
//! | code that was just written | DC CVAU, DSB, then the same | IC fetches from the point of unification; not needed where CTR_EL0.IDC = 1 |
//! | what outlives a reset | DC CVAC, DSB | it is read with caches off, or after they were lost |
//! | anything else | nothing | one coherent view |
//!
//! `ic iallu` costs one instruction whatever the size. It is skipped where CTR_EL0.DIC = 1. By address would not do: an
//! instruction cache may be indexed by virtual addresses, and the one that memory will be executed at need not be the
//! one that it is written at.
//!
//! Never by set and way: that reaches neither system caches nor other CPUs, and its cost grows with the cache.
//! Emulation has no caches, so what this module does is shown by a model of the lines, not by the boot itself.

use aarch64_cpu::registers::{MIDR_EL1, Readable};
use shared_abi::addr::VirtRange;

use crate::barrier;

/// The CPUs whose instruction caches and TLBs are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This one: no other runs, and one that is started later begins with its own invalidation.
    ThisCpu,
    /// All of the inner shareable domain.
    AllCpus,
}

/// CTR_EL0: what the caches are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheType(u64);

impl CacheType {
    /// This CPU's.
    pub fn read() -> Self {
        let value: u64;
        // SAFETY: reading CTR_EL0 has no effect.
        unsafe { instruction!("mrs {}, ctr_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
        Self(value)
    }

    /// Bytes of the smallest data cache line (DminLine, log2 of words).
    pub const fn data_line(self) -> u64 {
        4 << (self.0 >> 16 & 0xF)
    }

    /// Whether what was written is executed without cleaning (IDC).
    pub const fn has_coherent_data(self) -> bool {
        self.0 >> 28 & 1 != 0
    }

    /// Whether what was cleaned is executed without invalidating (DIC).
    pub const fn has_coherent_instructions(self) -> bool {
        self.0 >> 29 & 1 != 0
    }
}

/// Makes executable what was just placed or mapped. `written` is the code that may lie in data caches, by addresses
/// that are mapped.
pub fn make_executable(written: impl Iterator<Item = VirtRange>, reach: Reach) {
    let caches = CacheType::read();
    if !caches.has_coherent_data() {
        written.for_each(|range| clean_to_unification(range, caches.data_line()));
    }
    barrier::dsb(barrier::ISH);
    if !caches.has_coherent_instructions() {
        match reach {
            Reach::ThisCpu => {
                // SAFETY: invalidating instruction lines changes no memory.
                unsafe { instruction!("ic iallu", options(nostack, preserves_flags)) };
                barrier::dsb(barrier::NSH);
            }
            Reach::AllCpus => {
                // SAFETY: as above.
                unsafe { instruction!("ic ialluis", options(nostack, preserves_flags)) };
                barrier::dsb(barrier::ISH);
            }
        }
    }
    barrier::isb(barrier::SY);
}

/// Cortex-A53 up to r0p2 has errata in its cleans (819472, 824069, 827319), and none in those that invalidate as well.
fn cleans_by_invalidating() -> bool {
    let midr = MIDR_EL1.get();
    midr & 0xFFFF_FFF0 == 0x410F_D030 && midr & 0xF <= 2
}

/// Writes what lies in data caches to memory: for who reads it with caches off, or after a reset. The range is mapped.
pub fn clean_to_coherency(range: VirtRange) {
    let line = CacheType::read().data_line();
    let mut address = range.start().get() & !(line - 1);
    let invalidates = cleans_by_invalidating();
    while address < range.end() {
        // SAFETY: as in `clean_to_unification`.
        unsafe {
            match invalidates {
                true => {
                    instruction!("dc civac, {}", in(reg) address, options(nostack, preserves_flags));
                }
                false => instruction!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags)),
            }
        }
        address += line;
    }
    barrier::dsb(barrier::SY);
}

/// As [`clean_to_coherency`], and forgets the lines, so that what others write there with caches off is read from memory.
pub fn clean_and_invalidate(range: VirtRange) {
    let line = CacheType::read().data_line();
    let mut address = range.start().get() & !(line - 1);
    while address < range.end() {
        // SAFETY: cleaning and invalidating a line by a mapped address changes no value that anyone can read; another
        // address faults.
        unsafe { instruction!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
        address += line;
    }
    barrier::dsb(barrier::SY);
}

fn clean_to_unification(range: VirtRange, line: u64) {
    let mut address = range.start().get() & !(line - 1);
    let invalidates = cleans_by_invalidating();
    while address < range.end() {
        // SAFETY: cleaning a line by a mapped address, invalidated or not, changes no value that anyone can read; another
        // address faults.
        unsafe {
            match invalidates {
                true => {
                    instruction!("dc civac, {}", in(reg) address, options(nostack, preserves_flags));
                }
                false => instruction!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)),
            }
        }
        address += line;
    }
}

/// Zeroes whole pages, by cache block where DCZID_EL0 allows; on a host by bytes.
///
/// # Safety
///
/// `virt_start..virt_start + length` is mapped writable as Normal memory, page-aligned, and nobody else's.
// One copy: the loader zeroes in several places, and none of them is short of a call.
#[inline(never)]
pub unsafe fn zero_pages(virt_start: u64, length: u64) {
    if cfg!(not(target_arch = "aarch64")) {
        let start = core::ptr::with_exposed_provenance_mut::<u8>(virt_start as usize);
        // SAFETY: the caller gives the range away.
        return unsafe { start.write_bytes(0, length as usize) };
    }
    let dczid: u64;
    // SAFETY: reading DCZID_EL0 has no effect.
    unsafe { instruction!("mrs {}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
    let end = virt_start + length;
    let mut address = virt_start;
    // DZP = 0 allows it. Four blocks divide a page unless they are of 2 KiB, the most that there can be.
    let block = 4u64 << (dczid & 0xF);
    if dczid & 1 << 4 == 0 && block <= 1024 {
        while address < end {
            // SAFETY: all blocks lie in the range that the caller gives away.
            unsafe {
                instruction!("dc zva, {}", "dc zva, {}", "dc zva, {}", "dc zva, {}", in(reg) address,
                    in(reg) address + block, in(reg) address + 2 * block, in(reg) address + 3 * block,
                    options(nostack, preserves_flags));
            };
            address += 4 * block;
        }
    } else {
        while address < end {
            // SAFETY: as above; two doublewords at a time.
            unsafe {
                instruction!("stp xzr, xzr, [{}]", in(reg) address, options(nostack, preserves_flags));
            };
            address += 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_type_is_read_as_the_architecture_writes_it() {
        // cortex-a72: 64-byte lines, neither coherent; neoverse-n1: IDC and DIC.
        let old = CacheType(0x8444_C004);
        assert_eq!(
            (old.data_line(), old.has_coherent_data(), old.has_coherent_instructions()),
            (64, false, false)
        );
        let new = CacheType(0xB444_C004);
        assert_eq!(
            (new.data_line(), new.has_coherent_data(), new.has_coherent_instructions()),
            (64, true, true)
        );
    }
}
