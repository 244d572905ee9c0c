//! The machine: console, device tree, processors, firmware.

use super::fault::Fault;
use super::record::{flags, open_number, record};
use super::strings::StringRef;
use crate::addr::{PAGE_SHIFT, PhysAddr, PhysRange, VirtAddr};
use crate::uart::{UartKind, UartLayout};

/// The range if it can be named.
fn phys(start: u64, length: u64) -> Option<PhysRange> {
    PhysRange::from_bounds(start, start.saturating_add(length))
}

record! {
    /// The serial port that the loader speaks on, mapped as Device memory.
    Console, 48 bytes {
        /// A [`UartKind`]'s number.
        kind: u32,
        /// Bytes of one access: 1, 2 or 4.
        access_width: u32,
        /// log2 of the distance between two registers of a 16550, in bytes.
        register_shift: u32,
        /// The clock in Hz, 0 where the machine states none.
        clock_frequency: u32,
        /// Where its registers are.
        phys_base: u64,
        /// Where they are mapped.
        virt_base: u64,
        /// Bytes that are mapped from there on.
        length: u64,
        /// Its path in the device tree; may be empty.
        path: StringRef,
    }
    check |console, _, strings| {
        let width = console.access_width;
        Fault::unless(matches!(width, 1 | 2 | 4), "access_width", width as u64)?;
        let shift = console.register_shift;
        Fault::unless(shift <= 4, "register_shift", shift as u64)?;
        Fault::unless(phys(console.phys_base, console.length).is_some(), "phys_base", console.phys_base)?;
        let high = VirtAddr::new(console.virt_base).is_some_and(VirtAddr::is_high);
        Fault::unless(high, "virt_base", console.virt_base)?;
        strings.check(console.path, "path")
    }
}

impl Console {
    /// The kind of port; `None` for one that this version does not know.
    pub const fn kind(&self) -> Option<UartKind> {
        UartKind::from_number(self.kind)
    }

    /// How its registers lie.
    pub const fn layout(&self) -> UartLayout {
        UartLayout { register_shift: self.register_shift, access_width: self.access_width }
    }
}

record! {
    /// The flattened device tree, with its seeds wiped.
    DeviceTree, 24 bytes {
        /// Where it lies.
        phys_start: u64,
        /// The same place in the direct map.
        virt_start: u64,
        /// Its bytes, without what only filled its `totalsize` up.
        length: u64,
    }
    check |tree, _, _| {
        Fault::unless(phys(tree.phys_start, tree.length).is_some(), "phys_start", tree.phys_start)?;
        let high = VirtAddr::new(tree.virt_start).is_some_and(VirtAddr::is_high);
        Fault::unless(high, "virt_start", tree.virt_start)
    }
}

impl DeviceTree {
    /// Its physical bytes.
    pub fn phys(&self) -> PhysRange {
        phys(self.phys_start, self.length).unwrap_or_default()
    }
}

open_number! {
    /// How a secondary processor is started.
    EnableMethod {
        /// Nothing is stated, or a method that the loader does not know.
        UNKNOWN = 0, "unknown";
        /// By PSCI's CPU_ON.
        PSCI = 1, "psci";
        /// By writing the entry address where the processor polls.
        SPIN_TABLE = 2, "spin-table";
        /// By the resident routine's mailbox: it came along with the boot processor and waits there.
        MAILBOX = 3, "mailbox";
    }
}

flags! {
    /// What is known of a processor.
    CpuFlags {
        /// The one that boots.
        BOOT = 0;
        /// Off until something enables it (`status` is not okay).
        DISABLED = 1;
    }
}

record! {
    /// A processor, in the device tree's order.
    Cpu, 32 bytes {
        /// MPIDR_EL1's affinity fields.
        mpidr: u64,
        /// For a spin table the address that it polls, else 0.
        phys_release: u64,
        /// How it is started.
        enable_method: EnableMethod,
        /// What is known of it.
        flags: CpuFlags,
        /// The NUMA node, 0 where the machine states none.
        node: u32,
        /// 0.
        reserved: u32,
    }
    check |cpu, _, _| {
        Fault::unless(cpu.mpidr & !0xFF_00FF_FFFF == 0, "mpidr", cpu.mpidr)?;
        Fault::unless(PhysAddr::new(cpu.phys_release).is_some(), "phys_release", cpu.phys_release)
    }
}

open_number! {
    /// The instruction by which PSCI is called.
    Conduit {
        /// There is no PSCI.
        NONE = 0, "none";
        /// `smc #0`.
        SMC = 1, "smc";
        /// `hvc #0`.
        HVC = 2, "hvc";
    }
}

open_number! {
    /// How the machine is ended.
    ExitMethod {
        /// It cannot be: park the processor.
        NONE = 0, "none";
        /// By semihosting, with a status.
        SEMIHOSTING = 1, "semihosting";
        /// By PSCI's SYSTEM_OFF.
        PSCI = 2, "psci";
    }
}

open_number! {
    /// Where the device tree came from.
    TreeSource {
        /// There is none.
        NONE = 0, "none";
        /// Firmware passed it in x0.
        FIRMWARE = 1, "firmware";
        /// The image's header page named its address.
        HINT = 2, "hint";
        /// It was packed into the image.
        PACKED = 3, "packed";
    }
}

flags! {
    /// What is special about the machine.
    PlatformFlags {
        /// Entered at EL3: there is no firmware, so no PSCI.
        NO_FIRMWARE = 0;
        /// Entered at EL2 with HCR_EL2.E2H set.
        ENTERED_WITH_E2H = 1;
        /// Entered with the MMU or the data cache on.
        ENTERED_WITH_MMU = 2;
        /// A resident stub at EL2 answers stray calls with −1.
        EL2_STUB = 3;
    }
}

flags! {
    /// Features that the processor has and that EL1 may not use, as far as the loader left them closed at EL2 or EL3.
    /// What firmware keeps for itself, where it entered at EL1, cannot be asked.
    ClosedFeatures {
        /// Scalable vectors.
        SVE = 0;
        /// Scalable matrices.
        SME = 1;
        /// Pointer authentication.
        POINTER_AUTHENTICATION = 2;
        /// Memory tagging.
        MEMORY_TAGGING = 3;
        /// Performance monitors.
        PERFORMANCE_MONITORS = 4;
        /// Activity monitors.
        ACTIVITY_MONITORS = 5;
        /// Statistical profiling.
        STATISTICAL_PROFILING = 6;
        /// The trace unit's system registers.
        TRACE = 7;
        /// The trace buffer.
        TRACE_BUFFER = 8;
        /// Branch records.
        BRANCH_RECORDS = 9;
        /// Breakpoints, watchpoints and the debug channel.
        DEBUG = 10;
        /// The GIC's system registers.
        INTERRUPT_CONTROLLER = 11;
        /// The physical counter and timer.
        PHYSICAL_TIMER = 12;
        /// 128-bit descriptors and the indirection of memory attributes.
        EXTENDED_TRANSLATION = 13;
        /// Guarded control stacks.
        GUARDED_STACKS = 14;
        /// 64-byte stores with ACCDATA_EL1.
        ACCELERATOR_DATA = 15;
        /// Translation hardening: masks for the instructions that change descriptors.
        TRANSLATION_HARDENING = 16;
        /// Breakpoints and watchpoints past the sixteenth (MDSELR_EL1).
        DEBUG_BANKS = 17;
        /// System performance monitors.
        SYSTEM_MONITORS = 18;
    }
}

record! {
    /// What the machine is and how it was found.
    Platform, 72 bytes {
        /// log2 of the translation granule.
        page_shift: u32,
        /// The exception level that firmware entered the loader at: 1, 2 or 3.
        entry_exception_level: u32,
        /// Ticks of the system counter in a second (CNTFRQ_EL0); 0 if it was not set.
        timer_frequency: u64,
        /// PSCI's version, major in bits 31 to 16, minor below; 0 if there is none.
        psci_version: u32,
        /// How PSCI is called.
        psci_conduit: Conduit,
        /// How the machine is ended.
        exit: ExitMethod,
        /// Where the device tree came from.
        tree_source: TreeSource,
        /// The resident routine that secondary processors enter; 0 if there is none.
        phys_secondary_entry: u64,
        /// Features that the ID registers show and that are closed to EL1.
        closed_features: ClosedFeatures,
        /// 0.
        reserved: u32,
        /// What is special.
        flags: PlatformFlags,
        /// Bits of a physical address that the processor has, at most 48.
        phys_address_bits: u32,
        /// The machine's model, as its device tree names it; may be empty.
        model: StringRef,
        /// MIDR_EL1 of the boot processor.
        midr: u64,
    }
    check |platform, _, strings| {
        Fault::unless(platform.page_shift == PAGE_SHIFT, "page_shift", platform.page_shift as u64)?;
        let level = platform.entry_exception_level;
        Fault::unless(matches!(level, 1..=3), "entry_exception_level", level as u64)?;
        let entry = platform.phys_secondary_entry;
        Fault::unless(PhysAddr::new(entry).is_some(), "phys_secondary_entry", entry)?;
        let bits = platform.phys_address_bits;
        Fault::unless(matches!(bits, 32..=48), "phys_address_bits", bits as u64)?;
        strings.check(platform.model, "model")
    }
}

record! {
    /// Where firmware put the image, and the registers that it passed.
    FirmwareImage, 64 bytes {
        /// Where the combined image lies: its header page, right before the loader.
        phys_image: u64,
        /// Its bytes.
        image_length: u64,
        /// Bytes of the loader, from +0x1000 of the image on.
        loader_length: u64,
        /// x0 to x3 as firmware passed them.
        entry_arguments: [u64; 4],
        /// The payload table's checksum: which image this is.
        payload_checksum: u32,
        /// 0.
        reserved: u32,
    }
    check |image, _, _| {
        Fault::unless(phys(image.phys_image, image.image_length).is_some(), "phys_image", image.phys_image)?;
        let loader = image.loader_length;
        Fault::unless(loader <= image.image_length, "loader_length", loader)
    }
}

impl FirmwareImage {
    /// The image's physical bytes.
    pub fn phys(&self) -> PhysRange {
        phys(self.phys_image, self.image_length).unwrap_or_default()
    }
}
