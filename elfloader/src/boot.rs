//! The story: one step a line, errors up, nothing changed in memory before the plan stands.

use core::fmt::Write as _;

use elfloader::device_tree;
use elfloader::entropy::{Entropy, Offered};
use elfloader::handoff::{self, Facts, entry_range};
use elfloader::kernel_elf::KernelElf;
use elfloader::memory_map::{ANYWHERE, MemoryMap};
use elfloader::plan::{LoadPlan, Mapping, Origin, PlacedPlan, Placement, Policy, Purpose, Site};
use elfloader::platform::{Conduit, Machine};
use shared_abi::addr::{PAGE, PageSize, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::{
    self, ExitMethod, PageTables, Platform, PlatformFlags, Register, RegisterId, TreeSource,
};
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::image::header::{BootFlags, Header, LogLevel};
use shared_abi::image::payload::{Kind, PayloadTable};
use shared_abi::memory::RegionKind;
use shared_abi::rights::Rights;
use shared_abi::uart::{Uart, UartLayout};
use shared_abi::verdict::Ending;

use crate::error::{BootError, EntryError};
use crate::machine::entry::EntryFlags;
use crate::machine::jump::{self, Jump};
use crate::machine::log::{self, log};
use crate::machine::mmio::Mmio;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::{IdentityMap, KernelTables};
use crate::machine::{cache, cpu, ending, memory, report, scratch, self_check, stages, tables};

/// Regions that the boot itself adds to what the machine has.
const OWN_REGIONS: usize = 24;

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
        name_region(name, VirtRange::from_bounds(start, end));
    }
    let crc32c = cpu::crc32c();

    stages::begin("read the image");
    let header = read_header(&own, &mut identity)?;
    let image_range = image_range(&own, &header)?;
    map_image(&own, image_range, &mut identity)?;
    // SAFETY: nobody writes to the image before the plan is carried out, and the table is not read after that.
    let image = unsafe { identity.bytes(image_range) };
    let payload = PayloadTable::open(image, &header, crc32c)?;
    if let Some(table) = payload.find(Kind::LOADER_SYMBOLS) {
        let table = entry_range(image_range, &table);
        // SAFETY: the identity map has the image until the jump.
        unsafe { report::situation().name_code(table.start().get(), table.len(), 0) };
    }

    stages::begin("read the device tree");
    let (tree, source) = find_tree(entered, &header, &payload, image_range, &mut identity)?;
    let machine = &mut scratch.machine;
    // SAFETY: nobody writes to the tree while it is described.
    let survey = device_tree::describe(unsafe { identity.bytes(tree) }, &mut scratch.tree, machine)?;
    let machine = &scratch.machine;
    let tree = PhysRange::new(tree.start(), survey.extent as u64).unwrap_or(tree);
    wipe_seeds(tree, &survey);

    start_console(machine, &own)?;
    announce(entered, machine, image_range);

    stages::begin("map the memory");
    let limit = cpu::physical_size();
    let map = &mut scratch.map;
    map.lay_out(machine, limit.limit())?;
    map.claim(image_range, RegionKind::LOADER_RECLAIMABLE, "image")?;
    if source != TreeSource::PACKED {
        map.claim(tree, RegionKind::DEVICE_TREE, "device tree")?;
    }
    if let Some(initrd) = machine.boot.initrd {
        map.claim(initrd, RegionKind::INITRD, "initrd")?;
    }
    map.place_dynamic(machine)?;

    stages::begin("read the kernel");
    for entry in payload.entries() {
        payload.verify(&entry, crc32c)?;
    }
    let kernel = payload.kernel().ok_or(misplaced)?;
    let elf = KernelElf::parse(payload.bytes(&kernel))?;
    let kernel_range = entry_range(image_range, &kernel);

    stages::begin("plan");
    let command_line = command_line(machine, &payload);
    let randomize = !command_line.split_ascii_whitespace().any(|word| word == "nokaslr");
    let entropy = Entropy::gather(&Offered {
        repeatable: payload.find(Kind::ENTROPY_SEED).map(|entry| payload.bytes(&entry)),
        kaslr_seed: Some(machine.boot.kaslr_seed).filter(|seed| *seed != 0),
        rng_seed: machine.boot.rng_seed,
        cpu: cpu::random(),
        counter: cpu::counter(),
    });
    let ram_end = map.mapped_span().map_or(0, PhysRange::end);
    let policy = Policy::new(elf.note(), randomize);
    let placement = Placement::choose(&elf, &policy, entropy.layout, ram_end)?;
    let text = command_line.len() + map.regions().iter().map(|region| region.name.len() + 1).sum::<usize>();
    let site = Site {
        kernel: kernel_range.start(),
        resident: own.resident(),
        stack_size: elf.note().stack_bytes(),
        boot_info_size: handoff::size_bound(
            map.regions().len() + OWN_REGIONS,
            elf.segments().len() * 5 + 2,
            machine.cpus.len(),
            text,
            log::CAPACITY,
        ) as u64,
        console: console_registers(machine),
    };
    let plan = LoadPlan::new(&elf, placement, site, map.regions(), &mut scratch.room)?;
    let arena = map.allocate(
        plan.arena().length(),
        plan.arena().alignment(),
        ANYWHERE,
        RegionKind::LOADER_RECLAIMABLE,
        "arena",
    )?;
    let placed = plan.place(arena)?;
    let plan = placed.plan();

    stages::begin("load");
    identity.map(arena, Rights::ReadWrite)?;
    // SAFETY: image and arena are mapped, writable, and the loader's.
    let relocations = unsafe { memory::carry_out(&placed) };

    stages::begin("build the tables");
    let tables = PhysRange::from_bounds(arena.start().get() + plan.arena().tables_offset(), arena.end());
    let tables = tables.and_then(|range| range.aligned_inward(PageSize::Size4K)).unwrap_or_default();
    // SAFETY: the plan leaves these pages of the arena to tables; they are mapped writable.
    let mut store = unsafe {
        cache::zero_pages(tables.start().get(), tables.len());
        KernelTables::new(&own, tables)
    };
    let empty = shared_abi::page_table::TableStore::allocate(&mut store).ok_or(misplaced)?;
    describe_parts(map, &own, &payload, image_range, &placed)?;
    let tree_of_tables = store.tree();
    // The console is mapped already, at the same place.
    for mapping in placed.mappings(map.regions()).filter(|mapping| mapping.purpose != Purpose::Console) {
        tree_of_tables.map(&mut store, mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
        name_mapping(&mapping);
    }
    name_region("guard below the boot stack", elfloader::layout::stack_guard(plan.stack().start().get()));
    name_region("direct map", Some(shared_abi::contract::DIRECT_MAP_WINDOW));
    cache::make_executable(core::iter::empty());

    stages::begin("write BootInfo");
    let registers = EntryRegisters::ABI_1.with_physical_size(limit);
    cpu::apply(&registers);
    let set = registers_as_set(&registers, empty.start());
    let info_start = arena.start().get() + plan.arena().boot_info_offset();
    // SAFETY: the plan leaves these pages of the arena to `BootInfo`; they are mapped writable and nobody else's.
    let buffer = unsafe {
        core::slice::from_raw_parts_mut(info_start as *mut u8, plan.arena().boot_info_length() as usize)
    };
    let facts = Facts {
        machine,
        regions: map.regions(),
        placed: &placed,
        payload: &payload,
        image: image_range,
        relocations,
        registers: &set,
        page_tables: PageTables {
            phys_root_high: own.tables().start().get(),
            phys_root_low: empty.start().get(),
            phys_pool: tables.start().get(),
            pool_length: tables.len(),
            pool_used: store.used() as u64 * PAGE,
            table_count: (store.used() as u64 + own.tables().len() / PAGE) as u32,
            reserved: 0,
        },
        platform: platform(entered, &header, machine, source),
        firmware_image: boot_info::FirmwareImage {
            phys_image: image_range.start().get(),
            image_length: image_range.len(),
            loader_length: header.loader_length,
            entry_arguments: entered.arguments,
            payload_checksum: payload.checksum(),
            reserved: 0,
        },
        boot_cpu: cpu::affinity(),
        device_tree: Some(tree),
        command_line,
        entropy: boot_info::Entropy {
            bytes: entropy.kernel,
            credited_bits: entropy.kernel_bits,
            sources: entropy.sources,
            slide_credited_bits: entropy.layout_bits,
            slide_sources: entropy.layout_sources,
        },
    };
    let out = handoff::begin(&facts, buffer)?;
    log()
        .line(LogLevel::Normal)
        .text("entering the kernel at ")
        .hex(plan.entry().map_or(0, |at| at.get()))
        .end();
    stages::begin("enter the kernel");
    handoff::finish(out, stages::all().iter().copied(), log().recorded(), log().dropped() > 0, crc32c)?;

    self_check::check(&placed, tree_of_tables, &store)?;
    name_kernel_code(&payload, image_range, &placed);
    report::situation().in_kernel = true;
    Ok(leave(&own, &placed, &registers, empty.start()))
}

/// Reads the header page, which the entry code has mapped with the loader.
fn read_header(own: &OwnImage, identity: &mut IdentityMap) -> Result<Header, BootError> {
    identity.map(own.header_page(), Rights::ReadOnly)?;
    // SAFETY: the header page is the image's first, and nobody writes to it.
    let page = unsafe { identity.bytes(own.header_page()) };
    let header = Header::decode(page, cpu::crc32c())?;
    if header.boot_flags.contains(BootFlags::SEMIHOSTING) {
        ending::allow_semihosting();
    }
    log().print_up_to(header.log_level);
    Ok(header)
}

/// The image's bytes in memory.
fn image_range(own: &OwnImage, header: &Header) -> Result<PhysRange, BootError> {
    let range = PhysRange::new(own.base(), header.image_size).filter(|range| range.covers(own.loader()));
    range.ok_or(EntryError::Place { phys: own.base().get() }.into())
}

/// Maps the image where it lies: the loader's code read-only but for the entry page, the rest writable.
fn map_image(own: &OwnImage, image: PhysRange, identity: &mut IdentityMap) -> Result<(), BootError> {
    identity.map(own.read_only(PAGE), Rights::ReadOnly)?;
    let rest = PhysRange::from_bounds(own.writable().start().get(), image.end());
    identity.map(rest.unwrap_or_default(), Rights::ReadWrite)?;
    Ok(())
}

/// The device tree: where x0 points, else where the header page says, else in the image.
fn find_tree(
    entered: &Entered,
    header: &Header,
    payload: &PayloadTable<'_>,
    image: PhysRange,
    identity: &mut IdentityMap,
) -> Result<(PhysRange, TreeSource), BootError> {
    let x0 = entered.arguments[0];
    for (address, source) in [(x0, TreeSource::FIRMWARE), (header.phys_tree_hint, TreeSource::HINT)] {
        if let Some(tree) = probe(address, identity)? {
            return Ok((tree, source));
        }
    }
    let packed = payload.find(Kind::DEVICE_TREE).map(|entry| entry_range(image, &entry));
    let missing = EntryError::NoTree { x0, hint: header.phys_tree_hint };
    Ok((packed.ok_or(missing)?, TreeSource::PACKED))
}

/// The tree at `address`, mapped as far as its header says; `None` if none can be there.
fn probe(address: u64, identity: &mut IdentityMap) -> Result<Option<PhysRange>, BootError> {
    // A tree is 8-byte aligned (Devicetree Specification 5.2), and firmware that has none passes small numbers.
    let start = PhysAddr::new(address).filter(|start| start.get() >= PAGE && start.get().is_multiple_of(8));
    let Some(header) = start.and_then(|start| PhysRange::new(start, device_tree::HEADER as u64)) else {
        return Ok(None);
    };
    identity.map(header, Rights::ReadWrite)?;
    // SAFETY: just mapped; nobody writes there.
    let bytes = unsafe { identity.bytes(header) };
    let Some(total) = bytes.first_chunk().and_then(|header| device_tree::probe_header(header).ok()) else {
        return Ok(None);
    };
    let tree = PhysRange::new(header.start(), total as u64);
    if let Some(tree) = tree {
        identity.map(tree, Rights::ReadWrite)?;
    }
    Ok(tree)
}

/// Wipes the seeds in firmware's own tree: what was used must not be found later.
fn wipe_seeds(tree: PhysRange, survey: &device_tree::Survey) {
    for seed in &survey.seeds {
        let start = tree.start().checked_add(seed.offset as u64);
        if let Some(range) = start.and_then(|start| PhysRange::new(start, seed.length as u64))
            && tree.covers(range)
        {
            // SAFETY: the tree is mapped writable, and what was read of it has been copied.
            unsafe { core::ptr::write_bytes(range.start().get() as *mut u8, 0, seed.length) };
        }
    }
}

/// The registers' pages.
fn console_registers(machine: &Machine<'_>) -> Option<PhysRange> {
    let console = machine.console.as_ref()?;
    PhysRange::new(console.base, 1).map(|first| first.aligned_outward(PageSize::Size4K))
}

/// Maps the console's registers where the kernel will find them as well, and prints there from here on.
fn start_console(machine: &Machine<'_>, own: &OwnImage) -> Result<(), BootError> {
    if let Some(psci) = machine.psci {
        ending::set_conduit(match psci.conduit {
            Conduit::Hvc => ending::Conduit::Hvc,
            Conduit::Smc => ending::Conduit::Smc,
        });
    }
    let (Some(console), Some(pages)) = (&machine.console, console_registers(machine)) else { return Ok(()) };
    let Some(virt) = elfloader::layout::console(pages) else { return Ok(()) };
    tables::map_console(own, virt, pages)?;
    let base = virt.start().get() + (console.base.get() - pages.start().get());
    let layout = UartLayout {
        register_shift: u32::from(console.register_shift),
        access_width: u32::from(console.access_width),
    };
    // SAFETY: the registers were just mapped there as Device memory, and stay so; firmware is done with them.
    let registers = unsafe { Mmio::new(base, layout.access_width) };
    log().set_console(Uart::start(console.kind, layout, registers));
    Ok(())
}

/// The first lines.
fn announce(entered: &Entered, machine: &Machine<'_>, image: PhysRange) {
    log().line(LogLevel::Normal).text("handoff: ").text(machine.model).end();
    log()
        .line(LogLevel::Verbose)
        .text("entered at EL")
        .number(entered.level)
        .text(", image at ")
        .hex(image.start().get())
        .text(" + ")
        .hex(image.len())
        .end();
}

/// The command line in force: firmware's if it gives one, else the packed one.
fn command_line<'a>(machine: &Machine<'a>, payload: &PayloadTable<'a>) -> &'a str {
    if !machine.boot.command_line.is_empty() {
        return machine.boot.command_line;
    }
    let packed = payload.find(Kind::COMMAND_LINE).map(|entry| payload.bytes(&entry)).unwrap_or_default();
    core::str::from_utf8(packed).map_or("", |text| text.trim_end_matches('\0'))
}

/// Says what became of the parts of image and arena.
fn describe_parts(
    map: &mut MemoryMap<'static>,
    own: &OwnImage,
    payload: &PayloadTable<'_>,
    image: PhysRange,
    placed: &PlacedPlan<'_>,
) -> Result<(), BootError> {
    map.retype(own.resident(), RegionKind::LOADER_RESIDENT, "loader")?;
    map.retype(own.tables(), RegionKind::PAGE_TABLES, "first tables")?;
    for entry in payload.entries() {
        let (kind, name) = match entry.kind {
            Kind::MODULE => (RegionKind::MODULE, "module"),
            Kind::SYMBOLS => (RegionKind::MODULE, "symbols"),
            Kind::DEVICE_TREE => (RegionKind::DEVICE_TREE, "packed device tree"),
            _ => continue,
        };
        map.retype(entry_range(image, &entry).aligned_outward(PageSize::Size4K), kind, name)?;
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

/// System registers as they will be at the kernel's entry, for `BootInfo`.
fn registers_as_set(registers: &EntryRegisters, empty: PhysAddr) -> [Register; 17] {
    let [_, ttbr1, vbar] = cpu::table_registers();
    [
        (RegisterId::SCTLR_EL1, registers.sctlr_el1),
        (RegisterId::TCR_EL1, registers.tcr_el1),
        (RegisterId::MAIR_EL1, registers.mair_el1),
        (RegisterId::AMAIR_EL1, registers.amair_el1),
        (RegisterId::CPACR_EL1, registers.cpacr_el1),
        (RegisterId::CNTKCTL_EL1, registers.cntkctl_el1),
        (RegisterId::CNTP_CTL_EL0, registers.cntp_ctl_el0),
        (RegisterId::CNTV_CTL_EL0, registers.cntv_ctl_el0),
        (RegisterId::MDSCR_EL1, registers.mdscr_el1),
        (RegisterId::CONTEXTIDR_EL1, registers.contextidr_el1),
        (RegisterId::SP_EL0, registers.sp_el0),
        (RegisterId::TPIDR_EL1, registers.tpidr_el1),
        (RegisterId::TPIDR_EL0, registers.tpidr_el0),
        (RegisterId::TPIDRRO_EL0, registers.tpidrro_el0),
        (RegisterId::TTBR0_EL1, empty.get()),
        (RegisterId::TTBR1_EL1, ttbr1),
        (RegisterId::VBAR_EL1, vbar),
    ]
    .map(|(id, value)| Register { id, reserved: 0, value })
}

/// Processor and firmware.
fn platform(entered: &Entered, header: &Header, machine: &Machine<'_>, source: TreeSource) -> Platform {
    let flag = |set: bool, flag: PlatformFlags| if set { flag } else { PlatformFlags::default() };
    Platform {
        page_shift: shared_abi::addr::PAGE_SHIFT,
        entry_exception_level: entered.level as u32,
        timer_frequency: match cpu::timer_frequency() {
            0 => machine.timer_frequency.map_or(0, u64::from),
            frequency => frequency,
        },
        exit: match (header.boot_flags.contains(BootFlags::SEMIHOSTING), machine.psci.is_some()) {
            (true, _) => ExitMethod::SEMIHOSTING,
            (false, true) => ExitMethod::PSCI,
            (false, false) => ExitMethod::NONE,
        },
        tree_source: source,
        flags: flag(entered.flags.has(EntryFlags::NO_FIRMWARE), PlatformFlags::NO_FIRMWARE)
            | flag(entered.flags.has(EntryFlags::E2H_STUCK), PlatformFlags::ENTERED_WITH_E2H)
            | flag(entered.flags.has(EntryFlags::CACHES_ON), PlatformFlags::ENTERED_WITH_MMU)
            | flag(entered.level >= 2 && cpu::has_el2(), PlatformFlags::EL2_STUB),
        phys_address_bits: cpu::physical_size().bits(),
        midr: cpu::model(),
        ..Platform::default()
    }
}

/// Has the reporter name the kernel's code from now on.
fn name_kernel_code(payload: &PayloadTable<'_>, image: PhysRange, placed: &PlacedPlan<'_>) {
    let placement = placed.plan().placement();
    match payload.find(Kind::SYMBOLS).map(|entry| entry_range(image, &entry)) {
        Some(table) => {
            let start = table.start().get() + placement.direct_map_offset;
            // SAFETY: the direct map has the table, as a module, for as long as the kernel leaves it there.
            unsafe { report::situation().name_code(start, table.len(), placement.slide) };
        }
        None => report::situation().forget_code(),
    }
}

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
