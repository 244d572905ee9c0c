//! Ends the machine: semihosting, which carries a status, else PSCI, else parked.

use core::sync::atomic::{AtomicU32, Ordering};

use shared_abi::boot_info::{Conduit, ExitMethod, Platform};
use shared_abi::verdict::{Ending, PARKED};

use crate::{psci, semihosting};

/// How this machine can be ended, learnt step by step. A stage has one as a `static`; it may be used at any time, by any
/// CPU and in any exception.
#[derive(Debug)]
pub struct Means(AtomicU32);

/// Beside it the PSCI conduit's number.
const SEMIHOSTING: u32 = 1 << 31;

impl Means {
    /// None: the machine can only be parked.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Learns what the handoff says.
    pub fn learn(&self, platform: &Platform) {
        self.set_conduit(platform.psci_conduit);
        if platform.exit == ExitMethod::SEMIHOSTING {
            self.allow_semihosting();
        }
    }

    /// Allows semihosting from here on.
    // A load and a store here and below: the loader sets it up alone, and exclusives may not be served.
    pub fn allow_semihosting(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) | SEMIHOSTING, Ordering::Relaxed);
    }

    /// Tells how PSCI is called.
    pub fn set_conduit(&self, conduit: Conduit) {
        self.0.store(
            self.0.load(Ordering::Relaxed) & SEMIHOSTING | conduit.0 & !SEMIHOSTING,
            Ordering::Relaxed,
        );
    }

    /// Whether a host listens.
    pub fn has_semihosting(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SEMIHOSTING != 0
    }

    /// Ends the machine. One that can only be parked has `code` in x0 and the ending in x1, for `run` or a debugger to
    /// read.
    pub fn end(&self, ending: Ending, code: u16) -> ! {
        if self.has_semihosting() {
            semihosting::exit(ending.exit_subcode());
        }
        self.power_off(PARKED | ending.exit_subcode(), code)
    }

    /// Ends the machine without a word of how.
    pub fn switch_off(&self) -> ! {
        self.power_off(0, 0)
    }

    fn power_off(&self, parked: u64, code: u16) -> ! {
        psci::system_off(Conduit(self.0.load(Ordering::Relaxed) & !SEMIHOSTING));
        // SAFETY: waiting touches no memory.
        unsafe {
            instruction!("1: wfe", "b 1b", in("x0") u64::from(code), in("x1") parked, options(noreturn, nostack))
        }
    }
}

impl Default for Means {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_in_any_order_stays() {
        let means = Means::new();
        means.set_conduit(Conduit::SMC);
        means.allow_semihosting();
        means.set_conduit(Conduit::HVC);
        assert!(means.has_semihosting());
        assert_eq!(means.0.load(Ordering::Relaxed), SEMIHOSTING | Conduit::HVC.0);
    }
}
