//! A firmware that leaves the processor in states that QEMU's own never does, then enters the image behind it.
//!
//! Not a program: a page of position-independent code that a test puts in front of a combined image, behind a
//! Linux header of its own, at the same distance on every machine:
//!
//! ```text
//! + 0          Linux arm64 Image header; its branch leads to + 0x1000
//! + 0x1000     this code; the word at + 0x1008 chooses the state
//! + 0x2000     room for its tables
//! + 2 MiB      the combined image
//! ```
//!
//! x0 to x3 reach the image as firmware passed them. What each state is stands beside its code.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(
    r#"
    .section .text.firmware, "ax"
    .global firmware
firmware:
    b       1f
    nop
    .word   0                           // the state, at + 8
    .word   0
1:  adr     x9, firmware
    ldr     w10, [x9, #8]
    sub     x9, x9, #0x1000             // this file
    add     x20, x9, #0x200000          // the image
    add     x21, x9, #0x2000            // the table
    cmp     w10, #1
    b.eq    wild_el1
    cmp     w10, #2
    b.eq    mapped_el1
    cmp     w10, #3
    b.eq    wild_el2
    cmp     w10, #4
    b.eq    host_el2
    cmp     w10, #5
    b.eq    mapped_el2
    cmp     w10, #6
    b.eq    mapped_host_el2
    brk     #1

    // Values that no reset gives. Reserved bits are left alone: what they do is nobody's to say.
    .macro junk register
    mrs     x11, midr_el1
    eor     x11, x11, x11, lsl #17
    msr     \register, x11
    .endm

    // 1: EL1, MMU off: big-endian data, alignment checks, traps of FP, wild tables and attributes, unmasked.
wild_el1:
    junk    mair_el1
    junk    amair_el1
    junk    ttbr0_el1
    junk    ttbr1_el1
    junk    contextidr_el1
    junk    tpidr_el0
    junk    tpidr_el1
    junk    tpidrro_el0
    junk    sp_el0
    ldr     x11, =0xFFFFFFFFBFBFBFBF
    msr     tcr_el1, x11
    msr     cpacr_el1, xzr
    adr     x11, firmware
    msr     vbar_el1, x11
    mov     x11, #3
    msr     cntkctl_el1, x11
    msr     spsel, #0
    ldr     x11, =0x30D5081A | (1 << 25) | (1 << 24) | (1 << 19) | (1 << 12)
    msr     sctlr_el1, x11
    isb
    msr     daifclr, #0xF
    br      x20

    // Level 1 table at x21: 512 GiB identity, the first GiB of a machine Device where it is not RAM.
map_all:
    mov     x11, #0
    ldr     x12, =0x705                 // block, attribute 1 (write-back), inner shareable, AF
2:  lsl     x13, x11, #30
    orr     x13, x13, x12
    str     x13, [x21, x11, lsl #3]
    add     x11, x11, #1
    cmp     x11, #512
    b.ne    2b
    dsb     sy
    add     x11, x21, #4096             // no older line may shadow it
2:  sub     x11, x11, #16
    dc      ivac, x11
    cmp     x11, x21
    b.ne    2b
    dsb     sy
    ret

    // 2: EL1, MMU and caches on, mapped identically and writable throughout, as some boot managers leave it,
    // and the image written through the caches.
mapped_el1:
    bl      map_all
    mov     x11, #0xFF00
    msr     mair_el1, x11
    ldr     x11, =(25 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 23 | 2 << 32)
    msr     tcr_el1, x11
    msr     ttbr0_el1, x21
    isb
    tlbi    vmalle1
    dsb     sy
    isb
    ldr     x11, =0x30D0180D            // M, C, SA, I
    msr     sctlr_el1, x11
    isb
    b       through_caches

    // 3: EL2 without VHE: every trap there is, counters shut, an offset, stage 2 registers wild.
wild_el2:
    ldr     x11, =0x0000000C7FFFFFFE & ~(1 << 12) & ~(1 << 34) & ~1
    msr     hcr_el2, x11
    ldr     x11, =0x33FF | (1 << 10) | (1 << 20) | (1 << 31)
    msr     cptr_el2, x11
    msr     cnthctl_el2, xzr
    junk    cntvoff_el2
    junk    vttbr_el2
    junk    vpidr_el2
    junk    mair_el2
    junk    ttbr0_el2
    junk    tpidr_el2
    mov     x11, #0xFFFF
    msr     hstr_el2, x11
    mov     x11, #0xFE0
    msr     mdcr_el2, x11
    ldr     x11, =0x30C5083A | (1 << 25)
    msr     sctlr_el2, x11
    isb
    msr     daifclr, #0xF
    br      x20

    // 4: EL2 as a VHE host has it: E2H and TGE, so EL1's names reach EL2's registers.
host_el2:
    ldr     x11, =(1 << 34 | 1 << 31 | 1 << 27)
    msr     hcr_el2, x11
    isb
    msr     cptr_el2, xzr               // CPACR's layout: everything trapped
    msr     cnthctl_el2, xzr
    junk    cntvoff_el2
    ldr     x11, =0x30D5081A | (1 << 25)
    msr     sctlr_el2, x11
    isb
    br      x20

    // 5: EL2 without VHE, MMU and caches on.
mapped_el2:
    mov     x11, #(1 << 31)
    msr     hcr_el2, x11
    bl      map_all
    mov     x11, #0xFF00
    msr     mair_el2, x11
    ldr     x11, =(25 | 3 << 12 | 1 << 10 | 1 << 8 | 2 << 16 | 1 << 23 | 1 << 31)
    msr     tcr_el2, x11
    msr     ttbr0_el2, x21
    isb
    tlbi    alle2
    dsb     sy
    isb
    ldr     x11, =0x30C5183D
    msr     sctlr_el2, x11
    isb
    b       through_caches

    // 6: EL2 as a VHE host with the MMU on.
mapped_host_el2:
    ldr     x11, =(1 << 34 | 1 << 31 | 1 << 27)
    msr     hcr_el2, x11
    isb
    bl      map_all
    mov     x11, #0xFF00
    msr     mair_el2, x11
    ldr     x11, =(25 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 23 | 2 << 32)
    msr     tcr_el2, x11
    msr     ttbr0_el2, x21
    isb
    tlbi    alle2
    dsb     sy
    isb
    ldr     x11, =0x30D0180D
    msr     sctlr_el2, x11
    isb
    b       through_caches

    // The whole image is written by cached stores, as by a boot manager that has loaded it: every line of it is dirty, and
    // only what is jumped to, header and entry page, was made fit for fetching.
through_caches:
    ldr     x11, [x20, #16]             // its size in the header
    add     x11, x20, x11
    mov     x12, x20
3:  ldr     x13, [x12]
    str     x13, [x12], #8
    cmp     x12, x11
    b.lo    3b
    add     x11, x20, #0x2000
    mov     x12, x20
4:  dc      cvau, x12
    add     x12, x12, #16
    cmp     x12, x11
    b.lo    4b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    br      x20
    .ltorg
    "#
);

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(not(target_os = "none"))]
fn main() {}
