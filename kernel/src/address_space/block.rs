//! Memory with an owner: what can be mapped where is decided by its type.

use core::fmt;
use core::marker::PhantomData;

use crate::frames::{FrameAllocator, FrameError, FrameMemory, Order};
use shared_abi::addr::{Frame, PageSize, PhysRange};
use shared_abi::vmsa::Privilege;

/// Whose memory a block is.
pub trait Owner {
    /// The privilege of mappings of such memory.
    const PRIVILEGE: Privilege;
}

/// Memory of user spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User;

/// Memory of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel;

impl Owner for User {
    const PRIVILEGE: Privilege = Privilege::User;
}

impl Owner for Kernel {
    const PRIVILEGE: Privilege = Privilege::Kernel;
}

/// A page or block of memory that nobody else has, of a size that one descriptor maps.
///
/// Holding one proves that the memory came zeroed from the frame allocator for this owner and is mapped nowhere but
/// in the direct map. It cannot be copied, nor made the other owner's. Dropping it without [`Block::free`] leaks
/// the memory.
#[must_use = "memory that is neither mapped nor freed is lost"]
#[derive(PartialEq, Eq)]
pub struct Block<O> {
    first: Frame,
    size: PageSize,
    owner: PhantomData<O>,
}

impl<O: Owner> Block<O> {
    /// Takes a zeroed block.
    ///
    /// # Errors
    /// `OutOfFrames` if there is none of that size.
    pub fn allocate<M: FrameMemory>(
        frames: &mut FrameAllocator<M>,
        size: PageSize,
    ) -> Result<Self, FrameError> {
        let first = frames.allocate_zeroed(Order::of(size))?;
        Ok(Self::from_leaf(first, size))
    }

    /// Gives the block back.
    ///
    /// # Errors
    /// Those of the allocator, if it was taken from another one.
    pub fn free<M: FrameMemory>(self, frames: &mut FrameAllocator<M>) -> Result<(), FrameError> {
        frames.free(self.first, Order::of(self.size))
    }

    /// The block that a leaf owned until it was taken away.
    pub(super) const fn from_leaf(first: Frame, size: PageSize) -> Self {
        Self { first, size, owner: PhantomData }
    }

    /// The first frame.
    pub const fn first(&self) -> Frame {
        self.first
    }

    /// The size.
    pub const fn size(&self) -> PageSize {
        self.size
    }

    /// The memory as an address range.
    pub fn range(&self) -> PhysRange {
        PhysRange::new(self.first.start(), self.size.bytes()).unwrap_or_default()
    }
}

impl<O: Owner> fmt::Debug for Block<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} block of the {}", self.range(), O::PRIVILEGE)
    }
}
