//! EL3 without firmware: one CPU is chosen, its levels are opened, and it drops to the next.
//!
//! EL3 means that there is no firmware, hence no PSCI, and that other CPUs may arrive as well: one is chosen
//! without exclusives, which Device memory does not promise. CNTFRQ_EL0 stays what reset or a
//! boot ROM made of it: nobody here knows the counter's clock, and `BootInfo` says what was found.
//! Those that are not chosen wait for the mailbox by which a kernel starts them (`secondary.rs`).

use core::arch::global_asm;

use shared_abi::contract::pstate;

use super::entry::EntryFlags;

/// Where the slots begin behind the election's own words, and how many there are.
const ELECTION_SLOTS: usize = 32;
const ELECTION_SLOT_COUNT: usize = 64;

global_asm!(
    r#"
    .section .text.entry, "ax"

    // At EL3: chooses one CPU, drops it to EL2 or, without that level, to EL1.
from_el3:
    catch   el3_vectors, vbar_el3
    orr     x26, x26, #{no_firmware}
    leave_mmu sctlr_el3

    // One CPU wins by plain loads and stores alone: Lamport's fast mutex ("A Fast Mutual Exclusion Algorithm",
    // 1987), of which nobody ever leaves the critical section. Nothing depends on time.
    mrs     x8, mpidr_el1
    ldr     x9, =0xFF00FFFFFF
    and     x9, x8, x9                  // the affinity
    tst     x8, #(1 << 24)
    orr     x8, x9, #(1 << 31)          // the name, never zero
    b.eq    1f
    tst     x9, #0xFF                   // MT: Aff0 is a thread, of which the first takes part
    b.ne    sleep
    lsr     x9, x9, #8
1:  and     x10, x9, #0xF               // the slot: four bits of a core's number, two of its cluster's
    ubfx    x12, x9, #8, #2
    orr     x10, x10, x12, lsl #4
    and     x9, x9, #~0xF
    and     x9, x9, #~0x300
    cbnz    x9, sleep                   // no slot of its own: it is left to those that have one
    mov     x9, x10
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
    adr     x27, from_el2
    adr     x28, from_el1

    // Opens the levels below EL3, and goes on at x27 at EL2 or, without that level, at x28 at EL1.
descend_from_el3:
    bl      keep_coherent
    bl      open_el3                    // controls.rs
    ldr     x8, ={sctlr_off}
    unless_feature id_aa64pfr0_el1, 8, 9f
    msr     sctlr_el2, x8
    mov     x8, x27
    mov     x9, #{spsr_el2h}
    b       10f
9:  msr     sctlr_el1, x8
    mov     x8, x28
    mov     x9, #{spsr_el1h}
10: msr     elr_el3, x8
    msr     spsr_el3, x9
    leave

    // Where the CPUs that are not chosen wait, MMU off, in resident memory, until the mailbox has the name in x8.
withdraw:
    str     xzr, [x13]
    dsb     sy
sleep:
    adrp    x11, {resident}
1:  wfe
    ldr     x9, [x11]
    cmp     x9, x8
    b.ne    1b
    ldr     x19, [x11, #8]
    b       secondary_arrived

    // Cortex-A35, A53, A57, A72 and A73 are coherent with other CPUs, and by some manuals with their own caches, only
    // after CPUECTLR_EL1.SMPEN is set, which EL3 may do and nobody did. Clobbers x8–x10.
keep_coherent:
    mrs     x8, midr_el1
    lsr     x9, x8, #24
    cmp     x9, #0x41                   // Arm's
    b.ne    1f
    ubfx    x9, x8, #4, #12
    sub     x9, x9, #0xD00              // part numbers 0xD03, 4, 7, 8, 9
    cmp     x9, #0x10
    b.hs    1f
    mov     x10, #0x398
    lsr     x10, x10, x9
    tbz     x10, #0, 1f
    mrs     x8, S3_1_C15_C2_1           // CPUECTLR_EL1
    orr     x8, x8, #(1 << 6)
    msr     S3_1_C15_C2_1, x8
    isb
1:  ret

    .ltorg

    // Behind the entry code in its page, which is never given back: a CPU may arrive late.
    .section .text.election, "ax"
    .balign 64
election:                               // last to arrive, gate, winner; a slot for each CPU
    .quad   0, 0, 0, 0
    .fill   {slot_count}, 8, 0
    "#,
    slots = const ELECTION_SLOTS,
    slot_count = const ELECTION_SLOT_COUNT,
    resident = sym super::secondary::RESIDENT,
    no_firmware = const EntryFlags::NO_FIRMWARE,
    sctlr_off = const super::entry::SCTLR_OFF,
    spsr_el1h = const pstate::EL1H_MASKED,
    spsr_el2h = const pstate::EL2H_MASKED,
);
