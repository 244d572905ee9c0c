//! Boots on the host: the loader's own story on a made-up machine, told up to the jump, with an audit of the tables that
//! it leaves and a look at everything before they are gone.
//!
//! ```text
//! 0x4000_0000    RAM, 3 GiB: the device tree; from +0x10_0000 a no-map hole and a reservation of firmware
//! 0x4020_0000    image: header page; resident loader from +0x1000; the loader's four tables at +0x9000
//! 0x4021_0000    the kernel's file
//! 0x1_8000_0000  RAM, 1 GiB, on a second node: an initial RAM disk, if there is one
//! ```

#![allow(dead_code, reason = "each user of the file needs its part")]

use elfloader::audit::{Expectation, Part, Place, audit};
use elfloader::boot::{
    self, Built, Described, Environment, KernelTables, Loaded, LoaderParts, Mapped, Planned, Scratch,
};
use elfloader::boot_facts::{self, Entered, Processor};
use elfloader::boot_memory::Tree;
use elfloader::device_tree::{Pruned, Survey};
use elfloader::entropy::{Entropy, Offered};
use elfloader::error::BootError;
use elfloader::image::Image;
use elfloader::layout;
use elfloader::memory_map::Region;
use elfloader::plan::{Mapping, PlacedPlan, Policy, Purpose};
use elfloader::platform::{Console, Machine};
use elfloader::recorder::Recorders;
use elfloader::stage::Stage;
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::{BootInfo, BootInfoWriter, ClosedFeatures, PlatformFlags, WriteError};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::crc32c::{Crc32c, crc32c};
use shared_abi::image::header::{BootFlags, HEADER_PAGE, Header, LogLevel};
use shared_abi::image::payload::{EndMarker, Entry, Kind, PayloadTable, name_field};
use shared_abi::page_table::{PageTable, Table, TableError, TableStore};
use shared_abi::rights::Rights::{self, ReadExecute, ReadOnly, ReadWrite};
use shared_abi::vmsa::{Attributes, MemoryType};
use zerocopy::IntoBytes;

use crate::tree_builder;

/// Where the kernel's file lies.
pub const KERNEL: u64 = IMAGE + KERNEL_OFFSET;

const IMAGE: u64 = 0x4020_0000;
const KERNEL_OFFSET: u64 = 0x1_0000;
const TREE: u64 = 0x4000_0000;
const INITRD: u64 = 0x1_8000_0000;

/// Parts of the image by offset.
const RESIDENT: u64 = 0x1000;
const TABLES: u64 = 0x9000;
const LOADER_END: u64 = 0xD000;

/// What is booted.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The kernel's file.
    pub kernel: &'a [u8],
    /// What decides its place.
    pub policy: Policy,
    /// Randomness for the layout.
    pub layout: [u64; 2],
    /// Bytes of an initial RAM disk, so that the arena comes to lie elsewhere.
    pub initrd: u64,
    /// The largest arena that is carried out, in bytes; larger plans are only made.
    pub largest: u64,
}

/// Boots, audits the tables, reads `BootInfo` back, and has `look` see the plan with the memory map as it is handed over.
/// A refusal is its code and its words.
///
/// # Panics
/// If a table is missing, the auditor finds something, or `BootInfo` does not fit its room or cannot be read.
pub fn boot(
    source: Source<'_>,
    look: impl FnMut(&PlacedPlan<'_>, &[Region<'_>]),
) -> Result<(), (u16, String)> {
    let (image, tree) = (image(source.kernel), tree());
    let mut boot_info = vec![0_u64; layout::BOOT_INFO.len() as usize / 8];
    {
        let mut host = Host {
            source,
            memory: [(TREE, tree.as_bytes()), (IMAGE, image.as_bytes())],
            boot_info: boot_info.as_mut_bytes(),
            look,
        };
        let arguments = [TREE, 0, 0, 0];
        let entered = Entered { arguments, level: 1, flags: PlatformFlags::default() };
        let (mut pruned, mut scratch) = (Box::new(Pruned::new()), Box::<Scratch<'_>>::default());
        boot::boot(&mut host, entered, &mut pruned, &mut scratch).map_err(|error| {
            assert!(!matches!(error, BootError::Write(_)), "the plan makes room for BootInfo: {error}");
            (error.code(), error.to_string())
        })?;
    }
    if let Err(error) = BootInfo::decode(boot_info.as_bytes()) {
        panic!("{error}");
    }
    Ok(())
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::from_bounds(start, end).unwrap()
}

/// A part of the image.
fn part(start: u64, end: u64) -> PhysRange {
    range(IMAGE + start, IMAGE + end)
}

/// The image with a kernel and nothing else, in words since it lies at a multiple of 8.
fn image(kernel: &[u8]) -> Vec<u64> {
    let end = (KERNEL_OFFSET + kernel.len() as u64).next_multiple_of(PAGE);
    let image_size = end + EndMarker::SIZE;
    let header = Header {
        image_size,
        loader_length: LOADER_END - RESIDENT,
        payload_table_offset: LOADER_END,
        boot_flags: BootFlags::default(),
        log_level: LogLevel::Normal,
        phys_tree_hint: 0,
    };
    let mut words = vec![0; image_size as usize / 8];
    let bytes = words.as_mut_bytes();
    bytes[..HEADER_PAGE].copy_from_slice(&header.encode(crc32c));
    // Pages of zeros are there already, without the host having made them.
    for (page, place) in
        kernel.chunks(PAGE as usize).zip(bytes[KERNEL_OFFSET as usize..].chunks_mut(PAGE as usize))
    {
        if page.iter().any(|byte| *byte != 0) {
            place[..page.len()].copy_from_slice(page);
        }
    }
    let entry = Entry::new(Kind::KERNEL, name_field("kernel").unwrap(), KERNEL_OFFSET, kernel.len() as u64);
    let table = &mut bytes[LOADER_END as usize..];
    let marker = PayloadTable::encode(&[entry], image_size, table, crc32c).unwrap();
    bytes[end as usize..].copy_from_slice(&marker.to_bytes());
    words
}

/// The machine's device tree, in words as well.
fn tree() -> Vec<u64> {
    let memory = |tree: tree_builder::Tree, start: u64, length: u64, node: u32| {
        tree.node(&format!("memory@{start:x}"), |tree| {
            let cells = [(start >> 32) as u32, start as u32, (length >> 32) as u32, length as u32];
            tree.text("device_type", "memory").cells("reg", &cells).cells("numa-node-id", &[node])
        })
    };
    let tree = tree_builder::Tree::new();
    let tree = memory(tree, 0x4000_0000, 0xC000_0000, 0);
    let tree = memory(tree, INITRD, 0x4000_0000, 1)
        .node("reserved-memory", |tree| {
            tree.cells("#address-cells", &[2])
                .cells("#size-cells", &[2])
                .bytes("ranges", &[])
                .node("secure@40100000", |tree| {
                    tree.cells("reg", &[0, 0x4010_0000, 0, 0x3000]).bytes("no-map", &[])
                })
                .node("spin@40103000", |tree| tree.cells("reg", &[0, 0x4010_3000, 0, 0x5000]))
        })
        .node("cpus", |tree| {
            tree.cells("#address-cells", &[1])
                .cells("#size-cells", &[0])
                .node("cpu@0", |tree| tree.text("device_type", "cpu").cells("reg", &[0]))
        })
        .node("serial@9000800", |tree| {
            tree.text("compatible", "arm,pl011").cells("reg", &[0, 0x0900_0800, 0, 0x100])
        })
        .node("chosen", |tree| tree.text("stdout-path", "/serial@9000800"))
        .finish();
    let mut words = vec![0; tree.len().div_ceil(8)];
    words.as_mut_bytes()[..tree.len()].copy_from_slice(&tree);
    words
}

/// A machine that is not there.
struct Host<'a, F> {
    source: Source<'a>,
    /// Bytes in memory and where they begin: the tree and the image.
    memory: [(u64, &'a [u8]); 2],
    boot_info: &'a mut [u8],
    look: F,
}

impl<'a, F: FnMut(&PlacedPlan<'_>, &[Region<'_>])> Environment<'a> for Host<'a, F> {
    type Tables = Tables;

    fn loader(&self) -> LoaderParts {
        LoaderParts {
            all: part(0, LOADER_END),
            resident: part(RESIDENT, TABLES),
            stub: part(RESIDENT, RESIDENT + PAGE),
            secondary: part(TABLES - PAGE, TABLES),
            secondary_entry: part(RESIDENT, RESIDENT + PAGE).start(),
            tables: part(TABLES, LOADER_END),
        }
    }

    fn physical_size(&self) -> PhysicalSize {
        PhysicalSize::from_id(0b100)
    }

    fn processor(&self) -> Processor {
        Processor {
            affinity: 0,
            model: 0,
            physical_size: self.physical_size(),
            timer_frequency: 0,
            closed_above_el1: ClosedFeatures::empty(),
        }
    }

    fn crc32c(&self) -> Crc32c {
        crc32c
    }

    fn entropy(&self, _: Offered<'_>) -> Entropy {
        Entropy { layout: self.source.layout, ..Entropy::gather(&Offered::default()) }
    }

    fn policy(&self, _: Policy) -> Policy {
        self.source.policy
    }

    fn image(&mut self, length: u64) -> Result<&'a [u8], TableError> {
        let [_, (_, image)] = self.memory;
        Ok(&image[..image.len().min(length as usize)])
    }

    fn read(&mut self, range: PhysRange) -> Result<&'a [u8], TableError> {
        let inside = |(start, bytes): (u64, &'a [u8])| {
            let bytes = bytes.get(range.start().get().checked_sub(start)? as usize..)?;
            Some(&bytes[..bytes.len().min(range.len() as usize)])
        };
        Ok(self.memory.into_iter().find_map(inside).expect("only the tree and the image are read"))
    }

    fn begin(&mut self, _: Stage) {}

    fn obey(&mut self, _: &Header) {}

    fn opened(&mut self, _: &Image<'a>) {}

    fn start_early_console(&mut self, _: &Console) -> Result<(), TableError> {
        Ok(())
    }

    fn amend(&mut self, machine: &mut Machine<'a>) {
        let initrd = range(INITRD, INITRD + self.source.initrd);
        machine.boot.initrd = Some(initrd).filter(|initrd| !initrd.is_empty());
    }

    fn start_console(&mut self, _: &Machine<'a>) -> Result<(), TableError> {
        Ok(())
    }

    fn described(&mut self, _: &Described<'_, 'a>) {}

    fn settle_tree(&mut self, _: &Tree, _: PhysRange, _: &Survey) -> Result<(), TableError> {
        Ok(())
    }

    fn mapped(&mut self, _: &Mapped<'_, 'a>) {}

    fn load(&mut self, planned: &Planned<'_, 'a>) -> Result<u64, TableError> {
        if planned.arena().len() > self.source.largest {
            return Err(TableError::OutOfTables { needed: 1, available: 0 });
        }
        let mut relocations = 0;
        planned.placed().relocate(|_, _| relocations += 1);
        Ok(relocations)
    }

    fn begin_recorder(&mut self, _: &Recorders) {}

    fn tables(&mut self, loaded: &Loaded<'_, '_, 'a>) -> Result<Tables, TableError> {
        Ok(Tables::new(loaded.planned()))
    }

    fn map(&mut self, _: &Mapping) {}

    fn publish(&mut self, _: &Built<'_, '_, 'a, Tables>) {}

    fn set_registers(&mut self, _: &EntryRegisters, built: &Built<'_, '_, 'a, Tables>) -> [u64; 3] {
        let vectors = layout::LOADER.start().get() + RESIDENT;
        [built.low_root().get(), IMAGE + TABLES, vectors]
    }

    fn let_others_come(&mut self, _: &EntryRegisters, _: [u64; 3], _: u64) -> Result<(), TableError> {
        Ok(())
    }

    fn boot_info(&mut self, built: &Built<'_, '_, 'a, Tables>) -> &'a mut [u8] {
        let length = built.planned().placed().boot_info().len() as usize;
        &mut std::mem::take(&mut self.boot_info)[..length]
    }

    fn finish(&mut self, boot_info: BootInfoWriter<'_>, _: &Planned<'_, 'a>) -> Result<(), WriteError> {
        let timeline = Stage::NAMES.into_iter().map(|name| (name, 0));
        let log = [b'.'; boot_facts::LOG_CAPACITY];
        boot_facts::finish(boot_info, timeline, &log, true, crc32c).map(drop)
    }

    fn check(&mut self, built: &Built<'_, '_, 'a, Tables>) -> Result<(), BootError<'a>> {
        let (placed, regions) = (built.planned().placed(), built.planned().regions());
        audit_tables(built.tables(), built.low_root().frame(), placed, regions);
        (self.look)(placed, regions);
        Ok(())
    }
}

/// The loader's own tables and the arena's: exactly as many as the plan made room for.
struct Tables {
    own: (Frame, Vec<Table>),
    pool: (Frame, Vec<Table>),
    used: usize,
}

impl Tables {
    /// With the loader and the console mapped, as they are before the kernel is.
    fn new(planned: &Planned<'_, '_>) -> Self {
        let run = |range: PhysRange| {
            (range.start().frame(), (0..range.len() / PAGE).map(|_| Table::new()).collect())
        };
        let mut tables =
            Self { own: run(part(TABLES, LOADER_END)), pool: run(planned.placed().table_pool()), used: 0 };
        let root = tables.allocate().unwrap();
        let mut tree = PageTable::ttbr1(root).builder(&mut tables);
        for part in loader_parts() {
            let attributes = Attributes::kernel(part.rights.unwrap());
            tree.map(part.virt, part.phys, attributes, PageSize::Size4K).unwrap();
        }
        let mut mappings = planned.placed().mappings(planned.regions());
        let console = mappings.find(|mapping| mapping.purpose == Purpose::Console).unwrap();
        tree.map(console.virt, console.phys, console.attributes, console.largest).unwrap();
        assert_eq!(tables.used, tables.own.1.len());
        tables
    }
}

impl TableStore for Tables {
    fn table(&self, table: Frame) -> Option<&Table> {
        let find = |(first, tables): &'_ (Frame, Vec<Table>)| {
            let index = table.number().checked_sub(first.number())?;
            Some(index as usize).filter(|index| *index < tables.len())
        };
        let own = find(&self.own).map(|index| &self.own.1[index]);
        own.or_else(|| find(&self.pool).map(|index| &self.pool.1[index]))
    }

    fn allocate(&mut self) -> Option<Frame> {
        let index = self.used;
        self.used += 1;
        let (first, index) = match index.checked_sub(self.own.1.len()) {
            None => (self.own.0, index),
            Some(index) if index < self.pool.1.len() => (self.pool.0, index),
            Some(_) => panic!("the plan has made room for too few tables"),
        };
        first.checked_add(index as u64)
    }

    fn free(&mut self, _: Frame) {
        panic!("mapping gives no table back");
    }
}

impl KernelTables for Tables {
    fn used(&self) -> usize {
        self.used - self.own.1.len()
    }
}

/// Has the auditor look at tables that were made for a plan.
fn audit_tables(tables: &Tables, low_root: Frame, placed: &PlacedPlan<'_>, regions: &[Region<'_>]) {
    let parts = parts(placed);
    let guards: Vec<_> = layout::stack_guard(placed.plan().stack().start().get()).into_iter().collect();
    let expectation = Expectation {
        tree: PageTable::ttbr1(tables.own.0),
        low_root: Some(low_root),
        parts: &parts,
        guards: &guards,
        direct_map_offset: placed.plan().placement().direct_map_offset,
        regions,
    };
    audit(tables, &expectation, &mut |finding| panic!("{finding}\n{placed}"));
}

/// Text, constants and data of the resident loader, as the entry code maps them.
fn loader_parts() -> Vec<Part> {
    let part = |offset: u64, end: u64, rights: Rights| {
        let window = layout::LOADER.start().get();
        let virt = VirtRange::from_bounds(window + offset, window + end).unwrap();
        let phys = PhysAddr::new(IMAGE + offset).unwrap();
        Part { place: Place::Loader, virt, phys, rights: Some(rights), memory: MemoryType::WriteBack }
    };
    vec![part(RESIDENT, 0x4000, ReadExecute), part(0x4000, 0x6000, ReadOnly), part(0x6000, TABLES, ReadWrite)]
}

/// What the contract has mapped for a plan, stated from its extents and sizes, not from its mappings.
fn parts(placed: &PlacedPlan<'_>) -> Vec<Part> {
    let plan = placed.plan();
    let part = |place, virt: VirtRange, phys, rights, memory| Part {
        place,
        virt,
        phys,
        rights: Some(rights),
        memory,
    };
    let at = |offset| placed.base().checked_add(offset).unwrap();
    let mut parts = loader_parts();
    for extent in plan.extents() {
        let (virt, phys) = (extent.virt(), placed.phys(extent));
        parts.push(part(Place::Kernel, virt, phys, extent.rights(), MemoryType::WriteBack));
    }
    let info = at(plan.arena().boot_info_offset());
    parts.push(part(Place::BootInfo, plan.boot_info(), info, ReadOnly, MemoryType::WriteBack));
    let stack = at(plan.arena().stack_offset());
    parts.push(part(Place::BootStack, plan.stack(), stack, ReadWrite, MemoryType::WriteBack));
    let registers = PhysAddr::new(0x0900_0000).unwrap();
    parts.push(part(Place::Console, plan.console().unwrap(), registers, ReadWrite, MemoryType::DeviceNGnRE));
    parts.sort_by_key(|part| part.virt.start());
    parts
}
