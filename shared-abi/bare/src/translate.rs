//! What the processor's own walker says of an address: `AT S1E1R` and `AT S1E1W`.

use aarch64_cpu::registers::{PAR_EL1, Readable};
use shared_abi::addr::{PAGE, PHYS_BITS, PhysAddr, VirtAddr};

use crate::barrier;

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
    // SAFETY: AT only writes PAR_EL1, which is read right after.
    unsafe {
        match access {
            Access::Read => {
                instruction!("at s1e1r, {}", in(reg) address.get(), options(nostack, preserves_flags))
            }
            Access::Write => {
                instruction!("at s1e1w, {}", in(reg) address.get(), options(nostack, preserves_flags))
            }
        }
    }
    barrier::isb(barrier::SY);
    resolve(address, PAR_EL1.get())
}

/// The address that PAR_EL1 names (Arm ARM D19.2.128).
fn resolve(address: VirtAddr, par: u64) -> Option<PhysAddr> {
    const F: u64 = 1 << 0;
    const PA: u64 = (1 << PHYS_BITS) - PAGE;
    if par & F != 0 {
        return None;
    }
    PhysAddr::new(par & PA | address.get() & (PAGE - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successful_walk_names_the_byte_and_a_fault_nothing() {
        let address = VirtAddr::new(0xFFFF_0080_0000_1234).unwrap();
        // Attr 0xFF, the NS and SH bits, a frame.
        assert_eq!(resolve(address, 0xFF00_0000_4123_4B80), PhysAddr::new(0x4123_4234));
        assert_eq!(resolve(address, 0x0000_0000_0000_080F), None);
    }
}
