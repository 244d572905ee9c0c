//! Other CPUs: from wherever firmware lets them go to the kernel's instruction that their record names.
//!
//! A kernel asks for a CPU by a [`StartRecord`]; this code, which keeps no state, reads it with the MMU off. The CPU
//! arrives at the level that the boot CPU was entered at, by PSCI with its record in x0, by a spin table with 0 there, or
//! from the loop of those that came along: these two find their record in the mailbox. It opens its levels as the boot
//! CPU did, goes down to EL1 and turns the MMU on:
//!
//! ```text
//!   EL3 ─► EL2 ─► EL1, MMU off: status written, registers as the record has them
//!                  │ M = 1 on the identity-mapped entry page
//!                  └─► the same page in the loader's window: TTBR0 left, `eret` into the kernel
//! ```
//!
//! What it needs stays: the entry page, the levels' code and steps, and [`RESIDENT`].

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use handoff_bare::cache;
use shared_abi::addr::VirtRange;
use shared_abi::boot_info::{Mailbox, STATUS_OFFSET, Start, StartState, StartStatus};
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::contract::{pstate, registers};
use shared_abi::page_table::{Table, TableError};

use super::entry::{EntryFlags, SCTLR_OFF, TCR_EARLY};
use super::own_image::OwnImage;
use super::tables;

/// What other CPUs read beside the code: in memory that the loader maps writable and the kernel never gets.
#[repr(C, align(4096))]
pub struct Resident {
    /// Where the kernel leaves records.
    mailbox: Mailbox,
    /// On cache lines of their own, written before any CPU comes.
    before_defaults: [u8; 2048 - size_of::<Mailbox>()],
    /// What the boot CPU was entered with: the record's words from `phys_root_high` to `vbar`.
    defaults: [AtomicU64; DEFAULTS],
    /// The level that it was entered at.
    level: AtomicU64,
    before_tables: [u8; 2048 - 8 * (DEFAULTS + 1)],
    /// The entry page where it lies, executable.
    identity: [Table; 4],
}

/// Words of a record that have a default.
const DEFAULTS: usize = (offset_of!(Start, vbar) - offset_of!(Start, phys_root_high)) / 8 + 1;

/// The one.
#[unsafe(link_section = ".resident.secondary")]
pub static RESIDENT: Resident = Resident {
    mailbox: Mailbox { name: AtomicU64::new(0), phys_record: AtomicU64::new(0) },
    before_defaults: [0; _],
    defaults: [const { AtomicU64::new(0) }; DEFAULTS],
    level: AtomicU64::new(0),
    before_tables: [0; _],
    identity: [const { Table::new() }; 4],
};

/// Lets other CPUs come: says what the boot CPU is entered with, and at which level.
///
/// # Errors
/// [`TableError`] if the entry page cannot be mapped.
pub fn prepare(
    own: &OwnImage,
    registers: &EntryRegisters,
    [low_root, high_root, vbar]: [u64; 3],
    level: u64,
) -> Result<(), TableError> {
    tables::map_entry_page(own, &RESIDENT.identity)?;
    let values = [high_root, low_root, registers.tcr_el1, registers.mair_el1, registers.sctlr_el1, vbar];
    for (place, value) in RESIDENT.defaults.iter().zip(values) {
        place.store(value, Ordering::Relaxed);
    }
    RESIDENT.level.store(level, Ordering::Relaxed);
    // They are read with the MMU off.
    let start = RESIDENT.defaults.as_ptr() as u64;
    cache::clean_to_coherency(
        VirtRange::from_bounds(start, start + 8 * (DEFAULTS as u64 + 1)).unwrap_or(VirtRange::EMPTY),
    );
    Ok(())
}

global_asm!(
    r#"
    .section .text.secondary, "ax"

    // SCTLR of a level without MMU and caches.
    .macro without_mmu sctlr
    mov     x8, #({sctlr_off} & 0xFFFF)
    movk    x8, #({sctlr_off} >> 16), lsl #16
    msr     \sctlr, x8
    isb
    .endm

    // The record's word at `at`, or the boot CPU's if that is 0. Clobbers x9.
    .macro given reg, at
    ldr     \reg, [x19, #\at]
    ldr     x9, [x11, #({defaults} - {root_high} + \at)]
    cmp     \reg, #0
    csel    \reg, x9, \reg, eq
    .endm

    .macro refuse_secondary state
    mov     w9, #\state
    b       refused
    .endm

    .global secondary_entry
secondary_entry:
    msr     daifset, #0xF
    mov     x19, x0
    mov     x26, #0
    mrs     x24, CurrentEL
    lsr     x24, x24, #2
    cmp     x24, #2
    b.eq    1f
    b.hi    2f
    catch   el2_vectors, vbar_el1
    without_mmu sctlr_el1
    b       secondary_arrived
1:  catch   el2_vectors, vbar_el2
    without_mmu sctlr_el2
    b       secondary_arrived
2:  catch   el3_vectors, vbar_el3
    without_mmu sctlr_el3

    // x19: the record, or 0; x24: the level; x26: flags. Who has no business here stays here.
secondary_arrived:
    adrp    x11, {resident}
    mrs     x8, mpidr_el1
    ldr     x9, =0xFF00FFFFFF
    and     x8, x8, x9                  // the affinity
    cbnz    x19, 1f
    ldr     x9, [x11]
    cbz     x9, stay                    // nobody was called
    ldr     x19, [x11, #8]
1:  mrs     x9, midr_el1
    str     x9, [x19, #{midr}]
    str     w24, [x19, #{level}]
    ldr     x9, [x19, #{mpidr}]
    cmp     x9, x8
    b.ne    another
    ldr     x9, [x11, #{arrival}]
    cmp     x9, x24
    b.ne    elsewhere
    mov     w9, #{arrived}
    bl      tell
    adr     x27, secondary_el2
    adr     x28, secondary_el1
    cmp     x24, #2
    b.hi    descend_from_el3            // upper_levels.rs
    b.lo    secondary_el1

secondary_el2:
    catch   el2_vectors, vbar_el2
    bl      open_el2                    // controls.rs
    mrs     x9, midr_el1
    msr     vpidr_el2, x9
    mrs     x9, mpidr_el1
    msr     vmpidr_el2, x9
    ldr     x8, ={sctlr_off}
    tst     x26, #{e2h_stuck}
    b.ne    1f
    msr     sctlr_el1, x8
    b       2f
1:  msr     S3_5_C1_C0_0, x8            // SCTLR_EL12
2:  msr     elr_el2, x28
    mov     x8, #{spsr_el1h}
    msr     spsr_el2, x8
    leave

secondary_el1:
    catch   el2_vectors, vbar_el1
    bl      turn_extensions_off         // entry.rs
    adrp    x11, {resident}
    mrs     x10, id_aa64mmfr0_el1
    ubfx    x9, x10, #28, #4
    cmp     x9, #0xF                    // TGran4
    b.eq    no_small_granule
    given   x1, {root_high}
    given   x2, {root_low}
    given   x3, {tcr}
    given   x4, {mair}
    given   x5, {sctlr}
    given   x6, {vbar}
    and     x10, x10, #0xF              // PARange
    ubfx    x9, x3, #32, #3             // IPS
    cmp     x9, x10
    b.hi    short_addresses
    ldr     x7, [x19, #{tpidr}]
    ldr     x12, [x19, #{stack_top}]
    ldr     x13, [x19, #{entry}]
    ldr     x14, [x19, #{argument}]
    mrs     x9, cntvct_el0
    str     x9, [x19, #{ticks}]
    mov     w9, #{entered}
    bl      tell
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     spsel, #1
    mov     sp, x12
    msr     elr_el1, x13
    mov     x8, #{spsr_el1h}
    msr     spsr_el1, x8
    msr     mair_el1, x4
    msr     amair_el1, xzr
    ldr     x8, ={tcr_early}            // the kernel's but for TTBR0, whose tables are the loader's
    mov     x9, x3
    bfi     x9, x8, #0, #16
    msr     tcr_el1, x9
    add     x8, x11, #{identity}
    msr     ttbr0_el1, x8
    msr     ttbr1_el1, x1
    ldr     x8, ={cpacr}
    msr     cpacr_el1, x8
    msr     contextidr_el1, xzr
    msr     cntkctl_el1, xzr
    msr     cntp_ctl_el0, xzr
    msr     cntv_ctl_el0, xzr
    msr     mdscr_el1, xzr
    msr     sp_el0, xzr
    msr     tpidr_el1, x7
    msr     tpidr_el0, xzr
    msr     tpidrro_el0, xzr
    ldr     x8, =secondary_mapped       // in the loader's window
    isb
    msr     vbar_el1, x6
    msr     sctlr_el1, x5
    isb
    br      x8

secondary_mapped:
    msr     ttbr0_el1, x2
    isb
    msr     tcr_el1, x3
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    mov     x0, x14
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    mov     x\n, xzr
    .endr
    leave

another:
    refuse_secondary {wrong_mpidr}
elsewhere:
    refuse_secondary {wrong_level}
short_addresses:
    refuse_secondary {physical_size}
no_small_granule:
    refuse_secondary {granule}
refused:
    bl      tell
stay:
    wfe
    b       stay

    // Writes state w9 into the record's status, whose other words were stored before; no line that was fetched meanwhile
    // may shadow it. Clobbers x10.
tell:
    dsb     sy
    str     w9, [x19, #{state}]
    dsb     sy
    add     x10, x19, #{state}
    dc      civac, x10
    add     x10, x10, #16               // no line is smaller
    dc      civac, x10
    dsb     sy
    ret

    .ltorg
    "#,
    resident = sym RESIDENT,
    defaults = const offset_of!(Resident, defaults),
    arrival = const offset_of!(Resident, level),
    identity = const offset_of!(Resident, identity),
    root_high = const offset_of!(Start, phys_root_high),
    root_low = const offset_of!(Start, phys_root_low),
    tcr = const offset_of!(Start, tcr),
    mair = const offset_of!(Start, mair),
    sctlr = const offset_of!(Start, sctlr),
    vbar = const offset_of!(Start, vbar),
    tpidr = const offset_of!(Start, tpidr_el1),
    stack_top = const offset_of!(Start, virt_stack_top),
    entry = const offset_of!(Start, virt_entry),
    argument = const offset_of!(Start, argument),
    mpidr = const offset_of!(Start, mpidr),
    state = const STATUS_OFFSET + offset_of!(StartStatus, state),
    level = const STATUS_OFFSET + offset_of!(StartStatus, level),
    midr = const STATUS_OFFSET + offset_of!(StartStatus, midr),
    ticks = const STATUS_OFFSET + offset_of!(StartStatus, ticks),
    arrived = const StartState::ARRIVED.0,
    entered = const StartState::ENTERED.0,
    wrong_mpidr = const StartState::WRONG_MPIDR.0,
    wrong_level = const StartState::WRONG_LEVEL.0,
    physical_size = const StartState::PHYSICAL_SIZE.0,
    granule = const StartState::GRANULE.0,
    e2h_stuck = const EntryFlags::E2H_STUCK,
    spsr_el1h = const pstate::EL1H_MASKED,
    sctlr_off = const SCTLR_OFF,
    tcr_early = const TCR_EARLY,
    cpacr = const registers::CPACR_EL1.value(),
);
