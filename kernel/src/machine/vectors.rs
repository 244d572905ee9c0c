//! The kernel's exception vectors: all sixteen, on a stack of their own, with the whole register frame.
//!
//! TPIDR_EL1 is each CPU's block, in which that stack is ([`cpu`]); TPIDRRO_EL0, which the vectors use, is used for nothing
//! else by this kernel. The dispatcher decides: either the frame is restored and execution resumes, or the fault is reported and the machine ends.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ReadWriteable, SCTLR_EL1, VBAR_EL1, Writeable};
use handoff_bare::backtrace::MappedWords;
use handoff_bare::cell::BorrowCell;
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::entry::Handoff;
use shared_abi::verdict::Ending;

use super::{console, cpu, ending};
use crate::faults::{
    Dispatcher, ExceptionFrame, FaultHook, FaultReport, Interest, Outcome, RegionMap, Symbols,
};
use crate::{print, println};

/// What the handler knows.
struct Handler {
    dispatcher: Dispatcher<'static>,
    regions: RegionMap,
    symbols: Symbols<'static>,
}

/// Shared while a fault is handled; changed in between.
static HANDLER: BorrowCell<Option<Handler>> = BorrowCell::new(None);

unsafe extern "C" {
    static kernel_vectors: u8;
}

/// Installs the vectors. Until then the loader's report faults.
///
/// # Panics
///
/// The second time.
pub fn install(handoff: &Handoff) {
    let mut regions = RegionMap::of_boot(handoff);
    if let Some(range) = cpu::start() {
        regions.add_stack("fault stack", range);
    }
    let symbols =
        symbol_bytes(handoff).map_or(Symbols::none(), |bytes| Symbols::open(bytes, handoff.kernel().slide));
    let mut place =
        HANDLER.try_borrow_mut().filter(|place| place.is_none()).expect("vectors are installed once");
    *place = Some(Handler { dispatcher: Dispatcher::new(), regions, symbols });
    VBAR_EL1.set(table());
    barrier::isb(barrier::SY);
}

/// Where the vectors are.
pub(super) fn table() -> u64 {
    &raw const kernel_vectors as u64
}

fn symbol_bytes(info: &Handoff) -> Option<&'static [u8]> {
    let symbols = info.symbols()?;
    let phys = shared_abi::addr::PhysAddr::new(symbols.phys_start)?;
    let start: VirtAddr = info.direct_map().virt(phys)?;
    // SAFETY: the contract maps the packed symbol table in the direct map, and this kernel never frees its pages.
    Some(unsafe { core::slice::from_raw_parts(start.get() as *const u8, symbols.length as usize) })
}

/// Changes what the handler knows; `None` before the vectors are installed, and while a fault is handled.
fn change<T>(change: impl FnOnce(&mut Handler) -> T) -> Option<T> {
    HANDLER.try_borrow_mut()?.as_mut().map(change)
}

/// Adds a hook that may resolve faults; `false` if there is no room, no vectors are installed, or a fault is handled.
pub fn add_hook(interest: Interest, hook: &'static dyn FaultHook) -> bool {
    change(|handler| handler.dispatcher.add(interest, hook)).unwrap_or(false)
}

/// From here on, code has no names in reports: the symbol table's memory is given up. `false` while a fault is handled,
/// which may be using it.
pub(super) fn forget_symbols() -> bool {
    match HANDLER.try_borrow_mut() {
        Some(mut place) => {
            if let Some(handler) = &mut *place {
                handler.symbols = Symbols::none();
            }
            true
        }
        None => false,
    }
}

/// Names a range in reports; `false` as for [`add_hook`].
pub fn name_region(name: &'static str, range: VirtRange) -> bool {
    change(|handler| handler.regions.add(name, range)).unwrap_or(false)
}

extern "C" fn handle(frame: &mut ExceptionFrame) {
    let shared = HANDLER.try_borrow();
    let handler = shared.as_deref().and_then(Option::as_ref);
    let outcome = handler.map_or(Outcome::Nested, |handler| handler.dispatcher.dispatch(frame));
    if outcome == Outcome::Resume {
        return;
    }
    // The kernel may have its accesses checked; the report's are not all aligned.
    SCTLR_EL1.modify(SCTLR_EL1::A::Disable);
    barrier::isb(barrier::SY);
    // SAFETY: what this fault interrupted is not resumed.
    unsafe { console::keep() };
    match (outcome, handler) {
        (Outcome::Report(reason), Some(handler)) => {
            let (regions, symbols) = (&handler.regions, handler.symbols);
            let who = if frame.is_from_user() { "user" } else { "kernel" };
            print!(
                "\n{who} fault: {}",
                FaultReport { frame, reason, regions, symbols, memory: &MappedWords }
            );
        }
        _ => println!("\nkernel fault while a fault was handled: ESR {:#x} at {:#x}", frame.esr, frame.elr),
    }
    print!("{}", cpu::Place);
    ending::end(Ending::KernelFault)
}

handoff_bare::exception_vectors! {
    table: "kernel_vectors",
    stack: per_cpu,
    size: cpu::BLOCK,
    nested: cpu::BLOCK / 2,
    resume: handle,
}
