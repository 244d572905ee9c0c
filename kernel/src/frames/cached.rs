//! The two cached chunks: where single frames and blocks of less than a chunk come from and go to.
//!
//! ```text
//!   free chunk of the current zone ──split──► active ──► full, or replaced: filed by its largest free block
//!                                              ▲                                       │
//!                                              ├────────────── best fit ◄──────────────┤
//!                                          returning ◄──── several frees in a row ◄────┘
//! ```
//!
//! Frames come from the active chunk and go back to either. Both exist so that what happens most, taking frames and
//! giving back ones that lie together, files nothing.

use super::field::{Field, State, UNITS};
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::place::{CachedChunk, EMPTY, NONE, ZonePage, chunk_index};
use super::zone::{CHUNK_SHIFT, LARGE, OUT, SMALL, WHOLE, ZONE_SHIFT, field_at, field_line, zone_at};
use super::{FrameAllocator, FrameError, Order};
use shared_abi::addr::Frame;

/// So many frees in a row that hit one chunk make it the returning one.
const STREAK: u64 = 8;

impl<M: FrameMemory> FrameAllocator<M> {
    /// Orders below a chunk's: from the active chunk, which is exchanged until it can give the block.
    #[inline(never)]
    pub(super) fn allocate_small(&mut self, order: u8) -> Result<Frame, FrameError> {
        loop {
            let cached = &mut self.active;
            if cached.free >> order != 0
                && let Some(index) = field_at(&mut self.memory, cached.line).take(order)
            {
                let first = (cached.chunk << CHUNK_SHIFT) + index as u64;
                cached.word = first & !63;
                cached.free -= 1 << order;
                return Ok(frame(first));
            }
            if !self.refill(order + 1) {
                return Err(FrameError::OutOfFrames {
                    order: Order::new(order).unwrap_or_default(),
                    free: self.free_frames(),
                });
            }
        }
    }

    /// Makes a chunk of at least `class` the active one: a split one if there is any, the current zone's first.
    #[cold]
    pub(super) fn refill(&mut self, class: u8) -> bool {
        self.file_cached();
        loop {
            let current = self.current;
            if let Some(index) = self.current_record().and_then(|record| record.best_split(class)) {
                self.active = self.take_out(current, index);
                return true;
            }
            if let Some(page) = self.zone_lists.best(SMALL, class) {
                self.make_current(page);
                continue;
            }
            if let Some(index) = self.current_record().and_then(|record| record.chunks.find(0)) {
                self.split(current.page, index, OUT);
                self.active = self.take_out(current, index);
                return true;
            }
            if let Some(page) = self.zone_lists.best(LARGE, 1) {
                self.make_current(page);
            } else if !self.touch_fresh() {
                return false;
            }
        }
    }

    /// Checks the split chunk `index` of `zone` out.
    pub(super) fn take_out(&mut self, zone: ZonePage, index: usize) -> CachedChunk {
        let record = zone_at(&mut self.memory, zone.page);
        record.refile(index, OUT);
        self.relist_small(zone.page);
        let chunk = (zone.number << (ZONE_SHIFT - CHUNK_SHIFT)) + index as u64;
        let line = field_line(zone.origin, chunk);
        let free = u64::from(field_at(&mut self.memory, line).free_units());
        self.uncached -= free;
        CachedChunk { chunk, line, free, word: chunk << CHUNK_SHIFT }
    }

    /// Files both cached chunks again.
    pub(super) fn file_cached(&mut self) {
        let active = core::mem::replace(&mut self.active, EMPTY);
        self.file_chunk(active);
        let returning = core::mem::replace(&mut self.returning, EMPTY);
        self.file_chunk(returning);
    }

    /// Files a chunk again.
    pub(super) fn file_chunk(&mut self, cached: CachedChunk) {
        if cached.chunk == NONE {
            return;
        }
        let Some(zone) = self.zone(cached.chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) else { return };
        self.uncached += cached.free;
        let class = if cached.free == 0 { 0 } else { field_at(&mut self.memory, cached.line).class() };
        self.file(zone.page, chunk_index(cached.chunk), class);
    }

    /// A frame of a chunk that is not cached.
    #[inline(never)]
    pub(super) fn free_frame_uncached(&mut self, frame: Frame) -> Result<(), FrameError> {
        let number = frame.number();
        let ZonePage { number: zone, page, origin } = self.last_zone;
        if number >> ZONE_SHIFT != zone {
            return self.free_frame_in_other_zone(frame);
        }
        let chunk = number >> CHUNK_SHIFT;
        let index = number as usize % UNITS;
        let class = zone_at(&mut self.memory, page).class[chunk_index(chunk)];
        if class == WHOLE {
            return Err(self.refusal(frame, 1));
        }
        let Some(word) = field_at(&mut self.memory, field_line(origin, chunk)).free_single(index) else {
            return Err(self.refusal(frame, 1));
        };
        self.uncached += 1;
        if self.streak.0 != chunk {
            self.streak = (chunk, 0);
        } else {
            self.streak.1 += 1;
            if self.streak.1 == STREAK {
                return self.swap_returning(chunk);
            }
        }
        if Field::may_grow(index, class, word) {
            return self.grow_split(page, chunk_index(chunk), index);
        }
        Ok(())
    }

    /// Makes the chunk the returning one. Never fails.
    #[inline(never)]
    pub(super) fn swap_returning(&mut self, chunk: u64) -> Result<(), FrameError> {
        let returning = core::mem::replace(&mut self.returning, EMPTY);
        self.file_chunk(returning);
        if let Some(zone) = self.zone(chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) {
            self.returning = self.take_out(zone, chunk_index(chunk));
        }
        Ok(())
    }

    /// A frame in another zone than the last.
    #[inline(never)]
    pub(super) fn free_frame_in_other_zone(&mut self, frame: Frame) -> Result<(), FrameError> {
        match self.look_up(frame.number() >> ZONE_SHIFT) {
            Some(_) => self.free_frame_uncached(frame),
            None => Err(self.refusal(frame, 1)),
        }
    }

    /// Files a split chunk again after frames at `index` became free. Never fails.
    #[inline(never)]
    pub(super) fn grow_split(
        &mut self,
        page: OwnedFrame,
        chunk: usize,
        index: usize,
    ) -> Result<(), FrameError> {
        let record = zone_at(&mut self.memory, page);
        let old = record.class[chunk % UNITS];
        let line = record.line(chunk);
        let class = field_at(&mut self.memory, line).grown(index, old);
        if class != old {
            self.file(page, chunk, class);
        }
        Ok(())
    }

    /// Orders below a chunk's, wherever the block lies.
    #[inline(never)]
    pub(super) fn free_small(&mut self, first: Frame, order: u8) -> Result<(), FrameError> {
        let (number, length) = (first.number(), 1usize << order);
        let chunk = number >> CHUNK_SHIFT;
        let index = number as usize % UNITS;
        let frames = length as u64;
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else { return Err(self.refusal(first, frames)) };
        let line = field_line(zone.origin, chunk);
        if zone_at(&mut self.memory, zone.page).class[chunk_index(chunk)] == WHOLE
            || !field_at(&mut self.memory, line).is_block(index, length)
            || (index + length == UNITS && self.is_later(number + frames))
        {
            return Err(self.refusal(first, frames));
        }
        field_at(&mut self.memory, line).set_state(index, length, State::Free);
        for cached in [&mut self.active, &mut self.returning] {
            if chunk == cached.chunk {
                cached.free += frames;
                cached.word = number & !63;
                return Ok(());
            }
        }
        self.uncached += frames;
        self.grow_split(zone.page, chunk_index(chunk), index)
    }
}
