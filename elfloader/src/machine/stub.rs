//! What stays above EL1: vectors for EL2 and for EL3, and what they do.
//!
//! At EL2 the stub answers every HVC with −1 (PSCI's NOT_SUPPORTED). All else that comes up from below is something that
//! the table of features leaves closed, and becomes an undefined instruction at EL1, so that nothing hangs. The stub
//! needs no stack and no memory but the vectors' page and the entry page, where CPUs that were not chosen wait as well:
//! the memory map gives both to firmware for good.
//!
//! The same vectors serve the entry code, at EL1 too: an exception of the level's own parks the CPU with E0803, a register
//! that is not there, whatever the ID registers show.

use core::arch::global_asm;

use elfloader::error::EntryError;
use shared_abi::contract::pstate;

/// PSTATE that an exception leaves as it is: N, Z, C, V, DIT, PAN.
const KEPT: u64 = 0xF << 28 | 1 << 24 | 1 << 22;

global_asm!(
    r#"
    .section .text.entry, "ax"

    // Takes at EL1 what was taken at `el`, as the undefined instruction that EL1 would have found (Arm ARM D1.3.1): its
    // vector by where it came from, PSTATE as at any exception. x0 to x2 come and go by three registers of this level.
    .macro undefined_at_el1 el, elr, spsr, esr, vbar, sctlr
    msr     far_\el, x2
    mrs     x0, elr_\el
    msr     \elr, x0
    mov     x0, #(1 << 25)              // EC 0, IL
    msr     \esr, x0
    mrs     x0, spsr_\el
    msr     \spsr, x0
    mov     x1, #0x400                  // from EL0 …
    and     x2, x0, #(1 << 4)
    add     x1, x1, x2, lsl #5          // … of AArch32
    tbz     x0, #2, 1f
    ubfiz   x1, x0, #9, #1              // from EL1, by its stack pointer
1:  mrs     x2, \vbar
    add     x1, x1, x2
    msr     elr_\el, x1
    mov     x1, #({kept} & 0xFFFF0000)
    and     x0, x0, x1
    mov     x1, #{el1h}
    orr     x0, x0, x1
    mrs     x1, \sctlr
    tbnz    x1, #23, 1f                 // SPAN = 0 sets PAN
    orr     x0, x0, #(1 << 22)
1:  tbz     x1, #44, 1f                 // DSSBS is SSBS
    orr     x0, x0, #(1 << 12)
1:  tbz     x1, #43, 1f                 // TCO is set where tags are checked (ATA)
    orr     x0, x0, #(1 << 25)
1:  tbz     x1, #61, 1f                 // ALLINT is set where it masks (NMI) and SPINTMASK = 0
    tbnz    x1, #62, 1f
    orr     x0, x0, #(1 << 13)
1:  msr     spsr_\el, x0
    mrs     x2, far_\el
    mov     x1, sp
    mrs     x0, tpidr_\el
    leave
    .endm

undefined_from_el2:
    mrs     x0, hcr_el2
    tbnz    x0, #34, 2f
    undefined_at_el1 el2, elr_el1, spsr_el1, esr_el1, vbar_el1, sctlr_el1
    // ELR_EL12, SPSR_EL12, ESR_EL12, VBAR_EL12, SCTLR_EL12.
2:  undefined_at_el1 el2, S3_5_C4_C0_1, S3_5_C4_C0_0, S3_5_C5_C2_0, S3_5_C12_C0_0, S3_5_C1_C0_0

undefined_from_el3:
    undefined_at_el1 el3, elr_el1, spsr_el1, esr_el1, vbar_el1, sctlr_el1

    // Sixteen vectors: of the level's own exceptions each parks; of those from below, the synchronous ones lead on.
    .macro vectors from_below
    .rept 8
    .balign 0x80
    park    {trapped}
    .endr
    .rept 2                             // AArch64, AArch32
    .balign 0x80
    \from_below
    .rept 3
    .balign 0x80
    leave
    .endr
    .endr
    .endm

    .macro from_below_el2
    msr     tpidr_el2, x0
    mrs     x0, esr_el2
    lsr     x0, x0, #26
    cmp     x0, #0x16                   // HVC from AArch64
    b.ne    1f
    mov     x0, #-1
    leave
1:  mov     sp, x1
    b       undefined_from_el2
    .endm

    .macro from_below_el3
    msr     tpidr_el3, x0
    mrs     x0, spsr_el3
    tbnz    x0, #3, 1f                  // from EL2: the entry code itself
    mov     sp, x1
    b       undefined_from_el3
1:  park    {trapped}
    .endm

    .section .text.stub, "ax"
    .balign 0x800
    .global el2_vectors
el2_vectors:
    vectors from_below_el2
    .balign 0x800
el3_vectors:
    vectors from_below_el3
    .global el3_vectors_end
el3_vectors_end:
    "#,
    trapped = const EntryError::TRAPPED,
    kept = const KEPT,
    el1h = const pstate::EL1H_MASKED,
);
