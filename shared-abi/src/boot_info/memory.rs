//! The memory map, and the free part of it as untyped blocks.

use super::fault::Fault;
use super::record::{Records, record};
use super::strings::StringRef;
use crate::addr::{PAGE, PAGE_SHIFT, PageSize, PhysRange};
use crate::memory::RegionKind;

record! {
    /// A run of whole pages of RAM with one use. The map lists every page of RAM exactly once, in ascending order.
    MemoryRegion, 32 bytes {
        /// The first page's physical address.
        phys_start: u64,
        /// Bytes, a multiple of 4 KiB.
        length: u64,
        /// A [`RegionKind`]'s number.
        kind: u32,
        /// The NUMA node, 0 where the machine states none.
        node: u32,
        /// What or whose it is; may be empty.
        name: StringRef,
    }
    check |region, before, strings| {
        let range = PhysRange::from_bounds(region.phys_start, region.phys_start.saturating_add(region.length));
        let fits = range.is_some_and(|range| range.is_aligned(PageSize::Size4K));
        Fault::unless(region.phys_start.is_multiple_of(PAGE), "phys_start", region.phys_start)?;
        Fault::unless(fits && region.length > 0, "length", region.length)?;
        let free = before.map_or(0, |before| before.range().end());
        Fault::unless(free <= region.phys_start, "phys_start", region.phys_start)?;
        strings.check(region.name, "name")
    }
}

impl MemoryRegion {
    /// The physical pages.
    pub fn range(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_start, self.phys_start.saturating_add(self.length))
            .unwrap_or_default()
    }

    /// The use.
    pub const fn kind(&self) -> RegionKind {
        RegionKind(self.kind)
    }

    /// Whether the kernel may hand the region out from its first instruction on.
    pub const fn is_free(&self) -> bool {
        self.kind().is_free_at_entry()
    }
}

/// A block of free memory: 2^bits bytes, at a multiple of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untyped {
    /// The first byte's physical address.
    pub phys_start: u64,
    /// log2 of the bytes, 12 or more.
    pub bits: u32,
}

impl Untyped {
    /// Bytes of the block.
    pub const fn bytes(&self) -> u64 {
        1 << self.bits
    }
}

/// The free regions as power-of-two blocks, naturally aligned, in ascending order; each is the largest that
/// alignment and what is left of its region allow (as seL4 describes memory to its first task).
#[derive(Clone, Debug)]
pub struct Untypeds<'a> {
    regions: Records<'a, MemoryRegion>,
    rest: PhysRange,
}

impl<'a> Untypeds<'a> {
    pub(super) fn new(regions: Records<'a, MemoryRegion>) -> Self {
        Self { regions, rest: PhysRange::default() }
    }
}

impl Iterator for Untypeds<'_> {
    type Item = Untyped;

    fn next(&mut self) -> Option<Untyped> {
        while self.rest.len() < PAGE {
            self.rest = self.regions.find(MemoryRegion::is_free)?.range();
        }
        let start = self.rest.start().get();
        let bits = self.rest.len().ilog2().min(start.trailing_zeros()).max(PAGE_SHIFT);
        let end = self.rest.end();
        self.rest = PhysRange::from_bounds(start + (1 << bits), end).unwrap_or_default();
        Some(Untyped { phys_start: start, bits })
    }
}
