//! A tree of tables and the memory behind it: what spaces of both kinds do with ranges.
//!
//! Leaves that are being taken away are first made invalid and nothing else: with their address still in them they
//! are the list of the blocks to free, which needs no memory and cannot overflow, and the hardware ignores it.

use super::block::{Block, Owner};
use super::tables::{TableMemory, Tables};
use super::{Context, Flush, Resources, SpaceError, Tlb};
use core::marker::PhantomData;
use core::ops::ControlFlow;
use shared_abi::addr::{Frame, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange, align_down};
use shared_abi::page_table::{ENTRIES, PageTable, Stale, Table, TableError, TableStore, Translation};
use shared_abi::rights::Rights;
use shared_abi::vmsa::{Attributes, Descriptor, MemoryType};

/// A tree whose leaves own blocks of `O`.
#[derive(Debug)]
pub(super) struct Tree<O> {
    pub table: PageTable,
    owner: PhantomData<O>,
}

/// One entry of a table: a leaf, or nothing.
struct Entry<'a> {
    table: &'a Table,
    index: usize,
    at: VirtAddr,
    size: PageSize,
    descriptor: Descriptor,
}

/// The page size that an entry at `level` maps; level 0 maps nothing.
const fn size_at(level: u8) -> Option<PageSize> {
    match level {
        1 => Some(PageSize::Size1G),
        2 => Some(PageSize::Size2M),
        3 => Some(PageSize::Size4K),
        _ => None,
    }
}

/// The next smaller page size.
const fn smaller(size: PageSize) -> Option<PageSize> {
    match size {
        PageSize::Size1G => Some(PageSize::Size2M),
        PageSize::Size2M => Some(PageSize::Size4K),
        PageSize::Size4K => None,
    }
}

/// Bytes that an entry at `level` translates.
const fn entry_bytes(level: u8) -> u64 {
    1 << (39 - 9 * level as u32)
}

/// Shows the entries of `range` that lead to no further table, in order, to `visit`, until that breaks.
fn visit<S: TableStore>(
    store: &S,
    table: PageTable,
    range: VirtRange,
    mut visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<(), TableError> {
    let mut next = Some(range.start());
    while let Some(mut at) = next.filter(|at| at.get() < range.end()) {
        let (mut frame, mut level) = (table.root(), 0);
        next = loop {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            let mut index = at.table_index(level);
            let mut descriptor = table.load(index);
            if descriptor.is_table(level) {
                (frame, level) = (descriptor.address().frame(), level + 1);
                continue;
            }
            break loop {
                if let Some(size) = size_at(level)
                    && visit(Entry { table, index, at, size, descriptor }).is_break()
                {
                    return Ok(());
                }
                let bytes = entry_bytes(level);
                let behind = at.checked_add(bytes - at.get() % bytes);
                let Some(behind) = behind.filter(|behind| behind.get() < range.end()) else { break None };
                (at, index) = (behind, index + 1);
                if index == ENTRIES {
                    break Some(at);
                }
                descriptor = table.load(index);
                if descriptor.is_table(level) {
                    break Some(at);
                }
            };
        };
    }
    Ok(())
}

/// The error if an end of `range` lies inside a block.
fn check_edges<S: TableStore>(store: &S, table: PageTable, range: VirtRange) -> Result<(), TableError> {
    let end = range.start().checked_add(range.len());
    for at in [Some(range.start()), end].into_iter().flatten() {
        if let Ok(Translation { size, .. }) = table.walk(store, at)
            && !at.is_aligned(size)
        {
            let at = VirtAddr::new(at.get() & !(size.bytes() - 1)).unwrap_or(at);
            return Err(TableError::InsideBlock { at, size });
        }
    }
    Ok(())
}

impl<O: Owner> Tree<O> {
    pub const fn new(table: PageTable) -> Self {
        Self { table, owner: PhantomData }
    }

    /// The attributes of a mapping of the owner's memory.
    fn attributes(rights: Rights) -> Attributes {
        // Refused for executable Device memory only.
        Attributes::new(MemoryType::WriteBack, rights, O::PRIVILEGE)
            .unwrap_or(Attributes::kernel(Rights::ReadOnly))
    }

    /// The error if anything is mapped in `range`.
    fn check_free<S: TableStore>(&self, store: &S, range: VirtRange) -> Result<(), TableError> {
        let mut overlap = None;
        visit(store, self.table, range, |entry| {
            if !entry.descriptor.is_valid() {
                return ControlFlow::Continue(());
            }
            overlap = Some(TableError::Overlap { at: entry.at, found: entry.descriptor });
            ControlFlow::Break(())
        })?;
        overlap.map_or(Ok(()), Err)
    }

    /// Puts new zeroed memory behind all of `range`, in blocks of at most `largest` and as large as alignment and
    /// free memory allow.
    pub fn populate<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        space: Option<Context>,
        range: VirtRange,
        rights: Rights,
        largest: PageSize,
    ) -> Result<(), SpaceError> {
        if !range.is_aligned(PageSize::Size4K) {
            return Err(TableError::Misaligned { virt: range.start().get(), length: range.len() }.into());
        }
        self.check_free(&Tables(with.frames), range)?;
        let mut next = Some(range.start());
        let mut cap = largest;
        while let Some(at) = next.filter(|at| at.get() < range.end()) {
            let left = range.end() - at.get();
            let fits = |size: &PageSize| *size <= cap && at.is_aligned(*size) && left >= size.bytes();
            let mut size = PageSize::ALL.into_iter().rev().find(fits).unwrap_or(PageSize::Size4K);
            let block = loop {
                match (Block::allocate(with.frames, size), smaller(size)) {
                    // What is not there now will not be there for the rest of the range.
                    (Err(_), Some(smaller)) => (size, cap) = (smaller, smaller),
                    (result, _) => break result,
                }
            };
            let mapped = match block {
                Err(error) => Err(error.into()),
                Ok(block) => match self.map(with, at, block, rights) {
                    Ok(()) => Ok(()),
                    Err((block, error)) => block.free(with.frames).map_err(SpaceError::from).and(Err(error)),
                },
            };
            if let Err(error) = mapped {
                if let Some(done) = VirtRange::from_bounds(range.start().get(), at.get()) {
                    self.clear(with, space, done)?;
                }
                return Err(error);
            }
            next = at.checked_add(size.bytes());
        }
        with.tlb.publish();
        Ok(())
    }

    /// Maps one block, which the leaf owns from now on; a refusal gives it back.
    pub fn map<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
        block: Block<O>,
        rights: Rights,
    ) -> Result<(), (Block<O>, SpaceError)> {
        let size = block.size();
        let Some(range) = VirtRange::new(at, size.bytes()).filter(|_| at.is_aligned(size)) else {
            return Err((block, SpaceError::Misaligned { at, size: size.bytes() }));
        };
        if rights.is_executable() {
            with.tlb.sync_instructions(block.range());
        }
        let store = &mut Tables(with.frames);
        match self.table.map(store, range, block.first().start(), Self::attributes(rights), size) {
            Ok(()) => Ok(()),
            Err(error) => Err((block, error.into())),
        }
    }

    /// Takes away what is mapped in `range` and frees it. Holes are no error.
    pub fn clear<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        space: Option<Context>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        if !range.is_aligned(PageSize::Size4K) {
            return Err(TableError::Misaligned { virt: range.start().get(), length: range.len() }.into());
        }
        if range.is_empty() {
            return Ok(());
        }
        let table = self.table;
        check_edges(&Tables(with.frames), table, range)?;
        let flushes = self.is_cached(with, space);
        let mut smallest = None;
        visit(&Tables(with.frames), table, range, |entry| {
            if entry.descriptor.is_valid() {
                let dying = entry.descriptor.bits() & !Descriptor::VALID.bits();
                entry.table.store(entry.index, Descriptor::from_bits_retain(dying));
                smallest = smallest.min(Some(entry.size)).or(Some(entry.size));
            }
            ControlFlow::Continue(())
        })?;
        let Some(smallest) = smallest else { return Ok(()) };
        if flushes {
            with.tlb.invalidate(&Flush::of(space, range, smallest, false));
        }
        let freed = self.free_dying(with, range);
        let stale = table.unmap(&mut Tables(with.frames), range)?;
        Self::retire(with, stale, flushes, space);
        freed
    }

    /// Frees the blocks of invalid leaves in `range`. They are not in any TLB.
    fn free_dying<M: TableMemory, T, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        // A handful at a time, because the allocator is also what the tables are read through.
        const HANDFUL: usize = 16;
        let mut failure = Ok(());
        let mut from = Some(range.start());
        while let Some(start) = from.take() {
            let mut blocks = [None; HANDFUL];
            let mut count = 0;
            let rest = VirtRange::from_bounds(start.get(), range.end()).unwrap_or(range);
            visit(&Tables(with.frames), self.table, rest, |entry| {
                if entry.descriptor.is_valid() || entry.descriptor == Descriptor::INVALID {
                    return ControlFlow::Continue(());
                }
                if count == HANDFUL {
                    from = Some(entry.at);
                    return ControlFlow::Break(());
                }
                entry.table.store(entry.index, Descriptor::INVALID);
                blocks[count] = Some((entry.descriptor.address().frame(), entry.size));
                count += 1;
                ControlFlow::Continue(())
            })?;
            for (first, size) in blocks.into_iter().take(count).flatten() {
                if let Err(error) = Block::<O>::from_leaf(first, size).free(with.frames) {
                    failure = Err(error.into());
                }
            }
        }
        failure
    }

    fn retire<M: TableMemory, T: Tlb, const CPUS: usize>(
        with: &mut Resources<'_, M, T, CPUS>,
        stale: Stale,
        flushes: bool,
        space: Option<Context>,
    ) {
        let tlb = &mut *with.tlb;
        let unlinked = stale.has_tables();
        stale.retire(&mut Tables(with.frames), |stale| {
            // Leaves are gone already. A table translates at least 2 MiB, so one address in each will do.
            const TABLE: u64 = PageSize::Size2M.bytes();
            if let (true, true, Some(range)) = (flushes, unlinked, stale.range()) {
                let start = align_down(range.start().get(), TABLE);
                let whole = VirtRange::from_bounds(start, range.end()).unwrap_or(range);
                tlb.invalidate(&Flush::of(space, whole, PageSize::Size2M, true));
            }
        });
    }

    /// Changes the rights of all of `range`, which must be mapped.
    pub fn protect<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        space: Option<Context>,
        range: VirtRange,
        rights: Rights,
    ) -> Result<(), SpaceError> {
        let flushes = self.is_cached(with, space);
        let mut store = Tables(with.frames);
        // What becomes executable is synchronised before it can be executed, so the check comes first.
        if rights.is_executable() {
            let tlb = &mut *with.tlb;
            check_edges(&store, self.table, range)?;
            visit(&store, self.table, range, |entry| {
                let memory = PhysRange::new(entry.descriptor.address(), entry.size.bytes());
                if let (true, Some(memory)) = (entry.descriptor.is_valid(), memory) {
                    tlb.sync_instructions(memory);
                }
                ControlFlow::Continue(())
            })?;
        }
        let stale = self.table.protect(&mut store, range, rights)?;
        let tlb = &mut *with.tlb;
        stale.retire(&mut store, |stale| {
            if let (true, Some(range)) = (flushes, stale.range()) {
                tlb.invalidate(&Flush::of(space, range, stale.smallest(), false));
            }
        });
        Ok(())
    }

    /// Replaces the block that maps `at` by leaves of at most `size`, by break-before-make.
    pub fn split<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        space: Option<Context>,
        at: VirtAddr,
        size: PageSize,
    ) -> Result<(), SpaceError> {
        let flushes = self.is_cached(with, space);
        let tlb = &mut *with.tlb;
        self.table.split(&mut Tables(with.frames), at, size, |stale| {
            if let (true, Some(range)) = (flushes, stale.range()) {
                tlb.invalidate(&Flush::of(space, range, stale.smallest(), false));
            }
        })?;
        with.tlb.publish();
        Ok(())
    }

    /// Whether a TLB can hold anything of this space.
    fn is_cached<M, T, const CPUS: usize>(
        &self,
        with: &Resources<'_, M, T, CPUS>,
        space: Option<Context>,
    ) -> bool {
        space.is_none_or(|context| with.asids.is_current(context))
    }

    /// What `at` translates to.
    pub fn translate<M: TableMemory, T, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
    ) -> Result<Translation, SpaceError> {
        Ok(self.table.walk(&Tables(with.frames), at)?)
    }

    /// The first frame and size of the leaf that maps `at`.
    pub fn leaf<M: TableMemory, T, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        at: VirtAddr,
    ) -> Result<(Frame, PageSize), SpaceError> {
        let found = self.translate(with, at)?;
        Ok((found.leaf_phys().frame(), found.size))
    }

    /// Frees all memory and all tables but the root. No TLB holds anything of the space.
    pub fn destroy<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        window: VirtRange,
    ) -> Result<(), SpaceError> {
        visit(&Tables(with.frames), self.table, window, |entry| {
            let dying = entry.descriptor.bits() & !Descriptor::VALID.bits();
            entry.table.store(entry.index, Descriptor::from_bits_retain(dying));
            ControlFlow::Continue(())
        })?;
        let freed = self.free_dying(with, window);
        let stale = self.table.clear(&mut Tables(with.frames))?;
        Self::retire(with, stale, false, None);
        freed
    }

    /// Maps physical memory that no leaf owns.
    pub fn map_borrowed<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
        phys: PhysAddr,
        attributes: Attributes,
        largest: PageSize,
    ) -> Result<(), SpaceError> {
        self.table.map(&mut Tables(with.frames), range, phys, attributes, largest)?;
        with.tlb.publish();
        Ok(())
    }

    /// Unmaps memory that no leaf owns.
    pub fn unmap_borrowed<M: TableMemory, T: Tlb, const CPUS: usize>(
        &self,
        with: &mut Resources<'_, M, T, CPUS>,
        range: VirtRange,
    ) -> Result<(), SpaceError> {
        let mut store = Tables(with.frames);
        let stale = self.table.unmap(&mut store, range)?;
        let tlb = &mut *with.tlb;
        stale.retire(&mut store, |stale| {
            if let Some(range) = stale.range() {
                tlb.invalidate(&Flush::of(None, range, stale.smallest(), stale.has_tables()));
            }
        });
        Ok(())
    }
}
