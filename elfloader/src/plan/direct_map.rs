//! The direct map: all mapped RAM at one offset, writable except where the contract says read-only.
//!
//! Regions that touch and may both be mapped are one run, whatever their kinds: the number of mappings, and so
//! the cost, does not grow with the number of regions or the amount of RAM, but with the holes and with the
//! read-only runs in it.

use shared_abi::addr::{PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use super::extent::{MAX_EXTENTS, Origin};
use super::{Mapping, Purpose, Room};
use crate::memory_map::Region;

/// Most read-only runs: every extent's, and the resident loader's.
pub(super) const MAX_READ_ONLY: usize = MAX_EXTENTS + 1;

/// A physical run that is read-only in the direct map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadOnlyRun {
    start: u64,
    end: u64,
    /// Whether it is given back later: then it is mapped by pages, so that no live block has to be split.
    returns: bool,
}

impl Room {
    /// Notes the resident loader's pages.
    pub(super) fn add_resident(&mut self, resident: PhysRange) {
        let pages = resident.aligned_outward(PageSize::Size4K);
        self.add_read_only(pages.start(), pages.len(), true);
    }

    /// Notes the kernel's pages in place in the file at `kernel` that are not writable.
    pub(super) fn add_in_place(&mut self, kernel: PhysAddr) {
        self.add_extents(|origin| match origin {
            Origin::InPlace(offset) => kernel.checked_add(offset),
            _ => None,
        });
    }

    /// Notes the kernel's pages in the arena at `base` that are not writable.
    pub(super) fn add_arena(&mut self, base: PhysAddr) {
        self.add_extents(|origin| match origin {
            Origin::Copied(offset) | Origin::Zeroed(offset) => base.checked_add(offset),
            Origin::InPlace(_) => None,
        });
    }

    fn add_extents(&mut self, place: impl Fn(Origin) -> Option<PhysAddr>) {
        for index in 0..self.extents.len() {
            let Some(extent) = self.extents.get(index).copied() else { break };
            if let Some(start) = place(extent.origin()).filter(|_| !extent.rights().is_writable()) {
                self.add_read_only(start, extent.virt().len(), false);
            }
        }
    }

    /// Keeps the list sorted and merged. Two extents may show the same file pages, so runs may overlap.
    fn add_read_only(&mut self, start: PhysAddr, length: u64, returns: bool) {
        if length == 0 {
            return;
        }
        let mut run = ReadOnlyRun { start: start.get(), end: start.get() + length, returns };
        let list = &mut self.read_only;
        let mut at = list.iter().rposition(|other| other.start <= run.start).map_or(0, |before| before + 1);
        if let Some(before) = at.checked_sub(1).and_then(|index| list.get(index).copied())
            && before.returns == returns
            && before.end >= run.start
        {
            run = ReadOnlyRun { start: before.start, end: run.end.max(before.end), returns };
            at -= 1;
            list.remove(at);
        }
        while let Some(next) =
            list.get(at).copied().filter(|next| next.returns == returns && next.start <= run.end)
        {
            run.end = run.end.max(next.end);
            list.remove(at);
        }
        // There is room for a run for each extent and one more.
        let _ = list.try_insert(at, run);
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
    read_only: core::slice::Iter<'m, ReadOnlyRun>,
    offset: u64,
}

impl<'m> DirectMapPieces<'m> {
    pub(super) fn new(regions: &'m [Region<'m>], room: &'m Room, offset: u64) -> Self {
        let mut pieces = Self {
            regions: regions.iter(),
            next: None,
            start: 0,
            end: 0,
            read_only: room.read_only.iter(),
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
        // Runs that end before here are done with.
        while let Some(run) = self.read_only.as_slice().first() {
            if run.end > start {
                break;
            }
            self.read_only.next();
        }
        let (end, rights, largest) = match self.read_only.as_slice().first() {
            Some(run) if run.start <= start => {
                let largest = if run.returns { PageSize::Size4K } else { PageSize::Size1G };
                (run.end.min(self.end), Rights::ReadOnly, largest)
            }
            Some(run) => (run.start.min(self.end), Rights::ReadWrite, PageSize::Size1G),
            None => (self.end, Rights::ReadWrite, PageSize::Size1G),
        };
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
