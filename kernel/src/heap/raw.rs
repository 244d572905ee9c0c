//! The corner where the heap turns addresses into memory: everything unsafe about it but the provider's promise.
//!
//! A [`Span`] is the descriptor of one unit of an area: a run of pages carved into blocks of one class. It lies in
//! the area's table, outside of the unit, so that blocks of a power of two are aligned to their size and an
//! overrun of a block cannot reach it. Free blocks of a span are a list through their own first words:
//!
//! ```text
//! Span.free ──► block ──► block ──► null        carved bytes: either handed out or on the list
//!               (first 8 bytes: the next)       bytes past `carved`: never touched; past `committed`: not mapped
//! ```
//!
//! What always holds, and makes the pointers below good:
//! 1. a `&'static Span` refers to a mapped entry of an area's table, and none is kept when a table is unmapped
//!    (`Area::reset` runs only when the lists are empty and no class is active in the area);
//! 2. the list of a span holds only carved, mapped blocks of that span that are not handed out, each once;
//! 3. all of it is reached through one `&mut Heap`, so no two accesses overlap.
#![expect(unsafe_code, reason = "free blocks are linked through themselves; callers see safe operations")]

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::class::Class;

/// Blocks are counted in `live` with this bit on while the span is its class's active one, so that a count of
/// zero means "empty and nobody's".
const ACTIVE: u16 = 1 << 15;

/// A unit's descriptor, half a cache line.
#[repr(C, align(32))]
pub(super) struct Span {
    free: Cell<*mut Link>,
    pub(super) next: Cell<Option<&'static Span>>,
    pub(super) previous: Cell<Option<&'static Span>>,
    live: Cell<u16>,
    carved: Cell<u16>,
    committed: Cell<u8>,
    class: Cell<u8>,
    area: Cell<u8>,
    state: Cell<State>,
}

const _: () = assert!(size_of::<Span>() == 32);

/// The first word of a free block.
struct Link {
    next: *mut Link,
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// On the area's list, with nothing mapped.
    Bare = 0,
    /// On the area's list, with pages mapped.
    Ready = 1,
    /// A class's.
    Used = 2,
}

/// What giving a block back made of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Nothing else: it is where it belongs.
    Same,
    /// It has a free block now and had none.
    Partial,
    /// It has nothing but free blocks, and had one before.
    Empty,
    /// Its only block came back.
    EmptyFromFull,
}

/// A class without a span has this one: it is always full, so the fast path needs no other check.
struct NoSpan(Span);

// SAFETY: nothing writes to it: it is in no list, no block lies in it, and `Heap` never carves or retires it.
unsafe impl Sync for NoSpan {}

static NO_SPAN: NoSpan = NoSpan(Span::new(0));

impl Span {
    const fn new(area: u8) -> Self {
        Self {
            free: Cell::new(ptr::null_mut()),
            next: Cell::new(None),
            previous: Cell::new(None),
            live: Cell::new(0),
            carved: Cell::new(0),
            committed: Cell::new(0),
            class: Cell::new(u8::MAX),
            area: Cell::new(area),
            state: Cell::new(State::Bare),
        }
    }

    /// The span of a class that has none.
    pub(super) const fn none() -> &'static Self {
        &NO_SPAN.0
    }

    /// Whether this is the span of a class that has none.
    pub(super) fn is_none(&self) -> bool {
        ptr::eq(self, Self::none())
    }

    /// The descriptor at `address`.
    ///
    /// # Safety
    ///
    /// It is an entry of an area's table that [`Span::write`] has written and that is still mapped.
    #[inline(always)]
    pub(super) unsafe fn at(address: usize) -> &'static Self {
        // SAFETY: the caller's promise; spans are only ever shared, and their fields are cells.
        unsafe { &*ptr::with_exposed_provenance(address) }
    }

    /// Writes a new descriptor for a unit of `area` at `address` and returns it.
    ///
    /// # Safety
    ///
    /// `address` is a multiple of 32 inside a mapped table, and no reference to what lies there is in use.
    pub(super) unsafe fn write(address: usize, area: u8) -> &'static Self {
        let span: *mut Self = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the caller's promise: mapped, aligned and unshared.
        unsafe {
            span.write(Self::new(area));
            &*span
        }
    }

    /// Takes a free block that is on the list.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.free.get())?;
        // SAFETY: what is on the list is a mapped free block with a link in it (2 above).
        self.free.set(unsafe { block.as_ref() }.next);
        self.live.set(self.live.get().wrapping_add(1));
        Some(block.cast())
    }

    /// Gives a block back, if that leaves the span where it is: active, or partial before and after. `false`, and
    /// nothing is done, if it is a matter for [`push`](Self::push).
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    #[inline(always)]
    pub(super) unsafe fn push_in_place(&self, block: NonNull<u8>) -> bool {
        let (live, next) = (self.live.get(), self.free.get());
        if live & ACTIVE == 0 && (live <= 1 || next.is_null()) {
            return false;
        }
        let block = block.cast::<Link>();
        // SAFETY: the block is a carved block of this span that is ours again; blocks are aligned to 16.
        unsafe { block.write(Link { next }) };
        self.free.set(block.as_ptr());
        self.live.set(live.wrapping_sub(1));
        true
    }

    /// Gives a block back and says what that makes of the span.
    ///
    /// # Safety
    ///
    /// `block` was popped from this span and not pushed since, and nobody uses it any more.
    pub(super) unsafe fn push(&self, block: NonNull<u8>) -> Pushed {
        // SAFETY: the same promise.
        if unsafe { self.push_in_place(block) } {
            return Pushed::Same;
        }
        let was_full = self.free.get().is_null();
        let live = self.live.get().saturating_sub(1);
        let link = block.cast::<Link>();
        // SAFETY: as in `push_in_place`.
        unsafe { link.write(Link { next: self.free.get() }) };
        self.free.set(link.as_ptr());
        self.live.set(live);
        match (live, was_full) {
            (0, true) => Pushed::EmptyFromFull,
            (0, false) => Pushed::Empty,
            _ => Pushed::Partial,
        }
    }

    /// Puts `count` more blocks on the list, which is empty; the unit begins at `start`.
    ///
    /// # Safety
    ///
    /// The bytes up to block `carved + count` of the unit are mapped and belong to this span.
    pub(super) unsafe fn carve(&self, start: usize, block: usize, count: u16) {
        let carved = self.carved.get();
        let first = start + carved as usize * block;
        let mut next = ptr::null_mut();
        for at in (0..count as usize).rev() {
            let link: *mut Link = ptr::with_exposed_provenance_mut(first + at * block);
            // SAFETY: inside the unit, mapped and never handed out; block sizes keep the alignment of 16.
            unsafe { link.write(Link { next }) };
            next = link;
        }
        self.free.set(next);
        self.carved.set(carved + count);
    }

    /// Makes the unit a class's, with nothing carved and nothing handed out.
    pub(super) fn claim(&self, class: Class) {
        self.free.set(ptr::null_mut());
        self.live.set(0);
        self.carved.set(0);
        self.class.set(class.index() as u8);
        self.state.set(State::Used);
    }

    /// Says that the unit is no class's.
    pub(super) fn disclaim(&self) {
        self.free.set(ptr::null_mut());
        self.carved.set(0);
        self.class.set(u8::MAX);
        self.state.set(if self.committed.get() == 0 { State::Bare } else { State::Ready });
    }

    pub(super) fn activate(&self) {
        self.live.set(self.live.get() | ACTIVE);
    }

    pub(super) fn deactivate(&self) {
        self.live.set(self.live.get() & !ACTIVE);
    }

    /// Blocks handed out.
    pub(super) fn live(&self) -> usize {
        (self.live.get() & !ACTIVE) as usize
    }

    /// Blocks handed out or on the list.
    pub(super) fn carved(&self) -> u16 {
        self.carved.get()
    }

    /// Whether a block can be popped.
    pub(super) fn has_free(&self) -> bool {
        !self.free.get().is_null()
    }

    /// Bytes mapped, from the unit's start on.
    pub(super) fn committed(&self) -> usize {
        (self.committed.get() as usize) << 12
    }

    /// Notes that the first `bytes`, whole pages and at most 256 KiB, are mapped.
    pub(super) fn set_committed(&self, bytes: usize) {
        self.committed.set((bytes >> 12) as u8);
    }

    pub(super) fn class(&self) -> Option<Class> {
        Class::at(self.class.get())
    }

    pub(super) fn area(&self) -> usize {
        self.area.get() as usize
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    /// Whether `block`, a carved block of this span, is on the list. Cost grows with the list.
    pub(super) fn is_free(&self, block: usize) -> bool {
        let mut link = self.free.get();
        while let Some(free) = NonNull::new(link) {
            if free.addr().get() == block {
                return true;
            }
            // SAFETY: what is on the list is a mapped free block with a link in it (2 above).
            link = unsafe { free.as_ref() }.next;
        }
        false
    }
}

/// The free pages behind large blocks: linked_list_allocator, given only whole pages.
///
/// It keeps no record of what it handed out: a block exists for it only as the absence of a hole. So what is
/// freed may be a part or a union of blocks (`the_backend_takes_parts_and_unions_back` holds it to that), and
/// it would take a wrong address in good faith or panic: [`super::runs`] checks every one first.
pub(super) struct Holes(linked_list_allocator::Heap);

impl Holes {
    pub(super) const fn none() -> Self {
        Self(linked_list_allocator::Heap::empty())
    }

    /// Takes `bytes` aligned to `align` out of the lowest hole that has them.
    pub(super) fn take(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let layout = Layout::from_size_align(bytes, align).ok()?;
        Some(self.0.allocate_first_fit(layout).ok()?.as_ptr().expose_provenance())
    }

    /// Makes a hole.
    ///
    /// # Safety
    ///
    /// The bytes are whole pages, mapped, inside what [`extend`](Self::extend) gave, in no hole, and nobody's.
    pub(super) unsafe fn put(&mut self, start: usize, bytes: usize) {
        let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(start)) else { return };
        let Ok(layout) = Layout::from_size_align(bytes, 1) else { return };
        // SAFETY: the caller's promise; the type's description says why parts and unions are fine.
        unsafe { self.0.deallocate(start, layout) };
    }

    /// Adds the `bytes` at `start` to the pages, as a hole.
    ///
    /// # Safety
    ///
    /// They are whole pages, mapped, nobody's, and follow what was given before.
    pub(super) unsafe fn extend(&mut self, start: usize, bytes: usize) {
        if self.0.bottom().is_null() {
            // SAFETY: an empty heap, given mapped memory (the caller's promise) of at least a page.
            unsafe { self.0.init(ptr::with_exposed_provenance_mut(start), bytes) };
        } else {
            // SAFETY: the memory follows the heap's top (the caller's promise).
            unsafe { self.0.extend(bytes) };
        }
    }

    /// Bytes in holes.
    pub(super) fn free(&self) -> usize {
        if self.0.bottom().is_null() { 0 } else { self.0.free() }
    }
}

/// One word per page of the large blocks' pages, mapped from the first on as far as `mapped` says.
#[derive(Clone, Copy)]
pub(super) struct PageWords {
    start: usize,
    count: usize,
}

impl PageWords {
    /// No words, to be placed at `start`.
    pub(super) const fn none(start: usize) -> Self {
        Self { start, count: 0 }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Adds words up to `count`, zeroed.
    ///
    /// # Safety
    ///
    /// The table is mapped up to there, and nobody else uses it.
    pub(super) unsafe fn extend(&mut self, count: usize) {
        let start: *mut u32 = ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: mapped by the caller's promise; `start` is page-aligned.
        unsafe { start.add(self.count).write_bytes(0, count - self.count) };
        self.count = count;
    }

    /// The word of page `index`; 0 past the end.
    pub(super) fn get(&self, index: usize) -> u32 {
        if index >= self.count {
            return 0;
        }
        let start: *const u32 = ptr::with_exposed_provenance(self.start);
        // SAFETY: below `count`, so mapped and written by `extend`.
        unsafe { start.add(index).read() }
    }

    /// Sets the word of page `index`, which exists.
    pub(super) fn set(&mut self, index: usize, word: u32) {
        if index < self.count {
            let start: *mut u32 = ptr::with_exposed_provenance_mut(self.start);
            // SAFETY: below `count`, so mapped; `&mut self` makes it exclusive.
            unsafe { start.add(index).write(word) };
        }
    }
}

/// A pointer to `address`, which an allocation returns.
pub(super) fn block_at(address: usize) -> Option<NonNull<u8>> {
    NonNull::new(ptr::with_exposed_provenance_mut(address))
}

/// Copies the first `bytes` of a block to another.
///
/// # Safety
///
/// Both blocks are handed out, hold that many bytes, and are different blocks.
pub(super) unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), bytes) };
}
