//! The property names that the boot reads: all others are left out of the compacted tree, so that its strings
//! block is a constant.

/// A property name that the boot reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol(u8);

macro_rules! symbols {
    ($($constant:ident $name:literal;)*) => {
        /// Indices, in the order of the table.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($constant,)* }

        impl Symbol {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self(Index::$constant as u8);
            )*
        }

        /// All names, in the order of their numbers.
        const NAMES: &[&str] = &[$($name,)*];

        /// The compacted tree's strings block.
        pub(super) const STRINGS: &[u8] = concat!($($name, "\0",)*).as_bytes();

        /// The symbol of a name.
        pub(super) fn symbol(name: &[u8]) -> Option<Symbol> {
            $(
                if name == $name.as_bytes() {
                    return Some(Symbol::$constant);
                }
            )*
            None
        }
    };
}

symbols! {
    REG "reg";
    COMPATIBLE "compatible";
    STATUS "status";
    DEVICE_TYPE "device_type";
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
}

const _: () = assert!(NAMES.len() <= 32);

/// Where each name begins in [`STRINGS`].
const OFFSETS: [u16; NAMES.len()] = {
    let mut offsets = [0; NAMES.len()];
    let mut index = 1;
    while index < NAMES.len() {
        offsets[index] = offsets[index - 1] + NAMES[index - 1].len() as u16 + 1;
        index += 1;
    }
    offsets
};

impl Symbol {
    /// Where the name begins in [`STRINGS`].
    pub(super) fn offset(self) -> u32 {
        OFFSETS.get(self.0 as usize).copied().unwrap_or_default().into()
    }

    const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// A set of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SymbolSet(u32);

impl SymbolSet {
    /// The set of these.
    pub(super) const fn of(symbols: &[Symbol]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < symbols.len() {
            set |= symbols[index].bit();
            index += 1;
        }
        Self(set)
    }

    /// Whether the name is one of them.
    pub(super) const fn contains(self, symbol: Symbol) -> bool {
        self.0 & symbol.bit() != 0
    }

    /// All names of both.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
