//! EL3 and EL2: opened for EL1, and left with a stub.
//!
//! Nothing of EL2's and EL3's state is inherited: each register that can trap or change what EL1 does is
//! written. A feature that the ID registers show is opened to EL1 if its controls are written here (list
//! below); the others stay closed and a use of them is an undefined instruction at EL1.
//!
//! | opened after EL2 | by |
//! | --- | --- |
//! | FP, SIMD, SVE, SME | CPTR_EL2, ZCR_EL2, SMCR_EL2, fine-grained traps |
//! | pointer authentication, MTE | HCR_EL2.APK, API, ATA |
//! | counter and timers, offset zero | CNTHCTL_EL2, CNTVOFF_EL2 |
//! | GIC system registers | ICC_SRE_EL2, ICH_HCR_EL2 |
//! | PMU, SPE, TRBE, debug | MDCR_EL2 |
//! | LOR regions off, memory copy instructions | LORC_EL1, HCRX_EL2.MSCEn |
//!
//! The stub at EL2 answers every HVC with −1 (PSCI's NOT_SUPPORTED) and turns anything else that traps into an
//! undefined instruction at EL1, so that nothing hangs there. It needs no stack and no memory but its vectors' page and
//! the entry page, where CPUs that were not chosen sleep as well: the memory map gives both to firmware for good.
//! Its vectors serve the code that opens the levels, too: a register that is not there, whatever the ID registers show,
//! parks the CPU with E0803.
//!
//! EL3 means that there is no firmware, hence no PSCI, and that other CPUs may arrive as well: one is chosen
//! without exclusives, which Device memory does not promise, and the others sleep.

use core::arch::global_asm;

use elfloader::error::EntryError;
use shared_abi::contract::pstate;
use shared_abi::verdict::{Ending, PARKED};

use super::entry::EntryFlags;

/// RW: EL1 is AArch64. APK, API: pointer authentication is EL1's. ATA: allocation tags are EL1's.
const HCR_EL2: u64 = 1 << 31 | 1 << 40 | 1 << 41 | 1 << 56;

/// CPTR_EL2 with E2H = 0: the bits that are RES1 with SVE and SME, no trap.
const CPTR_EL2: u64 = 0x2FF & !(1 << 8) | 1 << 13;
/// … and those that are RES1 where SVE (TZ) or SME (TSM) is absent.
const CPTR_NO_SVE: u64 = 1 << 8;
const CPTR_NO_SME: u64 = 1 << 12;
/// CPTR_EL2 with E2H = 1 has CPACR's layout: ZEN, FPEN and SMEN trap nothing.
const CPTR_VHE: u64 = 3 << 16 | 3 << 20 | 3 << 24;

/// MDCR_EL2: the SPE and TRBE buffers are EL1's (E2PB, E2TB); HPMN is filled in.
const MDCR_EL2: u64 = 3 << 12 | 3 << 24;

/// SCR_EL3: NS, RES1, HCE, RW, pointer authentication, tags, fine-grained traps, HCRX, TPIDR2; SMC undefined
/// (SMD), because nobody answers it.
const SCR_EL3: u64 =
    1 | 3 << 4 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 16 | 1 << 17 | 1 << 26 | 1 << 27 | 1 << 38 | 1 << 41;

/// Where the slots begin behind the election's own words, and how many there are.
const ELECTION_SLOTS: usize = 32;
const ELECTION_SLOT_COUNT: usize = 64;

global_asm!(
    r#"
    .section .text.entry, "ax"

    // HCR_EL2 from x8. The barrier in front is AmpereOne's (erratum AC04_CPU_23).
    .macro write_hcr
    dsb     nsh
    msr     hcr_el2, x8
    isb
    .endm

    // At EL2, MMU off: everything that EL1 may use is opened, E2H cleared where that has an effect.
    // Clobbers x8–x11.
open_el1:
    adrp    x8, el2_vectors
    add     x8, x8, :lo12:el2_vectors
    msr     vbar_el2, x8
    ldr     x8, ={hcr}
    mrs     x9, S3_0_C0_C7_4            // ID_AA64MMFR4_EL1.E2H0 < 0: E2H is RES1 …
    tbnz    x9, #27, 1f
    write_hcr
    mov     x9, #1                      // … and some are so that do not say it: there FAR_EL1 is FAR_EL2
    msr     far_el1, x9
    isb
    mov     x10, #2
    msr     far_el2, x10
    isb
    mrs     x9, far_el1
    cmp     x9, x10
    mov     x10, #3                     // CNTHCTL_EL2: EL1PCTEN, EL1PCEN
    b.ne    2f
1:  orr     x8, x8, #(1 << 34)          // read as 0 or not until it is written
    write_hcr
    orr     x26, x26, #{e2h_stuck}
    ldr     x8, ={cptr_vhe}
    mov     x10, #(3 << 10)             // the same two with E2H's layout
    b       4f
2:  ldr     x8, ={cptr}
    mrs     x9, id_aa64pfr0_el1
    ubfx    x9, x9, #32, #4
    cbnz    x9, 3f
    orr     x8, x8, #{cptr_no_sve}
3:  mrs     x9, id_aa64pfr1_el1
    ubfx    x9, x9, #24, #4
    cbnz    x9, 4f
    orr     x8, x8, #{cptr_no_sme}
4:  msr     cptr_el2, x8
    msr     cnthctl_el2, x10
    isb
    msr     cntvoff_el2, xzr
    msr     vttbr_el2, xzr
    msr     hstr_el2, xzr
    mrs     x9, midr_el1
    msr     vpidr_el2, x9
    mrs     x9, mpidr_el1
    msr     vmpidr_el2, x9

    ldr     x8, ={mdcr}                 // all counters are EL1's: HPMN = PMCR_EL0.N
    mrs     x9, id_aa64dfr0_el1
    ubfx    x9, x9, #8, #4
    cbz     x9, 1f
    cmp     x9, #0xF
    b.eq    1f
    mrs     x9, pmcr_el0
    ubfx    x9, x9, #11, #5
    orr     x8, x8, x9
1:  msr     mdcr_el2, x8

    unless_feature id_aa64pfr0_el1, 24, 1f      // GIC system registers
    mrs     x8, S3_4_C12_C9_5                   // ICC_SRE_EL2
    orr     x8, x8, #1                          // SRE
    orr     x8, x8, #(1 << 3)                   // Enable
    msr     S3_4_C12_C9_5, x8
    isb
    mrs     x8, S3_4_C12_C9_5
    tbz     x8, #0, 1f
    msr     S3_4_C12_C11_0, xzr                 // ICH_HCR_EL2
1:
    unless_feature id_aa64pfr0_el1, 32, 1f      // SVE: the longest vectors
    mov     x8, #0xF
    msr     S3_4_C1_C2_0, x8                    // ZCR_EL2
1:
    unless_feature id_aa64pfr1_el1, 24, 1f      // SME: likewise, and FA64 where it exists
    mov     x8, #0xF
    mrs     x9, S3_0_C0_C4_5                    // ID_AA64SMFR0_EL1
    lsr     x9, x9, #63
    orr     x8, x8, x9, lsl #31
    msr     S3_4_C1_C2_6, x8                    // SMCR_EL2
1:
    unless_feature id_aa64mmfr1_el1, 16, 1f     // limited ordering regions: off
    msr     S3_0_C10_C4_3, xzr                  // LORC_EL1
1:
    unless_feature id_aa64mmfr1_el1, 40, 1f     // HCRX: memory copy instructions
    mov     x8, #(1 << 11)
    msr     S3_4_C1_C2_2, x8                    // HCRX_EL2
1:
    unless_feature id_aa64mmfr0_el1, 56, 1f     // fine-grained traps: none; SME's two are inverted
    mov     x8, #0
    mrs     x9, id_aa64pfr1_el1
    ubfx    x9, x9, #24, #4
    cbz     x9, 2f
    mov     x8, #(3 << 54)                      // nSMPRI_EL1, nTPIDR2_EL0
2:  msr     S3_4_C1_C1_4, x8                    // HFGRTR_EL2
    msr     S3_4_C1_C1_5, x8                    // HFGWTR_EL2
    msr     S3_4_C1_C1_6, xzr                   // HFGITR_EL2
    msr     S3_4_C3_C1_4, xzr                   // HDFGRTR_EL2
    msr     S3_4_C3_C1_5, xzr                   // HDFGWTR_EL2
1:
    isb
    ret

    // At EL3: chooses one CPU, drops it to EL2 or, without that level, to EL1.
from_el3:
    orr     x26, x26, #{no_firmware}
    leave_mmu sctlr_el3
    adrp    x8, el2_vectors
    add     x8, x8, :lo12:el2_vectors
    msr     vbar_el3, x8
    isb

    // One CPU wins by plain loads and stores alone: Lamport's fast mutex ("A Fast Mutual Exclusion Algorithm",
    // 1987), of which nobody ever leaves the critical section. Nothing depends on time.
    mrs     x8, mpidr_el1
    ldr     x9, =0xFF00FFFFFF
    and     x8, x8, x9
    orr     x8, x8, #(1 << 31)          // the name, never zero
    and     x9, x8, #0xF                // the slot: four bits of Aff0, two of Aff1
    ubfx    x10, x8, #8, #2
    orr     x9, x9, x10, lsl #4
    adrp    x11, election
    add     x11, x11, :lo12:election
    add     x12, x11, #{slots}
    add     x13, x12, x9, lsl #3        // this CPU's slot: it is still deciding
    str     x8, [x13]
    dsb     sy
    str     x8, [x11]                   // last to arrive
    dsb     sy
    ldr     x10, [x11, #8]              // the gate
    cbnz    x10, withdraw
    str     x8, [x11, #8]
    dsb     sy
    ldr     x10, [x11]
    cmp     x10, x8
    b.eq    2f                          // nobody came between: won
    str     xzr, [x13]
    dsb     sy
    mov     x9, #0                      // somebody did: wait until all have decided
1:  ldr     x10, [x11, #16]
    cbnz    x10, sleep                  // and won
    ldr     x10, [x12, x9, lsl #3]
    cbnz    x10, 1b
    add     x9, x9, #1
    cmp     x9, #{slot_count}
    b.ne    1b
    ldr     x10, [x11, #8]
    cmp     x10, x8
    b.ne    sleep                       // the last to pass the gate has won
2:  str     x8, [x11, #16]              // the winner; its slot stays taken
    dsb     sy
    dc      civac, x11                  // no line from before may shadow what was stored
    dc      civac, x13
    dsb     sy
    ldr     x8, ={scr}
    msr     scr_el3, x8
    mov     x8, #0                      // CPTR_EL3: trap nothing; EZ, ESM where SVE and SME exist
    unless_feature id_aa64pfr0_el1, 32, 4f
    orr     x8, x8, #(1 << 8)
4:  unless_feature id_aa64pfr1_el1, 24, 5f
    orr     x8, x8, #(1 << 12)
5:  msr     cptr_el3, x8
    isb
    unless_feature id_aa64pfr0_el1, 32, 6f
    mov     x8, #0xF
    msr     S3_6_C1_C2_0, x8            // ZCR_EL3
6:  unless_feature id_aa64pfr1_el1, 24, 7f
    mov     x8, #0xF
    msr     S3_6_C1_C2_6, x8            // SMCR_EL3
7:  ldr     x8, =(3 << 12 | 3 << 24)    // MDCR_EL3: SPE and trace buffers are non-secure
    msr     mdcr_el3, x8
    unless_feature id_aa64pfr0_el1, 24, 8f
    mrs     x8, S3_6_C12_C12_5          // ICC_SRE_EL3
    orr     x8, x8, #1
    orr     x8, x8, #(1 << 3)
    msr     S3_6_C12_C12_5, x8
8:  isb
    unless_feature id_aa64pfr0_el1, 8, 9f
    ldr     x8, ={sctlr_off}
    msr     sctlr_el2, x8
    adr     x8, from_el2
    mov     x9, #{spsr_el2h}
    b       10f
9:  ldr     x8, ={sctlr_off}
    msr     sctlr_el1, x8
    adr     x8, from_el1
    mov     x9, #{spsr_el1h}
10: msr     elr_el3, x8
    msr     spsr_el3, x9
    eret

    // Where the CPUs that are not chosen stay, MMU off, in resident memory.
withdraw:
    str     xzr, [x13]
    dsb     sy
sleep:
    wfe
    b       sleep

    // The trapped instruction becomes an undefined one: EL1's own vector gets it, as if it had been taken there.
undefined_at_el1:
    mrs     x0, hcr_el2
    tbnz    x0, #34, 1f
    mrs     x0, elr_el2
    msr     elr_el1, x0
    mrs     x0, spsr_el2
    msr     spsr_el1, x0
    mov     x0, #(1 << 25)              // EC 0, IL
    msr     esr_el1, x0
    mrs     x0, vbar_el1
    b       2f
1:  mrs     x0, elr_el2
    msr     S3_5_C4_C0_1, x0            // ELR_EL12
    mrs     x0, spsr_el2
    msr     S3_5_C4_C0_0, x0            // SPSR_EL12
    mov     x0, #(1 << 25)
    msr     S3_5_C5_C2_0, x0            // ESR_EL12
    mrs     x0, S3_5_C12_C0_0           // VBAR_EL12
2:  add     x0, x0, #0x200              // current level with SP_ELx …
    msr     elr_el2, x0
    mrs     x0, spsr_el2
    tst     x0, #0xF
    b.ne    3f
    mrs     x0, elr_el2                 // … or from EL0
    add     x0, x0, #0x200
    msr     elr_el2, x0
3:  mov     x0, #{spsr_el1h}
    msr     spsr_el2, x0
    mrs     x0, tpidr_el2
    eret

    .ltorg

    .section .data.election, "aw"
    .balign 64
election:                               // last to arrive, gate, winner; a slot for each CPU
    .quad   0, 0, 0, 0
    .fill   {slot_count}, 8, 0
    .balign 64

    // What stays at EL2: sixteen vectors. Those of its own level park, of the others only the synchronous one from EL1
    // says anything.
    .section .text.stub, "ax"
    .balign 0x800
el2_vectors:
    .rept 8
    .balign 0x80
    mov     x0, #{trapped}
    ldr     x1, ={parked}
1:  wfe
    b       1b
    .endr
    .balign 0x80
    msr     tpidr_el2, x0
    mrs     x0, esr_el2
    lsr     x0, x0, #26
    cmp     x0, #0x16                   // HVC from AArch64
    b.ne    undefined_at_el1
    mov     x0, #-1
    eret
    .rept 7
    .balign 0x80
    eret
    .endr
    .ltorg
el2_vectors_end:
    "#,
    trapped = const EntryError::TRAPPED,
    parked = const PARKED | Ending::Refused.exit_subcode(),
    hcr = const HCR_EL2,
    cptr = const CPTR_EL2,
    cptr_no_sve = const CPTR_NO_SVE,
    cptr_no_sme = const CPTR_NO_SME,
    cptr_vhe = const CPTR_VHE,
    mdcr = const MDCR_EL2,
    scr = const SCR_EL3,
    slots = const ELECTION_SLOTS,
    slot_count = const ELECTION_SLOT_COUNT,
    e2h_stuck = const EntryFlags::E2H_STUCK,
    no_firmware = const EntryFlags::NO_FIRMWARE,
    sctlr_off = const super::entry::SCTLR_OFF,
    spsr_el1h = const pstate::EL1H_MASKED,
    spsr_el2h = const pstate::EL2H_MASKED,
);
