//! The last instructions: out of the loader, into the kernel.

use core::arch::naked_asm;
use core::mem::offset_of;

use shared_abi::contract::pstate;

/// What the jump needs, all of it prepared.
#[derive(Debug)]
pub struct Jump {
    /// Virtual address of `BootInfo`, the kernel's x0.
    pub virt_boot_info: u64,
    /// Virtual address of the kernel's first instruction.
    pub virt_entry: u64,
    /// Virtual address of the boot stack's top.
    pub virt_stack_top: u64,
    /// Physical address of the empty table that TTBR0 is left with.
    pub phys_empty_table: u64,
    /// TCR_EL1 as the contract has it, TTBR0's walks disabled.
    pub tcr: u64,
    /// Virtual address, in the direct map, of the first level 3 entry to clear: what was the loader's until now.
    pub virt_entries: u64,
    /// How many entries to clear after the header page's own, which is entry 0.
    pub entry_count: u64,
    /// Virtual address, in the direct map, of the header page's level 3 entry.
    pub virt_header_entry: u64,
    /// Not 0 to wait in front of the last instruction, for a debugger that goes on behind the wait.
    pub pause: u64,
}

/// Leaves the loader for good.
///
/// # Safety
///
/// Every field is as its documentation says, and the final tables are complete and visible to the walker.
#[unsafe(naked)]
pub unsafe extern "C" fn jump(jump: &Jump) -> ! {
    naked_asm!(
        "ldr x1, [x0, #{entry}]",
        "ldr x2, [x0, #{stack_top}]",
        "ldr x3, [x0, #{empty_table}]",
        "ldr x4, [x0, #{tcr}]",
        "ldr x5, [x0, #{entries}]",
        "ldr x6, [x0, #{entry_count}]",
        "ldr x7, [x0, #{header_entry}]",
        "ldr x30, [x0, #{pause}]",
        "ldr x0, [x0, #{boot_info}]", // from here on no memory of the loader's is read
        "mov sp, x2",
        // TTBR0 to the empty table first, its walks off after: nothing runs or points there any more.
        "msr ttbr0_el1, x3",
        "isb",
        "msr tcr_el1, x4",
        "isb",
        // The pages that nobody needs any more leave the window.
        "str xzr, [x7]",
        "cbz x6, 2f",
        "1: str xzr, [x5], #8",
        "subs x6, x6, #1",
        "b.ne 1b",
        "2: dsb ishst",
        "tlbi vmalle1",
        "dsb nsh",
        "isb",
        // ERET rather than BR: every general register is zero, and it synchronizes the context.
        "msr elr_el1, x1",
        "mov x1, #{spsr}",
        "msr spsr_el1, x1",
        "msr sp_el0, xzr",
        "msr tpidr_el1, xzr",
        "msr tpidr_el0, xzr",
        "msr tpidrro_el0, xzr",
        "mov x1, xzr",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x5, xzr",
        "mov x6, xzr",
        "mov x7, xzr",
        "mov x8, xzr",
        "mov x9, xzr",
        "mov x10, xzr",
        "mov x11, xzr",
        "mov x12, xzr",
        "mov x13, xzr",
        "mov x14, xzr",
        "mov x15, xzr",
        "mov x16, xzr",
        "mov x17, xzr",
        "mov x18, xzr",
        "mov x19, xzr",
        "mov x20, xzr",
        "mov x21, xzr",
        "mov x22, xzr",
        "mov x23, xzr",
        "mov x24, xzr",
        "mov x25, xzr",
        "mov x26, xzr",
        "mov x27, xzr",
        "mov x28, xzr",
        "mov x29, xzr",
        "cbz x30, 4f",
        // The image's only branch to itself with an ERET behind it: that is how a debugger knows the place.
        "mov x30, xzr",
        "3: b 3b",
        "4: eret",
        "dsb nsh",
        "isb",
        boot_info = const offset_of!(Jump, virt_boot_info),
        entry = const offset_of!(Jump, virt_entry),
        stack_top = const offset_of!(Jump, virt_stack_top),
        empty_table = const offset_of!(Jump, phys_empty_table),
        tcr = const offset_of!(Jump, tcr),
        entries = const offset_of!(Jump, virt_entries),
        entry_count = const offset_of!(Jump, entry_count),
        header_entry = const offset_of!(Jump, virt_header_entry),
        pause = const offset_of!(Jump, pause),
        spsr = const pstate::EL1H_MASKED,
    )
}
