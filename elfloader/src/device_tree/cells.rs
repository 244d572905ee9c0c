//! Numbers and ranges as property values hold them, in big-endian cells of four bytes; text.

use shared_abi::addr::{PhysAddr, PhysRange};

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
pub(super) fn take_number(bytes: &mut &[u8], cells: u8) -> Option<u64> {
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

/// The longest value that is read as text, in bytes; Linux takes command lines of 2048.
pub(super) const LONGEST_TEXT: usize = 4096;

/// The first string of a value.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let value = Some(value).filter(|value| value.len() <= LONGEST_TEXT)?;
    let length = value.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(value.get(..length)?).ok()
}
