//! A fault in words: everything that is known, in the order in which one asks.

use core::fmt;

use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::symbols::Symbol;
use shared_abi::syndrome::Syndrome;

use crate::backtrace::{Backtrace, StackMemory, Step, Symbols};
use crate::exception::ExceptionFrame;
use crate::region::RegionMap;

/// Why a fault is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No hook was interested, or none resolved it.
    Unresolved,
    /// A hook was to resolve it and says why it could not.
    Failed(&'static str),
    /// Hooks resolved it again and again, and it came back each time.
    Repeated,
}

/// What a report is made of. Its `Display` is the report, many lines, the last ended; whose fault it is, is for the
/// caller to write before it.
#[derive(Clone, Copy)]
pub struct FaultReport<'a> {
    /// The registers.
    pub frame: &'a ExceptionFrame,
    /// Why it is reported.
    pub reason: Reason,
    /// Names for addresses.
    pub regions: &'a RegionMap,
    /// Names for code.
    pub symbols: Symbols<'a>,
    /// How the stack is read.
    pub memory: &'a dyn StackMemory,
}

impl FaultReport<'_> {
    /// The stack that a backtrace reads: the one that the frame pointer is in. The stack pointer would not do: if
    /// the stack overflowed, it is in the guard. No stack there, no backtrace beyond x30.
    fn stack(&self) -> VirtRange {
        let holds = |range: &VirtRange| {
            VirtAddr::new(self.frame.frame_pointer()).is_some_and(|at| range.contains(at))
        };
        self.regions.stacks().map(|stack| stack.range).find(holds).unwrap_or(VirtRange::EMPTY)
    }

    /// A line for an address, and what lies there.
    #[inline(never)] // for size
    fn line(f: &mut fmt::Formatter<'_>, what: &str, address: u64, is: &dyn fmt::Display) -> fmt::Result {
        writeln!(f, "  {what:<8}{address:#018x}  {is}")
    }

    /// A line for code: its function, else its region.
    #[inline(never)] // for size
    fn code(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        address: u64,
        found: Option<Symbol<'_>>,
    ) -> fmt::Result {
        match found {
            Some(symbol) => Self::line(f, what, address, &symbol),
            None => Self::line(f, what, address, &self.regions.place_of(address)),
        }
    }
}

impl fmt::Display for FaultReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.frame.fault();
        writeln!(f, "{fault}")?;
        if fault.syndrome.is_some_and(Syndrome::is_refusal) {
            writeln!(f, "  the kernel refused its BootInfo: error E{:04}", self.frame.general[0])?;
        }
        match self.reason {
            Reason::Unresolved => {}
            Reason::Failed(why) => writeln!(f, "  it could not be resolved: {why}")?,
            Reason::Repeated => f.write_str("  it was resolved again and again, and came back\n")?,
        }
        self.code(f, "at", fault.at, self.symbols.find(fault.at))?;
        if let Some(address) = fault.address {
            self.code(f, "address", address, None)?;
        }
        Self::line(f, "stack", self.frame.sp, &self.regions.place_of_stack(self.frame.sp))?;
        match fault.vector {
            Some(vector) => write!(f, "  {vector}")?,
            None => write!(f, "  vector {:#x}, which is none", self.frame.vector)?,
        }
        writeln!(f, "; ESR {:#x}, SPSR {:#x}", self.frame.esr, self.frame.spsr)?;
        write!(f, "{}", self.frame)?;
        if fault.from_user {
            return Ok(());
        }
        for step in Backtrace::of(self.frame, self.stack(), self.memory).skip(1) {
            let (what, address) = match step {
                Step::Link(address) => ("(x30)", address),
                Step::At(address) | Step::Return(address) => ("from", address),
                Step::Broken(address) => {
                    return writeln!(f, "  the chain of frames breaks at {address:#018x}");
                }
                Step::Cut => return f.write_str("  and more\n"),
            };
            self.code(f, what, address, self.symbols.find_return(address))?;
        }
        Ok(())
    }
}
