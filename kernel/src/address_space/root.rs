//! The kernel's live tables, taken over from the loader.
#![expect(unsafe_code, reason = "that a frame holds the live tables is known to the caller alone")]

use shared_abi::addr::Frame;

/// The root of the tree that TTBR1 points to. A value of this type proves what [`KernelRoot::new`] asks for.
#[derive(Debug)]
pub struct KernelRoot(Frame);

impl KernelRoot {
    /// The frame that `BootInfo` names as TTBR1's root.
    ///
    /// # Safety
    /// 1. The frame and all tables that it leads to are tables of the contract's format, reachable in the direct
    ///    map.
    /// 2. Nobody else changes them, and there is no other value of this type for them.
    pub const unsafe fn new(root: Frame) -> Self {
        Self(root)
    }

    /// The frame.
    pub const fn frame(&self) -> Frame {
        self.0
    }
}
