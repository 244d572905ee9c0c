//! The checking mode: a heap that finds what its users do wrong.
//!
//! Every block gets a header and red zones, is filled with poison when handed out and when freed, and rests in a
//! quarantine before it is used again:
//!
//! ```text
//! inner block │ (link) …  │ header │ red zone │ the user's bytes │ red zone … to the inner block's end │
//!             0                     −24        front               front + size
//! ```
//!
//! Found when a block is given back: a foreign pointer, a second free (until the block is handed out again), a
//! wrong size, bytes written before or after the block. Found when it leaves the quarantine or at
//! [`CheckedHeap::verify`]: writes after the free. An address is looked up in the heap's own tables before
//! anything is read through it.
#![expect(unsafe_code, reason = "it looks at bytes around blocks, after the tables have proved them mapped")]

use core::alloc::Layout;
use core::ptr::NonNull;

use super::pages::HeapPages;
use super::{Blocks, Heap, HeapError};

/// Fills what was handed out and not yet written.
pub const FRESH: u8 = 0xA5;

/// Fills what was freed.
pub const FREED: u8 = 0xDD;

/// Fills the red zones.
pub const RED: u8 = 0xFB;

const LIVE_TAG: u64 = 0x4C49_5645_424C_4F43;
const FREED_TAG: u64 = 0x4652_4545_424C_4F43;

/// Red bytes between the header and the user's bytes, and at least as many after those.
const RED_BYTES: usize = 24;

/// Blocks that rest before they are used again, and bytes in them.
const RESTING: usize = 64;
const RESTING_BYTES: usize = 1 << 20;

/// In front of the red zone. The tag is mixed with the address, so that a copy at another address is none.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    tag: u64,
    size: usize,
    front: usize,
}

/// A user's block, found to be one.
#[derive(Clone, Copy)]
struct Found {
    address: usize,
    header: Header,
    /// The inner block's end.
    end: usize,
}

/// A [`Heap`] with checks. Costs 88 bytes and more a block, and touches every byte several times.
pub struct CheckedHeap<P> {
    heap: Heap<P>,
    resting: [(usize, usize); RESTING],
    oldest: usize,
    count: usize,
    bytes: usize,
}

impl<P: HeapPages> CheckedHeap<P> {
    /// A heap without memory.
    pub const fn new() -> Self {
        Self { heap: Heap::new(), resting: [(0, 0); RESTING], oldest: 0, count: 0, bytes: 0 }
    }

    /// As [`Heap::start`].
    pub fn start(&mut self, pages: P) -> Result<(), HeapError> {
        self.heap.start(pages)
    }

    /// The heap underneath, to look at.
    pub const fn heap(&self) -> &Heap<P> {
        &self.heap
    }

    /// Looks at every resting block for writes after its free.
    pub fn verify(&self) -> Result<(), HeapError> {
        (0..self.count).try_for_each(|at| {
            let (address, size) = self.resting[(self.oldest + at) % RESTING];
            match self.find(address, FREED_TAG) {
                Some(found) => Self::untouched(found),
                // The header itself was overwritten.
                None => Err(HeapError::WriteAfterFree { address, size, damaged: address - RED_BYTES }),
            }
        })
    }

    /// Ends the rest of all blocks and gives back what no block is in; the first damage found, if any.
    pub fn trim(&mut self) -> Result<usize, HeapError> {
        let verdict = self.flush();
        let bytes = self.heap.trim();
        verdict.map(|()| bytes)
    }

    /// Bytes in front of the user's in an inner block, a multiple of the alignment.
    fn front(align: usize) -> usize {
        align.max(64)
    }

    fn inner_layout(&self, layout: Layout) -> Result<Layout, HeapError> {
        Self::front(layout.align())
            .checked_add(RED_BYTES)
            .and_then(|extra| layout.size().checked_add(extra))
            .and_then(|size| Layout::from_size_align(size, layout.align()).ok())
            .ok_or(HeapError::TooLarge {
                size: layout.size(),
                align: layout.align(),
                window: self.heap.window().map_or(0, |window| window.len() as usize),
            })
    }

    /// The block at `address`, if one with this tag is there.
    fn find(&self, address: usize, tag: u64) -> Option<Found> {
        let at = address.checked_sub(RED_BYTES + size_of::<Header>())?;
        if !address.is_multiple_of(16) || !self.heap.holds(at, RED_BYTES + size_of::<Header>()) {
            return None;
        }
        let source: *const Header = core::ptr::with_exposed_provenance(at);
        // SAFETY: `holds` proved the bytes mapped; any bytes are a header; 16 divides the address and 8 the rest.
        let header = unsafe { source.read() };
        if header.tag != tag ^ address as u64 {
            return None;
        }
        let (start, length) = self.heap.locate(address.checked_sub(header.front)?)?;
        let (used, end) = (header.front.checked_add(header.size)?, start + length);
        if start + header.front != address || used.checked_add(RED_BYTES)? > length {
            return None;
        }
        Some(Found { address, header, end })
    }

    fn write_header(address: usize, header: Header) {
        let at = address - RED_BYTES - size_of::<Header>();
        let target: *mut Header = core::ptr::with_exposed_provenance_mut(at);
        // SAFETY: called for addresses of blocks only, which have at least 64 bytes in front.
        unsafe { target.write(Header { tag: header.tag ^ address as u64, ..header }) };
    }

    fn fill(from: usize, to: usize, byte: u8) {
        let start: *mut u8 = core::ptr::with_exposed_provenance_mut(from);
        // SAFETY: called for parts of inner blocks that are this module's to write.
        unsafe { start.write_bytes(byte, to - from) };
    }

    /// The first byte of a part of an inner block that is not `byte`.
    fn first_other(from: usize, to: usize, byte: u8) -> Option<usize> {
        let start: *const u8 = core::ptr::with_exposed_provenance(from);
        // SAFETY: called for parts of inner blocks, mapped and written; nobody writes to them meanwhile.
        let bytes = unsafe { core::slice::from_raw_parts(start, to - from) };
        bytes.iter().position(|&found| found != byte).map(|at| from + at)
    }

    /// Makes an inner block a user's: header, red zones, and poison from byte `kept` on.
    fn dress(&self, address: usize, size: usize, front: usize, kept: usize) {
        let end = self.heap.locate(address - front).map_or(address + size, |(start, length)| start + length);
        Self::write_header(address, Header { tag: LIVE_TAG, size, front });
        Self::fill(address - RED_BYTES, address, RED);
        Self::fill(address + kept.min(size), address + size, FRESH);
        Self::fill(address + size, end, RED);
    }

    /// The live block at `address`, whole, of this layout.
    fn judge(&self, address: usize, layout: Layout) -> Result<Found, HeapError> {
        let Some(found) = self.find(address, LIVE_TAG) else {
            return Err(match self.find(address, FREED_TAG) {
                Some(Found { header: Header { size, .. }, .. }) => HeapError::DoubleFree { address, size },
                None => HeapError::NotABlock { address },
            });
        };
        let Header { size, front, .. } = found.header;
        if !self.heap.is_live(address - front) {
            return Err(HeapError::NotABlock { address });
        }
        let before = Self::first_other(address - RED_BYTES, address, RED);
        if let Some(damaged) = before.or_else(|| Self::first_other(address + size, found.end, RED)) {
            return Err(HeapError::RedZone { address, size, damaged });
        }
        if size != layout.size() {
            return Err(HeapError::WrongSize { address, allocated: size, given: layout.size() });
        }
        Ok(found)
    }

    fn untouched(found: Found) -> Result<(), HeapError> {
        let Found { address, header: Header { size, .. }, end } = found;
        match Self::first_other(address, address + size, FREED)
            .or_else(|| Self::first_other(address - RED_BYTES, address, RED))
            .or_else(|| Self::first_other(address + size, end, RED))
        {
            Some(damaged) => Err(HeapError::WriteAfterFree { address, size, damaged }),
            None => Ok(()),
        }
    }

    /// Gives the block that has rested longest to the heap. One whose header was overwritten stays away for ever.
    fn release(&mut self) -> Result<(), HeapError> {
        let (address, size) = self.resting[self.oldest];
        self.oldest = (self.oldest + 1) % RESTING;
        self.count -= 1;
        self.bytes -= size;
        let Some(found) = self.find(address, FREED_TAG) else {
            return Err(HeapError::WriteAfterFree { address, size, damaged: address - RED_BYTES });
        };
        let front = found.header.front;
        let verdict = Self::untouched(found);
        if let Some(block) = super::raw::block_at(address - front)
            && let Ok(layout) = Layout::from_size_align(found.end - (address - front), 1)
        {
            // SAFETY: found to be an inner block of that length; it left its user when it began to rest.
            unsafe { self.heap.free(block, layout)? };
        }
        verdict
    }

    fn flush(&mut self) -> Result<(), HeapError> {
        let mut verdict = Ok(());
        while self.count > 0 {
            verdict = verdict.and(self.release());
        }
        verdict
    }
}

impl<P: HeapPages> Default for CheckedHeap<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: HeapPages> Blocks for CheckedHeap<P> {
    fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
        let inner = self.inner_layout(layout)?;
        let block = match self.heap.allocate(inner) {
            Err(HeapError::Exhausted { .. }) if self.count > 0 => {
                self.flush()?;
                self.heap.allocate(inner)?
            }
            other => other?,
        };
        let front = Self::front(layout.align());
        let address = block.addr().get() + front;
        self.dress(address, layout.size(), front, 0);
        super::raw::block_at(address).ok_or(HeapError::NotABlock { address })
    }

    /// As the trait says; and `WriteAfterFree` tells of another block, freed earlier: this one was taken back.
    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
        let address = block.addr().get();
        let found = self.judge(address, layout)?;
        let size = found.header.size;
        Self::fill(address, address + size, FREED);
        Self::write_header(address, Header { tag: FREED_TAG, ..found.header });
        let mut verdict = Ok(());
        while self.count == RESTING || (self.count > 0 && self.bytes + size > RESTING_BYTES) {
            verdict = verdict.and(self.release());
        }
        self.resting[(self.oldest + self.count) % RESTING] = (address, size);
        self.count += 1;
        self.bytes += size;
        verdict
    }

    /// Moves always, so that a kept old address is found out.
    unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Result<NonNull<u8>, HeapError> {
        let address = block.addr().get();
        let found = self.judge(address, layout)?;
        let wanted = Layout::from_size_align(size, layout.align()).map_err(|_| HeapError::TooLarge {
            size,
            align: layout.align(),
            window: self.heap.window().map_or(0, |window| window.len() as usize),
        })?;
        match self.allocate(wanted) {
            Ok(moved) => {
                // SAFETY: two blocks handed out that both hold the smaller size; the caller gives up the old one.
                unsafe {
                    super::raw::copy(block, moved, layout.size().min(size));
                    self.free(block, layout)?;
                }
                Ok(moved)
            }
            Err(HeapError::Exhausted { .. }) if size <= layout.size() => {
                // Shrinking never fails: the inner block keeps its length, the red zone grows.
                self.dress(address, size, found.header.front, size);
                Ok(block)
            }
            Err(refusal) => Err(refusal),
        }
    }
}
