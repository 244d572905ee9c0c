//! A machine with two pieces of RAM, a kernel, and tables that keep the contract, written out by hand.

use shared_abi::addr::{Frame, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::memory::RegionKind;
use shared_abi::page_table::{PageTable, Table, TablePool, TableStore};
use shared_abi::rights::Rights::{self, ReadExecute, ReadOnly, ReadWrite};
use shared_abi::vmsa::{Attributes, Descriptor, MemoryType};

use crate::audit::{Expectation, Finding, Part, Place, Summary, audit};
use crate::memory_map::Region;

pub const TEXT: u64 = 0xFFFF_0000_0000_0000;
pub const RODATA: u64 = TEXT + 0x8000;
pub const DATA: u64 = TEXT + 0x1_0000;
pub const BSS: u64 = DATA + 0x2000;
pub const LOADER: u64 = 0xFFFF_0080_0000_1000;
pub const BOOT_INFO: u64 = 0xFFFF_0080_0010_0000;
pub const CONSOLE: u64 = 0xFFFF_0080_0018_0000;
pub const GUARD: u64 = 0xFFFF_0080_0020_0000;
pub const STACK: u64 = 0xFFFF_0080_01FF_0000;
pub const DIRECT: u64 = 0xFFFF_8000_0000_0000;

/// Frames of the table pool, and where it begins.
pub const POOL: u64 = 40;
pub const POOL_START: u64 = 0x4402_4000;

/// Bits 47 to 12 of a descriptor.
pub const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

pub fn virt(start: u64, length: u64) -> VirtRange {
    VirtRange::new(VirtAddr::new(start).unwrap(), length).unwrap()
}

pub fn region(start: u64, end: u64, kind: RegionKind) -> Region<'static> {
    Region { range: PhysRange::from_bounds(start, end).unwrap(), kind, node: 0, name: "" }
}

pub struct World<'t> {
    pub store: TablePool<'t>,
    pub tree: PageTable,
    pub low_root: Frame,
    pub parts: Vec<Part>,
    pub guards: Vec<VirtRange>,
    pub regions: Vec<Region<'static>>,
}

impl<'t> World<'t> {
    pub fn new(tables: &'t [Table]) -> Self {
        let mut store = TablePool::new(tables, Frame::new(POOL_START >> 12).unwrap());
        let tree = PageTable::ttbr1(store.allocate().unwrap());
        let low_root = store.allocate().unwrap();
        let part = |place, start, length, phys, rights: Rights| Part {
            place,
            virt: virt(start, length),
            phys: PhysAddr::new(phys).unwrap(),
            rights: Some(rights),
            memory: if place == Place::Console { MemoryType::DeviceNGnRE } else { MemoryType::WriteBack },
        };
        let parts = vec![
            part(Place::Kernel, TEXT, 0x8000, 0x4021_0000, ReadExecute),
            part(Place::Kernel, RODATA, 0x4000, 0x4021_8000, ReadOnly),
            part(Place::Kernel, DATA, 0x2000, 0x4022_0000, ReadWrite),
            part(Place::Kernel, BSS, 0x1_0000, 0x4400_0000, ReadWrite),
            part(Place::Loader, LOADER, 0x3000, 0x4020_1000, ReadExecute),
            part(Place::Loader, LOADER + 0x3000, 0x2000, 0x4020_4000, ReadOnly),
            part(Place::Loader, LOADER + 0x5000, 0x4000, 0x4020_6000, ReadWrite),
            part(Place::BootInfo, BOOT_INFO, 0x4000, 0x4402_0000, ReadOnly),
            part(Place::Console, CONSOLE, 0x1000, 0x0900_0000, ReadWrite),
            part(Place::BootStack, STACK, 0x1_0000, 0x4401_0000, ReadWrite),
        ];
        let regions = vec![
            region(0x4000_0000, 0x4020_0000, RegionKind::USABLE),
            region(0x4020_0000, 0x4021_0000, RegionKind::LOADER_RESIDENT),
            region(0x4021_0000, 0x4023_0000, RegionKind::KERNEL),
            region(0x4023_0000, 0x4200_0000, RegionKind::USABLE),
            region(0x4200_0000, 0x4210_0000, RegionKind::NO_MAP),
            region(0x4210_0000, 0x4400_0000, RegionKind::USABLE),
            region(0x4400_0000, 0x4401_0000, RegionKind::KERNEL),
            region(0x4401_0000, 0x4402_0000, RegionKind::BOOT_STACK),
            region(0x4402_0000, POOL_START, RegionKind::BOOT_INFO),
            region(POOL_START, POOL_START + (POOL << 12), RegionKind::PAGE_TABLES),
            region(POOL_START + (POOL << 12), 0x4800_0000, RegionKind::USABLE),
            region(0x8000_0000, 0xC000_0000, RegionKind::USABLE),
            region(0x1_0000_0000, 0x1_2000_0000, RegionKind::UNADDRESSABLE),
        ];
        let guards = vec![virt(GUARD, STACK - GUARD)];
        let mut world = Self { store, tree, low_root, parts, guards, regions };
        for part in world.parts.clone() {
            let attributes = match part.place {
                Place::Console => Attributes::KERNEL_DEVICE,
                _ => Attributes::kernel(part.rights.unwrap()),
            };
            world.map(
                part.virt.start().get(),
                part.virt.len(),
                part.phys.get(),
                attributes,
                PageSize::Size2M,
            );
        }
        // The direct map by hand. Two runs are of pages so that tests can change single ones.
        for (start, end, rights, largest) in [
            (0x4000_0000, 0x4020_0000, ReadWrite, PageSize::Size1G),
            (0x4020_0000, 0x4021_C000, ReadOnly, PageSize::Size4K),
            (0x4021_C000, 0x4200_0000, ReadWrite, PageSize::Size1G),
            (0x4210_0000, 0x4400_0000, ReadWrite, PageSize::Size1G),
            (0x4400_0000, 0x4420_0000, ReadWrite, PageSize::Size4K),
            (0x4420_0000, 0x4800_0000, ReadWrite, PageSize::Size1G),
            (0x8000_0000, 0xC000_0000, ReadWrite, PageSize::Size1G),
        ] {
            world.map(DIRECT + start, end - start, start, Attributes::kernel(rights), largest);
        }
        world
    }

    pub fn map(&mut self, start: u64, length: u64, phys: u64, attributes: Attributes, largest: PageSize) {
        let phys = PhysAddr::new(phys).unwrap();
        self.tree.map(&mut self.store, virt(start, length), phys, attributes, largest).unwrap();
    }

    pub fn expectation(&self) -> Expectation<'_> {
        Expectation {
            tree: self.tree,
            low_root: Some(self.low_root),
            parts: &self.parts,
            guards: &self.guards,
            direct_map_offset: DIRECT,
            regions: &self.regions,
        }
    }

    pub fn audit(&self, mut report: impl FnMut(Finding)) -> Summary {
        audit(&self.store, &self.expectation(), &mut report)
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut found = vec![];
        self.audit(|finding| found.push(finding));
        found
    }

    /// The table and index of the entry at `level`, or of the leaf above it, that translates `address`.
    fn slot(&self, address: u64, level: u32) -> (Frame, usize) {
        let mut table = self.tree.root();
        for step in 0..=level {
            let index = (address >> (39 - 9 * step) & 511) as usize;
            let entry = self.store.table(table).unwrap().load(index).bits();
            if step == level || entry & 3 != 3 {
                return (table, index);
            }
            table = Frame::new((entry & ADDRESS) >> 12).unwrap();
        }
        unreachable!()
    }

    fn change(&mut self, (table, index): (Frame, usize), change: impl FnOnce(u64) -> u64) {
        let table = self.store.table(table).unwrap();
        let bits = change(table.load(index).bits());
        table.store(index, Descriptor::from_bits_retain(bits));
    }

    /// Changes the leaf that maps `address`.
    pub fn poke(&mut self, address: u64, change: impl FnOnce(u64) -> u64) {
        self.change(self.slot(address, 3), change);
    }

    /// Changes the descriptor at `level` on the way to `address`.
    pub fn poke_table(&mut self, address: u64, level: u32, change: impl FnOnce(u64) -> u64) {
        self.change(self.slot(address, level), change);
    }

    /// Puts a block where a level 3 table was.
    pub fn replace_table(&mut self, address: u64, bits: u64) {
        self.poke_table(address, 2, |_| bits);
    }

    /// Sets an entry of the root.
    pub fn root_entry(&mut self, index: usize, descriptor: Descriptor) {
        self.store.table(self.tree.root()).unwrap().store(index, descriptor);
    }
}
