//! The story: one step a line, errors up, nothing changed in memory before the plan stands.

mod firmware;
mod image;
mod tables;

use core::fmt::Write as _;

use elfloader::command_line::CommandLine;
use elfloader::entropy::Entropy;
use elfloader::handoff::{self, Entered, Facts, Processor, Tables};
use elfloader::image::Image;
use elfloader::kernel_elf::KernelElf;
use elfloader::memory_map::MemoryMap;
use elfloader::occupancy::{self, Tree};
use elfloader::plan::{LoadPlan, PlacedPlan, Placement, Policy, Room};
use elfloader::platform::Machine;
use handoff_bare::cache::{self, Reach};
use shared_abi::addr::{PAGE, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::PlatformFlags;
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::image::header::{BootFlags, LogLevel};
use shared_abi::image::payload::Kind;
use shared_abi::page_table::PageTable;
use shared_abi::rights::Rights;
use shared_abi::verdict::Ending;

use crate::machine::ending::MEANS;
use crate::machine::entry::EntryFlags;
use crate::machine::jump::{self, Jump};
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::IdentityMap;
use crate::machine::{cpu, report, scratch, self_check, stages};
use elfloader::error::{BootError, EntryError};

/// Where the entry code leads, with the MMU on: the first line of Rust.
#[unsafe(no_mangle)]
extern "C" fn start(x0: u64, x1: u64, x2: u64, x3: u64, image: u64, level: u64, ticks: u64, flags: u64) -> ! {
    stages::begin_at("enter", ticks);
    let flags = platform_flags(EntryFlags(flags), level);
    match boot(image, Entered { arguments: [x0, x1, x2, x3], level, flags }) {
        // SAFETY: `boot` has prepared every field, and its last step was to confirm the tables by the hardware.
        Ok(jump) => unsafe { jump::jump(&jump) },
        Err(error) => refuse(&error),
    }
}

/// What of the entry the kernel is told.
fn platform_flags(found: EntryFlags, level: u64) -> PlatformFlags {
    let flag = |set: bool, flag: PlatformFlags| if set { flag } else { PlatformFlags::default() };
    flag(found.has(EntryFlags::NO_FIRMWARE), PlatformFlags::NO_FIRMWARE)
        | flag(found.has(EntryFlags::E2H_STUCK), PlatformFlags::ENTERED_WITH_E2H)
        | flag(found.has(EntryFlags::CACHES_ON), PlatformFlags::ENTERED_WITH_MMU)
        | flag(level >= 2 && cpu::has_el2(), PlatformFlags::EL2_STUB)
}

#[cold]
fn refuse(error: &BootError) -> ! {
    let log = log().line(LogLevel::Quiet);
    log.mark();
    let code = error.code();
    // The log takes every byte; there is no error to act on.
    let _ = writeln!(log, "error E{code:04}: {error}");
    log.say_without_console();
    MEANS.end(Ending::Refused, code)
}

fn boot(image: u64, entered: Entered) -> Result<Jump, BootError> {
    let misplaced = EntryError::Place { phys: image };
    let own = OwnImage::at(image).ok_or(misplaced)?;
    let mut identity = IdentityMap::inherit(&own).ok_or(misplaced)?;
    let scratch = scratch::take().ok_or(misplaced)?;
    let processor = cpu::processor();
    tables::name_loader();

    stages::begin("read the image");
    let image = image::open(&own, &mut identity)?;
    let early = firmware::start_early_console(&image, &mut identity)?;

    stages::begin("read the device tree");
    let machine = &mut scratch.machine;
    let described = firmware::describe(&entered, &image, &mut identity, machine);
    if described.is_err() {
        // The refusal is to be read where the tree says, as far as it could be read.
        firmware::start_console(machine, &own)?;
    }
    let (found, survey) = described?;
    machine.console = machine.console.or(early);
    if entered.flags.contains(PlatformFlags::NO_FIRMWARE) {
        // Whatever the tree says: nobody is there to answer.
        machine.psci = None;
    }
    firmware::start_console(machine, &own)?;
    firmware::announce(&entered, machine, &image);
    let command_line = image.command_line(machine.boot.command_line);

    stages::begin("map the memory");
    let map = &mut scratch.map;
    let tree = occupancy::lay_out(map, machine, processor.physical_size.limit(), &image, &found)?;
    firmware::tell_unplaced(map);
    let entropy = firmware::take_entropy(machine, &image);
    firmware::settle_tree(&found, &tree, &survey, &mut identity)?;

    let (own, image, entropy) = (&own, &image, &entropy);
    let found = Found { entered, processor, own, image, tree, machine, command_line, entropy };
    load(&found, map, &mut identity)
}

/// What is there, whatever the kernel.
struct Found<'a> {
    entered: Entered,
    processor: Processor,
    own: &'a OwnImage,
    image: &'a Image<'static>,
    tree: Tree,
    machine: &'a Machine<'static>,
    command_line: CommandLine<'static>,
    entropy: &'a Entropy,
}

/// The second half of the story: the kernel. Its lists are on the stack, where the small device tree was before.
#[inline(never)]
fn load(
    found: &Found<'_>,
    map: &mut MemoryMap<'static>,
    identity: &mut IdentityMap,
) -> Result<Jump, BootError> {
    let Found { entered, processor, own, image, tree, machine, command_line, entropy } = *found;
    let (mut elf, mut room) = (None, Room::new());

    stages::begin("read the kernel");
    image::verify(image)?;
    let bytes = image.bytes_of_kind(Kind::KERNEL).ok_or(EntryError::Place { phys: own.base().get() })?;
    let elf = KernelElf::parse_into(&mut elf, bytes)?;

    stages::begin("plan");
    let randomize = command_line.allows_randomness();
    let ram_end = map.mapped_span().map_or(0, PhysRange::end);
    let placement = Placement::choose(elf, &Policy::new(elf.note(), randomize), entropy.layout, ram_end)?;
    let site = occupancy::site(image, elf, machine, map, command_line);
    let plan = LoadPlan::new(elf, placement, site, map.regions(), &mut room)?;
    let arena = occupancy::take_arena(map, &plan)?;
    let placed = plan.place(arena)?;

    stages::begin("load");
    identity.map(arena, Rights::ReadWrite)?;
    // SAFETY: image and arena are mapped, writable, and the loader's.
    let relocations = unsafe { crate::machine::memory::carry_out(&placed) };

    stages::begin("build the tables");
    occupancy::describe(map, image, &placed, entered.level)?;
    let (store, empty) = tables::build(own, &placed, map)?;
    // The identity map has it at its physical address.
    let written = placed.written_code();
    let written = written.filter_map(|range| VirtRange::from_bounds(range.start().get(), range.end()));
    cache::make_executable(written, Reach::ThisCpu);

    stages::begin("write BootInfo");
    let registers = EntryRegisters::ABI_1.with_physical_size(processor.physical_size);
    cpu::apply(&registers);
    let facts = Facts {
        entered,
        processor,
        image,
        tree,
        machine,
        command_line,
        entropy,
        placed: &placed,
        relocations,
        regions: map.regions(),
        tables: Tables { low_root: empty.start(), used: store.used() as u64 },
        registers: &handoff::registers_as_set(&registers, cpu::table_registers(empty.start())),
    };
    write_boot_info(&facts)?;

    self_check::check(&placed, PageTable::ttbr1(store.root()), &store)?;
    tables::name_kernel_code(image, &placed);
    report::situation().in_kernel = true;
    Ok(leave(image, &placed, &registers, empty.start()))
}

/// Writes the facts where the kernel will read them, timeline and log last.
fn write_boot_info(facts: &Facts<'_>) -> Result<(), BootError> {
    let plan = facts.placed.plan();
    let pages = facts.placed.boot_info();
    // SAFETY: the plan leaves these pages of the arena to `BootInfo`; they are mapped writable and nobody else's.
    let buffer =
        unsafe { core::slice::from_raw_parts_mut(pages.start().get() as *mut u8, pages.len() as usize) };
    let out = handoff::begin(facts, buffer)?;
    let entry = plan.entry().map_or(0, |entry| entry.get());
    log().line(LogLevel::Normal).text("entering the kernel at ").hex(entry).end();
    stages::begin("enter the kernel");
    let timeline = stages::all().iter().copied();
    handoff::finish(out, timeline, log().recorded(), log().dropped() > 0, cpu::crc32c())?;
    Ok(())
}

/// What the jump needs.
fn leave(image: &Image<'_>, placed: &PlacedPlan<'_>, registers: &EntryRegisters, empty: PhysAddr) -> Jump {
    let plan = placed.plan();
    let (first, count) = OwnImage::leaving_entries();
    // The last of TTBR1's four tables is the level 3 table that maps the loader.
    let level_3 = plan.placement().direct_map_offset + (image.tables.end() - PAGE);
    Jump {
        virt_boot_info: plan.boot_info().start().get(),
        virt_entry: plan.entry().map_or(0, |entry| entry.get()),
        virt_stack_top: plan.stack().end(),
        phys_empty_table: empty.get(),
        tcr: registers.tcr_el1,
        virt_entries: level_3 + first * size_of::<u64>() as u64,
        entry_count: count,
        virt_header_entry: level_3,
        pause: u64::from(image.header.boot_flags.contains(BootFlags::PAUSE)),
    }
}
