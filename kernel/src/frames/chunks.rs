//! Chunks and zones: blocks of whole chunks, and where what is not cached is filed.
//!
//! A zone is touched once, when something in it is first asked for; from then on its page says everything. The current
//! zone is filed nowhere, every other one under its best split chunk and its best block of whole chunks.

use super::field::{Field, State, TOP, UNITS, Unit};
use super::ledger::ZonePlace;
use super::memory::{FrameMemory, OwnedFrame, OwnedLine, frame};
use super::place::{NO_ZONE, NONE, ZonePage, chunk_index};
use super::zone::{CHUNK_SHIFT, LARGE, OUT, SMALL, WHOLE, ZONE_SHIFT, Zone, field_at, zone_at};
use super::{FrameAllocator, FrameError, Order};
use shared_abi::addr::Frame;

impl<M: FrameMemory> FrameAllocator<M> {
    /// Orders of whole chunks: from the current zone, else from the zone that fits best.
    pub(super) fn allocate_chunks(&mut self, order: Order) -> Result<Frame, FrameError> {
        let chunk_order = order.get() - CHUNK_SHIFT as u8;
        loop {
            if let Some(record) = self.current_record()
                && let Some(index) = record.chunks.take(chunk_order)
            {
                self.uncached -= order.frames();
                return Ok(frame((self.current.number << ZONE_SHIFT) + ((index as u64) << CHUNK_SHIFT)));
            }
            if let Some(page) = self.zone_lists.best(LARGE, chunk_order + 1) {
                self.make_current(page);
            } else if self.active.free == UNITS as u64 || self.returning.free == UNITS as u64 {
                self.file_cached();
            } else if !self.touch_fresh() {
                return Err(FrameError::OutOfFrames { order, free: self.free_frames() });
            }
        }
    }

    /// Orders of whole chunks.
    #[inline(never)]
    pub(super) fn free_chunks(&mut self, first: Frame, order: Order) -> Result<(), FrameError> {
        let chunk_order = order.get() - CHUNK_SHIFT as u8;
        let number = first.number();
        let (index, length) = (chunk_index(number >> CHUNK_SHIFT), 1usize << chunk_order);
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else {
            return Err(self.refusal(first, order.frames()));
        };
        let next = index + length;
        let chunks = &mut zone_at(&mut self.memory, zone.page).chunks;
        // What follows a block of several chunks cannot be told here if it is a split chunk or in another zone.
        let hidden = length > 1 && (next == UNITS || chunks.unit(next) == Unit::Reserved);
        if !chunks.is_block(index, length) || (hidden && self.is_later(number + order.frames())) {
            return Err(self.refusal(first, order.frames()));
        }
        zone_at(&mut self.memory, zone.page).chunks.set_state(index, length, State::Free);
        self.uncached += order.frames();
        if zone.number != self.current.number {
            self.grow(zone.page, index);
        }
        Ok(())
    }

    /// Makes the field of a whole chunk that is free or reserved, and files it under `class`.
    pub(super) fn split(&mut self, page: OwnedFrame, index: usize, class: u8) -> OwnedLine {
        let record = zone_at(&mut self.memory, page);
        let line = record.line(index);
        let free = record.chunks.unit(index) == Unit::Free;
        record.chunks.set_state(index, 1, State::Reserved);
        record.refile(index, class);
        *field_at(&mut self.memory, line) = if free { Field::FREE } else { Field::RESERVED };
        line
    }

    /// Files a split chunk under `class`, and its zone with it. A chunk that is free as a whole becomes one again.
    pub(super) fn file(&mut self, page: OwnedFrame, index: usize, class: u8) {
        let record = zone_at(&mut self.memory, page);
        if class > TOP {
            record.refile(index, WHOLE);
            record.chunks.set_state(index, 1, State::Free);
            self.grow(page, index);
        } else {
            record.refile(index, class);
        }
        self.relist_small(page);
    }

    /// Files a zone again under the class of its best split chunk, unless it is checked out.
    pub(super) fn relist_small(&mut self, page: OwnedFrame) {
        let record = zone_at(&mut self.memory, page);
        let (old, class) = (record.links[SMALL].class, record.small_class());
        if old != u64::from(OUT) && old != u64::from(class) {
            self.zone_lists.refile(&mut self.memory, page, SMALL, class);
        }
    }

    /// Files a zone again after chunks at `index` became free.
    pub(super) fn grow(&mut self, page: OwnedFrame, index: usize) {
        let record = zone_at(&mut self.memory, page);
        let old = record.links[LARGE].class as u8;
        if old != OUT {
            let class = record.chunks.grown(index, old);
            if class != old {
                self.zone_lists.refile(&mut self.memory, page, LARGE, class);
            }
        }
    }

    /// Makes the zone with this page the current one.
    pub(super) fn make_current(&mut self, page: OwnedFrame) {
        self.file_current();
        let Zone { number, origin, .. } = *zone_at(&mut self.memory, page);
        for which in [SMALL, LARGE] {
            self.zone_lists.refile(&mut self.memory, page, which, OUT);
        }
        self.current = ZonePage { number, page, origin };
    }

    /// The current zone's page, if there is one.
    #[inline(always)]
    pub(super) fn current_record(&mut self) -> Option<&mut Zone> {
        (self.current.number != NONE).then(|| zone_at(&mut self.memory, self.current.page))
    }

    /// Files the current zone again.
    pub(super) fn file_current(&mut self) {
        let current = core::mem::replace(&mut self.current, NO_ZONE);
        if current.number != NONE {
            self.refile(current.page);
        }
    }

    /// Files a zone under what it has now. Not for the current one.
    pub(super) fn refile(&mut self, page: OwnedFrame) {
        let record = zone_at(&mut self.memory, page);
        let (small, large) = (record.small_class(), record.chunks.class());
        self.zone_lists.refile(&mut self.memory, page, SMALL, small);
        self.zone_lists.refile(&mut self.memory, page, LARGE, large);
    }

    /// The page of a touched zone.
    #[inline(always)]
    pub(super) fn zone(&mut self, number: u64) -> Option<ZonePage> {
        if self.last_zone.number == number { Some(self.last_zone) } else { self.look_up(number) }
    }

    pub(super) fn look_up(&mut self, number: u64) -> Option<ZonePage> {
        let ZonePlace { ordinal, page, bank, .. } = self.ledger.zone(&mut self.memory, number)?;
        if !self.ledger.is_touched(&mut self.memory, ordinal) {
            return None;
        }
        self.last_zone = ZonePage { number, page, origin: bank.origin() };
        Some(self.last_zone)
    }

    /// The page of the zone with this number, if it is touched.
    pub(super) fn zone_page(&mut self, number: u64) -> Option<OwnedFrame> {
        self.zone(number).map(|zone| zone.page)
    }

    /// Makes the page of a zone that was never touched, from the memory map. The zone is filed.
    pub(super) fn touch(&mut self, place: ZonePlace) -> OwnedFrame {
        let ZonePlace { number, ordinal, page, bank } = place;
        let record: &mut Zone = zone_at(&mut self.memory, page);
        record.clear(number, bank.origin());
        self.ledger.touch(&mut self.memory, ordinal);
        let (start, end) = (number << ZONE_SHIFT, (number + 1) << ZONE_SHIFT);
        let mut index = self.ledger.region_at(&mut self.memory, start);
        while let Some(region) = self.ledger.region(&mut self.memory, index) {
            if region.start >= end {
                break;
            }
            if region.released {
                self.set_zone_state(page, start.max(region.start)..end.min(region.end), State::Free);
            }
            index += 1;
        }
        self.refile(page);
        page
    }

    /// The page of the zone with this number, made if need be; `None` if it has no RAM.
    pub(super) fn touched(&mut self, number: u64) -> Option<OwnedFrame> {
        match self.zone_page(number) {
            Some(page) => Some(page),
            None => self.ledger.zone(&mut self.memory, number).map(|place| self.touch(place)),
        }
    }

    /// Touches the first fresh zone; `false` if there is none.
    pub(super) fn touch_fresh(&mut self) -> bool {
        let Some(place) = self.ledger.fresh_zone(&mut self.memory) else { return false };
        self.touch(place);
        true
    }
}
