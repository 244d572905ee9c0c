//! The tables that stay, and the names by which the fault reporter knows what they map.

use elfloader::image::Image;
use elfloader::layout;
use elfloader::memory_map::MemoryMap;
use elfloader::plan::{Mapping, PlacedPlan, Purpose};
use handoff_bare::cache;
use shared_abi::addr::{Frame, VirtRange};
use shared_abi::contract::DIRECT_MAP_WINDOW;
use shared_abi::image::payload::Kind;
use shared_abi::page_table::{PageTable, TableError, TableStore};
use shared_abi::rights::Rights;

use crate::machine::own_image::OwnImage;
use crate::machine::report;
use crate::machine::tables::Tables;

/// The tables as they stay, and the empty one that TTBR0 is left with.
pub fn build(
    own: &OwnImage,
    placed: &PlacedPlan<'_>,
    map: &MemoryMap<'_>,
) -> Result<(Tables, Frame), TableError> {
    let pool = placed.table_pool();
    // SAFETY: the plan leaves these pages of the arena to tables; they are mapped writable.
    let mut store = unsafe {
        cache::zero_pages(pool.start().get(), pool.len());
        Tables::kernel(own, pool)
    };
    let empty = store.allocate().ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
    let tree = PageTable::ttbr1(store.root());
    // The console is mapped already, at the same place.
    for mapping in placed.mappings(map.regions()).filter(|mapping| mapping.purpose != Purpose::Console) {
        tree.build(&mut store, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
        name_mapping(&mapping);
    }
    name_region("guard below the boot stack", layout::stack_guard(placed.plan().stack().start().get()));
    name_region("direct map", Some(DIRECT_MAP_WINDOW));
    Ok((store, empty))
}

/// Has the reporter name the loader's own parts.
pub fn name_loader() {
    for (name, start, end) in OwnImage::regions() {
        name_region(name, VirtRange::from_bounds(start, end));
    }
}

/// Has the reporter name the kernel's code from now on.
pub fn name_kernel_code(image: &Image<'_>, placed: &PlacedPlan<'_>) {
    let placement = placed.plan().placement();
    match image.range_of_kind(Kind::SYMBOLS) {
        Some(table) => {
            let start = table.start().get() + placement.direct_map_offset;
            // SAFETY: the direct map has the table, as a module, for as long as the kernel leaves it there.
            unsafe { report::situation().name_code(start, table.len(), placement.slide) };
        }
        None => report::situation().forget_code(),
    }
}

/// Has the reporter know a range by name.
fn name_region(name: &'static str, range: Option<VirtRange>) {
    if let Some(range) = range {
        report::situation().name_region(name, range);
    }
}

fn name_mapping(mapping: &Mapping) {
    let name = match (mapping.purpose, mapping.attributes.rights()) {
        (Purpose::Kernel, Rights::ReadExecute) => "kernel text",
        (Purpose::Kernel, Rights::ReadOnly) => "kernel read-only data",
        (Purpose::Kernel, Rights::ReadWrite) => "kernel data",
        (Purpose::BootInfo, _) => "BootInfo",
        (Purpose::Console, _) => "console",
        (Purpose::BootStack, _) => "boot stack",
        (Purpose::DirectMap, _) => return,
    };
    report::situation().name_region(name, mapping.virt);
}
