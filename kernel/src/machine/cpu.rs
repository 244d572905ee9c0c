//! What each CPU has for itself: a block that TPIDR_EL1 points to from the moment that its vectors are installed.
//!
//! ```text
//! TPIDR_EL1 ─► │ the vectors' two words │ number, MPIDR │ fault stack, growing down … │
//! ```
//!
//! The boot CPU's is a static, those of others lie in their places of [`cpus`](super::cpus). Before it is installed TPIDR_EL1
//! is 0, as the contract has it, which is the boot CPU alone.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aarch64_cpu::registers::{MPIDR_EL1, Readable, TPIDR_EL1, Writeable};
use shared_abi::addr::VirtRange;

/// Bytes of a block.
pub const BLOCK: usize = 16384;

/// Most CPUs that can be started, the boot CPU among them.
pub const MOST: usize = 64;

/// Bytes from one CPU's place in the heap window to the next.
pub(super) const PLACE: u64 = 256 << 10;

/// Whether other CPUs were started.
static OTHERS: AtomicBool = AtomicBool::new(false);

/// MPIDR_EL1's affinity fields.
const AFFINITY: u64 = 0xFF_00FF_FFFF;

/// A CPU's block.
#[repr(C, align(16))]
pub(super) struct Block {
    /// The vectors' own.
    scratch: UnsafeCell<[u64; 2]>,
    /// Which CPU it is: 0 is the boot CPU.
    number: AtomicU64,
    unused: u64,
    fault_stack: UnsafeCell<[u8; BLOCK - 32]>,
}

const _: () = assert!(size_of::<Block>() == BLOCK);

// SAFETY: only the vectors of the CPU that it belongs to use the cells.
unsafe impl Sync for Block {}

static BOOT: Block = Block {
    scratch: UnsafeCell::new([0; 2]),
    number: AtomicU64::new(0),
    unused: 0,
    fault_stack: UnsafeCell::new([0; BLOCK - 32]),
};

/// Gives the boot CPU its block. Its range, for reports.
pub(super) fn start() -> Option<VirtRange> {
    let block = &raw const BOOT as u64;
    TPIDR_EL1.set(block);
    VirtRange::from_bounds(block, block + BLOCK as u64)
}

/// Says which CPU a block of zeros belongs to.
///
/// # Safety
///
/// A block's memory is at `block`, and stays for as long as the CPU runs.
pub(super) unsafe fn number_block(block: u64, number: usize) {
    OTHERS.store(true, Ordering::Relaxed);
    // SAFETY: as the caller says.
    unsafe { &(*(block as *const Block)).number }.store(number as u64, Ordering::Relaxed);
}

/// Which CPU this is: 0 is the boot CPU, the others by the order in which they were first started.
pub fn number() -> usize {
    let block = TPIDR_EL1.get() as *const Block;
    // SAFETY: TPIDR_EL1 is 0, or a block that stays while this CPU runs.
    unsafe { block.as_ref() }.map_or(0, |block| block.number.load(Ordering::Relaxed) as usize)
}

/// Which CPU this is, as the line that ends a report; nothing while there is no other.
#[derive(Clone, Copy, Debug)]
pub struct Place;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OTHERS.load(Ordering::Relaxed) {
            true => writeln!(f, "on CPU {} ({:#x})", number(), affinity()),
            false => Ok(()),
        }
    }
}

/// MPIDR_EL1's affinity fields.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Which CPU holds what only one at a time may have: its number and one, 0 for none. The CPU that has it may ask again.
#[derive(Debug)]
pub(super) struct Holder(AtomicU64);

impl Holder {
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether this CPU has it.
    pub fn is_this(&self) -> bool {
        self.0.load(Ordering::Relaxed) == number() as u64 + 1
    }

    /// Waits until no other CPU has it; `true` if this one had it already.
    pub fn take(&self) -> bool {
        let this = number() as u64 + 1;
        if self.0.load(Ordering::Relaxed) == this {
            return true;
        }
        while self.0.compare_exchange_weak(0, this, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        false
    }

    /// Gives it up.
    pub fn give(&self) {
        self.0.store(0, Ordering::Release);
    }
}
