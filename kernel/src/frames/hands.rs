//! The two chunks in hand: where single frames and blocks of less than a chunk come from and go to.
//!
//! ```text
//!             ┌───────────── split ─────────────┐          ┌──────────── file ────────────┐
//!   free chunk of the home zone ──► right hand ──► full, or put back: filed by its largest free block
//!                                    ▲                                                │
//!                                    ├──────────────── best fit ◄─────────────────────┤
//!                                  left hand ◄──── several frees in a row ◄───────────┘
//! ```
//!
//! The right hand gives and takes, the left hand only takes. Both exist so that what happens most, taking frames and
//! giving back ones that lie together, files nothing.

use super::chunks::{NONE, ZonePage, chunk_index};
use super::field::{Field, Paint, UNITS};
use super::memory::{FrameMemory, OwnedFrame, OwnedLine, frame};
use super::zone::{CHUNK_SHIFT, LARGE, OUT, SMALL, WHOLE, ZONE_SHIFT, field_at, field_line, zone_at};
use super::{FrameAllocator, FrameError, Order};
use shared_abi::addr::Frame;

/// So many frees in a row that hit one chunk bring it into the left hand.
const STREAK: u64 = 8;

/// A chunk that is checked out: it is in no class.
pub(super) struct Hand {
    pub chunk: u64,
    /// Where its field is.
    pub line: OwnedLine,
    /// Its free frames.
    pub free: u64,
    /// The first frame of the word that was last taken from or given back to.
    pub word: u64,
}

/// A hand without a chunk.
pub(super) const EMPTY: Hand = Hand { chunk: NONE, line: OwnedLine::new(0), free: 0, word: 0 };

impl<M: FrameMemory> FrameAllocator<M> {
    /// Orders below a chunk's: from the right hand, whose chunk is exchanged until it can give the block.
    #[inline(never)]
    pub(super) fn allocate_small(&mut self, order: u8) -> Result<Frame, FrameError> {
        loop {
            let hand = &mut self.right;
            if hand.free >> order != 0
                && let Some(index) = field_at(&mut self.memory, hand.line).take(order)
            {
                let first = (hand.chunk << CHUNK_SHIFT) + index as u64;
                hand.word = first & !63;
                hand.free -= 1 << order;
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

    /// Takes a chunk of at least `class` into the right hand: a split one if there is any, the home zone's first.
    #[cold]
    pub(super) fn refill(&mut self, class: u8) -> bool {
        self.put_back_hands();
        loop {
            let home = self.home;
            if let Some(index) = self.home_record().and_then(|record| record.best_split(class)) {
                self.right = self.pick_up(home, index);
                return true;
            }
            if let Some(page) = self.shelf.best(SMALL, class) {
                self.go_home(page);
                continue;
            }
            if let Some(index) = self.home_record().and_then(|record| record.chunks.find(0)) {
                self.split(home.page, index, OUT);
                self.right = self.pick_up(home, index);
                return true;
            }
            if let Some(page) = self.shelf.best(LARGE, 1) {
                self.go_home(page);
            } else if !self.touch_fresh() {
                return false;
            }
        }
    }

    /// Checks the split chunk `index` of `zone` out.
    pub(super) fn pick_up(&mut self, zone: ZonePage, index: usize) -> Hand {
        let record = zone_at(&mut self.memory, zone.page);
        record.refile(index, OUT);
        self.shelf_small(zone.page);
        let chunk = (zone.number << (ZONE_SHIFT - CHUNK_SHIFT)) + index as u64;
        let line = field_line(zone.origin, chunk);
        let free = u64::from(field_at(&mut self.memory, line).free_units());
        self.elsewhere -= free;
        Hand { chunk, line, free, word: chunk << CHUNK_SHIFT }
    }

    /// Files the chunks in both hands again.
    pub(super) fn put_back_hands(&mut self) {
        let right = core::mem::replace(&mut self.right, EMPTY);
        self.put_back(right);
        let left = core::mem::replace(&mut self.left, EMPTY);
        self.put_back(left);
    }

    /// Files a chunk again.
    pub(super) fn put_back(&mut self, hand: Hand) {
        if hand.chunk == NONE {
            return;
        }
        let Some(zone) = self.zone(hand.chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) else { return };
        self.elsewhere += hand.free;
        let class = if hand.free == 0 { 0 } else { field_at(&mut self.memory, hand.line).class() };
        self.file(zone.page, chunk_index(hand.chunk), class);
    }

    /// A frame that is not in the hand.
    #[inline(never)]
    pub(super) fn free_frame_elsewhere(&mut self, frame: Frame) -> Result<(), FrameError> {
        let number = frame.number();
        let ZonePage { number: zone, page, origin } = self.near;
        if number >> ZONE_SHIFT != zone {
            return self.free_frame_far(frame);
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
        self.elsewhere += 1;
        if self.streak.0 != chunk {
            self.streak = (chunk, 0);
        } else {
            self.streak.1 += 1;
            if self.streak.1 == STREAK {
                return self.swap_left(chunk);
            }
        }
        if Field::may_grow(index, class, word) {
            return self.grow_split(page, chunk_index(chunk), index);
        }
        Ok(())
    }

    /// Takes the chunk into the left hand. Never fails.
    #[inline(never)]
    pub(super) fn swap_left(&mut self, chunk: u64) -> Result<(), FrameError> {
        let left = core::mem::replace(&mut self.left, EMPTY);
        self.put_back(left);
        if let Some(zone) = self.zone(chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) {
            self.left = self.pick_up(zone, chunk_index(chunk));
        }
        Ok(())
    }

    /// A frame in another zone than the last.
    #[inline(never)]
    pub(super) fn free_frame_far(&mut self, frame: Frame) -> Result<(), FrameError> {
        match self.look_up(frame.number() >> ZONE_SHIFT) {
            Some(_) => self.free_frame_elsewhere(frame),
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
        field_at(&mut self.memory, line).paint(index, length, Paint::Free);
        for hand in [&mut self.right, &mut self.left] {
            if chunk == hand.chunk {
                hand.free += frames;
                hand.word = number & !63;
                return Ok(());
            }
        }
        self.elsewhere += frames;
        self.grow_split(zone.page, chunk_index(chunk), index)
    }
}
