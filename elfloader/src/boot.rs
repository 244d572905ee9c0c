//! The story: one step a line, errors up, nothing changed in memory before the plan stands.

mod firmware;
mod image;
mod memory;
mod tell;

use core::fmt::Write as _;

use elfloader::command_line::CommandLine;
use elfloader::handoff::{self, Facts, entry_range};
use elfloader::kernel_elf::KernelElf;
use elfloader::plan::{LoadPlan, PlacedPlan, Placement, Policy};
use shared_abi::addr::{PAGE, PhysAddr, PhysRange, VirtRange};
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::image::header::LogLevel;
use shared_abi::rights::Rights;
use shared_abi::verdict::Ending;

use crate::error::{BootError, EntryError};
use crate::machine::entry::EntryFlags;
use crate::machine::jump::{self, Jump};
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::IdentityMap;
use crate::machine::{cache, cpu, ending, report, scratch, self_check, stages};

/// What the entry code found.
struct Entered {
    arguments: [u64; 4],
    image: u64,
    level: u64,
    flags: EntryFlags,
}

/// Where the entry code leads, with the MMU on: the first line of Rust.
#[unsafe(no_mangle)]
extern "C" fn start(x0: u64, x1: u64, x2: u64, x3: u64, image: u64, level: u64, ticks: u64, flags: u64) -> ! {
    stages::begin_at("enter", ticks);
    let entered = Entered { arguments: [x0, x1, x2, x3], image, level, flags: EntryFlags(flags) };
    match boot(&entered) {
        // SAFETY: `boot` has prepared every field, and its last step was to confirm the tables by the hardware.
        Ok(jump) => unsafe { jump::jump(&jump) },
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &BootError) -> ! {
    let log = log().line(LogLevel::Quiet);
    log.mark();
    let code = error.code();
    // The log takes every byte; there is no error to act on.
    let _ = writeln!(log, "error E{code:04}: {error}");
    log.say_without_console();
    ending::end(Ending::Refused, code)
}

fn boot(entered: &Entered) -> Result<Jump, BootError> {
    let misplaced = EntryError::Place { phys: entered.image };
    let own = OwnImage::at(entered.image).ok_or(misplaced)?;
    let mut identity = IdentityMap::inherit(&own).ok_or(misplaced)?;
    let scratch = scratch::take().ok_or(misplaced)?;
    for (name, start, end) in OwnImage::regions() {
        memory::name_region(name, VirtRange::from_bounds(start, end));
    }

    stages::begin("read the image");
    let image = image::open(own, &mut identity)?;

    stages::begin("read the device tree");
    let tree = firmware::describe(entered, &image, &mut identity, &mut scratch.tree, &mut scratch.machine)?;
    let machine = &scratch.machine;
    let command_line = firmware::command_line(machine, &image);

    stages::begin("map the memory");
    let map = &mut scratch.map;
    memory::lay_out(map, machine, &image, &tree)?;

    stages::begin("read the kernel");
    image::verify(&image)?;
    let kernel = image.payload.kernel().ok_or(misplaced)?;
    let elf = KernelElf::parse(image.payload.bytes(&kernel))?;
    let kernel = entry_range(image.range, &kernel).start();

    stages::begin("plan");
    let randomize = CommandLine(command_line).allows_randomness();
    let entropy = firmware::entropy(machine, &image);
    let ram_end = map.mapped_span().map_or(0, PhysRange::end);
    let placement = Placement::choose(&elf, &Policy::new(elf.note(), randomize), entropy.layout, ram_end)?;
    let site = memory::site(&image, kernel, &elf, machine, map, command_line);
    let plan = LoadPlan::new(&elf, placement, site, map.regions(), &mut scratch.room)?;
    let arena = memory::arena(map, &plan)?;
    let placed = plan.place(arena)?;

    stages::begin("load");
    identity.map(arena, Rights::ReadWrite)?;
    // SAFETY: image and arena are mapped, writable, and the loader's.
    let relocations = unsafe { crate::machine::memory::carry_out(&placed) };

    stages::begin("build the tables");
    memory::describe_parts(map, &image, &placed)?;
    let pool = memory::table_pool(placed.plan(), arena);
    let (store, empty) = memory::build_tables(&image, &placed, pool, map)?;
    cache::make_executable(memory::written_code(&placed));

    stages::begin("write BootInfo");
    let registers = EntryRegisters::ABI_1.with_physical_size(cpu::physical_size());
    cpu::apply(&registers);
    let set = tell::registers_as_set(&registers, empty.start());
    let facts = Facts {
        regions: map.regions(),
        relocations,
        command_line,
        ..tell::facts(entered, &image, machine, &tree, &placed, &store, pool, empty, &entropy, &set)
    };
    write_boot_info(&facts, arena)?;

    self_check::check(&placed, store.tree(), &store)?;
    memory::name_kernel_code(&image, &placed);
    report::situation().in_kernel = true;
    Ok(leave(&image.own, &placed, &registers, empty.start()))
}

/// Writes the facts where the kernel will read them, timeline and log last.
fn write_boot_info(facts: &Facts<'_>, arena: PhysRange) -> Result<(), BootError> {
    let plan = facts.placed.plan();
    let start = arena.start().get() + plan.arena().boot_info_offset();
    let length = plan.arena().boot_info_length() as usize;
    // SAFETY: the plan leaves these pages of the arena to `BootInfo`; they are mapped writable and nobody else's.
    let buffer = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, length) };
    let out = handoff::begin(facts, buffer)?;
    let entry = plan.entry().map_or(0, |entry| entry.get());
    log().line(LogLevel::Normal).text("entering the kernel at ").hex(entry).end();
    stages::begin("enter the kernel");
    let timeline = stages::all().iter().copied();
    handoff::finish(out, timeline, log().recorded(), log().dropped() > 0, cpu::crc32c())?;
    Ok(())
}

/// What the jump needs.
fn leave(own: &OwnImage, placed: &PlacedPlan<'_>, registers: &EntryRegisters, empty: PhysAddr) -> Jump {
    let plan = placed.plan();
    let (first, count) = OwnImage::leaving_entries();
    // The last of TTBR1's four tables is the level 3 table that maps the loader.
    let level_3 = plan.placement().direct_map_offset + (own.tables().end() - PAGE);
    Jump {
        virt_boot_info: plan.boot_info().start().get(),
        virt_entry: plan.entry().map_or(0, |entry| entry.get()),
        virt_stack_top: plan.stack().end(),
        phys_empty_table: empty.get(),
        tcr: registers.tcr_el1,
        cpacr: registers.cpacr_el1,
        virt_entries: level_3 + first * size_of::<u64>() as u64,
        entry_count: count,
        virt_header_entry: level_3,
    }
}
