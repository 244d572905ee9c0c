//! Ends the machine: semihosting where the header page allows it, else PSCI, else parked.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use shared_abi::verdict::{
    Ending, PARKED, SEMIHOSTING_APPLICATION_EXIT, SEMIHOSTING_EXIT, SEMIHOSTING_WRITE0,
};

/// How this machine can be ended, set as soon as it is known. Bits 0 to 1 are the PSCI conduit (0 none, 1 HVC,
/// 2 SMC), bit 2 allows semihosting.
static MEANS: AtomicU64 = AtomicU64::new(0);

const SEMIHOSTING: u64 = 1 << 2;
const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

/// PSCI's conduit, from the device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc #0`.
    Hvc = 1,
    /// `smc #0`.
    Smc = 2,
}

// One CPU runs: a load and a store are enough, and need no exclusives.
fn add_means(bits: u64) {
    MEANS.store(MEANS.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
}

/// Allows semihosting from here on.
pub fn allow_semihosting() {
    add_means(SEMIHOSTING);
}

/// Tells how PSCI is called.
pub fn set_conduit(conduit: Conduit) {
    add_means(conduit as u64);
}

/// Writes `text`, which ends with a zero byte, to a host that listens; without one, nothing happens.
pub fn say_to_host(text: &[u8]) {
    if MEANS.load(Ordering::Relaxed) & SEMIHOSTING != 0 && text.last() == Some(&0) {
        // SAFETY: SYS_WRITE0 reads the bytes that x1 points to up to the zero; the header page says that a host
        // answers.
        unsafe {
            asm!("hlt #0xF000", inout("x0") SEMIHOSTING_WRITE0 => _, in("x1") text.as_ptr(), options(nostack))
        };
    }
}

/// Ends the machine. One that can only be parked has `code` in x0 and the ending in x1, for `run` or a debugger to read.
pub fn end(ending: Ending, code: u16) -> ! {
    let means = MEANS.load(Ordering::Relaxed);
    if means & SEMIHOSTING != 0 {
        let block = [SEMIHOSTING_APPLICATION_EXIT, ending.exit_subcode()];
        // SAFETY: SYS_EXIT reads the two words that x1 points to; the header page says that a host answers.
        unsafe {
            asm!("hlt #0xF000", inout("x0") SEMIHOSTING_EXIT => _, in("x1") block.as_ptr(), options(nostack))
        };
    }
    // SAFETY: SYSTEM_OFF takes no argument and does not return; the conduit is the one that the tree names, so
    // an answer of any kind leads on to the parking loop.
    unsafe {
        match means & 3 {
            1 => asm!("hvc #0", inout("x0") PSCI_SYSTEM_OFF => _, clobber_abi("C")),
            2 => asm!("smc #0", inout("x0") PSCI_SYSTEM_OFF => _, clobber_abi("C")),
            _ => {}
        }
        asm!("1: wfe", "b 1b", in("x0") u64::from(code), in("x1") PARKED | ending.exit_subcode(),
            options(noreturn, nostack))
    }
}
