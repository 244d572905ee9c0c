//! What the boot reads of which nodes.

use super::class::Class;
use super::symbol::{Symbol, SymbolSet};

/// What a node is to the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing of it or below it is read, and it is not copied.
    Ignored,
    /// The root, whose name is empty: a path begins there. The `fdt` library calls it `/`.
    Root,
    Aliases,
    /// Any node that may have devices below it.
    Bus,
    Cpu,
    Chosen,
    Memory,
    /// `/cpus`.
    Cpus,
    /// A child of `/reserved-memory`.
    Reserved,
    Serial,
    Timer,
    /// `/reserved-memory`.
    ReservedMemory,
    /// PSCI.
    Power,
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
                Symbol::USABLE_MEMORY_RANGE,
                Symbol::ELF_CORE_HEADER,
                Symbol::IMA_BUFFER,
                Symbol::STATUS,
            ]),
            Self::ReservedMemory => BUS.union(SymbolSet::of(&[Symbol::STATUS])),
            Self::Cpus => CELLS.union(SymbolSet::of(&[Symbol::STATUS])),
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
                Symbol::COMPATIBLE,
                Symbol::REG,
                Symbol::REG_SHIFT,
                Symbol::REG_IO_WIDTH,
                Symbol::REG_OFFSET,
                Symbol::CLOCK_FREQUENCY,
            ]),
            Self::Power => SymbolSet::of(&[Symbol::COMPATIBLE, Symbol::METHOD]),
            Self::Timer => SymbolSet::of(&[Symbol::COMPATIBLE, Symbol::CLOCK_FREQUENCY]),
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

    /// The first letters of the root's children that are known by name, by their low five bits.
    pub(super) const NAMED: u32 = 1 << (b'm' & 31) | 1 << (b'c' & 31) | 1 << (b'a' & 31) | 1 << (b'r' & 31);

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

    /// What a child that is a bus by its name is by what it states.
    pub(super) fn of_device(self, device_type: Option<&[u8]>, class: Option<Class>) -> Self {
        match class {
            _ if self == Self::Root && device_type == Some(b"memory\0") => Self::Memory,
            None => Self::Bus,
            Some(Class::Console(_)) => Self::Serial,
            Some(Class::Psci(_)) => Self::Power,
            Some(Class::Timer) => Self::Timer,
        }
    }
}

/// Whether a node's name without its unit address is this.
pub(super) fn is_base(name: &[u8], base: &[u8]) -> bool {
    name.strip_prefix(base).is_some_and(|rest| matches!(rest, [] | [b'@', ..]))
}
