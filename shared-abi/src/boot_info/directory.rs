//! The header and the directory: where every table is.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::error::BootInfoError;
use super::limits::{ALIGNMENT, BOOT_INFO_MAX, MAX_RECORD, MAX_TABLES};
use super::record::flags;
use super::table_id::TableId;
use crate::contract::ABI_MAJOR;
use crate::crc32c::Crc32c;
use crate::wire::load;

/// The first eight bytes of a `BootInfo`.
pub const MAGIC: [u8; 8] = *b"BOOTINFO";

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
