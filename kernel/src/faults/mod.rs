//! Faults: from the registers that the vectors stored to a resolution or a report.
//!
//! Everything here is pure. The vectors store a [`ExceptionFrame`] and ask the [`dispatch::Dispatcher`]; a
//! hook such as [`demand::DemandZero`] may resolve the fault; otherwise a [`FaultReport`] says what
//! happened, where, in which named region, and who called whom. Nothing trusts the interrupted state:
//! addresses are any numbers, stacks may be torn, symbol tables damaged.

pub mod demand;
pub mod dispatch;

pub use demand::{DemandZero, ZeroPages};
pub use dispatch::{Dispatcher, FaultHook, Interest, Outcome, Resolution};
pub use handoff_bare::backtrace::{Backtrace, StackMemory, Step, Symbols};
pub use handoff_bare::exception::{ExceptionFrame, Fault, Interrupted};
pub use handoff_bare::region::{Place, Region, RegionMap};
pub use handoff_bare::report::{FaultReport, Reason};

#[cfg(test)]
mod tests;
