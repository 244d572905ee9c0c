//! The pruned tree: a plain device tree of what the boot reads, with the names and values of the original.
//!
//! ```text
//! 0    header   reservations   structure …   strings: a constant, and the name of the console's alias
//! ```

use arrayvec::ArrayVec;
use zerocopy::IntoBytes;

use super::TreeError;
use super::header::HEADER;
use super::symbol::{STRINGS, STRINGS_LENGTH, Symbol};
use super::word::{Word, words_of};

/// Words of the pruned tree. A processor that PSCI starts takes at most 19, and [`crate::platform::CPUS`] of them leave
/// room for the rest of a board.
pub(super) const CAPACITY: usize = 24 << 8;

/// Structure block tokens (Devicetree Specification 5.4.1), as they lie in memory.
pub(super) mod token {
    use super::Word;

    pub const BEGIN_NODE: Word = 1_u32.to_be();
    pub const END_NODE: Word = 2_u32.to_be();
    pub const PROP: Word = 3_u32.to_be();
    pub const NOP: Word = 4_u32.to_be();
    pub const END: Word = 9_u32.to_be();
}

/// Words of the header.
const HEADER_WORDS: usize = HEADER / 4;

/// A device tree of what the boot reads of another: well-formed by construction, without NOPs and without seeds.
#[derive(Debug, Default)]
pub struct Pruned {
    words: ArrayVec<Word, CAPACITY>,
    /// Where the structure block begins, in words.
    structure: usize,
    /// Something did not fit: only [`Self::finish`] fails.
    overflow: bool,
}

impl Pruned {
    /// Most bytes that are kept of a tree.
    pub const LARGEST: usize = CAPACITY * 4;

    /// Room for one.
    pub const fn new() -> Self {
        Self { words: ArrayVec::new_const(), structure: 0, overflow: false }
    }

    /// The tree, as it can be written to a file.
    pub fn as_bytes(&self) -> &[u8] {
        self.words.as_bytes()
    }

    /// Begins a tree with the given reservation entries, which need no terminator.
    pub(super) fn begin(&mut self, reservations: &[Word]) {
        self.words.clear();
        self.overflow = false;
        self.write(&[0; HEADER_WORDS]);
        self.write(reservations);
        self.write(&[0; 4]);
        self.structure = self.words.len();
    }

    /// Begins a node.
    pub(super) fn begin_node(&mut self, name: &[Word]) {
        self.push(token::BEGIN_NODE);
        self.write(name);
    }

    /// Ends the innermost node.
    pub(super) fn end_node(&mut self) {
        self.push(token::END_NODE);
    }

    /// Adds a property of so many bytes.
    pub(super) fn property(&mut self, symbol: Symbol, length: u32, words: &[Word]) {
        self.named_property(symbol.offset(), length, words);
    }

    /// Adds the property whose name [`Self::finish`] is given.
    pub(super) fn alias(&mut self, length: u32, words: &[Word]) {
        self.named_property(STRINGS_LENGTH as u32, length, words);
    }

    fn named_property(&mut self, name: u32, length: u32, words: &[Word]) {
        self.write(&[token::PROP, length.to_be(), name.to_be()]);
        self.write(words.get(..words_of(length)).unwrap_or_default());
    }

    /// Ends the tree, with the name of its alias.
    ///
    /// # Errors
    /// [`TreeError::Scratch`] if not all of it fitted.
    pub(super) fn finish(&mut self, alias: &[u8]) -> Result<(), TreeError<'static>> {
        self.push(token::END);
        let strings = self.words.len();
        self.write(&STRINGS);
        // The constant ends with a zero or more, which the alias's name begins to fill.
        let alias_words = (STRINGS_LENGTH + alias.len()) / 4 + 1 - STRINGS.len();
        for _ in 0..alias_words {
            self.push(0);
        }
        let place = strings * 4 + STRINGS_LENGTH;
        if let Some(place) = self.words.as_mut_bytes().get_mut(place..place + alias.len()) {
            place.copy_from_slice(alias);
        }
        let total = self.words.len();
        let [total, structure, structure_length, strings, strings_length, reservations] =
            [total, self.structure, strings - self.structure, strings, total - strings, HEADER_WORDS]
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
        for (place, field) in self.words.iter_mut().zip(fields) {
            *place = field.to_be();
        }
        if self.overflow { Err(TreeError::Scratch { capacity: Self::LARGEST }) } else { Ok(()) }
    }

    #[inline]
    fn push(&mut self, word: Word) {
        self.overflow |= self.words.try_push(word).is_err();
    }

    fn write(&mut self, words: &[Word]) {
        self.overflow |= self.words.try_extend_from_slice(words).is_err();
    }
}
