//! One device's registers.

use shared_abi::uart::Registers;

/// The registers of a device, mapped as Device memory. Holding a value proves that they are there and that nobody else
/// drives the device.
#[derive(Debug)]
pub struct Mmio {
    virt_base: u64,
    length: u64,
    width: u32,
}

impl Mmio {
    /// `length` bytes of registers at virtual address `virt_base`, accessed `width` bytes (1, 2 or 4) at a time.
    ///
    /// # Safety
    ///
    /// The range is mapped as the device's registers for as long as the value is used, and nobody else drives it.
    pub const unsafe fn new(virt_base: u64, length: u64, width: u32) -> Self {
        Self { virt_base, length, width }
    }

    /// The address of the register at `offset`; `None` outside of the device.
    fn register(&self, offset: u64) -> Option<u64> {
        let last = offset.checked_add(u64::from(self.width))?;
        (last <= self.length).then_some(self.virt_base + offset)
    }
}

// Plain base-register forms: a hypervisor can emulate only an access whose syndrome names its registers, and the
// compiler is free to choose one that does not.
impl Registers for Mmio {
    /// The register; all ones, as an empty bus answers, where the device has none.
    fn read(&mut self, offset: u64) -> u32 {
        let Some(address) = self.register(offset) else { return u32::MAX };
        let value: u32;
        // SAFETY: inside of the range that `new`'s caller vouches for; the access has the device's own width.
        unsafe {
            match self.width {
                1 => instruction!("ldrb {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                2 => instruction!("ldrh {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                _ => instruction!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
            }
        }
        value
    }

    /// Writes the register; nothing happens where the device has none.
    fn write(&mut self, offset: u64, value: u32) {
        let Some(address) = self.register(offset) else { return };
        // SAFETY: as for `read`.
        unsafe {
            match self.width {
                1 => instruction!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                2 => instruction!("strh {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                _ => instruction!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_offset_leads_out_of_the_device() {
        // SAFETY: nothing is accessed: on a host an access panics.
        let mut registers = unsafe { Mmio::new(0xFFFF_0080_0060_0FC0, 0x40, 4) };
        assert_eq!(registers.register(0x3C), Some(0xFFFF_0080_0060_0FFC));
        for outside in [0x3D, 0x40, 0x1000, u64::MAX - 3, u64::MAX] {
            assert_eq!(registers.register(outside), None, "{outside:#x}");
            assert_eq!(registers.read(outside), u32::MAX);
            registers.write(outside, 0);
        }
    }
}
