//! Faults: from the registers that the vectors stored to a resolution or a report.
//!
//! Everything here is pure. The vectors store a [`ExceptionFrame`] and ask the [`dispatch::Dispatcher`]; a
//! hook such as [`demand::DemandZero`] may resolve the fault; otherwise a [`report::FaultReport`] says what
//! happened, where, in which named [`region`], and who called whom. Nothing trusts the interrupted state:
//! addresses are any numbers, stacks may be torn, symbol tables damaged.

pub mod backtrace;
pub mod demand;
pub mod dispatch;
pub mod region;
pub mod report;

pub use backtrace::{Backtrace, StackMemory, Step, Symbols};
pub use demand::{DemandZero, ZeroPages};
pub use dispatch::{Dispatcher, FaultHook, Interest, Outcome, Reason, Resolution};
pub use handoff_bare::exception::{ExceptionFrame, Fault, Interrupted};
pub use region::{Place, Region, RegionMap};
pub use report::FaultReport;

#[cfg(test)]
mod tests;
