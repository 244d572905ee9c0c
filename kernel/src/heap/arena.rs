//! The host's memory behind a heap under test: it counts, refuses beyond a budget, and tells of every misuse.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::rc::Rc;

use shared_abi::addr::{PageSize, VirtRange};

use super::pages::{HeapPages, Unbacked};

const PAGE: usize = 4096;

/// What an unmapped page is filled with; it must still be when the page is mapped again.
const UNMAPPED: u8 = 0x77;

/// What a mapped page starts with: frames come dirty.
const DIRTY: u8 = 0x5E;

/// Page states, shared with the test.
pub struct Ledger {
    pub mapped: Vec<bool>,
    pub ever: Vec<bool>,
    pub pages: usize,
    pub budget: usize,
    pub refusals: usize,
}

/// An arena of host memory.
pub struct Arena {
    start: usize,
    bytes: usize,
    pub ledger: Rc<RefCell<Ledger>>,
}

impl Arena {
    const ALIGN: usize = 1 << 21;

    /// `bytes` of window, of which `budget` pages can be mapped at a time.
    pub fn new(bytes: usize, budget: usize) -> Self {
        let layout = Layout::from_size_align(bytes, Self::ALIGN).unwrap();
        // SAFETY: the layout is not empty.
        #[allow(unsafe_code)]
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        let ledger = Ledger {
            mapped: vec![false; bytes / PAGE],
            ever: vec![false; bytes / PAGE],
            pages: 0,
            budget,
            refusals: 0,
        };
        Self { start: start.expose_provenance(), bytes, ledger: Rc::new(RefCell::new(ledger)) }
    }

    fn fill(page: usize, byte: u8) {
        // SAFETY: a page of the arena that the heap does not have.
        #[allow(unsafe_code)]
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u8>(page).write_bytes(byte, PAGE)
        }
    }

    fn is_filled(page: usize, byte: u8) -> bool {
        // SAFETY: a page of the arena that the heap does not have, filled before.
        #[allow(unsafe_code)]
        let bytes =
            unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(page), PAGE) };
        bytes == [byte; PAGE]
    }

    fn pages(&self, range: VirtRange) -> core::ops::Range<usize> {
        assert!(range.is_aligned(PageSize::Size4K) && !range.is_empty(), "{range}");
        let start = range.start().get() as usize - self.start;
        assert!(start + range.len() as usize <= self.bytes, "{range} leaves the window");
        start / PAGE..(start + range.len() as usize) / PAGE
    }
}

// SAFETY: the memory is a live allocation that only the heap under test uses.
#[allow(unsafe_code)]
unsafe impl HeapPages for Arena {
    fn window(&self) -> VirtRange {
        VirtRange::from_bounds(self.start as u64, (self.start + self.bytes) as u64).unwrap()
    }

    fn map(&mut self, range: VirtRange) -> Result<(), Unbacked> {
        let pages = self.pages(range);
        let mut ledger = self.ledger.borrow_mut();
        if ledger.pages + pages.len() > ledger.budget {
            ledger.refusals += 1;
            return Err(Unbacked { free: ((ledger.budget - ledger.pages) * PAGE) as u64 });
        }
        ledger.pages += pages.len();
        for page in pages {
            assert!(!ledger.mapped[page], "{range} is mapped twice");
            ledger.mapped[page] = true;
            let address = self.start + page * PAGE;
            let untouched = !ledger.ever[page] || Self::is_filled(address, UNMAPPED);
            assert!(untouched, "page {page} was written to while it was not mapped");
            ledger.ever[page] = true;
            Self::fill(address, DIRTY);
        }
        Ok(())
    }

    fn unmap(&mut self, range: VirtRange) {
        let pages = self.pages(range);
        let mut ledger = self.ledger.borrow_mut();
        ledger.pages -= pages.len();
        for page in pages {
            assert!(ledger.mapped[page], "{range} is not mapped");
            ledger.mapped[page] = false;
            Self::fill(self.start + page * PAGE, UNMAPPED);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.bytes, Self::ALIGN).unwrap();
        // SAFETY: allocated with the same layout in `new`.
        #[allow(unsafe_code)]
        unsafe {
            dealloc(core::ptr::with_exposed_provenance_mut(self.start), layout)
        };
    }
}
