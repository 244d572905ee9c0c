/* Handoff's ABI. MIT licence. Written from the declarations in shared-abi: do not change it by hand.
 *
 * For C11, C++20 and preprocessed assembly. Needs stdint.h and stddef.h; links with nothing.
 * The contract is docs/contract.md. */
#ifndef HANDOFF_H
#define HANDOFF_H

/*
 * The version of the ABI.
 */
#define HANDOFF_ABI_MAJOR 1
#define HANDOFF_ABI_MINOR 0

/*
 * The first eight bytes of `BootInfo`, and the most bytes and tables that it has.
 */
#define HANDOFF_MAGIC 0x4f464e49544f4f42
#define HANDOFF_BOOT_INFO_MAX 0x40000
#define HANDOFF_TABLES_MAX 64

/*
 * The parts of the virtual address space.
 */
#define HANDOFF_KERNEL_WINDOW_START 0xffff000000000000
#define HANDOFF_KERNEL_WINDOW_END 0xffff008000000000
#define HANDOFF_HANDOFF_WINDOW_START 0xffff008000000000
#define HANDOFF_HANDOFF_WINDOW_END 0xffff010000000000
#define HANDOFF_SLIDE_WINDOW_START 0xffff010000000000
#define HANDOFF_SLIDE_WINDOW_END 0xffff800000000000
#define HANDOFF_DIRECT_MAP_WINDOW_START 0xffff800000000000
#define HANDOFF_DIRECT_MAP_WINDOW_END 0xfffffffffffff000
#define HANDOFF_HEAP_START 0xffff000010000000

/*
 * The note's type, and its terms.
 */
#define HANDOFF_NOTE_TYPE 1
#define HANDOFF_NOTE_ANY_OFFSET 0xffffffffffffffff
#define HANDOFF_NOTE_EL1 2
#define HANDOFF_NOTE_EL2 4

/*
 * Bits of a note's `wanted`.
 */
#define HANDOFF_WANTED_SLIDE 1
#define HANDOFF_WANTED_SECONDARIES 2
#define HANDOFF_WANTED_RECORDER 256

/*
 * What `handoff_open` finds wrong (docs/errors.md).
 */
#define HANDOFF_ERROR_MAGIC 602
#define HANDOFF_ERROR_ABI_MAJOR 603
#define HANDOFF_ERROR_HEADER_SIZE 604
#define HANDOFF_ERROR_TOTAL_SIZE 605
#define HANDOFF_ERROR_DIRECTORY_STRIDE 607
#define HANDOFF_ERROR_DIRECTORY_OFFSET 608
#define HANDOFF_ERROR_CHECKSUM 609
#define HANDOFF_ERROR_TABLE_OFFSET 610
#define HANDOFF_ERROR_TABLE_UNKNOWN 615

/*
 * How a machine is ended.
 */
#define HANDOFF_SEMIHOSTING_EXIT 24
#define HANDOFF_SEMIHOSTING_APPLICATION_EXIT 0x20026
#define HANDOFF_PSCI_SYSTEM_OFF 0x84000008
#define HANDOFF_SUBCODE_GOOD 64
#define HANDOFF_SUBCODE_BAD 65
#define HANDOFF_SUBCODE_REFUSED 101
#define HANDOFF_SUBCODE_LOADER_FAULT 102
#define HANDOFF_SUBCODE_KERNEL_FAULT 103

/*
 * The tables.
 */
#define HANDOFF_TABLE_MEMORY_MAP 1
#define HANDOFF_TABLE_KERNEL 2
#define HANDOFF_TABLE_KERNEL_EXTENTS 3
#define HANDOFF_TABLE_DIRECT_MAP 4
#define HANDOFF_TABLE_WINDOWS 5
#define HANDOFF_TABLE_BOOT_STACK 6
#define HANDOFF_TABLE_PAGE_TABLES 7
#define HANDOFF_TABLE_REGISTERS 8
#define HANDOFF_TABLE_CONSOLE 9
#define HANDOFF_TABLE_DEVICE_TREE 10
#define HANDOFF_TABLE_COMMAND_LINE 11
#define HANDOFF_TABLE_MODULES 12
#define HANDOFF_TABLE_INITRD 13
#define HANDOFF_TABLE_CPUS 14
#define HANDOFF_TABLE_PLATFORM 15
#define HANDOFF_TABLE_FIRMWARE_IMAGE 16
#define HANDOFF_TABLE_ENTROPY 17
#define HANDOFF_TABLE_TIMELINE 18
#define HANDOFF_TABLE_LOG 19
#define HANDOFF_TABLE_STRINGS 20
#define HANDOFF_TABLE_SYMBOLS 21
#define HANDOFF_TABLE_SECONDARIES 36
#define HANDOFF_TABLE_RECORDER 41
#define HANDOFF_TABLE_LAST 41

/*
 * How to take a table.
 */
#define HANDOFF_DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND 1
#define HANDOFF_DIRECTORY_ENTRY_FLAGS_TRUNCATED 2

/*
 * `kind` of a region of memory. One that is not here is never free.
 */
#define HANDOFF_MEMORY_USABLE 1
#define HANDOFF_MEMORY_LOADER_RECLAIMABLE 2
#define HANDOFF_MEMORY_BOOT_INFO 3
#define HANDOFF_MEMORY_BOOT_STACK 4
#define HANDOFF_MEMORY_PAGE_TABLES 5
#define HANDOFF_MEMORY_KERNEL 6
#define HANDOFF_MEMORY_MODULE 7
#define HANDOFF_MEMORY_INITRD 8
#define HANDOFF_MEMORY_DEVICE_TREE 9
#define HANDOFF_MEMORY_LOADER_RESIDENT 10
#define HANDOFF_MEMORY_FIRMWARE 11
#define HANDOFF_MEMORY_NO_MAP 12
#define HANDOFF_MEMORY_UNADDRESSABLE 13
#define HANDOFF_MEMORY_RECORDER 14
#define HANDOFF_MEMORY_ACPI_RECLAIM 32
#define HANDOFF_MEMORY_ACPI_NVS 33
#define HANDOFF_MEMORY_EFI_RUNTIME 34
#define HANDOFF_MEMORY_MMIO 35
#define HANDOFF_MEMORY_BAD 36
#define HANDOFF_MEMORY_FRAMEBUFFER 37

/*
 * The kinds that the kernel may use from its first instruction on, as bits by number.
 */
#define HANDOFF_MEMORY_FREE_AT_ENTRY 6

/*
 * `rights` of an extent.
 */
#define HANDOFF_RIGHTS_READ_ONLY 1
#define HANDOFF_RIGHTS_READ_WRITE 2
#define HANDOFF_RIGHTS_READ_EXECUTE 3

/*
 * `kind` of a console.
 */
#define HANDOFF_UART_PL011 1
#define HANDOFF_UART_BCM2835AUX 2
#define HANDOFF_UART_CDNS 3
#define HANDOFF_UART_NS16550A 4
#define HANDOFF_UART_IMX 5

/*
 * `flags` of a `kernel`: How it was loaded.
 */
#define HANDOFF_KERNEL_FLAGS_POSITION_INDEPENDENT 1
#define HANDOFF_KERNEL_FLAGS_SLID 2
#define HANDOFF_KERNEL_FLAGS_CONTIGUOUS 4

/*
 * `origin` of a `extent`: Where the bytes come from.
 */
#define HANDOFF_EXTENT_ORIGIN_IN_PLACE 1
#define HANDOFF_EXTENT_ORIGIN_COPIED 2
#define HANDOFF_EXTENT_ORIGIN_ZEROED 3

/*
 * `id` of a `window`: Which part.
 */
#define HANDOFF_WINDOW_ID_KERNEL 1
#define HANDOFF_WINDOW_ID_HEAP 2
#define HANDOFF_WINDOW_ID_HANDOFF 3
#define HANDOFF_WINDOW_ID_SLIDE 4
#define HANDOFF_WINDOW_ID_DIRECT_MAP 5
#define HANDOFF_WINDOW_ID_BOOT_INFO 6
#define HANDOFF_WINDOW_ID_LOADER 7

/*
 * `id` of a `register`: Which register.
 */
#define HANDOFF_REGISTER_ID_MDSCR_EL1 0x8012
#define HANDOFF_REGISTER_ID_SCTLR_EL1 0xc080
#define HANDOFF_REGISTER_ID_CPACR_EL1 0xc082
#define HANDOFF_REGISTER_ID_TTBR0_EL1 0xc100
#define HANDOFF_REGISTER_ID_TTBR1_EL1 0xc101
#define HANDOFF_REGISTER_ID_TCR_EL1 0xc102
#define HANDOFF_REGISTER_ID_SP_EL0 0xc208
#define HANDOFF_REGISTER_ID_MAIR_EL1 0xc510
#define HANDOFF_REGISTER_ID_AMAIR_EL1 0xc518
#define HANDOFF_REGISTER_ID_VBAR_EL1 0xc600
#define HANDOFF_REGISTER_ID_CONTEXTIDR_EL1 0xc681
#define HANDOFF_REGISTER_ID_TPIDR_EL1 0xc684
#define HANDOFF_REGISTER_ID_CNTKCTL_EL1 0xc708
#define HANDOFF_REGISTER_ID_DAIF 0xda11
#define HANDOFF_REGISTER_ID_TPIDR_EL0 0xde82
#define HANDOFF_REGISTER_ID_TPIDRRO_EL0 0xde83
#define HANDOFF_REGISTER_ID_CNTP_CTL_EL0 0xdf11
#define HANDOFF_REGISTER_ID_CNTV_CTL_EL0 0xdf19

/*
 * `flags` of a `module`: How it is handed over.
 */
#define HANDOFF_MODULE_FLAGS_READ_ONLY 1

/*
 * `enable_method` of a `cpu`: How it is started.
 */
#define HANDOFF_CPU_ENABLE_METHOD_UNKNOWN 0
#define HANDOFF_CPU_ENABLE_METHOD_PSCI 1
#define HANDOFF_CPU_ENABLE_METHOD_SPIN_TABLE 2
#define HANDOFF_CPU_ENABLE_METHOD_MAILBOX 3

/*
 * `flags` of a `cpu`: What is known of it.
 */
#define HANDOFF_CPU_FLAGS_BOOT 1
#define HANDOFF_CPU_FLAGS_DISABLED 2

/*
 * `psci_conduit` of a `platform`: How PSCI is called.
 */
#define HANDOFF_PLATFORM_PSCI_CONDUIT_NONE 0
#define HANDOFF_PLATFORM_PSCI_CONDUIT_SMC 1
#define HANDOFF_PLATFORM_PSCI_CONDUIT_HVC 2

/*
 * `exit` of a `platform`: How the machine is ended.
 */
#define HANDOFF_PLATFORM_EXIT_NONE 0
#define HANDOFF_PLATFORM_EXIT_SEMIHOSTING 1
#define HANDOFF_PLATFORM_EXIT_PSCI 2

/*
 * `tree_source` of a `platform`: Where the device tree came from.
 */
#define HANDOFF_PLATFORM_TREE_SOURCE_NONE 0
#define HANDOFF_PLATFORM_TREE_SOURCE_FIRMWARE 1
#define HANDOFF_PLATFORM_TREE_SOURCE_HINT 2
#define HANDOFF_PLATFORM_TREE_SOURCE_PACKED 3

/*
 * `closed_features` of a `platform`: Features that the ID registers show and that are closed to EL1.
 */
#define HANDOFF_PLATFORM_CLOSED_FEATURES_SVE 1
#define HANDOFF_PLATFORM_CLOSED_FEATURES_SME 2
#define HANDOFF_PLATFORM_CLOSED_FEATURES_POINTER_AUTHENTICATION 4
#define HANDOFF_PLATFORM_CLOSED_FEATURES_MEMORY_TAGGING 8
#define HANDOFF_PLATFORM_CLOSED_FEATURES_PERFORMANCE_MONITORS 16
#define HANDOFF_PLATFORM_CLOSED_FEATURES_ACTIVITY_MONITORS 32
#define HANDOFF_PLATFORM_CLOSED_FEATURES_STATISTICAL_PROFILING 64
#define HANDOFF_PLATFORM_CLOSED_FEATURES_TRACE 128
#define HANDOFF_PLATFORM_CLOSED_FEATURES_TRACE_BUFFER 256
#define HANDOFF_PLATFORM_CLOSED_FEATURES_BRANCH_RECORDS 512
#define HANDOFF_PLATFORM_CLOSED_FEATURES_DEBUG 1024
#define HANDOFF_PLATFORM_CLOSED_FEATURES_INTERRUPT_CONTROLLER 2048
#define HANDOFF_PLATFORM_CLOSED_FEATURES_PHYSICAL_TIMER 0x1000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_EXTENDED_TRANSLATION 0x2000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_GUARDED_STACKS 0x4000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_ACCELERATOR_DATA 0x8000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_TRANSLATION_HARDENING 0x10000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_DEBUG_BANKS 0x20000
#define HANDOFF_PLATFORM_CLOSED_FEATURES_SYSTEM_MONITORS 0x40000

/*
 * `flags` of a `platform`: What is special.
 */
#define HANDOFF_PLATFORM_FLAGS_NO_FIRMWARE 1
#define HANDOFF_PLATFORM_FLAGS_ENTERED_WITH_E2H 2
#define HANDOFF_PLATFORM_FLAGS_ENTERED_WITH_MMU 4
#define HANDOFF_PLATFORM_FLAGS_EL2_STUB 8

/*
 * `sources` of a `entropy`: Where they came from.
 */
#define HANDOFF_ENTROPY_SOURCES_KASLR_SEED 1
#define HANDOFF_ENTROPY_SOURCES_RNG_SEED 2
#define HANDOFF_ENTROPY_SOURCES_RNDR 4
#define HANDOFF_ENTROPY_SOURCES_COUNTER 8
#define HANDOFF_ENTROPY_SOURCES_PACKED_SEED 16

/*
 * `slide_sources` of a `entropy`: Where those came from.
 */
#define HANDOFF_ENTROPY_SLIDE_SOURCES_KASLR_SEED 1
#define HANDOFF_ENTROPY_SLIDE_SOURCES_RNG_SEED 2
#define HANDOFF_ENTROPY_SLIDE_SOURCES_RNDR 4
#define HANDOFF_ENTROPY_SLIDE_SOURCES_COUNTER 8
#define HANDOFF_ENTROPY_SLIDE_SOURCES_PACKED_SEED 16

/*
 * Where the fields of a `note` are.
 */
#define HANDOFF_NOTE_SIZE 56
#define HANDOFF_NOTE_ABI_MAJOR 0
#define HANDOFF_NOTE_ABI_MINOR 2
#define HANDOFF_NOTE_GRANULE 4
#define HANDOFF_NOTE_REQUIRED 8
#define HANDOFF_NOTE_WANTED 16
#define HANDOFF_NOTE_STACK_SIZE 24
#define HANDOFF_NOTE_EXCEPTION_LEVELS 32
#define HANDOFF_NOTE_DIRECT_MAP_OFFSET 40
#define HANDOFF_NOTE_CONTIGUOUS_ALIGNMENT 48

/*
 * Where the fields of a `header` are.
 */
#define HANDOFF_HEADER_SIZE 40
#define HANDOFF_HEADER_MAGIC 0
#define HANDOFF_HEADER_ABI_MAJOR 8
#define HANDOFF_HEADER_ABI_MINOR 10
#define HANDOFF_HEADER_HEADER_SIZE 12
#define HANDOFF_HEADER_TOTAL_SIZE 16
#define HANDOFF_HEADER_CHECKSUM 20
#define HANDOFF_HEADER_DIRECTORY_OFFSET 24
#define HANDOFF_HEADER_DIRECTORY_COUNT 28
#define HANDOFF_HEADER_DIRECTORY_STRIDE 32
#define HANDOFF_HEADER_RESERVED 36

/*
 * Where the fields of a `directory_entry` are.
 */
#define HANDOFF_DIRECTORY_ENTRY_SIZE 24
#define HANDOFF_DIRECTORY_ENTRY_ID 0
#define HANDOFF_DIRECTORY_ENTRY_FLAGS 4
#define HANDOFF_DIRECTORY_ENTRY_OFFSET 8
#define HANDOFF_DIRECTORY_ENTRY_COUNT 12
#define HANDOFF_DIRECTORY_ENTRY_STRIDE 16
#define HANDOFF_DIRECTORY_ENTRY_RESERVED 20

/*
 * Where the fields of a `memory_region` are.
 */
#define HANDOFF_MEMORY_REGION_SIZE 32
#define HANDOFF_MEMORY_REGION_PHYS_START 0
#define HANDOFF_MEMORY_REGION_LENGTH 8
#define HANDOFF_MEMORY_REGION_KIND 16
#define HANDOFF_MEMORY_REGION_NODE 20
#define HANDOFF_MEMORY_REGION_NAME 24

/*
 * Where the fields of a `kernel` are.
 */
#define HANDOFF_KERNEL_SIZE 112
#define HANDOFF_KERNEL_VIRT_LINK_BASE 0
#define HANDOFF_KERNEL_SLIDE 8
#define HANDOFF_KERNEL_VIRT_ENTRY 16
#define HANDOFF_KERNEL_VIRT_START 24
#define HANDOFF_KERNEL_LENGTH 32
#define HANDOFF_KERNEL_PHYS_ELF 40
#define HANDOFF_KERNEL_ELF_LENGTH 48
#define HANDOFF_KERNEL_PAGES_IN_PLACE 56
#define HANDOFF_KERNEL_PAGES_COPIED 64
#define HANDOFF_KERNEL_PAGES_ZEROED 72
#define HANDOFF_KERNEL_RELOCATIONS 80
#define HANDOFF_KERNEL_FLAGS 88
#define HANDOFF_KERNEL_ABI_MAJOR 92
#define HANDOFF_KERNEL_ABI_MINOR 94
#define HANDOFF_KERNEL_NAME 96
#define HANDOFF_KERNEL_WANTED 104

/*
 * Where the fields of a `extent` are.
 */
#define HANDOFF_EXTENT_SIZE 40
#define HANDOFF_EXTENT_VIRT_START 0
#define HANDOFF_EXTENT_PHYS_START 8
#define HANDOFF_EXTENT_LENGTH 16
#define HANDOFF_EXTENT_RIGHTS 24
#define HANDOFF_EXTENT_ORIGIN 28
#define HANDOFF_EXTENT_SEGMENT 32
#define HANDOFF_EXTENT_RESERVED 36

/*
 * Where the fields of a `direct_map` are.
 */
#define HANDOFF_DIRECT_MAP_SIZE 24
#define HANDOFF_DIRECT_MAP_VIRT_OFFSET 0
#define HANDOFF_DIRECT_MAP_PHYS_START 8
#define HANDOFF_DIRECT_MAP_PHYS_END 16

/*
 * Where the fields of a `window` are.
 */
#define HANDOFF_WINDOW_SIZE 24
#define HANDOFF_WINDOW_ID 0
#define HANDOFF_WINDOW_RESERVED 4
#define HANDOFF_WINDOW_VIRT_START 8
#define HANDOFF_WINDOW_LENGTH 16

/*
 * Where the fields of a `boot_stack` are.
 */
#define HANDOFF_BOOT_STACK_SIZE 40
#define HANDOFF_BOOT_STACK_VIRT_GUARD 0
#define HANDOFF_BOOT_STACK_GUARD_LENGTH 8
#define HANDOFF_BOOT_STACK_VIRT_BOTTOM 16
#define HANDOFF_BOOT_STACK_VIRT_TOP 24
#define HANDOFF_BOOT_STACK_PHYS_BOTTOM 32

/*
 * Where the fields of a `page_tables` are.
 */
#define HANDOFF_PAGE_TABLES_SIZE 48
#define HANDOFF_PAGE_TABLES_PHYS_ROOT_HIGH 0
#define HANDOFF_PAGE_TABLES_PHYS_ROOT_LOW 8
#define HANDOFF_PAGE_TABLES_PHYS_POOL 16
#define HANDOFF_PAGE_TABLES_POOL_LENGTH 24
#define HANDOFF_PAGE_TABLES_POOL_USED 32
#define HANDOFF_PAGE_TABLES_TABLE_COUNT 40
#define HANDOFF_PAGE_TABLES_RESERVED 44

/*
 * Where the fields of a `register` are.
 */
#define HANDOFF_REGISTER_SIZE 16
#define HANDOFF_REGISTER_ID 0
#define HANDOFF_REGISTER_RESERVED 4
#define HANDOFF_REGISTER_VALUE 8

/*
 * Where the fields of a `console` are.
 */
#define HANDOFF_CONSOLE_SIZE 48
#define HANDOFF_CONSOLE_KIND 0
#define HANDOFF_CONSOLE_ACCESS_WIDTH 4
#define HANDOFF_CONSOLE_REGISTER_SHIFT 8
#define HANDOFF_CONSOLE_CLOCK_FREQUENCY 12
#define HANDOFF_CONSOLE_PHYS_BASE 16
#define HANDOFF_CONSOLE_VIRT_BASE 24
#define HANDOFF_CONSOLE_LENGTH 32
#define HANDOFF_CONSOLE_PATH 40

/*
 * Where the fields of a `device_tree` are.
 */
#define HANDOFF_DEVICE_TREE_SIZE 24
#define HANDOFF_DEVICE_TREE_PHYS_START 0
#define HANDOFF_DEVICE_TREE_VIRT_START 8
#define HANDOFF_DEVICE_TREE_LENGTH 16

/*
 * Where the fields of a `module` are.
 */
#define HANDOFF_MODULE_SIZE 32
#define HANDOFF_MODULE_NAME 0
#define HANDOFF_MODULE_PHYS_START 8
#define HANDOFF_MODULE_LENGTH 16
#define HANDOFF_MODULE_FLAGS 24
#define HANDOFF_MODULE_RESERVED 28

/*
 * Where the fields of a `initrd` are.
 */
#define HANDOFF_INITRD_SIZE 16
#define HANDOFF_INITRD_PHYS_START 0
#define HANDOFF_INITRD_LENGTH 8

/*
 * Where the fields of a `cpu` are.
 */
#define HANDOFF_CPU_SIZE 32
#define HANDOFF_CPU_MPIDR 0
#define HANDOFF_CPU_PHYS_RELEASE 8
#define HANDOFF_CPU_ENABLE_METHOD 16
#define HANDOFF_CPU_FLAGS 20
#define HANDOFF_CPU_NODE 24
#define HANDOFF_CPU_RESERVED 28

/*
 * Where the fields of a `platform` are.
 */
#define HANDOFF_PLATFORM_SIZE 72
#define HANDOFF_PLATFORM_PAGE_SHIFT 0
#define HANDOFF_PLATFORM_ENTRY_EXCEPTION_LEVEL 4
#define HANDOFF_PLATFORM_TIMER_FREQUENCY 8
#define HANDOFF_PLATFORM_PSCI_VERSION 16
#define HANDOFF_PLATFORM_PSCI_CONDUIT 20
#define HANDOFF_PLATFORM_EXIT 24
#define HANDOFF_PLATFORM_TREE_SOURCE 28
#define HANDOFF_PLATFORM_PHYS_SECONDARY_ENTRY 32
#define HANDOFF_PLATFORM_CLOSED_FEATURES 40
#define HANDOFF_PLATFORM_RESERVED 44
#define HANDOFF_PLATFORM_FLAGS 48
#define HANDOFF_PLATFORM_PHYS_ADDRESS_BITS 52
#define HANDOFF_PLATFORM_MODEL 56
#define HANDOFF_PLATFORM_MIDR 64

/*
 * Where the fields of a `firmware_image` are.
 */
#define HANDOFF_FIRMWARE_IMAGE_SIZE 64
#define HANDOFF_FIRMWARE_IMAGE_PHYS_IMAGE 0
#define HANDOFF_FIRMWARE_IMAGE_IMAGE_LENGTH 8
#define HANDOFF_FIRMWARE_IMAGE_LOADER_LENGTH 16
#define HANDOFF_FIRMWARE_IMAGE_ENTRY_ARGUMENTS 24
#define HANDOFF_FIRMWARE_IMAGE_PAYLOAD_CHECKSUM 56
#define HANDOFF_FIRMWARE_IMAGE_RESERVED 60

/*
 * Where the fields of a `entropy` are.
 */
#define HANDOFF_ENTROPY_SIZE 48
#define HANDOFF_ENTROPY_BYTES 0
#define HANDOFF_ENTROPY_CREDITED_BITS 32
#define HANDOFF_ENTROPY_SOURCES 36
#define HANDOFF_ENTROPY_SLIDE_CREDITED_BITS 40
#define HANDOFF_ENTROPY_SLIDE_SOURCES 44

/*
 * Where the fields of a `stage` are.
 */
#define HANDOFF_STAGE_SIZE 16
#define HANDOFF_STAGE_TICKS 0
#define HANDOFF_STAGE_NAME 8

/*
 * Where the fields of a `symbols` are.
 */
#define HANDOFF_SYMBOLS_SIZE 16
#define HANDOFF_SYMBOLS_PHYS_START 0
#define HANDOFF_SYMBOLS_LENGTH 8

/*
 * Where the fields of a `secondaries` are.
 */
#define HANDOFF_SECONDARIES_SIZE 48
#define HANDOFF_SECONDARIES_PHYS_ENTRY 0
#define HANDOFF_SECONDARIES_PHYS_MAILBOX 8
#define HANDOFF_SECONDARIES_VIRT_MAILBOX 16
#define HANDOFF_SECONDARIES_RECORD_SIZE 24
#define HANDOFF_SECONDARIES_STATUS_OFFSET 28
#define HANDOFF_SECONDARIES_ARRIVAL_LEVELS 32
#define HANDOFF_SECONDARIES_FLAGS 36
#define HANDOFF_SECONDARIES_RESERVED 40

/*
 * Where the fields of a `recorder` are.
 */
#define HANDOFF_RECORDER_SIZE 24
#define HANDOFF_RECORDER_PHYS_CURRENT 0
#define HANDOFF_RECORDER_PHYS_LAST 8
#define HANDOFF_RECORDER_LENGTH 16

#define HANDOFF_VERDICT_PREFIX "verdict: "

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define HANDOFF_ASSERT(holds) static_assert(holds, "ABI")
#else
#define HANDOFF_ASSERT(holds) _Static_assert(holds, "ABI")
#endif

/* A string: where it begins in the strings table, and its bytes without the NUL that follows it. */
struct handoff_string_ref {
    uint32_t offset;
    uint32_t length;
};

/* What a kernel asks for in its note. */
struct handoff_note {
    uint16_t abi_major;                              /* The ABI that it was written for. */
    uint16_t abi_minor;                              /* The least minor version that has what it uses. */
    uint32_t granule;                                /* 4096. */
    uint64_t required;                               /* Terms to serve or to refuse. */
    uint64_t wanted;                                 /* Terms to serve if possible. */
    uint64_t stack_size;                             /* Bytes of boot stack, a multiple of 4096; 0 for 64 KiB. */
    uint64_t exception_levels;                       /* Bit n: it can be entered at ELn. */
    uint64_t direct_map_offset;                      /* The virtual address of physical address 0. */
    uint64_t contiguous_alignment;                   /* 0, or the alignment of one contiguous range for the kernel. */
};
HANDOFF_ASSERT(sizeof(struct handoff_note) == 56);
HANDOFF_ASSERT(offsetof(struct handoff_note, abi_major) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_note, abi_minor) == 2);
HANDOFF_ASSERT(offsetof(struct handoff_note, granule) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_note, required) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_note, wanted) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_note, stack_size) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_note, exception_levels) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_note, direct_map_offset) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_note, contiguous_alignment) == 48);

/* The beginning of `BootInfo`, at the address in x0. */
struct handoff_header {
    uint64_t magic;                                  /* HANDOFF_MAGIC. */
    uint16_t abi_major;                              /* Readers refuse another one. */
    uint16_t abi_minor;                              /* Readers accept any. */
    uint32_t header_size;                            /* Bytes of this header. */
    uint32_t total_size;                             /* Bytes of the blob. */
    uint32_t checksum;                               /* CRC-32C of the blob without this field. */
    uint32_t directory_offset;                       /* Where the directory begins, from the blob's first byte. */
    uint32_t directory_count;                        /* Its entries. */
    uint32_t directory_stride;                       /* Bytes from one to the next. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_header) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_header, magic) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_header, abi_major) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_header, abi_minor) == 10);
HANDOFF_ASSERT(offsetof(struct handoff_header, header_size) == 12);
HANDOFF_ASSERT(offsetof(struct handoff_header, total_size) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_header, checksum) == 20);
HANDOFF_ASSERT(offsetof(struct handoff_header, directory_offset) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_header, directory_count) == 28);
HANDOFF_ASSERT(offsetof(struct handoff_header, directory_stride) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_header, reserved) == 36);

/* Where a table is. */
struct handoff_directory_entry {
    uint32_t id;                                     /* Which table. */
    uint32_t flags;                                  /* How to take it. */
    uint32_t offset;                                 /* Where it begins, from the blob's first byte. */
    uint32_t count;                                  /* Its records, or its bytes. */
    uint32_t stride;                                 /* Bytes from one record to the next, 1 for bytes. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_directory_entry) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, id) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, flags) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, offset) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, count) == 12);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, stride) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_directory_entry, reserved) == 20);

/* A run of whole pages of RAM with one use. The map lists every page of RAM exactly once, in ascending order. */
struct handoff_memory_region {
    uint64_t phys_start;                             /* The first page's physical address. */
    uint64_t length;                                 /* Bytes, a multiple of 4 KiB. */
    uint32_t kind;                                   /* A `RegionKind`'s number. */
    uint32_t node;                                   /* The NUMA node, 0 where the machine states none. */
    struct handoff_string_ref name;                  /* What or whose it is; may be empty. */
};
HANDOFF_ASSERT(sizeof(struct handoff_memory_region) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_memory_region, phys_start) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_memory_region, length) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_memory_region, kind) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_memory_region, node) == 20);
HANDOFF_ASSERT(offsetof(struct handoff_memory_region, name) == 24);

/* The kernel: where it was linked, where it runs, what loading it took. */
struct handoff_kernel {
    uint64_t virt_link_base;                         /* The lowest virtual address of its segments as linked, rounded down to a page. */
    uint64_t slide;                                  /* What was added to every linked address, modulo 2⁶⁴. */
    uint64_t virt_entry;                             /* Where it was entered. */
    uint64_t virt_start;                             /* The lowest virtual address that it occupies. */
    uint64_t length;                                 /* Bytes from there to the end of its last page. */
    uint64_t phys_elf;                               /* Where its ELF file lies. */
    uint64_t elf_length;                             /* Bytes of that file. */
    uint64_t pages_in_place;                         /* Pages of the file that are mapped where they lie. */
    uint64_t pages_copied;                           /* Pages that were copied. */
    uint64_t pages_zeroed;                           /* Pages that were zeroed. */
    uint64_t relocations;                            /* Relocations that were applied. */
    uint32_t flags;                                  /* How it was loaded. */
    uint16_t abi_major;                              /* The ABI's major version that its note asked for. */
    uint16_t abi_minor;                              /* The least minor version that its note asked for. */
    struct handoff_string_ref name;                  /* Its name in the image; may be empty. */
    uint64_t wanted;                                 /* Bits that its note wanted. */
};
HANDOFF_ASSERT(sizeof(struct handoff_kernel) == 112);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, virt_link_base) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, slide) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, virt_entry) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, virt_start) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, length) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, phys_elf) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, elf_length) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, pages_in_place) == 56);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, pages_copied) == 64);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, pages_zeroed) == 72);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, relocations) == 80);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, flags) == 88);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, abi_major) == 92);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, abi_minor) == 94);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, name) == 96);
HANDOFF_ASSERT(offsetof(struct handoff_kernel, wanted) == 104);

/* A run of the kernel's pages that is contiguous virtually and physically and has one origin and one right. In ascending virtual order. */
struct handoff_extent {
    uint64_t virt_start;                             /* The first page's virtual address. */
    uint64_t phys_start;                             /* The first page's physical address. */
    uint64_t length;                                 /* Bytes, a multiple of 4 KiB. */
    uint32_t rights;                                 /* A `Rights`' number. */
    uint32_t origin;                                 /* Where the bytes come from. */
    uint32_t segment;                                /* The program header that it belongs to, from 0. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_extent) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_extent, virt_start) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_extent, phys_start) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_extent, length) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_extent, rights) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_extent, origin) == 28);
HANDOFF_ASSERT(offsetof(struct handoff_extent, segment) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_extent, reserved) == 36);

/* The direct map: the virtual address of physical memory is its address plus an offset. */
struct handoff_direct_map {
    uint64_t virt_offset;                            /* The virtual address of physical address 0, a multiple of 1 GiB. */
    uint64_t phys_start;                             /* The lowest physical address that is mapped. */
    uint64_t phys_end;                               /* The first physical address past all that is mapped. Holes and `no-map` ranges between are not. */
};
HANDOFF_ASSERT(sizeof(struct handoff_direct_map) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_direct_map, virt_offset) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_direct_map, phys_start) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_direct_map, phys_end) == 16);

/* A part of the virtual address space and its purpose. */
struct handoff_window {
    uint32_t id;                                     /* Which part. */
    uint32_t reserved;                               /* 0. */
    uint64_t virt_start;                             /* Its first virtual address. */
    uint64_t length;                                 /* Its bytes, a multiple of 4 KiB. */
};
HANDOFF_ASSERT(sizeof(struct handoff_window) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_window, id) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_window, reserved) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_window, virt_start) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_window, length) == 16);

/* The stack that the kernel is entered on, and the unmapped guard right below it. */
struct handoff_boot_stack {
    uint64_t virt_guard;                             /* The guard's first virtual address. */
    uint64_t guard_length;                           /* The guard's bytes. */
    uint64_t virt_bottom;                            /* The stack's lowest virtual address: the end of the guard. */
    uint64_t virt_top;                               /* The end of the stack, and SP at entry. */
    uint64_t phys_bottom;                            /* The physical address of the stack's lowest byte. */
};
HANDOFF_ASSERT(sizeof(struct handoff_boot_stack) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_boot_stack, virt_guard) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_boot_stack, guard_length) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_boot_stack, virt_bottom) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_boot_stack, virt_top) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_boot_stack, phys_bottom) == 32);

/* The live translation tables: one pool, of which the first part is used. */
struct handoff_page_tables {
    uint64_t phys_root_high;                         /* The root that TTBR1_EL1 points to. */
    uint64_t phys_root_low;                          /* The empty root that TTBR0_EL1 points to. */
    uint64_t phys_pool;                              /* The pool's physical address. */
    uint64_t pool_length;                            /* The pool's bytes. */
    uint64_t pool_used;                              /* Bytes of it that tables occupy. */
    uint32_t table_count;                            /* Tables, both roots included. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_page_tables) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, phys_root_high) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, phys_root_low) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, phys_pool) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, pool_length) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, pool_used) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, table_count) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_page_tables, reserved) == 44);

/* A system register and the value that the loader set. */
struct handoff_register {
    uint32_t id;                                     /* Which register. */
    uint32_t reserved;                               /* 0. */
    uint64_t value;                                  /* Its value at entry. */
};
HANDOFF_ASSERT(sizeof(struct handoff_register) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_register, id) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_register, reserved) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_register, value) == 8);

/* The serial port that the loader speaks on, mapped as Device memory. */
struct handoff_console {
    uint32_t kind;                                   /* A `UartKind`'s number. */
    uint32_t access_width;                           /* Bytes of one access: 1, 2 or 4. */
    uint32_t register_shift;                         /* log2 of the distance between two registers of a 16550, in bytes. */
    uint32_t clock_frequency;                        /* The clock in Hz, 0 where the machine states none. */
    uint64_t phys_base;                              /* Where its registers are. */
    uint64_t virt_base;                              /* Where they are mapped. */
    uint64_t length;                                 /* Bytes that are mapped from there on. */
    struct handoff_string_ref path;                  /* Its path in the device tree; may be empty. */
};
HANDOFF_ASSERT(sizeof(struct handoff_console) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_console, kind) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_console, access_width) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_console, register_shift) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_console, clock_frequency) == 12);
HANDOFF_ASSERT(offsetof(struct handoff_console, phys_base) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_console, virt_base) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_console, length) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_console, path) == 40);

/* The flattened device tree, with its seeds wiped. */
struct handoff_device_tree {
    uint64_t phys_start;                             /* Where it lies. */
    uint64_t virt_start;                             /* The same place in the direct map. */
    uint64_t length;                                 /* Its bytes, without what only filled its `totalsize` up. */
};
HANDOFF_ASSERT(sizeof(struct handoff_device_tree) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_device_tree, phys_start) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_device_tree, virt_start) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_device_tree, length) == 16);

/* A file that was packed for the kernel, on pages of its own. */
struct handoff_module {
    struct handoff_string_ref name;                  /* Its name. */
    uint64_t phys_start;                             /* Where it lies, a multiple of 4 KiB. */
    uint64_t length;                                 /* Its bytes. */
    uint32_t flags;                                  /* How it is handed over. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_module) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_module, name) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_module, phys_start) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_module, length) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_module, flags) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_module, reserved) == 28);

/* The initial RAM disk, as firmware placed it. */
struct handoff_initrd {
    uint64_t phys_start;                             /* Where it lies, at any alignment. */
    uint64_t length;                                 /* Its bytes. */
};
HANDOFF_ASSERT(sizeof(struct handoff_initrd) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_initrd, phys_start) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_initrd, length) == 8);

/* A processor, in the device tree's order. */
struct handoff_cpu {
    uint64_t mpidr;                                  /* MPIDR_EL1's affinity fields. */
    uint64_t phys_release;                           /* For a spin table the address that it polls, else 0. */
    uint32_t enable_method;                          /* How it is started. */
    uint32_t flags;                                  /* What is known of it. */
    uint32_t node;                                   /* The NUMA node, 0 where the machine states none. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_cpu) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, mpidr) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, phys_release) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, enable_method) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, flags) == 20);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, node) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_cpu, reserved) == 28);

/* What the machine is and how it was found. */
struct handoff_platform {
    uint32_t page_shift;                             /* log2 of the translation granule. */
    uint32_t entry_exception_level;                  /* The exception level that firmware entered the loader at: 1, 2 or 3. */
    uint64_t timer_frequency;                        /* Ticks of the system counter in a second (CNTFRQ_EL0); 0 if it was not set. */
    uint32_t psci_version;                           /* PSCI's version, major in bits 31 to 16, minor below; 0 if there is none. */
    uint32_t psci_conduit;                           /* How PSCI is called. */
    uint32_t exit;                                   /* How the machine is ended. */
    uint32_t tree_source;                            /* Where the device tree came from. */
    uint64_t phys_secondary_entry;                   /* The resident routine that secondary processors enter; 0 if there is none. */
    uint32_t closed_features;                        /* Features that the ID registers show and that are closed to EL1. */
    uint32_t reserved;                               /* 0. */
    uint32_t flags;                                  /* What is special. */
    uint32_t phys_address_bits;                      /* Bits of a physical address that the processor has, at most 48. */
    struct handoff_string_ref model;                 /* The machine's model, as its device tree names it; may be empty. */
    uint64_t midr;                                   /* MIDR_EL1 of the boot processor. */
};
HANDOFF_ASSERT(sizeof(struct handoff_platform) == 72);
HANDOFF_ASSERT(offsetof(struct handoff_platform, page_shift) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_platform, entry_exception_level) == 4);
HANDOFF_ASSERT(offsetof(struct handoff_platform, timer_frequency) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_platform, psci_version) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_platform, psci_conduit) == 20);
HANDOFF_ASSERT(offsetof(struct handoff_platform, exit) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_platform, tree_source) == 28);
HANDOFF_ASSERT(offsetof(struct handoff_platform, phys_secondary_entry) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_platform, closed_features) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_platform, reserved) == 44);
HANDOFF_ASSERT(offsetof(struct handoff_platform, flags) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_platform, phys_address_bits) == 52);
HANDOFF_ASSERT(offsetof(struct handoff_platform, model) == 56);
HANDOFF_ASSERT(offsetof(struct handoff_platform, midr) == 64);

/* Where firmware put the image, and the registers that it passed. */
struct handoff_firmware_image {
    uint64_t phys_image;                             /* Where the combined image lies: its header page, right before the loader. */
    uint64_t image_length;                           /* Its bytes. */
    uint64_t loader_length;                          /* Bytes of the loader, from +0x1000 of the image on. */
    uint64_t entry_arguments[4];                     /* x0 to x3 as firmware passed them. */
    uint32_t payload_checksum;                       /* The payload table's checksum: which image this is. */
    uint32_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_firmware_image) == 64);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, phys_image) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, image_length) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, loader_length) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, entry_arguments) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, payload_checksum) == 56);
HANDOFF_ASSERT(offsetof(struct handoff_firmware_image, reserved) == 60);

/* Entropy for the kernel. None of these bytes chose an address. */
struct handoff_entropy {
    uint8_t bytes[32];                               /* The bytes. */
    uint32_t credited_bits;                          /* Bits of entropy that they can be trusted to hold, at most 256. */
    uint32_t sources;                                /* Where they came from. */
    uint32_t slide_credited_bits;                    /* Bits of entropy that the choice of addresses could be trusted to hold. */
    uint32_t slide_sources;                          /* Where those came from. */
};
HANDOFF_ASSERT(sizeof(struct handoff_entropy) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_entropy, bytes) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_entropy, credited_bits) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_entropy, sources) == 36);
HANDOFF_ASSERT(offsetof(struct handoff_entropy, slide_credited_bits) == 40);
HANDOFF_ASSERT(offsetof(struct handoff_entropy, slide_sources) == 44);

/* When a stage of the boot was reached, in ascending order. */
struct handoff_stage {
    uint64_t ticks;                                  /* The system counter (CNTVCT_EL0) when it began. */
    struct handoff_string_ref name;                  /* Its name. */
};
HANDOFF_ASSERT(sizeof(struct handoff_stage) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_stage, ticks) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_stage, name) == 8);

/* The kernel's compact symbol table, packed beside it. */
struct handoff_symbols {
    uint64_t phys_start;                             /* Where it lies; the direct map shows it. */
    uint64_t length;                                 /* Its bytes. */
};
HANDOFF_ASSERT(sizeof(struct handoff_symbols) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_symbols, phys_start) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_symbols, length) == 8);

/* The loader's resident routine that other processors enter. It is there if the kernel's note wanted it. */
struct handoff_secondaries {
    uint64_t phys_entry;                             /* The routine's first instruction: CPU_ON's entry point, or what `phys_release` takes. */
    uint64_t phys_mailbox;                           /* The mailbox of processors that are not told their record. */
    uint64_t virt_mailbox;                           /* The same, writable. */
    uint32_t record_size;                            /* Bytes of a start record, to a multiple of which it is aligned. */
    uint32_t status_offset;                          /* Where its status begins, on cache lines of its own. */
    uint32_t arrival_levels;                         /* Exception levels that a processor may arrive at, bit n for ELn. */
    uint32_t flags;                                  /* 0. */
    uint64_t reserved;                               /* 0. */
};
HANDOFF_ASSERT(sizeof(struct handoff_secondaries) == 48);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, phys_entry) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, phys_mailbox) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, virt_mailbox) == 16);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, record_size) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, status_offset) == 28);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, arrival_levels) == 32);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, flags) == 36);
HANDOFF_ASSERT(offsetof(struct handoff_secondaries, reserved) == 40);

/* The flight recorders, in a region of their own. */
struct handoff_recorder {
    uint64_t phys_current;                           /* Where this boot's lies, begun and without entries: the kernel's to write. */
    uint64_t phys_last;                              /* Where the last boot's lies, as it was left: the crash record. 0 if none was found. */
    uint64_t length;                                 /* Bytes of each. */
};
HANDOFF_ASSERT(sizeof(struct handoff_recorder) == 24);
HANDOFF_ASSERT(offsetof(struct handoff_recorder, phys_current) == 0);
HANDOFF_ASSERT(offsetof(struct handoff_recorder, phys_last) == 8);
HANDOFF_ASSERT(offsetof(struct handoff_recorder, length) == 16);

/* How each kind of port is driven: a byte goes to `data` while `status` & `mask` is `ready`; before the first
 * byte `clear` and `set` change `control`. `spread`: `data` and `status` are register numbers,
 * `register_shift` of the console says how far registers lie apart. */
struct handoff_uart {
    uint32_t kind, data, status, spread, mask, ready, control, clear, set;
};
static const struct handoff_uart handoff_uarts[] = {
    { 1, 0x0, 0x18, 0, 0x20, 0x0, 0x0, 0x0, 0x0 }, /* pl011 */
    { 2, 0x0, 0x14, 0, 0x20, 0x20, 0x0, 0x0, 0x0 }, /* bcm2835aux */
    { 3, 0x30, 0x2c, 0, 0x10, 0x0, 0x0, 0x20, 0x10 }, /* cdns */
    { 4, 0x0, 0x5, 1, 0x20, 0x20, 0x0, 0x0, 0x0 }, /* ns16550a */
    { 5, 0x40, 0xb4, 0, 0x10, 0x0, 0x84, 0x0, 0x4 }, /* imx */
};

/* A kernel's note, once in a kernel:
 *
 *     HANDOFF_NOTE();
 *     HANDOFF_NOTE(.stack_size = 0x40000);
 *
 * Terms that are not named are as for a kernel that takes everything as it comes. In C++ the terms stand in the order of
 * their fields. */
struct handoff_note_record {
    uint32_t name_size, descriptor_size, type;
    char name[8];
    struct handoff_note note;
} __attribute__((packed, aligned(4)));
HANDOFF_ASSERT(sizeof(struct handoff_note_record) == 20 + HANDOFF_NOTE_SIZE);

#if defined(__cplusplus)
struct handoff_terms {
    uint64_t required = 0, wanted = HANDOFF_WANTED_SLIDE, stack_size = 0, direct_map_offset = HANDOFF_NOTE_ANY_OFFSET;
    uint64_t contiguous_alignment = 0;
};
constexpr handoff_note_record handoff_note_of(handoff_terms terms)
{
    return { 8, HANDOFF_NOTE_SIZE, HANDOFF_NOTE_TYPE, { 'H', 'a', 'n', 'd', 'o', 'f', 'f', 0 },
        { HANDOFF_ABI_MAJOR, 0, 4096, terms.required, terms.wanted, terms.stack_size, HANDOFF_NOTE_EL1,
            terms.direct_map_offset, terms.contiguous_alignment } };
}
#define HANDOFF_NOTE(...) \
    extern "C" __attribute__((section(".note.handoff"), used)) const handoff_note_record handoff_note_record_ = \
        handoff_note_of(handoff_terms { __VA_ARGS__ })
#else
#define HANDOFF_NOTE(...) \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"") \
    __attribute__((section(".note.handoff"), used)) const struct handoff_note_record handoff_note_record_ = { \
        8, HANDOFF_NOTE_SIZE, HANDOFF_NOTE_TYPE, { 'H', 'a', 'n', 'd', 'o', 'f', 'f', 0 }, \
        { .abi_major = HANDOFF_ABI_MAJOR, .granule = 4096, .wanted = HANDOFF_WANTED_SLIDE, \
            .exception_levels = HANDOFF_NOTE_EL1, .direct_map_offset = HANDOFF_NOTE_ANY_OFFSET, __VA_ARGS__ } }; \
    _Pragma("GCC diagnostic pop") HANDOFF_ASSERT(1)
#endif

/*
 * What a kernel calls. No function needs a library, writable memory of its own, or an address that is not
 * relative: it works in the first line of a kernel, at any address.
 */

/* What `handoff_open` found to be whole. */
struct handoff {
    const struct handoff_header *header;
    const unsigned char *strings;
    uint32_t strings_length;
};

/* Copies bytes; the compiler is kept from calling a memcpy that is not there. */
static inline void handoff_copy(void *to, const void *from, uint64_t length)
{
    unsigned char *out = (unsigned char *)to;
    const unsigned char *in = (const unsigned char *)from;
    while (length--) {
        *out++ = *in++;
        __asm__ volatile("" ::: "memory");
    }
}

/* CRC-32C of `length` bytes behind those that gave `crc` (0 before the first). */
static inline uint32_t handoff_crc32c(uint32_t crc, const void *bytes, uint64_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    crc = ~crc;
    while (length--) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78 & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The directory's entry `index`, by the stride that the header states. */
static inline const struct handoff_directory_entry *handoff_entry(const struct handoff_header *header, uint32_t index)
{
    const unsigned char *directory = (const unsigned char *)header + header->directory_offset;
    return (const struct handoff_directory_entry *)(directory + (uint64_t)index * header->directory_stride);
}

/* The table `id`, and in `count` and `stride` how many records it has and how far they lie apart; NULL if it is not there.
 * A table of bytes has a stride of 1. */
static inline const void *handoff_table(const struct handoff *h, uint32_t id, uint32_t *count, uint32_t *stride)
{
    for (uint32_t index = 0; index < h->header->directory_count; index++) {
        const struct handoff_directory_entry *entry = handoff_entry(h->header, index);
        if (entry->id == id) {
            *count = entry->count;
            *stride = entry->stride;
            return (const unsigned char *)h->header + entry->offset;
        }
    }
    *count = 0;
    *stride = 0;
    return (const void *)0;
}

/* Checks what the loader handed over in x0: 0, or the number of the error (docs/errors.md). The blob may lie anywhere at a
 * multiple of 8. */
static inline int handoff_open(const void *boot_info, struct handoff *h)
{
    const struct handoff_header *header = (const struct handoff_header *)boot_info;
    const unsigned char *bytes = (const unsigned char *)boot_info;
    uint32_t crc, count, stride, total = header->total_size;
    uint64_t length;

    if (header->magic != HANDOFF_MAGIC)
        return HANDOFF_ERROR_MAGIC;
    if (header->abi_major != HANDOFF_ABI_MAJOR)
        return HANDOFF_ERROR_ABI_MAJOR;
    if (header->header_size < sizeof(struct handoff_header))
        return HANDOFF_ERROR_HEADER_SIZE;
    if (total < header->header_size || total > HANDOFF_BOOT_INFO_MAX || total % 8)
        return HANDOFF_ERROR_TOTAL_SIZE;
    crc = handoff_crc32c(0, bytes, HANDOFF_HEADER_CHECKSUM);
    crc = handoff_crc32c(crc, bytes + HANDOFF_HEADER_CHECKSUM + 4, total - HANDOFF_HEADER_CHECKSUM - 4);
    if (crc != header->checksum)
        return HANDOFF_ERROR_CHECKSUM;
    stride = header->directory_stride;
    if (stride < sizeof(struct handoff_directory_entry) || stride % 8)
        return HANDOFF_ERROR_DIRECTORY_STRIDE;
    length = (uint64_t)header->directory_count * stride;
    if (header->directory_offset % 8 || header->directory_offset + length > total)
        return HANDOFF_ERROR_DIRECTORY_OFFSET;
    for (uint32_t index = 0; index < header->directory_count; index++) {
        const struct handoff_directory_entry *entry = handoff_entry(header, index);
        if (entry->offset % 8 || entry->offset + (uint64_t)entry->count * entry->stride > total)
            return HANDOFF_ERROR_TABLE_OFFSET;
        if ((entry->flags & HANDOFF_DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND) && entry->id > HANDOFF_TABLE_LAST)
            return HANDOFF_ERROR_TABLE_UNKNOWN;
    }
    h->header = header;
    h->strings = (const unsigned char *)0;
    h->strings_length = 0;
    h->strings = (const unsigned char *)handoff_table(h, HANDOFF_TABLE_STRINGS, &count, &stride);
    h->strings_length = count;
    return 0;
}

/* Where a walk over a table's records is. */
struct handoff_cursor {
    const unsigned char *at;
    uint32_t left;
    uint32_t stride;
};

static inline struct handoff_cursor handoff_begin(const struct handoff *h, uint32_t id)
{
    struct handoff_cursor cursor;
    cursor.at = (const unsigned char *)handoff_table(h, id, &cursor.left, &cursor.stride);
    return cursor;
}

/* Copies the next record: as much of it as both the loader and this header know, zeros behind. 0 at the end. */
static inline int handoff_next(struct handoff_cursor *cursor, void *record, uint64_t size)
{
    uint64_t known = cursor->stride < size ? cursor->stride : size;
    unsigned char *rest = (unsigned char *)record + known;
    if (!cursor->left)
        return 0;
    handoff_copy(record, cursor->at, known);
    for (uint64_t index = known; index < size; index++) {
        *rest++ = 0;
        __asm__ volatile("" ::: "memory");
    }
    cursor->at += cursor->stride;
    cursor->left--;
    return 1;
}

/* Each record of a table in order, copied to `record`, which is declared before:
 *
 *     struct handoff_memory_region region;
 *     HANDOFF_FOR_EACH(&h, HANDOFF_TABLE_MEMORY_MAP, region) { ... }
 */
#define HANDOFF_FOR_EACH(h, id, record) \
    for (struct handoff_cursor handoff_cursor_##record = handoff_begin((h), (id)); \
         handoff_next(&handoff_cursor_##record, &(record), sizeof(record));)

/* The first record of a table, for those that have one; 0 if the table is not there. */
static inline int handoff_first(const struct handoff *h, uint32_t id, void *record, uint64_t size)
{
    struct handoff_cursor cursor = handoff_begin(h, id);
    return handoff_next(&cursor, record, size);
}

/* Whether the kernel may use a region of this kind from its first instruction on. A kind that is not known is never free. */
static inline int handoff_is_free(uint32_t kind)
{
    return kind < 64 && ((uint64_t)HANDOFF_MEMORY_FREE_AT_ENTRY >> kind & 1);
}

/* The text of a string that a record names, UTF-8 and closed by a NUL; "" if the record names none. */
static inline const char *handoff_string(const struct handoff *h, struct handoff_string_ref string)
{
    if (!string.length || (uint64_t)string.offset + string.length >= h->strings_length)
        return "";
    return (const char *)h->strings + string.offset;
}

/* The command line, closed by a NUL; "" if there is none. */
static inline const char *handoff_command_line(const struct handoff *h)
{
    uint32_t count, stride;
    const void *text = handoff_table(h, HANDOFF_TABLE_COMMAND_LINE, &count, &stride);
    return count ? (const char *)text : "";
}

/* Where the direct map has a physical address. Only RAM whose kind is mapped is there. */
static inline void *handoff_virt(const struct handoff *h, uint64_t phys)
{
    struct handoff_direct_map map;
    if (!handoff_first(h, HANDOFF_TABLE_DIRECT_MAP, &map, sizeof(map)))
        return (void *)0;
    return (void *)(uintptr_t)(map.virt_offset + phys);
}

static inline uint32_t handoff_uart_read(const struct handoff_console *console, uint64_t offset)
{
    uintptr_t address = (uintptr_t)(console->virt_base + offset);
    if (console->access_width == 1)
        return *(volatile uint8_t *)address;
    if (console->access_width == 2)
        return *(volatile uint16_t *)address;
    return *(volatile uint32_t *)address;
}

static inline void handoff_uart_write(const struct handoff_console *console, uint64_t offset, uint32_t value)
{
    uintptr_t address = (uintptr_t)(console->virt_base + offset);
    if (console->access_width == 1)
        *(volatile uint8_t *)address = (uint8_t)value;
    else if (console->access_width == 2)
        *(volatile uint16_t *)address = (uint16_t)value;
    else
        *(volatile uint32_t *)address = value;
}

static inline void handoff_send(
    const struct handoff_console *console, uint64_t data, uint64_t status, uint32_t mask, uint32_t ready, char byte)
{
    /* A dead port does not hang a kernel. */
    for (uint32_t patience = 1u << 20; patience; patience--) {
        if ((handoff_uart_read(console, status) & mask) == ready) {
            handoff_uart_write(console, data, (unsigned char)byte);
            return;
        }
    }
}

/* Writes text to the console that the loader speaks on, a carriage return before each line feed; nothing without one. */
static inline void handoff_write(const struct handoff *h, const char *text)
{
    struct handoff_console console;
    const struct handoff_uart *port = (const struct handoff_uart *)0;
    uint32_t shift;

    if (!handoff_first(h, HANDOFF_TABLE_CONSOLE, &console, sizeof(console)))
        return;
    for (uint32_t index = 0; index < sizeof(handoff_uarts) / sizeof(handoff_uarts[0]); index++)
        if (handoff_uarts[index].kind == console.kind)
            port = &handoff_uarts[index];
    if (!port)
        return;
    shift = port->spread ? console.register_shift : 0;
    if (port->clear | port->set) {
        uint32_t control = handoff_uart_read(&console, port->control);
        handoff_uart_write(&console, port->control, (control & ~port->clear) | port->set);
    }
    for (; *text; text++) {
        if (*text == '\n')
            handoff_send(&console, (uint64_t)port->data << shift, (uint64_t)port->status << shift, port->mask,
                port->ready, '\r');
        handoff_send(&console, (uint64_t)port->data << shift, (uint64_t)port->status << shift, port->mask, port->ready,
            *text);
    }
}

/* Writes a number in hexadecimal, 16 digits behind 0x. */
static inline void handoff_write_hex(const struct handoff *h, uint64_t number)
{
    char text[19];
    text[0] = '0';
    text[1] = 'x';
    for (int digit = 0; digit < 16; digit++) {
        unsigned value = (unsigned)(number >> (60 - 4 * digit)) & 15;
        text[2 + digit] = (char)(value < 10 ? '0' + value : 'a' + value - 10);
    }
    text[18] = 0;
    handoff_write(h, text);
}

#if defined(__aarch64__)
/* A call of firmware by `psci_conduit` of the platform record: what it returned in x0, -1 without firmware. */
static inline int64_t handoff_psci(uint32_t conduit, uint64_t function, uint64_t one, uint64_t two, uint64_t three)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = one;
    register uint64_t x2 __asm__("x2") = two;
    register uint64_t x3 __asm__("x3") = three;
#define HANDOFF_CLOBBERED "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory"
    if (conduit == HANDOFF_PLATFORM_PSCI_CONDUIT_SMC)
        __asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : HANDOFF_CLOBBERED);
    else if (conduit == HANDOFF_PLATFORM_PSCI_CONDUIT_HVC)
        __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : HANDOFF_CLOBBERED);
    else
        return -1;
#undef HANDOFF_CLOBBERED
    return (int64_t)x0;
}

/* Ends the machine with a verdict, good if `code` is 0: said on the console, and given to whoever started the machine where
 * `exit` of the platform record is semihosting. */
#if defined(__cplusplus)
[[noreturn]]
#else
__attribute__((noreturn))
#endif
static inline void handoff_end(const struct handoff *h, uint32_t code)
{
    struct handoff_platform platform;
    char digits[11];
    int first = 10;

    handoff_write(h, HANDOFF_VERDICT_PREFIX);
    if (code) {
        digits[first] = 0;
        for (uint32_t rest = code; rest; rest /= 10)
            digits[--first] = (char)('0' + rest % 10);
        handoff_write(h, "bad ");
        handoff_write(h, digits + first);
    } else {
        handoff_write(h, "good");
    }
    handoff_write(h, "\n");
    if (handoff_first(h, HANDOFF_TABLE_PLATFORM, &platform, sizeof(platform))) {
        if (platform.exit == HANDOFF_PLATFORM_EXIT_SEMIHOSTING) {
            uint64_t block[2];
            register uint64_t x0 __asm__("x0") = HANDOFF_SEMIHOSTING_EXIT;
            register uint64_t *x1 __asm__("x1") = block;
            block[0] = HANDOFF_SEMIHOSTING_APPLICATION_EXIT;
            block[1] = code ? HANDOFF_SUBCODE_BAD : HANDOFF_SUBCODE_GOOD;
            __asm__ volatile("hlt #0xF000" : "+r"(x0) : "r"(x1) : "memory");
        }
        if (platform.exit != HANDOFF_PLATFORM_EXIT_NONE)
            handoff_psci(platform.psci_conduit, HANDOFF_PSCI_SYSTEM_OFF, 0, 0, 0);
    }
    for (;;)
        __asm__ volatile("wfi");
}
#endif
#endif /* __ASSEMBLER__ */
#endif /* HANDOFF_H */
