//! What the hardware's own walker says of an address: `AT S1E1R` and `AT S1E1W`.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{PAR_EL1, Readable};

use shared_abi::addr::{PhysAddr, VirtAddr};

/// What a translation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading at EL1.
    Read,
    /// Writing at EL1.
    Write,
}

/// Where `address` leads for `access` at EL1; `None` if it would fault. Says nothing of execution.
pub fn translate(address: VirtAddr, access: Access) -> Option<PhysAddr> {
    // SAFETY: AT only writes PAR_EL1, which nobody else uses.
    unsafe {
        match access {
            Access::Read => asm!("at s1e1r, {}", in(reg) address.get(), options(nostack, preserves_flags)),
            Access::Write => asm!("at s1e1w, {}", in(reg) address.get(), options(nostack, preserves_flags)),
        }
    }
    barrier::isb(barrier::SY);
    if PAR_EL1.is_set(PAR_EL1::F) {
        return None;
    }
    const FRAME: u64 = 0x0000_FFFF_FFFF_F000;
    PhysAddr::new(PAR_EL1.get() & FRAME | address.get() & !FRAME & 0xFFF)
}
