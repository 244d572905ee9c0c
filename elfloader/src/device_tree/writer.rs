//! Writes the compacted tree into the space that the caller gave, by words as they lie in memory: big-endian.
//!
//! ```text
//! 0    header   strings (a constant)   reservations   structure …
//! ```

use zerocopy::IntoBytes;

use super::TreeError;
use super::compact::Word;
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

/// Words of the header.
const HEADER_WORDS: usize = HEADER / 4;

/// Where the reservations begin: at an even word.
const RESERVATIONS: usize = (HEADER_WORDS + STRINGS.len()).next_multiple_of(2);

/// A tree being written. Offsets are in words.
///
/// What does not fit is not written and remembered, so that only [`Self::finish`] can fail.
pub(super) struct Writer<'s> {
    out: &'s mut [Word],
    at: usize,
    structure: usize,
    overflow: bool,
}

impl<'s> Writer<'s> {
    /// Begins a tree with its constant part and the given reservation entries, which need no terminator.
    pub(super) fn new(out: &'s mut [Word], reservations: &[Word]) -> Self {
        let mut writer = Self { out, at: HEADER_WORDS, structure: 0, overflow: false };
        writer.write(&STRINGS, &[0; RESERVATIONS - HEADER_WORDS - STRINGS.len()]);
        writer.write(reservations, &[0; 4]);
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

    /// Begins a node; `name` is all words of its name, the terminator included.
    pub(super) fn begin_node(&mut self, kind: Kind, name: &[Word]) {
        match kind {
            Kind::Root => self.write(&[token::BEGIN_NODE.to_be(), 0], &[]),
            _ => self.write(&[token::BEGIN_NODE.to_be(), kind.tag()], name),
        }
    }

    /// Ends the innermost node.
    pub(super) fn end_node(&mut self) {
        self.write(&[token::END_NODE.to_be()], &[]);
    }

    /// Adds a property; `value` is all words of its `length` bytes.
    pub(super) fn property(&mut self, symbol: Symbol, length: u32, value: &[Word]) {
        self.write(&[token::PROP, length, symbol.offset()].map(u32::to_be), value);
    }

    /// Ends the tree; gives its bytes.
    ///
    /// # Errors
    /// [`TreeError::Scratch`] if not all of it fitted.
    pub(super) fn finish(mut self) -> Result<&'s [u8], TreeError<'static>> {
        self.write(&[token::END.to_be()], &[]);
        let end = self.at;
        let [total, structure, structure_length, strings, strings_length, reservations] =
            [end, self.structure, end - self.structure, HEADER_WORDS, STRINGS.len(), RESERVATIONS]
                .map(|words| words as u32 * 4);
        let fields = [
            0xD00D_FEED,
            total,
            structure,
            strings,
            reservations,
            17,
            16,
            0,
            strings_length,
            structure_length,
        ];
        self.at = 0;
        self.write(&fields.map(u32::to_be), &[]);
        let Self { out, overflow, .. } = self;
        let capacity = size_of_val(out);
        out.get(..end).filter(|_| !overflow).map(IntoBytes::as_bytes).ok_or(TreeError::Scratch { capacity })
    }

    /// Writes one after the other.
    fn write(&mut self, head: &[Word], body: &[Word]) {
        let place = self.out.get_mut(self.at..).and_then(|rest| rest.get_mut(..head.len() + body.len()));
        let Some((first, second)) = place.and_then(|place| place.split_at_mut_checked(head.len())) else {
            self.overflow = true;
            return;
        };
        for (parts, words) in [(first, head), (second, body)] {
            for (part, word) in parts.iter_mut().zip(words) {
                *part = *word;
            }
        }
        self.at += head.len() + body.len();
    }
}
