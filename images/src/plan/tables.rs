//! The translation tables of a plan, built by the loader's editor in the host's memory.

use std::collections::BTreeMap;

use elfloader::handoff::Tables;
use elfloader::image::Image;
use elfloader::memory_map::Region;
use elfloader::plan::PlacedPlan;
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, VirtRange};
use shared_abi::contract::HANDOFF_WINDOW;
use shared_abi::page_table::{ENTRIES, PageTable, Table, TableError, TablePool, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use crate::loader::Parts;

/// Tables that are complete.
pub struct Built {
    /// What `BootInfo` says of them.
    pub tables: Tables,
    /// Their pages by physical address.
    pub memory: BTreeMap<u64, Vec<u8>>,
}

/// The image's four tables first, then the arena's.
struct Store<'a> {
    own: TablePool<'a>,
    arena: TablePool<'a>,
}

impl TableStore for Store<'_> {
    fn table(&self, table: Frame) -> Option<&Table> {
        self.own.table(table).or_else(|| self.arena.table(table))
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.own.allocate().or_else(|| self.arena.allocate())
    }

    fn free(&mut self, _: Frame) {}
}

/// Builds them: the loader's own pages as the entry code maps them, then all that the plan maps.
pub fn build(
    image: &Image<'_>,
    loader: &Parts,
    placed: &PlacedPlan<'_>,
    regions: &[Region<'_>],
) -> Result<Built, TableError> {
    let (own, pool) = (image.tables, placed.table_pool());
    let zeroed = |bytes: u64| (0..bytes / PAGE).map(|_| Table::new()).collect::<Vec<_>>();
    let (own_tables, arena_tables) = (zeroed(own.len()), zeroed(pool.len()));
    let mut store = Store {
        own: TablePool::new(&own_tables, own.start().frame()),
        arena: TablePool::new(&arena_tables, pool.start().frame()),
    };
    let missing = TableError::OutOfTables { needed: 1, available: 0 };
    let tree = PageTable::ttbr1(store.allocate().ok_or(missing)?);
    for ((start, end), rights) in [
        (loader.text, Rights::ReadExecute),
        (loader.constants, Rights::ReadOnly),
        (loader.data, Rights::ReadWrite),
    ] {
        let window = HANDOFF_WINDOW.start().get();
        let virt = VirtRange::from_bounds(window + start, window + end).unwrap_or(VirtRange::EMPTY);
        let phys = image.range.start().checked_add(start).unwrap_or_default();
        tree.build(&mut store, virt, phys, Attributes::kernel(rights), PageSize::Size4K)?;
    }
    let low_root = store.allocate().ok_or(missing)?;
    for mapping in placed.mappings(regions) {
        tree.build(&mut store, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
    }
    let used = store.arena.used();
    let memory =
        pages(own.start(), &own_tables).chain(pages(pool.start(), &arena_tables).take(used)).collect();
    Ok(Built { tables: Tables { low_root: low_root.start(), used: used as u64 }, memory })
}

fn pages(start: PhysAddr, tables: &[Table]) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let starts = (start.get()..).step_by(PAGE as usize);
    starts.zip(
        tables
            .iter()
            .map(|table| (0..ENTRIES).flat_map(|index| table.load(index).bits().to_le_bytes()).collect()),
    )
}
