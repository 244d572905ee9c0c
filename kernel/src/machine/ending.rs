//! Ends the machine with a verdict, by the means that `BootInfo` names.

use core::arch::asm;
use core::cell::UnsafeCell;

use shared_abi::boot_info::{BootInfo, Conduit, ExitMethod};
use shared_abi::verdict::{Ending, SEMIHOSTING_APPLICATION_EXIT, SEMIHOSTING_EXIT, Verdict};

use crate::println;

const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

struct Means {
    semihosting: bool,
    conduit: Conduit,
}

struct Single(UnsafeCell<Means>);

// SAFETY: written once, by the one CPU that runs.
unsafe impl Sync for Single {}

static MEANS: Single = Single(UnsafeCell::new(Means { semihosting: false, conduit: Conduit::NONE }));

/// Learns how this machine is ended.
pub fn start(boot_info: &BootInfo<'_>) {
    let platform = boot_info.platform();
    let means =
        Means { semihosting: platform.exit == ExitMethod::SEMIHOSTING, conduit: platform.psci_conduit };
    // SAFETY: see `Single`.
    unsafe { *MEANS.0.get() = means };
}

/// Says the verdict and ends the machine.
pub fn finish(verdict: Verdict) -> ! {
    println!("{verdict}");
    end(verdict.ending())
}

/// Ends the machine: by semihosting, which carries a status, else by PSCI, else by sleeping for good.
pub fn end(ending: Ending) -> ! {
    // SAFETY: see `Single`.
    let means = unsafe { &*MEANS.0.get() };
    if means.semihosting {
        let block = [SEMIHOSTING_APPLICATION_EXIT, ending.exit_subcode()];
        // SAFETY: SYS_EXIT reads the two words that x1 points to; `BootInfo` says that a host answers.
        unsafe {
            asm!("hlt #0xF000", inout("x0") SEMIHOSTING_EXIT => _, in("x1") block.as_ptr(), options(nostack))
        };
    }
    // SAFETY: SYSTEM_OFF takes no argument and does not return; the conduit is the one that `BootInfo` names.
    unsafe {
        match means.conduit {
            Conduit::HVC => asm!("hvc #0", inout("x0") PSCI_SYSTEM_OFF => _, clobber_abi("C")),
            Conduit::SMC => asm!("smc #0", inout("x0") PSCI_SYSTEM_OFF => _, clobber_abi("C")),
            _ => {}
        }
        asm!("1: wfe", "b 1b", options(noreturn, nostack))
    }
}
