//! Carries a plan out in memory: copies, zeros and relocations, through the identity map.

use elfloader::plan::Change;
use elfloader::plan::{Fill, PlacedPlan};
use handoff_bare::cache;
use shared_abi::addr::PAGE;

/// Fills the pages that are not in place and relocates. Returns the number of relocated words.
///
/// # Safety
///
/// The identity map covers the kernel's file and the plan's arena, writable, and nobody else uses either.
pub unsafe fn carry_out(placed: &PlacedPlan<'_>) -> u64 {
    let file = placed.plan().elf().bytes();
    placed.fill(|work| match work {
        Fill::Copy { from, to, length } => {
            // SAFETY: the plan copies file bytes to pages of the arena, which overlap nothing.
            unsafe {
                let from = file.as_ptr().add(from as usize);
                core::ptr::copy_nonoverlapping(from, to.get() as *mut u8, length as usize);
            }
        }
        // SAFETY: the plan zeroes pages of the arena, and tails of pages in place that are the kernel's alone.
        Fill::Zero { to, length } => unsafe { zero(to.get(), length) },
    });
    let mut words = 0;
    placed.relocate(|phys, change| {
        let word = phys.get() as *mut u64;
        // SAFETY: the plan has checked that the word lies in pages that are the kernel's to write.
        unsafe {
            let value = match change {
                Change::Set(value) => value,
                Change::Add(value) => word.read_unaligned().wrapping_add(value),
            };
            word.write_unaligned(value);
        }
        words += 1;
    });
    words
}

/// # Safety
///
/// The range is mapped writable and nobody else's.
#[inline(never)]
unsafe fn zero(start: u64, length: u64) {
    if (start | length).is_multiple_of(PAGE) {
        // SAFETY: whole pages, as the caller has it.
        unsafe { cache::zero_pages(start, length) }
    } else {
        // SAFETY: as the caller has it.
        unsafe { core::ptr::write_bytes(start as *mut u8, 0, length as usize) }
    }
}
