//! The payload table: what the image holds besides the loader, where, and with which digest.
//!
//! ```text
//! table   header (40 bytes), entries of `stride` bytes each, one checksum over both
//! …       the entries' bytes in ascending order, none overlapping
//! marker  32 bytes at the image's end: its size and the table's checksum once more
//! ```
//!
//! The marker is what a cut-off file lacks, so truncation is found whatever the digests. A kernel or module
//! begins on a page and shares none, since its pages get rights or an owner of their own.
//!
//! A [`PayloadTable`] proves that every entry it yields lies inside the image, past the table and before the
//! marker, in order, overlapping no other; that there is exactly one kernel of our protocol, and of the other
//! single kinds at most one. Entries of unknown kind are skipped unless they say that they must be understood.

mod entry;
mod error;
mod kind;
#[cfg(test)]
mod tests;

pub use entry::{CRC32C, Entry, EntryFlags, NO_DIGEST, name_field};
pub use error::PayloadError;
pub use kind::Kind;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::header::{Header, IMAGE_VERSION};
use crate::addr::{PAGE, align_up};
use crate::crc32c::Crc32c;
use crate::wire::load;

/// The table's first eight bytes.
pub const TABLE_MAGIC: [u8; 8] = *b"HOTABLE\0";

/// The end marker's first eight bytes.
pub const MARKER_MAGIC: [u8; 8] = *b"HOTHEEND";

/// The end marker's last eight bytes: none is zero, as memory is that a file cut short did not fill.
pub const MARKER_CLOSE: [u8; 8] = *b"DNEEHTOH";

/// Most entries that a table may have.
pub const MAX_ENTRIES: u32 = 64;

/// Largest header or stride that a later version may grow to.
const MAX_RECORD: u32 = 0x1000;

/// The table's header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct TableHeader {
    magic: [u8; 8],
    version: u32,
    size: u32,
    count: u32,
    stride: u32,
    image_size: u64,
    reserved: u32,
    checksum: u32,
}

const CHECKED: usize = size_of::<TableHeader>() - size_of::<u32>();

const _: () = assert!(size_of::<TableHeader>() == 40);
const _: () = assert!(core::mem::offset_of!(TableHeader, checksum) == CHECKED);

/// The last 32 bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndMarker {
    magic: [u8; 8],
    image_size: u64,
    table_checksum: u32,
    reserved: u32,
    close: [u8; 8],
}

const _: () = assert!(size_of::<EndMarker>() == EndMarker::SIZE as usize);

impl EndMarker {
    /// Bytes of the marker.
    pub const SIZE: u64 = 32;

    /// The marker of an image of `image_size` bytes whose table has `table_checksum`.
    pub const fn new(image_size: u64, table_checksum: u32) -> Self {
        Self { magic: MARKER_MAGIC, image_size, table_checksum, reserved: 0, close: MARKER_CLOSE }
    }

    /// The marker's bytes.
    pub fn to_bytes(&self) -> [u8; Self::SIZE as usize] {
        zerocopy::transmute!(*self)
    }
}

/// The checksum of a table: its header up to the field itself, then its entries.
fn checksum(head: &[u8], entries: &[u8], crc32c: Crc32c) -> u32 {
    crc32c(crc32c(0, head.split_at(CHECKED.min(head.len())).0), entries)
}

/// A table that was opened, and the image that it lies in.
#[derive(Clone, Copy, Debug)]
pub struct PayloadTable<'a> {
    image: &'a [u8],
    entries: &'a [u8],
    stride: usize,
    checksum: u32,
}

impl<'a> PayloadTable<'a> {
    /// Bytes of a table with `count` entries.
    pub const fn size(count: usize) -> usize {
        size_of::<TableHeader>() + count * size_of::<Entry>()
    }

    /// Writes the table to the start of `out` and returns its end marker; `None` if `out` is too short or there
    /// are 2³² entries. Nothing else is judged: [`open`](Self::open) does that.
    pub fn encode(entries: &[Entry], image_size: u64, out: &mut [u8], crc32c: Crc32c) -> Option<EndMarker> {
        let mut header = TableHeader {
            magic: TABLE_MAGIC,
            version: IMAGE_VERSION,
            size: size_of::<TableHeader>() as u32,
            count: u32::try_from(entries.len()).ok()?,
            stride: size_of::<Entry>() as u32,
            image_size,
            reserved: 0,
            checksum: 0,
        };
        header.checksum = checksum(header.as_bytes(), entries.as_bytes(), crc32c);
        let (head, rest) = out.split_at_mut_checked(size_of::<TableHeader>())?;
        let rest = rest.get_mut(..size_of_val(entries))?;
        head.copy_from_slice(header.as_bytes());
        rest.copy_from_slice(entries.as_bytes());
        Some(EndMarker::new(image_size, header.checksum))
    }

    /// Opens the table of the image that `header` stands at the start of. Only table and marker are read.
    ///
    /// # Errors
    /// What is wrong first, in the order: table, end marker, entries.
    pub fn open(image: &'a [u8], header: &Header, crc32c: Crc32c) -> Result<Self, PayloadError> {
        let whole = usize::try_from(header.image_size).ok();
        let truncated = PayloadError::Truncated { expected: header.image_size, length: image.len() as u64 };
        let image = whole.and_then(|size| image.get(..size)).ok_or(truncated)?;

        let start = header.payload_table_offset;
        let outside = PayloadError::TableBounds { offset: start, image: header.image_size };
        let bytes = usize::try_from(start).ok().and_then(|start| image.get(start..)).ok_or(outside)?;
        let table: TableHeader = load(bytes).ok_or(outside)?;
        if table.magic != TABLE_MAGIC {
            return Err(PayloadError::TableMagic { offset: start, found: u64::from_le_bytes(table.magic) });
        }
        if table.version != IMAGE_VERSION {
            return Err(PayloadError::TableVersion { found: table.version });
        }
        let (size, stride) = (table.size, table.stride);
        let fits = |value: u32, least: usize| {
            value as usize >= least && value <= MAX_RECORD && value.is_multiple_of(8)
        };
        if !fits(size, size_of::<TableHeader>()) || !fits(stride, size_of::<Entry>()) {
            return Err(PayloadError::TableRecords { header: size, stride });
        }
        if table.count > MAX_ENTRIES {
            return Err(PayloadError::TableCount { found: table.count, limit: MAX_ENTRIES });
        }
        // At most 64 records of 4 KiB behind a header of 4 KiB: the sum cannot wrap.
        let length = size as usize + table.count as usize * stride as usize;
        let (head, entries) =
            bytes.get(..length).and_then(|table| table.split_at_checked(size as usize)).ok_or(outside)?;
        let (checked, known_end) = head.split_at_checked(CHECKED).ok_or(outside)?;
        let beyond = known_end.get(size_of::<u32>()..).ok_or(outside)?;
        let computed = crc32c(crc32c(crc32c(0, checked), beyond), entries);
        if table.checksum != computed {
            return Err(PayloadError::TableChecksum { stored: table.checksum, computed });
        }
        if table.image_size != header.image_size {
            return Err(PayloadError::TableImageSize { table: table.image_size, header: header.image_size });
        }

        let opened = Self { image, entries, stride: stride as usize, checksum: computed };
        let content_end = opened.check_marker(header.image_size)?;
        opened.check_entries(start + length as u64, content_end)?;
        Ok(opened)
    }

    /// Checks the marker and returns the offset where it begins.
    fn check_marker(&self, image_size: u64) -> Result<u64, PayloadError> {
        let missing = PayloadError::EndMarker { image: image_size };
        let offset = image_size.checked_sub(EndMarker::SIZE).ok_or(missing)?;
        let marker = self.image.get(offset as usize..).ok_or(missing)?;
        let expected = EndMarker::new(image_size, self.checksum);
        if marker == expected.as_bytes() { Ok(offset) } else { Err(missing) }
    }

    /// Checks that the entries lie in order between `start` and `end`, and that their kinds add up.
    fn check_entries(&self, start: u64, end: u64) -> Result<(), PayloadError> {
        let mut free = start;
        let mut seen: u32 = 0;
        for (index, record) in self.records().enumerate() {
            let Some(entry) = load::<Entry>(record) else { continue };
            let index = index as u32;
            if !entry.kind.is_known() {
                if entry.flags.contains(EntryFlags::MUST_UNDERSTAND) {
                    return Err(PayloadError::UnknownKind { index, kind: entry.kind.0 });
                }
            } else {
                entry.check(index)?;
                let bit = 1 << entry.kind.0;
                if entry.kind.is_single() && seen & bit != 0 {
                    return Err(PayloadError::Twice { index, kind: entry.kind });
                }
                seen |= bit;
            }
            let (offset, length) = (entry.offset, entry.length);
            let bounds = PayloadError::EntryBounds { index, offset, length, limit: end };
            let entry_end = offset.checked_add(length).filter(|&entry_end| entry_end <= end).ok_or(bounds)?;
            if offset < free {
                return Err(PayloadError::EntryOverlap { index, offset, length, free });
            }
            // What has pages of its own keeps the last one to itself; the marker may share it.
            free = if entry.kind.owns_pages() { align_up(entry_end, PAGE).ok_or(bounds)? } else { entry_end };
        }
        if seen & 1 << Kind::KERNEL.0 == 0 { Err(PayloadError::NoKernel) } else { Ok(()) }
    }

    /// The bytes of every entry, unknown ones too, in ascending order.
    fn records(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // The stride is at least an entry's size, so each chunk has a whole one at its start.
        self.entries.chunks_exact(self.stride)
    }

    /// The entries that this version knows, in ascending order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let known = |record: &&[u8]| load(record).is_some_and(Kind::is_known);
        self.records().filter(known).filter_map(load)
    }

    /// The entries of a kind, in ascending order.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Entry> + use<'a> {
        self.records_of(kind).filter_map(load)
    }

    fn records_of(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // The kind is what an entry begins with.
        self.records().filter(move |record| load(record) == Some(kind))
    }

    /// The first entry of a kind.
    pub fn find(&self, kind: Kind) -> Option<Entry> {
        load(self.records_of(kind).next()?)
    }

    /// The kernel. There is always one; `None` cannot come from a table that was opened.
    pub fn kernel(&self) -> Option<Entry> {
        self.find(Kind::KERNEL)
    }

    /// An entry's bytes; empty for an entry that is not of this table and lies outside the image.
    pub fn bytes(&self, entry: &Entry) -> &'a [u8] {
        let start = usize::try_from(entry.offset).ok();
        let length = usize::try_from(entry.length).ok();
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        start.zip(end).and_then(|(start, end)| self.image.get(start..end)).unwrap_or_default()
    }

    /// Compares an entry's bytes with its digest. This is what reads them.
    ///
    /// # Errors
    /// [`PayloadError::Digest`] with both values. An entry without a digest is right.
    pub fn verify(&self, entry: &Entry, crc32c: Crc32c) -> Result<(), PayloadError> {
        let Some(stored) = entry.crc32c() else { return Ok(()) };
        let computed = crc32c(0, self.bytes(entry));
        if computed == stored {
            Ok(())
        } else {
            Err(PayloadError::Digest { kind: entry.kind, offset: entry.offset, stored, computed })
        }
    }

    /// The checksum of the table, which the end marker repeats: it names the contents of the image.
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }
}
