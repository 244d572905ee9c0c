//! Writes the compacted tree, by words as they lie in memory: big-endian.
//!
//! ```text
//! 0    header   strings (a constant)   reservations   structure …
//! ```

use arrayvec::ArrayVec;

use super::header::HEADER;
use super::kind::Kind;
use super::original::Word;
use super::symbol::{STRINGS, Symbol};
use super::{COMPACT, TreeError};

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

/// The compacted tree: on the stack while the tree is read.
pub(super) type Compact = ArrayVec<Word, COMPACT>;

/// A tree being written. Offsets are in words.
///
/// What does not fit is not written and remembered, so that only [`Self::finish`] can fail.
pub(super) struct Writer<'s> {
    out: &'s mut Compact,
    structure: usize,
    overflow: bool,
}

impl<'s> Writer<'s> {
    /// Begins a tree with its constant part and the given reservation entries, which need no terminator.
    pub(super) fn new(out: &'s mut Compact, reservations: &[Word]) -> Self {
        let mut writer = Self { out, structure: 0, overflow: false };
        writer.write(&[0; HEADER_WORDS]);
        writer.write(&STRINGS);
        writer.write(&[0; RESERVATIONS - HEADER_WORDS - STRINGS.len()]);
        writer.write(reservations);
        writer.write(&[0; 4]);
        writer.structure = writer.position();
        writer
    }

    /// How far the tree is written.
    pub(super) const fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back all from `position` on.
    pub(super) fn rewind(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Begins a node whose name is at an index of the original.
    pub(super) fn begin_node(&mut self, kind: Kind, name: u32) {
        match kind {
            Kind::Root => self.write(&[token::BEGIN_NODE.to_be(), 0]),
            _ => {
                let [first, second] = kind.copy_name(name);
                self.write(&[token::BEGIN_NODE.to_be(), first, second]);
            }
        }
    }

    /// Ends the innermost node.
    pub(super) fn end_node(&mut self) {
        self.write(&[token::END_NODE.to_be()]);
    }

    /// Adds a property that is at an index of the original; [`Symbol::CLASS`] is no property and has a number there.
    pub(super) fn property(&mut self, symbol: Symbol, index: u32) {
        self.write(&[token::PROP, 4, symbol.offset(), index].map(u32::to_be));
    }

    /// Ends the tree.
    ///
    /// # Errors
    /// [`TreeError::Scratch`] if not all of it fitted.
    pub(super) fn finish(mut self) -> Result<(), TreeError<'static>> {
        self.write(&[token::END.to_be()]);
        let end = self.position();
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
        for (place, field) in self.out.iter_mut().zip(fields) {
            *place = field.to_be();
        }
        if self.overflow { Err(TreeError::Scratch { capacity: COMPACT * 4 }) } else { Ok(()) }
    }

    #[inline]
    fn write(&mut self, words: &[Word]) {
        self.overflow |= self.out.try_extend_from_slice(words).is_err();
    }
}
