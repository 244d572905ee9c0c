//! Changing the rights of mappings.
//!
//! The whole range is surveyed first: every page of it must be mapped, by leaves that lie wholly inside. That is
//! stricter than unmapping because afterwards the range has the rights that were asked for, all of it.

use super::stale::Stale;
use super::table::{ENTRIES, Table, TableStore};
use super::{PageTable, TableError, leaf_size};
use crate::addr::{PageSize, VirtAddr, VirtRange};
use crate::rights::Rights;
use crate::vmsa::{DescriptorError, RightsChange};

/// Consecutive leaves in one table.
struct LeafRun<'a> {
    table: &'a Table,
    size: PageSize,
    index: usize,
    count: usize,
}

impl LeafRun<'_> {
    /// Bytes that the run translates.
    fn bytes(&self) -> u64 {
        (self.count as u64) << self.size.shift()
    }
}

impl PageTable {
    /// The leaves from `at` on that lie in one table and do not reach past `end`; at least one.
    fn leaves_at<S: TableStore + ?Sized>(
        self,
        store: &S,
        at: VirtAddr,
        end: u64,
    ) -> Result<LeafRun<'_>, TableError> {
        let left = end - at.get();
        let mut frame = self.root;
        for level in 0..4 {
            let table = store.table(frame).ok_or(TableError::Unreachable { table: frame, level })?;
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
                count => Ok(LeafRun { table, size, index, count }),
            };
        }
        Err(TableError::NotMapped { at, level: 3 })
    }

    /// Shows all leaves of `range` to `visit`, run by run; an error at the first that is missing or cut.
    fn visit_leaves<S: TableStore + ?Sized>(
        self,
        store: &S,
        range: VirtRange,
        mut visit: impl FnMut(VirtAddr, &LeafRun) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let mut next = (!range.is_empty()).then(|| range.start());
        while let Some(at) = next {
            let run = self.leaves_at(store, at, range.end())?;
            visit(at, &run)?;
            next = at.checked_add(run.bytes()).filter(|at| at.get() < range.end());
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
        self.check_range(range)?;
        self.visit_leaves(store, range, |at, run| {
            if !rights.is_executable() {
                return Ok(());
            }
            let refused = |index: &usize| run.table.load(*index).with_rights(rights).is_none();
            match (run.index..run.index + run.count).find(refused) {
                None => Ok(()),
                Some(index) => {
                    let bytes = ((index - run.index) as u64) << run.size.shift();
                    Err(TableError::ExecutableDevice { at: at.checked_add(bytes).unwrap_or(at) })
                }
            }
        })?;
        let change = RightsChange::to(rights);
        let mut stale = Stale::default();
        self.visit_leaves(store, range, |_, run| {
            stale.note_size(run.size);
            for index in run.index..run.index + run.count {
                run.table.store(index, change.apply(run.table.load(index)));
            }
            Ok(())
        })?;
        if !range.is_empty() {
            stale.note_range(range);
        }
        Ok(stale)
    }
}
