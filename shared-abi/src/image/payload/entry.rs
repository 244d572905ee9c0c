//! One entry of the payload table.

use core::fmt;

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::PayloadError;
use crate::addr::PAGE;
use crate::crc32c::Crc32c;
use crate::memory::RegionKind;

/// Digest kind: none.
pub const NO_DIGEST: u32 = 0;

/// Digest kind: CRC-32C, the first four bytes of the digest, little-endian.
pub const CRC32C: u32 = 1;

/// What an entry's bytes are. The numbers are ABI and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Kind(pub u32);

/// How many entries of a kind an image may have. Exactly one kernel: [`super::PayloadTable`] sees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// At most one.
    One,
    /// Any number.
    Many,
}

/// How an entry's bytes lie in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// From the beginning of a page, sharing none: its pages get rights or an owner of their own.
    Pages,
    /// At a multiple of 8, close to its neighbours.
    Packed,
}

/// What a kind is: one row of the table below.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    count: Count,
    place: Place,
    region: Option<RegionKind>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+
        $constant:ident = $number:literal, $name:literal, $count:ident, $place:ident, $region:expr;)*) => {
        impl Kind {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($number);)*

            /// All kinds that this version knows, with what they are.
            pub const ALL: &[(Self, &str)] = &[$((Self::$constant, concat!($($doc),+)),)*];

            const fn row(self) -> Option<Row> {
                let row = match self.0 {
                    $($number => {
                        Row { name: $name, count: Count::$count, place: Place::$place, region: $region }
                    })*
                    _ => return None,
                };
                Some(row)
            }
        }

        // A table's reader keeps what it has seen as bits.
        const _: () = assert!($($number < u32::BITS)&&*);
    };
}

kinds! {
    /// The kernel's ELF file: exactly one.
    KERNEL = 1, "kernel", One, Pages, None;
    /// Any file for the kernel.
    MODULE = 2, "module", Many, Pages, Some(RegionKind::MODULE);
    /// UTF-8 without NUL: the kernel gets it in front of what firmware passes, with a space between.
    COMMAND_LINE = 3, "command line", One, Packed, None;
    /// A flattened device tree for where firmware passes none.
    DEVICE_TREE = 4, "device tree", One, Packed, Some(RegionKind::DEVICE_TREE);
    /// The kernel's compact symbol table.
    SYMBOLS = 5, "symbols", One, Packed, Some(RegionKind::MODULE);
    /// Entropy in place of the machine's, to repeat a boot.
    ENTROPY_SEED = 6, "entropy seed", One, Packed, None;
    /// The loader's compact symbol table.
    LOADER_SYMBOLS = 7, "loader symbols", One, Packed, None;
}

impl Kind {
    /// The kind's name in reports; `None` for one that this version does not know.
    pub const fn name(self) -> Option<&'static str> {
        match self.row() {
            Some(row) => Some(row.name),
            None => None,
        }
    }

    /// Whether this version knows the kind.
    pub const fn is_known(self) -> bool {
        self.row().is_some()
    }

    /// Whether an image may have at most one. True of a kind that is not known, of which nobody asks.
    pub const fn is_single(self) -> bool {
        !matches!(self.row(), Some(Row { count: Count::Many, .. }))
    }

    /// Whether it begins on a page and shares none.
    pub const fn owns_pages(self) -> bool {
        matches!(self.row(), Some(Row { place: Place::Pages, .. }))
    }

    /// What the memory map lists its pages as once the kernel is entered; `None` if they are only the loader's. A
    /// kernel's are listed by what becomes of them.
    pub const fn region(self) -> Option<RegionKind> {
        match self.row() {
            Some(row) => row.region,
            None => None,
        }
    }

    /// What its offset is a multiple of, in bytes.
    pub const fn alignment(self) -> u64 {
        if self.owns_pages() { PAGE } else { 8 }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "unknown kind {}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a reader is to take an entry. Unknown bits are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct EntryFlags(pub u32);

bitflags! {
    impl EntryFlags: u32 {
        /// A reader that does not know the kind refuses the image.
        const MUST_UNDERSTAND = 1 << 0;
    }
}

/// One entry as it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// What the bytes are.
    pub kind: Kind,
    /// For a kernel the protocol that it is entered by; 0 is ours, the only one that is served.
    pub protocol: u32,
    /// How to take the entry.
    pub flags: EntryFlags,
    /// [`NO_DIGEST`] or [`CRC32C`].
    pub digest_kind: u32,
    /// The name, UTF-8, filled up with NULs of which there is at least one.
    pub name: [u8; 32],
    /// Where the bytes begin, from the image's first byte.
    pub offset: u64,
    /// How many there are; at least one.
    pub length: u64,
    /// The digest, filled up with zeros.
    pub digest: [u8; 32],
}

const _: () = assert!(size_of::<Entry>() == 96 && align_of::<Entry>() == 8);
const _: () = assert!(core::mem::offset_of!(Entry, kind) == 0);

/// A name as the table holds it; `None` for one of more than 31 bytes or with a NUL in it.
pub const fn name_field(name: &str) -> Option<[u8; 32]> {
    let bytes = name.as_bytes();
    let mut field = [0; 32];
    if bytes.len() >= field.len() {
        return None;
    }
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            return None;
        }
        field[at] = bytes[at];
        at += 1;
    }
    Some(field)
}

impl Entry {
    /// An entry without digest and flags.
    pub const fn new(kind: Kind, name: [u8; 32], offset: u64, length: u64) -> Self {
        Self {
            kind,
            protocol: 0,
            flags: EntryFlags::empty(),
            digest_kind: NO_DIGEST,
            name,
            offset,
            length,
            digest: [0; 32],
        }
    }

    /// The same entry with the CRC-32C of its `bytes`.
    pub fn with_crc32c(mut self, bytes: &[u8], crc32c: Crc32c) -> Self {
        self.digest_kind = CRC32C;
        self.digest = [0; 32];
        if let Some(field) = self.digest.first_chunk_mut() {
            *field = crc32c(0, bytes).to_le_bytes();
        }
        self
    }

    /// The name; empty if the field holds none that is valid.
    pub fn name(&self) -> &str {
        self.checked_name().unwrap_or_default()
    }

    /// The digest if it is a CRC-32C.
    pub fn crc32c(&self) -> Option<u32> {
        let field = self.digest.first_chunk().filter(|_| self.digest_kind == CRC32C)?;
        Some(u32::from_le_bytes(*field))
    }

    fn checked_name(&self) -> Option<&str> {
        let length = self.name.iter().position(|&byte| byte == 0)?;
        let (name, filler) = self.name.split_at_checked(length)?;
        if filler.iter().any(|&byte| byte != 0) { None } else { core::str::from_utf8(name).ok() }
    }

    /// What of an entry of known kind can be checked without the others.
    pub(super) fn check(&self, index: u32) -> Result<(), PayloadError> {
        if self.protocol != 0 {
            return Err(PayloadError::Protocol { index, protocol: self.protocol });
        }
        if self.digest_kind > CRC32C {
            return Err(PayloadError::DigestKind { index, kind: self.digest_kind });
        }
        if self.checked_name().is_none() {
            return Err(PayloadError::Name { index });
        }
        if self.length == 0 {
            return Err(PayloadError::Empty { index, kind: self.kind });
        }
        if !self.offset.is_multiple_of(self.kind.alignment()) {
            return Err(PayloadError::Unaligned {
                index,
                offset: self.offset,
                alignment: self.kind.alignment(),
            });
        }
        Ok(())
    }
}
