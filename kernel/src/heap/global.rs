//! The front that makes a heap the kernel's `#[global_allocator]`: a lock, null for errors, and a reporter.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; its promises are the heap's")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use super::{Blocks, HeapError};
use crate::lock::{Interrupts, Lock, NoInterrupts};

/// A heap behind a lock.
///
/// `alloc` cannot return an error, so the last one is kept for whoever reports the failed allocation
/// ([`last_error`](Self::last_error)); what is wrong with a block that is given back is told to `report`, which
/// may return, and then the block is leaked.
pub struct GlobalHeap<H, I = NoInterrupts> {
    state: Lock<State<H>, I>,
    report: fn(&HeapError),
}

struct State<H> {
    heap: H,
    last_error: Option<HeapError>,
}

impl<H: Blocks, I: Interrupts> GlobalHeap<H, I> {
    /// A front for `heap`; `report` is called without the lock held.
    pub const fn new(heap: H, report: fn(&HeapError)) -> Self {
        Self { state: Lock::new(State { heap, last_error: None }), report }
    }

    /// Runs `action` on the heap, locked: to start it, to trim it, to read its statistics.
    pub fn with<T>(&self, action: impl FnOnce(&mut H) -> T) -> T {
        action(&mut self.state.lock().heap)
    }

    /// Allocates, with the error as a value.
    pub fn try_allocate(&self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
        self.state.lock().heap.allocate(layout)
    }

    /// Why the last allocation failed, once.
    pub fn last_error(&self) -> Option<HeapError> {
        self.state.lock().last_error.take()
    }

    /// What the common case does not find. It takes the lock again, so that the common case calls nothing.
    #[cold]
    #[inline(never)]
    fn allocate_slowly(&self, layout: Layout) -> *mut u8 {
        let mut state = self.state.lock();
        match state.heap.allocate(layout) {
            Ok(block) => block.as_ptr(),
            Err(error) => {
                state.last_error = Some(error);
                ptr::null_mut()
            }
        }
    }

    /// What the common case of giving back does not do.
    ///
    /// # Safety
    ///
    /// As for [`Blocks::free`].
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        let freed = unsafe { self.state.lock().heap.free(block, layout) };
        if let Err(error) = freed {
            (self.report)(&error);
        }
    }
}

// SAFETY: `Blocks` gives blocks that no other live block overlaps, of at least the layout's size and alignment,
// and the lock makes every operation whole. Nothing here unwinds.
unsafe impl<H: Blocks, I: Interrupts> GlobalAlloc for GlobalHeap<H, I> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let found = self.state.lock().heap.allocate_quickly(layout);
        match found {
            Some(block) => block.as_ptr(),
            None => self.allocate_slowly(layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: the caller's promise to `dealloc`: a block of this allocator with its layout, out of use.
        unsafe {
            let freed = self.state.lock().heap.free_quickly(block);
            if !freed {
                self.free_slowly(block, layout);
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        let mut guard = self.state.lock();
        // SAFETY: the caller's promise to `realloc`: a block of this allocator with its layout.
        let resized = unsafe { guard.heap.resize(block, layout, size) };
        match resized {
            Ok(block) => block.as_ptr(),
            Err(error) => {
                guard.last_error = Some(error);
                drop(guard);
                if !matches!(error, HeapError::Exhausted { .. } | HeapError::TooLarge { .. }) {
                    (self.report)(&error);
                }
                ptr::null_mut()
            }
        }
    }
}
