//! Block sizes of the frame allocator: powers of two from 4 KiB to 1 GiB.

use core::fmt;
use shared_abi::addr::{PAGE_SHIFT, PageSize};

/// log2 of a block's length in frames, at most 18. A block of an order begins at a multiple of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Order(u8);

impl Order {
    /// One frame, 4 KiB.
    pub const FRAME: Self = Self(0);

    /// 512 frames, 2 MiB: what a level 2 block descriptor maps.
    pub const CHUNK: Self = Self(9);

    /// 262,144 frames, 1 GiB: what a level 1 block descriptor maps.
    pub const ZONE: Self = Self(18);

    /// How many orders there are.
    pub const COUNT: usize = Self::ZONE.0 as usize + 1;

    /// `None` above 18.
    pub const fn new(order: u8) -> Option<Self> {
        if order <= Self::ZONE.0 { Some(Self(order)) } else { None }
    }

    /// The order whose block a page of `size` maps.
    pub const fn of(size: PageSize) -> Self {
        match size {
            PageSize::Size4K => Self::FRAME,
            PageSize::Size2M => Self::CHUNK,
            PageSize::Size1G => Self::ZONE,
        }
    }

    /// The least order whose block holds `frames` frames; `None` if none does.
    pub const fn holding(frames: u64) -> Option<Self> {
        if frames > Self::ZONE.frames() {
            return None;
        }
        Some(Self(frames.next_power_of_two().trailing_zeros() as u8))
    }

    /// The order as a number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Frames in a block.
    pub const fn frames(self) -> u64 {
        1 << self.0
    }

    /// Bytes in a block.
    pub const fn bytes(self) -> u64 {
        1 << (self.0 as u32 + PAGE_SHIFT)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {}", self.0)
    }
}
