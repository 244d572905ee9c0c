//! Taking back what the loader left, kind by kind, as the contract's table allows.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{Readable, TTBR0_EL1, TTBR1_EL1, VBAR_EL1, Writeable};
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::memory::RegionKind;
use shared_abi::rights::Rights;

use super::cpus;
use super::memory::Memory;
use super::vectors;
use crate::address_space::SpaceError;
use crate::error::ReclaimError;
use crate::frames::Order;

impl Memory {
    /// Takes all memory of `kind` back and says how many frames that is: what the loader mapped for it is unmapped,
    /// no TLB has it any more, and the direct map can write it. The tables move to frames of the allocator when
    /// their kind is taken back; the other kinds need the kernel to have left them, and that is checked as far as
    /// registers tell.
    ///
    /// # Errors
    /// [`ReclaimError`].
    ///
    /// # Safety
    /// Nothing in memory of this kind is used any more: no slice of a module, initrd or device tree, no local
    /// variable on the boot stack; and for the kind of `BootInfo`, neither `info` nor what was read from it by
    /// reference. (The symbol table of fault reports is given up with the modules.)
    pub unsafe fn reclaim(&mut self, info: &BootInfo<'_>, kind: RegionKind) -> Result<u64, ReclaimError> {
        self.frames.check_reclaim(kind)?;
        let window = match kind {
            RegionKind::LOADER_RESIDENT => {
                let window = info.window(WindowId::LOADER);
                left(window, VBAR_EL1.get(), "VBAR_EL1")?;
                self.make_writable(info, kind)?;
                match info.secondaries() {
                    None => window,
                    Some(_) => {
                        self.unmap_loader(info)?;
                        None
                    }
                }
            }
            RegionKind::BOOT_STACK => {
                let window = Some(info.boot_stack().range());
                let stack: u64;
                // SAFETY: reading SP changes nothing.
                unsafe { asm!("mov {}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
                left(window, stack, "the stack pointer")?;
                self.parts().0.unpin(info.boot_stack().range());
                window
            }
            RegionKind::PAGE_TABLES => {
                self.move_tables()?;
                None
            }
            RegionKind::BOOT_INFO => info.window(WindowId::BOOT_INFO),
            RegionKind::MODULE => {
                if !vectors::forget_symbols() {
                    return Err(ReclaimError::InUse { what: "a fault that is handled" });
                }
                None
            }
            _ => None,
        };
        if let Some(window) = window {
            let (space, mut with) = self.parts();
            space.unmap(&mut with, window)?;
        }
        Ok(self.frames.reclaim(kind)?)
    }

    /// Unmaps the loader, but for what stays firmware's in its window: other CPUs come through it.
    fn unmap_loader(&mut self, info: &BootInfo<'_>) -> Result<(), SpaceError> {
        let Some(window) = info.window(WindowId::LOADER) else { return Ok(()) };
        let image = info.firmware_image().phys_image;
        for region in info.memory_map().filter(|region| region.kind() == RegionKind::LOADER_RESIDENT) {
            let start =
                region.phys_start.checked_sub(image).and_then(|skip| window.start().checked_add(skip));
            if let Some(range) = start.and_then(|start| VirtRange::new(start, region.length)) {
                let (space, mut with) = self.parts();
                space.unmap(&mut with, range)?;
            }
        }
        Ok(())
    }

    /// Makes the kind's memory writable in the direct map.
    fn make_writable(&mut self, info: &BootInfo<'_>, kind: RegionKind) -> Result<(), SpaceError> {
        let (space, mut with) = self.parts();
        for region in info.memory_map().filter(|region| region.kind() == kind) {
            let start = info.direct_map().virt(region.range().start());
            if let Some(range) = start.and_then(|start| VirtRange::new(start, region.length)) {
                space.protect(&mut with, range, Rights::ReadWrite)?;
            }
        }
        Ok(())
    }

    /// Has TTBR1 and TTBR0 point to tables in frames of the allocator.
    fn move_tables(&mut self) -> Result<(), ReclaimError> {
        if TTBR0_EL1.get() != self.empty_root.start().get() {
            return Err(ReclaimError::InUse { what: "a user space" });
        }
        if cpus::some_run() {
            return Err(ReclaimError::InUse { what: "another CPU" });
        }
        let empty = self.frames.allocate_zeroed(Order::FRAME)?;
        let (space, mut with) = self.parts();
        let moved = space.move_tables(&mut with, |root| {
            TTBR0_EL1.set(empty.start().get());
            TTBR1_EL1.set(root.start().get());
            barrier::isb(barrier::SY);
        });
        match moved {
            Ok(()) => {
                self.empty_root = empty;
                Ok(())
            }
            Err(error) => {
                self.frames.free_frame(empty)?;
                Err(error.into())
            }
        }
    }
}

/// An error if `register` still points into the window.
fn left(window: Option<VirtRange>, register: u64, what: &'static str) -> Result<(), ReclaimError> {
    let inside = window.zip(VirtAddr::new(register)).is_some_and(|(window, at)| window.contains(at));
    if inside { Err(ReclaimError::InUse { what }) } else { Ok(()) }
}
