//! What frames are: the slow, exact view that explains refusals, checks ranges and finds free runs.

use super::field::{UNITS, Unit};
use super::memory::{FrameMemory, frame};
use super::place::chunk_index;
use super::range::FrameRange;
use super::zone::{CHUNK_SHIFT, WHOLE, ZONE_SHIFT, field_at, zone_at};
use super::{FrameAllocator, FrameError, Order};
use core::ops::Range;
use shared_abi::addr::Frame;
use shared_abi::memory::RegionKind;

/// What some consecutive frames are.
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
    /// What `number` and the frames after it are.
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
            // The last reserved unit is the first one of a block if a later one follows.
            let leads = unit == Unit::Reserved && self.is_later(limit);
            match unit {
                Unit::Free => return Stretch { what: Use::Free, end: limit },
                Unit::Later => return Stretch { what: Use::Later, end: limit },
                Unit::Single | Unit::Reserved if whole && index != 0 && (leads || unit == Unit::Single) => {
                    return Stretch { what: Use::Later, end: limit };
                }
                Unit::Single => return Stretch { what: Use::First, end: number + 1 },
                Unit::Reserved if leads && (whole || length == 1) => {
                    return Stretch { what: Use::First, end: number + 1 };
                }
                Unit::Reserved if leads => limit -= 1,
                Unit::Reserved => {}
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

    pub(super) fn is_split(&mut self, chunk: u64) -> bool {
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
    pub(super) fn block_end(&mut self, first: u64) -> u64 {
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
    pub(super) fn block_start(&mut self, number: u64) -> u64 {
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
    pub(super) fn conflict(&mut self, first: Frame, length: u64, at: u64, what: Use) -> FrameError {
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
    pub(super) fn expect(&mut self, range: FrameRange, good: impl Fn(Use) -> bool) -> Result<(), FrameError> {
        let Range { start: mut at, end } = range.numbers();
        while at < end {
            let Stretch { what, end: next } = self.stretch(at);
            if !good(what) {
                return Err(self.conflict(range.first(), range.frames(), at, what));
            }
            at = next;
        }
        Ok(())
    }

    /// The start of the lowest free run of `frames` frames at a multiple of `alignment`.
    pub(super) fn find_run(&mut self, frames: u64, alignment: Order) -> Option<u64> {
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
}
