//! The tables, a row each: what reads, checks, names and describes a table follows from its row.
//!
//! A record without a row, and a row without a record, do not compile.

use core::fmt;

use super::error::BootInfoError;
use super::field::Layout;
use super::history::{Entropy, Recorder, Stage};
use super::kernel::{Extent, Kernel, Symbols};
use super::machine::{Console, Cpu, DeviceTree, FirmwareImage, Platform};
use super::memory::MemoryRegion;
use super::payload::{Initrd, Module};
use super::reader::BootInfo;
use super::record::{InTable, Record, Records};
use super::secondary::Secondaries;
use super::table_id::TableId;
use super::virtual_memory::{BootStack, DirectMap, PageTables, Register, Window};

/// Declares the tables, a row each: number, name, whether every `BootInfo` has it, the accessor, and the type and
/// most number of its records. Tables of bytes have no accessor here: each has a meaning of its own.
macro_rules! tables {
    ($(
        $(#[doc = $doc:literal])+
        $constant:ident = $value:literal, $name:literal, $needed:ident,
        $($accessor:ident:)? [$record:ident; $limit:tt];
    )*) => {
        /// The rows by their index.
        struct Row;

        impl Row {
            $(const $constant: usize = match TableId::$constant.index() {
                Some(index) => index,
                None => panic!("a row has an index"),
            };)*
        }

        impl TableId {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($value);)*

            /// Every table that this version reads, by number.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];

            /// The table's name in reports; `None` for one that this version does not read.
            pub const fn name(self) -> Option<&'static str> {
                // By the index: numbers with gaps would become a table of addresses, which costs a position-independent
                // kernel a relocation for each.
                match self.index() {
                    $(Some(Row::$constant) => Some($name),)*
                    _ => None,
                }
            }

            /// Whether this version reads the table.
            const fn is_known(self) -> bool {
                self.0 < u64::BITS && Self::KNOWN >> self.0 & 1 != 0
            }

            /// The tables that this version reads, as bits by number.
            const KNOWN: u64 = $(1 << $value)|*;

            /// Most records, or bytes, that it may have.
            pub const fn limit(self) -> u32 {
                match self.index() {
                    $(Some(Row::$constant) => $limit,)*
                    _ => u32::MAX,
                }
            }

            /// Whether it is bytes, not records.
            pub const fn is_bytes(self) -> bool {
                match self.0 {
                    $($value => tables!(@is_bytes $record),)*
                    _ => false,
                }
            }

            /// What its records are made of; `None` for bytes and for a table that this version does not read.
            pub const fn layout(self) -> Option<&'static Layout> {
                match self.0 {
                    $($value => tables!(@layout $record),)*
                    _ => None,
                }
            }

            /// The tables without which there is no `BootInfo`, as bits by number.
            pub(super) const NEEDED: u64 = $(tables!(@needed $needed) << $value)|*;
        }

        $(tables!(@in_table $constant $record);)*

        impl<'a> BootInfo<'a> {
            $(tables!(@accessor [$($accessor)?] [$($doc)+] $needed $record $limit);)*

            /// Checks the records of every table.
            pub(super) fn check_records(&self) -> Result<(), BootInfoError> {
                $(tables!(@check self $record);)*
                Ok(())
            }
        }
    };
    (@is_bytes u8) => { true };
    (@is_bytes $record:ident) => { false };
    (@layout u8) => { None };
    (@layout $record:ident) => { Some(&<$record as Record>::LAYOUT) };
    (@needed needed) => { 1 };
    (@needed optional) => { 0 };
    (@in_table $constant:ident u8) => {};
    (@in_table $constant:ident $record:ident) => {
        impl InTable for $record {
            const TABLE: TableId = TableId::$constant;
        }
    };
    (@check $info:ident u8) => {};
    (@check $info:ident $record:ident) => { $info.check::<$record>()? };
    (@accessor [] $docs:tt $needed:ident $record:ident $limit:tt) => {};
    (@accessor [$accessor:ident] [$($doc:literal)+] needed $record:ident 1) => {
        $(#[doc = $doc])+
        pub fn $accessor(&self) -> $record {
            self.the()
        }
    };
    (@accessor [$accessor:ident] [$($doc:literal)+] optional $record:ident 1) => {
        $(#[doc = $doc])+
        pub fn $accessor(&self) -> Option<$record> {
            self.records().next()
        }
    };
    (@accessor [$accessor:ident] [$($doc:literal)+] $needed:ident $record:ident $limit:tt) => {
        $(#[doc = $doc])+
        pub fn $accessor(&self) -> Records<'a, $record> {
            self.records()
        }
    };
}

tables! {
    /// Every page of RAM once, in ascending order.
    MEMORY_MAP = 1, "memory map", needed, memory_map: [MemoryRegion; 512];
    /// The kernel as it was loaded.
    KERNEL = 2, "kernel", needed, kernel: [Kernel; 1];
    /// Where each part of the kernel lies.
    EXTENTS = 3, "kernel extents", needed, extents: [Extent; 512];
    /// The direct map of physical memory.
    DIRECT_MAP = 4, "direct map", needed, direct_map: [DirectMap; 1];
    /// The parts of the virtual address space.
    WINDOWS = 5, "windows", needed, windows: [Window; 32];
    /// The stack that the kernel is entered on, and its guard.
    BOOT_STACK = 6, "boot stack", needed, boot_stack: [BootStack; 1];
    /// The live translation tables.
    PAGE_TABLES = 7, "page tables", needed, page_tables: [PageTables; 1];
    /// System registers as they were set.
    REGISTERS = 8, "registers", needed, registers: [Register; 64];
    /// The serial port that the loader speaks on.
    CONSOLE = 9, "console", optional, console: [Console; 1];
    /// The flattened device tree.
    DEVICE_TREE = 10, "device tree", optional, device_tree: [DeviceTree; 1];
    /// The command line, UTF-8, closed by a NUL that is counted.
    COMMAND_LINE = 11, "command line", optional, [u8; 0x4000];
    /// Files that were packed for the kernel.
    MODULES = 12, "modules", optional, modules: [Module; 64];
    /// The initial RAM disk.
    INITRD = 13, "initrd", optional, initrd: [Initrd; 1];
    /// The machine's processors.
    CPUS = 14, "CPUs", optional, cpus: [Cpu; 1024];
    /// What the machine is.
    PLATFORM = 15, "platform", needed, platform: [Platform; 1];
    /// Where firmware put the image and what it passed.
    FIRMWARE_IMAGE = 16, "firmware image", needed, firmware_image: [FirmwareImage; 1];
    /// Entropy for the kernel.
    ENTROPY = 17, "entropy", optional, entropy: [Entropy; 1];
    /// When each stage of the boot was reached.
    TIMELINE = 18, "timeline", optional, timeline: [Stage; 64];
    /// What the loader said, as bytes.
    LOG = 19, "log", optional, [u8; 0x1_0000];
    /// All strings that records name.
    STRINGS = 20, "strings", optional, [u8; 0x1_0000];
    /// The kernel's compact symbol table.
    SYMBOLS = 21, "symbols", optional, symbols: [Symbols; 1];
    /// The resident routine that other processors enter.
    SECONDARIES = 36, "secondaries", optional, secondaries: [Secondaries; 1];
    /// The flight recorders: this boot's, and the last one's as a crash record.
    RECORDER = 41, "recorder", optional, recorder: [Recorder; 1];
}

impl TableId {
    /// Reserved number: ACPI.
    pub const ACPI: Self = Self(32);
    /// Reserved number: EFI.
    pub const EFI: Self = Self(33);
    /// Reserved number: SMBIOS.
    pub const SMBIOS: Self = Self(34);
    /// Reserved number: a framebuffer.
    pub const FRAMEBUFFER: Self = Self(35);

    /// How many tables this version reads.
    pub(super) const COUNT: usize = {
        let (mut end, mut rest) = (0, Self::ALL);
        while let [table, others @ ..] = rest {
            assert!(table.0 >= end, "the rows do not ascend");
            // A field's error is E0620 and the table's number: the codes from E0690 on are taken.
            assert!(table.0 < u64::BITS, "the errors of the table's fields need codes");
            (end, rest) = (table.0 + 1, others);
        }
        Self::ALL.len()
    };

    /// How many tables of smaller numbers there are, if this version reads the table.
    pub(super) const fn index(self) -> Option<usize> {
        if self.is_known() { Some((Self::KNOWN & !(u64::MAX << self.0)).count_ones() as usize) } else { None }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "table {}", self.0),
        }
    }
}

impl fmt::Debug for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
