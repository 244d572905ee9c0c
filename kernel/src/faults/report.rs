//! A fault in words: everything that is known, in the order in which one asks.

use core::fmt;

use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::symbols::Symbol;
use shared_abi::syndrome::Syndrome;

use super::ExceptionFrame;
use super::backtrace::{Backtrace, StackMemory, Step, Symbols};
use super::dispatch::Reason;
use super::region::RegionMap;

/// What a report is made of. Its `Display` is the report, many lines, the last ended.
#[derive(Clone, Copy)]
pub struct FaultReport<'a, M> {
    /// The registers.
    pub frame: &'a ExceptionFrame,
    /// Why it is reported.
    pub reason: Reason,
    /// Names for addresses.
    pub regions: &'a RegionMap,
    /// Names for code.
    pub symbols: Symbols<'a>,
    /// How the stack is read.
    pub memory: &'a M,
}

impl<M: StackMemory> FaultReport<'_, M> {
    /// The stack that a backtrace reads: the one that the frame pointer is in. The stack pointer would not do: if
    /// the stack overflowed, it is in the guard. No stack there, no backtrace beyond x30.
    fn stack(&self) -> VirtRange {
        let region = VirtAddr::new(self.frame.frame_pointer()).and_then(|at| self.regions.region_of(at));
        region.filter(|region| region.is_stack).map_or(VirtRange::EMPTY, |region| region.range)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, what: &str, address: u64) -> fmt::Result {
        writeln!(f, "  {what:<8}{address:#018x}  {}", self.regions.place_of(address))
    }

    fn code(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        address: u64,
        symbol: Option<Symbol<'_>>,
    ) -> fmt::Result {
        match symbol {
            Some(symbol) => writeln!(f, "  {what:<8}{address:#018x}  {symbol}"),
            None => self.line(f, what, address),
        }
    }
}

impl<M: StackMemory> fmt::Display for FaultReport<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.frame.fault();
        writeln!(f, "{} fault: {fault}", if fault.from_user { "user" } else { "kernel" })?;
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
            self.line(f, "address", address)?;
        }
        self.line(f, "stack", self.frame.sp)?;
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
            match step {
                Step::At(address) => self.code(f, "at", address, self.symbols.find(address))?,
                Step::Link(address) => self.code(f, "(x30)", address, self.symbols.find_return(address))?,
                Step::Return(address) => self.code(f, "from", address, self.symbols.find_return(address))?,
                Step::Broken(address) => writeln!(f, "  the chain of frames breaks at {address:#018x}")?,
                Step::Cut => f.write_str("  and more\n")?,
            }
        }
        Ok(())
    }
}
