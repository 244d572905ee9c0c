//! One device's registers.

use core::arch::asm;

use shared_abi::uart::Registers;

/// The registers of a device that is mapped as Device memory.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: u64,
    width: u32,
}

impl Mmio {
    /// Registers at virtual address `base`, accessed `width` bytes at a time.
    ///
    /// # Safety
    ///
    /// `base` stays mapped as the device's registers for as long as the value is used, and nobody else drives it.
    pub const unsafe fn new(base: u64, width: u32) -> Self {
        Self { base, width }
    }
}

// Plain base-register forms: a hypervisor can emulate only an access whose syndrome names its registers, and the
// compiler is free to choose one that does not.
impl Registers for Mmio {
    fn read(&mut self, offset: u64) -> u32 {
        let address = self.base + offset;
        let value: u32;
        // SAFETY: `new`'s caller vouches for the mapping; the access has the device's own width.
        unsafe {
            match self.width {
                1 => asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                2 => asm!("ldrh {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                _ => asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
            }
        }
        value
    }

    fn write(&mut self, offset: u64, value: u32) {
        let address = self.base + offset;
        // SAFETY: as for `read`.
        unsafe {
            match self.width {
                1 => asm!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                2 => asm!("strh {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                _ => asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            }
        }
    }
}
