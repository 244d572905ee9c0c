//! Reading a `BootInfo`: everything is checked once, then everything is a value.

use super::directory::{DirectoryEntry, Header, TableFlags, checksum};
use super::error::BootInfoError;
use super::field::{Field, Value};
use super::history::Log;
use super::limits::{ALIGNMENT, MAX_RECORD};
use super::memory::{MemoryRegion, Untypeds};
use super::record::{Record, Records};
use super::strings::{StringRef, Strings};
use super::table_id::TableId;
use super::virtual_memory::{RegisterId, WindowId};
use crate::addr::VirtRange;
use crate::crc32c::{Crc32c, crc32c};
use crate::memory::RegionKind;
use crate::wire::load;

/// One known table's bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Table<'a> {
    bytes: &'a [u8],
    stride: usize,
    flags: TableFlags,
}

/// A `BootInfo` that passed every check of every table.
///
/// ```
/// use shared_abi::boot_info::BootInfo;
///
/// /// The largest piece of memory that a kernel may use at once.
/// fn largest(info: &BootInfo<'_>) -> u64 {
///     info.free_memory().map(|region| region.length).max().unwrap_or(0)
/// }
///
/// // Any bytes may be given: what is none is refused.
/// assert!(BootInfo::decode(b"no BootInfo").is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BootInfo<'a> {
    blob: &'a [u8],
    header: Header,
    tables: [Table<'a>; TableId::COUNT],
    strings: Strings<'a>,
    command_line: &'a str,
}

impl<'a> BootInfo<'a> {
    /// Reads the blob at the start of `bytes`, which may be longer and at any alignment.
    ///
    /// # Errors
    /// The first field that is wrong, in the order: header, checksum, directory, records.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BootInfoError> {
        Self::decode_with(bytes, crc32c)
    }

    /// [`decode`](Self::decode) with another CRC-32C than the portable one.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_with(bytes: &'a [u8], crc32c: Crc32c) -> Result<Self, BootInfoError> {
        let (header, blob) = Self::frame(bytes)?;
        let computed = checksum(blob, crc32c);
        if header.checksum != computed {
            return Err(BootInfoError::Checksum { stored: header.checksum, computed });
        }
        Self::tables(header, blob)
    }

    /// Reads a blob whose checksum is known to be wrong, to name what else is: for tools that diagnose damage.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), the checksum aside.
    pub fn decode_damaged(bytes: &'a [u8]) -> Result<Self, BootInfoError> {
        let (header, blob) = Self::frame(bytes)?;
        Self::tables(header, blob)
    }

    /// The header, and the bytes that it says the blob has.
    fn frame(bytes: &'a [u8]) -> Result<(Header, &'a [u8]), BootInfoError> {
        let header = Header::read(bytes)?;
        let short = BootInfoError::Short { length: bytes.len() as u64 };
        Ok((header, bytes.get(..header.total_size as usize).ok_or(short)?))
    }

    /// Checks directory and tables.
    fn tables(header: Header, blob: &'a [u8]) -> Result<Self, BootInfoError> {
        let mut info = Self {
            blob,
            header,
            tables: [Table::default(); TableId::COUNT],
            strings: Strings::default(),
            command_line: "",
        };
        info.read_directory()?;
        info.read_texts()?;
        info.check_records()?;
        info.check_extents()?;
        Ok(info)
    }

    /// Finds every known table and checks that no two overlap.
    fn read_directory(&mut self) -> Result<(), BootInfoError> {
        let header = self.header;
        let directory = header.directory_offset
            ..header.directory_offset + header.directory_count * header.directory_stride;
        let entries = self.blob.get(directory.start as usize..directory.end as usize).unwrap_or_default();
        let mut free = header.header_size;
        let mut seen: u64 = 0;
        for entry in entries.chunks_exact(header.directory_stride as usize) {
            let Some(entry) = load::<DirectoryEntry>(entry) else { continue };
            let DirectoryEntry { id: table, flags, offset, count, stride, .. } = entry;
            let length = u64::from(count) * u64::from(stride);
            let outside = BootInfoError::TableOffset { table, offset, length };
            let end = u64::from(offset) + length;
            if !offset.is_multiple_of(ALIGNMENT) || end > u64::from(header.total_size) {
                return Err(outside);
            }
            if offset < free {
                return Err(BootInfoError::TableOrder { table, offset, free });
            }
            if length > 0 && offset < directory.end && end > u64::from(directory.start) {
                return Err(outside);
            }
            // The end is within the blob, so it is a small number.
            free = end as u32;
            let Some(index) = table.index() else {
                if flags.contains(TableFlags::MUST_UNDERSTAND) {
                    return Err(BootInfoError::TableUnknown { table });
                }
                continue;
            };
            if count > table.limit() {
                return Err(BootInfoError::TableCount { table, count });
            }
            let whole = stride.is_multiple_of(ALIGNMENT) && matches!(stride, 1..=MAX_RECORD);
            if if table.is_bytes() { stride != 1 } else { !whole } {
                return Err(BootInfoError::TableStride { table, stride });
            }
            if seen & 1 << table.0 != 0 {
                return Err(BootInfoError::TableTwice { table });
            }
            if count > 0 {
                seen |= 1 << table.0;
            }
            let bytes = self.blob.get(offset as usize..end as usize).ok_or(outside)?;
            if let Some(place) = self.tables.get_mut(index) {
                *place = Table { bytes, stride: stride as usize, flags };
            }
        }
        let missing = TableId::NEEDED & !seen;
        if missing != 0 {
            return Err(BootInfoError::TableMissing { table: TableId(missing.trailing_zeros()) });
        }
        Ok(())
    }

    /// Checks what is text.
    fn read_texts(&mut self) -> Result<(), BootInfoError> {
        let fault = |table, bytes: &[u8]| {
            let value = bytes.len() as u64;
            BootInfoError::Field { table, index: 0, field: "text", value }
        };
        let strings = self.table(TableId::STRINGS).bytes;
        self.strings = Strings::new(strings).ok_or(fault(TableId::STRINGS, strings))?;
        let line = self.table(TableId::COMMAND_LINE).bytes;
        if let Some((nul, text)) = line.split_last() {
            let closed = *nul == 0 && !text.contains(&0);
            let text = core::str::from_utf8(text).ok().filter(|_| closed);
            self.command_line = text.ok_or(fault(TableId::COMMAND_LINE, line))?;
        }
        Ok(())
    }

    /// Checks every record of one table.
    pub(super) fn check<R: Record>(&self) -> Result<(), BootInfoError> {
        let table = self.table(R::TABLE);
        if !table.bytes.is_empty() && table.stride < size_of::<R>() {
            return Err(BootInfoError::TableStride { table: R::TABLE, stride: table.stride as u32 });
        }
        let mut before = None;
        for (index, record) in self.records::<R>().enumerate() {
            record.check(before.as_ref(), &self.strings).map_err(|fault| BootInfoError::Field {
                table: R::TABLE,
                index: index as u32,
                field: fault.field,
                value: fault.value,
            })?;
            before = Some(record);
        }
        Ok(())
    }

    /// Checks that the extents lie within the kernel.
    fn check_extents(&self) -> Result<(), BootInfoError> {
        let kernel = self.kernel().range();
        for (index, extent) in self.extents().enumerate() {
            if !kernel.covers(extent.virt()) {
                return Err(BootInfoError::Field {
                    table: TableId::EXTENTS,
                    index: index as u32,
                    field: "virt_start",
                    value: extent.virt_start,
                });
            }
        }
        Ok(())
    }

    fn table(&self, id: TableId) -> Table<'a> {
        id.index().and_then(|index| self.tables.get(index)).copied().unwrap_or_default()
    }

    pub(super) fn records<R: Record>(&self) -> Records<'a, R> {
        let table = self.table(R::TABLE);
        Records::new(table.bytes, table.stride)
    }

    /// The record of a table that decoding found to be there.
    pub(super) fn the<R: Record>(&self) -> R {
        self.records().next().unwrap_or_default()
    }

    /// The blob.
    pub const fn bytes(&self) -> &'a [u8] {
        self.blob
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes of any table: of its records, one after the other, or its own.
    pub fn table_bytes(&self, table: TableId) -> &'a [u8] {
        self.table(table).bytes
    }

    /// The records of any table as bytes, for who reads them by the table's [`layout`](TableId::layout).
    pub fn raw_records(&self, table: TableId) -> core::slice::ChunksExact<'a, u8> {
        let Table { bytes, stride, .. } = self.table(table);
        bytes.chunks_exact(stride.max(1))
    }

    /// What a field of one of the [raw records](Self::raw_records) holds.
    pub fn value(&self, field: &Field, record: &'a [u8]) -> Value<'a> {
        field.value(self.strings, record)
    }

    /// A string that a record names. Those of the records here are all found.
    pub fn string(&self, string: StringRef) -> &'a str {
        self.strings.get(string).unwrap_or_default()
    }

    /// The regions that are free from the first instruction on.
    pub fn free_memory(&self) -> impl Iterator<Item = MemoryRegion> + use<'a> {
        self.memory_map().filter(MemoryRegion::is_free)
    }

    /// The same memory as power-of-two blocks.
    pub fn untypeds(&self) -> Untypeds<'a> {
        Untypeds::new(self.memory_map())
    }

    /// Bytes of RAM, whatever their use.
    pub fn total_ram(&self) -> u64 {
        let ram = self.memory_map().filter(|region| region.kind() != RegionKind::MMIO);
        ram.map(|region| region.length).sum()
    }

    /// Bytes that are free from the first instruction on.
    pub fn free_bytes(&self) -> u64 {
        self.free_memory().map(|region| region.length).sum()
    }

    /// One part of the virtual address space.
    pub fn window(&self, id: WindowId) -> Option<VirtRange> {
        self.windows().find(|window| window.id == id).map(|window| window.range())
    }

    /// One system register as it was set.
    pub fn register(&self, id: RegisterId) -> Option<u64> {
        self.registers().find(|register| register.id == id).map(|register| register.value)
    }

    /// The command line; empty if there is none.
    pub const fn command_line(&self) -> &'a str {
        self.command_line
    }

    /// What the loader said.
    pub fn log(&self) -> Log<'a> {
        let table = self.table(TableId::LOG);
        Log { bytes: table.bytes, is_truncated: table.flags.contains(TableFlags::TRUNCATED) }
    }
}
