//! Ends the machine with a verdict, by the means that `BootInfo` names.

use handoff_bare::ending::Means;
use shared_abi::boot_info::BootInfo;
use shared_abi::verdict::{Ending, Verdict};

use crate::println;

static MEANS: Means = Means::new();

/// Learns how this machine is ended.
pub fn start(boot_info: &BootInfo<'_>) {
    MEANS.learn(&boot_info.platform());
}

/// Says the verdict and ends the machine.
pub fn finish(verdict: Verdict) -> ! {
    println!("{verdict}");
    end(verdict.ending())
}

/// Ends the machine.
pub fn end(ending: Ending) -> ! {
    MEANS.end(ending, 0)
}
