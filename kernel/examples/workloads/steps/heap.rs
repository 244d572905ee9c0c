//! Random use of a heap, checked against what must hold: the same steps on a host and on a machine.
//!
//! A workload keeps a fixed number of slots, each empty or with a live block, and allocates, resizes and frees
//! at random. Every block is painted with bytes that tell it from all others; paint, alignment, place and length
//! are checked at every step. It needs no memory but its own value, so a kernel can run it on its first heap.
#![expect(unsafe_code, reason = "it paints the blocks that it is given")]

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use super::Random;
use kernel::heap::{Blocks, HeapError};

/// Bytes of a block that are painted one by one; of larger blocks, the first and last of them, and one a page.
const PAINTED: usize = 512;

/// What went wrong. Every one of these is a defect of the heap, or of whoever wrote into its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A block is not aligned as asked.
    Misaligned {
        /// The block.
        address: usize,
        /// The alignment asked for.
        align: usize,
    },
    /// Two live blocks share a byte.
    Overlap {
        /// The new block.
        address: usize,
        /// The one before.
        other: usize,
    },
    /// A byte is not what was written to it.
    Changed {
        /// The block.
        address: usize,
        /// The byte, counted from its start.
        offset: usize,
    },
    /// A block was not taken back.
    Refused(HeapError),
    /// A block could not be made smaller.
    NotShrunk(HeapError),
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blocks allocated.
    pub allocated: u64,
    /// Blocks resized where they were.
    pub stayed: u64,
    /// Blocks resized by moving.
    pub moved: u64,
    /// Requests that found the heap exhausted.
    pub exhausted: u64,
    /// The most bytes that were live.
    pub peak: usize,
}

#[derive(Clone, Copy)]
struct Live {
    block: NonNull<u8>,
    layout: Layout,
    seed: u8,
}

/// The state of a run: `SLOTS` blocks at most.
pub struct Workload<const SLOTS: usize> {
    slots: [Option<Live>; SLOTS],
    random: Random,
    bytes: usize,
    summary: Summary,
}

// SAFETY: the blocks are this value's alone; moving it moves the right to use them.
unsafe impl<const SLOTS: usize> Send for Workload<SLOTS> {}

impl<const SLOTS: usize> Workload<SLOTS> {
    /// A workload without blocks. The same seed makes the same steps.
    pub const fn new(seed: u64) -> Self {
        Self {
            slots: [None; SLOTS],
            random: Random::new(seed),
            bytes: 0,
            summary: Summary { allocated: 0, stayed: 0, moved: 0, exhausted: 0, peak: 0 },
        }
    }

    /// What has been done.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Bytes live.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn random(&mut self, below: usize) -> usize {
        self.random.below(below as u64) as usize
    }

    /// 1 byte to 256 KiB, every doubling as likely as the others.
    fn size(&mut self) -> usize {
        let low = 1 << self.random(18);
        low + self.random(low)
    }

    /// Mostly small, sometimes up to 64 KiB.
    fn align(&mut self) -> usize {
        let shift = if self.random(8) == 0 { self.random(17) } else { self.random(5) };
        1 << shift
    }

    /// Does `steps` steps on `heap`.
    ///
    /// # Errors
    ///
    /// The first thing that is [`Wrong`]; exhaustion is not.
    pub fn run(&mut self, heap: &mut impl Blocks, steps: u64) -> Result<(), Wrong> {
        for _ in 0..steps {
            let slot = self.random(SLOTS);
            match self.slots.get(slot).copied().flatten() {
                None => {
                    let (size, align) = (self.size(), self.align());
                    let Ok(layout) = Layout::from_size_align(size, align) else { continue };
                    self.allocate(heap, slot, layout)?;
                }
                Some(live) if self.random(3) == 0 => {
                    let size = self.size();
                    self.resize(heap, slot, live, size)?;
                }
                Some(live) => self.free(heap, slot, live)?,
            }
        }
        Ok(())
    }

    /// Frees all blocks.
    ///
    /// # Errors
    ///
    /// The first thing that is [`Wrong`].
    pub fn finish(&mut self, heap: &mut impl Blocks) -> Result<(), Wrong> {
        for slot in 0..SLOTS {
            if let Some(live) = self.slots.get(slot).copied().flatten() {
                self.free(heap, slot, live)?;
            }
        }
        Ok(())
    }

    fn allocate(&mut self, heap: &mut impl Blocks, slot: usize, layout: Layout) -> Result<(), Wrong> {
        match heap.allocate(layout) {
            Ok(block) => {
                self.summary.allocated += 1;
                self.keep(slot, block, layout)
            }
            Err(_) => {
                self.summary.exhausted += 1;
                Ok(())
            }
        }
    }

    fn free(&mut self, heap: &mut impl Blocks, slot: usize, live: Live) -> Result<(), Wrong> {
        live.check(live.block, live.layout.size())?;
        self.forget(slot, live);
        // SAFETY: the block is of this heap and of this layout, and nobody uses it any more.
        unsafe { heap.free(live.block, live.layout) }.map_err(Wrong::Refused)
    }

    fn resize(&mut self, heap: &mut impl Blocks, slot: usize, live: Live, size: usize) -> Result<(), Wrong> {
        live.check(live.block, live.layout.size())?;
        // SAFETY: the block is of this heap and of this layout.
        match unsafe { heap.resize(live.block, live.layout, size) } {
            Ok(block) => {
                self.forget(slot, live);
                live.check(block, size)?;
                let moved = block != live.block;
                *(if moved { &mut self.summary.moved } else { &mut self.summary.stayed }) += 1;
                let layout = Layout::from_size_align(size, live.layout.align()).unwrap_or(live.layout);
                self.keep(slot, block, layout)
            }
            Err(error) if size <= live.layout.size() => Err(Wrong::NotShrunk(error)),
            Err(_) => {
                self.summary.exhausted += 1;
                live.check(live.block, live.layout.size())
            }
        }
    }

    /// Checks where a new block lies, paints it and keeps it.
    fn keep(&mut self, slot: usize, block: NonNull<u8>, layout: Layout) -> Result<(), Wrong> {
        let address = block.addr().get();
        if !address.is_multiple_of(layout.align()) {
            return Err(Wrong::Misaligned { address, align: layout.align() });
        }
        for other in self.slots.iter().flatten() {
            let start = other.block.addr().get();
            if address < start + other.layout.size() && start < address + layout.size() {
                return Err(Wrong::Overlap { address, other: start });
            }
        }
        let live = Live { block, layout, seed: self.random(256) as u8 };
        live.paint();
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(live);
        }
        self.bytes += layout.size();
        self.summary.peak = self.summary.peak.max(self.bytes);
        Ok(())
    }

    fn forget(&mut self, slot: usize, live: Live) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
        self.bytes -= live.layout.size();
    }
}

impl Live {
    /// The bytes that are painted.
    fn offsets(self) -> impl Iterator<Item = usize> {
        let size = self.layout.size();
        let ends = (0..size.min(PAINTED)).chain(size.saturating_sub(PAINTED).max(PAINTED)..size);
        ends.chain((PAINTED..size).step_by(4096))
    }

    fn byte(self, offset: usize) -> u8 {
        self.seed ^ (offset ^ offset >> 8 ^ offset >> 16) as u8
    }

    fn paint(self) {
        for offset in self.offsets() {
            // SAFETY: inside of a live block that is this workload's.
            unsafe { self.block.add(offset).write(self.byte(offset)) };
        }
    }

    /// Whether the first `kept` bytes, now at `block`, are as painted.
    fn check(self, block: NonNull<u8>, kept: usize) -> Result<(), Wrong> {
        for offset in self.offsets().filter(|&offset| offset < kept) {
            // SAFETY: inside of a live block of at least `kept` bytes that is this workload's.
            if unsafe { block.add(offset).read() } != self.byte(offset) {
                return Err(Wrong::Changed { address: block.addr().get(), offset });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { address, align } => {
                write!(f, "block {address:#x} is not aligned to {align:#x}")
            }
            Self::Overlap { address, other } => write!(f, "block {address:#x} overlaps block {other:#x}"),
            Self::Changed { address, offset } => {
                write!(f, "byte {offset:#x} of block {address:#x} has changed")
            }
            Self::Refused(error) => write!(f, "a block was not taken back: {error}"),
            Self::NotShrunk(error) => write!(f, "a block could not be made smaller: {error}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocated, stayed, moved, exhausted, peak } = self;
        write!(
            f,
            "{allocated} blocks, {stayed} resized in place, {moved} by moving, {exhausted} requests refused, at \
             most {peak:#x} bytes live"
        )
    }
}
