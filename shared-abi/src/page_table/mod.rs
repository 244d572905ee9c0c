//! The page-table editor: map, unmap, protect, split and walk, over whatever memory holds the tables.
//!
//! The loader builds the kernel's tables with it, the kernel goes on editing them with it, and the host reads
//! them back with it from a stopped machine: one editor, over three [`TableStore`]s. It owns no memory and
//! touches no hardware; what must be told to the TLB is a value, [`Stale`], that the caller has to act on.
//!
//! ```text
//!          level 0        level 1        level 2        level 3
//! TTBRn ─► 512 GiB each ─► 1 GiB block ┐
//!                      └─► table ─────► 2 MiB block ┐
//!                                   └─► table ─────► 4 KiB page
//! ```
//!
//! What always holds:
//!
//! - Every operation on a range is done whole or not at all. It is surveyed first and everything it needs is
//!   allocated before the first store, so a refused operation has changed no bit and has nothing to undo, not
//!   even in a TLB.
//! - What an operation promises holds for its whole range: overlap is an error of `map`, a hole one of `protect`.
//!   `unmap` promises that nothing is mapped, so it passes over holes.
//! - A block is never split in silence: that needs break-before-make (Arm ARM D8.16.1), so it is an operation of
//!   its own, [`PageTable::split`], which calls back between the break and the make.
//! - No table but the root is empty: the last unmapping in a table unlinks it.
//! - A table that was unlinked is not reused before the caller says that no walk can still be inside it.
//! - Each change is one 64-bit store, because the hardware walks while we write; a new table is linked with
//!   release order, after it is complete.
//!
//! Work is done per table, not per page: one walk down for up to 512 consecutive entries.

mod build;
mod chain;
mod error;
mod leaves;
mod map;
mod pool;
mod protect;
mod split;
mod stale;
mod table;
#[cfg(test)]
mod tests;
mod unmap;
mod walk;

pub use build::Builder;
pub use error::TableError;
pub use leaves::{Leaves, Node, Nodes, Run};
pub use pool::TablePool;
pub use stale::Stale;
pub use table::{ENTRIES, Table, TableSource, TableStore};
pub use walk::Translation;

use crate::addr::{Frame, PageSize, VirtAddr, VirtRange};

/// log2 of the bytes that one entry covers at `level`, 0 to 3.
pub(crate) const fn entry_shift(level: u8) -> u32 {
    39 - 9 * level as u32
}

/// The page size of a leaf at `level`; `None` at level 0, which has no leaves.
const fn leaf_size(level: u8) -> Option<PageSize> {
    match level {
        1 => Some(PageSize::Size1G),
        2 => Some(PageSize::Size2M),
        3 => Some(PageSize::Size4K),
        _ => None,
    }
}

/// A tree of translation tables for one half of the address space, by the frame of its level 0 table.
///
/// The value names tables, it does not own them: it is as good as the store that it is used with.
///
/// ```
/// use shared_abi::addr::{Frame, PageSize, PhysAddr, VirtRange};
/// use shared_abi::page_table::{PageTable, Table, TableError, TablePool, TableStore};
/// use shared_abi::rights::Rights;
/// use shared_abi::vmsa::Attributes;
///
/// let tables: Vec<Table> = (0..4).map(|_| Table::new()).collect();
/// let mut pool = TablePool::new(&tables, Frame::new(0x4_8000).unwrap());
/// let tree = PageTable::ttbr1(pool.allocate().unwrap());
/// let text = VirtRange::from_bounds(0xFFFF_0000_0020_0000, 0xFFFF_0000_0040_0000).unwrap();
/// let phys = PhysAddr::new(0x4020_0000).unwrap();
/// tree.map(&mut pool, text, phys, Attributes::kernel(Rights::ReadExecute), PageSize::Size2M)?;
/// let found = tree.walk(&pool, text.start().checked_add(0x1234).unwrap())?;
/// assert_eq!((found.phys.get(), found.attributes.rights()), (0x4020_1234, Rights::ReadExecute));
/// # Ok::<(), TableError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageTable {
    root: Frame,
    high: bool,
}

impl PageTable {
    /// The tree that translates the low half, user space.
    pub const fn ttbr0(root: Frame) -> Self {
        Self { root, high: false }
    }

    /// The tree that translates the high half, the kernel.
    pub const fn ttbr1(root: Frame) -> Self {
        Self { root, high: true }
    }

    /// Frame of the level 0 table.
    pub const fn root(self) -> Frame {
        self.root
    }

    /// The lowest address that the tree translates.
    pub const fn base(self) -> u64 {
        if self.high { VirtAddr::HIGH_HALF.get() } else { 0 }
    }

    /// Whole pages of our half, or the error that says which is not so.
    fn check_range(self, range: VirtRange) -> Result<(), TableError> {
        if !range.is_aligned(PageSize::Size4K) {
            Err(TableError::Misaligned { virt: range.start().get(), length: range.len() })
        } else if range.start().is_high() != self.high {
            Err(TableError::OtherHalf { virt: range.start().get() })
        } else {
            Ok(())
        }
    }
}
