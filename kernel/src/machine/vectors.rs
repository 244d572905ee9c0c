//! The kernel's exception vectors: all sixteen, on a stack of their own, with the whole register frame.
//!
//! TPIDR_EL1 and TPIDRRO_EL0, which the vectors use, are used for nothing else by this kernel. The dispatcher decides: either the frame is restored and execution resumes, or the fault is reported and the machine ends.

use core::cell::UnsafeCell;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{VBAR_EL1, Writeable};
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::boot_info::BootInfo;
use shared_abi::verdict::Ending;

use super::ending;
use super::memory::MappedWords;
use crate::faults::{
    Dispatcher, ExceptionFrame, FaultHook, FaultReport, Interest, Outcome, RegionMap, Symbols,
};
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

extern "C" fn handle(frame: &mut ExceptionFrame) {
    // SAFETY: see `Single`: shared, and nobody writes while a fault is handled.
    let handler = unsafe { &*HANDLER.0.get() };
    match handler.dispatcher.dispatch(frame) {
        Outcome::Resume => {}
        Outcome::Nested => {
            println!("\nkernel fault while a fault was handled: ESR {:#x} at {:#x}", frame.esr, frame.elr);
            ending::end(Ending::KernelFault)
        }
        Outcome::Report(reason) => {
            let (regions, symbols) = (&handler.regions, handler.symbols);
            print!("\n{}", FaultReport { frame, reason, regions, symbols, memory: &MappedWords });
            ending::end(Ending::KernelFault)
        }
    }
}

handoff_bare::exception_vectors! {
    table: "kernel_vectors",
    stack: STACK,
    size: FAULT_STACK,
    nested: FAULT_STACK / 2,
    resume: handle,
}
