//! What came with the kernel: modules and the initial RAM disk.

use super::fault::Fault;
use super::record::{flags, record};
use super::strings::StringRef;
use crate::addr::{PAGE, PhysRange};

flags! {
    /// How a module is handed over.
    ModuleFlags {
        /// The direct map shows it read-only.
        READ_ONLY = 0;
    }
}

record! {
    /// A file that was packed for the kernel, on pages of its own.
    Module, 32 bytes {
        /// Its name.
        name: StringRef,
        /// Where it lies, a multiple of 4 KiB.
        phys_start: u64,
        /// Its bytes.
        length: u64,
        /// How it is handed over.
        flags: ModuleFlags,
        /// 0.
        reserved: u32,
    }
    check |module, _, strings| {
        let range = PhysRange::from_bounds(module.phys_start, module.phys_start.saturating_add(module.length));
        let placed = range.is_some() && module.phys_start.is_multiple_of(PAGE);
        Fault::unless(placed, "phys_start", module.phys_start)?;
        strings.check(module.name, "name")
    }
}

impl Module {
    /// Its physical bytes.
    pub fn phys(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_start, self.phys_start.saturating_add(self.length))
            .unwrap_or_default()
    }
}

record! {
    /// The initial RAM disk, as firmware placed it.
    Initrd, 16 bytes {
        /// Where it lies, at any alignment.
        phys_start: u64,
        /// Its bytes.
        length: u64,
    }
    check |initrd, _, _| {
        let range = PhysRange::from_bounds(initrd.phys_start, initrd.phys_start.saturating_add(initrd.length));
        Fault::unless(range.is_some(), "phys_start", initrd.phys_start)
    }
}

impl Initrd {
    /// Its physical bytes.
    pub fn phys(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_start, self.phys_start.saturating_add(self.length))
            .unwrap_or_default()
    }
}
