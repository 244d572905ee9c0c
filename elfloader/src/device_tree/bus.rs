//! What a node says about the addresses of its children, and what its parent makes of one.

use super::TreeError;
use super::cells::{Cells, take_number};
use super::node::Node;
use super::symbol::Symbol;

/// What a node says about the addresses of its children.
#[derive(Clone, Copy)]
pub(super) struct Bus<'s> {
    pub cells: Cells,
    /// The node's name.
    pub name: &'s str,
    /// The `ranges` value; `None` if there is none, so that its children have no physical addresses.
    pub ranges: Option<&'s [u8]>,
}

impl<'s> Bus<'s> {
    /// What a node says.
    #[inline(never)]
    pub fn of(node: &mut Node<'s>) -> Self {
        // More cells than any binding has are malformed.
        let mut cells = |symbol| node.cell_if(symbol, |count| count <= 8).map(|count| count as u8);
        let cells = Cells {
            address: cells(Symbol::ADDRESS_CELLS).unwrap_or(Cells::DEFAULT.address),
            size: cells(Symbol::SIZE_CELLS).unwrap_or(Cells::DEFAULT.size),
        };
        Self { cells, name: node.name, ranges: node.value(Symbol::RANGES) }
    }

    /// The address in the parent's view of `address` in the children's view (Devicetree Specification
    /// 2.3.8); `None` if no range has it.
    #[inline(never)]
    pub fn translate(&self, parent: Cells, address: u64) -> Result<Option<u64>, TreeError<'s>> {
        let Some(mut ranges) = self.ranges else { return Ok(None) };
        if ranges.is_empty() {
            return Ok(Some(address));
        }
        let (Cells { address: child @ ..=2, size: size @ ..=2 }, up @ ..=2) = (self.cells, parent.address)
        else {
            return Ok(None);
        };
        let record = usize::from(child + up + size) * 4;
        if record == 0 || !ranges.len().is_multiple_of(record) {
            let (property, length) = (Symbol::RANGES.name(), ranges.len());
            return Err(TreeError::Property { node: self.name, property, length });
        }
        while let (Some(start), Some(target), Some(length)) =
            (take_number(&mut ranges, child), take_number(&mut ranges, up), take_number(&mut ranges, size))
        {
            if let Some(offset) = address.checked_sub(start).filter(|offset| *offset < length) {
                let wraps = TreeError::Range { node: self.name, start: target, length };
                return target.checked_add(offset).map(Some).ok_or(wraps);
            }
        }
        Ok(None)
    }
}
