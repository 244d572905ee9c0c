//! Allocating and freeing blocks of 2ⁿ frames.
//!
//! What the fields of the allocator are for is told where they are used: [`super::cached`] for single frames and small
//! blocks, [`super::chunks`] for whole chunks and for zones.

use super::field::UNITS;
use super::ledger::Ledger;
use super::memory::{FrameMemory, OwnedFrame, frame};
use super::place::{CachedChunk, EMPTY, NO_ZONE, NONE, ZonePage};
use super::zone::{CHUNK_SHIFT, ZoneLists, field_at};
use super::{FrameError, Order};
use shared_abi::addr::{Frame, PhysRange};
use shared_abi::memory::RegionKind;

/// All page frames of the machine. `M` is how their contents are reached; put the allocator behind a lock to share
/// it between CPUs, and let each CPU keep a few frames in a [`Magazine`](super::Magazine).
///
/// ```
/// use kernel::frames::{FrameAllocator, FrameError, FrameMemory, Order, OwnedFrame, PageWords};
/// use shared_abi::addr::PhysRange;
/// use shared_abi::memory::RegionKind;
///
/// /// 64 frames from 1 GiB on; in a kernel it is a [`DirectMap`](kernel::frames::DirectMap).
/// struct Ram(Vec<PageWords>);
///
/// impl FrameMemory for Ram {
///     fn page(&mut self, frame: OwnedFrame) -> &mut PageWords {
///         &mut self.0[(frame.number() - 0x4_0000) as usize]
///     }
/// }
///
/// let range = PhysRange::from_bounds(0x4000_0000, 0x4004_0000).unwrap();
/// let map = [(range, RegionKind::USABLE)];
/// let mut frames = FrameAllocator::new(map.into_iter(), Ram(vec![[0; 512]; 64]))?;
/// let free = frames.free_frames();
/// let one = frames.allocate_frame()?;
/// let four = frames.allocate_zeroed(Order::new(2).unwrap())?;
/// assert_eq!(frames.free_frames(), free - 5);
/// frames.free(four, Order::new(2).unwrap())?;
/// frames.free_frame(one)?;
/// assert!(matches!(frames.free_frame(one), Err(FrameError::AlreadyFree { .. })));
/// # Ok::<(), FrameError>(())
/// ```
pub struct FrameAllocator<M> {
    /// Where single frames and small blocks come from.
    pub(super) active: CachedChunk,
    /// Where single frames go when many come back.
    pub(super) returning: CachedChunk,
    /// The chunk, not cached, that the last single frame went back to, and how many in a row did.
    pub(super) streak: (u64, u64),
    /// The zone that chunks are taken from; filed nowhere while it is here.
    pub(super) current: ZonePage,
    /// The zone that was last looked up.
    pub(super) last_zone: ZonePage,
    /// Free frames outside the cached chunks.
    pub(super) uncached: u64,
    pub(super) memory: M,
    pub(super) zone_lists: ZoneLists,
    pub(super) ledger: Ledger,
    pub(super) total: u64,
    pub(super) reserved: u64,
    /// Bit `k`: kind `k` was reclaimed.
    pub(super) reclaimed: u64,
}

impl<M> core::fmt::Debug for FrameAllocator<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let free = self.uncached + self.active.free + self.returning.free;
        write!(f, "{free:#x} of {:#x} frames free, {:#x} reserved", self.total, self.reserved)
    }
}

impl<M: FrameMemory> FrameAllocator<M> {
    /// An allocator for the RAM that `map` lists, in ascending order, with what is free at entry free and all else
    /// reserved. The cost depends on the number of regions alone; only the tables of the map itself are written.
    ///
    /// # Errors
    /// `BadRegion` if the map is misaligned, unsorted or overlapping; `NoRoom` if no free region can hold the
    /// metadata.
    pub fn new(
        map: impl Iterator<Item = (PhysRange, RegionKind)> + Clone,
        mut memory: M,
    ) -> Result<Self, FrameError> {
        let (ledger, totals) = Ledger::new(map, &mut memory)?;
        Ok(Self {
            active: EMPTY,
            returning: EMPTY,
            streak: (NONE, 0),
            current: NO_ZONE,
            last_zone: NO_ZONE,
            uncached: totals.free,
            memory,
            zone_lists: ZoneLists::default(),
            ledger,
            total: totals.total,
            reserved: totals.total - totals.free,
            reclaimed: 0,
        })
    }

    /// How memory is reached.
    #[inline(always)]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// The same, to change what a frame holds.
    #[inline(always)]
    pub(crate) fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> u64 {
        self.uncached + self.active.free + self.returning.free
    }

    /// Takes one frame. Its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if none is free.
    #[inline]
    pub fn allocate_frame(&mut self) -> Result<Frame, FrameError> {
        if self.active.free != 0 {
            let field = field_at(&mut self.memory, self.active.line);
            let word = self.active.word as usize % UNITS / 64;
            let free = field.free_in(word);
            if free != 0 {
                let bit = free.trailing_zeros();
                field.take_single(word, bit);
                self.active.free -= 1;
                return Ok(frame(self.active.word + u64::from(bit)));
            }
        }
        self.allocate_small(0)
    }

    /// Frees one frame that was allocated as such.
    ///
    /// # Errors
    /// As for [`FrameAllocator::free`].
    #[inline]
    pub fn free_frame(&mut self, frame: Frame) -> Result<(), FrameError> {
        let number = frame.number();
        let chunk = number >> CHUNK_SHIFT;
        let cached = if chunk == self.active.chunk {
            &mut self.active
        } else if chunk == self.returning.chunk {
            &mut self.returning
        } else {
            return self.free_frame_uncached(frame);
        };
        if field_at(&mut self.memory, cached.line).free_single(number as usize % UNITS).is_none() {
            return Err(self.refusal(frame, 1));
        }
        cached.free += 1;
        cached.word = number & !63;
        Ok(())
    }

    /// Takes a block of `order`; it begins at a multiple of its length. Its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if no aligned block of that order is free.
    pub fn allocate(&mut self, order: Order) -> Result<Frame, FrameError> {
        match order.get() {
            0 => self.allocate_frame(),
            small if u32::from(small) < CHUNK_SHIFT => self.allocate_small(small),
            _ => self.allocate_chunks(order),
        }
    }

    /// Takes a block of `order` and fills it with zeros.
    ///
    /// # Errors
    /// `OutOfFrames` if no aligned block of that order is free.
    pub fn allocate_zeroed(&mut self, order: Order) -> Result<Frame, FrameError> {
        let first = self.allocate(order)?;
        self.memory.clear(OwnedFrame::new(first.number()), order.frames());
        Ok(first)
    }

    /// Frees the block of `order` that begins at `first`. A range of the same place and length may be freed so too.
    ///
    /// # Errors
    /// `Misaligned`, `Foreign`, `Reserved`, `AlreadyFree` or `WrongBlock`, with the frame given and the one that it
    /// conflicts with. Nothing is changed then.
    pub fn free(&mut self, first: Frame, order: Order) -> Result<(), FrameError> {
        if order == Order::FRAME {
            return self.free_frame(first);
        }
        let number = first.number();
        let inside = number & (order.frames() - 1);
        if inside != 0 {
            return Err(FrameError::Misaligned { frame: first, order, first: frame(number - inside) });
        }
        if u32::from(order.get()) < CHUNK_SHIFT {
            self.free_small(first, order.get())
        } else {
            self.free_chunks(first, order)
        }
    }

    /// Fills `frames` with single frames as far as there are any and says how many: what a per-CPU cache takes
    /// under one lock.
    pub fn allocate_batch(&mut self, frames: &mut [Frame]) -> usize {
        for (taken, slot) in frames.iter_mut().enumerate() {
            match self.allocate_frame() {
                Ok(frame) => *slot = frame,
                Err(_) => return taken,
            }
        }
        frames.len()
    }

    /// Frees single frames under one lock.
    ///
    /// # Errors
    /// That of the first frame that is refused, with its index; the ones before it are free then, the others as
    /// they were.
    pub fn free_batch(&mut self, frames: &[Frame]) -> Result<(), (usize, FrameError)> {
        for (index, frame) in frames.iter().enumerate() {
            self.free_frame(*frame).map_err(|error| (index, error))?;
        }
        Ok(())
    }
}
