//! TLB invalidation on every CPU of the inner shareable domain, by name.
//!
//! The order that a caller owes (Arm ARM D8.16, B2.3.11): the stores to the tables are complete before the first TLBI
//! ([`publish`]), the TLBIs are complete on every CPU before the DSB is, and the ISB makes this CPU's next instruction
//! see it ([`complete`]).
//!
//! Cortex-A76, A55 and A510 may complete the DSB before other CPUs are done with what was invalidated (errata 1286807,
//! 2441007, 2441009): one more TLBI, whatever it names, and one more DSB wait for them. Which CPU has the erratum cannot be
//! told from the one that invalidates, so all pay for it.
//!
//! The operand of an invalidation by address is the address's bits 55 to 12 with the ASID above.

use crate::barrier;

macro_rules! tlbi {
    ($what:literal) => {
        // SAFETY: forgetting translations changes no memory; they are read again from the tables.
        unsafe { instruction!(concat!("tlbi ", $what), options(nostack, preserves_flags)) }
    };
    ($what:literal, $operand:expr) => {
        // SAFETY: as above.
        unsafe { instruction!(concat!("tlbi ", $what, ", {}"), in(reg) $operand, options(nostack, preserves_flags)) }
    };
}

/// Makes new entries visible to this CPU's walker, or old ones gone for what is invalidated next.
pub fn publish() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// Waits until every CPU has forgotten what it was told to.
pub fn complete() {
    barrier::dsb(barrier::ISH);
    tlbi!("vale1is", 0_u64);
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}

/// Everything of EL1's regime: `VMALLE1IS`.
pub fn forget_everything() {
    tlbi!("vmalle1is");
}

/// All of one ASID: `ASIDE1IS`.
pub fn forget_asid(operand: u64) {
    tlbi!("aside1is", operand);
}

/// A page of one ASID, or of all that have it and of the kernel: `VAE1IS`, `VAAE1IS`; with `leaf_only`, what was read
/// from the last level alone: `VALE1IS`, `VAALE1IS`.
#[inline(always)]
pub fn forget_page(operand: u64, all_asids: bool, leaf_only: bool) {
    match (all_asids, leaf_only) {
        (false, false) => tlbi!("vae1is", operand),
        (false, true) => tlbi!("vale1is", operand),
        (true, false) => tlbi!("vaae1is", operand),
        (true, true) => tlbi!("vaale1is", operand),
    }
}
