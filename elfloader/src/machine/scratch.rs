//! The large values that the whole boot needs, in memory that is free after it. The kernel's
//! lists, which the second half needs, are on the stack.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use elfloader::boot::Scratch;
use elfloader::device_tree::Pruned;

struct Single(UnsafeCell<(Pruned, Scratch<'static>)>);

// SAFETY: `take` gives it out once, to the one CPU that runs.
unsafe impl Sync for Single {}

#[unsafe(link_section = ".early.scratch")]
static SCRATCH: Single = Single(UnsafeCell::new((Pruned::new(), Scratch::new())));

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The scratch memory, for the one who asks first.
pub fn take() -> Option<&'static mut (Pruned, Scratch<'static>)> {
    if TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    TAKEN.store(true, Ordering::Relaxed);
    // SAFETY: nobody else has asked, and nobody else will be given it.
    Some(unsafe { &mut *SCRATCH.0.get() })
}
