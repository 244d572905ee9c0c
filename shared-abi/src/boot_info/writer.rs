//! Writing a `BootInfo`: records go straight to their place.
//!
//! ```text
//! buffer  | header | tables →     …      | strings →   …      | as much as a directory takes |
//!         0        40              tables_end  ^strings_start
//! ```
//!
//! Tables grow from the front. Strings, which any record may name at any time, grow in room of their own and are
//! moved down behind the last table at the end. The directory's entries gather in room that is theirs, so that
//! closing a blob never lacks it, and follow the strings down. The buffer's old contents do not matter. Nothing is
//! judged: [`BootInfo::decode`](super::BootInfo::decode) does that.

use zerocopy::{FromBytes, IntoBytes};

use super::directory::{CHECKSUM, CHECKSUM_SIZE, DirectoryEntry, Header, MAGIC, TableFlags, checksum};
use super::limits::{ALIGNMENT, BOOT_INFO_MAX};
use super::record::Record;
use super::strings::StringRef;
use super::table_id::TableId;
use crate::contract::{ABI_MAJOR, ABI_MINOR};
use crate::crc32c::Crc32c;
use crate::errors;

/// Most tables that the writer writes: one of each.
const TABLES: usize = TableId::ALL.len();

/// Bytes of the largest directory.
const DIRECTORY: usize = TABLES * size_of::<DirectoryEntry>();

errors! {
    /// A `BootInfo` that cannot be written.
    pub enum WriteError, found by "the loader when it writes `BootInfo`, and by `handoff plan`";

    /// The loader has no room for a table.
    690 Full { table: TableId = "Which table was being written.", capacity: u64 = "Bytes of the buffer." }
        => "BootInfo: the {table} does not fit the {capacity:#x} bytes that are left for all";
        help "pack fewer modules or shorter names; otherwise report it";
    /// A table would exceed its limit, which `docs/contract.md` states.
    691 Limit { table: TableId = "Which table." }
        => "BootInfo: the {table} would exceed {:#x}", table.limit();
        help "pack fewer modules, or a shorter command line";
    /// The loader wrote a table in two parts.
    692 Closed { table: TableId = "Which table." }
        => "BootInfo: the {table} is already closed";
        help "report it: it is a fault of the loader";
}

/// The bytes that a blob takes, counted before there is one: tables by their records, strings by their lengths.
///
/// ```
/// use shared_abi::boot_info::{BlobSize, BootInfoWriter, Register, RegisterId};
/// use shared_abi::crc32c::crc32c;
///
/// let size = BlobSize::default().records::<Register>(2).bytes(5);
/// let mut buffer = vec![0; size.total()];
/// let mut writer = BootInfoWriter::with_room(&mut buffer, size);
/// for id in [RegisterId::SCTLR_EL1, RegisterId::TCR_EL1] {
///     writer.push(&Register { id, reserved: 0, value: 0 })?;
/// }
/// writer.append_log(b"hello")?;
/// assert!(writer.finish(crc32c)? <= size.total());
/// # Ok::<(), shared_abi::boot_info::WriteError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobSize {
    tables: usize,
    strings: usize,
}

impl BlobSize {
    /// Of a blob without tables.
    pub const EMPTY: Self = Self { tables: 0, strings: 0 };

    /// With so many times `other`.
    pub const fn plus_each(self, count: usize, other: Self) -> Self {
        Self { tables: self.tables + count * other.tables, strings: self.strings + count * other.strings }
    }

    /// With a table of so many more records of a type.
    pub const fn records<R: Record>(self, count: usize) -> Self {
        self.bytes(count * size_of::<R>())
    }

    /// With a table of so many more bytes: log or command line, whose NUL counts.
    pub const fn bytes(self, length: usize) -> Self {
        Self { tables: self.tables + length.next_multiple_of(ALIGNMENT as usize), ..self }
    }

    /// With one more string of so many bytes; its NUL is added.
    pub const fn string(self, length: usize) -> Self {
        self.strings(1, length)
    }

    /// With so many more strings of so many bytes in all; a NUL is added for each.
    pub const fn strings(self, count: usize, length: usize) -> Self {
        Self { strings: self.strings + count + length, ..self }
    }

    /// Bytes of the whole blob, at most. A buffer of so many is enough.
    pub const fn total(self) -> usize {
        BootInfoWriter::OVERHEAD + self.tables + self.strings
    }
}

/// Writes one blob, table by table. Records of one type that follow each other make a table.
#[derive(Debug)]
pub struct BootInfoWriter<'a> {
    buffer: &'a mut [u8],
    tables_end: usize,
    strings_start: usize,
    strings_end: usize,
    strings_limit: usize,
    /// The table that is being written; none has the id 0.
    open: DirectoryEntry,
    /// Most records, or bytes, that it may have.
    limit: u32,
    /// The tables that were begun, as bits by number.
    begun: u64,
    /// Those before the open one: their entries are in the directory's room at the end.
    closed_count: usize,
}

/// Writes a directory entry where no such is aligned; `None` without room.
#[cold]
#[inline(never)]
fn write_unaligned(entry: &DirectoryEntry, room: &mut [u8]) -> Option<()> {
    entry.write_to_prefix(room).ok()
}

impl<'a> BootInfoWriter<'a> {
    /// Bytes that a blob takes beside its tables and strings, at most.
    pub const OVERHEAD: usize = size_of::<Header>() + DIRECTORY + 2 * ALIGNMENT as usize;

    /// Begins a blob at the start of `buffer`, of which at most [`BOOT_INFO_MAX`] bytes are used, a quarter of
    /// them for strings.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        let capacity = buffer.len().min(BOOT_INFO_MAX);
        Self::with_string_room(buffer, capacity.saturating_sub(DIRECTORY) / 4)
    }

    /// Begins a blob of at most `size` at the start of `buffer`, which is best aligned to 8.
    pub fn with_room(buffer: &'a mut [u8], size: BlobSize) -> Self {
        Self::with_string_room(buffer, size.strings)
    }

    fn with_string_room(buffer: &'a mut [u8], room: usize) -> Self {
        let capacity = buffer.len().min(BOOT_INFO_MAX) & !(ALIGNMENT as usize - 1);
        let buffer = buffer.split_at_mut(capacity).0;
        let strings_limit = capacity.saturating_sub(DIRECTORY);
        let strings_start = strings_limit.saturating_sub(room) & !(ALIGNMENT as usize - 1);
        Self {
            buffer,
            tables_end: size_of::<Header>(),
            strings_start,
            strings_end: strings_start,
            strings_limit,
            open: DirectoryEntry::default(),
            limit: 0,
            begun: 0,
            closed_count: 0,
        }
    }

    /// Appends a record to its table, which is begun if the record before was of another one.
    ///
    /// # Errors
    /// No room, too many records, or a table that was already closed.
    pub fn push<R: Record>(&mut self, record: &R) -> Result<(), WriteError> {
        self.append_records(R::TABLE, 1, size_of::<R>(), record.as_bytes())
    }

    /// Appends records to their table: less work than one at a time.
    ///
    /// # Errors
    /// As [`push`](Self::push); none is written then.
    pub fn push_all<R: Record>(&mut self, records: &[R]) -> Result<(), WriteError> {
        self.append_records(R::TABLE, records.len(), size_of::<R>(), records.as_bytes())
    }

    /// [`push`](Self::push) for all types: the loader's size counts.
    #[inline(never)]
    fn append_records(
        &mut self,
        table: TableId,
        count: usize,
        stride: usize,
        records: &[u8],
    ) -> Result<(), WriteError> {
        let place = self.extend(table, stride, count, records.len())?;
        place.copy_from_slice(records);
        Ok(())
    }

    /// Appends to a table of bytes: the log.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn append_log(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.append(TableId::LOG, bytes)
    }

    /// Writes the command line, which is its parts one after the other.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn command_line(&mut self, parts: &[&str]) -> Result<(), WriteError> {
        for part in parts {
            self.append(TableId::COMMAND_LINE, part.as_bytes())?;
        }
        self.append(TableId::COMMAND_LINE, &[0])
    }

    /// Marks the table that was written last as lacking its beginning.
    pub fn mark_truncated(&mut self) {
        self.open.flags = self.open.flags.union(TableFlags::TRUNCATED);
    }

    /// Adds a string that records may name. The empty string takes no room.
    ///
    /// # Errors
    /// No room.
    #[inline(never)]
    pub fn string(&mut self, text: &str) -> Result<StringRef, WriteError> {
        if text.is_empty() {
            return Ok(StringRef::default());
        }
        let full = self.full(TableId::STRINGS);
        let offset = self.strings_end - self.strings_start;
        let limit = TableId::STRINGS.limit() as usize;
        // A NUL follows.
        if offset + text.len() >= limit {
            return Err(WriteError::Limit { table: TableId::STRINGS });
        }
        let room = self.buffer.get_mut(self.strings_end..self.strings_limit).unwrap_or_default();
        let (place, after) = room.split_at_mut_checked(text.len()).ok_or(full)?;
        let nul = after.first_mut().ok_or(full)?;
        place.copy_from_slice(text.as_bytes());
        *nul = 0;
        self.strings_end += text.len() + 1;
        Ok(StringRef { offset: offset as u32, length: text.len() as u32 })
    }

    /// The error of a buffer without room for more of `table`.
    #[cold]
    const fn full(&self, table: TableId) -> WriteError {
        WriteError::Full { table, capacity: self.buffer.len() as u64 }
    }

    /// Closes the table that is open and begins another.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, table: TableId, stride: u32) -> Result<(), WriteError> {
        let bit = 1u64.checked_shl(table.0).unwrap_or_default();
        if self.begun & bit != 0 {
            return Err(WriteError::Closed { table });
        }
        self.begun |= bit;
        let full = self.full(table);
        // Only a table of bytes leaves the end unaligned.
        let start = self.tables_end.next_multiple_of(ALIGNMENT as usize);
        if start != self.tables_end {
            self.buffer.get_mut(self.tables_end..start).ok_or(full)?.fill(0);
            self.tables_end = start;
        }
        if self.open.count > 0 {
            let place = self.strings_limit + self.closed_count * size_of::<DirectoryEntry>();
            let room = self.buffer.get_mut(place..).ok_or(full)?;
            match DirectoryEntry::mut_from_prefix(room) {
                Ok((place, _)) => *place = self.open,
                Err(_) => write_unaligned(&self.open, room).ok_or(full)?,
            }
            self.closed_count += 1;
        }
        self.limit = table.limit();
        self.open = DirectoryEntry { id: table, offset: start as u32, stride, ..DirectoryEntry::default() };
        Ok(())
    }

    /// Makes room for `count` more records of a table, `length` bytes in all.
    fn extend(
        &mut self,
        table: TableId,
        stride: usize,
        count: usize,
        length: usize,
    ) -> Result<&mut [u8], WriteError> {
        if self.open.id != table {
            self.begin(table, stride as u32)?;
        }
        // Limits are far below 2³².
        if count > (self.limit - self.open.count) as usize {
            return Err(WriteError::Limit { table });
        }
        let full = WriteError::Full { table, capacity: self.buffer.len() as u64 };
        let start = self.tables_end;
        let end = start.checked_add(length).filter(|&end| end <= self.strings_start).ok_or(full)?;
        let place = self.buffer.get_mut(start..end).ok_or(full)?;
        self.open.count += count as u32;
        self.tables_end = end;
        Ok(place)
    }

    /// Appends to a table of bytes.
    fn append(&mut self, table: TableId, bytes: &[u8]) -> Result<(), WriteError> {
        self.append_records(table, bytes.len(), 1, bytes)
    }

    /// Closes the blob and returns its bytes.
    ///
    /// # Errors
    /// No room for the directory.
    pub fn finish(mut self, crc32c: Crc32c) -> Result<usize, WriteError> {
        let full = self.full(TableId::STRINGS);
        let strings = self.strings_end - self.strings_start;
        if strings > 0 {
            let (from, to) = (self.strings_start, self.strings_end);
            self.begin(TableId::STRINGS, 1)?;
            self.open.count = strings as u32;
            // There is room: the tables end at or before the place where the strings begin.
            self.buffer.copy_within(from..to, self.tables_end);
            self.tables_end += strings;
        }
        // Closes the last table.
        self.begin(TableId::default(), 0)?;
        let offset = self.tables_end;
        let directory = self.closed_count * size_of::<DirectoryEntry>();
        let total = offset + directory;
        // The tables end before the directory's room does, unless there is no room at all.
        if total > self.buffer.len() {
            return Err(full);
        }
        self.buffer.copy_within(self.strings_limit..self.strings_limit + directory, offset);
        let header = Header {
            magic: MAGIC,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            header_size: size_of::<Header>() as u32,
            total_size: total as u32,
            checksum: 0,
            directory_offset: offset as u32,
            directory_count: self.closed_count as u32,
            directory_stride: size_of::<DirectoryEntry>() as u32,
            reserved: 0,
        };
        let blob = self.buffer.get_mut(..total).ok_or(full)?;
        blob.get_mut(..size_of::<Header>()).ok_or(full)?.copy_from_slice(header.as_bytes());
        let sum = checksum(blob, crc32c).to_le_bytes();
        blob.get_mut(CHECKSUM..CHECKSUM + CHECKSUM_SIZE).ok_or(full)?.copy_from_slice(&sum);
        Ok(total)
    }
}
