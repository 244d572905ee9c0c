//! The header and the directory: where every table is.

use core::fmt;
use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::error::BootInfoError;
use super::record::flags;
use crate::contract::ABI_MAJOR;
use crate::crc32c::Crc32c;
use crate::wire::load;

/// The first eight bytes of a `BootInfo`.
pub const MAGIC: [u8; 8] = *b"BOOTINFO";

/// Most bytes that a `BootInfo` may have.
pub const BOOT_INFO_MAX: usize = 256 << 10;

/// Most tables that a directory may have.
pub const MAX_TABLES: u32 = 64;

/// Largest header, directory entry or record that a later version may grow to.
pub(super) const MAX_RECORD: u32 = 0x1000;

/// Alignment of every table, from the blob's first byte.
pub(super) const ALIGNMENT: u32 = 8;

/// The header at the start of the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// The ABI's major version. Readers refuse another one.
    pub abi_major: u16,
    /// The ABI's minor version. Readers accept any.
    pub abi_minor: u16,
    /// Bytes of this header.
    pub header_size: u32,
    /// Bytes of the whole blob, a multiple of 8.
    pub total_size: u32,
    /// CRC-32C of the whole blob without this field.
    pub checksum: u32,
    /// Where the directory begins.
    pub directory_offset: u32,
    /// Entries of the directory.
    pub directory_count: u32,
    /// Bytes from one entry to the next.
    pub directory_stride: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Header>() == 40);

/// Where the checksum lies: what it does not cover.
pub(super) const CHECKSUM: usize = offset_of!(Header, checksum);

/// Bytes of the checksum.
pub(super) const CHECKSUM_SIZE: usize = size_of::<u32>();

/// The checksum of a whole blob.
pub(super) fn checksum(blob: &[u8], crc32c: Crc32c) -> u32 {
    let (before, rest) = blob.split_at_checked(CHECKSUM).unwrap_or((blob, &[]));
    crc32c(crc32c(0, before), rest.get(CHECKSUM_SIZE..).unwrap_or_default())
}

/// One table's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirectoryEntry {
    /// Which table.
    pub id: TableId,
    /// How to take it.
    pub flags: TableFlags,
    /// Where it begins, from the blob's first byte: a multiple of 8, above the table before it.
    pub offset: u32,
    /// Its records, or its bytes where it has no records.
    pub count: u32,
    /// Bytes from one record to the next: a multiple of 8, or 1 for bytes.
    pub stride: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<DirectoryEntry>() == 24);

flags! {
    /// How a reader is to take a table.
    TableFlags {
        /// A reader that does not know the table refuses the blob.
        MUST_UNDERSTAND = 0;
        /// There was more than the table holds: its beginning is missing.
        TRUNCATED = 1;
    }
}

/// Which table. The numbers are ABI and never change their meaning.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct TableId(pub u32);

macro_rules! tables {
    ($($(#[$doc:meta])* $constant:ident = $value:literal, $name:literal, $limit:expr, $needed:literal;)*) => {
        impl TableId {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*

            /// The table's name in reports; `None` for one that this version does not read.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }

            /// Most records, or bytes, that it may have.
            pub const fn limit(self) -> u32 {
                match self.0 {
                    $($value => $limit,)*
                    _ => u32::MAX,
                }
            }

            /// The tables without which there is no `BootInfo`, as bits by number.
            pub(super) const NEEDED: u32 = $(if $needed { 1 << $value } else { 0 })|*;
        }
    };
}

tables! {
    /// Every page of RAM once.
    MEMORY_MAP = 1, "memory map", 512, true;
    /// The kernel as it was loaded.
    KERNEL = 2, "kernel", 1, true;
    /// Where each part of the kernel lies.
    EXTENTS = 3, "kernel extents", 512, true;
    /// The direct map of physical memory.
    DIRECT_MAP = 4, "direct map", 1, true;
    /// The parts of the virtual address space.
    WINDOWS = 5, "windows", 32, true;
    /// The stack that the kernel is entered on.
    BOOT_STACK = 6, "boot stack", 1, true;
    /// The live translation tables.
    PAGE_TABLES = 7, "page tables", 1, true;
    /// System registers as they were set.
    REGISTERS = 8, "registers", 64, true;
    /// The serial port that the loader speaks on.
    CONSOLE = 9, "console", 1, false;
    /// The flattened device tree.
    DEVICE_TREE = 10, "device tree", 1, false;
    /// The command line, UTF-8, closed by a NUL that is counted.
    COMMAND_LINE = 11, "command line", 0x4000, false;
    /// Files that were packed for the kernel.
    MODULES = 12, "modules", 64, false;
    /// The initial RAM disk.
    INITRD = 13, "initrd", 1, false;
    /// The machine's processors.
    CPUS = 14, "CPUs", 1024, false;
    /// What the machine is.
    PLATFORM = 15, "platform", 1, true;
    /// Where firmware put the image and what it passed.
    FIRMWARE_IMAGE = 16, "firmware image", 1, true;
    /// Entropy for the kernel.
    ENTROPY = 17, "entropy", 1, false;
    /// When each stage of the boot was reached.
    TIMELINE = 18, "timeline", 64, false;
    /// What the loader said, as bytes.
    LOG = 19, "log", 0x1_0000, false;
    /// All strings that records name.
    STRINGS = 20, "strings", 0x1_0000, false;
    /// The kernel's compact symbol table.
    SYMBOLS = 21, "symbols", 1, false;
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
    /// Reserved number: secondary processors.
    pub const SECONDARIES: Self = Self(36);

    /// One more than the largest number that this version reads.
    pub(super) const KNOWN_END: usize = 22;

    /// The number as an index, if this version reads the table.
    pub(super) const fn index(self) -> Option<usize> {
        if self.name().is_some() { Some(self.0 as usize) } else { None }
    }

    /// Whether it is bytes, not records.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Self::COMMAND_LINE | Self::LOG | Self::STRINGS)
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

impl Header {
    /// Reads the header and judges what can be judged without the rest of the blob.
    ///
    /// # Errors
    /// The first field that is wrong, by name.
    pub fn read(blob: &[u8]) -> Result<Self, BootInfoError> {
        let header: Self = load(blob).ok_or(BootInfoError::Short { length: blob.len() as u64 })?;
        if header.magic != MAGIC {
            return Err(BootInfoError::Magic { found: u64::from_le_bytes(header.magic) });
        }
        if header.abi_major != ABI_MAJOR {
            return Err(BootInfoError::AbiMajor { found: header.abi_major });
        }
        let size = header.header_size;
        if (size as usize) < size_of::<Self>() || size > MAX_RECORD || !size.is_multiple_of(ALIGNMENT) {
            return Err(BootInfoError::HeaderSize { found: size });
        }
        let total = header.total_size;
        if total < size || total as usize > BOOT_INFO_MAX || !total.is_multiple_of(ALIGNMENT) {
            return Err(BootInfoError::TotalSize { found: total });
        }
        let count = header.directory_count;
        if count > MAX_TABLES {
            return Err(BootInfoError::DirectoryCount { found: count });
        }
        let stride = header.directory_stride;
        let least = size_of::<DirectoryEntry>();
        if (stride as usize) < least || stride > MAX_RECORD || !stride.is_multiple_of(ALIGNMENT) {
            return Err(BootInfoError::DirectoryStride { found: stride });
        }
        let offset = header.directory_offset;
        // 64 entries of 4 KiB at most: the product cannot wrap.
        let end = offset.checked_add(count * stride);
        if offset < size || !offset.is_multiple_of(ALIGNMENT) || end.is_none_or(|end| end > total) {
            return Err(BootInfoError::DirectoryOffset { found: offset, total });
        }
        Ok(header)
    }
}

/// Bytes that the blob beginning with `header` (at least 40 bytes) has in all: how much of it may be read.
///
/// # Errors
/// What is wrong with the header.
pub fn announced_size(header: &[u8]) -> Result<usize, BootInfoError> {
    Header::read(header).map(|header| header.total_size as usize)
}
