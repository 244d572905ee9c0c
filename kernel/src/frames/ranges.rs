//! Ranges of any length: allocating, freeing, reserving and reclaiming them, and what the frames of one are.
//!
//! These operations file the hands and the home first, so everything is exact, and then paint zone by zone, chunk by
//! chunk. They cost in proportion to the chunks that they touch and look before they change anything.

use super::allocator::chunk_index;
use super::field::{Paint, TOP, UNITS, Unit};
use super::ledger::is_reclaimable;
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::zone::{CHUNK_SHIFT, WHOLE, ZONE_SHIFT, field_at, zone_at};
use super::{FrameAllocator, FrameError, Order};
use core::ops::Range;
use shared_abi::addr::{Frame, PAGE, PhysAddr, PhysRange};
use shared_abi::memory::RegionKind;

/// One or more frames behind each other, all of which have a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    first: Frame,
    frames: u64,
}

impl FrameRange {
    /// `frames` frames from `first` on; `None` if that is none, or leaves the physical address space.
    pub const fn new(first: Frame, frames: u64) -> Option<Self> {
        if frames == 0 || frames > PhysAddr::LIMIT / PAGE - first.number() {
            return None;
        }
        Some(Self { first, frames })
    }

    /// The first frame.
    pub const fn first(self) -> Frame {
        self.first
    }

    /// Length in frames, at least 1.
    pub const fn frames(self) -> u64 {
        self.frames
    }

    /// The same memory as an address range.
    pub fn range(self) -> PhysRange {
        PhysRange::new(self.first.start(), self.frames * PAGE).unwrap_or_default()
    }

    const fn numbers(self) -> Range<u64> {
        self.first.number()..self.first.number() + self.frames
    }
}

/// What some frames behind each other are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing that the memory map lists.
    Foreign,
    /// Not to be handed out: by the map, or, if the region is `released`, by `reserve`.
    Reserved {
        kind: RegionKind,
        released: bool,
    },
    Free,
    /// The first frame of an allocated block, alone.
    First,
    /// Later frames of an allocated block.
    Later,
}

/// Frames up to, not including, `end` have this use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub what: Use,
    pub end: u64,
}

impl<M: FrameMemory> FrameAllocator<M> {
    /// Takes `frames` frames behind each other, the first at a multiple of `alignment`. Their contents are whatever
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
                    self.paint(start..start + order.frames(), Paint::Free);
                    self.paint(start..start + frames, Paint::Block);
                    self.elsewhere += order.frames() - frames;
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
        self.paint(start..start + frames, Paint::Block);
        self.elsewhere -= frames;
        Ok(FrameRange { first: frame(start), frames })
    }

    /// Frees a range that was allocated as such, or a block of the same place and length.
    ///
    /// # Errors
    /// As for [`FrameAllocator::free`]; nothing is changed then.
    pub fn free_range(&mut self, range: FrameRange) -> Result<(), FrameError> {
        let numbers = range.numbers();
        if let Some(order) = Order::holding(range.frames)
            && order.frames() == range.frames
            && numbers.start & (range.frames - 1) == 0
        {
            return self.free(range.first, order);
        }
        let whole =
            self.stretch(numbers.start).what == Use::First && self.block_end(numbers.start) == numbers.end;
        if !whole {
            return Err(self.refusal(range.first, range.frames));
        }
        self.settle();
        self.paint(numbers, Paint::Free);
        self.elsewhere += range.frames;
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
                self.paint_zone(page, piece..piece + into.frames(), Paint::Block);
            }
            self.refile(page);
        }
        Ok(())
    }

    /// Sets free frames aside, so that nothing is allocated there until they are released.
    ///
    /// # Errors
    /// `Foreign`, `Reserved` or `WrongBlock` if any frame of the range is not free; nothing is changed then.
    pub fn reserve(&mut self, range: FrameRange) -> Result<(), FrameError> {
        self.settle();
        let numbers = range.numbers();
        self.expect(range, |what| what == Use::Free)?;
        self.paint(numbers, Paint::Aside);
        self.elsewhere -= range.frames;
        self.reserved += range.frames;
        Ok(())
    }

    /// Frees frames that [`FrameAllocator::reserve`] set aside, all of them or some.
    ///
    /// # Errors
    /// `Foreign`, `Reserved` (by the memory map), `AlreadyFree` or `WrongBlock`; nothing is changed then.
    pub fn release(&mut self, range: FrameRange) -> Result<(), FrameError> {
        self.settle();
        let numbers = range.numbers();
        self.expect(range, |what| matches!(what, Use::Reserved { released: true, .. }))?;
        self.paint(numbers, Paint::Free);
        self.elsewhere += range.frames;
        self.reserved -= range.frames;
        Ok(())
    }

    /// Takes back all memory of `kind`, once, as the contract's table allows, and says how many frames that is.
    /// The caller has left that memory.
    ///
    /// # Errors
    /// `NotReclaimable` for a kind that is never the kernel's or is from the start, `AlreadyReclaimed` the second
    /// time.
    pub fn reclaim(&mut self, kind: RegionKind) -> Result<u64, FrameError> {
        if !is_reclaimable(kind) {
            return Err(FrameError::NotReclaimable { kind });
        }
        let bit = 1u64 << (kind.0 % 64);
        if self.reclaimed & bit != 0 {
            return Err(FrameError::AlreadyReclaimed { kind });
        }
        self.reclaimed |= bit;
        self.settle();
        let (mut frames, mut index) = (0, 0);
        while let Some(region) = self.ledger.region(&mut self.memory, index) {
            if region.kind == kind {
                // A zone that is not touched yet will find the region free when it is.
                self.paint_touched(region.start..region.end, Paint::Free);
                self.ledger.release(&mut self.memory, index);
                frames += region.end - region.start;
            }
            index += 1;
        }
        self.elsewhere += frames;
        self.reserved -= frames;
        Ok(frames)
    }

    /// Files the hands and the home, so that every chunk and zone is in its class.
    pub(super) fn settle(&mut self) {
        self.put_back_hands();
        self.leave_home();
    }

    /// What `number` and the frames behind it are.
    pub(super) fn stretch(&mut self, number: u64) -> Stretch {
        let mut limit = ((number >> ZONE_SHIFT) + 1) << ZONE_SHIFT;
        let page = self.zone_page(number >> ZONE_SHIFT);
        if let Some(page) = page {
            let record = zone_at(&mut self.memory, page);
            let chunk = chunk_index(number >> CHUNK_SHIFT);
            let index = number as usize % UNITS;
            let whole = record.class[chunk] == WHOLE;
            let (unit, length) = if whole {
                (record.chunks.unit(chunk), UNITS - index)
            } else {
                let line = record.line(chunk);
                let field = field_at(&mut self.memory, line);
                (field.unit(index), field.run(index))
            };
            limit = number + length as u64;
            // The last unit that is aside is the first one of a block if a later one follows.
            let leads = unit == Unit::Aside && self.is_later(limit);
            match unit {
                Unit::Free => return Stretch { what: Use::Free, end: limit },
                Unit::Later => return Stretch { what: Use::Later, end: limit },
                Unit::Single | Unit::Aside if whole && index != 0 && (leads || unit == Unit::Single) => {
                    return Stretch { what: Use::Later, end: limit };
                }
                Unit::Single => return Stretch { what: Use::First, end: number + 1 },
                Unit::Aside if leads && (whole || length == 1) => {
                    return Stretch { what: Use::First, end: number + 1 };
                }
                Unit::Aside if leads => limit -= 1,
                Unit::Aside => {}
            }
        }
        let index = self.ledger.region_at(&mut self.memory, number);
        match self.ledger.region(&mut self.memory, index) {
            Some(region) if region.first().number() <= number => {
                let what = if region.released && page.is_none() {
                    Use::Free
                } else {
                    Use::Reserved { kind: region.kind, released: region.released }
                };
                Stretch { what, end: limit.min(region.end) }
            }
            Some(region) => Stretch { what: Use::Foreign, end: limit.min(region.start) },
            None => Stretch { what: Use::Foreign, end: limit },
        }
    }

    fn is_split(&mut self, chunk: u64) -> bool {
        self.zone_page(chunk >> (ZONE_SHIFT - CHUNK_SHIFT))
            .is_some_and(|page| zone_at(&mut self.memory, page).class[chunk_index(chunk)] != WHOLE)
    }

    /// Whether the frame belongs to the block of the frame before it.
    #[cold]
    pub(super) fn is_later(&mut self, number: u64) -> bool {
        let Some(page) = self.zone_page(number >> ZONE_SHIFT) else { return false };
        let record = zone_at(&mut self.memory, page);
        let chunk = chunk_index(number >> CHUNK_SHIFT);
        let unit = if record.class[chunk] == WHOLE {
            record.chunks.unit(chunk)
        } else {
            let line = record.line(chunk);
            field_at(&mut self.memory, line).unit(number as usize % UNITS)
        };
        unit == Unit::Later
    }

    /// The end of the block whose first frame is `first`.
    fn block_end(&mut self, first: u64) -> u64 {
        let mut end = first + 1;
        loop {
            let Stretch { what, end: next } = self.stretch(end);
            if what != Use::Later {
                return end;
            }
            end = next;
        }
    }

    /// The first frame of the allocated block that `number` is part of.
    fn block_start(&mut self, number: u64) -> u64 {
        let mut at = number;
        while at > 0 && self.stretch(at).what == Use::Later {
            let base = at & !(UNITS as u64 - 1);
            // All of a whole chunk belongs to one block, so its first frame says as much as this one.
            at = if self.is_split(at >> CHUNK_SHIFT) || at == base { at - 1 } else { base };
        }
        at
    }

    /// Why the request for `length` frames from `first` on cannot be served, where a block of exactly these frames
    /// was expected.
    #[cold]
    #[inline(never)]
    pub(super) fn refusal(&mut self, first: Frame, length: u64) -> FrameError {
        let Stretch { what, .. } = self.stretch(first.number());
        self.conflict(first, length, first.number(), what)
    }

    /// The error for a request in which the frame `at` has the wrong use.
    fn conflict(&mut self, first: Frame, length: u64, at: u64, what: Use) -> FrameError {
        match what {
            Use::Foreign => FrameError::Foreign { frame: first, at: frame(at) },
            Use::Reserved { kind, .. } => FrameError::Reserved { frame: first, at: frame(at), kind },
            Use::Free => FrameError::AlreadyFree { frame: first, at: frame(at) },
            Use::First | Use::Later => {
                let start = self.block_start(at);
                let block = self.block_end(start) - start;
                FrameError::WrongBlock { frame: first, frames: length, first: frame(start), length: block }
            }
        }
    }

    /// Checks every frame of the range.
    fn expect(&mut self, range: FrameRange, good: impl Fn(Use) -> bool) -> Result<(), FrameError> {
        let Range { start: mut at, end } = range.numbers();
        while at < end {
            let Stretch { what, end: next } = self.stretch(at);
            if !good(what) {
                return Err(self.conflict(range.first, range.frames, at, what));
            }
            at = next;
        }
        Ok(())
    }

    /// The start of the lowest free run of `frames` frames at a multiple of `alignment`.
    fn find_run(&mut self, frames: u64, alignment: Order) -> Option<u64> {
        let mut ordinal = 0;
        let mut run = 0..0;
        // Zones come in ascending order; a run may lead from one into the next.
        while let Some(place) = self.ledger.zone_by_ordinal(&mut self.memory, ordinal) {
            let Range { start: mut at, end } = place.number << ZONE_SHIFT..(place.number + 1) << ZONE_SHIFT;
            while at < end {
                let Stretch { what, end: next } = self.stretch(at);
                if what == Use::Free {
                    if run.end != at {
                        run.start = at;
                    }
                    run.end = next;
                    let start = run.start.next_multiple_of(alignment.frames());
                    if run.end.saturating_sub(start) >= frames {
                        return Some(start);
                    }
                }
                at = next;
            }
            ordinal += 1;
        }
        None
    }

    /// Makes `numbers` what `paint` says. The hands and the home are filed; the zones get touched.
    fn paint(&mut self, numbers: Range<u64>, paint: Paint) {
        for zone in numbers.start >> ZONE_SHIFT..=(numbers.end - 1) >> ZONE_SHIFT {
            self.touched(zone);
        }
        self.paint_touched(numbers, paint);
    }

    /// The same for the touched ones of the zones.
    fn paint_touched(&mut self, numbers: Range<u64>, mut paint: Paint) {
        for zone in numbers.start >> ZONE_SHIFT..=(numbers.end - 1) >> ZONE_SHIFT {
            let end = numbers.end.min((zone + 1) << ZONE_SHIFT);
            let (piece, rest) = pieces(paint, end == numbers.end);
            if let Some(page) = self.zone_page(zone) {
                self.paint_zone(page, numbers.start.max(zone << ZONE_SHIFT)..end, piece);
                self.refile(page);
            }
            paint = rest;
        }
    }

    /// The same inside one zone, which the caller files again.
    pub(super) fn paint_zone(&mut self, page: OwnedFrame, numbers: Range<u64>, mut paint: Paint) {
        let mut at = numbers.start;
        while at < numbers.end {
            let (chunk, index) = (chunk_index(at >> CHUNK_SHIFT), at as usize % UNITS);
            let wholes = if index == 0 { (numbers.end - at) >> CHUNK_SHIFT } else { 0 };
            let end = match wholes {
                0 => numbers.end.min(((at >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT),
                _ => at + (wholes << CHUNK_SHIFT),
            };
            let (piece, rest) = pieces(paint, end == numbers.end);
            match wholes {
                0 => self.paint_frames(page, chunk, index, (end - at) as usize, piece),
                _ => self.paint_wholes(page, chunk, wholes as usize, piece),
            }
            (at, paint) = (end, rest);
        }
    }

    /// Paints `count` chunks from `index` on as wholes.
    fn paint_wholes(&mut self, page: OwnedFrame, index: usize, count: usize, paint: Paint) {
        let record = zone_at(&mut self.memory, page);
        for chunk in index..(index + count).min(UNITS) {
            if record.class[chunk] != WHOLE {
                record.refile(chunk, WHOLE);
            }
        }
        record.chunks.paint(index, count, paint);
    }

    /// Paints frames of one chunk, which gets a field of its own unless it is free as a whole then.
    fn paint_frames(&mut self, page: OwnedFrame, chunk: usize, start: usize, count: usize, paint: Paint) {
        let record = zone_at(&mut self.memory, page);
        let line = match record.class[chunk % UNITS] {
            WHOLE => self.split(page, chunk, 0),
            _ => record.line(chunk),
        };
        let field = field_at(&mut self.memory, line);
        field.paint(start, count, paint);
        let class = field.class();
        if class > TOP {
            self.paint_wholes(page, chunk, 1, Paint::Free);
        } else {
            zone_at(&mut self.memory, page).refile(chunk, class);
        }
    }
}

/// How a piece of a range is painted, and what follows it, depending on whether it is the last piece.
const fn pieces(paint: Paint, last: bool) -> (Paint, Paint) {
    match paint {
        Paint::Block if last => (Paint::Block, Paint::Rest),
        Paint::Block | Paint::Front => (Paint::Front, Paint::Rest),
        same => (same, same),
    }
}
