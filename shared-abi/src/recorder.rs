//! The flight recorder: what a kernel notes in memory that survives a reset, for the boot after it.
//!
//! ```text
//! region of kind "recorder"
//! ├ recorder A, 64 KiB ──────────────────┬ recorder B, 64 KiB ─────────────────┐
//! │ header │ entry │ entry │ … 511 in all │ header │ entry │ entry │ …           │
//! ```
//!
//! One of the two is this boot's, the other the last boot's, and each boot takes the older one. An entry lies at its
//! sequence number modulo the number of entries, and has a checksum of its own: it is whole or it is none, whenever the
//! machine stops, and writers on several CPUs need nothing in common but the next number. Nothing that is read here is
//! trusted: RAM that was without power holds anything.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::crc32c::Crc32c;
use crate::wire::load;

/// The first bytes of a recorder.
pub const MAGIC: [u8; 8] = *b"RECORDER";

/// The version of the layout; readers refuse another.
pub const VERSION: u16 = 1;

/// Bytes of a recorder.
pub const LENGTH: usize = 64 << 10;

/// Entries of a recorder.
pub const ENTRIES: usize = (LENGTH - size_of::<Header>()) / size_of::<Entry>();

/// Bytes of text that an entry has room for.
pub const TEXT: usize = 96;

/// [`Entry::flags`]: the text goes on in the next entry of the same CPU.
pub const GOES_ON: u16 = 1;

/// A recorder's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u16,
    /// Bytes of this header.
    pub header_size: u16,
    /// Bytes of an entry.
    pub entry_size: u16,
    /// Entries behind the header.
    pub entry_count: u16,
    /// The number of the boot, 1 for the first that found no recorder.
    pub boot: u64,
    /// Ticks of the system counter in a second, 0 if that is not known.
    pub timer_frequency: u64,
    /// 0.
    pub reserved: [u64; 11],
    /// 0.
    pub reserved_end: u32,
    /// CRC-32C of the header's bytes before this.
    pub checksum: u32,
}

/// What was noted at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// Its number, from 1 on; it lies at this modulo the entries.
    pub sequence: u64,
    /// The system counter (CNTVCT_EL0).
    pub ticks: u64,
    /// MPIDR_EL1's affinity fields of the CPU that noted it.
    pub mpidr: u64,
    /// Bytes of its text.
    pub length: u16,
    /// Bit 0: the text goes on in the next entry of the same CPU.
    pub flags: u16,
    /// CRC-32C of the entry without these four bytes.
    pub checksum: u32,
    /// The text, UTF-8; a character may be cut where it goes on.
    pub text: [u8; TEXT],
}

const _: () = assert!(size_of::<Header>() == 128 && size_of::<Entry>() == 128 && ENTRIES == 511);

impl Header {
    /// Bytes before the checksum.
    const SEALED: usize = size_of::<Self>() - size_of::<u32>();

    /// The header of the recorder that `boot` begins.
    #[inline(never)]
    pub fn new(boot: u64, timer_frequency: u64, crc32c: Crc32c) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION,
            header_size: size_of::<Self>() as u16,
            entry_size: size_of::<Entry>() as u16,
            entry_count: ENTRIES as u16,
            boot,
            timer_frequency,
            reserved: [0; 11],
            reserved_end: 0,
            checksum: 0,
        };
        header.checksum = header.sum(crc32c);
        header
    }

    /// The header at the start of `bytes`, if there is one that this version reads.
    // Apart, as `new` is: a loader calls it twice, and is small.
    #[inline(never)]
    pub fn read(bytes: &[u8], crc32c: Crc32c) -> Option<Self> {
        let header: Self = load(bytes)?;
        let is_read = header.magic == MAGIC
            && header.version == VERSION
            && usize::from(header.header_size) == size_of::<Self>()
            && usize::from(header.entry_size) == size_of::<Entry>()
            && usize::from(header.entry_count) == ENTRIES
            && header.checksum == header.sum(crc32c);
        is_read.then_some(header)
    }

    fn sum(&self, crc32c: Crc32c) -> u32 {
        crc32c(0, self.as_bytes().get(..Self::SEALED).unwrap_or_default())
    }
}

impl Entry {
    /// An entry with as much of `text` as it has room for.
    pub fn new(sequence: u64, ticks: u64, mpidr: u64, text: &[u8], goes_on: bool, crc32c: Crc32c) -> Self {
        let length = text.len().min(TEXT);
        let flags = if goes_on { GOES_ON } else { 0 };
        let mut entry =
            Self { sequence, ticks, mpidr, length: length as u16, flags, checksum: 0, text: [0; TEXT] };
        for (to, from) in entry.text.iter_mut().zip(text) {
            *to = *from;
        }
        entry.checksum = entry.sum(crc32c);
        entry
    }

    /// Which of the entries it is.
    pub const fn index(sequence: u64) -> usize {
        (sequence % ENTRIES as u64) as usize
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or(&self.text)
    }

    /// Whether the text goes on in the next entry of the same CPU.
    pub const fn goes_on(&self) -> bool {
        self.flags & GOES_ON != 0
    }

    fn sum(&self, crc32c: Crc32c) -> u32 {
        const SUM: usize = core::mem::offset_of!(Entry, checksum);
        let bytes = self.as_bytes();
        let (front, back) = (bytes.get(..SUM), bytes.get(SUM + size_of::<u32>()..));
        crc32c(crc32c(0, front.unwrap_or_default()), back.unwrap_or_default())
    }
}

/// A recorder that was found. Holding one proves that its header is good; each entry is judged as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    header: Header,
    entries: &'a [u8],
    crc32c: Crc32c,
}

impl<'a> Recording<'a> {
    /// The recorder at the start of `bytes`; `None` if none is there.
    pub fn open(bytes: &'a [u8], crc32c: Crc32c) -> Option<Self> {
        let header = Header::read(bytes, crc32c)?;
        Some(Self { header, entries: bytes.get(size_of::<Header>()..LENGTH)?, crc32c })
    }

    /// The number of the boot that wrote it.
    pub const fn boot(&self) -> u64 {
        self.header.boot
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The entries that are there, the oldest first; what is damaged is left out.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let recording = *self;
        let all = (0..ENTRIES).filter_map(move |index| recording.entry(index));
        let newest = all.map(|entry| entry.sequence).max().unwrap_or(0);
        let oldest = newest.saturating_sub(ENTRIES as u64 - 1).max(1);
        let wanted = oldest..newest.saturating_add(1);
        wanted.filter_map(move |sequence| {
            recording.entry(Entry::index(sequence)).filter(|entry| entry.sequence == sequence)
        })
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        let entry: Entry = load(self.entries.get(index * size_of::<Entry>()..)?)?;
        let is_whole = entry.sequence != 0
            && Entry::index(entry.sequence) == index
            && usize::from(entry.length) <= TEXT
            && entry.checksum == entry.sum(self.crc32c);
        is_whole.then_some(entry)
    }
}

/// What becomes of two recorders that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which one this boot writes: 0 or 1.
    pub current: usize,
    /// Whether the other one is the last boot's.
    pub has_last: bool,
    /// The number of this boot.
    pub boot: u64,
}

impl Turn {
    /// Whose turn it is, by what is in memory.
    pub fn of(bytes: &[u8], crc32c: Crc32c) -> Self {
        let boot = |at| Some(Header::read(bytes.get(at..)?, crc32c)?.boot);
        let (last, number) = match (boot(0), boot(LENGTH)) {
            (None, None) => return Self { current: 0, has_last: false, boot: 1 },
            (Some(first), Some(second)) if second > first => (1, second),
            (Some(first), _) => (0, first),
            (None, Some(second)) => (1, second),
        };
        Self { current: 1 - last, has_last: true, boot: number.wrapping_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use proptest::prelude::*;

    use super::*;
    use crate::crc32c::crc32c;

    fn begin(bytes: &mut [u8], boot: u64) {
        bytes[..LENGTH].fill(0);
        bytes[..size_of::<Header>()].copy_from_slice(Header::new(boot, 1000, crc32c).as_bytes());
    }

    fn note(bytes: &mut [u8], sequence: u64, text: &str) {
        let at = size_of::<Header>() + Entry::index(sequence) * size_of::<Entry>();
        let entry = Entry::new(sequence, 10 * sequence, 0, text.as_bytes(), false, crc32c);
        bytes[at..at + size_of::<Entry>()].copy_from_slice(entry.as_bytes());
    }

    fn sequences(bytes: &[u8]) -> Vec<u64> {
        Recording::open(bytes, crc32c).unwrap().entries().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn the_newest_entries_are_read_in_order() {
        let mut bytes = vec![0; LENGTH];
        begin(&mut bytes, 7);
        assert_eq!(sequences(&bytes), [] as [u64; 0]);
        for sequence in 1..=600 {
            note(&mut bytes, sequence, "a text");
        }
        assert_eq!(sequences(&bytes), (90..=600).collect::<Vec<_>>());
        let recording = Recording::open(&bytes, crc32c).unwrap();
        let last = recording.entries().last().unwrap();
        assert_eq!((recording.boot(), last.text(), last.ticks), (7, &b"a text"[..], 6000));
    }

    #[test]
    fn the_turns_change_and_the_newest_is_the_last() {
        let mut bytes = vec![0xAA; 2 * LENGTH];
        for (boot, current) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
            let turn = Turn::of(&bytes, crc32c);
            assert_eq!(turn, Turn { current, has_last: boot > 1, boot });
            begin(&mut bytes[current * LENGTH..], boot);
        }
        assert_eq!(Turn::of(&bytes[..LENGTH], crc32c), Turn { current: 1, has_last: true, boot: 4 });
        assert_eq!(Turn::of(&[], crc32c), Turn { current: 0, has_last: false, boot: 1 });
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        let entry = Entry::new(1, 0, 0, &[b'x'; 200], true, crc32c);
        assert_eq!((entry.text(), entry.goes_on()), (&[b'x'; TEXT][..], true));
    }

    proptest! {
        /// One changed bit costs the entry that it is in, or all if it is in the header; nothing else.
        #[test]
        fn damage_costs_what_it_hits(bit in 0..LENGTH * 8) {
            let mut bytes = vec![0; LENGTH];
            begin(&mut bytes, 1);
            (1..=511).for_each(|sequence| note(&mut bytes, sequence, "text"));
            let before = sequences(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
            match (bit / 8).checked_sub(size_of::<Header>()) {
                None => prop_assert!(Recording::open(&bytes, crc32c).is_none()),
                Some(at) => {
                    let hit = at / size_of::<Entry>();
                    let left: Vec<_> = before.into_iter().filter(|sequence| Entry::index(*sequence) != hit).collect();
                    prop_assert_eq!(sequences(&bytes), left);
                }
            }
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..600), is_sealed: bool) {
            let mut memory = bytes;
            memory.resize(LENGTH, 0);
            if is_sealed {
                memory[..size_of::<Header>()].copy_from_slice(Header::new(u64::MAX, 0, crc32c).as_bytes());
            }
            let count = Recording::open(&memory, crc32c).map(|recording| recording.entries().count());
            prop_assert_eq!(count, is_sealed.then_some(0));
            let _ = Turn::of(&memory, crc32c);
        }
    }

    #[test]
    fn the_written_contract_has_both_layouts() {
        macro_rules! rows {
            ($type:ident: $($field:ident, $size:literal;)*) => {
                [$((offset_of!($type, $field), $size, stringify!($field))),*]
            };
        }
        let header = rows!(Header: magic, 8; version, 2; header_size, 2; entry_size, 2; entry_count, 2; boot, 8;
            timer_frequency, 8; reserved, 88; reserved_end, 4; checksum, 4;);
        let entry =
            rows!(Entry: sequence, 8; ticks, 8; mpidr, 8; length, 2; flags, 2; checksum, 4; text, 96;);
        let page = include_str!("../../docs/contract.md");
        for rows in [&header[..], &entry[..]] {
            let mut end = 0;
            for (offset, size, name) in rows {
                assert_eq!(*offset, end, "{name}");
                end += size;
                let row = format!("| {offset} | {size} | `{name}` |");
                assert!(page.contains(&row), "docs/contract.md ought to say: {row}");
            }
            assert_eq!(end, 128);
        }
    }
}
