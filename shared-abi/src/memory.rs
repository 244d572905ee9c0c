//! What a page of RAM is used for at the handoff, and who may take it back.
//!
//! Kinds are open numbers, not an enum: a reader that meets one it does not know treats it as never free.

use core::fmt;

/// The use of a memory region. The numbers are ABI and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct RegionKind(pub u32);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $constant:ident = $value:literal, $name:literal;)*) => {
        impl RegionKind {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($value);)*

            /// The kind's name in reports; `None` for a number that this version does not know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Free RAM: the kernel's from its first instruction on.
    USABLE = 1, "usable";
    /// What the loader needed only until the jump (never executable): free at once.
    LOADER_RECLAIMABLE = 2, "loader reclaimable";
    /// The `BootInfo` blob: free when the kernel no longer reads it.
    BOOT_INFO = 3, "boot info";
    /// The boot stack: free when the kernel runs on another.
    BOOT_STACK = 4, "boot stack";
    /// The translation tables that TTBR1 points to: free when the kernel uses others.
    PAGE_TABLES = 5, "page tables";
    /// The kernel's own segments, in place, copied or zeroed.
    KERNEL = 6, "kernel";
    /// A payload module: the kernel's choice.
    MODULE = 7, "module";
    /// The initial RAM disk: the kernel's choice.
    INITRD = 8, "initrd";
    /// The flattened device tree: the kernel's choice.
    DEVICE_TREE = 9, "device tree";
    /// The fault reporter and what it needs: free after the library call that retires it.
    LOADER_RESIDENT = 10, "loader resident";
    /// Reserved by firmware (`/memreserve/`, `/reserved-memory`, spin tables): never free.
    FIRMWARE = 11, "firmware";
    /// Reserved with `no-map`: never free and mapped at no granularity.
    NO_MAP = 12, "no-map";
    /// RAM beyond what the CPU can address: listed, never mapped.
    UNADDRESSABLE = 13, "unaddressable";
    /// Reserved number: ACPI tables, free after they are read.
    ACPI_RECLAIM = 32, "ACPI reclaim";
    /// Reserved number: ACPI non-volatile storage.
    ACPI_NVS = 33, "ACPI NVS";
    /// Reserved number: EFI runtime services.
    EFI_RUNTIME = 34, "EFI runtime";
    /// Reserved number: device memory.
    MMIO = 35, "MMIO";
    /// Reserved number: RAM found bad.
    BAD = 36, "bad";
    /// Reserved number: a framebuffer.
    FRAMEBUFFER = 37, "framebuffer";
}

impl RegionKind {
    /// Whether the kernel may hand the region out from its first instruction on.
    pub const fn is_free_at_entry(self) -> bool {
        matches!(self, Self::USABLE | Self::LOADER_RECLAIMABLE)
    }

    /// Whether the direct map may contain the region. Unknown kinds are not mapped.
    pub const fn is_mapped(self) -> bool {
        self.0 >= Self::USABLE.0 && self.0 <= Self::FIRMWARE.0
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "unknown kind {}", self.0),
        }
    }
}

impl fmt::Debug for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
