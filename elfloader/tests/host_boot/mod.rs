//! A boot on the host from memory map to audited tables: what the loader does with a plan, in the loader's order and
//! with the loader's own code, on a made-up machine.
//!
//! ```text
//! 0x4000_0000  RAM, 3 GiB, with a no-map hole and a reservation of firmware
//! 0x4020_0000  image: header page; resident loader from +0x1000; the loader's four tables at +0x9000
//! 0x4021_0000  the kernel's file
//! 0x1_8000_0000  RAM, 1 GiB, on a second node
//! ```

#![allow(dead_code, reason = "each user of the file needs its part")]

use elfloader::audit::{Expectation, Part, Place, audit};
use elfloader::layout;
use elfloader::memory_map::{ANYWHERE, MemoryMap};
use elfloader::plan::{LoadPlan, PlacedPlan, Site};
use elfloader::platform::{Machine, MemoryRange, Reservation};
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::BlobSize;
use shared_abi::memory::RegionKind;
use shared_abi::note::Note;
use shared_abi::page_table::{PageTable, Table, TableStore};
use shared_abi::rights::Rights::{self, ReadExecute, ReadOnly, ReadWrite};
use shared_abi::vmsa::{Attributes, MemoryType};

/// Where the kernel's file lies.
pub const KERNEL: u64 = 0x4021_0000;

const IMAGE: u64 = 0x4020_0000;
const RESIDENT: (u64, u64) = (IMAGE + 0x1000, IMAGE + 0x9000);
const OWN_TABLES: u64 = 4;

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::from_bounds(start, end).unwrap()
}

/// The machine's memory with the image claimed, for a kernel's file of `length` bytes.
pub fn memory_map(length: usize) -> MemoryMap<'static> {
    let mut machine = Machine::default();
    machine.memory.push(MemoryRange { range: range(0x4000_0000, 0x1_0000_0000), node: 0 });
    machine.memory.push(MemoryRange { range: range(0x1_8000_0000, 0x1_C000_0000), node: 1 });
    machine.reservations.push(Reservation {
        range: range(0x4010_0000, 0x4010_3000),
        no_map: true,
        name: "secure",
    });
    machine.reservations.push(Reservation {
        range: range(0x4010_3000, 0x4010_8000),
        no_map: false,
        name: "spin",
    });
    let mut map = MemoryMap::new();
    map.lay_out(&machine, 1 << 44).unwrap();
    map.claim(range(IMAGE, kernel(length).end()), RegionKind::LOADER_RECLAIMABLE, "image").unwrap();
    map
}

/// The pages of a kernel's file of `length` bytes.
pub fn kernel(length: usize) -> PhysRange {
    range(KERNEL, KERNEL + (length as u64).next_multiple_of(PAGE))
}

/// What a plan has to know of the machine.
pub fn site(note: &Note) -> Site {
    Site {
        kernel: PhysAddr::new(KERNEL).unwrap(),
        resident: range(RESIDENT.0, RESIDENT.1),
        stack_size: note.stack_bytes(),
        boot_info: BlobSize::EMPTY.bytes(0x3000),
        boot_info_per_extent: BlobSize::EMPTY,
        console: PhysRange::from_bounds(0x0900_0800, 0x0900_0900),
    }
}

/// Finds room for a plan and places it.
///
/// # Panics
/// If the machine has no room, or the plan asks for what it then does not take.
pub fn place<'a>(plan: LoadPlan<'a>, map: &mut MemoryMap<'static>) -> PlacedPlan<'a> {
    let (length, alignment) = (plan.arena().length(), plan.arena().alignment());
    let kind = RegionKind::LOADER_RECLAIMABLE;
    let arena = map.allocate(length, alignment, ANYWHERE, kind, "arena").unwrap();
    plan.place(arena).unwrap()
}

/// Says what became of image and arena, as the memory map's last change.
pub fn describe(placed: &PlacedPlan<'_>, map: &mut MemoryMap<'static>) {
    map.retype(range(RESIDENT.0, RESIDENT.1), RegionKind::LOADER_RESIDENT, "loader").unwrap();
    map.retype(own_tables(), RegionKind::PAGE_TABLES, "first tables").unwrap();
    map.retype(kernel(placed.plan().elf().bytes().len()), RegionKind::KERNEL, "kernel").unwrap();
    for (range, used) in placed.uses() {
        map.retype(range, used.kind(), "").unwrap();
    }
}

fn own_tables() -> PhysRange {
    range(RESIDENT.1, RESIDENT.1 + OWN_TABLES * PAGE)
}

/// The loader's own tables and the arena's: exactly as many as the plan made room for.
struct Tables {
    tables: Vec<Table>,
    used: u64,
    arena: Frame,
}

impl Tables {
    /// The frame of the table at an index.
    fn frame(&self, index: u64) -> Frame {
        let (first, offset) = match index.checked_sub(OWN_TABLES) {
            None => (own_tables().start().frame(), index),
            Some(offset) => (self.arena, offset),
        };
        first.checked_add(offset).unwrap()
    }
}

impl TableStore for Tables {
    fn table(&self, table: Frame) -> Option<&Table> {
        let (own, _) = own_tables().frames();
        let own_index = table.number().checked_sub(own.number()).filter(|index| *index < OWN_TABLES);
        let arena_index = || Some(table.number().checked_sub(self.arena.number())? + OWN_TABLES);
        self.tables.get(own_index.or_else(arena_index)? as usize)
    }

    fn allocate(&mut self) -> Option<Frame> {
        let index = self.used;
        self.used += 1;
        (index < self.tables.len() as u64).then(|| self.frame(index))
    }

    fn free(&mut self, _: Frame) {
        panic!("mapping gives no table back");
    }
}

/// Makes the tables and audits them. Returns how many of the plan's tables were left over.
///
/// # Panics
/// If a mapping fails, above all for want of a table, or the auditor finds something.
pub fn build_and_audit(placed: &PlacedPlan<'_>, map: &MemoryMap<'_>) -> u64 {
    let arena = placed.plan().arena();
    let first = placed.base().checked_add(arena.tables_offset()).unwrap().frame();
    let count = arena.table_count() + OWN_TABLES;
    let mut store = Tables { tables: (0..count).map(|_| Table::new()).collect(), used: 0, arena: first };
    let tree = PageTable::ttbr1(store.allocate().unwrap());
    let loader = loader_parts();
    for part in &loader {
        let attributes = Attributes::kernel(part.rights.unwrap());
        tree.build(&mut store, part.virt, part.phys, attributes, PageSize::Size4K).unwrap();
    }
    assert_eq!(store.used, OWN_TABLES);
    let low_root = store.allocate();
    for mapping in placed.mappings(map.regions()) {
        tree.build(&mut store, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)
            .unwrap_or_else(|error| panic!("{mapping}: {error}"));
    }
    let parts = parts(placed, loader);
    let guards: Vec<_> = layout::stack_guard(placed.plan().stack().start().get()).into_iter().collect();
    let expectation = Expectation {
        tree,
        low_root,
        parts: &parts,
        guards: &guards,
        direct_map_offset: placed.plan().placement().direct_map_offset,
        regions: map.regions(),
    };
    audit(&store, &expectation, &mut |finding| panic!("{finding}\n{placed}"));
    count - store.used
}

/// Text, constants and data of the resident loader, as the entry code maps them.
fn loader_parts() -> Vec<Part> {
    let part = |offset: u64, length: u64, rights: Rights| Part {
        place: Place::Loader,
        virt: VirtRange::from_bounds(
            layout::LOADER.start().get() + offset,
            layout::LOADER.start().get() + offset + length,
        )
        .unwrap(),
        phys: PhysAddr::new(IMAGE + offset).unwrap(),
        rights: Some(rights),
        memory: MemoryType::WriteBack,
    };
    vec![part(0x1000, 0x3000, ReadExecute), part(0x4000, 0x2000, ReadOnly), part(0x6000, 0x3000, ReadWrite)]
}

/// What the contract has mapped for a plan, stated from its extents and sizes, not from its mappings.
fn parts(placed: &PlacedPlan<'_>, loader: Vec<Part>) -> Vec<Part> {
    let plan = placed.plan();
    let part = |place, virt: VirtRange, phys, rights, memory| Part {
        place,
        virt,
        phys,
        rights: Some(rights),
        memory,
    };
    let at = |offset| placed.base().checked_add(offset).unwrap();
    let mut parts = loader;
    for extent in plan.extents() {
        parts.push(part(
            Place::Kernel,
            extent.virt(),
            placed.phys(extent),
            extent.rights(),
            MemoryType::WriteBack,
        ));
    }
    let info = at(plan.arena().boot_info_offset());
    parts.push(part(Place::BootInfo, plan.boot_info(), info, ReadOnly, MemoryType::WriteBack));
    let stack = at(plan.arena().stack_offset());
    parts.push(part(Place::BootStack, plan.stack(), stack, ReadWrite, MemoryType::WriteBack));
    if let Some((virt, registers)) = plan.console().zip(plan.site().console) {
        let phys = registers.aligned_outward(PageSize::Size4K).start();
        parts.push(part(Place::Console, virt, phys, ReadWrite, MemoryType::DeviceNGnRE));
    }
    parts.sort_by_key(|part| part.virt.start());
    parts
}
