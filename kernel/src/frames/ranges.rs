//! Ranges of any length: allocating, freeing, reserving and reclaiming them.
//!
//! These operations file the cached chunks and the current zone first, so everything is exact, and then go zone by zone, chunk by
//! chunk. They cost in proportion to the chunks that they touch and look before they change anything.

use super::field::{State, TOP, UNITS};
use super::ledger::is_reclaimable;
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::place::chunk_index;
use super::range::FrameRange;
use super::uses::Use;
use super::zone::{CHUNK_SHIFT, WHOLE, ZONE_SHIFT, field_at, zone_at};
use super::{FrameAllocator, FrameError, Order};
use core::ops::Range;
use shared_abi::addr::{Frame, PAGE, PhysAddr};
use shared_abi::memory::RegionKind;

impl<M: FrameMemory> FrameAllocator<M> {
    /// Takes `frames` consecutive frames, the first at a multiple of `alignment`. Their contents are whatever
    /// was there.
    ///
    /// # Errors
    /// `NoRun` if there is no such run, `BadLength` for a length of 0.
    pub fn allocate_range(&mut self, frames: u64, alignment: Order) -> Result<FrameRange, FrameError> {
        if frames == 0 || frames > PhysAddr::LIMIT / PAGE {
            return Err(FrameError::BadLength { frame: frame(0), frames });
        }
        // A block that holds the range, less what is too much, is quick to find; a run across blocks takes a walk.
        if let Some(order) = Order::holding(frames) {
            let order = order.max(alignment);
            if let Ok(first) = self.allocate(order) {
                if frames < order.frames() {
                    let start = first.number();
                    self.settle();
                    self.set_state(start..start + order.frames(), State::Free);
                    self.set_state(start..start + frames, State::Block);
                    self.uncached += order.frames() - frames;
                }
                return Ok(FrameRange { first, frames });
            }
        }
        self.settle();
        let start = self.find_run(frames, alignment).ok_or(FrameError::NoRun {
            frames,
            alignment,
            free: self.free_frames(),
        })?;
        self.set_state(start..start + frames, State::Block);
        self.uncached -= frames;
        Ok(FrameRange { first: frame(start), frames })
    }

    /// Frees a range that was allocated as such, or a block of the same place and length.
    ///
    /// # Errors
    /// As for [`FrameAllocator::free`]; nothing is changed then.
    pub fn free_range(&mut self, range: FrameRange) -> Result<(), FrameError> {
        let numbers = range.numbers();
        if let Some(order) = Order::holding(range.frames())
            && order.frames() == range.frames()
            && numbers.start & (range.frames() - 1) == 0
        {
            return self.free(range.first(), order);
        }
        let whole =
            self.stretch(numbers.start).what == Use::First && self.block_end(numbers.start) == numbers.end;
        if !whole {
            return Err(self.refusal(range.first(), range.frames()));
        }
        self.settle();
        self.set_state(numbers, State::Free);
        self.uncached += range.frames();
        Ok(())
    }

    /// Makes the block of `order` that begins at `first` so many blocks of `into`, each to be freed by itself.
    ///
    /// # Errors
    /// As for [`FrameAllocator::free`], and `Misaligned` if `into` is the larger order; nothing is changed then.
    pub fn divide(&mut self, first: Frame, order: Order, into: Order) -> Result<(), FrameError> {
        let (start, end) = (first.number(), first.number() + order.frames());
        if start & (order.frames() - 1) != 0 || into > order {
            let aligned = frame(start & !(order.frames() - 1));
            return Err(FrameError::Misaligned { frame: first, order, first: aligned });
        }
        if self.stretch(start).what != Use::First || self.block_end(start) != end {
            return Err(self.refusal(first, order.frames()));
        }
        self.settle();
        // A block of an order lies in one zone.
        if let Some(page) = self.zone_page(start >> ZONE_SHIFT) {
            for piece in (start..end).step_by(into.frames() as usize) {
                self.set_zone_state(page, piece..piece + into.frames(), State::Block);
            }
            self.refile(page);
        }
        Ok(())
    }

    /// Reserves free frames: nothing is allocated there until they are released.
    ///
    /// # Errors
    /// `Foreign`, `Reserved` or `WrongBlock` if any frame of the range is not free; nothing is changed then.
    pub fn reserve(&mut self, range: FrameRange) -> Result<(), FrameError> {
        self.settle();
        let numbers = range.numbers();
        self.expect(range, |what| what == Use::Free)?;
        self.set_state(numbers, State::Reserved);
        self.uncached -= range.frames();
        self.reserved += range.frames();
        Ok(())
    }

    /// Frees frames that [`FrameAllocator::reserve`] reserved, all of them or some.
    ///
    /// # Errors
    /// `Foreign`, `Reserved` (by the memory map), `AlreadyFree` or `WrongBlock`; nothing is changed then.
    pub fn release(&mut self, range: FrameRange) -> Result<(), FrameError> {
        self.settle();
        let numbers = range.numbers();
        self.expect(range, |what| matches!(what, Use::Reserved { released: true, .. }))?;
        self.set_state(numbers, State::Free);
        self.uncached += range.frames();
        self.reserved -= range.frames();
        Ok(())
    }

    /// Whether memory of `kind` may be taken back and has not been yet.
    ///
    /// # Errors
    /// Those of [`FrameAllocator::reclaim`].
    pub const fn check_reclaim(&self, kind: RegionKind) -> Result<(), FrameError> {
        if !is_reclaimable(kind) {
            Err(FrameError::NotReclaimable { kind })
        } else if self.reclaimed & kind_bit(kind) != 0 {
            Err(FrameError::AlreadyReclaimed { kind })
        } else {
            Ok(())
        }
    }

    /// Takes back all memory of `kind`, once, as the contract's table allows, and says how many frames that is.
    /// The caller has left that memory.
    ///
    /// # Errors
    /// `NotReclaimable` for a kind that is never the kernel's or is from the start, `AlreadyReclaimed` the second
    /// time.
    pub fn reclaim(&mut self, kind: RegionKind) -> Result<u64, FrameError> {
        self.check_reclaim(kind)?;
        self.reclaimed |= kind_bit(kind);
        self.settle();
        let (mut frames, mut index) = (0, 0);
        while let Some(region) = self.ledger.region(&mut self.memory, index) {
            if region.kind == kind {
                // A zone that is not touched yet will find the region free when it is.
                self.set_touched_state(region.start..region.end, State::Free);
                self.ledger.release(&mut self.memory, index);
                frames += region.end - region.start;
            }
            index += 1;
        }
        self.uncached += frames;
        self.reserved -= frames;
        Ok(frames)
    }

    /// Files the cached chunks and the current zone, so that every chunk and zone is in its class.
    pub(super) fn settle(&mut self) {
        self.file_cached();
        self.file_current();
    }

    /// Makes `numbers` what `state` says. Cached chunks and current zone are filed; the zones get touched.
    fn set_state(&mut self, numbers: Range<u64>, state: State) {
        for zone in numbers.start >> ZONE_SHIFT..=(numbers.end - 1) >> ZONE_SHIFT {
            self.touched(zone);
        }
        self.set_touched_state(numbers, state);
    }

    /// The same for the touched ones of the zones.
    fn set_touched_state(&mut self, numbers: Range<u64>, mut state: State) {
        for zone in numbers.start >> ZONE_SHIFT..=(numbers.end - 1) >> ZONE_SHIFT {
            let end = numbers.end.min((zone + 1) << ZONE_SHIFT);
            let (piece, rest) = pieces(state, end == numbers.end);
            if let Some(page) = self.zone_page(zone) {
                self.set_zone_state(page, numbers.start.max(zone << ZONE_SHIFT)..end, piece);
                self.refile(page);
            }
            state = rest;
        }
    }

    /// The same inside one zone, which the caller files again.
    pub(super) fn set_zone_state(&mut self, page: OwnedFrame, numbers: Range<u64>, mut state: State) {
        let mut at = numbers.start;
        while at < numbers.end {
            let (chunk, index) = (chunk_index(at >> CHUNK_SHIFT), at as usize % UNITS);
            let wholes = if index == 0 { (numbers.end - at) >> CHUNK_SHIFT } else { 0 };
            let end = match wholes {
                0 => numbers.end.min(((at >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT),
                _ => at + (wholes << CHUNK_SHIFT),
            };
            let (piece, rest) = pieces(state, end == numbers.end);
            match wholes {
                0 => self.set_frames(page, chunk, index, (end - at) as usize, piece),
                _ => self.set_whole_chunks(page, chunk, wholes as usize, piece),
            }
            (at, state) = (end, rest);
        }
    }

    /// Sets `count` chunks from `index` on as wholes.
    fn set_whole_chunks(&mut self, page: OwnedFrame, index: usize, count: usize, state: State) {
        let record = zone_at(&mut self.memory, page);
        for chunk in index..(index + count).min(UNITS) {
            if record.class[chunk] != WHOLE {
                record.refile(chunk, WHOLE);
            }
        }
        record.chunks.set_state(index, count, state);
    }

    /// Sets frames of one chunk, which gets a field of its own unless it is free as a whole then.
    fn set_frames(&mut self, page: OwnedFrame, chunk: usize, start: usize, count: usize, state: State) {
        let record = zone_at(&mut self.memory, page);
        let line = match record.class[chunk % UNITS] {
            WHOLE => self.split(page, chunk, 0),
            _ => record.line(chunk),
        };
        let field = field_at(&mut self.memory, line);
        field.set_state(start, count, state);
        let class = field.class();
        if class > TOP {
            self.set_whole_chunks(page, chunk, 1, State::Free);
        } else {
            zone_at(&mut self.memory, page).refile(chunk, class);
        }
    }
}

/// The bit of a kind that can be reclaimed; all of those have numbers below 64.
const fn kind_bit(kind: RegionKind) -> u64 {
    1 << (kind.0 % 64)
}

/// The state of a piece of a range, and what follows it, depending on whether it is the last piece.
const fn pieces(state: State, last: bool) -> (State, State) {
    match state {
        State::Block if last => (State::Block, State::Rest),
        State::Block | State::Front => (State::Front, State::Rest),
        same => (same, same),
    }
}
