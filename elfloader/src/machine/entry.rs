//! From the firmware's jump to the first line of Rust: MMU off, no stack, nothing trusted.
//!
//! What holds throughout: every address is PC-relative, so the image may lie anywhere; every register that the
//! code depends on is written, none is inherited; every data access is one naturally aligned store or load of a
//! word or doubleword, because with the MMU off memory is Device; there is no exclusive, no `dc zva` and no
//! FP/SIMD access.
//!
//! ```text
//!   EL3 ──► EL2 ──┐ everything of EL1's opened (controls.rs); a stub stays behind
//!                 ├──► tables: TTBR1 ► the loader's pages, TTBR0 ► the entry page
//!   EL1 ──────────┘    │
//!                      ├── from EL2: EL1's regime written with M = 1, `eret` to Rust's virtual address
//!                      └── from EL1: M = 1 while on the identity-mapped entry page, then `br` there
//! ```
//!
//! The tables are pages of zeros in the image. The boot protocol promises that the image is clean to the point
//! of coherency, so the lines that this code leaves alone read as zeros in cache and memory alike; each line
//! that it writes is cleaned and invalidated before (nothing dirty may land on the new value) and invalidated
//! after (nothing stale may shadow it).
//!
//! An MMU that firmware left on is turned off only after the loader's own lines are cleaned: they are all that
//! is read while it is off. The code must then run where that MMU maps virtual = physical, as the protocols
//! that enter so have it.
//!
//! Registers kept throughout:
//!
//! | x19 | x20–x23 | x24 | x25 | x26 |
//! | --- | --- | --- | --- | --- |
//! | image's physical address | x0–x3 as entered | entry level 1 to 3 | counter at entry | [`EntryFlags`] |

use core::arch::global_asm;

use elfloader::error::EntryError;
use shared_abi::addr::PageSize;
use shared_abi::contract::HANDOFF_WINDOW;
use shared_abi::contract::{pstate, registers};
use shared_abi::rights::Rights;
use shared_abi::verdict::{Ending, PARKED};
use shared_abi::vmsa::{Attributes, Descriptor};

/// Bits of the flags that the entry code hands to [`start`](crate::start).
#[derive(Clone, Copy, Debug)]
pub struct EntryFlags(pub u64);

impl EntryFlags {
    /// Firmware entered with the MMU or the data cache on.
    pub const CACHES_ON: u64 = 1 << 0;
    /// HCR_EL2.E2H reads as one whatever is written.
    pub const E2H_STUCK: u64 = 1 << 1;
    /// Entered at EL3: there is no firmware below, so no PSCI.
    pub const NO_FIRMWARE: u64 = 1 << 2;

    /// Whether `flag` is set.
    pub const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }
}

/// SCTLR with the MMU and caches off, little-endian: only the bits that are RES1 at every level in ARMv8.0.
pub const SCTLR_OFF: u64 = 0x30C5_0830;

/// The entry code's own view of the contract's TCR_EL1: TTBR0 walks are on until the loader has left it.
pub const TCR_EARLY: u64 = registers::TCR_EL1.value() & !registers::TCR_EPD0;

const fn page(rights: Rights) -> u64 {
    Descriptor::leaf_attributes(PageSize::Size4K, Attributes::kernel(rights)).bits()
}

/// The bits of a table descriptor beside the address.
const TABLE: u64 = 3;

global_asm!(
    r#"
    .global HANDOFF_WINDOW_START
    .set HANDOFF_WINDOW_START, {handoff_window}
    .global LOADER_WINDOW_SIZE
    .set LOADER_WINDOW_SIZE, {loader_window}

    .section .text.entry, "ax"

    // Branches if the four-bit field at `shift` of ID register `id` is zero. Clobbers x9.
    .macro unless_feature id, shift, target
    mrs     x9, \id
    ubfx    x9, x9, #\shift, #4
    cbz     x9, \target
    .endm

    // Leaves an MMU or data cache that is on at this level, then writes SCTLR: little-endian from here on. Until then no
    // data is read, literals included: the words might come with their bytes swapped.
    .macro leave_mmu sctlr
    mrs     x8, \sctlr
    tst     x8, #(1 << 0)
    b.ne    8f
    tbz     x8, #2, 9f
8:  orr     x26, x26, #{caches_on}
    bl      clean_loader
9:  mov     x8, #({sctlr_off} & 0xFFFF)
    movk    x8, #({sctlr_off} >> 16), lsl #16
    isb                                 // Falkor's erratum 1041 wants it before M = 0
    msr     \sctlr, x8
    isb
    .endm

    // Parks this CPU with the number `code`; the words that make x1 are moved, since data may be big-endian still.
    .macro park code
    mov     x0, #\code
    mov     x1, #({parked} & 0xFFFF)
    movk    x1, #({parked} >> 16 & 0xFFFF), lsl #16
    movk    x1, #({parked} >> 32 & 0xFFFF), lsl #32
    movk    x1, #({parked} >> 48), lsl #48
7:  wfe
    b       7b
    .endm

    // ERET, and nothing behind it even in speculation.
    .macro leave
    eret
    dsb     nsh
    isb
    .endm

    // From here on an exception of this level leads to vectors that can say something.
    .macro catch vectors, vbar
    adrp    x8, \vectors
    add     x8, x8, :lo12:\vectors
    msr     \vbar, x8
    isb
    .endm

    // EL1's translation regime, SCTLR with M = 1 last; the names are those of el1, or el12 where E2H redirects the former.
    // The vectors, which are where the MMU maps them, come right before that.
    .macro set_regime sctlr, tcr, mair, amair, ttbr0, ttbr1, vbar, cpacr, contextidr, cntkctl
    ldr     x8, ={mair}
    msr     \mair, x8
    msr     \amair, xzr
    mrs     x9, id_aa64mmfr0_el1
    and     x10, x9, #0xF               // PARange, at most 48 bits: wider needs LPA2
    mov     x11, #5
    cmp     x10, x11
    csel    x10, x10, x11, ls
    ldr     x8, ={tcr}
    bfi     x8, x10, #32, #3
    msr     \tcr, x8
    adrp    x8, IDENTITY_TABLES
    msr     \ttbr0, x8
    adrp    x8, tables_start
    msr     \ttbr1, x8
    ldr     x8, ={cpacr}
    msr     \cpacr, x8
    msr     \contextidr, xzr
    msr     \cntkctl, xzr
    ldr     x8, =fault_vectors
    ldr     x9, ={sctlr_el1}
    isb
    msr     \vbar, x8
    msr     \sctlr, x9
    isb
    .endm

    .global entry
entry:
    msr     daifset, #0xF
    mov     x20, x0
    mov     x21, x1
    mov     x22, x2
    mov     x23, x3
    adrp    x19, loader_base
    mov     x26, #0
    mrs     x24, CurrentEL
    lsr     x24, x24, #2
    cmp     x24, #2
    b.eq    from_el2
    b.hi    from_el3

from_el1:
    catch   el2_vectors, vbar_el1
    mrs     x25, cntvct_el0
    leave_mmu sctlr_el1
    bl      turn_extensions_off
    bl      map_loader
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     spsel, #1
    ldr     x8, =stack_top
    mov     sp, x8
    ldr     x27, =start
    set_regime sctlr_el1, tcr_el1, mair_el1, amair_el1, ttbr0_el1, ttbr1_el1, vbar_el1, cpacr_el1, contextidr_el1, cntkctl_el1
    b       hand_over                   // M = 1: this page is mapped where it lies

from_el2:
    catch   el2_vectors, vbar_el2
    leave_mmu sctlr_el2
    bl      open_el2                    // controls.rs; leaves E2H as x26 says
    mrs     x9, midr_el1
    msr     vpidr_el2, x9
    mrs     x9, mpidr_el1
    msr     vmpidr_el2, x9
    mrs     x25, cntvct_el0             // its offset is zero by now
    bl      map_loader
    ldr     x8, =stack_top
    msr     sp_el1, x8
    ldr     x8, =start
    msr     elr_el2, x8
    mov     x8, #{spsr_el1h}
    msr     spsr_el2, x8
    tlbi    alle1
    ic      iallu
    dsb     nsh
    isb
    mov     x27, #0                     // by eret
    tst     x26, #{e2h_stuck}
    b.ne    1f
    set_regime sctlr_el1, tcr_el1, mair_el1, amair_el1, ttbr0_el1, ttbr1_el1, vbar_el1, cpacr_el1, contextidr_el1, cntkctl_el1
    b       hand_over
    // The same registers under their _EL12 names (FEAT_VHE), spelled by encoding.
1:  set_regime S3_5_C1_C0_0, S3_5_C2_C0_2, S3_5_C10_C2_0, S3_5_C10_C3_0, S3_5_C2_C0_0, S3_5_C2_C0_1, S3_5_C12_C0_0, S3_5_C1_C0_2, S3_5_C13_C0_1, S3_5_C14_C1_0

hand_over:
    mov     x0, x20
    mov     x1, x21
    mov     x2, x22
    mov     x3, x23
    mov     x4, x19
    mov     x5, x24
    mov     x6, x25
    mov     x7, x26
    mov     x29, xzr                    // where a backtrace ends
    mov     x30, xzr
    cbz     x27, 3f
    br      x27
3:  leave

    // At EL1: what is newer than the regime that is set, off. Clobbers x9.
turn_extensions_off:
    unless_feature S3_0_C0_C7_3, 0, 1f  // TCR2_EL1, with it permission indirection and overlays
    msr     S3_0_C2_C0_3, xzr
1:  unless_feature S3_0_C0_C7_3, 4, 1f  // SCTLR2_EL1
    msr     S3_0_C1_C0_3, xzr
1:  cmp     x24, #1                     // guarded control stacks; after a higher level they are closed, which is off as well
    b.ne    1f
    unless_feature id_aa64pfr1_el1, 44, 1f
    msr     S3_0_C2_C5_0, xzr           // GCSCR_EL1
    msr     S3_0_C2_C5_2, xzr           // GCSCRE0_EL1
1:  ret

    // TTBR1: the loader's pages with their rights; TTBR0: the entry page, executable, where it lies.
    // Clobbers x8–x18.
map_loader:
    mrs     x10, id_aa64mmfr0_el1
    ubfx    x10, x10, #28, #4
    cmp     x10, #0xF                   // TGran4
    b.eq    no_granule
    mov     x18, x30
    adrp    x8, tables_start            // TTBR1: levels 0 to 3 on four pages
    mov     x9, #{root_index}
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10
    mov     x9, #{l1_index}
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10
    mov     x9, #{l2_index}
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10                     // level 3: one entry a page of the loader
    mov     x9, #0
    ldr     x12, ={page_r}              // header page
    adrp    x13, text_start
    bl      store_pages
    ldr     x12, ={page_rx}
    adrp    x13, text_end
    bl      store_pages
    ldr     x12, ={page_r}
    adrp    x13, rodata_end
    bl      store_pages
    ldr     x12, ={page_rw}             // data and tables
    adrp    x13, tables_end
    bl      store_pages
    add     x9, x9, #1                  // the guard
    ldr     x12, ={page_rw}
    adrp    x13, loader_end
    bl      store_pages
    adrp    x8, IDENTITY_TABLES           // TTBR0: levels 0 to 3 on four pages
    adr     x12, entry
    ubfx    x9, x12, #39, #9
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10
    ubfx    x9, x12, #30, #9
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10
    ubfx    x9, x12, #21, #9
    add     x10, x8, #0x1000
    orr     x11, x10, #{table}
    bl      store_entry
    mov     x8, x10
    ubfx    x9, x12, #12, #9
    ldr     x11, ={page_rx}
    orr     x11, x11, x12
    bl      store_entry
    dsb     sy                          // stores and maintenance are complete before a walk may start
    ret     x18

no_granule:
    park    {granule}

    // Stores descriptor x11 as entry x9 of the table at x8. Clobbers x14.
store_entry:
    add     x14, x8, x9, lsl #3
    dc      civac, x14
    dsb     sy
    str     x11, [x14]
    dsb     sy
    dc      civac, x14
    ret

    // Stores page entries from x9 on, attributes x12, for the image's pages up to physical x13, into the
    // table at x8, line by line. Advances x9. Clobbers x11, x14–x17.
store_pages:
    sub     x13, x13, x19
    lsr     x13, x13, #12               // the first entry past the run
    add     x14, x8, x9, lsl #3
    add     x15, x8, x13, lsl #3
    mov     x16, x14
1:  dc      civac, x16                  // 16-byte steps: no line is smaller
    add     x16, x16, #16
    cmp     x16, x15
    b.lo    1b
    dsb     sy
    add     x11, x19, x9, lsl #12
    orr     x11, x11, x12
2:  str     x11, [x14], #8
    add     x11, x11, #0x1000
    cmp     x14, x15
    b.lo    2b
    dsb     sy
    add     x16, x8, x9, lsl #3
3:  dc      civac, x16
    add     x16, x16, #16
    cmp     x16, x15
    b.lo    3b
    // A run whose length is not a multiple of the step ends in the line of its last entry.
    sub     x16, x15, #8
    dc      civac, x16
    mov     x9, x13
    ret

    // Cleans and invalidates the loader, header page included, to the point of coherency, and has it fetched from there.
    // Clobbers x9–x12.
clean_loader:
    mrs     x9, ctr_el0
    ubfx    x9, x9, #16, #4             // DminLine: log2 of words
    mov     x10, #4
    lsl     x10, x10, x9
    sub     x11, x10, #1
    bic     x9, x19, x11
    adrp    x12, loader_end
1:  dc      civac, x9
    add     x9, x9, x10
    cmp     x9, x12
    b.lo    1b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    ret

    .ltorg
    "#,
    handoff_window = const HANDOFF_WINDOW.start().get(),
    loader_window = const elfloader::layout::LOADER.len(),
    root_index = const HANDOFF_WINDOW.start().table_index(0),
    l1_index = const HANDOFF_WINDOW.start().table_index(1),
    l2_index = const HANDOFF_WINDOW.start().table_index(2),
    sctlr_off = const SCTLR_OFF,
    sctlr_el1 = const registers::SCTLR_EL1.value(),
    mair = const registers::MAIR_EL1.value(),
    tcr = const TCR_EARLY,
    cpacr = const registers::CPACR_EL1.value(),
    page_r = const page(Rights::ReadOnly),
    page_rx = const page(Rights::ReadExecute),
    page_rw = const page(Rights::ReadWrite),
    table = const TABLE,
    spsr_el1h = const pstate::EL1H_MASKED,
    caches_on = const EntryFlags::CACHES_ON,
    e2h_stuck = const EntryFlags::E2H_STUCK,
    parked = const PARKED | Ending::Refused.exit_subcode(),
    granule = const EntryError::NO_GRANULE,
);
