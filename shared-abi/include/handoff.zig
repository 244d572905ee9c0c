//! Handoff's ABI. MIT licence. Written from the declarations in shared-abi: do not change it by hand.
//! The contract is docs/contract.md.

// The version of the ABI.
pub const ABI_MAJOR = 1;
pub const ABI_MINOR = 0;

// The first eight bytes of `BootInfo`, and the most bytes and tables that it has.
pub const MAGIC = 0x4f464e49544f4f42;
pub const BOOT_INFO_MAX = 0x40000;
pub const TABLES_MAX = 64;

// The parts of the virtual address space.
pub const KERNEL_WINDOW_START = 0xffff000000000000;
pub const KERNEL_WINDOW_END = 0xffff008000000000;
pub const HANDOFF_WINDOW_START = 0xffff008000000000;
pub const HANDOFF_WINDOW_END = 0xffff010000000000;
pub const SLIDE_WINDOW_START = 0xffff010000000000;
pub const SLIDE_WINDOW_END = 0xffff800000000000;
pub const DIRECT_MAP_WINDOW_START = 0xffff800000000000;
pub const DIRECT_MAP_WINDOW_END = 0xfffffffffffff000;
pub const HEAP_START = 0xffff000010000000;

// The note's type, and its terms.
pub const NOTE_TYPE = 1;
pub const NOTE_ANY_OFFSET = 0xffffffffffffffff;
pub const NOTE_EL1 = 2;
pub const NOTE_EL2 = 4;

// Bits of a note's `wanted`.
pub const WANTED_SLIDE = 1;
pub const WANTED_SECONDARIES = 2;
pub const WANTED_RECORDER = 256;

// What `handoff_open` finds wrong (docs/errors.md).
pub const ERROR_MAGIC = 602;
pub const ERROR_ABI_MAJOR = 603;
pub const ERROR_HEADER_SIZE = 604;
pub const ERROR_TOTAL_SIZE = 605;
pub const ERROR_DIRECTORY_STRIDE = 607;
pub const ERROR_DIRECTORY_OFFSET = 608;
pub const ERROR_CHECKSUM = 609;
pub const ERROR_TABLE_OFFSET = 610;
pub const ERROR_TABLE_UNKNOWN = 615;

// How a machine is ended.
pub const SEMIHOSTING_EXIT = 24;
pub const SEMIHOSTING_APPLICATION_EXIT = 0x20026;
pub const PSCI_SYSTEM_OFF = 0x84000008;
pub const SUBCODE_GOOD = 64;
pub const SUBCODE_BAD = 65;
pub const SUBCODE_REFUSED = 101;
pub const SUBCODE_LOADER_FAULT = 102;
pub const SUBCODE_KERNEL_FAULT = 103;

// The tables.
pub const TABLE_MEMORY_MAP = 1;
pub const TABLE_KERNEL = 2;
pub const TABLE_KERNEL_EXTENTS = 3;
pub const TABLE_DIRECT_MAP = 4;
pub const TABLE_WINDOWS = 5;
pub const TABLE_BOOT_STACK = 6;
pub const TABLE_PAGE_TABLES = 7;
pub const TABLE_REGISTERS = 8;
pub const TABLE_CONSOLE = 9;
pub const TABLE_DEVICE_TREE = 10;
pub const TABLE_COMMAND_LINE = 11;
pub const TABLE_MODULES = 12;
pub const TABLE_INITRD = 13;
pub const TABLE_CPUS = 14;
pub const TABLE_PLATFORM = 15;
pub const TABLE_FIRMWARE_IMAGE = 16;
pub const TABLE_ENTROPY = 17;
pub const TABLE_TIMELINE = 18;
pub const TABLE_LOG = 19;
pub const TABLE_STRINGS = 20;
pub const TABLE_SYMBOLS = 21;
pub const TABLE_SECONDARIES = 36;
pub const TABLE_RECORDER = 41;
pub const TABLE_LAST = 41;

// How to take a table.
pub const DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND = 1;
pub const DIRECTORY_ENTRY_FLAGS_TRUNCATED = 2;

// `kind` of a region of memory. One that is not here is never free.
pub const MEMORY_USABLE = 1;
pub const MEMORY_LOADER_RECLAIMABLE = 2;
pub const MEMORY_BOOT_INFO = 3;
pub const MEMORY_BOOT_STACK = 4;
pub const MEMORY_PAGE_TABLES = 5;
pub const MEMORY_KERNEL = 6;
pub const MEMORY_MODULE = 7;
pub const MEMORY_INITRD = 8;
pub const MEMORY_DEVICE_TREE = 9;
pub const MEMORY_LOADER_RESIDENT = 10;
pub const MEMORY_FIRMWARE = 11;
pub const MEMORY_NO_MAP = 12;
pub const MEMORY_UNADDRESSABLE = 13;
pub const MEMORY_RECORDER = 14;
pub const MEMORY_ACPI_RECLAIM = 32;
pub const MEMORY_ACPI_NVS = 33;
pub const MEMORY_EFI_RUNTIME = 34;
pub const MEMORY_MMIO = 35;
pub const MEMORY_BAD = 36;
pub const MEMORY_FRAMEBUFFER = 37;

// The kinds that the kernel may use from its first instruction on, as bits by number.
pub const MEMORY_FREE_AT_ENTRY = 6;

// `rights` of an extent.
pub const RIGHTS_READ_ONLY = 1;
pub const RIGHTS_READ_WRITE = 2;
pub const RIGHTS_READ_EXECUTE = 3;

// `kind` of a console.
pub const UART_PL011 = 1;
pub const UART_BCM2835AUX = 2;
pub const UART_CDNS = 3;
pub const UART_NS16550A = 4;
pub const UART_IMX = 5;

// `flags` of a `kernel`: How it was loaded.
pub const KERNEL_FLAGS_POSITION_INDEPENDENT = 1;
pub const KERNEL_FLAGS_SLID = 2;
pub const KERNEL_FLAGS_CONTIGUOUS = 4;

// `origin` of a `extent`: Where the bytes come from.
pub const EXTENT_ORIGIN_IN_PLACE = 1;
pub const EXTENT_ORIGIN_COPIED = 2;
pub const EXTENT_ORIGIN_ZEROED = 3;

// `id` of a `window`: Which part.
pub const WINDOW_ID_KERNEL = 1;
pub const WINDOW_ID_HEAP = 2;
pub const WINDOW_ID_HANDOFF = 3;
pub const WINDOW_ID_SLIDE = 4;
pub const WINDOW_ID_DIRECT_MAP = 5;
pub const WINDOW_ID_BOOT_INFO = 6;
pub const WINDOW_ID_LOADER = 7;

// `id` of a `register`: Which register.
pub const REGISTER_ID_MDSCR_EL1 = 0x8012;
pub const REGISTER_ID_SCTLR_EL1 = 0xc080;
pub const REGISTER_ID_CPACR_EL1 = 0xc082;
pub const REGISTER_ID_TTBR0_EL1 = 0xc100;
pub const REGISTER_ID_TTBR1_EL1 = 0xc101;
pub const REGISTER_ID_TCR_EL1 = 0xc102;
pub const REGISTER_ID_SP_EL0 = 0xc208;
pub const REGISTER_ID_MAIR_EL1 = 0xc510;
pub const REGISTER_ID_AMAIR_EL1 = 0xc518;
pub const REGISTER_ID_VBAR_EL1 = 0xc600;
pub const REGISTER_ID_CONTEXTIDR_EL1 = 0xc681;
pub const REGISTER_ID_TPIDR_EL1 = 0xc684;
pub const REGISTER_ID_CNTKCTL_EL1 = 0xc708;
pub const REGISTER_ID_DAIF = 0xda11;
pub const REGISTER_ID_TPIDR_EL0 = 0xde82;
pub const REGISTER_ID_TPIDRRO_EL0 = 0xde83;
pub const REGISTER_ID_CNTP_CTL_EL0 = 0xdf11;
pub const REGISTER_ID_CNTV_CTL_EL0 = 0xdf19;

// `flags` of a `module`: How it is handed over.
pub const MODULE_FLAGS_READ_ONLY = 1;

// `enable_method` of a `cpu`: How it is started.
pub const CPU_ENABLE_METHOD_UNKNOWN = 0;
pub const CPU_ENABLE_METHOD_PSCI = 1;
pub const CPU_ENABLE_METHOD_SPIN_TABLE = 2;
pub const CPU_ENABLE_METHOD_MAILBOX = 3;

// `flags` of a `cpu`: What is known of it.
pub const CPU_FLAGS_BOOT = 1;
pub const CPU_FLAGS_DISABLED = 2;

// `psci_conduit` of a `platform`: How PSCI is called.
pub const PLATFORM_PSCI_CONDUIT_NONE = 0;
pub const PLATFORM_PSCI_CONDUIT_SMC = 1;
pub const PLATFORM_PSCI_CONDUIT_HVC = 2;

// `exit` of a `platform`: How the machine is ended.
pub const PLATFORM_EXIT_NONE = 0;
pub const PLATFORM_EXIT_SEMIHOSTING = 1;
pub const PLATFORM_EXIT_PSCI = 2;

// `tree_source` of a `platform`: Where the device tree came from.
pub const PLATFORM_TREE_SOURCE_NONE = 0;
pub const PLATFORM_TREE_SOURCE_FIRMWARE = 1;
pub const PLATFORM_TREE_SOURCE_HINT = 2;
pub const PLATFORM_TREE_SOURCE_PACKED = 3;

// `closed_features` of a `platform`: Features that the ID registers show and that are closed to EL1.
pub const PLATFORM_CLOSED_FEATURES_SVE = 1;
pub const PLATFORM_CLOSED_FEATURES_SME = 2;
pub const PLATFORM_CLOSED_FEATURES_POINTER_AUTHENTICATION = 4;
pub const PLATFORM_CLOSED_FEATURES_MEMORY_TAGGING = 8;
pub const PLATFORM_CLOSED_FEATURES_PERFORMANCE_MONITORS = 16;
pub const PLATFORM_CLOSED_FEATURES_ACTIVITY_MONITORS = 32;
pub const PLATFORM_CLOSED_FEATURES_STATISTICAL_PROFILING = 64;
pub const PLATFORM_CLOSED_FEATURES_TRACE = 128;
pub const PLATFORM_CLOSED_FEATURES_TRACE_BUFFER = 256;
pub const PLATFORM_CLOSED_FEATURES_BRANCH_RECORDS = 512;
pub const PLATFORM_CLOSED_FEATURES_DEBUG = 1024;
pub const PLATFORM_CLOSED_FEATURES_INTERRUPT_CONTROLLER = 2048;
pub const PLATFORM_CLOSED_FEATURES_PHYSICAL_TIMER = 0x1000;
pub const PLATFORM_CLOSED_FEATURES_EXTENDED_TRANSLATION = 0x2000;
pub const PLATFORM_CLOSED_FEATURES_GUARDED_STACKS = 0x4000;
pub const PLATFORM_CLOSED_FEATURES_ACCELERATOR_DATA = 0x8000;
pub const PLATFORM_CLOSED_FEATURES_TRANSLATION_HARDENING = 0x10000;
pub const PLATFORM_CLOSED_FEATURES_DEBUG_BANKS = 0x20000;
pub const PLATFORM_CLOSED_FEATURES_SYSTEM_MONITORS = 0x40000;

// `flags` of a `platform`: What is special.
pub const PLATFORM_FLAGS_NO_FIRMWARE = 1;
pub const PLATFORM_FLAGS_ENTERED_WITH_E2H = 2;
pub const PLATFORM_FLAGS_ENTERED_WITH_MMU = 4;
pub const PLATFORM_FLAGS_EL2_STUB = 8;

// `sources` of a `entropy`: Where they came from.
pub const ENTROPY_SOURCES_KASLR_SEED = 1;
pub const ENTROPY_SOURCES_RNG_SEED = 2;
pub const ENTROPY_SOURCES_RNDR = 4;
pub const ENTROPY_SOURCES_COUNTER = 8;
pub const ENTROPY_SOURCES_PACKED_SEED = 16;

// `slide_sources` of a `entropy`: Where those came from.
pub const ENTROPY_SLIDE_SOURCES_KASLR_SEED = 1;
pub const ENTROPY_SLIDE_SOURCES_RNG_SEED = 2;
pub const ENTROPY_SLIDE_SOURCES_RNDR = 4;
pub const ENTROPY_SLIDE_SOURCES_COUNTER = 8;
pub const ENTROPY_SLIDE_SOURCES_PACKED_SEED = 16;

pub const VERDICT_PREFIX = "verdict: ";
pub const NOTE_SIZE = 56;
pub const HEADER_SIZE = 40;
pub const DIRECTORY_ENTRY_SIZE = 24;
pub const MEMORY_REGION_SIZE = 32;
pub const KERNEL_SIZE = 112;
pub const EXTENT_SIZE = 40;
pub const DIRECT_MAP_SIZE = 24;
pub const WINDOW_SIZE = 24;
pub const BOOT_STACK_SIZE = 40;
pub const PAGE_TABLES_SIZE = 48;
pub const REGISTER_SIZE = 16;
pub const CONSOLE_SIZE = 48;
pub const DEVICE_TREE_SIZE = 24;
pub const MODULE_SIZE = 32;
pub const INITRD_SIZE = 16;
pub const CPU_SIZE = 32;
pub const PLATFORM_SIZE = 72;
pub const FIRMWARE_IMAGE_SIZE = 64;
pub const ENTROPY_SIZE = 48;
pub const STAGE_SIZE = 16;
pub const SYMBOLS_SIZE = 16;
pub const SECONDARIES_SIZE = 48;
pub const RECORDER_SIZE = 24;

/// A string: where it begins in the strings table, and its bytes without the NUL that follows it.
pub const StringRef = extern struct { offset: u32, length: u32 };

/// What a kernel asks for in its note.
pub const Note = extern struct {
    /// The ABI that it was written for.
    abi_major: u16,
    /// The least minor version that has what it uses.
    abi_minor: u16,
    /// 4096.
    granule: u32,
    /// Terms to serve or to refuse.
    required: u64,
    /// Terms to serve if possible.
    wanted: u64,
    /// Bytes of boot stack, a multiple of 4096; 0 for 64 KiB.
    stack_size: u64,
    /// Bit n: it can be entered at ELn.
    exception_levels: u64,
    /// The virtual address of physical address 0.
    direct_map_offset: u64,
    /// 0, or the alignment of one contiguous range for the kernel.
    contiguous_alignment: u64,
    comptime {
        if (@sizeOf(@This()) != 56) @compileError("ABI");
    }
};

/// The beginning of `BootInfo`, at the address in x0.
pub const Header = extern struct {
    /// HANDOFF_MAGIC.
    magic: u64,
    /// Readers refuse another one.
    abi_major: u16,
    /// Readers accept any.
    abi_minor: u16,
    /// Bytes of this header.
    header_size: u32,
    /// Bytes of the blob.
    total_size: u32,
    /// CRC-32C of the blob without this field.
    checksum: u32,
    /// Where the directory begins, from the blob's first byte.
    directory_offset: u32,
    /// Its entries.
    directory_count: u32,
    /// Bytes from one to the next.
    directory_stride: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 40) @compileError("ABI");
    }
};

/// Where a table is.
pub const DirectoryEntry = extern struct {
    /// Which table.
    id: u32,
    /// How to take it.
    flags: u32,
    /// Where it begins, from the blob's first byte.
    offset: u32,
    /// Its records, or its bytes.
    count: u32,
    /// Bytes from one record to the next, 1 for bytes.
    stride: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 24) @compileError("ABI");
    }
};

/// A run of whole pages of RAM with one use. The map lists every page of RAM exactly once, in ascending
/// order.
pub const MemoryRegion = extern struct {
    /// The first page's physical address.
    phys_start: u64,
    /// Bytes, a multiple of 4 KiB.
    length: u64,
    /// A `RegionKind`'s number.
    kind: u32,
    /// The NUMA node, 0 where the machine states none.
    node: u32,
    /// What or whose it is; may be empty.
    name: StringRef,
    comptime {
        if (@sizeOf(@This()) != 32) @compileError("ABI");
    }
};

/// The kernel: where it was linked, where it runs, what loading it took.
pub const Kernel = extern struct {
    /// The lowest virtual address of its segments as linked, rounded down to a page.
    virt_link_base: u64,
    /// What was added to every linked address, modulo 2⁶⁴.
    slide: u64,
    /// Where it was entered.
    virt_entry: u64,
    /// The lowest virtual address that it occupies.
    virt_start: u64,
    /// Bytes from there to the end of its last page.
    length: u64,
    /// Where its ELF file lies.
    phys_elf: u64,
    /// Bytes of that file.
    elf_length: u64,
    /// Pages of the file that are mapped where they lie.
    pages_in_place: u64,
    /// Pages that were copied.
    pages_copied: u64,
    /// Pages that were zeroed.
    pages_zeroed: u64,
    /// Relocations that were applied.
    relocations: u64,
    /// How it was loaded.
    flags: u32,
    /// The ABI's major version that its note asked for.
    abi_major: u16,
    /// The least minor version that its note asked for.
    abi_minor: u16,
    /// Its name in the image; may be empty.
    name: StringRef,
    /// Bits that its note wanted.
    wanted: u64,
    comptime {
        if (@sizeOf(@This()) != 112) @compileError("ABI");
    }
};

/// A run of the kernel's pages that is contiguous virtually and physically and has one origin and one right.
/// In ascending virtual order.
pub const Extent = extern struct {
    /// The first page's virtual address.
    virt_start: u64,
    /// The first page's physical address.
    phys_start: u64,
    /// Bytes, a multiple of 4 KiB.
    length: u64,
    /// A `Rights`' number.
    rights: u32,
    /// Where the bytes come from.
    origin: u32,
    /// The program header that it belongs to, from 0.
    segment: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 40) @compileError("ABI");
    }
};

/// The direct map: the virtual address of physical memory is its address plus an offset.
pub const DirectMap = extern struct {
    /// The virtual address of physical address 0, a multiple of 1 GiB.
    virt_offset: u64,
    /// The lowest physical address that is mapped.
    phys_start: u64,
    /// The first physical address past all that is mapped. Holes and `no-map` ranges between are not.
    phys_end: u64,
    comptime {
        if (@sizeOf(@This()) != 24) @compileError("ABI");
    }
};

/// A part of the virtual address space and its purpose.
pub const Window = extern struct {
    /// Which part.
    id: u32,
    /// 0.
    reserved: u32,
    /// Its first virtual address.
    virt_start: u64,
    /// Its bytes, a multiple of 4 KiB.
    length: u64,
    comptime {
        if (@sizeOf(@This()) != 24) @compileError("ABI");
    }
};

/// The stack that the kernel is entered on, and the unmapped guard right below it.
pub const BootStack = extern struct {
    /// The guard's first virtual address.
    virt_guard: u64,
    /// The guard's bytes.
    guard_length: u64,
    /// The stack's lowest virtual address: the end of the guard.
    virt_bottom: u64,
    /// The end of the stack, and SP at entry.
    virt_top: u64,
    /// The physical address of the stack's lowest byte.
    phys_bottom: u64,
    comptime {
        if (@sizeOf(@This()) != 40) @compileError("ABI");
    }
};

/// The live translation tables: one pool, of which the first part is used.
pub const PageTables = extern struct {
    /// The root that TTBR1_EL1 points to.
    phys_root_high: u64,
    /// The empty root that TTBR0_EL1 points to.
    phys_root_low: u64,
    /// The pool's physical address.
    phys_pool: u64,
    /// The pool's bytes.
    pool_length: u64,
    /// Bytes of it that tables occupy.
    pool_used: u64,
    /// Tables, both roots included.
    table_count: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 48) @compileError("ABI");
    }
};

/// A system register and the value that the loader set.
pub const Register = extern struct {
    /// Which register.
    id: u32,
    /// 0.
    reserved: u32,
    /// Its value at entry.
    value: u64,
    comptime {
        if (@sizeOf(@This()) != 16) @compileError("ABI");
    }
};

/// The serial port that the loader speaks on, mapped as Device memory.
pub const Console = extern struct {
    /// A `UartKind`'s number.
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
    comptime {
        if (@sizeOf(@This()) != 48) @compileError("ABI");
    }
};

/// The flattened device tree, with its seeds wiped.
pub const DeviceTree = extern struct {
    /// Where it lies.
    phys_start: u64,
    /// The same place in the direct map.
    virt_start: u64,
    /// Its bytes, without what only filled its `totalsize` up.
    length: u64,
    comptime {
        if (@sizeOf(@This()) != 24) @compileError("ABI");
    }
};

/// A file that was packed for the kernel, on pages of its own.
pub const Module = extern struct {
    /// Its name.
    name: StringRef,
    /// Where it lies, a multiple of 4 KiB.
    phys_start: u64,
    /// Its bytes.
    length: u64,
    /// How it is handed over.
    flags: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 32) @compileError("ABI");
    }
};

/// The initial RAM disk, as firmware placed it.
pub const Initrd = extern struct {
    /// Where it lies, at any alignment.
    phys_start: u64,
    /// Its bytes.
    length: u64,
    comptime {
        if (@sizeOf(@This()) != 16) @compileError("ABI");
    }
};

/// A processor, in the device tree's order.
pub const Cpu = extern struct {
    /// MPIDR_EL1's affinity fields.
    mpidr: u64,
    /// For a spin table the address that it polls, else 0.
    phys_release: u64,
    /// How it is started.
    enable_method: u32,
    /// What is known of it.
    flags: u32,
    /// The NUMA node, 0 where the machine states none.
    node: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 32) @compileError("ABI");
    }
};

/// What the machine is and how it was found.
pub const Platform = extern struct {
    /// log2 of the translation granule.
    page_shift: u32,
    /// The exception level that firmware entered the loader at: 1, 2 or 3.
    entry_exception_level: u32,
    /// Ticks of the system counter in a second (CNTFRQ_EL0); 0 if it was not set.
    timer_frequency: u64,
    /// PSCI's version, major in bits 31 to 16, minor below; 0 if there is none.
    psci_version: u32,
    /// How PSCI is called.
    psci_conduit: u32,
    /// How the machine is ended.
    exit: u32,
    /// Where the device tree came from.
    tree_source: u32,
    /// The resident routine that secondary processors enter; 0 if there is none.
    phys_secondary_entry: u64,
    /// Features that the ID registers show and that are closed to EL1.
    closed_features: u32,
    /// 0.
    reserved: u32,
    /// What is special.
    flags: u32,
    /// Bits of a physical address that the processor has, at most 48.
    phys_address_bits: u32,
    /// The machine's model, as its device tree names it; may be empty.
    model: StringRef,
    /// MIDR_EL1 of the boot processor.
    midr: u64,
    comptime {
        if (@sizeOf(@This()) != 72) @compileError("ABI");
    }
};

/// Where firmware put the image, and the registers that it passed.
pub const FirmwareImage = extern struct {
    /// Where the combined image lies: its header page, right before the loader.
    phys_image: u64,
    /// Its bytes.
    image_length: u64,
    /// Bytes of the loader, from +0x1000 of the image on.
    loader_length: u64,
    /// x0 to x3 as firmware passed them.
    entry_arguments: [4]u64,
    /// The payload table's checksum: which image this is.
    payload_checksum: u32,
    /// 0.
    reserved: u32,
    comptime {
        if (@sizeOf(@This()) != 64) @compileError("ABI");
    }
};

/// Entropy for the kernel. None of these bytes chose an address.
pub const Entropy = extern struct {
    /// The bytes.
    bytes: [32]u8,
    /// Bits of entropy that they can be trusted to hold, at most 256.
    credited_bits: u32,
    /// Where they came from.
    sources: u32,
    /// Bits of entropy that the choice of addresses could be trusted to hold.
    slide_credited_bits: u32,
    /// Where those came from.
    slide_sources: u32,
    comptime {
        if (@sizeOf(@This()) != 48) @compileError("ABI");
    }
};

/// When a stage of the boot was reached, in ascending order.
pub const Stage = extern struct {
    /// The system counter (CNTVCT_EL0) when it began.
    ticks: u64,
    /// Its name.
    name: StringRef,
    comptime {
        if (@sizeOf(@This()) != 16) @compileError("ABI");
    }
};

/// The kernel's compact symbol table, packed beside it.
pub const Symbols = extern struct {
    /// Where it lies; the direct map shows it.
    phys_start: u64,
    /// Its bytes.
    length: u64,
    comptime {
        if (@sizeOf(@This()) != 16) @compileError("ABI");
    }
};

/// The loader's resident routine that other processors enter. It is there if the kernel's note wanted it.
pub const Secondaries = extern struct {
    /// The routine's first instruction: CPU_ON's entry point, or what `phys_release` takes.
    phys_entry: u64,
    /// The mailbox of processors that are not told their record.
    phys_mailbox: u64,
    /// The same, writable.
    virt_mailbox: u64,
    /// Bytes of a start record, to a multiple of which it is aligned.
    record_size: u32,
    /// Where its status begins, on cache lines of its own.
    status_offset: u32,
    /// Exception levels that a processor may arrive at, bit n for ELn.
    arrival_levels: u32,
    /// 0.
    flags: u32,
    /// 0.
    reserved: u64,
    comptime {
        if (@sizeOf(@This()) != 48) @compileError("ABI");
    }
};

/// The flight recorders, in a region of their own.
pub const Recorder = extern struct {
    /// Where this boot's lies, begun and without entries: the kernel's to write.
    phys_current: u64,
    /// Where the last boot's lies, as it was left: the crash record. 0 if none was found.
    phys_last: u64,
    /// Bytes of each.
    length: u64,
    comptime {
        if (@sizeOf(@This()) != 24) @compileError("ABI");
    }
};

/// How a kind of port is driven: see docs/contract.md, "Writing to the console".
const Uart = struct { kind: u32, data: u32, status: u32, spread: bool, mask: u32, ready: u32, control: u32, clear: u32, set: u32 };

const uarts = [_]Uart{
    .{ .kind = 1, .data = 0x0, .status = 0x18, .spread = false, .mask = 0x20, .ready = 0x0, .control = 0x0, .clear = 0x0, .set = 0x0 }, // pl011
    .{ .kind = 2, .data = 0x0, .status = 0x14, .spread = false, .mask = 0x20, .ready = 0x20, .control = 0x0, .clear = 0x0, .set = 0x0 }, // bcm2835aux
    .{ .kind = 3, .data = 0x30, .status = 0x2c, .spread = false, .mask = 0x10, .ready = 0x0, .control = 0x0, .clear = 0x20, .set = 0x10 }, // cdns
    .{ .kind = 4, .data = 0x0, .status = 0x5, .spread = true, .mask = 0x20, .ready = 0x20, .control = 0x0, .clear = 0x0, .set = 0x0 }, // ns16550a
    .{ .kind = 5, .data = 0x40, .status = 0xb4, .spread = false, .mask = 0x10, .ready = 0x0, .control = 0x84, .clear = 0x0, .set = 0x4 }, // imx
};

/// An ELF note, alignment 4, that lies in `.note.handoff`:
///
///     export const handoff_note linksection(".note.handoff") = handoff.NoteRecord.of(.{ .stack_size = 0x8000 });
pub const NoteRecord = extern struct {
    name_size: u32 = 8,
    descriptor_size: u32 = NOTE_SIZE,
    note_type: u32 = NOTE_TYPE,
    name: [8]u8 = "Handoff\x00".*,
    descriptor: [NOTE_SIZE / 4]u32,

    /// What a kernel may ask for; it takes everything as it comes without a word.
    pub const Terms = struct {
        required: u64 = 0,
        wanted: u64 = WANTED_SLIDE,
        stack_size: u64 = 0,
        direct_map_offset: u64 = NOTE_ANY_OFFSET,
        contiguous_alignment: u64 = 0,
    };

    pub fn of(comptime terms: Terms) NoteRecord {
        const numbers = [_]u64{
            terms.required, terms.wanted,            terms.stack_size,
            NOTE_EL1,       terms.direct_map_offset, terms.contiguous_alignment,
        };
        var words: [NOTE_SIZE / 4]u32 = @splat(0);
        words[0] = ABI_MAJOR;
        words[1] = 4096;
        for (numbers, 1..) |number, index| {
            words[2 * index] = @truncate(number);
            words[2 * index + 1] = @truncate(number >> 32);
        }
        return .{ .descriptor = words };
    }
};

/// Whether the kernel may use a region of this kind from its first instruction on. A kind that is not known is never free.
pub fn isFree(kind: u32) bool {
    return kind < 64 and @as(u64, MEMORY_FREE_AT_ENTRY) >> @intCast(kind) & 1 != 0;
}

/// What is wrong with a `BootInfo`; docs/errors.md has a number for each.
pub const Error = error{ Magic, AbiMajor, HeaderSize, TotalSize, Checksum, DirectoryStride, DirectoryOffset, TableOffset, TableUnknown };

/// CRC-32C of `bytes` behind those that gave `before`.
fn crc32c(before: u32, bytes: []const u8) u32 {
    var crc = ~before;
    for (bytes) |byte| {
        crc ^= byte;
        for (0..8) |_| crc = crc >> 1 ^ (0x82F63B78 & (0 -% (crc & 1)));
    }
    return ~crc;
}

/// A `BootInfo` that was found whole.
pub const BootInfo = struct {
    bytes: []const u8,
    header: *const Header,

    /// Checks what the loader handed over in x0.
    pub fn open(boot_info: [*]align(8) const u8) Error!BootInfo {
        const header: *const Header = @ptrCast(boot_info);
        if (header.magic != MAGIC) return error.Magic;
        if (header.abi_major != ABI_MAJOR) return error.AbiMajor;
        if (header.header_size < HEADER_SIZE) return error.HeaderSize;
        const total = header.total_size;
        if (total < header.header_size or total > BOOT_INFO_MAX or total % 8 != 0) return error.TotalSize;
        const bytes = boot_info[0..total];
        const crc = crc32c(crc32c(0, bytes[0..@offsetOf(Header, "checksum")]), bytes[@offsetOf(Header, "checksum") + 4 ..]);
        if (crc != header.checksum) return error.Checksum;
        const stride = header.directory_stride;
        if (stride < DIRECTORY_ENTRY_SIZE or stride % 8 != 0) return error.DirectoryStride;
        const length = @as(u64, header.directory_count) * stride;
        if (header.directory_offset % 8 != 0 or header.directory_offset + length > total) return error.DirectoryOffset;
        const info = BootInfo{ .bytes = bytes, .header = header };
        for (0..header.directory_count) |index| {
            const found = info.entry(index);
            const past = found.offset + @as(u64, found.count) * found.stride;
            if (found.offset % 8 != 0 or past > total) return error.TableOffset;
            if (found.flags & DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND != 0 and found.id > TABLE_LAST) return error.TableUnknown;
        }
        return info;
    }

    fn entry(self: BootInfo, index: usize) *const DirectoryEntry {
        return @ptrCast(@alignCast(&self.bytes[self.header.directory_offset + index * self.header.directory_stride]));
    }

    fn table(self: BootInfo, id: u32) ?*const DirectoryEntry {
        for (0..self.header.directory_count) |index| {
            const found = self.entry(index);
            if (found.id == id) return found;
        }
        return null;
    }

    /// The bytes of a table of bytes; empty if it is not there.
    pub fn text(self: BootInfo, id: u32) []const u8 {
        const found = self.table(id) orelse return "";
        return self.bytes[found.offset..][0..found.count];
    }

    /// The records of a table, in order; none if it is not there. A record that is longer than this file knows is cut, a
    /// shorter one filled with zeros.
    pub fn records(self: BootInfo, comptime Record: type, id: u32) Records(Record) {
        const found = self.table(id) orelse return .{ .bytes = "", .stride = 1, .left = 0 };
        return .{ .bytes = self.bytes[found.offset..], .stride = found.stride, .left = found.count };
    }

    /// A string that a record names, without the NUL that follows it.
    pub fn string(self: BootInfo, ref: StringRef) []const u8 {
        const strings = self.text(TABLE_STRINGS);
        const past = @as(u64, ref.offset) + ref.length;
        return if (past > strings.len) "" else strings[ref.offset..past];
    }

    /// Where the direct map has a physical address.
    pub fn virt(self: BootInfo, phys: u64) ?[*]u8 {
        var maps = self.records(DirectMap, TABLE_DIRECT_MAP);
        const map = maps.next() orelse return null;
        return @ptrFromInt(map.virt_offset +% phys);
    }

    /// Writes to the console that the loader speaks on, a carriage return before each line feed; nothing without one.
    pub fn write(self: BootInfo, words: []const u8) void {
        var consoles = self.records(Console, TABLE_CONSOLE);
        const console = consoles.next() orelse return;
        const port = for (uarts) |uart| {
            if (uart.kind == console.kind) break uart;
        } else return;
        const shift: u5 = if (port.spread) @truncate(console.register_shift) else 0;
        if (port.clear | port.set != 0) store(console, port.control, load(console, port.control) & ~port.clear | port.set);
        for (words) |byte| {
            if (byte == '\n') send(console, port, shift, '\r');
            send(console, port, shift, byte);
        }
    }

    /// Ends the machine with a verdict, good if `code` is 0.
    pub fn end(self: BootInfo, code: u32) noreturn {
        self.write(VERDICT_PREFIX);
        if (code == 0) {
            self.write("good\n");
        } else {
            var digits: [10]u8 = undefined;
            var first: usize = digits.len;
            var rest = code;
            while (rest != 0) : (rest /= 10) {
                first -= 1;
                digits[first] = '0' + @as(u8, @intCast(rest % 10));
            }
            self.write("bad ");
            self.write(digits[first..]);
            self.write("\n");
        }
        var platforms = self.records(Platform, TABLE_PLATFORM);
        if (platforms.next()) |platform| {
            if (platform.exit == PLATFORM_EXIT_SEMIHOSTING) {
                const block = [2]u64{ SEMIHOSTING_APPLICATION_EXIT, if (code == 0) SUBCODE_GOOD else SUBCODE_BAD };
                asm volatile ("hlt #0xF000"
                    :
                    : [operation] "{x0}" (@as(u64, SEMIHOSTING_EXIT)),
                      [block] "{x1}" (&block),
                    : .{ .memory = true });
            }
            const off: u64 = PSCI_SYSTEM_OFF;
            if (platform.psci_conduit == PLATFORM_PSCI_CONDUIT_SMC)
                asm volatile (".inst 0xd4000003" // smc #0, of which the assembler wants to be told that there is EL3
                    :
                    : [function] "{x0}" (off),
                    : .{ .memory = true });
            if (platform.psci_conduit == PLATFORM_PSCI_CONDUIT_HVC)
                asm volatile (".inst 0xd4000002" // hvc #0
                    :
                    : [function] "{x0}" (off),
                    : .{ .memory = true });
        }
        while (true) asm volatile ("wfi");
    }
};

/// A walk over the records of a table.
pub fn Records(comptime Record: type) type {
    return struct {
        bytes: []const u8,
        stride: u32,
        left: u32,

        pub fn next(self: *@This()) ?Record {
            if (self.left == 0) return null;
            var record: Record = undefined;
            const known = @min(self.stride, @sizeOf(Record));
            const to: *[@sizeOf(Record)]u8 = @ptrCast(&record);
            for (to, 0..) |*byte, index| byte.* = if (index < known) self.bytes[index] else 0;
            self.left -= 1;
            self.bytes = self.bytes[self.stride..];
            return record;
        }
    };
}

fn load(console: Console, offset: u64) u32 {
    const address = console.virt_base + offset;
    return switch (console.access_width) {
        1 => @as(*volatile u8, @ptrFromInt(address)).*,
        2 => @as(*volatile u16, @ptrFromInt(address)).*,
        else => @as(*volatile u32, @ptrFromInt(address)).*,
    };
}

fn store(console: Console, offset: u64, value: u32) void {
    const address = console.virt_base + offset;
    switch (console.access_width) {
        1 => @as(*volatile u8, @ptrFromInt(address)).* = @truncate(value),
        2 => @as(*volatile u16, @ptrFromInt(address)).* = @truncate(value),
        else => @as(*volatile u32, @ptrFromInt(address)).* = value,
    }
}

fn send(console: Console, port: Uart, shift: u5, byte: u8) void {
    // A dead port does not hang a kernel.
    for (0..1 << 20) |_| {
        if (load(console, @as(u64, port.status) << shift) & port.mask == port.ready)
            return store(console, @as(u64, port.data) << shift, byte);
    }
}
