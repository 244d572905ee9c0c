//! The property names that the boot reads, and the one letter that each has in the compacted tree.
//!
//! All other properties are left out there, so its strings block is a constant. The names are one letter long
//! because the `fdt` library reads a name byte by byte, several times.

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
        const NAMES: &[&str] = &[$($name,)*];
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
    CONSOLE_ALIAS "console alias";
    CLASS "class";
}

/// How many there are.
pub(super) const COUNT: usize = NAMES.len();

const _: () = assert!(COUNT <= 64, "a set of symbols is 64 bits");

/// The letter of the first symbol.
const FIRST_LETTER: u8 = b'A';

/// The compacted tree's strings block in words as they lie in memory: a letter and a zero for each symbol.
pub(super) const STRINGS: [u32; COUNT.div_ceil(2)] = {
    let mut strings = [0u32; COUNT.div_ceil(2)];
    let mut index = 0;
    while index < COUNT {
        let letter = FIRST_LETTER + index as u8;
        let [a, _, c, _] = strings[index / 2].to_ne_bytes();
        let letters = if index.is_multiple_of(2) { [letter, 0, c, 0] } else { [a, 0, letter, 0] };
        strings[index / 2] = u32::from_ne_bytes(letters);
        index += 1;
    }
    strings
};

impl Symbol {
    /// Its number, less than [`COUNT`].
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number of the symbol that has this letter; `None` or no number of any for what is none.
    pub(super) fn index_of_letter(letter: &str) -> Option<usize> {
        let [letter] = *letter.as_bytes() else { return None };
        letter.checked_sub(FIRST_LETTER).map(usize::from)
    }

    /// Where the letter is in [`STRINGS`].
    pub(super) const fn offset(self) -> u32 {
        self.0 as u32 * 2
    }

    /// The name in device trees.
    pub(super) fn name(self) -> &'static str {
        NAMES.get(self.0 as usize).copied().unwrap_or_default()
    }
}

/// A set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SymbolSet {
    names: u64,
    /// The first letters of all that were ever in it, by their low five bits.
    letters: u32,
}

impl SymbolSet {
    /// The set of these.
    pub(super) const fn of(symbols: &[Symbol]) -> Self {
        let mut set = Self { names: 0, letters: 0 };
        let mut index = 0;
        while index < symbols.len() {
            let name = NAMES[symbols[index].0 as usize].as_bytes();
            set.names |= 1 << symbols[index].0;
            set.letters |= 1 << (name[0] & 31);
            index += 1;
        }
        set
    }

    /// The symbol in it whose name `text` begins with, up to a zero.
    pub(super) fn find(self, text: &[u8]) -> Option<Symbol> {
        let first = text.first()?;
        // Most names begin as none in it does.
        if self.letters & 1 << (first & 31) == 0 {
            return None;
        }
        let mut candidates = self.names;
        while candidates != 0 {
            let symbol = Symbol(candidates.trailing_zeros() as u8);
            let known = symbol.name().as_bytes();
            if known.first() == Some(first) && text.get(known.len()) == Some(&0) && text.starts_with(known) {
                return Some(symbol);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// Takes a name out; whether it was one of them.
    pub(super) const fn remove(&mut self, symbol: Symbol) -> bool {
        let before = self.names;
        self.names &= !(1 << symbol.0);
        self.names != before
    }

    /// All names of both.
    pub(super) const fn union(self, other: Self) -> Self {
        Self { names: self.names | other.names, letters: self.letters | other.letters }
    }
}
