//! The large values that the whole boot needs, in memory that is free after it. The kernel's
//! lists, which the second half needs, are on the stack.

use elfloader::boot::Scratch;
use elfloader::device_tree::Pruned;
use handoff_bare::cell::BorrowCell;

#[unsafe(link_section = ".early.scratch")]
static SCRATCH: BorrowCell<(Pruned, Scratch<'static>)> = BorrowCell::new((Pruned::new(), Scratch::new()));

/// The scratch memory, for the one who asks first.
pub fn take() -> Option<&'static mut (Pruned, Scratch<'static>)> {
    SCRATCH.claim()
}
