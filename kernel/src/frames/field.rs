//! 512 units with two bits each: the one data structure of the frame allocator, used for the frames of a chunk and
//! for the chunks of a zone.
//!
//! ```text
//!   idle  plain
//!    1     1     free
//!    0     1     allocated, the first unit of its block
//!    0     0     allocated, a later unit of its block
//!    1     0     set aside: a reserved frame; a chunk that is reserved or split into frames
//! ```
//!
//! Free is `idle & plain`, one operation for 64 units, and aligned free blocks of every order are found in a few
//! more by folding a word onto itself. A block of any length is its first unit and the later ones behind it, so a
//! field knows exactly what a free must match.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Units in a field.
pub(super) const UNITS: usize = 512;

/// 64-unit words of a plane.
const WORDS: usize = UNITS / 64;

/// The largest order of a block inside a field: all of it.
pub(super) const TOP: u8 = 9;

/// `STARTS[k]` has a bit for every place in a word where a block of order `k` may begin.
const STARTS: [u64; 7] = [
    u64::MAX,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    0x0000_0000_0000_0001,
];

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Can be given out.
    Free,
    /// The first unit of an allocated block.
    First,
    /// A later unit of an allocated block.
    Later,
    /// Reserved; or, for a chunk, split.
    Aside,
}

/// The two planes; see the module's table. All bit patterns are valid.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Field {
    idle: [u64; WORDS],
    plain: [u64; WORDS],
}

const _: () = assert!(size_of::<Field>() == UNITS / 4);

/// The words that `start..start + length` touches, each with the mask of the units in it.
fn words(start: usize, length: usize) -> impl Iterator<Item = (usize, u64)> {
    let end = if start + length < UNITS { start + length } else { UNITS };
    (start / 64..end.div_ceil(64)).map(move |word| {
        let low = start.saturating_sub(word * 64);
        let high = 64 - (end - word * 64).min(64);
        (word, (u64::MAX >> high) & (u64::MAX << low))
    })
}

impl Field {
    /// A field whose units are all the same.
    pub const fn filled(unit: Unit) -> Self {
        let (idle, plain) = match unit {
            Unit::Free => (u64::MAX, u64::MAX),
            Unit::First => (0, u64::MAX),
            Unit::Later => (0, 0),
            Unit::Aside => (u64::MAX, 0),
        };
        Self { idle: [idle; WORDS], plain: [plain; WORDS] }
    }

    /// What the unit at `index` is.
    pub fn unit(&self, index: usize) -> Unit {
        let (word, bit) = (index / 64 % WORDS, index % 64);
        match (self.idle[word] >> bit & 1, self.plain[word] >> bit & 1) {
            (1, 1) => Unit::Free,
            (0, 1) => Unit::First,
            (0, _) => Unit::Later,
            _ => Unit::Aside,
        }
    }

    /// The free units among the 64 of `word`.
    #[inline(always)]
    pub fn free_in(&self, word: usize) -> u64 {
        self.idle[word % WORDS] & self.plain[word % WORDS]
    }

    /// How many units are free.
    pub fn free_units(&self) -> u16 {
        (0..WORDS).map(|word| self.free_in(word).count_ones() as u16).sum()
    }

    /// Makes `length` units from `start` on a block of their own, or part of one if they are `Later`.
    pub fn paint(&mut self, start: usize, length: usize, unit: Unit) {
        let (idle, plain) = match unit {
            Unit::Free => (u64::MAX, u64::MAX),
            Unit::First | Unit::Later => (0, 0),
            Unit::Aside => (u64::MAX, 0),
        };
        for (word, mask) in words(start, length) {
            self.idle[word] = self.idle[word] & !mask | idle & mask;
            self.plain[word] = self.plain[word] & !mask | plain & mask;
        }
        if unit == Unit::First {
            self.plain[start / 64 % WORDS] |= 1 << (start % 64);
        }
    }

    /// Whether `length` units from `start` on are exactly one block, as far as this field can tell: the caller
    /// looks at the unit behind the last one if that lies in another field.
    pub fn is_block(&self, start: usize, length: usize) -> bool {
        let mut first = 1 << (start % 64);
        for (word, mask) in words(start, length) {
            if self.idle[word] & mask != 0 || self.plain[word] & mask != first {
                return false;
            }
            first = 0;
        }
        let next = start + length;
        next >= UNITS || self.unit(next) != Unit::Later
    }

    /// Takes the free unit `bit` of `word` as a block of its own.
    #[inline(always)]
    pub fn take_single(&mut self, word: usize, bit: u32) {
        self.idle[word % WORDS] &= !(1 << (bit % 64));
    }

    /// Frees the unit at `index` if it is a block of its own, and says whether it was. The caller looks at the
    /// unit behind the field's last one.
    #[inline(always)]
    pub fn free_single(&mut self, index: usize) -> bool {
        let (word, bit) = (index / 64 % WORDS, index % 64);
        let (idle, plain) = (self.idle[word], self.plain[word]);
        let first = plain & !idle;
        // A unit is followed by more of its block if the next one is neither idle nor plain.
        let followed = !(idle | plain) >> 1;
        if (first & !followed) >> bit & 1 == 0 || (bit == 63 && self.goes_on(word + 1)) {
            return false;
        }
        self.idle[word] = idle | 1 << bit;
        true
    }

    /// Whether the first unit of `word` belongs to the block before it.
    #[cold]
    fn goes_on(&self, word: usize) -> bool {
        word < WORDS && (self.idle[word] | self.plain[word]) & 1 == 0
    }

    /// The lowest free block of `order` (0 to 9).
    pub fn find(&self, order: u8) -> Option<usize> {
        if order > 6 {
            let full = self.full_words(order - 6);
            return (full != 0).then(|| full.trailing_zeros() as usize * 64);
        }
        (0..WORDS).find_map(|word| {
            let mut fits = self.free_in(word);
            if fits == 0 {
                return None;
            }
            for half in 0..order {
                fits &= fits >> (1 << half);
            }
            fits &= STARTS[order as usize];
            (fits != 0).then(|| word * 64 + fits.trailing_zeros() as usize)
        })
    }

    /// One bit per word at which 2^`order` (0 to 3) wholly free words begin, naturally aligned.
    fn full_words(&self, order: u8) -> u32 {
        let mut full = 0;
        for word in 0..WORDS {
            full |= u32::from(self.free_in(word) == u64::MAX) << word;
        }
        for half in 0..order {
            full &= full >> (1 << half);
        }
        full & STARTS[order as usize % STARTS.len()] as u32
    }

    /// Whether the block of `order` that holds the unit at `index` is free as a whole.
    #[inline(always)]
    pub fn is_free_block(&self, index: usize, order: u8) -> bool {
        if order < 6 {
            let length = 1 << order;
            let mask = (1u64 << length) - 1;
            let free = self.free_in(index / 64);
            (free >> ((index % 64) & !(length - 1))) & mask == mask
        } else {
            self.is_free_words(index, order)
        }
    }

    /// The same for orders of whole words.
    #[cold]
    fn is_free_words(&self, index: usize, order: u8) -> bool {
        let length = 1 << (order.min(TOP) - 6);
        let first = (index / 64 % WORDS) & !(length - 1);
        (first..first + length).all(|word| self.free_in(word) == u64::MAX)
    }

    /// The class of the largest free block: its order + 1, or 0 if nothing is free.
    pub fn class(&self) -> u8 {
        let mut fits: [u64; WORDS] = core::array::from_fn(|word| self.free_in(word));
        if fits.iter().fold(0, |any, word| any | word) == 0 {
            return 0;
        }
        for (order, starts) in (1..).zip(&STARTS[1..]) {
            let mut any = 0;
            for word in &mut fits {
                *word &= *word >> (1 << (order - 1)) & starts;
                any |= *word;
            }
            if any == 0 {
                return order;
            }
        }
        (7..=TOP).find(|order| self.full_words(order - 6) == 0).unwrap_or(TOP + 1)
    }

    /// The class after a block of `order` at `index` was freed, from the `class` before: only blocks around
    /// `index` can have grown.
    #[inline(always)]
    pub fn grown(&self, index: usize, order: u8, class: u8) -> u8 {
        let mut class = class.max(order + 1);
        while class <= TOP && self.is_free_block(index, class) {
            class += 1;
        }
        class
    }

    /// Adds the number of free blocks of each order to `counts`, every free unit counted once, in the largest
    /// aligned block that holds it.
    pub fn tally(&self, counts: &mut [u64; TOP as usize + 1]) {
        let mut full = 0u64;
        for word in 0..WORDS {
            let mut fits = self.free_in(word);
            for order in 1..STARTS.len() {
                let pairs = fits & fits >> (1 << (order - 1)) & STARTS[order];
                counts[order - 1] += u64::from(fits.count_ones() - 2 * pairs.count_ones());
                fits = pairs;
            }
            full |= fits << word;
        }
        for order in 1..=3 {
            let pairs = full & full >> (1 << (order - 1)) & STARTS[order];
            counts[order + 5] += u64::from(full.count_ones() - 2 * pairs.count_ones());
            full = pairs;
        }
        counts[TOP as usize] += u64::from(full.count_ones());
    }

    /// The length of the run of units from `index` on that are the same, at most to the end of their word.
    pub fn run(&self, index: usize) -> usize {
        let (word, bit) = (index / 64 % WORDS, index % 64);
        let same = |plane: u64| if plane >> bit & 1 == 1 { plane } else { !plane };
        let equal = same(self.idle[word]) & same(self.plain[word]);
        ((!(equal >> bit)).trailing_zeros() as usize).min(64 - bit)
    }
}
