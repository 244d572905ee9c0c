//! What the boot reads of which nodes.
//!
//! In the compacted tree a node's name begins with a letter for its kind, so that whoever reads it need not work out
//! again what it is.

use super::symbol::{Symbol, SymbolSet};

/// What a node is to the boot; the numbers are letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nothing of it or below it is read, and it is not copied.
    Ignored = 0,
    /// The root, whose name is empty: a path begins there. The `fdt` library calls it `/`.
    Root = b'/',
    Aliases = b'A',
    /// Any node that may have devices below it.
    Bus = b'B',
    Cpu = b'C',
    Chosen = b'H',
    Memory = b'M',
    /// `/cpus`.
    Cpus = b'P',
    /// A child of `/reserved-memory`.
    Reserved = b'R',
    Serial = b'S',
    Timer = b'T',
    /// `/reserved-memory`.
    ReservedMemory = b'V',
    /// PSCI.
    Power = b'W',
}

const CELLS: SymbolSet = SymbolSet::of(&[Symbol::ADDRESS_CELLS, Symbol::SIZE_CELLS]);
/// What a bus says about the addresses below it.
const BUS: SymbolSet = CELLS.union(SymbolSet::of(&[Symbol::RANGES]));

impl Kind {
    /// The properties that are copied; `status` decides whether the node is, unless it is a processor's.
    pub(super) const fn keeps(self) -> SymbolSet {
        match self {
            Self::Ignored | Self::Aliases => SymbolSet::of(&[]),
            Self::Root => CELLS.union(SymbolSet::of(&[Symbol::MODEL])),
            Self::Memory => SymbolSet::of(&[
                Symbol::REG,
                Symbol::USABLE_MEMORY,
                Symbol::DEVICE_TYPE,
                Symbol::COMPATIBLE,
                Symbol::NUMA_NODE,
                Symbol::STATUS,
            ]),
            Self::Chosen => SymbolSet::of(&[
                Symbol::BOOTARGS,
                Symbol::STDOUT_PATH,
                Symbol::LINUX_STDOUT_PATH,
                Symbol::INITRD_START,
                Symbol::INITRD_END,
                Symbol::RNG_SEED,
                Symbol::KASLR_SEED,
                Symbol::USABLE_MEMORY_RANGE,
                Symbol::ELF_CORE_HEADER,
                Symbol::IMA_BUFFER,
                Symbol::STATUS,
            ]),
            Self::ReservedMemory => BUS.union(SymbolSet::of(&[Symbol::STATUS])),
            // A processor's address has no size (Devicetree Specification 3.7).
            Self::Cpus => SymbolSet::of(&[Symbol::ADDRESS_CELLS, Symbol::STATUS]),
            Self::Bus => BUS,
            Self::Reserved => SymbolSet::of(&[
                Symbol::REG,
                Symbol::SIZE,
                Symbol::ALIGNMENT,
                Symbol::ALLOC_RANGES,
                Symbol::NO_MAP,
                Symbol::REUSABLE,
                Symbol::STATUS,
            ]),
            Self::Cpu => SymbolSet::of(&[
                Symbol::REG,
                Symbol::STATUS,
                Symbol::ENABLE_METHOD,
                Symbol::RELEASE_ADDRESS,
                Symbol::NUMA_NODE,
            ]),
            Self::Serial => SymbolSet::of(&[
                Symbol::REG,
                Symbol::REG_SHIFT,
                Symbol::REG_IO_WIDTH,
                Symbol::REG_OFFSET,
                Symbol::CLOCK_FREQUENCY,
            ]),
            Self::Power => SymbolSet::of(&[Symbol::METHOD]),
            Self::Timer => SymbolSet::of(&[Symbol::CLOCK_FREQUENCY]),
        }
    }

    /// Whether the boot goes on without a value of such a node that is malformed. What says where memory is, what of
    /// it is reserved, or what must be wiped, is not one.
    pub(super) const fn can_lack(self, symbol: Symbol) -> bool {
        match self {
            Self::Cpus | Self::Cpu | Self::Bus | Self::Serial | Self::Timer | Self::Power | Self::Aliases => {
                true
            }
            Self::Root | Self::Memory => matches!(symbol, Symbol::MODEL | Symbol::NUMA_NODE),
            Self::Chosen => {
                !matches!(symbol, Symbol::USABLE_MEMORY_RANGE | Symbol::ELF_CORE_HEADER | Symbol::IMA_BUFFER)
            }
            Self::Ignored | Self::Reserved | Self::ReservedMemory => false,
        }
    }

    /// What a child of this name is, as far as the name tells: anything else is a bus until its properties
    /// tell more.
    pub(super) fn child(self, name: &[u8]) -> Self {
        match (self, name) {
            (Self::Bus, _) => Self::Bus,
            (Self::Root, [b'm', ..]) if is_base(name, b"memory") => Self::Memory,
            (Self::Root, [b'c', ..]) if is_base(name, b"cpus") => Self::Cpus,
            (Self::Root, [b'c', ..]) if is_base(name, b"chosen") => Self::Chosen,
            (Self::Root, [b'a', ..]) if is_base(name, b"aliases") => Self::Aliases,
            (Self::Root, [b'r', ..]) if is_base(name, b"reserved-memory") => Self::ReservedMemory,
            (Self::Root, _) => Self::Bus,
            (Self::Cpus, _) if is_base(name, b"cpu") => Self::Cpu,
            (Self::ReservedMemory, _) => Self::Reserved,
            _ => Self::Ignored,
        }
    }

    /// The words, as they lie in memory, of its copy's name: a letter for the kind, then where the name is in the
    /// original, six bits a letter, since the library wants text.
    pub(super) fn copy_name(self, index: u32) -> [u32; 2] {
        let letter = |shift: u32| 0x40 | (index >> shift & 0x3F) as u8;
        let first = [self as u8, letter(18), letter(12), letter(6)];
        [u32::from_ne_bytes(first), u32::from_ne_bytes([letter(0), 0, 0, 0])]
    }

    /// The kind of a copied node by its name, and where the original's is; the root has none.
    pub(super) fn of_copy(name: &str) -> Option<(Self, u32)> {
        let (first, letters) = name.as_bytes().split_first()?;
        let kind = match first {
            b'/' => Self::Root,
            b'A' => Self::Aliases,
            b'B' => Self::Bus,
            b'C' => Self::Cpu,
            b'H' => Self::Chosen,
            b'M' => Self::Memory,
            b'P' => Self::Cpus,
            b'R' => Self::Reserved,
            b'S' => Self::Serial,
            b'T' => Self::Timer,
            b'V' => Self::ReservedMemory,
            b'W' => Self::Power,
            _ => return None,
        };
        Some((kind, letters.iter().fold(0, |index, letter| index << 6 | u32::from(letter & 0x3F))))
    }
}

/// Whether a node's name without its unit address is this.
pub(super) fn is_base(name: &[u8], base: &[u8]) -> bool {
    name.strip_prefix(base).is_some_and(|rest| matches!(rest, [] | [b'@', ..]))
}
