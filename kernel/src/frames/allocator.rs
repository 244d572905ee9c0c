//! Allocating and freeing blocks of 2ⁿ frames.
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

use super::field::{Field, Paint, TOP, UNITS, Unit};
use super::ledger::{Ledger, ZonePlace};
use super::memory::{FrameMemory, OwnedFrame, OwnedLine, frame};
use super::zone::{
    CHUNK_SHIFT, LARGE, OUT, SMALL, Shelf, WHOLE, ZONE_SHIFT, Zone, field_at, field_line, zone_at,
};
use super::{FrameError, Order};
use shared_abi::addr::{Frame, PAGE_SHIFT, PhysRange};
use shared_abi::memory::RegionKind;

/// No chunk and no zone has this number.
const NONE: u64 = u64::MAX;

/// So many frees in a row that hit one chunk bring it into the left hand.
const STREAK: u64 = 8;

/// A chunk that is checked out: it is in no class.
struct Hand {
    chunk: u64,
    /// Where its field is.
    line: OwnedLine,
    /// Its free frames.
    free: u64,
    /// The first frame of the word that was last taken from or given back to.
    word: u64,
}

const EMPTY: Hand = Hand { chunk: NONE, line: OwnedLine::new(0), free: 0, word: 0 };

/// A touched zone: its number, its page and where its chunks' fields are.
#[derive(Clone, Copy)]
struct ZonePage {
    number: u64,
    page: OwnedFrame,
    origin: u64,
}

const NO_ZONE: ZonePage = ZonePage { number: NONE, page: OwnedFrame::new(0), origin: 0 };

/// All page frames of the machine. `M` is how their contents are reached; put the allocator behind a lock to share
/// it between CPUs, and let each CPU keep a few frames by [`FrameAllocator::allocate_batch`].
pub struct FrameAllocator<M> {
    /// Where single frames and small blocks come from.
    right: Hand,
    /// Where single frames go when many come back.
    left: Hand,
    /// The chunk, in neither hand, that the last single frame went back to, and how many in a row did.
    streak: (u64, u64),
    /// The zone that chunks are taken from; filed nowhere while it is here.
    home: ZonePage,
    /// The zone that was last looked up.
    near: ZonePage,
    /// Free frames outside the hands.
    pub(super) elsewhere: u64,
    pub(super) memory: M,
    shelf: Shelf,
    pub(super) ledger: Ledger,
    pub(super) total: u64,
    pub(super) reserved: u64,
    /// Bit `k`: kind `k` was reclaimed.
    pub(super) reclaimed: u64,
}

impl<M> core::fmt::Debug for FrameAllocator<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let free = self.elsewhere + self.right.free + self.left.free;
        write!(f, "{free:#x} of {:#x} frames free, {:#x} reserved", self.total, self.reserved)
    }
}

/// The index of a chunk in its zone.
pub(super) const fn chunk_index(chunk: u64) -> usize {
    chunk as usize % UNITS
}

impl<M: FrameMemory> FrameAllocator<M> {
    /// An allocator for the RAM that `map` lists, in ascending order, with what is free at entry free and all else
    /// reserved. The cost depends on the number of regions alone; only the tables of the map itself are written.
    ///
    /// # Errors
    /// `BadRegion` if the map is misaligned, unsorted or overlapping; `NoRoom` if no free region can hold the
    /// metadata.
    pub fn new(
        map: impl Iterator<Item = (PhysRange, RegionKind)> + Clone,
        mut memory: M,
    ) -> Result<Self, FrameError> {
        let (ledger, totals) = Ledger::new(map, &mut memory)?;
        Ok(Self {
            right: EMPTY,
            left: EMPTY,
            streak: (NONE, 0),
            home: NO_ZONE,
            near: NO_ZONE,
            elsewhere: totals.free,
            memory,
            shelf: Shelf::default(),
            ledger,
            total: totals.total,
            reserved: totals.total - totals.free,
            reclaimed: 0,
        })
    }

    /// How memory is reached.
    #[inline(always)]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// The same, to change what a frame holds.
    #[inline(always)]
    pub(crate) fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> u64 {
        self.elsewhere + self.right.free + self.left.free
    }

    /// Takes one frame. Its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if none is free.
    #[inline]
    pub fn allocate_frame(&mut self) -> Result<Frame, FrameError> {
        if self.right.free != 0 {
            let field = field_at(&mut self.memory, self.right.line);
            let word = self.right.word as usize % UNITS / 64;
            let free = field.free_in(word);
            if free != 0 {
                let bit = free.trailing_zeros();
                field.take_single(word, bit);
                self.right.free -= 1;
                return Ok(frame(self.right.word + u64::from(bit)));
            }
        }
        self.allocate_small(0)
    }

    /// Frees one frame that was allocated as such.
    ///
    /// # Errors
    /// As for [`FrameAllocator::free`].
    #[inline]
    pub fn free_frame(&mut self, frame: Frame) -> Result<(), FrameError> {
        let number = frame.number();
        let chunk = number >> CHUNK_SHIFT;
        let hand = if chunk == self.right.chunk {
            &mut self.right
        } else if chunk == self.left.chunk {
            &mut self.left
        } else {
            return self.free_frame_elsewhere(frame);
        };
        if field_at(&mut self.memory, hand.line).free_single(number as usize % UNITS).is_none() {
            return Err(self.refusal(frame, 1));
        }
        hand.free += 1;
        hand.word = number & !63;
        Ok(())
    }

    /// Takes a block of `order`; it begins at a multiple of its length. Its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if no aligned block of that order is free.
    pub fn allocate(&mut self, order: Order) -> Result<Frame, FrameError> {
        match order.get() {
            0 => self.allocate_frame(),
            small if u32::from(small) < CHUNK_SHIFT => self.allocate_small(small),
            _ => self.allocate_chunks(order),
        }
    }

    /// Takes a block of `order` and fills it with zeros.
    ///
    /// # Errors
    /// `OutOfFrames` if no aligned block of that order is free.
    pub fn allocate_zeroed(&mut self, order: Order) -> Result<Frame, FrameError> {
        let first = self.allocate(order)?;
        self.memory.clear(OwnedFrame::new(first.number()), order.frames());
        Ok(first)
    }

    /// Frees the block of `order` that begins at `first`. A range of the same place and length may be freed so too.
    ///
    /// # Errors
    /// `Misaligned`, `Foreign`, `Reserved`, `AlreadyFree` or `WrongBlock`, with the frame given and the one that it
    /// conflicts with. Nothing is changed then.
    pub fn free(&mut self, first: Frame, order: Order) -> Result<(), FrameError> {
        if order == Order::FRAME {
            return self.free_frame(first);
        }
        let number = first.number();
        let inside = number & (order.frames() - 1);
        if inside != 0 {
            return Err(FrameError::Misaligned { frame: first, order, first: frame(number - inside) });
        }
        if u32::from(order.get()) < CHUNK_SHIFT {
            self.free_small(first, order.get())
        } else {
            self.free_chunks(first, order)
        }
    }

    /// Fills `frames` with single frames as far as there are any and says how many: what a per-CPU cache takes
    /// under one lock.
    pub fn allocate_batch(&mut self, frames: &mut [Frame]) -> usize {
        for (taken, slot) in frames.iter_mut().enumerate() {
            match self.allocate_frame() {
                Ok(frame) => *slot = frame,
                Err(_) => return taken,
            }
        }
        frames.len()
    }

    /// Frees single frames under one lock.
    ///
    /// # Errors
    /// That of the first frame that is refused, with its index; the ones before it are free then, the others as
    /// they were.
    pub fn free_batch(&mut self, frames: &[Frame]) -> Result<(), (usize, FrameError)> {
        for (index, frame) in frames.iter().enumerate() {
            self.free_frame(*frame).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// Orders below a chunk's: from the right hand, whose chunk is exchanged until it can give the block.
    #[inline(never)]
    fn allocate_small(&mut self, order: u8) -> Result<Frame, FrameError> {
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
    fn refill(&mut self, class: u8) -> bool {
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
    fn pick_up(&mut self, zone: ZonePage, index: usize) -> Hand {
        let record = zone_at(&mut self.memory, zone.page);
        record.refile(index, OUT);
        self.shelf_small(zone.page);
        let chunk = (zone.number << (ZONE_SHIFT - CHUNK_SHIFT)) + index as u64;
        let line = field_line(zone.origin, chunk);
        let free = u64::from(field_at(&mut self.memory, line).free_units());
        self.elsewhere -= free;
        Hand { chunk, line, free, word: chunk << CHUNK_SHIFT }
    }

    /// Makes the field of a whole chunk that is free or reserved, and files it under `class`.
    pub(super) fn split(&mut self, page: OwnedFrame, index: usize, class: u8) -> OwnedLine {
        let record = zone_at(&mut self.memory, page);
        let line = record.line(index);
        let free = record.chunks.unit(index) == Unit::Free;
        record.chunks.paint(index, 1, Paint::Aside);
        record.refile(index, class);
        *field_at(&mut self.memory, line) = if free { Field::FREE } else { Field::ASIDE };
        line
    }

    /// Files the chunks in both hands again.
    pub(super) fn put_back_hands(&mut self) {
        let right = core::mem::replace(&mut self.right, EMPTY);
        self.put_back(right);
        let left = core::mem::replace(&mut self.left, EMPTY);
        self.put_back(left);
    }

    /// Files a chunk again.
    fn put_back(&mut self, hand: Hand) {
        if hand.chunk == NONE {
            return;
        }
        let Some(zone) = self.zone(hand.chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) else { return };
        self.elsewhere += hand.free;
        let class = if hand.free == 0 { 0 } else { field_at(&mut self.memory, hand.line).class() };
        self.file(zone.page, chunk_index(hand.chunk), class);
    }

    /// Files a zone again under the class of its best split chunk, unless it is checked out.
    fn shelf_small(&mut self, page: OwnedFrame) {
        let record = zone_at(&mut self.memory, page);
        let (old, class) = (record.links[SMALL].class, record.small_class());
        if old != u64::from(OUT) && old != u64::from(class) {
            self.shelf.refile(&mut self.memory, page, SMALL, class);
        }
    }

    /// Files a split chunk under `class`, and its zone with it. A chunk that is free as a whole becomes one again.
    fn file(&mut self, page: OwnedFrame, index: usize, class: u8) {
        let record = zone_at(&mut self.memory, page);
        if class > TOP {
            record.refile(index, WHOLE);
            record.chunks.paint(index, 1, Paint::Free);
            self.grow(page, index, 0);
        } else {
            record.refile(index, class);
        }
        self.shelf_small(page);
    }

    /// Files a zone again after a block of chunks of `order` at `index` became free.
    fn grow(&mut self, page: OwnedFrame, index: usize, order: u8) {
        let record = zone_at(&mut self.memory, page);
        let old = record.links[LARGE].class as u8;
        if old != OUT {
            let class = record.chunks.grown(index, order, old);
            if class != old {
                self.shelf.refile(&mut self.memory, page, LARGE, class);
            }
        }
    }

    /// Makes the zone with this page the home.
    fn go_home(&mut self, page: OwnedFrame) {
        self.leave_home();
        let Zone { number, origin, .. } = *zone_at(&mut self.memory, page);
        for which in [SMALL, LARGE] {
            self.shelf.refile(&mut self.memory, page, which, OUT);
        }
        self.home = ZonePage { number, page, origin };
    }

    /// The home zone's page, if there is a home.
    #[inline(always)]
    fn home_record(&mut self) -> Option<&mut Zone> {
        (self.home.number != NONE).then(|| zone_at(&mut self.memory, self.home.page))
    }

    /// Files the home zone again.
    pub(super) fn leave_home(&mut self) {
        let home = core::mem::replace(&mut self.home, NO_ZONE);
        if home.number != NONE {
            self.refile(home.page);
        }
    }

    /// Files a zone under what it has now. Not for the home.
    pub(super) fn refile(&mut self, page: OwnedFrame) {
        let record = zone_at(&mut self.memory, page);
        let (small, large) = (record.small_class(), record.chunks.class());
        self.shelf.refile(&mut self.memory, page, SMALL, small);
        self.shelf.refile(&mut self.memory, page, LARGE, large);
    }

    /// Orders of whole chunks: from the home zone, else from the zone that fits best.
    fn allocate_chunks(&mut self, order: Order) -> Result<Frame, FrameError> {
        let chunk_order = order.get() - CHUNK_SHIFT as u8;
        loop {
            if let Some(record) = self.home_record()
                && let Some(index) = record.chunks.take(chunk_order)
            {
                self.elsewhere -= order.frames();
                return Ok(frame((self.home.number << ZONE_SHIFT) + ((index as u64) << CHUNK_SHIFT)));
            }
            if let Some(page) = self.shelf.best(LARGE, chunk_order + 1) {
                self.go_home(page);
            } else if self.right.free == UNITS as u64 || self.left.free == UNITS as u64 {
                self.put_back_hands();
            } else if !self.touch_fresh() {
                return Err(FrameError::OutOfFrames { order, free: self.free_frames() });
            }
        }
    }

    /// The page of a touched zone.
    #[inline(always)]
    fn zone(&mut self, number: u64) -> Option<ZonePage> {
        if self.near.number == number { Some(self.near) } else { self.look_up(number) }
    }

    fn look_up(&mut self, number: u64) -> Option<ZonePage> {
        let ZonePlace { ordinal, page, bank, .. } = self.ledger.zone(&mut self.memory, number)?;
        if !self.ledger.is_touched(&mut self.memory, ordinal) {
            return None;
        }
        self.near = ZonePage { number, page, origin: bank.origin() };
        Some(self.near)
    }

    /// The page of the zone with this number, if it is touched.
    pub(super) fn zone_page(&mut self, number: u64) -> Option<OwnedFrame> {
        self.zone(number).map(|zone| zone.page)
    }

    /// A frame that is not in the hand.
    #[inline(never)]
    fn free_frame_elsewhere(&mut self, frame: Frame) -> Result<(), FrameError> {
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
            return self.grow_split(page, chunk_index(chunk), index, 0);
        }
        Ok(())
    }

    /// Takes the chunk into the left hand. Never fails.
    #[inline(never)]
    fn swap_left(&mut self, chunk: u64) -> Result<(), FrameError> {
        let left = core::mem::replace(&mut self.left, EMPTY);
        self.put_back(left);
        if let Some(zone) = self.zone(chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) {
            self.left = self.pick_up(zone, chunk_index(chunk));
        }
        Ok(())
    }

    /// A frame in another zone than the last.
    #[inline(never)]
    fn free_frame_far(&mut self, frame: Frame) -> Result<(), FrameError> {
        match self.look_up(frame.number() >> ZONE_SHIFT) {
            Some(_) => self.free_frame_elsewhere(frame),
            None => Err(self.refusal(frame, 1)),
        }
    }

    /// Files a split chunk again after a block of `order` at `index` became free. Never fails.
    #[inline(never)]
    fn grow_split(
        &mut self,
        page: OwnedFrame,
        chunk: usize,
        index: usize,
        order: u8,
    ) -> Result<(), FrameError> {
        let record = zone_at(&mut self.memory, page);
        let old = record.class[chunk % UNITS];
        let line = record.line(chunk);
        let class = field_at(&mut self.memory, line).grown(index, order, old);
        if class != old {
            self.file(page, chunk, class);
        }
        Ok(())
    }

    /// Orders below a chunk's, wherever the block lies.
    #[inline(never)]
    fn free_small(&mut self, first: Frame, order: u8) -> Result<(), FrameError> {
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
        self.grow_split(zone.page, chunk_index(chunk), index, order)
    }

    /// Orders of whole chunks.
    #[inline(never)]
    fn free_chunks(&mut self, first: Frame, order: Order) -> Result<(), FrameError> {
        let chunk_order = order.get() - CHUNK_SHIFT as u8;
        let number = first.number();
        let (index, length) = (chunk_index(number >> CHUNK_SHIFT), 1usize << chunk_order);
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else {
            return Err(self.refusal(first, order.frames()));
        };
        let next = index + length;
        let chunks = &mut zone_at(&mut self.memory, zone.page).chunks;
        // What follows a block of several chunks cannot be told here if it is a split chunk or in another zone.
        let hidden = length > 1 && (next == UNITS || chunks.unit(next) == Unit::Aside);
        if !chunks.is_block(index, length) || (hidden && self.is_later(number + order.frames())) {
            return Err(self.refusal(first, order.frames()));
        }
        zone_at(&mut self.memory, zone.page).chunks.paint(index, length, Paint::Free);
        self.elsewhere += order.frames();
        if zone.number != self.home.number {
            self.grow(zone.page, index, chunk_order);
        }
        Ok(())
    }

    /// Makes the page of a zone that was never touched, from the memory map. The zone is filed.
    fn touch(&mut self, place: ZonePlace) -> OwnedFrame {
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
                self.paint_zone(page, start.max(region.start)..end.min(region.end), Paint::Free);
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
    fn touch_fresh(&mut self) -> bool {
        let Some(place) = self.ledger.fresh_zone(&mut self.memory) else { return false };
        self.touch(place);
        true
    }

    /// Bytes of the allocator's own tables: carved out at the start, written as memory is touched.
    pub fn metadata_bytes(&self) -> u64 {
        self.ledger.length() << PAGE_SHIFT
    }
}
