//! A user space: tables for TTBR0, the memory that they map, and a tag in the TLB.

use super::tables::{TableMemory, Tables};
use super::tree::Tree;
use super::{Asids, Block, Context, Flush, Resources, SpaceError, Tlb, Ttbr0, User};
use crate::frames::{FrameAllocator, Order, OwnedFrame};
use shared_abi::addr::{Frame, PAGE, PageSize, VirtAddr, VirtRange};
use shared_abi::page_table::{PageTable, TableStore, Translation};
use shared_abi::rights::Rights;
use zerocopy::IntoBytes;

/// Where users can have memory: the low half but for the page at 0.
const WINDOW: VirtRange = match VirtRange::from_bounds(PAGE, 1 << 48) {
    Some(range) => range,
    None => panic!("the low half is a range"),
};

/// A user space. It owns the memory that it maps and the tables that map it; [`UserSpace::destroy`] gives all of
/// it back.
#[must_use = "a space that is not destroyed keeps its memory for ever"]
#[derive(Debug)]
pub struct UserSpace {
    tree: Tree<User>,
    pub(super) context: Context,
}

/// The error for a range that users cannot have.
fn check(range: VirtRange) -> Result<(), SpaceError> {
    if range.is_empty() || range.start().is_high() {
        Err(SpaceError::Outside { range, window: WINDOW })
    } else if !WINDOW.covers(range) {
        Err(SpaceError::NullPage { range })
    } else {
        Ok(())
    }
}

impl<const CPUS: usize> Asids<CPUS> {
    /// The space that `cpu` runs in from now on, as the value to write to TTBR0_EL1 (then `isb`; EPD0 must be 0).
    /// The caller writes it before it lets anyone use `self` again: the CPU counts as gone from its former space.
    ///
    /// # Errors
    /// `NoSuchCpu`, or `NoAsid` if CPUs run with all 255 of them.
    pub fn activate<T: Tlb>(
        &mut self,
        cpu: usize,
        space: &mut UserSpace,
        tlb: &mut T,
    ) -> Result<Ttbr0, SpaceError> {
        let root = space.root();
        self.run(cpu, &mut space.context, root, tlb)
    }
}

impl UserSpace {
    /// An empty space.
    ///
    /// # Errors
    /// `Frames` if there is no frame for its first table.
    pub fn new<M: TableMemory>(frames: &mut FrameAllocator<M>) -> Result<Self, SpaceError> {
        let root = frames.allocate_zeroed(Order::FRAME)?;
        Ok(Self { tree: Tree::new(PageTable::ttbr0(root)), context: Context::NONE })
    }

    /// The frame of the level 0 table.
    pub const fn root(&self) -> Frame {
        self.tree.table.root()
    }

    /// Puts new, zeroed memory behind all of `range`, in pages and blocks of at most `largest`, as large as
    /// alignment and free memory allow.
    ///
    /// # Errors
    /// Overlap with what is mapped, a range that users cannot have, or no memory; nothing has been changed then.
    pub fn populate<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        rights: Rights,
        largest: PageSize,
    ) -> Result<(), SpaceError> {
        check(range)?;
        self.tree.populate(with, Some(self.context), range, rights, largest)
    }

    /// Maps a block at `at`, a multiple of its size. The space owns it from now on.
    ///
    /// # Errors
    /// As for [`UserSpace::populate`]; the block is given back.
    pub fn map<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        block: Block<User>,
        rights: Rights,
    ) -> Result<(), (Block<User>, SpaceError)> {
        let size = block.size().bytes();
        let Some(range) = VirtRange::new(at, size) else {
            return Err((block, SpaceError::Misaligned { at, size }));
        };
        if let Err(error) = check(range) {
            return Err((block, error));
        }
        self.tree.map(with, at, block, rights)?;
        with.tlb.publish();
        Ok(())
    }

    /// Takes away what is mapped in `range`, holes included, and frees it: one TLB invalidation for all of it.
    ///
    /// # Errors
    /// A range that users cannot have, or one that begins or ends inside a block (split it first).
    pub fn clear<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        check(range)?;
        self.tree.clear(with, Some(self.context), range)
    }

    /// Changes the rights of all of `range`, which must be mapped. Memory that becomes executable is synchronised
    /// with the instruction caches.
    ///
    /// # Errors
    /// A hole, or a block that the range covers in part; nothing has been changed then.
    pub fn protect<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        rights: Rights,
    ) -> Result<(), SpaceError> {
        check(range)?;
        self.tree.protect(with, Some(self.context), range, rights)
    }

    /// Replaces the block that maps `at` by leaves of at most `size`, by break-before-make, so that parts of it can
    /// be protected or cleared. Contents and rights stay; a CPU that touches the block meanwhile takes a fault,
    /// after which it can simply try again.
    ///
    /// # Errors
    /// Nothing mapped at `at`, or no memory for tables; nothing has been changed then.
    pub fn split<M: TableMemory, T: Tlb, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        size: PageSize,
    ) -> Result<(), SpaceError> {
        let (mut first, mut was) = self.tree.leaf(with, at)?;
        self.tree.split(with, Some(self.context), at, size)?;
        // Each leaf owns a block of its own size from now on.
        let inside = (at.get() & (was.bytes() - 1)) / PAGE;
        for smaller in [PageSize::Size2M, PageSize::Size4K] {
            if smaller < was && smaller >= size {
                with.frames.divide(first, Order::of(was), Order::of(smaller))?;
                let piece = Order::of(smaller).frames();
                let offset = (inside & (Order::of(was).frames() - 1)) / piece * piece;
                (first, was) = (first.checked_add(offset).unwrap_or(first), smaller);
            }
        }
        Ok(())
    }

    /// What `at` translates to.
    ///
    /// # Errors
    /// Nothing mapped there, or an address of the high half.
    pub fn translate<M: TableMemory, T, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
    ) -> Result<Translation, SpaceError> {
        self.tree.translate(with, at)
    }

    /// Shows all mappings, neighbours that are alike as one, in order of address.
    pub fn for_each<M: TableMemory>(
        &self,
        frames: &mut FrameAllocator<M>,
        visit: impl FnMut(shared_abi::page_table::Run),
    ) {
        self.tree.table.leaves(&Tables(frames)).for_each(visit);
    }

    /// Writes `bytes` to the space's memory at `at`, whatever the rights there: how a program gets in.
    ///
    /// # Errors
    /// `Active` while a CPU runs in the space, and the error of the first address that is not mapped; the pages
    /// before it are written then.
    pub fn write<M: TableMemory, T, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        bytes: &[u8],
    ) -> Result<(), SpaceError> {
        self.copy(with, at, bytes.len(), |page, range| page.copy_from_slice(&bytes[range]))
    }

    /// Reads the space's memory at `at` into `bytes`.
    ///
    /// # Errors
    /// As for [`UserSpace::write`].
    pub fn read<M: TableMemory, T, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        bytes: &mut [u8],
    ) -> Result<(), SpaceError> {
        self.copy(with, at, bytes.len(), |page, range| bytes[range].copy_from_slice(page))
    }

    /// Shows `length` bytes from `at` on, page by page, with their place among them.
    fn copy<M: TableMemory, T, const CPUS: usize>(
        &mut self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        length: usize,
        mut part: impl FnMut(&mut [u8], core::ops::Range<usize>),
    ) -> Result<(), SpaceError> {
        if let Some(cpu) = with.asids.user_of(self.context) {
            return Err(SpaceError::Active { cpu });
        }
        let mut done = 0;
        while done < length {
            let here =
                at.checked_add(done as u64).ok_or(SpaceError::Misaligned { at, size: length as u64 })?;
            let phys = self.tree.translate(with, here)?.phys;
            let offset = (phys.get() % PAGE) as usize;
            let count = (PAGE as usize - offset).min(length - done);
            // The space owns the frame, no CPU runs in the space, and `self` is borrowed: nobody else looks at it.
            let page = with.frames.memory_mut().page(OwnedFrame::new(phys.frame().number()));
            if let Some(page) = page.as_mut_bytes().get_mut(offset..offset + count) {
                part(page, done..done + count);
            }
            done += count;
        }
        Ok(())
    }

    /// Gives back all memory, all tables and the ASID.
    ///
    /// # Errors
    /// `Active` while a CPU runs in the space; the space is given back then. Another error means that the space or
    /// the allocator is damaged; what could be freed is.
    pub fn destroy<M: TableMemory, T: Tlb, const CPUS: usize>(
        self,
        with: &mut Resources<'_, M, T, CPUS>,
    ) -> Result<(), (Option<Self>, SpaceError)> {
        if let Some(cpu) = with.asids.user_of(self.context) {
            return Err((Some(self), SpaceError::Active { cpu }));
        }
        if with.asids.is_current(self.context) {
            with.tlb.invalidate(&Flush::asid(self.context));
            with.asids.release(self.context);
        }
        let whole = VirtRange::from_bounds(0, WINDOW.end()).unwrap_or(WINDOW);
        let freed = self.tree.destroy(with, whole);
        Tables(with.frames).free(self.root());
        freed.map_err(|error| (None, error))
    }
}
