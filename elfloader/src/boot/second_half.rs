//! The second half of the boot: the kernel.

use shared_abi::addr::PhysRange;
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::image::header::BootFlags;
use shared_abi::image::payload::{Kind, PayloadError};
use shared_abi::page_table::{PageTable, TableError, TableStore as _};

use super::environment::Environment;
use super::stages::{Built, Found, Kernel, KernelTables, Loaded, Mapped, Planned, Ready};
use crate::boot_facts::{self, Entered, Facts, Tables};
use crate::boot_memory;
use crate::error::BootError;
use crate::kernel_elf::KernelElf;
use crate::plan::{LoadPlan, Placement, Policy, Purpose, Room};
use crate::recorder::Recorders;
use crate::stage::Stage;

impl<'a> Mapped<'_, 'a> {
    /// Reads the kernel in `place`, which is empty.
    pub(super) fn read_kernel<'s, E: Environment<'a>>(
        &'s mut self,
        environment: &mut E,
        place: &'s mut Option<KernelElf<'a>>,
    ) -> Result<Kernel<'s, 'a>, BootError<'a>> {
        environment.begin(Stage::ReadKernel);
        let payload = &self.found.opened.image.payload;
        // The device tree's was compared before its seeds were wiped, if it is in use.
        for entry in payload.entries().filter(|entry| entry.kind != Kind::DEVICE_TREE) {
            payload.verify(&entry, environment.crc32c())?;
        }
        let entry = payload.kernel().ok_or(PayloadError::NoKernel)?;
        let elf = KernelElf::parse_into(place, payload.bytes(&entry))?;
        Ok(Kernel { found: &self.found, map: self.map, entry, elf })
    }
}

impl<'s, 'a> Kernel<'s, 'a> {
    /// Decides all places, the plan's lists in `room`.
    pub(super) fn plan<E: Environment<'a>>(
        self,
        environment: &mut E,
        room: &'s mut Room,
    ) -> Result<Planned<'s, 'a>, BootError<'a>> {
        let Self { found, map, entry, elf } = self;
        environment.begin(Stage::Plan);
        let policy = environment.policy(Policy::new(elf.note(), found.command_line.allows_randomness()));
        let ram_end = map.mapped_span().map_or(0, PhysRange::end);
        let placement = Placement::choose(elf, &policy, found.entropy.layout, ram_end)?;
        let image = &found.opened.image;
        let file = image.range_of(&entry);
        let recorders = match boot_memory::take_recorders(map, elf) {
            Some(place) => Some(Recorders::find(place, environment.read(place)?, environment.crc32c())),
            None => None,
        };
        let facts =
            boot_facts::size(image, entry.name(), found.machine, found.command_line, recorders.is_some());
        let site = boot_memory::site(image, file, elf, found.machine, map, facts);
        let plan = LoadPlan::new(elf, placement, site, map.regions(), room)?;
        let arena = boot_memory::take_arena(map, &plan)?;
        let placed = plan.place(arena)?;
        Ok(Planned { found, map, entry, arena, placed, recorders })
    }
}

impl<'s, 'a> Planned<'s, 'a> {
    /// Writes the kernel's pages.
    pub(super) fn load<'p, E: Environment<'a>>(
        &'p mut self,
        environment: &mut E,
    ) -> Result<Loaded<'p, 's, 'a>, BootError<'a>> {
        environment.begin(Stage::Load);
        let relocations = environment.load(self)?;
        if let Some(recorders) = &self.recorders {
            environment.begin_recorder(recorders);
        }
        Ok(Loaded { planned: self, relocations })
    }
}

impl<'p, 's, 'a> Loaded<'p, 's, 'a> {
    /// Says what became of the memory, and maps it for the kernel.
    pub(super) fn build_tables<E: Environment<'a>>(
        self,
        environment: &mut E,
    ) -> Result<Built<'p, 's, 'a, E::Tables>, BootError<'a>> {
        environment.begin(Stage::BuildTables);
        let mut tables = environment.tables(&self)?;
        let Self { planned, relocations } = self;
        let Found { opened, .. } = planned.found;
        let Entered { level, flags, .. } = opened.entered;
        boot_memory::describe(planned.map, &opened.image, &planned.placed, level, flags)?;
        let missing = TableError::OutOfTables { needed: 1, available: 0 };
        let low_root = tables.allocate().ok_or(missing)?;
        let mut tree = PageTable::ttbr1(opened.image.tables.start().frame()).builder(&mut tables);
        let mappings = planned.placed.mappings(planned.map.regions());
        // The console is mapped already, at the same place.
        for mapping in mappings.filter(|mapping| mapping.purpose != Purpose::Console) {
            tree.map(mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
            environment.map(&mapping);
        }
        let built = Built { planned, relocations, tables, low_root };
        environment.publish(&built);
        Ok(built)
    }
}

impl<'s, 'a, T: KernelTables> Built<'_, 's, 'a, T> {
    /// Writes the facts where the kernel will read them, timeline and log last.
    pub(super) fn write_boot_info<E: Environment<'a, Tables = T>>(
        self,
        environment: &mut E,
    ) -> Result<Ready, BootError<'a>> {
        environment.begin(Stage::WriteBootInfo);
        let Planned { found, map, entry, placed, .. } = self.planned;
        let Found { opened, machine, tree, command_line, entropy } = found;
        let registers = EntryRegisters::ABI_1.with_physical_size(opened.physical_size);
        let roots = environment.set_registers(&registers, &self);
        if placed.plan().elf().note().wants_secondaries() {
            environment.let_others_come(&registers, roots, opened.entered.level)?;
        }
        let facts = Facts {
            entered: opened.entered,
            processor: environment.processor(),
            image: &opened.image,
            kernel_name: entry.name(),
            tree: *tree,
            machine,
            command_line: *command_line,
            entropy,
            placed,
            recorders: self.planned.recorders.as_ref(),
            relocations: self.relocations,
            regions: map.regions(),
            mapped: map.mapped_span().unwrap_or_default(),
            tables: Tables { low_root: self.low_root(), used: self.tables.used() as u64 },
            registers: &boot_facts::registers_as_set(&registers, roots),
        };
        let boot_info = boot_facts::begin(&facts, environment.boot_info(&self))?;
        environment.finish(boot_info, self.planned)?;
        environment.check(&self)?;
        let plan = placed.plan();
        Ok(Ready {
            boot_info: plan.boot_info().start(),
            entry: plan.entry(),
            stack_top: plan.stack().end(),
            low_root: self.low_root(),
            tables: opened.image.tables,
            direct_map_offset: plan.placement().direct_map_offset,
            registers,
            pause: opened.image.header.boot_flags.contains(BootFlags::PAUSE),
        })
    }
}
