//! What the hardware's own walker says of an address: `AT S1E1R` and `AT S1E1W`.

use core::arch::asm;

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
    let par: u64;
    // SAFETY: AT only writes PAR_EL1, which nobody else uses.
    unsafe {
        match access {
            Access::Read => asm!("at s1e1r, {}", in(reg) address.get(), options(nostack, preserves_flags)),
            Access::Write => asm!("at s1e1w, {}", in(reg) address.get(), options(nostack, preserves_flags)),
        }
        asm!("isb", "mrs {}, par_el1", out(reg) par, options(nostack, preserves_flags));
    }
    const FAULT: u64 = 1;
    const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;
    if par & FAULT != 0 { None } else { PhysAddr::new(par & ADDRESS | address.get() & 0xFFF) }
}
