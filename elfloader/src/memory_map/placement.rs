//! Where new things go: the same place for the same machine, and large blocks of free memory stay whole.
//!
//! The smallest usable region that fits is taken, and of it the end whose address has the lower alignment, so
//! that what is left keeps its better-aligned end: it still begins or ends with the largest naturally aligned
//! block that the region had. Kernels map such blocks, or hand them out, as one.

use shared_abi::addr::{PAGE, PhysAddr, PhysRange, align_down, align_up};
use shared_abi::memory::RegionKind;

use super::{MapError, MemoryMap};
use crate::platform::{DynamicReservation, Machine};

/// Everything that a physical address can name.
pub const ANYWHERE: PhysRange = match PhysRange::from_bounds(0, PhysAddr::LIMIT) {
    Some(range) => range,
    None => panic!("the limit is a valid end"),
};

impl<'n> MemoryMap<'n> {
    /// The place for `length` bytes, rounded up to whole pages, at a multiple of `alignment` (rounded up to a
    /// power of two of at least a page) inside `within`; `None` if no usable region has it. Claims nothing.
    #[inline(never)]
    pub fn find_free(&self, length: u64, alignment: u64, within: PhysRange) -> Option<PhysRange> {
        let length = align_up(length.max(1), PAGE)?;
        let alignment = alignment.max(PAGE).checked_next_power_of_two()?;
        let mut best: Option<(u64, PhysRange)> = None;
        for region in self.regions.iter().filter(|region| region.kind == RegionKind::USABLE) {
            let size = region.range.len();
            if size < length || best.is_some_and(|(smallest, _)| smallest <= size) {
                continue;
            }
            let Some(room) = region.range.intersection(within) else { continue };
            let lowest = align_up(room.start().get(), alignment);
            let highest = room.end().checked_sub(length).map(|start| align_down(start, alignment));
            if let (Some(lowest), Some(highest)) = (lowest, highest)
                && lowest <= highest
            {
                let low_end_is_better = alignment_of(region.start()) > alignment_of(region.end());
                let start = if low_end_is_better { highest } else { lowest };
                // The end lies in the region, so it can be named.
                best = PhysRange::from_bounds(start, start + length).map(|place| (size, place));
            }
        }
        best.map(|(_, place)| place)
    }

    /// Finds a place as [`Self::find_free`] does and claims it.
    ///
    /// # Errors
    /// [`MapError::NoRoom`], and those of [`Self::claim`] for a full list. The map is unchanged.
    pub fn allocate(
        &mut self,
        length: u64,
        alignment: u64,
        within: PhysRange,
        kind: RegionKind,
        name: &'n str,
    ) -> Result<PhysRange, MapError<'n>> {
        let place = self.find_free(length, alignment, within).ok_or(MapError::NoRoom {
            kind,
            name,
            length,
            alignment,
        })?;
        self.claim(place, kind, name)?;
        Ok(place)
    }

    /// Places the reservations whose place firmware leaves open. To be called after everything that is in
    /// memory already has been claimed, and before the loader takes room for itself.
    ///
    /// # Errors
    /// [`MapError::NoRoom`], [`MapError::TooManyRegions`]; unless the system could have used the range meanwhile: that
    /// is a wish, which [`Self::unplaced`] then names, and a machine too small for it still boots.
    pub fn place_dynamic(&mut self, machine: &Machine<'n>) -> Result<(), MapError<'n>> {
        for wanted in &machine.dynamic_reservations {
            let kind = if wanted.no_map { RegionKind::NO_MAP } else { RegionKind::FIRMWARE };
            let &DynamicReservation { name, length, alignment, .. } = wanted;
            let no_room = MapError::NoRoom { kind, name, length, alignment };
            let placed = self.place_of(wanted).ok_or(no_room);
            match placed.and_then(|place| self.change(place, &|_| (kind, name))) {
                // Never full: the machine's own list has the same capacity.
                Err(_) if wanted.reusable => drop(self.unplaced.try_push(name)),
                placed => placed?,
            }
        }
        Ok(())
    }

    fn place_of(&self, wanted: &DynamicReservation<'n>) -> Option<PhysRange> {
        let find = |within| self.find_free(wanted.length, wanted.alignment, within);
        match wanted.within.is_empty() {
            true => find(ANYWHERE),
            false => wanted.within.iter().find_map(|within| find(*within)),
        }
    }
}

/// log2 of the largest power of two that divides `address`; 0 is a multiple of all.
const fn alignment_of(address: u64) -> u32 {
    address.trailing_zeros()
}
