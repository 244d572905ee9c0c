//! The property names that the boot reads. All others are left out of the pruned tree.

use super::word::Word;

/// A property name that the boot reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol(u8);

macro_rules! symbols {
    ($($constant:ident $name:literal;)*) => {
        #[allow(clippy::upper_case_acronyms, non_camel_case_types, reason = "only counts")]
        enum Index { $($constant,)* }

        impl Symbol {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self(Index::$constant as u8);
            )*
        }

        /// All names, in the order of their numbers.
        pub(super) const NAMES: &[&str] = &[$($name,)*];

        /// All names as they lie in a strings block.
        const TEXT: &str = concat!($($name, "\0",)*);
    };
}

symbols! {
    REG "reg";
    STATUS "status";
    ADDRESS_CELLS "#address-cells";
    SIZE_CELLS "#size-cells";
    ENABLE_METHOD "enable-method";
    METHOD "method";
    NUMA_NODE "numa-node-id";
    MODEL "model";
    RANGES "ranges";
    RELEASE_ADDRESS "cpu-release-addr";
    BOOTARGS "bootargs";
    STDOUT_PATH "stdout-path";
    LINUX_STDOUT_PATH "linux,stdout-path";
    INITRD_START "linux,initrd-start";
    INITRD_END "linux,initrd-end";
    RNG_SEED "rng-seed";
    KASLR_SEED "kaslr-seed";
    NO_MAP "no-map";
    REUSABLE "reusable";
    SIZE "size";
    ALIGNMENT "alignment";
    ALLOC_RANGES "alloc-ranges";
    REG_SHIFT "reg-shift";
    REG_IO_WIDTH "reg-io-width";
    REG_OFFSET "reg-offset";
    CLOCK_FREQUENCY "clock-frequency";
    DEVICE_TYPE "device_type";
    COMPATIBLE "compatible";
    USABLE_MEMORY "linux,usable-memory";
    USABLE_MEMORY_RANGE "linux,usable-memory-range";
    ELF_CORE_HEADER "linux,elfcorehdr";
    IMA_BUFFER "linux,ima-kexec-buffer";
}

/// How many there are.
pub(super) const COUNT: usize = NAMES.len();

const _: () = assert!(COUNT <= 64, "a set of symbols is 64 bits");

/// Bytes of the constant part of the pruned tree's strings block.
pub(super) const STRINGS_LENGTH: usize = TEXT.len();

/// That part in words as they lie in memory, filled up with zeros.
pub(super) const STRINGS: [Word; STRINGS_LENGTH.div_ceil(4)] = {
    let mut strings = [0; STRINGS_LENGTH.div_ceil(4)];
    let mut index = 0;
    while index < STRINGS_LENGTH {
        let mut bytes = u32::to_ne_bytes(strings[index / 4]);
        bytes[index % 4] = TEXT.as_bytes()[index];
        strings[index / 4] = u32::from_ne_bytes(bytes);
        index += 1;
    }
    strings
};

/// Where each name is in it.
const OFFSETS: [u16; COUNT] = {
    let mut offsets = [0; COUNT];
    let mut index = 1;
    while index < COUNT {
        offsets[index] = offsets[index - 1] + NAMES[index - 1].len() as u16 + 1;
        index += 1;
    }
    offsets
};

/// A number below 64 by a name's first two letters, which few names share.
const fn beginning(first: u8, second: u8) -> usize {
    (first as usize ^ (second as usize) << 1) % 64
}

/// The symbols whose names have such a beginning, as bits by number.
const BY_BEGINNING: [u64; 64] = {
    let mut beginnings = [0; 64];
    let mut index = 0;
    while index < COUNT {
        let name = NAMES[index].as_bytes();
        beginnings[beginning(name[0], name[1])] |= 1 << index;
        index += 1;
    }
    beginnings
};

impl Symbol {
    /// The symbol whose name a text is, or begins with up to a zero.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let [first, second, ..] = *text else { return None };
        let mut candidates = BY_BEGINNING[beginning(first, second)];
        while candidates != 0 {
            let symbol = Self(candidates.trailing_zeros() as u8);
            let name = symbol.name().as_bytes();
            if matches!(text.get(name.len()), None | Some(0)) && text.starts_with(name) {
                return Some(symbol);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// What a number of [`Strings`] says.
    #[inline]
    pub(super) const fn of_met(met: u8) -> Option<Self> {
        match met {
            0 | 1 => None,
            _ => Some(Self(met - 2)),
        }
    }

    /// Its number, less than [`COUNT`].
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Where its name is in [`STRINGS`].
    pub(super) fn offset(self) -> u32 {
        OFFSETS.get(self.index()).copied().map_or(0, u32::from)
    }

    /// Whether its value is a text of any length.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::MODEL | Self::BOOTARGS | Self::STDOUT_PATH | Self::LINUX_STDOUT_PATH)
    }

    /// The name in device trees.
    pub(super) fn name(self) -> &'static str {
        NAMES.get(self.index()).copied().unwrap_or_default()
    }
}

/// A set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct SymbolSet(u64);

impl SymbolSet {
    /// The set of these.
    pub(super) const fn of(symbols: &[Symbol]) -> Self {
        let mut set = Self(0);
        let mut index = 0;
        while index < symbols.len() {
            set.0 |= 1 << symbols[index].0;
            index += 1;
        }
        set
    }

    /// Whether it has a name.
    pub(super) const fn has(self, symbol: Symbol) -> bool {
        self.0 >> symbol.0 & 1 != 0
    }

    /// Puts a name in.
    pub(super) const fn insert(&mut self, symbol: Symbol) {
        self.0 |= 1 << symbol.0;
    }

    /// All names of both.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names that both have, in the order of their numbers.
    pub(super) fn common(self, other: Self) -> impl Iterator<Item = Symbol> {
        let mut names = self.0 & other.0;
        core::iter::from_fn(move || {
            let symbol = Symbol(names.trailing_zeros() as u8);
            names &= names.checked_sub(1)?;
            Some(symbol)
        })
    }
}

/// Offsets of a strings block for which it is remembered what stands there: more than QEMU's virt has.
pub(super) const REMEMBERED: usize = 1024;

/// A tree's strings block, of which each name is compared once.
pub(super) struct Strings<'d> {
    /// The block; its last byte is 0 if it has one.
    block: &'d [u8],
    met: [u8; REMEMBERED],
}

impl<'d> Strings<'d> {
    pub(super) const fn new(block: &'d [u8]) -> Self {
        Self { block, met: [0; REMEMBERED] }
    }

    /// What the name at an offset is to the boot; the outer `None` if the offset is outside the block.
    #[inline]
    pub(super) fn symbol(&mut self, offset: usize) -> Option<Option<Symbol>> {
        match self.met.get(offset) {
            Some(&met @ 1..) => Some(Symbol::of_met(met)),
            _ => self.meet(offset),
        }
    }

    /// By offset: 0 for what was not met, 1 for a name that is not read, else a symbol's.
    pub(super) const fn met(&self) -> &[u8; REMEMBERED] {
        &self.met
    }

    #[inline(never)]
    fn meet(&mut self, offset: usize) -> Option<Option<Symbol>> {
        let symbol = Symbol::of(self.from(offset)?);
        if let Some(met) = self.met.get_mut(offset) {
            *met = symbol.map_or(1, |symbol| symbol.0 + 2);
        }
        Some(symbol)
    }

    fn from(&self, offset: usize) -> Option<&'d [u8]> {
        self.block.get(offset..).filter(|text| !text.is_empty())
    }

    /// The name at an offset; `None` if that is outside the block.
    pub(super) fn name(&self, offset: usize) -> Option<&'d [u8]> {
        let text = self.from(offset)?;
        text.get(..text.iter().position(|byte| *byte == 0)?)
    }
}
