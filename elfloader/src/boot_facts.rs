//! What the kernel is told: the facts of the boot, written as one `BootInfo`.
//!
//! Nothing is decided here; each table says what an earlier stage decided or found. The blob is written once,
//! where the kernel will read it. Timeline and log come last, so that they miss as little as possible.

use shared_abi::addr::{PAGE, PAGE_SHIFT, PhysAddr, PhysRange, VirtRange};
use shared_abi::boot_info::{
    self, BlobSize, BootInfoWriter, BootStack, ClosedFeatures, Conduit, CpuFlags, DirectMap, EnableMethod,
    ExitMethod, Extent, FirmwareImage, Initrd, Kernel, KernelFlags, MemoryRegion, Module, ModuleFlags,
    PageTables, Platform, PlatformFlags, Register, RegisterId, STATUS_OFFSET, Secondaries, Stage,
    StartRecord, StringRef, Symbols, Window, WindowId, WriteError,
};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::contract::{DIRECT_MAP_WINDOW, HANDOFF_WINDOW, KERNEL_WINDOW, SLIDE_WINDOW};
use shared_abi::crc32c::Crc32c;
use shared_abi::image::header::BootFlags;
use shared_abi::image::payload::Kind;

use crate::boot_memory::Tree;
use crate::command_line::CommandLine;
use crate::entropy::Entropy;
use crate::image::Image;
use crate::kernel_elf::Position;
use crate::layout;
use crate::memory_map::Region;
use crate::plan::{Origin, PlacedPlan};
use crate::platform::{self, Machine};
use crate::recorder::Recorders;
use crate::stage;

/// Most bytes of log that are handed over.
pub const LOG_CAPACITY: usize = 2048;

/// How the image was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// x0 to x3.
    pub arguments: [u64; 4],
    /// The exception level.
    pub level: u64,
    /// What was special about it.
    pub flags: PlatformFlags,
}

/// What the processor that boots says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// MPIDR_EL1's affinity fields.
    pub affinity: u64,
    /// MIDR_EL1.
    pub model: u64,
    /// Its physical address size.
    pub physical_size: PhysicalSize,
    /// CNTFRQ_EL0 in Hz; 0 if firmware did not set it.
    pub timer_frequency: u64,
    /// What it has and the loader leaves closed to EL1, if it was entered above.
    pub closed_above_el1: ClosedFeatures,
}

/// The translation tables as they are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The empty table that TTBR0 is left with.
    pub low_root: PhysAddr,
    /// How many of the arena's tables are used, that one included.
    pub used: u64,
}

/// Everything there is to say, a value for each stage that found or decided it.
pub struct Facts<'a> {
    /// How the image was entered.
    pub entered: Entered,
    /// The processor that boots.
    pub processor: Processor,
    /// The image, where it lies.
    pub image: &'a Image<'a>,
    /// What the image calls the kernel.
    pub kernel_name: &'a str,
    /// The device tree, trimmed.
    pub tree: Tree,
    /// The machine as described.
    pub machine: &'a Machine<'a>,
    /// The command line in force.
    pub command_line: CommandLine<'a>,
    /// Randomness for the kernel.
    pub entropy: &'a Entropy,
    /// The plan that was carried out.
    pub placed: &'a PlacedPlan<'a>,
    /// The flight recorders, for a kernel that keeps one.
    pub recorders: Option<&'a Recorders>,
    /// Relocations that were applied.
    pub relocations: u64,
    /// The memory map as it shall be at the handoff.
    pub regions: &'a [Region<'a>],
    /// The smallest range that holds all RAM that is mapped.
    pub mapped: PhysRange,
    /// The tables that were built.
    pub tables: Tables,
    /// System registers as set.
    pub registers: &'a [Register],
}

/// What `BootInfo` takes at most, but for memory map and extents.
pub fn size(
    image: &Image<'_>,
    kernel_name: &str,
    machine: &Machine<'_>,
    command_line: CommandLine<'_>,
    has_recorder: bool,
) -> BlobSize {
    let size = BlobSize::EMPTY
        .records::<Kernel>(1)
        .records::<DirectMap>(1)
        .records::<Window>(WINDOWS)
        .records::<BootStack>(1)
        .records::<PageTables>(1)
        .records::<Register>(REGISTERS)
        .records::<boot_info::Console>(1)
        .records::<Platform>(1)
        .records::<boot_info::DeviceTree>(1)
        .records::<Initrd>(1)
        .records::<Symbols>(1)
        .records::<Secondaries>(1)
        .records::<FirmwareImage>(1)
        .records::<boot_info::Entropy>(1)
        .records::<Stage>(stage::Stage::COUNT)
        .strings(stage::Stage::COUNT, stage::Stage::NAMES_LENGTH)
        .bytes(LOG_CAPACITY)
        .bytes(command_line.length() + 1)
        .records::<boot_info::Cpu>(machine.cpus.len())
        .string(kernel_name.len())
        .string(machine.boot.console_path.len())
        .string(machine.model.len());
    let size = if has_recorder { size.records::<boot_info::Recorder>(1) } else { size };
    let modules = image.payload.of_kind(Kind::MODULE);
    modules.fold(size, |size, module| size.records::<Module>(1).string(module.name().len()))
}

const WINDOWS: usize = 7;

const REGISTERS: usize = 17;

/// Registers as set, for [`Facts::registers`].
pub type SetRegisters = [Register; REGISTERS];

/// System registers as they are at the kernel's entry, with TTBR0_EL1, TTBR1_EL1 and VBAR_EL1.
pub fn registers_as_set(registers: &EntryRegisters, [ttbr0, ttbr1, vbar]: [u64; 3]) -> SetRegisters {
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
        (RegisterId::TTBR0_EL1, ttbr0),
        (RegisterId::TTBR1_EL1, ttbr1),
        (RegisterId::VBAR_EL1, vbar),
    ]
    .map(|(id, value)| Register { id, reserved: 0, value })
}

/// Writes the tables, all but timeline and log; [`finish`] adds those.
///
/// # Errors
/// [`WriteError`] if `buffer` is too small or a limit is exceeded.
pub fn begin<'b>(facts: &Facts<'_>, buffer: &'b mut [u8]) -> Result<BootInfoWriter<'b>, WriteError> {
    let mut out = BootInfoWriter::with_room(buffer, facts.placed.plan().boot_info_size());
    for region in facts.regions {
        let name = out.string(region.name)?;
        out.push(&MemoryRegion {
            phys_start: region.range.start().get(),
            length: region.range.len(),
            kind: region.kind.0,
            node: u32::from(region.node),
            name,
        })?;
    }
    kernel(facts, &mut out)?;
    address_space(facts, &mut out)?;
    machine(facts, &mut out)?;
    files(facts, &mut out)?;
    let (image, entropy) = (facts.image, facts.entropy);
    out.push(&FirmwareImage {
        phys_image: image.range.start().get(),
        image_length: image.range.len(),
        loader_length: image.header.loader_length,
        entry_arguments: facts.entered.arguments,
        payload_checksum: image.payload.checksum(),
        reserved: 0,
    })?;
    out.push(&boot_info::Entropy {
        bytes: entropy.kernel,
        credited_bits: entropy.kernel_bits,
        sources: entropy.sources,
        slide_credited_bits: entropy.layout_bits,
        slide_sources: entropy.layout_sources,
    })?;
    if let Some(recorders) = facts.recorders {
        out.push(&boot_info::Recorder {
            phys_current: recorders.current().start().get(),
            phys_last: recorders.last().map_or(0, |last| last.start().get()),
            length: recorders.current().len(),
        })?;
    }
    Ok(out)
}

/// Adds the timeline and the log and closes the blob. Returns its bytes.
///
/// # Errors
/// [`WriteError`] as above.
pub fn finish(
    mut out: BootInfoWriter<'_>,
    timeline: impl Iterator<Item = (&'static str, u64)>,
    log: &[u8],
    log_is_truncated: bool,
    crc32c: Crc32c,
) -> Result<usize, WriteError> {
    for (name, ticks) in timeline {
        let name = out.string(name)?;
        out.push(&Stage { ticks, name })?;
    }
    out.append_log(log)?;
    if log_is_truncated {
        out.mark_truncated();
    }
    out.finish(crc32c)
}

fn kernel(facts: &Facts<'_>, out: &mut BootInfoWriter<'_>) -> Result<(), WriteError> {
    let plan = facts.placed.plan();
    let placement = plan.placement();
    let note = plan.elf().note();
    let pages = plan.pages();
    let flag = |set: bool, flag: KernelFlags| if set { flag } else { KernelFlags::default() };
    let name = out.string(facts.kernel_name)?;
    out.push(&Kernel {
        virt_link_base: placement.image.start().get().wrapping_sub(placement.slide),
        slide: placement.slide,
        virt_entry: plan.entry().get(),
        virt_start: placement.image.start().get(),
        length: placement.image.len(),
        phys_elf: plan.site().kernel.get(),
        elf_length: plan.elf().bytes().len() as u64,
        pages_in_place: pages.in_place,
        pages_copied: pages.copied,
        pages_zeroed: pages.zeroed,
        relocations: facts.relocations,
        flags: flag(plan.elf().position() == Position::Independent, KernelFlags::POSITION_INDEPENDENT)
            | flag(placement.slide != 0 && SLIDE_WINDOW.covers(placement.image), KernelFlags::SLID)
            | flag(note.contiguous().is_some(), KernelFlags::CONTIGUOUS),
        abi_major: note.abi_major,
        abi_minor: note.abi_minor,
        name,
        wanted: note.wanted.bits(),
    })?;
    for extent in plan.extents() {
        out.push(&Extent {
            virt_start: extent.virt().start().get(),
            phys_start: facts.placed.phys(extent).get(),
            length: extent.virt().len(),
            rights: extent.rights().to_u32(),
            origin: match extent.origin() {
                Origin::InPlace(_) => boot_info::Origin::IN_PLACE,
                Origin::Copied(_) => boot_info::Origin::COPIED,
                Origin::Zeroed(_) => boot_info::Origin::ZEROED,
            },
            segment: u32::from(extent.segment()),
            reserved: 0,
        })?;
    }
    Ok(())
}

fn address_space(facts: &Facts<'_>, out: &mut BootInfoWriter<'_>) -> Result<(), WriteError> {
    let plan = facts.placed.plan();
    let placement = plan.placement();
    let ram = facts.mapped;
    out.push(&DirectMap {
        virt_offset: placement.direct_map_offset,
        phys_start: ram.start().get(),
        phys_end: ram.end(),
    })?;
    let windows: [_; WINDOWS] = [
        (WindowId::KERNEL, KERNEL_WINDOW),
        (WindowId::HEAP, placement.heap),
        (WindowId::HANDOFF, HANDOFF_WINDOW),
        (WindowId::SLIDE, SLIDE_WINDOW),
        (WindowId::DIRECT_MAP, DIRECT_MAP_WINDOW),
        (WindowId::BOOT_INFO, plan.boot_info()),
        (WindowId::LOADER, layout::LOADER),
    ];
    let window = |(id, range): (_, VirtRange)| Window {
        id,
        reserved: 0,
        virt_start: range.start().get(),
        length: range.len(),
    };
    out.push_all(&windows.map(window))?;
    let stack = plan.stack();
    let guard = layout::stack_guard(stack.start().get()).unwrap_or(VirtRange::EMPTY);
    out.push(&BootStack {
        virt_guard: guard.start().get(),
        guard_length: guard.len(),
        virt_bottom: stack.start().get(),
        virt_top: stack.end(),
        phys_bottom: facts.placed.translate(stack.start()).map_or(0, |phys| phys.get()),
    })?;
    let (first, pool) = (facts.image.tables, facts.placed.table_pool());
    out.push(&PageTables {
        phys_root_high: first.start().get(),
        phys_root_low: facts.tables.low_root.get(),
        phys_pool: pool.start().get(),
        pool_length: pool.len(),
        pool_used: facts.tables.used * PAGE,
        table_count: (facts.tables.used + first.len() / PAGE) as u32,
        reserved: 0,
    })?;
    out.push_all(facts.registers)?;
    Ok(())
}

fn machine(facts: &Facts<'_>, out: &mut BootInfoWriter<'_>) -> Result<(), WriteError> {
    let machine = facts.machine;
    if let (Some(console), Some(virt)) = (&machine.console, facts.placed.plan().console()) {
        let path = out.string(machine.boot.console_path)?;
        let offset = console.base.get() & 0xFFF;
        out.push(&boot_info::Console {
            kind: console.kind as u32,
            access_width: u32::from(console.access_width),
            register_shift: u32::from(console.register_shift),
            clock_frequency: console.clock.unwrap_or(0),
            phys_base: console.base.get(),
            virt_base: virt.start().get() + offset,
            length: virt.len() - offset,
            path,
        })?;
    }
    let is_wanted = facts.placed.plan().elf().note().wants_secondaries();
    let came_along = is_wanted && facts.entered.flags.contains(PlatformFlags::NO_FIRMWARE);
    for cpu in &machine.cpus {
        let (enable_method, phys_release) = match cpu.enable_method() {
            _ if came_along => (EnableMethod::MAILBOX, 0),
            platform::EnableMethod::Psci => (EnableMethod::PSCI, 0),
            platform::EnableMethod::SpinTable(release) => (EnableMethod::SPIN_TABLE, release.get()),
            platform::EnableMethod::Unknown => (EnableMethod::UNKNOWN, 0),
        };
        let mut flags = CpuFlags::default();
        if cpu.affinity() == facts.processor.affinity {
            flags |= CpuFlags::BOOT;
        }
        if cpu.is_disabled() {
            flags |= CpuFlags::DISABLED;
        }
        out.push(&boot_info::Cpu {
            mpidr: cpu.affinity(),
            phys_release,
            enable_method,
            flags,
            node: u32::from(cpu.node()),
            reserved: 0,
        })?;
    }
    let model = out.string(machine.model)?;
    out.push(&platform(facts, model))?;
    if is_wanted {
        out.push(&secondaries(facts))?;
    }
    Ok(())
}

/// The resident routine that other processors enter.
fn secondaries(facts: &Facts<'_>) -> Secondaries {
    let image = facts.image;
    let mailbox = image.secondary.start().get();
    Secondaries {
        phys_entry: image.secondary_entry.get(),
        phys_mailbox: mailbox,
        virt_mailbox: layout::LOADER.start().get() + (mailbox - image.range.start().get()),
        record_size: StartRecord::SIZE,
        status_offset: STATUS_OFFSET as u32,
        arrival_levels: 1 << facts.entered.level,
        flags: 0,
        reserved: 0,
    }
}

/// Processor, firmware and ways to end the machine.
fn platform(facts: &Facts<'_>, model: StringRef) -> Platform {
    let Facts { entered, processor, machine, .. } = facts;
    let (psci_conduit, psci_version) = match machine.psci {
        None => Default::default(),
        Some(psci) => (
            match psci.conduit {
                platform::Conduit::Smc => Conduit::SMC,
                platform::Conduit::Hvc => Conduit::HVC,
            },
            match psci.version {
                platform::PsciVersion::V0_1 => 0x0_0001,
                platform::PsciVersion::V0_2 => 0x0_0002,
                platform::PsciVersion::V1_0 => 0x1_0000,
            },
        ),
    };
    let semihosting = facts.image.header.boot_flags.contains(BootFlags::SEMIHOSTING);
    Platform {
        page_shift: PAGE_SHIFT,
        entry_exception_level: entered.level as u32,
        timer_frequency: match processor.timer_frequency {
            0 => machine.timer_frequency.map_or(0, u64::from),
            frequency => frequency,
        },
        psci_version,
        psci_conduit,
        exit: match (semihosting, machine.psci.is_some()) {
            (true, _) => ExitMethod::SEMIHOSTING,
            (false, true) => ExitMethod::PSCI,
            (false, false) => ExitMethod::NONE,
        },
        tree_source: facts.tree.source,
        closed_features: match entered.level {
            ..=1 => ClosedFeatures::empty(),
            _ => processor.closed_above_el1,
        },
        flags: entered.flags,
        phys_secondary_entry: match facts.placed.plan().elf().note().wants_secondaries() {
            true => facts.image.secondary_entry.get(),
            false => 0,
        },
        phys_address_bits: processor.physical_size.bits(),
        midr: processor.model,
        model,
        ..Platform::default()
    }
}

fn files(facts: &Facts<'_>, out: &mut BootInfoWriter<'_>) -> Result<(), WriteError> {
    let tree = facts.tree.range;
    let offset = facts.placed.plan().placement().direct_map_offset;
    out.push(&boot_info::DeviceTree {
        phys_start: tree.start().get(),
        virt_start: offset.wrapping_add(tree.start().get()),
        length: tree.len(),
    })?;
    if facts.command_line.length() > 0 {
        out.command_line(&facts.command_line.parts())?;
    }
    for module in facts.image.payload.of_kind(Kind::MODULE) {
        let phys = facts.image.range_of(&module);
        let name = out.string(module.name())?;
        out.push(&Module {
            name,
            phys_start: phys.start().get(),
            length: phys.len(),
            flags: ModuleFlags::READ_ONLY,
            reserved: 0,
        })?;
    }
    if let Some(initrd) = facts.machine.boot.initrd {
        out.push(&Initrd { phys_start: initrd.start().get(), length: initrd.len() })?;
    }
    if let Some(symbols) = facts.image.range_of_kind(Kind::SYMBOLS) {
        out.push(&Symbols { phys_start: symbols.start().get(), length: symbols.len() })?;
    }
    Ok(())
}
