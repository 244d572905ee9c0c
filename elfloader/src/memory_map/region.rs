//! A piece of the memory map.

use shared_abi::addr::PhysRange;
use shared_abi::memory::RegionKind;

/// A run of whole pages of RAM with one use, on one NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region<'n> {
    /// The physical pages.
    pub range: PhysRange,
    /// Their use.
    pub kind: RegionKind,
    /// The NUMA node, 0 where the machine states none.
    pub node: u16,
    /// What or whose it is; may be empty.
    pub name: &'n str,
}

impl Region<'_> {
    /// Its first byte.
    pub const fn start(&self) -> u64 {
        self.range.start().get()
    }

    pub(super) const fn end(&self) -> u64 {
        self.range.end()
    }

    pub(super) fn continues(&self, other: &Self) -> bool {
        self.end() == other.start()
            && self.kind == other.kind
            && self.node == other.node
            && self.name == other.name
    }
}
