//! Page runs: blocks above the largest class, and over-aligned ones.
//!
//! [`Holes`] (linked_list_allocator) knows the free pages; one word per page knows the blocks, so every address
//! and size given back is checked before it is believed. Pages that are free stay mapped until [`Runs::trim`]
//! *parks* them: it takes the largest holes like blocks and unmaps their pages, which the backend, whose list
//! lives in the holes alone, never notices. A parked run is mapped again when it is wanted.
//!
//! ```text
//! words:  n 0 0 … 0 │ 0 0 0 0 │ P|n  next 0 … │ n 0 …│
//! pages:  block     │ hole    │ parked run    │ block│   … top: never given to the backend, not mapped
//! ```

use core::ptr::NonNull;

use shared_abi::addr::PAGE;

use super::pages::{Backing, HeapPages, Unbacked};
use super::raw::{Holes, PageWords, block_at};

const PAGE_BYTES: usize = PAGE as usize;

/// Pages that the area grows by, if it can.
const STEP: usize = 256 << 10 >> 12;

/// Holes smaller than this many pages are not worth unmapping.
const PARKED_LEAST: usize = 16;

/// Marks the word of a parked run's first page.
const PARKED: u32 = 1 << 31;

/// Why there is no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRun {
    /// The window has no room for it.
    TooLarge,
    /// There are no frames for it.
    Unbacked(Unbacked),
}

impl From<Unbacked> for NoRun {
    fn from(refusal: Unbacked) -> Self {
        Self::Unbacked(refusal)
    }
}

/// The page runs' half of the window.
pub(super) struct Runs {
    holes: Holes,
    words: PageWords,
    words_end: usize,
    start: usize,
    limit: usize,
    /// Pages from `start` that the backend has been given.
    top: usize,
    /// Pages in blocks.
    used: usize,
    /// The first parked run's page index + 1; 0 if there is none.
    parked: u32,
}

impl Runs {
    /// No addresses.
    pub(super) const fn none() -> Self {
        Self::over(0, 0)
    }

    /// Runs in the `bytes` from `start`, whole pages.
    pub(super) const fn over(start: usize, bytes: usize) -> Self {
        let pages = if bytes >> 12 < PARKED as usize { bytes >> 12 } else { PARKED as usize - 1 };
        let table = (pages * size_of::<u32>()).next_multiple_of(PAGE_BYTES);
        Self {
            holes: Holes::none(),
            words: PageWords::none(start),
            words_end: start,
            start: start + table,
            limit: pages - table / PAGE_BYTES,
            top: 0,
            used: 0,
            parked: 0,
        }
    }

    /// Bytes that runs can have in all.
    pub(super) const fn window(&self) -> usize {
        self.limit * PAGE_BYTES
    }

    /// Bytes in blocks.
    pub(super) const fn used(&self) -> usize {
        self.used * PAGE_BYTES
    }

    /// Bytes in holes, mapped.
    pub(super) fn free(&self) -> usize {
        self.holes.free()
    }

    /// Whole pages that hold `bytes`.
    pub(super) const fn pages_for(bytes: usize) -> usize {
        let pages = bytes.div_ceil(PAGE_BYTES);
        if pages == 0 { 1 } else { pages }
    }

    /// A run of `pages` whose address is a multiple of `align`.
    pub(super) fn take<P: HeapPages>(
        &mut self,
        pages: usize,
        align: usize,
        backing: &mut Backing<P>,
    ) -> Result<NonNull<u8>, NoRun> {
        let align = align.max(PAGE_BYTES);
        let reach = pages.checked_add(align / PAGE_BYTES - 1).ok_or(NoRun::TooLarge)?;
        if reach > self.limit {
            return Err(NoRun::TooLarge);
        }
        if let Some(block) = self.find(pages, align) {
            return Ok(block);
        }
        if self.unpark(reach, backing)
            && let Some(block) = self.find(pages, align)
        {
            return Ok(block);
        }
        match self.grow(reach, backing) {
            Ok(()) => self.find(pages, align).ok_or(NoRun::TooLarge),
            Err(NoRun::TooLarge) => {
                // Addresses are short, not memory: neighbouring parked runs may be one hole again.
                while self.unpark(1, backing) {}
                self.find(pages, align).ok_or(NoRun::TooLarge)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn find(&mut self, pages: usize, align: usize) -> Option<NonNull<u8>> {
        let address = self.holes.take(pages * PAGE_BYTES, align)?;
        self.words.set((address - self.start) / PAGE_BYTES, pages as u32);
        self.used += pages;
        block_at(address)
    }

    /// Gives the backend at least `pages` more at the top.
    fn grow<P: HeapPages>(&mut self, pages: usize, backing: &mut Backing<P>) -> Result<(), NoRun> {
        let left = self.limit - self.top;
        if pages > left {
            return Err(NoRun::TooLarge);
        }
        let end = self.start + self.top * PAGE_BYTES;
        let step = pages.max(STEP).min(left);
        self.cover(self.top + step, backing)?;
        let grown = match backing.map(end, step * PAGE_BYTES) {
            Ok(()) => step,
            Err(refusal) if step == pages => return Err(refusal.into()),
            Err(_) => {
                backing.map(end, pages * PAGE_BYTES)?;
                pages
            }
        };
        self.top += grown;
        // SAFETY: just mapped, whole pages, at the backend's top, and nobody else's.
        #[expect(unsafe_code, reason = "the backend is given its pages here")]
        unsafe {
            self.holes.extend(end, grown * PAGE_BYTES)
        };
        Ok(())
    }

    /// Maps the words of pages up to `count`.
    fn cover<P: HeapPages>(&mut self, count: usize, backing: &mut Backing<P>) -> Result<(), Unbacked> {
        if count <= self.words.count() {
            return Ok(());
        }
        let table = self.words_end - self.words.count() * size_of::<u32>();
        let end = (table + count * size_of::<u32>()).next_multiple_of(PAGE_BYTES);
        backing.map(self.words_end, end - self.words_end)?;
        self.words_end = end;
        // SAFETY: the table, whose addresses are this struct's, is mapped up to `end`.
        #[expect(unsafe_code, reason = "the table's memory becomes words here")]
        unsafe {
            self.words.extend((end - table) / size_of::<u32>())
        };
        Ok(())
    }

    /// The index and the pages of the block that begins at `address`.
    fn block(&self, address: usize) -> Option<(usize, usize)> {
        let offset = address.checked_sub(self.start)?;
        let index = offset / PAGE_BYTES;
        if !offset.is_multiple_of(PAGE_BYTES) || index >= self.top {
            return None;
        }
        match self.words.get(index) {
            0 => None,
            word if word & PARKED != 0 || self.is_link(index) => None,
            word => Some((index, word as usize)),
        }
    }

    /// Whether the word of page `index` is the link of a parked run.
    fn is_link(&self, index: usize) -> bool {
        index > 0 && self.words.get(index - 1) & PARKED != 0
    }

    /// The pages of the block that begins at `address`; `None` if none does.
    pub(super) fn pages_of(&self, address: usize) -> Option<usize> {
        self.block(address).map(|(_, pages)| pages)
    }

    /// Whether the addresses up to `end` lie in pages that are mapped.
    pub(super) fn holds(&self, address: usize, end: usize) -> bool {
        if address < self.start || end > self.start + self.top * PAGE_BYTES {
            return false;
        }
        let mut at = self.parked;
        while at != 0 {
            let index = at as usize - 1;
            let start = self.start + index * PAGE_BYTES;
            let parked_end = start + (self.words.get(index) & !PARKED) as usize * PAGE_BYTES;
            if address < parked_end && start < end {
                return false;
            }
            at = self.words.get(index + 1);
        }
        true
    }

    /// Makes the block at `address` a hole; `false` if none begins there.
    pub(super) fn put(&mut self, address: usize) -> bool {
        let Some((index, pages)) = self.block(address) else { return false };
        self.words.set(index, 0);
        self.release(index, pages);
        true
    }

    /// Makes `pages` that the words no longer name, but that were a block's, a hole.
    fn release(&mut self, index: usize, pages: usize) {
        self.used -= pages;
        // SAFETY: the words said that the pages were a block, mapped and in no hole; they are nobody's now.
        #[expect(unsafe_code, reason = "a checked run goes back to the backend here")]
        unsafe {
            self.holes.put(self.start + index * PAGE_BYTES, pages * PAGE_BYTES)
        };
    }

    /// Makes the block at `address` `pages` long where it lies: always if it shrinks, and if it grows, when the
    /// hole after it is large enough or can be made so, and the backend gives it in a few tries.
    pub(super) fn resize<P: HeapPages>(
        &mut self,
        address: usize,
        pages: usize,
        backing: &mut Backing<P>,
    ) -> bool {
        let Some((index, had)) = self.block(address) else { return false };
        if pages > had && !self.follow(index + had, pages - had, backing) {
            return false;
        }
        self.words.set(index, pages as u32);
        if pages < had {
            self.release(index + pages, had - pages);
        }
        true
    }

    /// Takes the `pages` at page `index`: the backend's first fit may lie lower, so what it gives is passed over
    /// until it gives the wanted ones.
    fn follow<P: HeapPages>(&mut self, index: usize, pages: usize, backing: &mut Backing<P>) -> bool {
        if pages > self.limit - index {
            return false;
        }
        let gap = (index..self.top).take(pages).take_while(|&page| self.words.get(page) == 0).count();
        if gap < pages && (index + gap < self.top || self.grow(pages - gap, backing).is_err()) {
            return false;
        }
        let wanted = self.start + index * PAGE_BYTES;
        let mut passed = [0; 8];
        let mut count = 0;
        let followed = loop {
            match self.holes.take(pages * PAGE_BYTES, PAGE_BYTES) {
                Some(found) if found == wanted => break true,
                Some(found) => {
                    passed[count] = found;
                    count += 1;
                }
                None => break false,
            }
            if count == passed.len() {
                break false;
            }
        };
        self.used += pages * (count + followed as usize);
        for found in &passed[..count] {
            self.release((found - self.start) / PAGE_BYTES, pages);
        }
        followed
    }

    /// Unmaps what holes of 64 KiB and more have; everything, if there is no block. Returns the bytes.
    ///
    /// One walk over the words in address order: every gap between blocks is one hole, and below it only holes
    /// too small to park are left, so the backend's first fit for its size is the gap itself. Parked
    /// neighbours become one run.
    pub(super) fn trim<P: HeapPages>(&mut self, backing: &mut Backing<P>) -> usize {
        let before = backing.mapped();
        self.parked = 0;
        let (mut at, mut run, mut last) = (0, 0..0, None);
        while at < self.top {
            let (pages, is_gap) = match self.words.get(at) {
                0 => ((at..self.top).take_while(|&page| self.words.get(page) == 0).count(), true),
                word => ((word & !PARKED) as usize, false),
            };
            let is_parked = self.words.get(at) & PARKED != 0;
            if is_parked
                || (is_gap && (pages >= PARKED_LEAST || self.used == 0) && self.empty(at, pages, backing))
            {
                run = if run.end == at && !run.is_empty() { run.start..at + pages } else { at..at + pages };
                if is_parked {
                    self.words.set(at, 0);
                    self.words.set(at + 1, 0);
                }
            } else {
                last = self.park(core::mem::take(&mut run), last);
            }
            at += pages;
        }
        self.park(run, last);
        if self.used == 0 {
            self.reset(backing);
        }
        before - backing.mapped()
    }

    /// Takes the hole of `pages` at page `index` from the backend and unmaps it.
    fn empty<P: HeapPages>(&mut self, index: usize, pages: usize, backing: &mut Backing<P>) -> bool {
        let start = self.start + index * PAGE_BYTES;
        if self.used > 0 {
            let Some(found) = self.holes.take(pages * PAGE_BYTES, PAGE_BYTES) else { return false };
            if found != start {
                self.used += pages;
                self.release((found - self.start) / PAGE_BYTES, pages);
                return false;
            }
        }
        backing.unmap(start, pages * PAGE_BYTES);
        true
    }

    /// Puts a parked run after the one whose link is word `last`, or first; returns its own link.
    fn park(&mut self, run: core::ops::Range<usize>, last: Option<usize>) -> Option<usize> {
        if run.is_empty() {
            return last;
        }
        match last {
            None => self.parked = run.start as u32 + 1,
            Some(last) => self.words.set(last, run.start as u32 + 1),
        }
        self.words.set(run.start, PARKED | run.len() as u32);
        self.words.set(run.start + 1, 0);
        Some(run.start + 1)
    }

    /// Maps the first parked run of at least `pages` again and makes it a hole; `false` if there is none, or no
    /// frames.
    fn unpark<P: HeapPages>(&mut self, pages: usize, backing: &mut Backing<P>) -> bool {
        let mut before = None;
        let mut at = self.parked;
        while at != 0 {
            let index = at as usize - 1;
            let length = (self.words.get(index) & !PARKED) as usize;
            let next = self.words.get(index + 1);
            if length >= pages {
                let start = self.start + index * PAGE_BYTES;
                if backing.map(start, length * PAGE_BYTES).is_err() {
                    return false;
                }
                match before {
                    None => self.parked = next,
                    Some(before) => self.words.set(before, next),
                }
                self.words.set(index, 0);
                self.words.set(index + 1, 0);
                self.used += length;
                self.release(index, length);
                return true;
            }
            before = Some(index + 1);
            at = next;
        }
        false
    }

    /// Unmaps the words and forgets the pages, none of which is mapped.
    fn reset<P: HeapPages>(&mut self, backing: &mut Backing<P>) {
        let table = self.words_end - self.words.count() * size_of::<u32>();
        if self.words_end > table {
            backing.unmap(table, self.words_end - table);
        }
        *self = Self::over(table, self.start - table + self.limit * PAGE_BYTES);
    }
}
