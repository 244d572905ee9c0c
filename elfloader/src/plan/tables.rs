//! How many translation tables a list of mappings needs, without making one.
//!
//! Works on mappings in ascending order, in a few instructions each, whatever their length. The four tables that
//! the entry code has filled for the loader (the root and one on each level below it, for the beginning of the
//! handoff window) are there already and not counted.

use shared_abi::addr::{PageSize, align_down, align_up};
use shared_abi::contract::HANDOFF_WINDOW;

use super::Mapping;

/// Counts tables as mappings go by.
#[derive(Clone, Copy, Debug)]
pub struct TableCount {
    tables: u64,
    /// What one table of levels 1, 2 and 3 covers, as a shift, and the last such region that has one.
    levels: [(u32, Option<u64>); 3],
}

impl TableCount {
    /// Counts the tables that mappings in ascending order need.
    pub fn of(mappings: impl Iterator<Item = Mapping>) -> Self {
        let mut count = Self { tables: 0, levels: [(39, None), (30, None), (21, None)] };
        mappings.for_each(|mapping| count.add(&mapping));
        count
    }

    /// The number of tables.
    pub const fn tables(&self) -> u64 {
        self.tables
    }

    /// Adds a mapping that begins where or after the last one ended.
    fn add(&mut self, mapping: &Mapping) {
        let (start, end) = (mapping.virt.start().get(), mapping.virt.end());
        if start >= end {
            return;
        }
        self.touch(0, start, end);
        let difference = start ^ mapping.phys.get();
        self.split(PageSize::Size1G, difference, mapping.largest, start, end, |count, start, end| {
            count.touch(1, start, end);
            count.split(PageSize::Size2M, difference, mapping.largest, start, end, |count, start, end| {
                count.touch(2, start, end);
            });
        });
    }

    /// Calls `rest` with the parts of a range that blocks of `size` cannot map.
    fn split(
        &mut self,
        size: PageSize,
        difference: u64,
        largest: PageSize,
        start: u64,
        end: u64,
        rest: impl Fn(&mut Self, u64, u64),
    ) {
        let first = align_up(start, size.bytes()).unwrap_or(u64::MAX);
        let last = align_down(end, size.bytes());
        if largest < size || difference & (size.bytes() - 1) != 0 || first >= last {
            return rest(self, start, end);
        }
        if start < first {
            rest(self, start, first);
        }
        if last < end {
            rest(self, last, end);
        }
    }

    /// Notes that tables of a level are needed for all of a range that is not empty.
    fn touch(&mut self, level: usize, start: u64, end: u64) {
        let Some((shift, last)) = self.levels.get_mut(level) else { return };
        let (first, until) = (start >> *shift, (end - 1) >> *shift);
        let present = HANDOFF_WINDOW.start().get() >> *shift;
        let fresh = if *last == Some(first) { first + 1 } else { first };
        *last = Some(until);
        let had = u64::from((fresh..=until).contains(&present));
        self.tables += (until + 1) - fresh - had;
    }
}
