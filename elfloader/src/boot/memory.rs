//! The memory of the boot: who has what, the arena, and the tables that stay.

use elfloader::handoff::{self, entry_range};
use elfloader::kernel_elf::KernelElf;
use elfloader::layout;
use elfloader::memory_map::{ANYWHERE, MapError, MemoryMap};
use elfloader::plan::{LoadPlan, Mapping, Origin, PlacedPlan, Purpose, Site};
use elfloader::platform::Machine;
use shared_abi::addr::{Frame, PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::TreeSource;
use shared_abi::contract::DIRECT_MAP_WINDOW;
use shared_abi::image::payload::Kind;
use shared_abi::memory::RegionKind;
use shared_abi::page_table::{TableError, TableStore};
use shared_abi::rights::Rights;

use super::firmware::{self, Tree};
use super::image::Image;
use crate::error::BootError;
use crate::machine::tables::KernelTables;
use crate::machine::{cache, cpu, log, report};

/// Regions that the boot itself adds to what the machine has.
const OWN_REGIONS: usize = 24;

/// All RAM, and what is in it already.
pub fn lay_out(
    map: &mut MemoryMap<'static>,
    machine: &Machine<'static>,
    image: &Image,
    tree: &Tree,
) -> Result<(), MapError<'static>> {
    map.lay_out(machine, cpu::physical_size().limit())?;
    map.claim(image.range, RegionKind::LOADER_RECLAIMABLE, "image")?;
    if tree.source != TreeSource::PACKED {
        map.claim(tree.range, RegionKind::DEVICE_TREE, "device tree")?;
    }
    if let Some(initrd) = machine.boot.initrd {
        map.claim(initrd, RegionKind::INITRD, "initrd")?;
    }
    map.place_dynamic(machine)
}

/// Where the plan's fixed points are, and how much room it has to make.
pub fn site(
    image: &Image,
    kernel: PhysAddr,
    elf: &KernelElf<'_>,
    machine: &Machine<'_>,
    map: &MemoryMap<'_>,
    command_line: &str,
) -> Site {
    let names: usize = map.regions().iter().map(|region| region.name.len() + 1).sum();
    let regions = map.regions().len() + OWN_REGIONS;
    // A segment is at most five extents: two shared pages, its own, BSS in its last page and behind.
    let extents = elf.segments().len() * 5 + 2;
    let cpus = machine.cpus.len();
    let text = names + command_line.len();
    Site {
        kernel,
        resident: image.own.resident(),
        stack_size: elf.note().stack_bytes(),
        boot_info_size: handoff::size_bound(regions, extents, cpus, text, log::CAPACITY) as u64,
        console: firmware::console_registers(machine),
    }
}

/// The memory that the plan asks for.
pub fn arena(map: &mut MemoryMap<'static>, plan: &LoadPlan<'_>) -> Result<PhysRange, MapError<'static>> {
    let (length, alignment) = (plan.arena().length(), plan.arena().alignment());
    map.allocate(length, alignment, ANYWHERE, RegionKind::LOADER_RECLAIMABLE, "arena")
}

/// The part of the arena that is for tables.
pub fn table_pool(plan: &LoadPlan<'_>, arena: PhysRange) -> PhysRange {
    let pool = PhysRange::from_bounds(arena.start().get() + plan.arena().tables_offset(), arena.end());
    pool.and_then(|pool| pool.aligned_inward(PageSize::Size4K)).unwrap_or_default()
}

/// The tables as they stay, and the empty one that TTBR0 is left with.
pub fn build_tables(
    image: &Image,
    placed: &PlacedPlan<'_>,
    pool: PhysRange,
    map: &MemoryMap<'_>,
) -> Result<(KernelTables, Frame), TableError> {
    // SAFETY: the plan leaves these pages of the arena to tables; they are mapped writable.
    let mut store = unsafe {
        cache::zero_pages(pool.start().get(), pool.len());
        KernelTables::new(&image.own, pool)
    };
    let empty = store.allocate().ok_or(TableError::OutOfTables { needed: 1, available: 0 })?;
    let tree = store.tree();
    // The console is mapped already, at the same place.
    for mapping in placed.mappings(map.regions()).filter(|mapping| mapping.purpose != Purpose::Console) {
        tree.map(&mut store, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
        name_mapping(&mapping);
    }
    name_region("guard below the boot stack", layout::stack_guard(placed.plan().stack().start().get()));
    name_region("direct map", Some(DIRECT_MAP_WINDOW));
    Ok((store, empty))
}

/// Physical ranges of executable pages that the loader wrote itself, which the identity map has.
pub fn written_code(placed: &PlacedPlan<'_>) -> impl Iterator<Item = core::ops::Range<u64>> {
    let extents = placed.plan().extents().iter();
    extents
        .filter(|extent| {
            extent.rights() == Rights::ReadExecute && !matches!(extent.origin(), Origin::InPlace(_))
        })
        .map(|extent| {
            let start = placed.phys(extent).get();
            start..start + extent.virt().len()
        })
}

/// Says what became of the parts of image and arena.
pub fn describe_parts(
    map: &mut MemoryMap<'static>,
    image: &Image,
    placed: &PlacedPlan<'_>,
) -> Result<(), BootError> {
    map.retype(image.own.resident(), RegionKind::LOADER_RESIDENT, "loader")?;
    map.retype(image.own.tables(), RegionKind::PAGE_TABLES, "first tables")?;
    for entry in image.payload.entries() {
        let (kind, name) = match entry.kind {
            Kind::MODULE => (RegionKind::MODULE, "module"),
            Kind::SYMBOLS => (RegionKind::MODULE, "symbols"),
            Kind::DEVICE_TREE => (RegionKind::DEVICE_TREE, "packed device tree"),
            _ => continue,
        };
        map.retype(entry_range(image.range, &entry).aligned_outward(PageSize::Size4K), kind, name)?;
    }
    for extent in placed.plan().extents() {
        if let Origin::InPlace(_) = extent.origin() {
            let pages = PhysRange::new(placed.phys(extent), extent.virt().len()).unwrap_or_default();
            map.retype(pages, RegionKind::KERNEL, "kernel")?;
        }
    }
    for (range, used) in placed.uses() {
        map.retype(range, used.kind(), "")?;
    }
    Ok(())
}

/// Has the reporter name the kernel's code from now on.
pub fn name_kernel_code(image: &Image, placed: &PlacedPlan<'_>) {
    let placement = placed.plan().placement();
    match image.payload.find(Kind::SYMBOLS).map(|entry| entry_range(image.range, &entry)) {
        Some(table) => {
            let start = table.start().get() + placement.direct_map_offset;
            // SAFETY: the direct map has the table, as a module, for as long as the kernel leaves it there.
            unsafe { report::situation().name_code(start, table.len(), placement.slide) };
        }
        None => report::situation().forget_code(),
    }
}

pub fn name_region(name: &'static str, range: Option<VirtRange>) {
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
