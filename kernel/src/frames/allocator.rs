//! Allocating and freeing blocks of 2ⁿ frames.
//!
//! ```text
//!             ┌───────────── split ─────────────┐          ┌──────────── file ────────────┐
//!   free chunk of the home zone ──► hand ──► full, or put back: filed by its largest free block
//!                                    ▲                                                │
//!                                    └──────────────── best fit ◄─────────────────────┘
//! ```

use super::field::{Field, TOP, UNITS, Unit};
use super::ledger::{Ledger, ZonePlace};
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::zone::{CHUNK_SHIFT, FieldPlace, LARGE, OUT, SMALL, Shelf, WHOLE, ZONE_SHIFT, Zone, zone_at};
use super::{FrameError, Order};
use shared_abi::addr::{Frame, PAGE_SHIFT, PhysRange};
use shared_abi::memory::RegionKind;

/// No chunk and no zone has this number.
const NONE: u64 = u64::MAX;

/// The chunk that single frames and small blocks are taken from. Its count and class in the zone's page are out of
/// date while it is here.
struct Hand {
    chunk: u64,
    place: FieldPlace,
    /// The word that was last taken from or given back to.
    word: usize,
    free: u64,
}

/// A touched zone's number and page.
#[derive(Clone, Copy)]
struct ZonePage {
    number: u64,
    page: OwnedFrame,
}

const NO_ZONE: ZonePage = ZonePage { number: NONE, page: OwnedFrame::new(0) };

/// All page frames of the machine. `M` is how their contents are reached; put the allocator behind a lock to share
/// it between CPUs, and let each CPU keep a few frames by [`FrameAllocator::allocate_batch`].
pub struct FrameAllocator<M> {
    hand: Hand,
    /// The zone that chunks are taken from; filed nowhere while it is here.
    home: ZonePage,
    /// The zone that was last looked up.
    near: ZonePage,
    /// Free frames outside the hand.
    pub(super) elsewhere: u64,
    pub(super) memory: M,
    shelf: Shelf,
    pub(super) ledger: Ledger,
    pub(super) total: u64,
    pub(super) reserved: u64,
    /// Bit `k`: kind `k` was reclaimed.
    pub(super) reclaimed: u64,
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
            hand: Hand { chunk: NONE, place: FieldPlace::new(0, 0), word: 0, free: 0 },
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

    /// Frames that are free.
    pub fn free_frames(&self) -> u64 {
        self.elsewhere + self.hand.free
    }

    /// Takes one frame. Its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if none is free.
    #[inline]
    pub fn allocate_frame(&mut self) -> Result<Frame, FrameError> {
        let word = self.hand.word;
        if self.hand.free != 0 {
            let field = self.hand.place.field(&mut self.memory);
            let free = field.free_in(word);
            if free != 0 {
                let bit = free.trailing_zeros();
                field.take_single(word, bit);
                self.hand.free -= 1;
                let index = word as u64 * 64 + u64::from(bit);
                return Ok(frame(self.hand.chunk << CHUNK_SHIFT | index));
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
        let index = number as usize % UNITS;
        if number >> CHUNK_SHIFT == self.hand.chunk && index != UNITS - 1 {
            if !self.hand.place.field(&mut self.memory).free_single(index) {
                return Err(self.refusal(frame, 1));
            }
            self.hand.free += 1;
            self.hand.word = index / 64;
            return Ok(());
        }
        self.free_frame_elsewhere(frame)
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

    /// Orders below a chunk's: from the hand, which is exchanged until it can give the block.
    #[inline(never)]
    fn allocate_small(&mut self, order: u8) -> Result<Frame, FrameError> {
        loop {
            if self.hand.free >> order != 0 {
                let field = self.hand.place.field(&mut self.memory);
                if let Some(index) = field.find(order) {
                    field.paint(index, 1 << order, Unit::First);
                    self.hand.word = index / 64;
                    self.hand.free -= 1 << order;
                    return Ok(frame(self.hand.chunk << CHUNK_SHIFT | index as u64));
                }
            }
            if !self.refill(order + 1) {
                return Err(FrameError::OutOfFrames {
                    order: Order::new(order).unwrap_or_default(),
                    free: self.free_frames(),
                });
            }
        }
    }

    /// Takes a chunk of at least `class` into the hand: a split one if there is any, the home zone's first.
    #[cold]
    fn refill(&mut self, class: u8) -> bool {
        self.put_back_hand();
        loop {
            let home = self.home;
            if let Some(index) = self.home_record().and_then(|record| record.best_split(class)) {
                self.take_in_hand(home, index);
                return true;
            }
            if let Some(page) = self.shelf.best(SMALL, class) {
                self.go_home(page);
                continue;
            }
            if let Some(index) = self.home_record().and_then(|record| record.chunks.find(0)) {
                self.split(home.page, index, OUT);
                self.take_in_hand(home, index);
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
    fn take_in_hand(&mut self, zone: ZonePage, index: usize) {
        let record = zone_at(&mut self.memory, zone.page);
        record.refile(index, OUT);
        let free = u64::from(record.free[index % UNITS]);
        let place = record.field_place(index);
        let chunk = zone.number << (ZONE_SHIFT - CHUNK_SHIFT) | index as u64;
        self.elsewhere -= free;
        self.hand = Hand { chunk, place, word: 0, free };
    }

    /// Makes the field of the whole chunk `index`: each frame becomes what the chunk was.
    pub(super) fn split(&mut self, page: OwnedFrame, index: usize, class: u8) -> FieldPlace {
        let record = zone_at(&mut self.memory, page);
        let place = record.field_place(index);
        let was = record.chunks.unit(index);
        record.chunks.paint(index, 1, Unit::Aside);
        record.free[index % UNITS] = if was == Unit::Free { UNITS as u16 } else { 0 };
        record.file_new(index, class);
        let field = place.field(&mut self.memory);
        *field = Field::filled(if was == Unit::First { Unit::Later } else { was });
        if was == Unit::First {
            field.paint(0, UNITS, Unit::First);
        }
        place
    }

    /// Files the chunk in hand again.
    pub(super) fn put_back_hand(&mut self) {
        let Hand { chunk, place, free, .. } = self.hand;
        self.hand.chunk = NONE;
        self.hand.free = 0;
        if chunk == NONE {
            return;
        }
        let Some(zone) = self.zone(chunk >> (ZONE_SHIFT - CHUNK_SHIFT)) else { return };
        self.elsewhere += free;
        let class = if free == 0 { 0 } else { place.field(&mut self.memory).class() };
        zone_at(&mut self.memory, zone.page).free[chunk_index(chunk)] = free as u16;
        self.file(zone.page, chunk_index(chunk), class);
    }

    /// Files a split chunk under `class`, at least the one that it had, and its zone with it. A chunk that is free
    /// as a whole becomes one again.
    fn file(&mut self, page: OwnedFrame, index: usize, class: u8) {
        let record = zone_at(&mut self.memory, page);
        if class <= TOP {
            record.refile(index, class);
            if u64::from(class) > record.links[SMALL].class {
                self.shelf.refile(&mut self.memory, page, SMALL, class);
            }
            return;
        }
        record.refile(index, 0);
        record.free[index % UNITS] = WHOLE;
        record.chunks.paint(index, 1, Unit::Free);
        let small = record.small_class();
        if u64::from(small) < record.links[SMALL].class && record.links[SMALL].class != u64::from(OUT) {
            self.shelf.refile(&mut self.memory, page, SMALL, small);
        }
        self.grow(page, index, 0);
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
        let number = zone_at(&mut self.memory, page).number;
        for which in [SMALL, LARGE] {
            self.shelf.refile(&mut self.memory, page, which, OUT);
        }
        self.home = ZonePage { number, page };
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
                && let Some(index) = record.chunks.find(chunk_order)
            {
                record.chunks.paint(index, 1 << chunk_order, Unit::First);
                self.elsewhere -= order.frames();
                return Ok(frame((self.home.number << ZONE_SHIFT) + ((index as u64) << CHUNK_SHIFT)));
            }
            if let Some(page) = self.shelf.best(LARGE, chunk_order + 1) {
                self.go_home(page);
            } else if self.hand.free == UNITS as u64 {
                self.put_back_hand();
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
        let ZonePlace { ordinal, page, .. } = self.ledger.zone(&mut self.memory, number)?;
        if !self.ledger.is_touched(&mut self.memory, ordinal) {
            return None;
        }
        self.near = ZonePage { number, page };
        Some(self.near)
    }

    /// The page of the zone with this number, if it is touched.
    pub(super) fn zone_page(&mut self, number: u64) -> Option<OwnedFrame> {
        self.zone(number).map(|zone| zone.page)
    }

    #[inline(never)]
    fn free_frame_elsewhere(&mut self, frame: Frame) -> Result<(), FrameError> {
        let number = frame.number();
        let index = number as usize % UNITS;
        if index == UNITS - 1 {
            // What follows lies in another chunk, perhaps in another zone.
            return self.free_small(frame, 0);
        }
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else { return Err(self.refusal(frame, 1)) };
        let chunk = chunk_index(number >> CHUNK_SHIFT);
        let record = zone_at(&mut self.memory, zone.page);
        let (free, class) = (record.free[chunk], record.class[chunk]);
        if free == WHOLE {
            return Err(self.refusal(frame, 1));
        }
        let field = record.field_place(chunk).field(&mut self.memory);
        if !field.free_single(index) {
            return Err(self.refusal(frame, 1));
        }
        let grows = field.is_free_block(index, class);
        self.elsewhere += 1;
        zone_at(&mut self.memory, zone.page).free[chunk] = free + 1;
        if grows {
            self.grow_split(zone.page, chunk, index, 0);
        }
        Ok(())
    }

    /// Files a split chunk again after a block of `order` at `index` became free.
    #[inline(never)]
    fn grow_split(&mut self, page: OwnedFrame, chunk: usize, index: usize, order: u8) {
        let record = zone_at(&mut self.memory, page);
        let old = record.class[chunk % UNITS];
        let class = record.field_place(chunk).field(&mut self.memory).grown(index, order, old);
        if class != old {
            self.file(page, chunk, class);
        }
    }

    fn free_small(&mut self, first: Frame, order: u8) -> Result<(), FrameError> {
        let (number, length) = (first.number(), 1 << order);
        let chunk = number >> CHUNK_SHIFT;
        let index = number as usize % UNITS;
        let in_hand = chunk == self.hand.chunk;
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else { return Err(self.refusal(first, length)) };
        let record = zone_at(&mut self.memory, zone.page);
        let split = record.free[chunk_index(chunk)] != WHOLE;
        let place = record.field_place(chunk_index(chunk));
        if !split
            || !place.field(&mut self.memory).is_block(index, length as usize)
            || (index + length as usize == UNITS && self.goes_on(number + length))
        {
            return Err(self.refusal(first, length));
        }
        place.field(&mut self.memory).paint(index, length as usize, Unit::Free);
        if in_hand {
            self.hand.free += length;
            self.hand.word = index / 64;
            return Ok(());
        }
        self.elsewhere += length;
        zone_at(&mut self.memory, zone.page).free[chunk_index(chunk)] += length as u16;
        self.grow_split(zone.page, chunk_index(chunk), index, order);
        Ok(())
    }

    fn free_chunks(&mut self, first: Frame, order: Order) -> Result<(), FrameError> {
        let chunk_order = order.get() - CHUNK_SHIFT as u8;
        let number = first.number();
        let (index, length) = (chunk_index(number >> CHUNK_SHIFT), 1 << chunk_order);
        let Some(zone) = self.zone(number >> ZONE_SHIFT) else {
            return Err(self.refusal(first, order.frames()));
        };
        let chunks = &mut zone_at(&mut self.memory, zone.page).chunks;
        if !chunks.is_block(index, length) || self.runs_on(zone.page, number, index + length, order) {
            return Err(self.refusal(first, order.frames()));
        }
        zone_at(&mut self.memory, zone.page).chunks.paint(index, length, Unit::Free);
        self.elsewhere += order.frames();
        if zone.number != self.home.number {
            self.grow(zone.page, index, chunk_order);
        }
        Ok(())
    }

    /// Whether the block before the chunk at `next` of the zone reaches into a place that its field cannot tell:
    /// the first frames of a split chunk, or another zone.
    fn runs_on(&mut self, page: OwnedFrame, number: u64, next: usize, order: Order) -> bool {
        let aside = next == UNITS || zone_at(&mut self.memory, page).chunks.unit(next) == Unit::Aside;
        aside && self.goes_on(number + order.frames())
    }

    /// Makes the page of a zone that was never touched, from the memory map. The zone is filed.
    fn touch(&mut self, place: ZonePlace) -> OwnedFrame {
        let ZonePlace { number, ordinal, page, bank } = place;
        let record: &mut Zone = zone_at(&mut self.memory, page);
        record.clear(number, bank.fields, bank.first_chunk);
        self.ledger.touch(&mut self.memory, ordinal);
        let (start, end) = (number << ZONE_SHIFT, (number + 1) << ZONE_SHIFT);
        let mut index = self.ledger.region_at(&mut self.memory, start);
        while let Some(region) = self.ledger.region(&mut self.memory, index) {
            if region.start >= end {
                break;
            }
            if region.released {
                self.paint_zone(page, start.max(region.start)..end.min(region.end), Unit::Free);
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
