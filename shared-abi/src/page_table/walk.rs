//! What an address translates to, and by which tables: the hardware's walk, done by reading.

use super::table::TableSource;
use super::{PageTable, TableError};
use crate::addr::{Frame, PageSize, PhysAddr, VirtAddr};
use crate::vmsa::{Attributes, Descriptor};

/// The translation of one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Where the address lies physically.
    pub phys: PhysAddr,
    /// The size of the leaf that maps it.
    pub size: PageSize,
    /// What the mapping is.
    pub attributes: Attributes,
    /// The leaf as found.
    pub leaf: Descriptor,
    /// The tables from the root to the leaf's, by level; those past the leaf's level are `None`.
    pub tables: [Option<Frame>; 4],
}

impl Translation {
    /// First physical address of the page or block.
    pub const fn leaf_phys(&self) -> PhysAddr {
        self.leaf.address()
    }
}

impl PageTable {
    /// Translates `address`.
    ///
    /// # Errors
    /// [`TableError::NotMapped`] with the level at which the walk ends, as the hardware's translation fault would
    /// say it; [`TableError::Malformed`] for a descriptor that is not of the contract's format.
    pub fn walk<S: TableSource + ?Sized>(
        self,
        source: &S,
        address: VirtAddr,
    ) -> Result<Translation, TableError> {
        if address.is_high() != self.high {
            return Err(TableError::OtherHalf { virt: address.get() });
        }
        let mut tables = [None; 4];
        let mut table = self.root;
        for level in 0..4 {
            tables[usize::from(level)] = Some(table);
            let entry = source
                .entry(table, address.table_index(level))
                .ok_or(TableError::Unreachable { table, level })?;
            let malformed = |error| TableError::Malformed { at: address, level, found: entry, error };
            if !entry.is_valid() {
                return Err(TableError::NotMapped { at: address, level });
            }
            if entry.is_table(level) {
                table = entry.decode_table(level).map_err(malformed)?;
                continue;
            }
            let (start, size, attributes) = entry.decode_leaf(level).map_err(malformed)?;
            // The leaf is aligned to its size, so the sum stays below its end.
            let phys = start.checked_add(address.get() & (size.bytes() - 1)).unwrap_or(start);
            return Ok(Translation { phys, size, attributes, leaf: entry, tables });
        }
        Err(TableError::NotMapped { at: address, level: 3 })
    }
}
