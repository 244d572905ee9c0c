//! The loader's exception vectors: they serve the loader, then the kernel until it installs its own.
//!
//! Every exception ends the machine, so the interrupted stack is neither needed nor trusted: each vector moves to
//! the reporter's own stack, a page below which nothing can be written. The registers that hold the first values on
//! the way are the EL0 thread pointers, which nobody reads after a fault here.

use core::arch::global_asm;

/// The registers at an exception, as the vectors store them.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub general: [u64; 31],
    /// The stack pointer that was in use.
    pub stack_pointer: u64,
    /// ELR_EL1.
    pub return_address: u64,
    /// SPSR_EL1.
    pub saved_state: u64,
    /// ESR_EL1.
    pub syndrome: u64,
    /// FAR_EL1.
    pub fault_address: u64,
    /// Which of the sixteen vectors, 0 to 15.
    pub vector: u64,
    _alignment: u64,
}

const _: () = assert!(size_of::<Frame>().is_multiple_of(16));

global_asm!(
    r#"
    .section .text.vectors, "ax"
    .balign 0x800
    .global fault_vectors
fault_vectors:
    .set    vector, 0
    .rept   16
    .balign 0x80
    msr     tpidr_el0, x0
    mov     x0, #vector
    b       save_frame
    .set    vector, vector + 1
    .endr
    .balign 0x80

save_frame:
    msr     tpidrro_el0, x1
    adrp    x1, fault_stack_top
    sub     x1, x1, #{frame_size}
    str     x0, [x1, #{vector}]
    mrs     x0, tpidr_el0
    str     x2, [x1, #16]
    mrs     x2, tpidrro_el0
    stp     x0, x2, [x1]
    str     x3, [x1, #24]
    stp     x4, x5, [x1, #32]
    stp     x6, x7, [x1, #48]
    stp     x8, x9, [x1, #64]
    stp     x10, x11, [x1, #80]
    stp     x12, x13, [x1, #96]
    stp     x14, x15, [x1, #112]
    stp     x16, x17, [x1, #128]
    stp     x18, x19, [x1, #144]
    stp     x20, x21, [x1, #160]
    stp     x22, x23, [x1, #176]
    stp     x24, x25, [x1, #192]
    stp     x26, x27, [x1, #208]
    stp     x28, x29, [x1, #224]
    str     x30, [x1, #240]
    mov     x0, sp
    mrs     x2, spsr_el1
    tst     x2, #1                  // M[0], the stack pointer in use: 0 is SP_EL0
    b.ne    1f
    mrs     x0, sp_el0
1:  mrs     x3, elr_el1
    stp     x0, x3, [x1, #{stack_pointer}]
    mrs     x3, esr_el1
    stp     x2, x3, [x1, #{saved_state}]
    mrs     x2, far_el1
    str     x2, [x1, #{fault_address}]
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x1
    b       {report}
    "#,
    frame_size = const size_of::<Frame>(),
    vector = const core::mem::offset_of!(Frame, vector),
    stack_pointer = const core::mem::offset_of!(Frame, stack_pointer),
    saved_state = const core::mem::offset_of!(Frame, saved_state),
    fault_address = const core::mem::offset_of!(Frame, fault_address),
    report = sym super::report::report_fault,
);
