//! Why the editor refused, with the offending numbers. Codes E0701 to E0719 are the editor's.

use crate::addr::{Frame, PageSize, PhysAddr, VirtAddr};
use crate::errors;
use crate::vmsa::{Descriptor, DescriptorError};

errors! {
    /// Why an operation on page tables was refused. Nothing has been changed, unless the tree is being built
    /// ([`Builder`](super::Builder)).
    pub enum TableError, found by "whoever edits page tables: the loader, the kernel library, `handoff plan`";

    /// A virtual range is not of whole pages.
    701 Misaligned { virt: u64 = "First virtual address.", length: u64 = "Length in bytes." }
        => "virtual range {virt:#018x} + {length:#x} is not of whole pages";
        help "round the range to pages of 4 KiB";
    /// An address belongs to the half of the other TTBR.
    702 OtherHalf { virt: u64 = "First virtual address." }
        => "{virt:#018x} is in the half of the other TTBR";
        help "give kernel addresses (0xffff…) to TTBR1's tables and user addresses (0x0000…) to TTBR0's";
    /// A physical range is not of whole pages below 2^48.
    703 PhysicalRange { phys: PhysAddr = "First physical address.", length: u64 = "Length in bytes." }
        => "physical range {phys} + {length:#x} is not of whole pages below 2^48";
        help "round the range to pages of 4 KiB";
    /// Something is mapped there already.
    704 Overlap { at: VirtAddr = "The first page that is taken.", found: Descriptor = "What is there." }
        => "{at} is mapped already, by descriptor {:#018x}", found.bits();
        help "unmap what is there first";
        here "unmap {at} first";
    /// The store has no frame left for a table.
    705 OutOfTables {
        needed: usize = "Tables that the operation needs.",
        available: usize = "Tables that the store gave before it ran out, all given back.",
    }
        => "{needed} tables are needed and {available} are left";
        help "give the store more frames";
        here "give the store {} frames more", needed.saturating_sub(*available);
    /// Nothing is mapped there.
    706 NotMapped {
        at: VirtAddr = "The first address that is not mapped.",
        level: u8 = "The level at which the walk ended.",
    }
        => "{at} is not mapped (level {level})";
        help "map it first: only what is mapped whole can be protected, split or translated";
    /// A range begins or ends inside a block.
    707 InsideBlock { at: VirtAddr = "First address of the block.", size: PageSize = "The block's size." }
        => "the range ends inside the {size} block at {at}";
        help "split the block first, or take all of it";
    /// A table cannot be reached through the store.
    708 Unreachable { table: Frame = "The table's frame.", level: u8 = "The table's level." }
        => "the level {level} table at {} cannot be reached", table.start();
        help "look for who freed or overwrote a frame of the tables";
    /// A descriptor is none that this format has.
    709 Malformed {
        at: VirtAddr = "First address that it translates.", level: u8 = "Its level.",
        found: Descriptor = "The descriptor.", error: DescriptorError = "What is wrong with it.",
    }
        => "descriptor {:#018x} at {at}, level {level}, {error}", found.bits();
        help "look for who wrote over the tables, or give tables of this format";
    /// Device memory cannot be executable.
    710 ExecutableDevice { at: VirtAddr = "The page." }
        => "{at} is Device memory and cannot be executable";
        help "map code from RAM, and Device memory without execution";
}
