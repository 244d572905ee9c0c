//! Numbers, ranges and text as property values hold them: big-endian cells of four bytes, strings ended by 0.

use fdt::node::{FdtNode, NodeProperty};
use shared_abi::addr::{PhysAddr, PhysRange};

use super::TreeError;
use super::kind::Kind;
use super::symbol::Symbol;

/// A node and what it is called, for the errors about it.
#[derive(Clone, Copy)]
pub(super) struct Value<'s> {
    /// The node's name.
    pub node: &'s str,
    /// The property.
    pub symbol: Symbol,
    /// Its value.
    pub bytes: &'s [u8],
}

/// The properties of a node of the compacted tree; the library calls each by its symbol's letter.
pub(super) fn values<'b, 's: 'b>(node: FdtNode<'b, 's>) -> impl Iterator<Item = Value<'s>> + 'b {
    let name = Kind::of_copy(node.name).map_or("", |(_, name)| name);
    node.properties().filter_map(move |NodeProperty { name: letter, value }| {
        Some(Value { node: name, symbol: Symbol::of_letter(letter)?, bytes: value })
    })
}

impl<'s> Value<'s> {
    /// The error that says that this value is malformed.
    pub fn malformed(&self) -> TreeError<'s> {
        TreeError::Property { node: self.node, property: self.symbol.name(), length: self.bytes.len() }
    }

    /// One cell.
    pub fn cell(&self) -> Result<u32, TreeError<'s>> {
        self.bytes.try_into().map(u32::from_be_bytes).map_err(|_| self.malformed())
    }

    /// One cell or two.
    pub fn number(&self) -> Result<u64, TreeError<'s>> {
        match self.bytes.len() {
            4 | 8 => number(self.bytes).ok_or(self.malformed()),
            _ => Err(self.malformed()),
        }
    }

    /// The first string.
    pub fn text(&self) -> Result<&'s str, TreeError<'s>> {
        let length = self.bytes.iter().position(|byte| *byte == 0).ok_or(self.malformed())?;
        let text = self.bytes.get(..length).unwrap_or_default();
        core::str::from_utf8(text).map_err(|_| self.malformed())
    }

    /// The records of this many bytes that the value is made of.
    pub fn records(&self, length: usize) -> Result<impl Iterator<Item = &'s [u8]> + use<'s>, TreeError<'s>> {
        if length == 0 || !self.bytes.len().is_multiple_of(length) {
            return Err(self.malformed());
        }
        Ok(self.bytes.chunks_exact(length))
    }
}

/// The number that no, one or two cells hold.
pub(super) fn number(cells: &[u8]) -> Option<u64> {
    match *cells {
        [] => Some(0),
        [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// How many cells the addresses and sizes of a node's children have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub address: usize,
    pub size: usize,
}

impl Cells {
    /// What holds where a node does not state them (Devicetree Specification 2.3.5).
    pub const DEFAULT: Self = Self { address: 2, size: 1 };

    /// Bytes of an address and a size.
    pub const fn record(self) -> usize {
        (self.address + self.size) * 4
    }

    /// The addresses and sizes of a `reg` value.
    pub fn ranges<'s>(
        self,
        value: Value<'s>,
    ) -> Result<impl Iterator<Item = (u64, u64)> + use<'s>, TreeError<'s>> {
        if self.address > 2 || self.size > 2 {
            return Err(value.malformed());
        }
        let split = self.address * 4;
        Ok(value.records(self.record())?.filter_map(move |record| {
            let (address, size) = record.split_at_checked(split)?;
            Some((number(address)?, number(size)?))
        }))
    }
}

/// The part of a range of bytes that a physical address can name; `None` if that is nothing.
pub(super) fn nameable<'s>(
    node: &'s str,
    start: u64,
    length: u64,
) -> Result<Option<PhysRange>, TreeError<'s>> {
    // A range may end with the very last byte that 64 bits can name.
    let last = match length.checked_sub(1) {
        Some(more) => start.checked_add(more).ok_or(TreeError::Range { node, start, length })?,
        None => return Ok(None),
    };
    let range = PhysRange::from_bounds(start, last.saturating_add(1).min(PhysAddr::LIMIT));
    // One that begins right at the limit has nothing below it.
    Ok(range.filter(|range| !range.is_empty()))
}

/// What a node says about the addresses of its children.
#[derive(Clone, Copy)]
pub(super) struct Bus<'s> {
    pub cells: Cells,
    /// The `ranges` value; `None` if there is none, so that its children have no physical addresses.
    pub ranges: Option<Value<'s>>,
}

impl<'s> Bus<'s> {
    /// A node that says nothing.
    pub const DEFAULT: Self = Self { cells: Cells::DEFAULT, ranges: None };

    /// Reads a node's properties.
    pub fn of(node: FdtNode<'_, 's>) -> Result<Self, TreeError<'s>> {
        let mut bus = Self::DEFAULT;
        values(node).try_for_each(|value| bus.take(value))?;
        Ok(bus)
    }

    /// Takes in one property of the node, if it is about this; of several the last.
    pub fn take(&mut self, value: Value<'s>) -> Result<(), TreeError<'s>> {
        match value.symbol {
            Symbol::ADDRESS_CELLS => self.cells.address = cell_count(value)?,
            Symbol::SIZE_CELLS => self.cells.size = cell_count(value)?,
            Symbol::RANGES => self.ranges = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// The address in the parent's view of `address` in the children's view (Devicetree Specification
    /// 2.3.8); `None` if no range has it.
    pub fn translate(&self, parent: Cells, address: u64) -> Result<Option<u64>, TreeError<'s>> {
        let Some(ranges) = self.ranges else { return Ok(None) };
        if ranges.bytes.is_empty() {
            return Ok(Some(address));
        }
        if self.cells.address > 2 || self.cells.size > 2 || parent.address > 2 {
            return Ok(None);
        }
        let (child, up) = (self.cells.address * 4, parent.address * 4);
        for record in ranges.records(child + up + self.cells.size * 4)? {
            let start = record.get(..child).and_then(number);
            let target = record.get(child..child + up).and_then(number);
            let length = record.get(child + up..).and_then(number);
            let (Some(start), Some(target), Some(length)) = (start, target, length) else {
                return Err(ranges.malformed());
            };
            if let Some(offset) = address.checked_sub(start).filter(|offset| *offset < length) {
                let wraps = TreeError::Range { node: ranges.node, start: target, length };
                return target.checked_add(offset).map(Some).ok_or(wraps);
            }
        }
        Ok(None)
    }
}

/// A number of cells: more than any binding has is malformed.
fn cell_count<'s>(value: Value<'s>) -> Result<usize, TreeError<'s>> {
    match value.cell()? {
        count @ 0..=8 => Ok(count as usize),
        _ => Err(value.malformed()),
    }
}
