//! Writes the compacted tree into the space that the caller gave.
//!
//! ```text
//! 0    header   strings (a constant)   reservations   structure …
//! ```

use super::TreeError;
use super::header::HEADER;
use super::kind::Kind;
use super::symbol::{STRINGS, Symbol};

/// Structure block tokens (Devicetree Specification 5.4.1).
pub(super) mod token {
    pub const BEGIN_NODE: u32 = 1;
    pub const END_NODE: u32 = 2;
    pub const PROP: u32 = 3;
    pub const NOP: u32 = 4;
    pub const END: u32 = 9;
}

/// Where the reservations begin: a multiple of 8.
const RESERVATIONS: usize = (HEADER + STRINGS.len()).next_multiple_of(8);

/// A tree being written.
///
/// What does not fit is not written and remembered, so that only [`Self::finish`] can fail.
pub(super) struct Writer<'s> {
    out: &'s mut [u8],
    at: usize,
    structure: usize,
    overflow: bool,
}

impl<'s> Writer<'s> {
    /// Begins a tree with its constant part and the given reservation entries, which need no terminator.
    pub(super) fn new(out: &'s mut [u8], reservations: &[u8]) -> Self {
        let mut writer = Self { out, at: HEADER, structure: 0, overflow: false };
        writer.write(&STRINGS, &[], RESERVATIONS - HEADER);
        writer.write(reservations, &[], reservations.len() + 16);
        writer.structure = writer.at;
        writer
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
    pub(super) fn begin_node(&mut self, kind: Kind, name: &[u8]) {
        let [a, b, c, d] = token::BEGIN_NODE.to_be_bytes();
        match kind {
            Kind::Root => self.write(&[a, b, c, d], &[], 8),
            _ => self.write(&[a, b, c, d, kind.letter()], name, (4 + 1 + name.len() + 1).next_multiple_of(4)),
        }
    }

    /// Ends the innermost node.
    pub(super) fn end_node(&mut self) {
        self.write(&token::END_NODE.to_be_bytes(), &[], 4);
    }

    /// Adds a property.
    pub(super) fn property(&mut self, symbol: Symbol, value: &[u8]) {
        let head = [token::PROP, value.len() as u32, symbol.offset()].map(u32::to_be_bytes);
        self.write(head.as_flattened(), value, (12 + value.len()).next_multiple_of(4));
    }

    /// Ends the tree; gives its bytes.
    ///
    /// # Errors
    /// [`TreeError::Scratch`] if not all of it fitted.
    pub(super) fn finish(mut self) -> Result<&'s [u8], TreeError<'static>> {
        self.write(&token::END.to_be_bytes(), &[], 4);
        let end = self.at;
        let [end_word, structure, length] =
            [end, self.structure, end - self.structure].map(|number| number as u32);
        let (strings, strings_length) = (HEADER as u32, STRINGS.len() as u32);
        let reservations = RESERVATIONS as u32;
        let fields =
            [0xD00D_FEED, end_word, structure, strings, reservations, 17, 16, 0, strings_length, length];
        self.at = 0;
        self.write(fields.map(u32::to_be_bytes).as_flattened(), &[], HEADER);
        let Self { out, overflow, .. } = self;
        let capacity = out.len();
        out.get(..end).filter(|_| !overflow).ok_or(TreeError::Scratch { capacity })
    }

    /// Writes `head`, `body` and zeros after them, `length` bytes together.
    fn write(&mut self, head: &[u8], body: &[u8], length: usize) {
        let place = self.out.get_mut(self.at..).and_then(|rest| rest.get_mut(..length));
        let split = place.and_then(|place| place.split_at_mut_checked(head.len()));
        match split.and_then(|(first, rest)| Some((first, rest.split_at_mut_checked(body.len())?))) {
            Some((first, (second, padding))) => {
                first.copy_from_slice(head);
                second.copy_from_slice(body);
                padding.iter_mut().for_each(|byte| *byte = 0);
                self.at += length;
            }
            None => self.overflow = true,
        }
    }
}
