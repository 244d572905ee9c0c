//! The stages: what a boot has come to, each holding what the ones before it found.

use shared_abi::addr::{Frame, PhysAddr, PhysRange, VirtAddr};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::image::payload::Entry;
use shared_abi::page_table::TableStore;

use crate::boot_facts::Entered;
use crate::boot_memory::Tree;
use crate::command_line::CommandLine;
use crate::device_tree::Survey;
use crate::entropy::Entropy;
use crate::image::Image;
use crate::kernel_elf::KernelElf;
use crate::memory_map::{MemoryMap, Region};
use crate::plan::PlacedPlan;
use crate::platform::{Console, Machine};
use crate::recorder::Recorders;

/// The image is open: header page, payload table and end marker are right, and all of the loader lies in it.
pub struct Opened<'a> {
    pub(super) entered: Entered,
    pub(super) physical_size: PhysicalSize,
    pub(super) image: Image<'a>,
    pub(super) early_console: Option<Console>,
}

/// The machine is described. Nothing was written to memory.
pub struct Described<'s, 'a> {
    pub(super) opened: &'s Opened<'a>,
    pub(super) machine: &'s mut Machine<'a>,
    pub(super) tree: Tree,
    pub(super) survey: Survey,
    pub(super) command_line: CommandLine<'a>,
}

impl<'s, 'a> Described<'s, 'a> {
    /// How the image was entered.
    pub const fn entered(&self) -> &Entered {
        &self.opened.entered
    }

    /// The image.
    pub const fn image(&self) -> &Image<'a> {
        &self.opened.image
    }

    /// The machine.
    pub const fn machine(&self) -> &Machine<'a> {
        self.machine
    }
}

/// What is there, whatever the kernel.
pub(super) struct Found<'s, 'a> {
    pub(super) opened: &'s Opened<'a>,
    pub(super) machine: &'s Machine<'a>,
    pub(super) tree: Tree,
    pub(super) command_line: CommandLine<'a>,
    pub(super) entropy: Entropy,
}

/// All memory has its use, and the tree is where the kernel will find it, without its seeds.
pub struct Mapped<'s, 'a> {
    pub(super) found: Found<'s, 'a>,
    pub(super) map: &'s mut MemoryMap<'a>,
}

impl<'a> Mapped<'_, 'a> {
    /// The memory.
    pub const fn map(&self) -> &MemoryMap<'a> {
        self.map
    }
}

/// The kernel's file is good, and so is everything that is packed with it.
pub struct Kernel<'s, 'a> {
    pub(super) found: &'s Found<'s, 'a>,
    pub(super) map: &'s mut MemoryMap<'a>,
    pub(super) entry: Entry,
    pub(super) elf: &'s KernelElf<'a>,
}

/// Everything has its place, and nothing of the kernel was written yet.
pub struct Planned<'s, 'a> {
    pub(super) found: &'s Found<'s, 'a>,
    pub(super) map: &'s mut MemoryMap<'a>,
    pub(super) entry: Entry,
    pub(super) arena: PhysRange,
    pub(super) placed: PlacedPlan<'s>,
    pub(super) recorders: Option<Recorders>,
}

impl<'s, 'a> Planned<'s, 'a> {
    /// The plan.
    pub const fn placed(&self) -> &PlacedPlan<'s> {
        &self.placed
    }

    /// The memory that it was given: nobody else's.
    pub const fn arena(&self) -> PhysRange {
        self.arena
    }

    /// How the image was entered.
    pub const fn entered(&self) -> &Entered {
        &self.found.opened.entered
    }

    /// The image.
    pub const fn image(&self) -> &'s Image<'a> {
        &self.found.opened.image
    }

    /// The memory map as it is now.
    pub fn regions(&self) -> &[Region<'a>] {
        self.map.regions()
    }
}

/// The kernel's pages hold what they are to hold.
pub struct Loaded<'p, 's, 'a> {
    pub(super) planned: &'p mut Planned<'s, 'a>,
    pub(super) relocations: u64,
}

impl<'p, 's, 'a> Loaded<'p, 's, 'a> {
    /// The stage before.
    pub const fn planned(&self) -> &Planned<'s, 'a> {
        self.planned
    }
}

/// The tables under TTBR1: the loader's own four, in which it and the console are mapped, and those of the plan's pool.
pub trait KernelTables: TableStore {
    /// How many of the pool's are used.
    fn used(&self) -> usize;
}

/// The kernel's tables are complete.
pub struct Built<'p, 's, 'a, T> {
    pub(super) planned: &'p Planned<'s, 'a>,
    pub(super) relocations: u64,
    pub(super) tables: T,
    pub(super) low_root: Frame,
}

impl<'s, 'a, T: KernelTables> Built<'_, 's, 'a, T> {
    /// The plan that they map.
    pub const fn planned(&self) -> &Planned<'s, 'a> {
        self.planned
    }

    /// The tables.
    pub const fn tables(&self) -> &T {
        &self.tables
    }

    /// The empty table that TTBR0 is left with.
    pub const fn low_root(&self) -> PhysAddr {
        self.low_root.start()
    }
}

/// The kernel can be entered. Only the story makes one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// Where the kernel finds `BootInfo`: its x0.
    pub boot_info: VirtAddr,
    /// Its first instruction.
    pub entry: VirtAddr,
    /// The boot stack's top: its stack pointer.
    pub stack_top: u64,
    /// The empty table that TTBR0 is left with.
    pub low_root: PhysAddr,
    /// The four tables that the entry code filled.
    pub tables: PhysRange,
    /// Virtual address of physical address 0 in the direct map.
    pub direct_map_offset: u64,
    /// The registers that it is entered with.
    pub registers: EntryRegisters,
    /// Whether to wait before the last instruction, for a debugger.
    pub pause: bool,
}
