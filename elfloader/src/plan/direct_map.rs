//! The direct map: all mapped RAM at one offset, writable except where the contract says read-only.
//!
//! Regions that touch and may both be mapped are one run, whatever their kinds: the number of mappings, and so
//! the cost, does not grow with the number of regions or the amount of RAM, but with the holes and with the
//! read-only runs in it.

use core::ops::Range;

use shared_abi::addr::{PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use super::extent::Extent;
use super::{Mapping, Purpose};
use crate::memory_map::Region;

/// What is read-only in the direct map: the resident loader, and the kernel's pages that are not writable. There are
/// few, so their order is found anew for each piece rather than kept in a list.
pub(super) struct ReadOnly<'m> {
    pub extents: &'m [Extent],
    /// Where the kernel's file lies.
    pub kernel: PhysAddr,
    /// Where the arena lies; without it what is in the arena does not count.
    pub arena: Option<PhysAddr>,
    /// Given back later, and therefore mapped by pages: no live block has to be split.
    pub resident: PhysRange,
}

impl ReadOnly<'_> {
    /// The kernel's, in no order. Two extents may show the same file pages, so they may overlap.
    fn kernel(&self) -> impl Iterator<Item = Range<u64>> {
        let read_only = self.extents.iter().filter(|extent| !extent.rights().is_writable());
        read_only.filter_map(|extent| {
            let arena = if extent.arena_offset().is_none() { Some(PhysAddr::default()) } else { self.arena };
            let start = extent.phys(self.kernel, arena?).get();
            Some(start..start + extent.virt().len())
        })
    }

    /// The read-only run at `start`: where it ends (there, if nothing is read-only there), the largest block for it,
    /// and how far nothing else is read-only.
    fn run_at(&self, start: u64) -> (u64, PageSize, u64) {
        let resident = self.resident.aligned_outward(PageSize::Size4K);
        let resident = resident.start().get()..resident.end();
        if resident.contains(&start) {
            return (resident.end, PageSize::Size4K, resident.end);
        }
        let mut end = start;
        loop {
            let is_ahead = !resident.is_empty() && end <= resident.start;
            let mut next = if is_ahead { resident.start } else { u64::MAX };
            for run in self.kernel() {
                if run.start > end {
                    next = next.min(run.start);
                } else {
                    end = end.max(run.end);
                }
            }
            // Else the run goes on with one that was passed over; the resident loader is a run of its own.
            if next > end || next == resident.start {
                return (end, PageSize::Size1G, next);
            }
        }
    }
}

/// The direct map's mappings in ascending order.
pub(super) struct DirectMapPieces<'m> {
    regions: core::slice::Iter<'m, Region<'m>>,
    /// The first region after the run.
    next: Option<PhysRange>,
    /// What is left of the current run of mapped RAM.
    start: u64,
    end: u64,
    read_only: ReadOnly<'m>,
    /// How far nothing is read-only, as far as that is known.
    writable_end: u64,
    offset: u64,
}

impl<'m> DirectMapPieces<'m> {
    pub(super) fn new(regions: &'m [Region<'m>], read_only: ReadOnly<'m>, offset: u64) -> Self {
        let mut pieces = Self {
            regions: regions.iter(),
            next: None,
            start: 0,
            end: 0,
            read_only,
            writable_end: 0,
            offset,
        };
        pieces.next = pieces.next_mapped();
        pieces
    }

    /// The next region that is mapped.
    fn next_mapped(&mut self) -> Option<PhysRange> {
        self.regions.find(|region| region.kind.is_mapped()).map(|region| region.range)
    }

    /// Begins the next run of mapped RAM.
    fn next_run(&mut self) -> Option<()> {
        let first = self.next?;
        (self.start, self.end) = (first.start().get(), first.end());
        self.writable_end = 0;
        self.next = self.next_mapped();
        while let Some(range) = self.next.filter(|range| range.start().get() == self.end) {
            self.end = range.end();
            self.next = self.next_mapped();
        }
        Some(())
    }
}

impl Iterator for DirectMapPieces<'_> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        if self.start >= self.end {
            self.next_run()?;
        }
        let start = self.start;
        let (mut read_only_end, mut largest) = (start, PageSize::Size1G);
        if start >= self.writable_end {
            (read_only_end, largest, self.writable_end) = self.read_only.run_at(start);
        }
        let (end, rights) = match read_only_end > start {
            true => (read_only_end, Rights::ReadOnly),
            false => (self.writable_end, Rights::ReadWrite),
        };
        let end = end.min(self.end);
        self.start = end;
        Some(Mapping {
            virt: VirtRange::from_bounds(start.wrapping_add(self.offset), end.wrapping_add(self.offset))?,
            phys: PhysAddr::new(start)?,
            attributes: Attributes::kernel(rights),
            largest,
            purpose: Purpose::DirectMap,
        })
    }
}
