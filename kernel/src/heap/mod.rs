//! The kernel's heap: size classes in front, linked_list_allocator for larger blocks, frames underneath.
//!
//! A request of up to 64 KiB takes the first free block of its class's active span: a dozen instructions, however
//! many blocks are live. Larger ones are page runs. The heap owns a window of addresses ([`HeapPages::window`]),
//! asks for frames where it needs them, and gives them back when it is out of memory or told to
//! ([`Heap::trim`]). Nothing is kept inside of blocks or next to them, so alignment costs nothing, and an overrun
//! damages other blocks but not the heap's own tables.
//!
//! ```text
//! window │ area 0: 4 KiB units │ area 1: 16 KiB │ area 2: 64 KiB │ area 3: 256 KiB │ page runs              │
//! blocks │ 16 … 256 B          │ … 1 KiB        │ … 8 KiB        │ … 64 KiB        │ larger, or aligned more│
//!          └ each: descriptor table, then units                                       └ words, then pages
//! ```
//!
//! A span is *active* (its class allocates from it), *partial* (on its class's list: it has free blocks), *full*
//! (in no list), or the area's again when its last block is freed:
//!
//! ```text
//! area ──take──► active ──drained──► full ──free──► partial ──chosen──► active
//!   ▲                                  └────────┬──────┘
//!   └─────────────── last block freed ──────────┘
//! ```
//!
//! [`checked::CheckedHeap`] wraps it for tests, [`global::GlobalHeap`] makes it a `GlobalAlloc`.

pub mod checked;
pub mod error;
pub mod global;
pub mod pages;

mod area;
mod class;
mod raw;
mod runs;

use core::alloc::Layout;
use core::ptr::NonNull;

use shared_abi::addr::VirtRange;

use area::{AREAS, Area, LARGEST_UNIT, unit_shift};
use class::{CLASSES, Class};
pub use error::HeapError;
use pages::Backing;
pub use pages::{HeapPages, Unbacked};
use raw::{Pushed, Span};
use runs::{NoRun, Runs};

/// The classes rounded up to a power of two, so that an index needs no check.
const SLOTS: usize = CLASSES.next_power_of_two();

/// What every allocator of this module does; the global front works with any.
#[expect(unsafe_code, reason = "taking a block back is a promise about its use")]
pub trait Blocks {
    /// A block of `layout`, its contents arbitrary.
    fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError>;

    /// The common case of [`allocate`](Self::allocate), without a call; `None` says nothing yet.
    #[inline(always)]
    fn allocate_quickly(&mut self, _: Layout) -> Option<NonNull<u8>> {
        None
    }

    /// The common case of [`free`](Self::free), without a call; `false` if nothing has been done yet.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free).
    #[inline(always)]
    unsafe fn free_quickly(&mut self, _: NonNull<u8>) -> bool {
        false
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` is of this heap and nobody uses it any more; `layout` is the one that it has. (What is found
    /// wrong with either is an error, and the heap is unchanged; not everything can be found.)
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError>;

    /// Gives the block a new size, in place if possible; its contents up to the smaller size are kept. Shrinking
    /// never fails; on an error the block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), but if it fails the block stays the caller's.
    unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Result<NonNull<u8>, HeapError>;
}

/// The heap. `const`-constructible, so that it can be a static; it serves nothing before [`start`](Self::start).
///
/// ```
/// use core::alloc::Layout;
/// use kernel::heap::{Blocks, Heap, HeapError, HeapPages, Unbacked};
/// use shared_abi::addr::VirtRange;
///
/// /// Addresses that always have memory; in a kernel, `map` and `unmap` edit tables.
/// struct Window(VirtRange);
///
/// // SAFETY: nothing else uses the memory, which is never given back.
/// unsafe impl HeapPages for Window {
///     fn window(&self) -> VirtRange {
///         self.0
///     }
///     fn map(&mut self, _: VirtRange) -> Result<(), Unbacked> {
///         Ok(())
///     }
///     fn unmap(&mut self, _: VirtRange) {}
/// }
///
/// let memory = Box::leak(vec![0_u8; 16 << 20].into_boxed_slice());
/// let start = (memory.as_mut_ptr().expose_provenance() as u64).next_multiple_of(4096);
/// let mut heap = Heap::new();
/// heap.start(Window(VirtRange::from_bounds(start, start + (15 << 20)).unwrap()))?;
/// let layout = Layout::new::<[u64; 4]>();
/// let block = heap.allocate(layout)?;
/// assert_eq!(heap.statistics().small, 32);
/// // SAFETY: the block was handed out with this layout, and nobody uses it.
/// unsafe { heap.free(block, layout)? };
/// # Ok::<(), HeapError>(())
/// ```
pub struct Heap<P> {
    base: usize,
    area_shift: u32,
    /// Where an area's table would begin if the heap's base were its first unit.
    tables: [usize; AREAS],
    active: [&'static Span; SLOTS],
    partial: [Partial; CLASSES],
    areas: [Area; AREAS],
    runs: Runs,
    backing: Backing<P>,
}

// SAFETY: the spans are reachable through this value only; moving it to another CPU moves all of it.
#[expect(unsafe_code, reason = "span references are what keeps it from being Send by itself")]
unsafe impl<P: Send> Send for Heap<P> {}

/// A class's partial spans. The one that waited longest is used next: it has gathered the most free blocks, so
/// the class stays on it the longest.
struct Partial {
    first: Option<&'static Span>,
    last: Option<&'static Span>,
}

/// What the heap has and gave, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapStatistics {
    /// Mapped: all of the following and the tables.
    pub mapped: usize,
    /// In blocks of classes that are handed out.
    pub small: usize,
    /// In page runs that are handed out.
    pub large: usize,
    /// In mapped units that are no class's, and holes between page runs: what a trim gives back or finds.
    pub unused: usize,
}

impl<P: HeapPages> Heap<P> {
    /// A heap without memory: every request fails until it is started.
    pub const fn new() -> Self {
        Self {
            base: 0,
            // Every address lies past all areas, in runs of which there are none.
            area_shift: 0,
            tables: [0; AREAS],
            active: [Span::none(); SLOTS],
            partial: [const { Partial { first: None, last: None } }; CLASSES],
            areas: [const { Area::none() }; AREAS],
            runs: Runs::none(),
            backing: Backing::none(),
        }
    }

    /// Gives the heap its window and the memory behind it. Maps nothing yet.
    ///
    /// Each area gets the largest power of two of which the window holds six, page runs the rest.
    pub fn start(&mut self, pages: P) -> Result<(), HeapError> {
        let window = pages.window();
        let refusal = HeapError::CannotStart { window: window.len() };
        let start = usize::try_from(window.start().get()).map_err(|_| refusal)?;
        let end = usize::try_from(window.end()).map_err(|_| refusal)?;
        let base = start.checked_next_multiple_of(LARGEST_UNIT).ok_or(refusal)?;
        let share = end.saturating_sub(base) / 6;
        if self.backing.is_some() || share < 2 * LARGEST_UNIT {
            return Err(refusal);
        }
        self.base = base;
        self.area_shift = share.ilog2();
        for index in 0..AREAS {
            let area = Area::over(index, base + (index << self.area_shift), 1 << self.area_shift);
            let shift = unit_shift(index);
            let units_before = (index << self.area_shift) >> shift;
            self.tables[index] = area.table().wrapping_sub(units_before * size_of::<Span>());
            self.areas[index] = area;
        }
        let runs = base + (AREAS << self.area_shift);
        self.runs = Runs::over(runs, (end - runs) & !0xFFF);
        self.backing = Backing::with(pages);
        Ok(())
    }

    /// The provider of the memory, once started.
    pub const fn pages(&self) -> Option<&P> {
        self.backing.pages()
    }

    /// The window; `None` before the start.
    pub fn window(&self) -> Option<VirtRange> {
        self.pages().map(HeapPages::window)
    }

    /// The common case: a free block of the class's active span.
    #[inline(always)]
    fn pop(&mut self, class: Class) -> Option<NonNull<u8>> {
        self.active[class.index() % SLOTS].pop()
    }

    /// What the common case does not find. A refused mapping is tried once more after a trim; the second refusal
    /// is the answer, even if that trim would find more, so this ends.
    #[cold]
    #[inline(never)]
    fn allocate_slowly(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
        let (size, align) = (layout.size(), layout.align());
        if !self.backing.is_some() {
            return Err(HeapError::NotStarted { size });
        }
        let mut found = self.find(layout);
        if matches!(found, Err(NoRun::Unbacked(_))) && self.trim() > 0 {
            found = self.find(layout);
        }
        found.map_err(|refusal| match refusal {
            NoRun::TooLarge => HeapError::TooLarge { size, align, window: self.runs.window() },
            NoRun::Unbacked(Unbacked { free }) => {
                HeapError::Exhausted { size, align, mapped: self.backing.mapped(), free }
            }
        })
    }

    /// A block of a class; a page run if there is no class for it, or the areas' addresses are used up.
    fn find(&mut self, layout: Layout) -> Result<NonNull<u8>, NoRun> {
        if let Some(class) = Class::of(layout)
            && let Some(block) = self.refill(class)?
        {
            return Ok(block);
        }
        self.runs.take(Runs::pages_for(layout.size()), layout.align(), &mut self.backing)
    }

    /// Gives `class` an active span with free blocks and pops one: the rest of the active one, a partial one, or
    /// a new one. `Ok(None)` if no area has a unit left.
    fn refill(&mut self, class: Class) -> Result<Option<NonNull<u8>>, Unbacked> {
        let slot = class.index();
        let active = self.active[slot];
        let mut carved = Ok(false);
        if !active.is_none() && !active.has_free() {
            carved = self.areas[active.area()].carve(active, class, &mut self.backing);
        }
        if let Some(block) = self.pop(class) {
            return Ok(Some(block));
        }
        if let Some(span) = self.partial[slot].first {
            self.unlink(slot, span);
            self.activate(slot, span);
            return Ok(self.pop(class));
        }
        carved?;
        for at in class.area()..AREAS {
            let area = &mut self.areas[at];
            let Some(span) = area.take(class, &mut self.backing)? else { continue };
            if let Err(refusal) = area.carve(span, class, &mut self.backing) {
                area.put(span);
                return Err(refusal);
            }
            self.activate(slot, span);
            return Ok(self.pop(class));
        }
        Ok(None)
    }

    /// Makes `span`, which is in no list, the class's active one. The former one has no free block, so it is full
    /// or, after a refused mapping, as good as full until a block of it is freed.
    fn activate(&mut self, slot: usize, span: &'static Span) {
        let former = core::mem::replace(&mut self.active[slot], span);
        if !former.is_none() {
            former.deactivate();
        }
        span.activate();
    }

    fn link(&mut self, slot: usize, span: &'static Span) {
        let partial = &mut self.partial[slot];
        let last = partial.last.replace(span);
        span.previous.set(last);
        span.next.set(None);
        match last {
            Some(last) => last.next.set(Some(span)),
            None => partial.first = Some(span),
        }
    }

    fn unlink(&mut self, slot: usize, span: &'static Span) {
        let partial = &mut self.partial[slot];
        let (previous, next) = (span.previous.take(), span.next.take());
        match previous {
            Some(previous) => previous.next.set(next),
            None => partial.first = next,
        }
        match next {
            Some(next) => next.previous.set(previous),
            None => partial.last = previous,
        }
    }

    /// A block came back to a span that is not active, and it was its first or its last: moves the span to where
    /// it belongs.
    fn sort(&mut self, span: &'static Span, pushed: Pushed) {
        let Some(class) = span.class() else { return };
        let slot = class.index();
        match pushed {
            Pushed::Same => {}
            Pushed::Partial => self.link(slot, span),
            Pushed::Empty => {
                self.unlink(slot, span);
                self.areas[span.area()].put(span);
            }
            Pushed::EmptyFromFull => self.areas[span.area()].put(span),
        }
    }

    /// Gives back the pages of everything that no block is in; returns the bytes. Called by the heap itself
    /// before it reports exhaustion.
    pub fn trim(&mut self) -> usize {
        for slot in 0..CLASSES {
            let span = self.active[slot];
            if !span.is_none() && span.live() == 0 {
                span.deactivate();
                self.active[slot] = Span::none();
                self.areas[span.area()].put(span);
            }
        }
        let mut bytes = self.runs.trim(&mut self.backing);
        for area in &mut self.areas {
            bytes += area.trim(&mut self.backing);
        }
        bytes
    }

    /// What the heap has. Cost grows with the units ever used.
    pub fn statistics(&self) -> HeapStatistics {
        let mut statistics = HeapStatistics {
            mapped: self.backing.mapped(),
            large: self.runs.used(),
            unused: self.runs.free(),
            ..HeapStatistics::default()
        };
        for span in self.areas.iter().flat_map(Area::spans) {
            match span.class() {
                Some(class) => statistics.small += span.live() * class.block(),
                None => statistics.unused += span.committed(),
            }
        }
        statistics
    }

    /// The first byte and the length of the block that holds `address`, handed out or free; of a page run only
    /// the first byte counts. `None` if there is none. Safe for any number.
    fn locate(&self, address: usize) -> Option<(usize, usize)> {
        let area = address.checked_sub(self.base)? >> self.area_shift;
        let Some(area) = self.areas.get(area) else {
            return Some((address, self.runs.pages_of(address)? << 12));
        };
        let span = area.span_of(address)?;
        let block = span.class()?.block();
        let start = area.start_of(span);
        let index = (address - start) / block;
        if index < span.carved() as usize { Some((start + index * block, block)) } else { None }
    }

    /// Whether all of `bytes` from `address` lie in memory that the heap has mapped for blocks. Safe for any number.
    fn holds(&self, address: usize, bytes: usize) -> bool {
        let Some(end) = address.checked_add(bytes) else { return false };
        let Some(area) = address.checked_sub(self.base) else { return false };
        match self.areas.get(area >> self.area_shift) {
            Some(area) => area.span_of(address).is_some_and(|span| {
                let start = area.start_of(span);
                span.class().is_some() && end <= start + span.committed()
            }),
            None => self.runs.holds(address, end),
        }
    }

    /// Whether the block that begins at `start`, as [`locate`](Self::locate) gave it, is handed out.
    fn is_live(&self, start: usize) -> bool {
        let area = start.wrapping_sub(self.base) >> self.area_shift;
        match self.areas.get(area) {
            Some(area) => area.span_of(start).is_some_and(|span| !span.is_free(start)),
            None => self.runs.pages_of(start).is_some(),
        }
    }

    /// Bytes that the block can hold where it lies; `None` if it is none.
    fn room(&self, block: NonNull<u8>) -> Option<usize> {
        let (start, length) = self.locate(block.addr().get())?;
        if start == block.addr().get() { Some(length) } else { None }
    }
}

impl<P: HeapPages> Default for Heap<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(unsafe_code, reason = "the trait's promises are passed on to the spans and the page runs")]
impl<P: HeapPages> Heap<P> {
    /// The span that a block of an area lies in; `None` for an address outside of the areas.
    ///
    /// # Safety
    ///
    /// If `block` lies in an area, it is a block: `Area::span_of` is for other addresses.
    #[inline(always)]
    unsafe fn span_of_block(&self, block: NonNull<u8>) -> Option<&'static Span> {
        let offset = block.addr().get().wrapping_sub(self.base);
        let area = offset >> self.area_shift;
        let table = self.tables.get(area)?;
        let unit = offset >> unit_shift(area);
        // SAFETY: a block of an area lies in a unit whose descriptor is in the area's table, at its index.
        Some(unsafe { Span::at(table.wrapping_add(unit * size_of::<Span>())) })
    }

    /// What the common case of giving back does not do.
    ///
    /// # Safety
    ///
    /// As for [`Blocks::free`].
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
        // SAFETY: the caller's promise: a block, out of use, so if it is of an area, it was popped from that span.
        unsafe {
            let Some(span) = self.span_of_block(block) else { return self.free_run(block, layout) };
            let pushed = span.push(block);
            self.sort(span, pushed);
        }
        Ok(())
    }
}

#[expect(unsafe_code, reason = "the trait's promises are passed on to the spans and the page runs")]
impl<P: HeapPages> Blocks for Heap<P> {
    #[inline(always)]
    fn allocate_quickly(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Class::of(layout).and_then(|class| self.pop(class))
    }

    #[inline(always)]
    fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
        match self.allocate_quickly(layout) {
            Some(block) => Ok(block),
            None => self.allocate_slowly(layout),
        }
    }

    #[inline(always)]
    unsafe fn free_quickly(&mut self, block: NonNull<u8>) -> bool {
        // SAFETY: the caller's promise: a block, out of use, so if it is of an area, it was popped from that span.
        unsafe { self.span_of_block(block).is_some_and(|span| span.push_in_place(block)) }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
        // SAFETY: the same promise.
        unsafe { if self.free_quickly(block) { Ok(()) } else { self.free_slowly(block, layout) } }
    }

    unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Result<NonNull<u8>, HeapError> {
        let address = block.addr().get();
        let room = self.room(block).ok_or(HeapError::NotABlock { address })?;
        let (pages, is_run) = (Runs::pages_for(size), self.runs.pages_of(address).is_some());
        // Half of the room is what a move must save to be worth it.
        let stays = if is_run { pages << 12 == room } else { size <= room && size > room / 2 };
        if stays || (is_run && size > class::LARGEST && self.runs.resize(address, pages, &mut self.backing)) {
            return Ok(block);
        }
        let wanted = Layout::from_size_align(size, layout.align()).map_err(|_| HeapError::TooLarge {
            size,
            align: layout.align(),
            window: self.runs.window(),
        })?;
        match self.allocate(wanted) {
            Ok(moved) => {
                // SAFETY: two blocks handed out, of which both hold the smaller size; the old one is the
                // caller's to give up.
                unsafe {
                    raw::copy(block, moved, layout.size().min(size));
                    self.free(block, layout)?;
                }
                Ok(moved)
            }
            Err(_) if size <= room => {
                if is_run {
                    self.runs.resize(address, pages, &mut self.backing);
                }
                Ok(block)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

impl<P: HeapPages> Heap<P> {
    fn free_run(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
        let address = block.addr().get();
        let pages = self.runs.pages_of(address).ok_or(HeapError::NotABlock { address })?;
        if pages != Runs::pages_for(layout.size()) {
            return Err(HeapError::WrongSize { address, allocated: pages << 12, given: layout.size() });
        }
        self.runs.put(address);
        Ok(())
    }
}

#[cfg(test)]
mod arena;
#[cfg(test)]
mod tests;
