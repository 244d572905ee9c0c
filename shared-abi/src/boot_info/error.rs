//! What is wrong with a `BootInfo`.

use core::fmt;

use super::directory::{BOOT_INFO_MAX, MAX_TABLES, TableId};
use crate::contract::ABI_MAJOR;

/// A `BootInfo` that cannot be read, by the field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// Fewer bytes than the blob has, or than a header.
    Short {
        /// How many there are.
        length: u64,
    },
    /// Not a `BootInfo`.
    Magic {
        /// The eight bytes that were found, little-endian.
        found: u64,
    },
    /// A blob of another ABI.
    AbiMajor {
        /// Its major version.
        found: u16,
    },
    /// A header of impossible size.
    HeaderSize {
        /// Its bytes.
        found: u32,
    },
    /// A blob of impossible size.
    TotalSize {
        /// Its bytes.
        found: u32,
    },
    /// A directory with too many tables.
    DirectoryCount {
        /// How many.
        found: u32,
    },
    /// Directory entries of impossible size.
    DirectoryStride {
        /// Their bytes.
        found: u32,
    },
    /// A directory inside the header, unaligned, or outside the blob.
    DirectoryOffset {
        /// Where it is said to be.
        found: u32,
        /// Bytes of the blob.
        total: u32,
    },
    /// The blob was damaged, in a place that no field's check found.
    Checksum {
        /// As written.
        stored: u32,
        /// As the bytes have it.
        computed: u32,
    },
    /// A table that is unaligned, outside the blob, or over the header or the directory.
    TableOffset {
        /// Which.
        table: TableId,
        /// Where it is said to be.
        offset: u32,
        /// Its bytes.
        length: u64,
    },
    /// A table that begins before the end of the one before it.
    TableOrder {
        /// Which.
        table: TableId,
        /// Where it begins.
        offset: u32,
        /// Where it could begin at the earliest.
        free: u32,
    },
    /// Records that are shorter than this version's or not of whole 8 bytes.
    TableStride {
        /// Which table.
        table: TableId,
        /// Bytes from one record to the next.
        stride: u32,
    },
    /// More records than the table's limit.
    TableCount {
        /// Which table.
        table: TableId,
        /// How many.
        count: u32,
    },
    /// A table that is there twice.
    TableTwice {
        /// Which.
        table: TableId,
    },
    /// A table that must be understood and is not known.
    TableUnknown {
        /// Which.
        table: TableId,
    },
    /// A table that must be there and is not, or is empty.
    TableMissing {
        /// Which.
        table: TableId,
    },
    /// A field of a record that cannot be.
    Field {
        /// The table.
        table: TableId,
        /// The record, from 0.
        index: u32,
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl BootInfoError {
    /// The stable number of the error: printed as `E` and four decimal digits. Fields count by table.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Short { .. } => 601,
            Self::Magic { .. } => 602,
            Self::AbiMajor { .. } => 603,
            Self::HeaderSize { .. } => 604,
            Self::TotalSize { .. } => 605,
            Self::DirectoryCount { .. } => 606,
            Self::DirectoryStride { .. } => 607,
            Self::DirectoryOffset { .. } => 608,
            Self::Checksum { .. } => 609,
            Self::TableOffset { .. } => 610,
            Self::TableOrder { .. } => 611,
            Self::TableStride { .. } => 612,
            Self::TableCount { .. } => 613,
            Self::TableTwice { .. } => 614,
            Self::TableUnknown { .. } => 615,
            Self::TableMissing { .. } => 616,
            Self::Field { table, .. } => match table.index() {
                Some(index) => 620 + index as u16,
                None => 620,
            },
        }
    }

    /// The header field, table or record field that is wrong, for reports that mark it.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Short { .. } => "length",
            Self::Magic { .. } => "magic",
            Self::AbiMajor { .. } => "abi_major",
            Self::HeaderSize { .. } => "header_size",
            Self::TotalSize { .. } => "total_size",
            Self::DirectoryCount { .. } => "directory_count",
            Self::DirectoryStride { .. } => "directory_stride",
            Self::DirectoryOffset { .. } => "directory_offset",
            Self::Checksum { .. } => "checksum",
            Self::TableOffset { .. } | Self::TableOrder { .. } => "offset",
            Self::TableStride { .. } => "stride",
            Self::TableCount { .. } => "count",
            Self::TableTwice { .. } | Self::TableUnknown { .. } | Self::TableMissing { .. } => "id",
            Self::Field { field, .. } => field,
        }
    }
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { length } => write!(f, "BootInfo: only {length:#x} bytes of it are there"),
            Self::Magic { found } => write!(f, "no BootInfo: its magic is {found:#018x}"),
            Self::AbiMajor { found } => {
                write!(f, "BootInfo: abi_major is {found:#x}, this reader has {ABI_MAJOR:#x}")
            }
            Self::HeaderSize { found } => write!(f, "BootInfo: header_size {found:#x} cannot be"),
            Self::TotalSize { found } => {
                write!(f, "BootInfo: total_size {found:#x} cannot be, at most {BOOT_INFO_MAX:#x}")
            }
            Self::DirectoryCount { found } => {
                write!(f, "BootInfo: directory_count {found:#x} cannot be, at most {MAX_TABLES:#x}")
            }
            Self::DirectoryStride { found } => write!(f, "BootInfo: directory_stride {found:#x} cannot be"),
            Self::DirectoryOffset { found, total } => {
                write!(f, "BootInfo: directory_offset {found:#x} cannot be in {total:#x} bytes")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "BootInfo is damaged: checksum {computed:#010x}, stored {stored:#010x}")
            }
            Self::TableOffset { table, offset, length } => {
                write!(f, "BootInfo: the {table} of {length:#x} bytes cannot lie at {offset:#x}")
            }
            Self::TableOrder { table, offset, free } => {
                write!(f, "BootInfo: the {table} at {offset:#x} begins before {free:#x}")
            }
            Self::TableStride { table, stride } => {
                write!(f, "BootInfo: the {table} cannot have a stride of {stride:#x}")
            }
            Self::TableCount { table, count } => {
                write!(f, "BootInfo: the {table} counts {count:#x}, at most {:#x}", table.limit())
            }
            Self::TableTwice { table } => write!(f, "BootInfo: the {table} is there twice"),
            Self::TableUnknown { table } => {
                write!(f, "BootInfo: {table} must be understood and is not known")
            }
            Self::TableMissing { table } => write!(f, "BootInfo: the {table} is missing"),
            Self::Field { table, index, field, value } => {
                write!(f, "BootInfo: {field} of record {index} of the {table} cannot be {value:#x}")
            }
        }
    }
}

impl core::error::Error for BootInfoError {}
