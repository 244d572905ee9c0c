//! A run of frames.

use core::ops::Range;

use shared_abi::addr::{Frame, PAGE, PhysAddr, PhysRange};

/// One or more consecutive frames, all of which have a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    pub(super) first: Frame,
    pub(super) frames: u64,
}

impl FrameRange {
    /// `frames` frames from `first` on; `None` if that is none, or leaves the physical address space.
    pub const fn new(first: Frame, frames: u64) -> Option<Self> {
        if frames == 0 || frames > PhysAddr::LIMIT / PAGE - first.number() {
            return None;
        }
        Some(Self { first, frames })
    }

    /// The first frame.
    pub const fn first(self) -> Frame {
        self.first
    }

    /// Length in frames, at least 1.
    pub const fn frames(self) -> u64 {
        self.frames
    }

    /// The same memory as an address range.
    pub fn range(self) -> PhysRange {
        PhysRange::new(self.first.start(), self.frames * PAGE).unwrap_or_default()
    }

    pub(super) const fn numbers(self) -> Range<u64> {
        self.first.number()..self.first.number() + self.frames
    }
}
