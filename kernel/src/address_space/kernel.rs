//! The kernel's space: the tree that the loader left in TTBR1, with a window in it that is the kernel's to fill.
//!
//! Inside of the window, memory is *owned*: it came from the allocator and goes back there. Outside, it is
//! *borrowed*: device registers, a second view of something, the loader's mappings. Which of the two a mapping is
//! follows from its address alone, so nothing borrowed is ever freed.

use super::tables::{TableMemory, Tables};
use super::tree::Tree;
use super::{Flush, Kernel, KernelRoot, Resources, SpaceError, Tlb};
use crate::frames::FrameAllocator;
use shared_abi::addr::{Frame, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::page_table::{PageTable, Run, Translation};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

/// How many ranges can be pinned.
pub const MAX_PINNED: usize = 8;

/// The kernel's address space.
#[derive(Debug)]
pub struct KernelSpace {
    tree: Tree<Kernel>,
    window: VirtRange,
    /// What the kernel runs on: never unmapped, never split.
    pinned: [Option<VirtRange>; MAX_PINNED],
}

impl KernelSpace {
    /// Takes the live tables over. `window` is where the kernel maps memory of its own: its heap, its stacks.
    pub const fn new(root: KernelRoot, window: VirtRange) -> Self {
        Self { tree: Tree::new(PageTable::ttbr1(root.frame())), window, pinned: [None; MAX_PINNED] }
    }

    /// From now on nothing that touches `range` can be unmapped or split: direct map, text, the stack in use.
    ///
    /// # Errors
    /// `TooManyPinned`.
    pub fn pin(&mut self, range: VirtRange) -> Result<(), SpaceError> {
        let free = self.pinned.iter_mut().find(|pinned| pinned.is_none());
        *free.ok_or(SpaceError::TooManyPinned { range })? = Some(range);
        Ok(())
    }

    /// Takes back a `pin` of exactly this range: the kernel has left it. Whether there was one.
    pub fn unpin(&mut self, range: VirtRange) -> bool {
        let found = self.pinned.iter_mut().find(|pinned| **pinned == Some(range));
        found.map(Option::take).is_some()
    }

    fn check_pinned(&self, range: VirtRange) -> Result<(), SpaceError> {
        match self.pinned.iter().flatten().find(|pinned| pinned.overlaps(range)) {
            Some(pinned) => Err(SpaceError::Pinned { range, pinned: *pinned }),
            None => Ok(()),
        }
    }

    fn check_owned(&self, range: VirtRange) -> Result<(), SpaceError> {
        if range.is_empty() || !self.window.covers(range) {
            return Err(SpaceError::Outside { range, window: self.window });
        }
        Ok(())
    }

    fn check_borrowed(&self, range: VirtRange) -> Result<(), SpaceError> {
        if range.is_empty() || self.window.overlaps(range) {
            return Err(SpaceError::Outside { range, window: self.window });
        }
        Ok(())
    }

    /// Puts new, zeroed memory behind `range` of the window, in pages and blocks of at most `largest`.
    ///
    /// # Errors
    /// A range outside of the window, overlap, or no memory; nothing has been changed then.
    pub fn populate<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        rights: Rights,
        largest: PageSize,
    ) -> Result<(), SpaceError> {
        self.check_owned(range)?;
        self.tree.populate(with, None, range, rights, largest)
    }

    /// Takes away what [`KernelSpace::populate`] put into `range` and frees it; holes are no error.
    ///
    /// # Errors
    /// A range outside of the window, pinned, or that begins or ends inside a block.
    pub fn clear<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        self.check_owned(range)?;
        self.check_pinned(range)?;
        self.tree.clear(with, None, range)
    }

    /// Maps physical memory that stays whose it is, outside of the window: a device's registers, for one.
    ///
    /// # Errors
    /// A range that touches the window, overlap, or no memory for tables; nothing has been changed then.
    pub fn map<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        phys: PhysAddr,
        attributes: Attributes,
        largest: PageSize,
    ) -> Result<(), SpaceError> {
        self.check_borrowed(range)?;
        self.tree.map_borrowed(with, range, phys, attributes, largest)
    }

    /// Takes a mapping outside of the window away; the memory behind it stays whose it is.
    ///
    /// # Errors
    /// A range that touches the window, pinned, or that begins or ends inside a block.
    pub fn unmap<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        self.check_borrowed(range)?;
        self.check_pinned(range)?;
        self.tree.unmap_borrowed(with, range)
    }

    /// Changes the rights of all of `range`, which must be mapped. That is allowed in pinned ranges too: nothing is
    /// unmapped for it.
    ///
    /// # Errors
    /// A hole, or a block that the range covers in part; nothing has been changed then.
    pub fn protect<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        rights: Rights,
    ) -> Result<(), SpaceError> {
        self.tree.protect(with, None, range, rights)
    }

    /// Replaces the block that maps `at`, outside of the window, by leaves of at most `size`, by break-before-make.
    /// The block is unmapped for a moment: nothing that runs meanwhile may need it.
    ///
    /// # Errors
    /// Pinned, inside of the window (where sizes are chosen by `populate`), nothing mapped, or no memory for
    /// tables; nothing has been changed then.
    pub fn split<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        size: PageSize,
    ) -> Result<(), SpaceError> {
        let (_, was) = self.tree.leaf(with, at)?;
        let start = VirtAddr::new(at.get() & !(was.bytes() - 1)).unwrap_or(at);
        let block =
            VirtRange::new(start, was.bytes()).ok_or(SpaceError::Misaligned { at, size: was.bytes() })?;
        self.check_borrowed(block)?;
        self.check_pinned(block)?;
        self.tree.split(with, None, at, size)
    }

    /// Moves to copies of all tables, so that the loader's can be taken back; what they map stays as it is.
    ///
    /// `switch` has TTBR1 point to the new root, with an `isb`. Both trees say the same of every address and are
    /// of the same sizes, so a TLB that has entries of either has no conflict, and what is left of the old ones
    /// goes with one invalidation.
    ///
    /// # Errors
    /// No memory for tables; nothing has been changed then.
    pub fn move_tables<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        switch: impl FnOnce(Frame),
    ) -> Result<(), SpaceError> {
        let new = Tables(with.frames).copy(self.tree.table)?;
        with.tlb.publish();
        switch(new.root());
        with.tlb.invalidate(&Flush::Everything);
        let old = core::mem::replace(&mut self.tree.table, new);
        Ok(Tables(with.frames).drop_tables(old)?)
    }

    /// What `at` translates to.
    ///
    /// # Errors
    /// Nothing mapped there, or an address of the low half.
    pub fn translate<M: TableMemory, T, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
    ) -> Result<Translation, SpaceError> {
        self.tree.translate(with, at)
    }

    /// Shows all mappings, neighbours that are alike as one, in order of address.
    pub fn for_each<M: TableMemory>(&self, frames: &mut FrameAllocator<M>, visit: impl FnMut(Run)) {
        self.tree.table.leaves(&Tables(frames)).for_each(visit);
    }
}
