//! What is wrong with a `BootInfo`.

use super::limits::{BOOT_INFO_MAX, MAX_TABLES};
use super::table_id::TableId;
use crate::contract::ABI_MAJOR;
use crate::errors;

errors! {
    /// A `BootInfo` that cannot be read, by the field that is wrong.
    pub enum BootInfoError,
        found by "a reader of `BootInfo`: the kernel before `kmain`, or `handoff inspect`";

    /// Fewer bytes are there than the blob has.
    601 Short { length: u64 = "How many there are." }
        => "BootInfo: only {length:#x} bytes of it are there";
        help "give the whole blob: the dump is cut off";
    /// The magic number is wrong: no `BootInfo`.
    602 Magic { found: u64 = "The eight bytes that were found, little-endian." }
        => "no BootInfo: its magic is {found:#018x}";
        help "check x0 at the entry, or the address that was read";
    /// It is of another major version of the ABI.
    603 AbiMajor { found: u16 = "Its major version." }
        => "BootInfo: abi_major is {found:#x}, this reader has {ABI_MAJOR:#x}";
        help "build the kernel against the `shared-abi` of the loader";
    /// `header_size` cannot be.
    604 HeaderSize { found: u32 = "Its bytes." }
        => "BootInfo: header_size {found:#x} cannot be";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// `total_size` cannot be.
    605 TotalSize { found: u32 = "Its bytes." }
        => "BootInfo: total_size {found:#x} cannot be, at most {BOOT_INFO_MAX:#x}";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// `directory_count` cannot be.
    606 DirectoryCount { found: u32 = "How many." }
        => "BootInfo: directory_count {found:#x} cannot be, at most {MAX_TABLES:#x}";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// `directory_stride` cannot be.
    607 DirectoryStride { found: u32 = "Their bytes." }
        => "BootInfo: directory_stride {found:#x} cannot be";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// `directory_offset` cannot be.
    608 DirectoryOffset { found: u32 = "Where it is said to be.", total: u32 = "Bytes of the blob." }
        => "BootInfo: directory_offset {found:#x} cannot be in {total:#x} bytes";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// The checksum is wrong, and no header field shows why.
    609 Checksum { stored: u32 = "As written.", computed: u32 = "As the bytes have it." }
        => "BootInfo is damaged: checksum {computed:#010x}, stored {stored:#010x}";
        help "look for what wrote over `BootInfo`; `handoff inspect` marks the table if one is damaged";
    /// A table is unaligned, outside the blob, or over the directory.
    610 TableOffset {
        table: TableId = "Which.", offset: u32 = "Where it is said to be.", length: u64 = "Its bytes.",
    }
        => "BootInfo: the {table} of {length:#x} bytes cannot lie at {offset:#x}";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// Two tables overlap, or are out of order.
    611 TableOrder {
        table: TableId = "Which.", offset: u32 = "Where it begins.",
        free: u32 = "Where it could begin at the earliest.",
    }
        => "BootInfo: the {table} at {offset:#x} begins before {free:#x}";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// A table's records have an impossible size.
    612 TableStride { table: TableId = "Which table.", stride: u32 = "Bytes from one record to the next." }
        => "BootInfo: the {table} cannot have a stride of {stride:#x}";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// A table has more records than its limit.
    613 TableCount { table: TableId = "Which table.", count: u32 = "How many." }
        => "BootInfo: the {table} counts {count:#x}, at most {:#x}", table.limit();
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// A table is there twice.
    614 TableTwice { table: TableId = "Which." }
        => "BootInfo: the {table} is there twice";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// An unknown table must be understood.
    615 TableUnknown { table: TableId = "Which." }
        => "BootInfo: {table} must be understood and is not known";
        help "build the kernel against a newer `shared-abi`";
    /// A table that every `BootInfo` has is missing.
    616 TableMissing { table: TableId = "Which." }
        => "BootInfo: the {table} is missing";
        help "look for what wrote over `BootInfo`, or for a stage of another version";
    /// A field of a record of the table with the id that is added to 620 cannot be.
    620 (+ offset(*table)) ..= 689 Field {
        table: TableId = "The table.", index: u32 = "The record, from 0.",
        field: &'static str = "The field's name.", value: u64 = "Its value.",
    }
        => "BootInfo: {field} of record {index} of the {table} cannot be {value:#x}";
        help "look for what wrote over `BootInfo`; otherwise report it: it is a fault of the loader";
}

/// What a table adds to the code: its number, if this version reads it.
const fn offset(table: TableId) -> u16 {
    match table.index() {
        Some(_) => table.0 as u16,
        None => 0,
    }
}

impl BootInfoError {
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
