//! Taking mappings away, and changing their rights.
//!
//! Both survey the whole range first: every page of it must be mapped by leaves that lie wholly inside. A table
//! all of whose entries go is unlinked as it is, its entries untouched.

use super::stale::Stale;
use super::table::{ENTRIES, Table, TableStore};
use super::{PageTable, TableError, leaf_size};
use crate::addr::{Frame, PageSize, VirtAddr, VirtRange};
use crate::rights::Rights;
use crate::vmsa::{Descriptor, DescriptorError};

/// Consecutive leaves in one table, and the tables above it.
pub(super) struct LeafRun<'a> {
    pub(super) table: &'a Table,
    /// Frames of the tables from the root to this one, by level.
    pub(super) path: [Frame; 4],
    pub(super) size: PageSize,
    pub(super) index: usize,
    pub(super) count: usize,
}

impl LeafRun<'_> {
    /// Bytes that the run translates.
    fn bytes(&self) -> u64 {
        (self.count as u64) << self.size.shift()
    }
}

impl PageTable {
    /// The leaves from `at` on that lie in one table and do not reach past `end`; at least one.
    pub(super) fn leaves_at<S: TableStore + ?Sized>(
        self,
        store: &S,
        at: VirtAddr,
        end: u64,
    ) -> Result<LeafRun<'_>, TableError> {
        let left = end - at.get();
        let mut path = [self.root; 4];
        let mut frame = self.root;
        for level in 0..4 {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
            path[usize::from(level)] = frame;
            let index = at.table_index(level);
            let entry = table.load(index);
            if !entry.is_valid() {
                return Err(TableError::NotMapped { at, level });
            }
            if entry.is_table(level) {
                frame = entry.address().frame();
                continue;
            }
            let malformed = |error| TableError::Malformed { at, level, found: entry, error };
            let size = leaf_size(level).ok_or(malformed(DescriptorError::NotALeaf { level }))?;
            if !at.is_aligned(size) || left < size.bytes() {
                let block = VirtAddr::new(at.get() & !(size.bytes() - 1)).unwrap_or(at);
                return Err(TableError::InsideBlock { at: block, size });
            }
            let wanted = (ENTRIES - index).min(usize::try_from(left >> size.shift()).unwrap_or(ENTRIES));
            return match table.count_leaves(index, wanted, level) {
                // Only level 3 has a valid entry that is neither leaf nor table.
                0 => Err(malformed(DescriptorError::NotALeaf { level })),
                count => Ok(LeafRun { table, path, size, index, count }),
            };
        }
        Err(TableError::NotMapped { at, level: 3 })
    }

    /// Sees that all of `range` is mapped by leaves wholly inside, and shows them to `check` run by run.
    fn survey_leaves<S: TableStore + ?Sized>(
        self,
        store: &S,
        range: VirtRange,
        mut check: impl FnMut(VirtAddr, &LeafRun) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        self.check_range(range)?;
        let mut next = (!range.is_empty()).then(|| range.start());
        while let Some(at) = next {
            let run = self.leaves_at(store, at, range.end())?;
            check(at, &run)?;
            next = at.checked_add(run.bytes()).filter(|at| at.get() < range.end());
        }
        Ok(())
    }

    /// Unmaps `range`, all of which must be mapped. Tables that become empty are unlinked.
    ///
    /// # Errors
    /// [`TableError`]: a hole, or a block that the range covers in part; nothing has been changed then.
    pub fn unmap<S: TableStore + ?Sized>(self, store: &mut S, range: VirtRange) -> Result<Stale, TableError> {
        self.survey_leaves(store, range, |_, _| Ok(()))?;
        let store = &*store;
        let mut stale = Stale::default();
        let mut next = (!range.is_empty()).then(|| range.start());
        while let Some(at) = next {
            let run = self.leaves_at(store, at, range.end())?;
            stale.note_leaves(at, run.count, run.size);
            next = at.checked_add(run.bytes()).filter(|at| at.get() < range.end());
            if run.count < ENTRIES {
                run.table.set_run(run.index, run.count, 0, 0);
                if !run.table.is_empty_around(run.index, run.count) {
                    continue;
                }
            }
            self.unlink(store, at, run.size.level(), &run.path, &mut stale)?;
        }
        Ok(stale)
    }

    /// Unlinks the table at `level` on the way to `at`, and those above that become empty by it.
    fn unlink<S: TableStore + ?Sized>(
        self,
        store: &S,
        at: VirtAddr,
        level: u8,
        path: &[Frame; 4],
        stale: &mut Stale,
    ) -> Result<(), TableError> {
        for level in (1..=level).rev() {
            let (frame, above) = (path[usize::from(level)], path[usize::from(level) - 1]);
            let parent =
                store.table(above).ok_or(TableError::Unreachable { table: above, level: level - 1 })?;
            let index = at.table_index(level - 1);
            parent.store(index, Descriptor::INVALID);
            stale.note_table(store, frame, level)?;
            if !parent.is_empty_around(index, 1) {
                break;
            }
        }
        Ok(())
    }

    /// Gives all of `range`, which must be mapped, other rights. Memory type and privilege stay, so entries change
    /// in place: such a change needs no break-before-make (Arm ARM D8.16.1), only the invalidation.
    ///
    /// # Errors
    /// [`TableError`]: a hole, a block that the range covers in part, or Device memory that would become
    /// executable; nothing has been changed then.
    pub fn protect<S: TableStore + ?Sized>(
        self,
        store: &mut S,
        range: VirtRange,
        rights: Rights,
    ) -> Result<Stale, TableError> {
        self.survey_leaves(store, range, |at, run| {
            let refused = |index: &usize| run.table.load(*index).with_rights(rights).is_none();
            let mut indices = if rights.is_executable() { run.index..run.index + run.count } else { 0..0 };
            match indices.find(refused) {
                None => Ok(()),
                Some(index) => {
                    let bytes = ((index - run.index) as u64) << run.size.shift();
                    Err(TableError::ExecutableDevice { at: at.checked_add(bytes).unwrap_or(at) })
                }
            }
        })?;
        let mut stale = Stale::default();
        self.survey_leaves(store, range, |at, run| {
            stale.note_leaves(at, run.count, run.size);
            for index in run.index..run.index + run.count {
                if let Some(changed) = run.table.load(index).with_rights(rights) {
                    run.table.store(index, changed);
                }
            }
            Ok(())
        })?;
        Ok(stale)
    }

    /// Unlinks everything below the root, mapped or not, for a space that is being dropped. The root stays, empty,
    /// and is the caller's to free after the [`Stale`] is retired.
    ///
    /// # Errors
    /// [`TableError::Unreachable`] if the store cannot reach a table; what came before it is unlinked then.
    pub fn clear<S: TableStore + ?Sized>(self, store: &mut S) -> Result<Stale, TableError> {
        let store = &*store;
        let root = store.table(self.root).ok_or(TableError::Unreachable { table: self.root, level: 0 })?;
        let mut stale = Stale::default();
        for index in 0..ENTRIES {
            let entry = root.load(index);
            root.store(index, Descriptor::INVALID);
            if entry.is_table(0) {
                stale.note_everything(self.base());
                chain_below(store, entry.address().frame(), 1, &mut stale)?;
            }
        }
        Ok(stale)
    }
}

/// Chains the table in `frame` and all tables below it, the lowest first: chaining overwrites the first entry.
fn chain_below<S: TableStore + ?Sized>(
    store: &S,
    frame: Frame,
    level: u8,
    stale: &mut Stale,
) -> Result<(), TableError> {
    if level < 3 {
        let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
        for index in 0..ENTRIES {
            let entry = table.load(index);
            if entry.is_table(level) {
                chain_below(store, entry.address().frame(), level + 1, stale)?;
            }
        }
    }
    stale.note_table(store, frame, level)
}
