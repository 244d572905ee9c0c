//! How many translation tables a list of mappings needs, without making one.
//!
//! Works on mappings in ascending order, in a few instructions each, whatever their length. The four tables that
//! the entry code has filled for the loader (the root and one on each level below it, for the beginning of the
//! handoff window) are there already and not counted.

use shared_abi::addr::{PageSize, align_down, align_up};
use shared_abi::contract::HANDOFF_WINDOW;

use super::Mapping;

/// What one table of levels 1, 2 and 3 covers, as shifts.
const COVERS: [u32; 3] = [39, 30, 21];

/// No such region: addresses shifted right are smaller.
const NONE: u64 = u64::MAX;

/// Counts tables as mappings go by.
#[derive(Clone, Copy, Debug)]
pub struct TableCount {
    tables: u64,
    /// The last region of each level that has a table.
    last: [u64; 3],
}

impl TableCount {
    /// Counts the tables that mappings in ascending order need.
    pub fn of(mappings: impl Iterator<Item = Mapping>) -> Self {
        let mut count = Self { tables: 0, last: [NONE; 3] };
        mappings.for_each(|mapping| count.add(&mapping));
        count
    }

    /// The number of tables.
    pub const fn tables(&self) -> u64 {
        self.tables
    }

    /// Adds a mapping that begins where or after the last one ended.
    fn add(&mut self, mapping: &Mapping) {
        let range = (mapping.virt.start().get(), mapping.virt.end());
        let [.., pages] = COVERS;
        if mapping.virt.is_empty()
            || self.last[2] == range.0 >> pages && self.last[2] == (range.1 - 1) >> pages
        {
            // Nothing, or no more than the last page table covers.
            return;
        }
        let difference = range.0 ^ mapping.phys.get();
        let fits = |size: PageSize| mapping.largest >= size && difference & (size.bytes() - 1) == 0;
        self.touch(0, range);
        for below in without_blocks(range, PageSize::Size1G, fits(PageSize::Size1G)) {
            if below.0 < below.1 {
                self.touch(1, below);
                for pages in without_blocks(below, PageSize::Size2M, fits(PageSize::Size2M)) {
                    if pages.0 < pages.1 {
                        self.touch(2, pages);
                    }
                }
            }
        }
    }

    /// Notes that tables of a level are needed for all of a range that is not empty.
    #[inline(never)]
    fn touch(&mut self, level: usize, (start, end): (u64, u64)) {
        let (Some(shift), Some(last)) = (COVERS.get(level), self.last.get_mut(level)) else { return };
        let (first, until) = (start >> shift, (end - 1) >> shift);
        let present = HANDOFF_WINDOW.start().get() >> shift;
        let fresh = first + u64::from(*last == first);
        *last = until;
        let had = u64::from(fresh <= present && present <= until);
        self.tables += (until + 1) - fresh - had;
    }
}

/// The parts of a range, before and after, that blocks of `size` do not map; one of them is all of it if there is no
/// block in it.
fn without_blocks((start, end): (u64, u64), size: PageSize, fits: bool) -> [(u64, u64); 2] {
    let first = align_up(start, size.bytes()).unwrap_or(u64::MAX);
    let last = align_down(end, size.bytes());
    if fits && first < last { [(start, first), (last, end)] } else { [(start, end), (end, end)] }
}
