//! The kernel's exception vectors: all sixteen, on a stack of their own, with the whole register frame.
//!
//! A fault may be that the stack is gone, so the frame goes to the vectors' own stack. What holds the first two
//! registers on the way is TPIDR_EL1 and TPIDRRO_EL0, which this kernel uses for nothing else. The dispatcher
//! decides: either the frame is restored and execution resumes, or the fault is reported and the machine ends.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{VBAR_EL1, Writeable};
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::boot_info::BootInfo;
use shared_abi::verdict::Ending;

use super::ending;
use super::memory::MappedWords;
use crate::faults::{Dispatcher, FaultFrame, FaultHook, FaultReport, Interest, Outcome, RegionMap, Symbols};
use crate::{print, println};

const FAULT_STACK: usize = 16384;

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; FAULT_STACK]>);

// SAFETY: only the vectors use it, on the one CPU whose vectors these are.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; FAULT_STACK]));

/// What the handler knows. Set up before the vectors are installed; hooks are added while no fault is handled.
struct Handler {
    dispatcher: Dispatcher<'static>,
    regions: RegionMap,
    symbols: Symbols<'static>,
}

struct Single(UnsafeCell<Handler>);

// SAFETY: one CPU runs; the handler only reads what was set before.
unsafe impl Sync for Single {}

static HANDLER: Single = Single(UnsafeCell::new(Handler {
    dispatcher: Dispatcher::new(),
    regions: RegionMap::new(),
    symbols: Symbols::none(),
}));

unsafe extern "C" {
    static kernel_vectors: u8;
}

/// Installs the vectors. Until then the loader's report faults.
pub fn install(info: &BootInfo<'static>) {
    // SAFETY: no fault is being handled, and nobody else holds the handler.
    let handler = unsafe { &mut *HANDLER.0.get() };
    handler.regions = RegionMap::of_boot(info);
    let stack = STACK.0.get() as u64;
    if let Some(range) = VirtRange::from_bounds(stack, stack + FAULT_STACK as u64) {
        handler.regions.add_stack("fault stack", range);
    }
    if let Some(bytes) = symbol_bytes(info) {
        handler.symbols = Symbols::open(bytes, info.kernel().slide);
    }
    VBAR_EL1.set(&raw const kernel_vectors as u64);
    barrier::isb(barrier::SY);
}

fn symbol_bytes(info: &BootInfo<'static>) -> Option<&'static [u8]> {
    let symbols = info.symbols()?;
    let phys = shared_abi::addr::PhysAddr::new(symbols.phys_start)?;
    let start: VirtAddr = info.direct_map().virt(phys)?;
    // SAFETY: the contract maps the packed symbol table in the direct map, and this kernel never frees its pages.
    Some(unsafe { core::slice::from_raw_parts(start.get() as *const u8, symbols.length as usize) })
}

/// Adds a hook that may resolve faults; `false` if there is no room.
pub fn add_hook(interest: Interest, hook: &'static dyn FaultHook) -> bool {
    // SAFETY: as in `install`.
    unsafe { &mut *HANDLER.0.get() }.dispatcher.add(interest, hook)
}

/// From here on, code has no names in reports: the symbol table's memory is given up.
pub fn forget_symbols() {
    // SAFETY: as in `install`.
    unsafe { &mut *HANDLER.0.get() }.symbols = Symbols::none();
}

/// Names a range in reports; `false` if there is no room.
pub fn name_region(name: &'static str, range: VirtRange) -> bool {
    // SAFETY: as in `install`.
    unsafe { &mut *HANDLER.0.get() }.regions.add(name, range)
}

extern "C" fn handle(frame: &mut FaultFrame) {
    // SAFETY: see `Single`: shared, and nobody writes while a fault is handled.
    let handler = unsafe { &*HANDLER.0.get() };
    match handler.dispatcher.dispatch(frame) {
        Outcome::Resume => {}
        Outcome::Nested => {
            println!(
                "\nkernel fault while a fault was handled: ESR {:#x} at {:#x}",
                frame.syndrome, frame.return_address
            );
            ending::end(Ending::KernelFault)
        }
        Outcome::Report(reason) => {
            let (regions, symbols) = (&handler.regions, handler.symbols);
            print!("\n{}", FaultReport { frame, reason, regions, symbols, memory: &MappedWords });
            ending::end(Ending::KernelFault)
        }
    }
}

global_asm!(
    r#"
    .section .text.vectors, "ax"
    .balign 0x800
    .global kernel_vectors
kernel_vectors:
    .set    vector, 0
    .rept   16
    .balign 0x80
    msr     tpidr_el1, x0
    mov     x0, #vector
    b       save_frame
    .set    vector, vector + 1
    .endr
    .balign 0x80

save_frame:
    msr     tpidrro_el0, x1
    // A fault in the handler itself starts below what the first one has stored.
    adrp    x1, {stack}
    add     x1, x1, :lo12:{stack}
    str     x2, [x1]                    // the stack's lowest words are scratch
    add     x1, x1, #{half}
    mov     x2, sp
    sub     x2, x2, x1
    cmp     x2, #{half}                 // 0 to half: SP is on the upper half of this stack
    add     x2, x1, #{half}
    csel    x1, x1, x2, ls
    sub     x1, x1, #{frame_size}
    str     x0, [x1, #{vector}]
    adrp    x0, {stack}
    add     x0, x0, :lo12:{stack}
    ldr     x2, [x0]
    mrs     x0, tpidr_el1
    stp     x2, x3, [x1, #16]
    mrs     x2, tpidrro_el0
    stp     x0, x2, [x1]
    msr     tpidr_el1, xzr
    msr     tpidrro_el0, xzr
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
    mov     x20, sp                     // SP_EL1 as it was
    mrs     x2, spsr_el1
    mov     x0, x20
    tst     x2, #1                      // M[0]: 0 is SP_EL0
    b.ne    1f
    mrs     x0, sp_el0
1:  mrs     x3, elr_el1
    stp     x0, x3, [x1, #{stack_pointer}]
    mrs     x3, esr_el1
    stp     x2, x3, [x1, #{saved_state}]
    mrs     x2, far_el1
    str     x2, [x1, #{fault_address}]
    mov     sp, x1
    mov     x19, x1
    mov     x0, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      {handle}

    // Resume: the frame as the handler left it.
    ldp     x0, x1, [x19, #{stack_pointer}]
    ldr     x2, [x19, #{saved_state}]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    tst     x2, #1
    b.ne    2f
    msr     sp_el0, x0
    mov     x0, x20                     // SP_EL1 goes back to what it was
2:  mov     sp, x0
    ldp     x4, x5, [x19, #32]
    ldp     x6, x7, [x19, #48]
    ldp     x8, x9, [x19, #64]
    ldp     x10, x11, [x19, #80]
    ldp     x12, x13, [x19, #96]
    ldp     x14, x15, [x19, #112]
    ldp     x16, x17, [x19, #128]
    ldp     x22, x23, [x19, #176]
    ldp     x24, x25, [x19, #192]
    ldp     x26, x27, [x19, #208]
    ldp     x28, x29, [x19, #224]
    ldr     x30, [x19, #240]
    ldp     x20, x21, [x19, #160]
    ldp     x0, x1, [x19]
    ldp     x2, x3, [x19, #16]
    ldp     x18, x19, [x19, #144]
    eret
    "#,
    stack = sym STACK,
    half = const FAULT_STACK / 2,
    frame_size = const size_of::<FaultFrame>(),
    vector = const offset_of!(FaultFrame, vector),
    stack_pointer = const offset_of!(FaultFrame, stack_pointer),
    saved_state = const offset_of!(FaultFrame, saved_state),
    fault_address = const offset_of!(FaultFrame, fault_address),
    handle = sym handle,
);
