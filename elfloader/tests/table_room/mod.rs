//! The tables of a plan, made on the host exactly as the loader makes them: with the loader's own four tables, the
//! empty one for TTBR0, and as many more as the plan says, not one to spare.

use elfloader::layout;
use elfloader::memory_map::Region;
use elfloader::plan::PlacedPlan;
use shared_abi::addr::{PAGE, PageSize, VirtRange};
use shared_abi::page_table::{PageTable, Table, TablePool, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

/// The loader's: the root, and one at each level below it for the beginning of the handoff window.
const OWN_TABLES: u64 = 4;

/// Builds the tables.
///
/// # Panics
/// If a mapping fails, above all for want of a table.
pub fn build(placed: &PlacedPlan<'_>, regions: &[Region<'_>], table_count: u64) {
    let tables: Vec<Table> = (0..table_count + OWN_TABLES).map(|_| Table::new()).collect();
    let start = placed.plan().arena().tables_offset();
    let first = placed.base().checked_add(start - OWN_TABLES * PAGE).unwrap().frame();
    let mut pool = TablePool::new(&tables, first);
    let tree = PageTable::ttbr1(pool.allocate().unwrap());
    let text = VirtRange::new(layout::LOADER.start(), PAGE).unwrap();
    let resident = placed.plan().site().resident.start();
    let attributes = Attributes::kernel(Rights::ReadExecute);
    tree.map(&mut pool, text, resident, attributes, PageSize::Size4K).unwrap();
    assert_eq!(pool.used() as u64, OWN_TABLES);
    pool.allocate().unwrap();
    for mapping in placed.mappings(regions) {
        tree.map(&mut pool, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)
            .unwrap_or_else(|error| panic!("{mapping}: {error}"));
    }
}
