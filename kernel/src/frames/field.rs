//! 512 units with two bits each: the one data structure of the frame allocator, used for the frames of a chunk and
//! for the chunks of a zone.
//!
//! ```text
//!   idle  plain
//!    1     1     free
//!    0     1     single: allocated, a block of one unit
//!    0     0     later: allocated, not the first unit of its block
//!    1     0     reserved: not to be given, or split into smaller units, or the first unit of a block that goes on
//! ```
//!
//! Free is `idle & plain`, one operation for 64 units, and aligned free blocks of every order are found in a few
//! more by folding a word onto itself. A longer block is one reserved unit and later ones after it; nothing else has
//! later units after it, so blocks of any length are told apart, and one unit is checked by its own bits alone.

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

/// What the bits of a unit say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Can be given out.
    Free,
    /// A block of its own.
    Single,
    /// A unit of a block, but not the first.
    Later,
    /// The first unit of a block if a later one follows; else reserved, or split.
    Reserved,
}

/// What to make of consecutive units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All free.
    Free,
    /// All reserved.
    Reserved,
    /// One block.
    Block,
    /// The first units of a block that goes on after them.
    Front,
    /// The later units of a block.
    Rest,
}

/// The two planes; see the module's table. All bit patterns are valid.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Field {
    idle: [u64; WORDS],
    plain: [u64; WORDS],
}

const _: () = assert!(size_of::<Field>() == UNITS / 4);

/// The words that some units lie in, each with the bits of those units.
#[inline(always)]
fn parts(start: usize, length: usize) -> impl Iterator<Item = (usize, u64)> {
    let (first, last) = (start / 64, (start + length).min(UNITS).saturating_sub(1) / 64);
    let front = u64::MAX << (start % 64);
    let back = u64::MAX >> (63 - (start + length).wrapping_sub(1) % 64);
    (first..=last).map(move |word| {
        let mask = if word == first { front } else { u64::MAX };
        (word % WORDS, if word == last { mask & back } else { mask })
    })
}

impl Field {
    /// A field of reserved units.
    pub const RESERVED: Self = Self { idle: [u64::MAX; WORDS], plain: [0; WORDS] };

    /// A field of free units.
    pub const FREE: Self = Self { idle: [u64::MAX; WORDS], plain: [u64::MAX; WORDS] };

    /// What the unit at `index` is.
    pub fn unit(&self, index: usize) -> Unit {
        let (word, bit) = (index / 64 % WORDS, index % 64);
        match (self.idle[word] >> bit & 1, self.plain[word] >> bit & 1) {
            (1, 1) => Unit::Free,
            (0, 1) => Unit::Single,
            (0, _) => Unit::Later,
            _ => Unit::Reserved,
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

    /// Makes `length` units from `start` on what `state` says.
    pub fn set_state(&mut self, start: usize, length: usize, state: State) {
        let (idle, plain) = match state {
            State::Free => (u64::MAX, u64::MAX),
            State::Reserved => (u64::MAX, 0),
            State::Block | State::Front | State::Rest => (0, 0),
        };
        for (word, mask) in parts(start, length) {
            self.idle[word] = self.idle[word] & !mask | idle & mask;
            self.plain[word] = self.plain[word] & !mask | plain & mask;
        }
        let (word, bit) = (start / 64 % WORDS, 1 << (start % 64));
        if state == State::Block && length == 1 {
            self.plain[word] |= bit;
        } else if matches!(state, State::Block | State::Front) {
            self.idle[word] |= bit;
        }
    }

    /// Whether `length` units from `start` on are exactly one block. For more than one, the caller looks at the
    /// unit after the last if that lies in another field.
    pub fn is_block(&self, start: usize, length: usize) -> bool {
        if length == 1 {
            return self.unit(start) == Unit::Single;
        }
        let mut first = 1 << (start % 64);
        for (word, mask) in parts(start, length) {
            if self.plain[word] & mask != 0 || self.idle[word] & mask != first {
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

    /// Frees the unit at `index` if it is a block of its own. Says whether it was, and which units of its word are
    /// free then.
    #[inline(always)]
    pub fn free_single(&mut self, index: usize) -> Option<u64> {
        let word = index / 64 % WORDS;
        let (idle, plain) = (self.idle[word], self.plain[word]);
        let bit = 1 << (index % 64);
        if plain & !idle & bit == 0 {
            return None;
        }
        self.idle[word] = idle | bit;
        Some((idle | bit) & plain)
    }

    /// The lowest free unit, as word and bit.
    #[inline(always)]
    pub fn find_single(&self) -> Option<(usize, u32)> {
        (0..WORDS).find_map(|word| {
            let free = self.free_in(word);
            (free != 0).then(|| (word, free.trailing_zeros()))
        })
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

    /// Takes the lowest free block of `order` (0 to 9) and says where it begins.
    #[inline(always)]
    pub fn take(&mut self, order: u8) -> Option<usize> {
        if order == 0 {
            let (word, bit) = self.find_single()?;
            self.take_single(word, bit);
            return Some(word * 64 + bit as usize);
        }
        let index = self.find(order)?;
        self.set_state(index, 1 << order, State::Block);
        Some(index)
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

    /// Whether a field of `class` may have grown by freeing the unit at `index`, where `free` are the free units of
    /// its word now: whether the block of order `class` around it is free, as far as that word tells.
    #[inline(always)]
    pub fn may_grow(index: usize, class: u8, free: u64) -> bool {
        if class >= 6 {
            return free == u64::MAX;
        }
        let length = 1u32 << class;
        (free >> (index as u32 & length.wrapping_neg() & 63)) | u64::MAX << length == u64::MAX
    }

    /// Whether the block of `order` (0 to 9) that holds the unit at `index` is free as a whole.
    fn is_free_block(&self, index: usize, order: u8) -> bool {
        if order <= 6 {
            return Self::may_grow(index, order, self.free_in(index / 64));
        }
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

    /// The class after the unit at `index`, or a block that it is in, was freed, from the `class` before: only
    /// blocks around `index` can have grown.
    pub fn grown(&self, index: usize, class: u8) -> u8 {
        let grows = |class: &u8| *class > TOP || !self.is_free_block(index, *class);
        (class..).find(grows).unwrap_or(class)
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
