//! The fault reporter: stays resident, so that a kernel that faults before it has vectors of its own is heard.
//!
//! It says what happened, where, in which region and function, and who called, and ends the machine. Its promise holds
//! while VBAR_EL1 and TTBR1_EL1 are as handed over: it needs the loader's pages, the console's page and, for
//! symbols, the direct map.

use core::fmt::Write as _;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};

use aarch64_cpu::registers::{ReadWriteable, SCTLR_EL1};
use handoff_bare::backtrace::{MappedWords, Symbols};
use handoff_bare::barrier;
use handoff_bare::cell::{BorrowCell, Exclusive};
use handoff_bare::exception::ExceptionFrame;
use handoff_bare::region::RegionMap;
use handoff_bare::report::{FaultReport, Reason};
use shared_abi::image::header::LogLevel;
use shared_abi::verdict::Ending;

use super::ending::MEANS;
use super::log::{LOG, Log};
use super::stages::TIMELINE;

/// What the reporter knows of the moment.
pub struct Situation {
    /// Whether the kernel runs.
    pub in_kernel: bool,
    /// Names for addresses.
    pub regions: RegionMap,
    symbols: Option<Table>,
}

/// A symbol table by its virtual address, and what to take off an address before it is looked up there.
#[derive(Clone, Copy)]
struct Table {
    virt_start: u64,
    length: usize,
    slide: u64,
}

static SITUATION: BorrowCell<Situation> =
    BorrowCell::new(Situation { in_kernel: false, regions: RegionMap::new(), symbols: None });

/// The situation, to be kept up to date by the loader, for one statement.
///
/// # Panics
///
/// If the statement asks for it twice.
#[inline(never)]
pub fn situation() -> Exclusive<'static, Situation> {
    SITUATION.try_borrow_mut().expect("the situation is in use")
}

impl Situation {
    /// From here on, code is named by the symbol table of `length` bytes at `start`, after `slide` is taken off.
    ///
    /// # Safety
    ///
    /// The table stays mapped. Its contents may change: a damaged table gives wrong names or none.
    pub unsafe fn name_code(&mut self, start: u64, length: u64, slide: u64) {
        self.symbols = Some(Table { virt_start: start, length: length as usize, slide });
    }

    /// From here on, code has no names.
    pub fn forget_code(&mut self) {
        self.symbols = None;
    }

    fn symbols(&self) -> Symbols<'_> {
        let Some(table) = self.symbols else { return Symbols::none() };
        // SAFETY: `name_code`'s caller vouches for the mapping, and nobody writes while the one CPU reports.
        let bytes = unsafe { core::slice::from_raw_parts(table.virt_start as *const u8, table.length) };
        Symbols::open(bytes, table.slide)
    }
}

/// A fault while another is reported is most likely the console's: it is said once more without one. A third ends the
/// machine at once.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Where every vector leads.
pub extern "C" fn report_fault(frame: &ExceptionFrame) -> ! {
    // The kernel may have its accesses checked; the loader's are not all aligned.
    SCTLR_EL1.modify(SCTLR_EL1::A::Disable);
    barrier::isb(barrier::SY);
    // SAFETY: one CPU runs the loader, and the kernel's others have no vectors that lead here; what this exception
    // interrupted, another report included, is never resumed.
    let (situation, log, timeline) = unsafe { (SITUATION.seize(), LOG.seize(), TIMELINE.seize()) };
    let ending = if situation.in_kernel { Ending::KernelFault } else { Ending::LoaderFault };
    // A load and a store, no exclusives: the fault may be that memory is not what it should be.
    if REPORTING.load(Ordering::Relaxed) && !log.lose_console() {
        MEANS.end(ending, 0);
    }
    REPORTING.store(true, Ordering::Relaxed);
    describe(frame, situation, timeline.current(), log);
    log.say_without_console();
    MEANS.end(ending, 0)
}

fn describe(frame: &ExceptionFrame, situation: &Situation, stage: &str, log: &mut Log) {
    log.line(LogLevel::Quiet).mark();
    if situation.in_kernel {
        log.text("\nkernel fault, reported by the loader: ");
    } else {
        log.text("\nloader fault while it was to ").text(stage).text(": ");
    }
    let report = FaultReport {
        frame,
        reason: Reason::Unresolved,
        regions: &situation.regions,
        symbols: situation.symbols(),
        memory: &MappedWords,
    };
    // The log takes every byte; there is no error to act on.
    let _ = write!(log, "{report}");
}

/// A broken invariant of the loader's own: said like a fault, by its place. The message is left out, and with it
/// everything that could format one: a tenth of the loader's code.
pub fn report_panic(place: Option<&Location<'_>>) -> ! {
    // SAFETY: one CPU runs the loader, and what panicked is never resumed.
    let (log, timeline) = unsafe { (LOG.seize(), TIMELINE.seize()) };
    log.line(LogLevel::Quiet).mark();
    log.text("\nloader fault while it was to ").text(timeline.current());
    if let Some(place) = place {
        log.text(": panic at ").text(place.file()).text(":").number(place.line().into());
    }
    log.end();
    log.say_without_console();
    MEANS.end(Ending::LoaderFault, 0)
}
