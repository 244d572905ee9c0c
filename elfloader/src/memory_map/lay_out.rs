//! From the machine's statements to regions: RAM rounded inward, reservations outward.
//!
//! A page is RAM if all its bytes are, whichever ranges they come from: ranges that meet or overlap inside a
//! page make it whole. A page belongs to the NUMA node of its first byte, a byte to the lowest-starting range
//! that holds it (of those that start together, the one stated first).

use arrayvec::ArrayVec;
use shared_abi::addr::{PAGE, PageSize, PhysAddr, PhysRange, align_down, align_up};
use shared_abi::memory::RegionKind;

use super::{MapError, MemoryMap, REGIONS, Region};
use crate::platform::{EnableMethod, MEMORY_RANGES, Machine, MemoryRange};

/// Bytes of the word that a spinning processor polls.
const RELEASE_WORD: u64 = 8;

impl<'n> MemoryMap<'n> {
    /// Fills an empty map: RAM, what of it the processor cannot address (from `limit` on, a physical address),
    /// and what firmware reserved. Reservations without a place wait for [`Self::place_dynamic`].
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if nothing is left usable, [`MapError::TooManyRegions`].
    pub fn lay_out(&mut self, machine: &Machine<'n>, limit: u64) -> Result<(), MapError<'n>> {
        self.lay_out_memory(machine, align_down(limit.min(PhysAddr::LIMIT), PAGE))?;
        for reservation in &machine.reservations {
            let kind = if reservation.no_map { RegionKind::NO_MAP } else { RegionKind::FIRMWARE };
            self.reserve(reservation.range, kind, reservation.name)?;
        }
        for cpu in &machine.cpus {
            if let EnableMethod::SpinTable(release) = cpu.enable_method()
                && let Some(word) = PhysRange::new(release, RELEASE_WORD)
            {
                self.reserve(word, RegionKind::FIRMWARE, "cpu-release-addr")?;
            }
        }
        match self.regions.iter().any(|region| region.kind == RegionKind::USABLE) {
            true => Ok(()),
            false => Err(MapError::NoMemory { limit }),
        }
    }

    /// Lays out all whole pages of RAM as usable below `limit` and as unaddressable from there on.
    fn lay_out_memory(&mut self, machine: &Machine<'n>, limit: u64) -> Result<(), MapError<'n>> {
        let mut sorted = ArrayVec::new();
        sort(&machine.memory, &mut sorted);
        let mut ranges = sorted.as_slice();
        while let Some(first) = ranges.first() {
            // A run: ranges that touch or overlap, without a gap of even a byte.
            let mut run_end = first.range.end();
            let mut length = 0;
            for range in ranges {
                if range.range.start().get() > run_end {
                    break;
                }
                run_end = run_end.max(range.range.end());
                length += 1;
            }
            let (run, rest) = ranges.split_at_checked(length).unwrap_or((ranges, &[]));
            ranges = rest;

            let last_page = align_down(run_end, PAGE);
            let mut next = align_up(first.range.start().get(), PAGE).unwrap_or(last_page);
            for range in run {
                // The page in which a range ends belongs to it: its first byte does.
                let end = align_up(range.range.end(), PAGE).map_or(last_page, |end| end.min(last_page));
                if next < end {
                    self.append(next, end.min(limit), RegionKind::USABLE, range.node)?;
                    self.append(next.max(limit), end, RegionKind::UNADDRESSABLE, range.node)?;
                    next = end;
                }
            }
        }
        Ok(())
    }

    /// Adds a region above all others, or grows the last one; an empty or reversed one is none.
    fn append(&mut self, start: u64, end: u64, kind: RegionKind, node: u16) -> Result<(), MapError<'n>> {
        let Some(range) = PhysRange::from_bounds(start, end).filter(|range| !range.is_empty()) else {
            return Ok(());
        };
        let region = Region { range, kind, node, name: "" };
        if let Some(last) = self.regions.last_mut()
            && last.continues(&region)
            && let Some(joined) = PhysRange::from_bounds(last.start(), end)
        {
            last.range = joined;
            return Ok(());
        }
        self.regions.try_push(region).map_err(|_| MapError::TooManyRegions { limit: REGIONS, range })
    }

    /// Takes what RAM there is in `bytes`, rounded outward, from what is weaker; the first of equals stays.
    ///
    /// # Errors
    /// [`MapError::TooManyRegions`]; the map is then unchanged.
    pub fn reserve(&mut self, bytes: PhysRange, kind: RegionKind, name: &'n str) -> Result<(), MapError<'n>> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.change(bytes.aligned_outward(PageSize::Size4K), &|region| {
            if strength(kind) > strength(region.kind) { (kind, name) } else { (region.kind, region.name) }
        })
    }
}

const fn strength(kind: RegionKind) -> u8 {
    match kind {
        RegionKind::USABLE => 0,
        RegionKind::FIRMWARE => 2,
        RegionKind::NO_MAP => 3,
        RegionKind::UNADDRESSABLE => 4,
        _ => 1,
    }
}

/// Puts in the ranges that hold a byte, by start address, in the stated order where they start together.
fn sort(stated: &[MemoryRange], sorted: &mut ArrayVec<MemoryRange, MEMORY_RANGES>) {
    for range in stated.iter().filter(|range| !range.range.is_empty()) {
        let mut place = sorted.len();
        while place > 0
            && sorted.get(place - 1).is_some_and(|lower| lower.range.start() > range.range.start())
        {
            place -= 1;
        }
        // Never full: the machine's own list has the same capacity.
        let _ = sorted.try_insert(place, *range);
    }
}
