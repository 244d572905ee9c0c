//! Numbers and ranges as property values hold them, in big-endian cells of four bytes, and what a bus makes of them.

use shared_abi::addr::{PhysAddr, PhysRange};

use super::TreeError;
use super::node::Node;
use super::symbol::Symbol;

/// The number that no, one or two cells hold.
pub(super) fn number(cells: &[u8]) -> Option<u64> {
    match *cells {
        [] => Some(0),
        [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// Takes the number that so many cells hold off the front.
#[inline(never)]
fn take_number(bytes: &mut &[u8], cells: u8) -> Option<u64> {
    let (first, rest) = bytes.split_at_checked(usize::from(cells) * 4)?;
    *bytes = rest;
    number(first)
}

/// How many cells the addresses and sizes of a node's children have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub address: u8,
    pub size: u8,
}

impl Cells {
    /// What holds where a node does not state them (Devicetree Specification 2.3.5).
    pub const DEFAULT: Self = Self { address: 2, size: 1 };
}

/// The addresses and sizes of a value such as `reg`.
#[derive(Clone)]
pub(super) struct Ranges<'s> {
    cells: Cells,
    bytes: &'s [u8],
}

impl<'s> Ranges<'s> {
    /// Not one.
    pub const NONE: Self = Self { cells: Cells::DEFAULT, bytes: &[] };

    /// `None` if the value is not made of such records, or their numbers are longer than 64 bits.
    pub fn new(bytes: &'s [u8], cells: Cells) -> Option<Self> {
        let Cells { address: address @ ..=2, size: size @ ..=2 } = cells else { return None };
        let record = usize::from(address + size) * 4;
        (record > 0 && bytes.len().is_multiple_of(record)).then_some(Self { cells, bytes })
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u64, u64);

    #[inline(never)]
    fn next(&mut self) -> Option<(u64, u64)> {
        Some((
            take_number(&mut self.bytes, self.cells.address)?,
            take_number(&mut self.bytes, self.cells.size)?,
        ))
    }
}

/// The part of a range of bytes that a physical address can name, which may be nothing; `None` if the range wraps round.
pub(super) fn nameable(start: u64, length: u64) -> Option<PhysRange> {
    // A range may end with the very last byte that 64 bits can name.
    let Some(more) = length.checked_sub(1) else { return Some(PhysRange::default()) };
    let end = start.checked_add(more)?.saturating_add(1).min(PhysAddr::LIMIT);
    Some(PhysRange::from_bounds(start, end).unwrap_or_default())
}

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
    /// A node that says nothing.
    pub const DEFAULT: Self = Self { cells: Cells::DEFAULT, name: "", ranges: None };

    /// What a node says.
    #[inline(never)]
    pub fn of(node: &mut Node<'s>) -> Self {
        // More cells than any binding has are malformed.
        let mut cells = |symbol| node.cell_if(symbol, |count| count <= 8).map(|count| count as u8);
        let cells = Cells {
            address: cells(Symbol::ADDRESS_CELLS).unwrap_or(Cells::DEFAULT.address),
            size: cells(Symbol::SIZE_CELLS).unwrap_or(Cells::DEFAULT.size),
        };
        Self { cells, name: node.name(), ranges: node.value(Symbol::RANGES) }
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
