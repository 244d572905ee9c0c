//! Why the editor refused, with the offending numbers. Codes E0701 to E0719 are the editor's.

use core::fmt;

use crate::addr::{Frame, PageSize, PhysAddr, VirtAddr};
use crate::vmsa::{Descriptor, DescriptorError};

/// Why an operation on page tables was refused. Nothing has been changed, unless the tree is being built
/// ([`PageTable::build`](super::PageTable::build)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// The range does not consist of whole pages.
    Misaligned {
        /// First virtual address.
        virt: u64,
        /// Length in bytes.
        length: u64,
    },
    /// The address belongs to the half that the other TTBR translates.
    OtherHalf {
        /// First virtual address.
        virt: u64,
    },
    /// The physical range is not of whole pages or reaches past 2⁴⁸.
    PhysicalRange {
        /// First physical address.
        phys: PhysAddr,
        /// Length in bytes.
        length: u64,
    },
    /// Something is mapped there already.
    Overlap {
        /// The first page that is taken.
        at: VirtAddr,
        /// What is there.
        found: Descriptor,
    },
    /// The store has no frame left for a table.
    OutOfTables {
        /// Tables that the operation needs.
        needed: usize,
        /// Tables that the store gave before it ran out, all given back.
        available: usize,
    },
    /// Nothing is mapped there.
    NotMapped {
        /// The first address that is not mapped.
        at: VirtAddr,
        /// The level at which the walk ended.
        level: u8,
    },
    /// The range begins or ends inside a block: split it first.
    InsideBlock {
        /// First address of the block.
        at: VirtAddr,
        /// The block's size.
        size: PageSize,
    },
    /// The store cannot reach a table.
    Unreachable {
        /// The table's frame.
        table: Frame,
        /// The table's level.
        level: u8,
    },
    /// A descriptor is none that this format has.
    Malformed {
        /// First address that it translates.
        at: VirtAddr,
        /// Its level.
        level: u8,
        /// The descriptor.
        found: Descriptor,
        /// What is wrong with it.
        error: DescriptorError,
    },
    /// Device memory cannot be made executable.
    ExecutableDevice {
        /// The page.
        at: VirtAddr,
    },
}

impl TableError {
    /// The stable code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Misaligned { .. } => 701,
            Self::OtherHalf { .. } => 702,
            Self::PhysicalRange { .. } => 703,
            Self::Overlap { .. } => 704,
            Self::OutOfTables { .. } => 705,
            Self::NotMapped { .. } => 706,
            Self::InsideBlock { .. } => 707,
            Self::Unreachable { .. } => 708,
            Self::Malformed { .. } => 709,
            Self::ExecutableDevice { .. } => 710,
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { virt, length } => {
                write!(f, "virtual range {virt:#018x} + {length:#x} is not of whole pages")
            }
            Self::OtherHalf { virt } => write!(f, "{virt:#018x} is in the half of the other TTBR"),
            Self::PhysicalRange { phys, length } => {
                write!(f, "physical range {phys} + {length:#x} is not of whole pages below 2^48")
            }
            Self::Overlap { at, found } => {
                write!(f, "{at} is mapped already, by descriptor {:#018x}", found.bits())
            }
            Self::OutOfTables { needed, available } => {
                write!(f, "{needed} tables are needed and {available} are left")
            }
            Self::NotMapped { at, level } => write!(f, "{at} is not mapped (level {level})"),
            Self::InsideBlock { at, size } => write!(f, "the range ends inside the {size} block at {at}"),
            Self::Unreachable { table, level } => {
                write!(f, "the level {level} table at {} cannot be reached", table.start())
            }
            Self::Malformed { at, level, found, error } => {
                write!(f, "descriptor {:#018x} at {at}, level {level}, {error}", found.bits())
            }
            Self::ExecutableDevice { at } => write!(f, "{at} is Device memory and cannot be executable"),
        }
    }
}
