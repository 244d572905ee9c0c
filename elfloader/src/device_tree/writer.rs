//! Writes the compacted tree into the space that the caller gave.
//!
//! ```text
//! 0    header   strings (a constant)   reservations   structure …   one alias name   end
//! ```

use super::TreeError;
use super::header::HEADER;
use super::symbol::{STRINGS, Symbol};

/// Structure block tokens (Devicetree Specification 5.4.1).
pub(super) mod token {
    pub const BEGIN_NODE: u32 = 1;
    pub const END_NODE: u32 = 2;
    pub const PROP: u32 = 3;
    pub const NOP: u32 = 4;
    pub const END: u32 = 9;
}

/// Where the strings block begins, and the reservations after it.
const RESERVATIONS: usize = HEADER + STRINGS.len().next_multiple_of(8);

/// One property of `/aliases`: the only one whose name the boot does not know beforehand.
#[derive(Clone, Copy)]
pub(super) struct Alias<'d> {
    pub name: &'d [u8],
    pub path: &'d [u8],
}

/// A tree being written. A write that does not fit is an error and writes nothing.
pub(super) struct Writer<'s> {
    out: &'s mut [u8],
    at: usize,
    structure: usize,
}

impl<'s> Writer<'s> {
    /// Begins a tree with its constant part and the given reservation entries, which need no terminator.
    pub(super) fn new(out: &'s mut [u8], reservations: &[u8]) -> Result<Self, TreeError<'static>> {
        let mut writer = Self { out, at: 0, structure: 0 };
        writer.bytes(&[0; HEADER])?;
        writer.bytes(STRINGS)?;
        writer.bytes(&[0; 8][..RESERVATIONS - HEADER - STRINGS.len()])?;
        writer.bytes(reservations)?;
        writer.bytes(&[0; 16])?;
        writer.structure = writer.at;
        Ok(writer)
    }

    /// How far the tree is written.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Takes back all from `position` on.
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = self.at.min(position);
    }

    /// Begins a node; `name` is without its terminator.
    pub(super) fn begin_node(&mut self, name: &[u8]) -> Result<(), TreeError<'static>> {
        self.word(token::BEGIN_NODE)?;
        self.padded(name, 1)
    }

    /// Ends the innermost node.
    pub(super) fn end_node(&mut self) -> Result<(), TreeError<'static>> {
        self.word(token::END_NODE)
    }

    /// Adds a property.
    pub(super) fn property(&mut self, symbol: Symbol, value: &[u8]) -> Result<(), TreeError<'static>> {
        self.property_at(symbol.offset(), value)
    }

    fn property_at(&mut self, name: u32, value: &[u8]) -> Result<(), TreeError<'static>> {
        self.word(token::PROP)?;
        self.word(value.len() as u32)?;
        self.word(name)?;
        self.padded(value, 0)
    }

    /// Adds `/aliases` with its one property, ends the root and the tree; gives the tree's bytes.
    pub(super) fn finish(mut self, alias: Option<Alias<'_>>) -> Result<&'s [u8], TreeError<'static>> {
        // The alias's name follows the structure block, as the last string of the strings block.
        let mut name = None;
        if let Some(alias) = alias {
            self.begin_node(b"aliases")?;
            let property = self.at;
            self.property_at(0, alias.path)?;
            self.end_node()?;
            name = Some((alias.name, property));
        }
        self.end_node()?;
        self.word(token::END)?;
        let structure = self.at - self.structure;
        if let Some((alias, property)) = name {
            let offset = (self.at - HEADER) as u32;
            self.padded(alias, 1)?;
            let end = self.at;
            self.at = property + 8;
            self.word(offset)?;
            self.at = end;
        }
        let end = self.at;
        self.at = 0;
        let strings = (end - HEADER) as u32;
        let (structure_at, structure) = (self.structure as u32, structure as u32);
        let (strings_at, reservations) = (HEADER as u32, RESERVATIONS as u32);
        for field in
            [0xD00D_FEED, end as u32, structure_at, strings_at, reservations, 17, 16, 0, strings, structure]
        {
            self.word(field)?;
        }
        let Self { out, .. } = self;
        out.get(..end).ok_or(TreeError::Library)
    }

    fn word(&mut self, word: u32) -> Result<(), TreeError<'static>> {
        self.bytes(&word.to_be_bytes())
    }

    /// Writes `bytes`, at least `zeros` zeros, and more up to the next word.
    fn padded(&mut self, bytes: &[u8], zeros: usize) -> Result<(), TreeError<'static>> {
        self.bytes(bytes)?;
        let padding = (bytes.len() + zeros).next_multiple_of(4) - bytes.len();
        self.bytes([0; 4].get(..padding).unwrap_or_default())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), TreeError<'static>> {
        let capacity = self.out.len();
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end).ok_or(TreeError::Scratch { capacity })?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }
}
