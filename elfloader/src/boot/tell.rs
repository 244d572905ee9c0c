//! What the kernel is told: the facts, gathered from every stage.

use elfloader::entropy::Entropy;
use elfloader::handoff::Facts;
use elfloader::plan::PlacedPlan;
use elfloader::platform::Machine;
use shared_abi::addr::{Frame, PAGE, PhysAddr, PhysRange};
use shared_abi::boot_info::{
    self, ExitMethod, FirmwareImage, PageTables, Platform, PlatformFlags, Register, RegisterId, TreeSource,
};
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::image::header::BootFlags;

use super::Entered;
use super::firmware::Tree;
use super::image::Image;
use crate::machine::cpu;
use crate::machine::entry::EntryFlags;
use crate::machine::tables::KernelTables;

/// Registers as set, for as long as the facts refer to them.
pub type SetRegisters = [Register; 17];

/// Everything but memory map, command line and relocations, which the caller has at hand.
#[expect(clippy::too_many_arguments, reason = "one per stage, each used once")]
pub fn facts<'a>(
    entered: &Entered,
    image: &'a Image,
    machine: &'a Machine<'a>,
    tree: &Tree,
    placed: &'a PlacedPlan<'a>,
    store: &KernelTables,
    pool: PhysRange,
    empty: Frame,
    entropy: &Entropy,
    registers: &'a SetRegisters,
) -> Facts<'a> {
    Facts {
        machine,
        regions: &[],
        placed,
        payload: &image.payload,
        image: image.range,
        relocations: 0,
        registers,
        page_tables: PageTables {
            phys_root_high: image.own.tables().start().get(),
            phys_root_low: empty.start().get(),
            phys_pool: pool.start().get(),
            pool_length: pool.len(),
            pool_used: store.used() as u64 * PAGE,
            table_count: (store.used() as u64 + image.own.tables().len() / PAGE) as u32,
            reserved: 0,
        },
        platform: platform(entered, image, machine, tree.source),
        firmware_image: FirmwareImage {
            phys_image: image.range.start().get(),
            image_length: image.range.len(),
            loader_length: image.header.loader_length,
            entry_arguments: entered.arguments,
            payload_checksum: image.payload.checksum(),
            reserved: 0,
        },
        boot_cpu: cpu::affinity(),
        device_tree: Some(tree.range),
        command_line: "",
        entropy: boot_info::Entropy {
            bytes: entropy.kernel,
            credited_bits: entropy.kernel_bits,
            sources: entropy.sources,
            slide_credited_bits: entropy.layout_bits,
            slide_sources: entropy.layout_sources,
        },
    }
}

/// System registers as they will be at the kernel's entry, for `BootInfo`.
pub fn registers_as_set(registers: &EntryRegisters, empty: PhysAddr) -> SetRegisters {
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
fn platform(entered: &Entered, image: &Image, machine: &Machine<'_>, source: TreeSource) -> Platform {
    let flag = |set: bool, flag: PlatformFlags| if set { flag } else { PlatformFlags::default() };
    Platform {
        page_shift: shared_abi::addr::PAGE_SHIFT,
        entry_exception_level: entered.level as u32,
        timer_frequency: match cpu::timer_frequency() {
            0 => machine.timer_frequency.map_or(0, u64::from),
            frequency => frequency,
        },
        exit: match (image.header.boot_flags.contains(BootFlags::SEMIHOSTING), machine.psci.is_some()) {
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
