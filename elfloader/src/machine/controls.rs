//! The registers of EL2 and EL3, written by the contract's table of features.
//!
//! The table's steps are data, and a loop of twenty instructions carries them out: it reads an ID register, looks at a
//! field of it, gathers bits, and writes a register. Which register an instruction names is part of its encoding, so
//! there is one MRS for each ID register and one MSR for each control, in the order of their numbers. Each CPU
//! runs this once, with the MMU off; steps and code stay for those that come later.

use core::arch::global_asm;

use shared_abi::contract::features::{STEPS_EL2, STEPS_EL3, Step};

use super::entry::EntryFlags;

#[unsafe(link_section = ".resident.steps")]
static EL2: [Step; STEPS_EL2.len()] = STEPS_EL2;
#[unsafe(link_section = ".resident.steps")]
static EL3: [Step; STEPS_EL3.len()] = STEPS_EL3;

macro_rules! readers {
    ($($name:ident = $encoding:literal,)*) => {
        concat!($("mrs x9, ", $encoding, "\n ret\n"),*)
    };
}

macro_rules! writers {
    (@$name:ident $encoding:literal) => {
        concat!("msr ", $encoding, ", x8\n ret\n")
    };
    (@$name:ident $encoding:literal own) => {
        concat!("b write_", stringify!($name), "\n nop\n")
    };
    ($($name:ident = $encoding:literal $($own:ident)?,)*) => {
        concat!($(writers!(@$name $encoding $($own)?)),*)
    };
}

global_asm!(
    r#"
    .section .text.controls, "ax"
    .global controls_start
controls_start:

    // Writes every register of EL2. Clobbers x8–x18.
open_el2:
    adrp    x10, {el2}
    add     x10, x10, :lo12:{el2}
    add     x11, x10, #{el2_size}
    b       carry_out

    // Writes every register of EL3. Clobbers x8–x18.
open_el3:
    adrp    x10, {el3}
    add     x10, x10, :lo12:{el3}
    add     x11, x10, #{el3_size}

    // Carries out the steps from x10 to x11.
carry_out:
    mov     x18, x30
    adr     x16, readers
    adr     x17, writers
1:  ldp     x13, x14, [x10], #16        // what; bits
    and     x12, x13, #0xFF             // the ID register
    add     x12, x16, x12, lsl #3
    blr     x12
    ubfx    x12, x13, #8, #8            // its field
    lsr     x9, x9, x12
    and     x9, x9, #0xF
    ubfx    x12, x13, #16, #8           // its least value
    sub     x9, x9, x12
    ubfx    x12, x13, #24, #8           // how many more it may have
    cmp     x9, x12
    cset    x9, ls
    tbz     x13, #{first}, 2f
    mov     x8, #0
    mov     x15, x9                     // whether the register is there
2:  cbz     x9, 3f
    orr     x8, x8, x14
3:  tbz     x13, #{last}, 4f
    cbz     x15, 4f
    ubfx    x12, x13, #32, #8           // the register
    add     x12, x17, x12, lsl #3
    blr     x12
    isb                                 // it may open the next one
4:  cmp     x10, x11
    b.lo    1b
    ret     x18

    // x9 is what stands at a condition's number: eight bytes each.
readers:
    "#,
    shared_abi::feature_id_registers!(readers),
    r#"
    mov     x9, #0                      // NONE
    ret
    ubfx    x9, x26, #{e2h_bit}, #1     // E2H
    ret
    b       read_mpamidr
    nop
    b       read_fgt_and_amu
    nop
    b       read_pmbidr
    nop

read_mpamidr:
    mrs     x12, id_aa64pfr0_el1
    ubfx    x9, x12, #40, #4            // MPAM
    cbz     x9, 1f
    mrs     x9, S3_0_C10_C4_4           // MPAMIDR_EL1
    ubfx    x9, x9, #17, #1             // HAS_HCR
1:  ret

read_fgt_and_amu:
    mrs     x12, id_aa64mmfr0_el1
    ubfx    x9, x12, #56, #4            // FGT
    cbz     x9, 1f
    mrs     x12, id_aa64pfr0_el1
    ubfx    x9, x12, #44, #4            // AMU
    cmp     x9, #0
    cset    x9, ne
1:  ret

read_pmbidr:
    mrs     x12, id_aa64dfr0_el1
    ubfx    x12, x12, #32, #4           // PMSVer
    mov     x9, #1
    cbz     x12, 1f
    mrs     x9, S3_0_C9_C10_7           // PMBIDR_EL1
    ubfx    x9, x9, #4, #1              // P
1:  ret

    // x8 into the register of a number: eight bytes each.
writers:
    "#,
    shared_abi::feature_controls!(writers),
    r#"
    // HCR_EL2, first of all, with E2H where that cannot be cleared. The barrier in front is AmpereOne's (AC04_CPU_23).
write_HCR_EL2:
    dsb     nsh
    mrs     x9, S3_0_C0_C7_4            // ID_AA64MMFR4_EL1.E2H0 < 0: E2H is RES1 …
    tbnz    x9, #27, 1f
    msr     hcr_el2, x8
    isb
    mov     x9, #1                      // … and some are so that do not say it: there FAR_EL1 is FAR_EL2
    msr     far_el1, x9
    isb
    mov     x12, #2
    msr     far_el2, x12
    isb
    mrs     x9, far_el1
    cmp     x9, x12
    b.ne    2f
1:  orr     x8, x8, #(1 << 34)          // read as 0 or not until it is written
    orr     x26, x26, #{e2h}
    dsb     nsh
    msr     hcr_el2, x8
2:  ret

    // MDCR_EL2: all counters are EL1's, HPMN = PMCR_EL0.N.
write_MDCR_EL2:
    mrs     x9, id_aa64dfr0_el1
    ubfx    x9, x9, #8, #4              // PMUVer: neither absent nor the manufacturer's own
    cbz     x9, 1f
    cmp     x9, #0xF
    b.eq    1f
    mrs     x9, pmcr_el0
    ubfx    x9, x9, #11, #5
    orr     x8, x8, x9
1:  msr     mdcr_el2, x8
    ret

    // ICH_HCR_EL2: only where ICC_SRE_EL2.SRE, just written, has stuck.
write_ICH_HCR_EL2:
    mrs     x9, S3_4_C12_C9_5
    tbz     x9, #0, 1f
    msr     S3_4_C12_C11_0, x8
1:  ret

    // Registers of EL1's, which has another name where E2H redirects the first.
write_TCR2_EL1:
    tbnz    x26, #{e2h_bit}, 1f
    msr     S3_0_C2_C0_3, x8
    ret
1:  msr     S3_5_C2_C0_3, x8
    ret
write_SCTLR2_EL1:
    tbnz    x26, #{e2h_bit}, 1f
    msr     S3_0_C1_C0_3, x8
    ret
1:  msr     S3_5_C1_C0_3, x8
    ret
    .global controls_end
controls_end:
    "#,
    el2 = sym EL2,
    el2_size = const size_of_val(&EL2),
    el3 = sym EL3,
    el3_size = const size_of_val(&EL3),
    first = const Step::FIRST,
    last = const Step::LAST,
    e2h = const EntryFlags::E2H_STUCK,
    e2h_bit = const EntryFlags::E2H_STUCK.trailing_zeros(),
);
