//! What the allocator was given: the memory map, and where the metadata of each part of it lies.
//!
//! ```text
//!   metadata, one piece carved out of the first free region that can hold it:
//!   │ regions │ banks │ touched │ zone pages, one per GiB │ chunk fields of bank 0 │ … of bank 1 │
//!     3 words   4 words  1 bit     4 KiB                     128 bytes per 2 MiB
//!     each      each     per zone
//! ```
//!
//! A **bank** is a stretch of physical addresses with RAM and without large holes, so that the fields of its chunks
//! are one array. Only regions that the kernel can ever get are in a bank. Nothing here depends on how much RAM a
//! region has, except the one bit per zone, which is cleared as far as zones are touched.

use super::FrameError;
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::zone::{CHUNK_SHIFT, FIELDS_SHIFT, ZONE_SHIFT};
use shared_abi::addr::{Frame, PAGE_SHIFT, PageSize, PhysRange};
use shared_abi::memory::{Reclaim, RegionKind};

/// The frames of the metadata itself: a kind that no memory map contains.
pub(super) const METADATA: RegionKind = RegionKind(u32::MAX);

/// Words of a page.
const PAGE_WORDS: u64 = 512;

/// Words of a region's record: first frame, end, kind and whether it was released to the allocator.
const REGION_WORDS: u64 = 3;

/// Words of a bank's record.
const BANK_WORDS: u64 = 4;

/// A hole of at least this many frames (64 MiB: one page of chunk fields) ends a bank.
const HOLE: u64 = 1 << (CHUNK_SHIFT + FIELDS_SHIFT);

/// `Region::kind` with this bit set: free as far as the memory map goes.
const RELEASED: u64 = 1 << 32;

/// A region of the memory map, in frame numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub start: u64,
    pub end: u64,
    pub kind: RegionKind,
    /// Whether its frames are the allocator's to give.
    pub released: bool,
}

/// A stretch of chunks with metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bank {
    /// The first chunk, whose field is the first in `fields`.
    pub first_chunk: u64,
    /// The chunk after the last.
    pub end_chunk: u64,
    /// Frame number of the first page of chunk fields.
    pub fields: u64,
    /// How many zones the banks before this one have.
    pub zones_before: u64,
}

impl Bank {
    /// What to add to a chunk's number for the line of its field.
    pub fn origin(&self) -> u64 {
        super::zone::origin(self.fields, self.first_chunk)
    }

    fn first_zone(&self) -> u64 {
        self.first_chunk >> (ZONE_SHIFT - CHUNK_SHIFT)
    }

    fn zones(&self) -> u64 {
        ((self.end_chunk - 1) >> (ZONE_SHIFT - CHUNK_SHIFT)) - self.first_zone() + 1
    }

    fn field_pages(&self) -> u64 {
        (self.end_chunk - self.first_chunk).div_ceil(1 << FIELDS_SHIFT)
    }
}

/// A zone that has RAM: where it is and where its page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZonePlace {
    pub number: u64,
    /// The zone's place among all that have RAM.
    pub ordinal: u64,
    pub page: OwnedFrame,
    pub bank: Bank,
}

/// The record of the memory map and of the metadata's place.
pub(super) struct Ledger {
    /// The metadata's first frame, at which the tables begin.
    base: u64,
    /// The metadata's length in frames.
    length: u64,
    regions: u64,
    banks: u64,
    /// All zones in banks.
    zones: u64,
    /// Frame number of the first zone page.
    zone_pages: u64,
    /// Words of the touched bits that have been cleared.
    touched_words: u64,
    /// Zones before this one are all touched.
    first_fresh: u64,
}

/// What [`Ledger::new`] counts on its way over the memory map, in frames.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    /// All RAM of the memory map.
    pub total: u64,
    /// What is free at the start, the metadata already subtracted.
    pub free: u64,
}

/// Whether the contract lets the kernel take memory of this kind back when it no longer needs it.
pub(super) const fn is_reclaimable(kind: RegionKind) -> bool {
    matches!(kind.reclaim(), Reclaim::Later)
}

/// The banks of a memory map: neighbours with a small hole between them, or in one zone, share a bank.
struct Banks<I> {
    map: I,
    ahead: Option<PhysRange>,
}

impl<I: Iterator<Item = (PhysRange, RegionKind)>> Banks<I> {
    fn new(map: I) -> Self {
        let mut banks = Self { map, ahead: None };
        banks.ahead = banks.next_range();
        banks
    }

    fn next_range(&mut self) -> Option<PhysRange> {
        let ours = |kind: RegionKind| kind.is_free_at_entry() || is_reclaimable(kind);
        self.map.find(|(range, kind)| !range.is_empty() && ours(*kind)).map(|(range, _)| range)
    }
}

impl<I: Iterator<Item = (PhysRange, RegionKind)>> Iterator for Banks<I> {
    /// The first chunk and the one after the last.
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let first = self.ahead?;
        let (start, mut end) = (first.start().frame().number(), first.end() >> PAGE_SHIFT);
        loop {
            self.ahead = self.next_range();
            match self.ahead.map(|range| (range.start().frame().number(), range.end() >> PAGE_SHIFT)) {
                Some((next, next_end))
                    if next - end < HOLE || next >> ZONE_SHIFT == (end - 1) >> ZONE_SHIFT =>
                {
                    end = next_end;
                }
                _ => return Some((start >> CHUNK_SHIFT, end.div_ceil(1 << CHUNK_SHIFT))),
            }
        }
    }
}

impl Ledger {
    /// Records `map` and carves out the metadata.
    ///
    /// # Errors
    /// `BadRegion` for a region that is not page-aligned or not after its predecessor, `NoRoom` if no free region
    /// can hold the metadata.
    pub fn new<M: FrameMemory>(
        map: impl Iterator<Item = (PhysRange, RegionKind)> + Clone,
        memory: &mut M,
    ) -> Result<(Self, Totals), FrameError> {
        let (mut totals, regions) = check(map.clone())?;
        let (mut banks, mut zones, mut field_pages) = (0, 0, 0);
        for (first_chunk, end_chunk) in Banks::new(map.clone()) {
            let bank = Bank { first_chunk, end_chunk, fields: 0, zones_before: 0 };
            banks += 1;
            zones += bank.zones();
            field_pages += bank.field_pages();
        }
        // Two regions more: the metadata splits a free one, in three if that begins at frame 0.
        let words = REGION_WORDS * (regions + 2) + BANK_WORDS * banks + zones.div_ceil(64);
        let tables = words.div_ceil(PAGE_WORDS);
        let length = tables + zones + field_pages;
        let base = carve(map.clone(), length)?;
        totals.free -= length;
        let mut ledger = Self {
            base,
            length,
            regions: 0,
            banks,
            zones,
            zone_pages: base + tables,
            touched_words: 0,
            first_fresh: 0,
        };
        let metadata = Region { start: base, end: base + length, kind: METADATA, released: false };
        for (range, kind) in map.clone().filter(|(range, _)| !range.is_empty()) {
            let (mut start, end) = (range.start().frame().number(), range.end() >> PAGE_SHIFT);
            if start <= base && base < end {
                // `carve` takes the front of a region, after frame 0.
                if start < base {
                    ledger.add(memory, Region { start, end: base, kind, released: true });
                }
                ledger.add(memory, metadata);
                start = base + length;
            }
            if start < end {
                ledger.add(memory, Region { start, end, kind, released: kind.is_free_at_entry() });
            }
        }
        let (mut fields, mut zones_before) = (ledger.zone_pages + zones, 0);
        for (index, (first_chunk, end_chunk)) in Banks::new(map).enumerate() {
            let bank = Bank { first_chunk, end_chunk, fields, zones_before };
            let at = ledger.bank_word(index as u64);
            for (word, value) in (at..).zip([first_chunk, end_chunk, fields, zones_before]) {
                *ledger.word(memory, word) = value;
            }
            fields += bank.field_pages();
            zones_before += bank.zones();
        }
        Ok((ledger, totals))
    }

    /// The metadata's length in frames.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn word<'a, M: FrameMemory>(&self, memory: &'a mut M, index: u64) -> &'a mut u64 {
        let page = memory.page(OwnedFrame::new(self.base + index / PAGE_WORDS));
        &mut page[(index % PAGE_WORDS) as usize]
    }

    fn bank_word(&self, index: u64) -> u64 {
        self.regions * REGION_WORDS + index * BANK_WORDS
    }

    fn add<M: FrameMemory>(&mut self, memory: &mut M, region: Region) {
        let at = self.regions * REGION_WORDS;
        self.regions += 1;
        *self.word(memory, at) = region.start;
        *self.word(memory, at + 1) = region.end;
        *self.word(memory, at + 2) = u64::from(region.kind.0) | if region.released { RELEASED } else { 0 };
    }

    /// The region at `index`, in order of addresses; `None` past the last.
    pub fn region<M: FrameMemory>(&self, memory: &mut M, index: u64) -> Option<Region> {
        if index >= self.regions {
            return None;
        }
        let at = index * REGION_WORDS;
        let kind = *self.word(memory, at + 2);
        Some(Region {
            start: *self.word(memory, at),
            end: *self.word(memory, at + 1),
            kind: RegionKind(kind as u32),
            released: kind & RELEASED != 0,
        })
    }

    /// Records that the region's frames are the allocator's from now on.
    pub fn release<M: FrameMemory>(&mut self, memory: &mut M, index: u64) {
        *self.word(memory, index * REGION_WORDS + 2) |= RELEASED;
    }

    /// The index of the first region that ends after `number`.
    pub fn region_at<M: FrameMemory>(&self, memory: &mut M, number: u64) -> u64 {
        let (mut low, mut high) = (0, self.regions);
        while low < high {
            let middle = (low + high) / 2;
            if *self.word(memory, middle * REGION_WORDS + 1) > number {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn bank<M: FrameMemory>(&self, memory: &mut M, index: u64) -> Bank {
        let at = self.bank_word(index);
        let mut word = |offset| *self.word(memory, at + offset);
        Bank { first_chunk: word(0), end_chunk: word(1), fields: word(2), zones_before: word(3) }
    }

    /// The bank with the most zones before it of which `holds` is true; `holds` must be true up to one bank.
    fn last_bank<M: FrameMemory>(&self, memory: &mut M, holds: impl Fn(&Bank) -> bool) -> Option<Bank> {
        let (mut low, mut high) = (0, self.banks);
        let mut found = None;
        while low < high {
            let middle = (low + high) / 2;
            let bank = self.bank(memory, middle);
            if holds(&bank) {
                found = Some(bank);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        found
    }

    fn place(&self, bank: Bank, number: u64) -> ZonePlace {
        let ordinal = bank.zones_before + number - bank.first_zone();
        ZonePlace { number, ordinal, page: OwnedFrame::new(self.zone_pages + ordinal), bank }
    }

    /// Where the zone with this number is; `None` if it has no RAM.
    pub fn zone<M: FrameMemory>(&self, memory: &mut M, number: u64) -> Option<ZonePlace> {
        let bank = self.last_bank(memory, |bank| bank.first_zone() <= number)?;
        (number < bank.first_zone() + bank.zones()).then(|| self.place(bank, number))
    }

    /// The zone that comes at `ordinal` of all that have RAM.
    pub fn zone_by_ordinal<M: FrameMemory>(&self, memory: &mut M, ordinal: u64) -> Option<ZonePlace> {
        if ordinal >= self.zones {
            return None;
        }
        let bank = self.last_bank(memory, |bank| bank.zones_before <= ordinal)?;
        Some(self.place(bank, bank.first_zone() + ordinal - bank.zones_before))
    }

    /// The first zone that was never touched.
    pub fn fresh_zone<M: FrameMemory>(&mut self, memory: &mut M) -> Option<ZonePlace> {
        while self.first_fresh < self.zones && self.is_touched(memory, self.first_fresh) {
            self.first_fresh += 1;
        }
        self.zone_by_ordinal(memory, self.first_fresh)
    }

    fn touched_word(&self) -> u64 {
        self.bank_word(self.banks)
    }

    /// Whether the zone at `ordinal` has its page made.
    pub fn is_touched<M: FrameMemory>(&self, memory: &mut M, ordinal: u64) -> bool {
        let word = ordinal / 64;
        word < self.touched_words && *self.word(memory, self.touched_word() + word) >> (ordinal % 64) & 1 == 1
    }

    /// Records that the zone at `ordinal` has its page made.
    pub fn touch<M: FrameMemory>(&mut self, memory: &mut M, ordinal: u64) {
        while self.touched_words <= ordinal / 64 {
            *self.word(memory, self.touched_word() + self.touched_words) = 0;
            self.touched_words += 1;
        }
        *self.word(memory, self.touched_word() + ordinal / 64) |= 1 << (ordinal % 64);
    }
}

/// Counts the map's frames and its regions, after checking every one.
fn check(map: impl Iterator<Item = (PhysRange, RegionKind)>) -> Result<(Totals, u64), FrameError> {
    let (mut totals, mut regions, mut end) = (Totals::default(), 0, 0);
    for (region, kind) in map.filter(|(range, _)| !range.is_empty()) {
        if !region.is_aligned(PageSize::Size4K) || region.start().get() < end {
            return Err(FrameError::BadRegion { region, kind });
        }
        end = region.end();
        regions += 1;
        let frames = region.len() >> PAGE_SHIFT;
        if kind != RegionKind::MMIO {
            totals.total += frames;
        }
        if kind.is_free_at_entry() {
            totals.free += frames;
        }
    }
    Ok((totals, regions))
}

/// The first frame of `length` frames at the front of the first free region that has so many. Frame 0 is passed
/// over: the lists of zones use its number for "none".
fn carve(map: impl Iterator<Item = (PhysRange, RegionKind)>, length: u64) -> Result<u64, FrameError> {
    let mut longest = 0;
    for (range, _) in map.filter(|(_, kind)| kind.is_free_at_entry()) {
        let start = range.start().frame().number().max(1);
        let frames = (range.end() >> PAGE_SHIFT).saturating_sub(start);
        if frames >= length {
            return Ok(start);
        }
        longest = longest.max(frames);
    }
    Err(FrameError::NoRoom { frames: length, longest })
}

impl Region {
    /// The region's first frame.
    pub fn first(&self) -> Frame {
        frame(self.start)
    }
}
