//! What a page of RAM is used for at the handoff, and who may take it back.
//!
//! Kinds are open numbers, not an enum: a reader that meets one it does not know treats it as never free.

use core::fmt;

/// The use of a memory region. The numbers are ABI and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct RegionKind(pub u32);

/// Who puts a kind into the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The machine's description: the loader may not change it.
    Machine,
    /// The loader, for pages that it claims of free RAM.
    Loader,
    /// The loader, for what firmware or the image put there; firmware may have reserved the place as well.
    Given,
}

/// When the kernel may use a region's pages for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// From its first instruction on.
    AtEntry,
    /// When it no longer needs what is there.
    Later,
    /// Never.
    Never,
}

/// Declares the kinds, a row each: number, name, letter in a map, whether the direct map has it, who puts it into
/// the memory map, when the kernel may take it back, and that in words.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $constant:ident = $value:literal, $name:literal, $letter:literal, mapped: $mapped:literal,
        $origin:ident, $reclaim:ident, $when:literal;
    )*) => {
        impl RegionKind {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($value);)*

            /// Every kind that this version knows, by number.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];

            /// The kind's name in reports; `None` for a number that this version does not know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }

            /// The kind's letter in a map.
            pub const fn letter(self) -> char {
                match self.0 {
                    $($value => $letter,)*
                    _ => '?',
                }
            }

            /// Whether the direct map may contain the region. Unknown kinds are not mapped.
            pub const fn is_mapped(self) -> bool {
                match self.0 {
                    $($value => $mapped,)*
                    _ => false,
                }
            }

            /// Who puts the kind into the memory map.
            pub const fn origin(self) -> Origin {
                match self.0 {
                    $($value => Origin::$origin,)*
                    _ => Origin::Machine,
                }
            }

            /// When the kernel may take the region: never if the kind is unknown.
            pub const fn reclaim(self) -> Reclaim {
                match self.0 {
                    $($value => Reclaim::$reclaim,)*
                    _ => Reclaim::Never,
                }
            }

            /// [`reclaim`](Self::reclaim) in words.
            pub const fn when(self) -> &'static str {
                match self.0 {
                    $($value => $when,)*
                    _ => "never",
                }
            }
        }
    };
}

kinds! {
    /// Free RAM.
    USABLE = 1, "usable", '.', mapped: true, Machine, AtEntry, "at once";
    /// What the loader needed only until the jump.
    LOADER_RECLAIMABLE = 2, "loader reclaimable", ',', mapped: true, Loader, AtEntry, "at once; never executable";
    /// The `BootInfo` blob.
    BOOT_INFO = 3, "boot info", 'B', mapped: true, Loader, Later, "when it no longer reads `BootInfo`";
    /// The boot stack.
    BOOT_STACK = 4, "boot stack", 'S', mapped: true, Loader, Later, "when it runs on another stack";
    /// The translation tables that TTBR0 and TTBR1 point to.
    PAGE_TABLES = 5, "page tables", 'T', mapped: true, Loader, Later, "when TTBR0 and TTBR1 point elsewhere";
    /// The kernel's own segments, in place, copied or zeroed.
    KERNEL = 6, "kernel", 'K', mapped: true, Loader, Never, "its own; what it no longer needs of itself";
    /// A payload module.
    MODULE = 7, "module", 'M', mapped: true, Given, Later, "its choice";
    /// The initial RAM disk.
    INITRD = 8, "initrd", 'I', mapped: true, Given, Later, "its choice";
    /// The flattened device tree.
    DEVICE_TREE = 9, "device tree", 'D', mapped: true, Given, Later, "its choice";
    /// The fault reporter and what it needs.
    LOADER_RESIDENT = 10, "loader resident", 'L', mapped: true, Loader, Later, "after it has its own VBAR_EL1";
    /// Reserved by firmware: `/memreserve/`, `/reserved-memory`, spin tables, and the loader's stub above EL1.
    FIRMWARE = 11, "firmware", 'F', mapped: true, Machine, Never, "never";
    /// Reserved with `no-map`.
    NO_MAP = 12, "no-map", 'N', mapped: false, Machine, Never, "never; not mapped at any granularity";
    /// RAM beyond what the processor can address: listed, never mapped.
    UNADDRESSABLE = 13, "unaddressable", 'U', mapped: false, Machine, Never, "never: the processor cannot address it";
    /// The flight recorders: this boot's and the last one's.
    RECORDER = 14, "recorder", 'R', mapped: true, Loader, Later, "its choice; the next boot then finds none";
    /// ACPI tables, free after they are read.
    ACPI_RECLAIM = 32, "ACPI reclaim", '?', mapped: false, Machine, Later, "reserved number";
    /// ACPI non-volatile storage.
    ACPI_NVS = 33, "ACPI NVS", '?', mapped: false, Machine, Never, "reserved number";
    /// EFI runtime services.
    EFI_RUNTIME = 34, "EFI runtime", '?', mapped: false, Machine, Never, "reserved number";
    /// Device memory.
    MMIO = 35, "MMIO", '?', mapped: false, Machine, Never, "reserved number";
    /// RAM found bad.
    BAD = 36, "bad", '?', mapped: false, Machine, Never, "reserved number";
    /// A framebuffer.
    FRAMEBUFFER = 37, "framebuffer", '?', mapped: false, Machine, Never, "reserved number";
}

impl RegionKind {
    /// Whether the kernel may hand the region out from its first instruction on.
    pub const fn is_free_at_entry(self) -> bool {
        matches!(self.reclaim(), Reclaim::AtEntry)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_contract_lists_every_kind() {
        let row = |kind: &RegionKind| format!("| {} | {kind} | {} |\n", kind.0, kind.when());
        let table: String = RegionKind::ALL.iter().map(row).collect();
        let page = include_str!("../../docs/contract.md");
        assert!(page.contains(&table), "docs/contract.md ought to say:\n{table}");
    }

    #[test]
    fn an_unknown_kind_is_never_mapped_or_free() {
        for kind in (0..64).map(RegionKind).filter(|kind| !RegionKind::ALL.contains(kind)) {
            assert!(!kind.is_mapped() && !kind.is_free_at_entry() && kind.origin() == Origin::Machine);
        }
    }
}
