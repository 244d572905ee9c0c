//! An area: an array of equal units of the window, and the table of their descriptors.
//!
//! Four areas with units of 4, 16, 64 and 256 KiB serve the classes. A unit belongs to one class at a time; when
//! its last block is freed it is the area's again, and under pressure its pages go back to the frames.
//!
//! ```text
//! start                first unit                     next                               limit
//! ├── table ───┬───────────┼── units used, ready or bare ─┼── never used, not mapped ────────────┤
//!              └ mapped as `next` moves
//! ```

use shared_abi::addr::PAGE;

use super::class::Class;
use super::pages::{Backing, HeapPages, Unbacked};
use super::raw::{Span, State};

/// How many areas there are.
pub(super) const AREAS: usize = 4;

/// The largest unit: what a window's areas are aligned to.
pub(super) const LARGEST_UNIT: usize = unit(AREAS - 1);

/// What is mapped at a time, where a unit or a class allows it.
const STEP: usize = 64 << 10;

const DESCRIPTOR: usize = size_of::<Span>();
const PAGE_BYTES: usize = PAGE as usize;

/// log2 of the bytes of a unit of area `index`.
#[inline(always)]
pub(super) const fn unit_shift(index: usize) -> u32 {
    12 + 2 * index as u32
}

/// Bytes of a unit of area `index`.
const fn unit(index: usize) -> usize {
    1 << unit_shift(index)
}

/// One area's state.
pub(super) struct Area {
    index: usize,
    start: usize,
    /// Units that the area's addresses hold, the table's included.
    limit: usize,
    /// The first unit past the table.
    first: usize,
    /// The first unit that was never used.
    next: usize,
    /// Where the mapped part of the table ends.
    table_end: usize,
    /// Units without a class that have pages, and those that have none.
    ready: Option<&'static Span>,
    bare: Option<&'static Span>,
    /// Units that are a class's.
    used: usize,
}

impl Area {
    /// An area with no addresses.
    pub(super) const fn none() -> Self {
        Self {
            index: 0,
            start: 0,
            limit: 0,
            first: 0,
            next: 0,
            table_end: 0,
            ready: None,
            bare: None,
            used: 0,
        }
    }

    /// Area `index` over `bytes` from `start`, both multiples of the largest unit.
    pub(super) const fn over(index: usize, start: usize, bytes: usize) -> Self {
        let limit = bytes >> unit_shift(index);
        let first = (limit * DESCRIPTOR).div_ceil(unit(index));
        let table_end = (start + first * DESCRIPTOR) & !(PAGE_BYTES - 1);
        Self { index, start, limit, first, next: first, table_end, ready: None, bare: None, used: 0 }
    }

    /// Where the descriptor of the unit at `start` lies.
    pub(super) const fn table(&self) -> usize {
        self.start
    }

    /// The first byte of the unit that `span` describes.
    pub(super) fn start_of(&self, span: &Span) -> usize {
        let index = (core::ptr::from_ref(span).addr() - self.start) / DESCRIPTOR;
        self.start + (index << unit_shift(self.index))
    }

    /// The span of the unit that holds `address`, if it was ever used.
    pub(super) fn span_of(&self, address: usize) -> Option<&'static Span> {
        let index = address.checked_sub(self.start)? >> unit_shift(self.index);
        if (self.first..self.next).contains(&index) { Some(self.descriptor(index)) } else { None }
    }

    /// The descriptor of a unit from `first` to before `next`.
    fn descriptor(&self, index: usize) -> &'static Span {
        debug_assert!((self.first..self.next).contains(&index));
        // SAFETY: `grow` mapped the table and wrote the descriptor before `next` passed it, and only `reset`,
        // which moves `next` back, unmaps it.
        #[expect(unsafe_code, reason = "an index below `next` proves the descriptor")]
        unsafe {
            Span::at(self.start + index * DESCRIPTOR)
        }
    }

    /// A unit for `class`, nothing carved. `Ok(None)` if the area's addresses are used up.
    pub(super) fn take<P: HeapPages>(
        &mut self,
        class: Class,
        backing: &mut Backing<P>,
    ) -> Result<Option<&'static Span>, Unbacked> {
        if self.ready.is_none() && self.bare.is_none() && !self.grow(backing)? {
            return Ok(None);
        }
        let list = if self.ready.is_some() { &mut self.ready } else { &mut self.bare };
        let Some(span) = *list else { return Ok(None) };
        *list = span.next.take();
        span.claim(class);
        self.used += 1;
        Ok(Some(span))
    }

    /// Takes a unit back that has no block handed out and is in no list.
    pub(super) fn put(&mut self, span: &'static Span) {
        span.disclaim();
        let list = if span.state() == State::Ready { &mut self.ready } else { &mut self.bare };
        span.previous.set(None);
        span.next.set(*list);
        *list = Some(span);
        self.used -= 1;
    }

    /// Adds units that were never used to the lists: a step's worth with their pages, or one without.
    fn grow<P: HeapPages>(&mut self, backing: &mut Backing<P>) -> Result<bool, Unbacked> {
        let unit = unit(self.index);
        let left = self.limit - self.next;
        if left == 0 {
            return Ok(false);
        }
        let mut count = (STEP / unit).clamp(1, left);
        let table_needed =
            |count: usize| (self.start + (self.next + count) * DESCRIPTOR).next_multiple_of(PAGE_BYTES);
        let table_end = self.table_end;
        if table_needed(count) > table_end {
            backing.map(table_end, table_needed(count) - table_end)?;
            self.table_end = table_needed(count);
        }
        let first = self.start + (self.next << unit_shift(self.index));
        let mapped = count > 1 && backing.map(first, count * unit).is_ok();
        if !mapped {
            count = 1;
        }
        for index in (self.next..self.next + count).rev() {
            // SAFETY: the table is mapped up to there, and nothing has ever referred to this entry.
            #[expect(unsafe_code, reason = "the table's memory becomes a descriptor here")]
            let span = unsafe { Span::write(self.start + index * DESCRIPTOR, self.index as u8) };
            if mapped {
                span.set_committed(unit);
            }
            self.used += 1;
            self.put(span);
        }
        self.next += count;
        Ok(true)
    }

    /// Puts more blocks of `span` on its list, mapping pages as needed. `Ok(false)` if all are carved.
    pub(super) fn carve<P: HeapPages>(
        &self,
        span: &Span,
        class: Class,
        backing: &mut Backing<P>,
    ) -> Result<bool, Unbacked> {
        let block = class.block();
        let carved = span.carved() as usize;
        let left = unit(self.index) / block - carved;
        if left == 0 {
            return Ok(false);
        }
        let start = self.start_of(span);
        let mut count = (PAGE_BYTES / block).clamp(1, left.min(32));
        if (carved + 1) * block > span.committed() {
            let committed = span.committed();
            let exact = ((carved + 1) * block).next_multiple_of(PAGE_BYTES);
            let step = exact.max(committed + STEP).min(unit(self.index));
            let end = match backing.map(start + committed, step - committed) {
                Ok(()) => step,
                Err(_) if step > exact => {
                    backing.map(start + committed, exact - committed)?;
                    exact
                }
                Err(refusal) => return Err(refusal),
            };
            span.set_committed(end);
        }
        count = count.min(span.committed() / block - carved);
        // SAFETY: `carved + count` blocks fit the committed bytes of the unit, which is this span's.
        #[expect(unsafe_code, reason = "mapped pages become blocks here")]
        unsafe {
            span.carve(start, block, count as u16)
        };
        Ok(true)
    }

    /// Unmaps the pages of all units that are no class's, neighbours in one go, and the table if none is used.
    /// Returns the bytes.
    ///
    /// If no unit is a class's, nobody may hold a reference to a span of this area.
    pub(super) fn trim<P: HeapPages>(&mut self, backing: &mut Backing<P>) -> usize {
        let before = backing.mapped();
        if self.ready.is_some() || self.used == 0 {
            let mut run = self.start..self.start;
            (self.ready, self.bare) = (None, None);
            for index in self.first..self.next {
                let span = self.descriptor(index);
                if span.state() == State::Used {
                    continue;
                }
                let start = self.start_of(span);
                let end = start + span.committed();
                if run.end != start {
                    if !run.is_empty() {
                        backing.unmap(run.start, run.len());
                    }
                    run.start = start;
                }
                run.end = end;
                span.set_committed(0);
                span.disclaim();
                span.next.set(self.bare);
                self.bare = Some(span);
            }
            if !run.is_empty() {
                backing.unmap(run.start, run.len());
            }
        }
        if self.used == 0 {
            self.reset(backing);
        }
        before - backing.mapped()
    }

    /// Unmaps the table and forgets the units, none of which is used or has pages.
    fn reset<P: HeapPages>(&mut self, backing: &mut Backing<P>) {
        let fresh = Self::over(self.index, self.start, self.limit << unit_shift(self.index));
        if self.table_end > fresh.table_end {
            backing.unmap(fresh.table_end, self.table_end - fresh.table_end);
        }
        *self = fresh;
    }

    /// The spans of all units that were ever used.
    pub(super) fn spans(&self) -> impl Iterator<Item = &'static Span> {
        (self.first..self.next).map(|index| self.descriptor(index))
    }
}
