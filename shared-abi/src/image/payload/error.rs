//! What is wrong with a payload.

use core::fmt;

use super::{Kind, MAX_ENTRIES};
use crate::image::header::IMAGE_VERSION;

/// A payload table, end marker or entry that cannot be used. Entries are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// The file or memory ends before the image does.
    Truncated {
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes that are there.
        length: u64,
    },
    /// The table reaches past the image.
    TableBounds {
        /// Where it begins.
        offset: u64,
        /// Bytes of the image.
        image: u64,
    },
    /// There is no table where the header says.
    TableMagic {
        /// Where it was looked for.
        offset: u64,
        /// The eight bytes that were found, little-endian.
        found: u64,
    },
    /// A table of another version.
    TableVersion {
        /// Its version.
        found: u32,
    },
    /// A table header or entries of impossible size.
    TableRecords {
        /// Bytes of the header.
        header: u32,
        /// Bytes from one entry to the next.
        stride: u32,
    },
    /// More entries than the limit.
    TableCount {
        /// How many.
        found: u32,
    },
    /// The table was damaged.
    TableChecksum {
        /// As written.
        stored: u32,
        /// As the bytes have it.
        computed: u32,
    },
    /// Table and header disagree on the image's size: they are not of one image.
    TableImageSize {
        /// As the table has it.
        table: u64,
        /// As the header has it.
        header: u64,
    },
    /// No end marker, or that of another image: the image was cut short or overwritten.
    EndMarker {
        /// Bytes of the image, which the marker closes.
        image: u64,
    },
    /// An entry of unknown kind that must be understood.
    UnknownKind {
        /// The entry.
        index: u32,
        /// Its kind's number.
        kind: u32,
    },
    /// A kernel of another protocol than ours.
    Protocol {
        /// The entry.
        index: u32,
        /// Its protocol's number.
        protocol: u32,
    },
    /// A digest that this version cannot verify.
    DigestKind {
        /// The entry.
        index: u32,
        /// The digest's number.
        kind: u32,
    },
    /// A name that is not UTF-8 filled up with NULs.
    Name {
        /// The entry.
        index: u32,
    },
    /// An entry without bytes.
    Empty {
        /// The entry.
        index: u32,
        /// What it is.
        kind: Kind,
    },
    /// An entry that begins where its kind must not.
    Unaligned {
        /// The entry.
        index: u32,
        /// Where it begins.
        offset: u64,
        /// What that should be a multiple of.
        alignment: u64,
    },
    /// A second entry of a kind that there is one of.
    Twice {
        /// The later entry.
        index: u32,
        /// What both are.
        kind: Kind,
    },
    /// An entry that reaches past the end marker's begin.
    EntryBounds {
        /// The entry.
        index: u32,
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        length: u64,
        /// Where the end marker begins.
        limit: u64,
    },
    /// An entry that overlaps the table or the entry before it, or a page that belongs to that one.
    EntryOverlap {
        /// The entry.
        index: u32,
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        length: u64,
        /// Where it could begin at the earliest.
        free: u64,
    },
    /// No kernel.
    NoKernel,
    /// An entry whose bytes were damaged.
    Digest {
        /// What it is.
        kind: Kind,
        /// Where it begins.
        offset: u64,
        /// The digest as written.
        stored: u32,
        /// As the bytes have it.
        computed: u32,
    },
}

impl PayloadError {
    /// The stable number of the error: printed as `E` and four decimal digits.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Truncated { .. } => 120,
            Self::TableBounds { .. } => 121,
            Self::TableMagic { .. } => 122,
            Self::TableVersion { .. } => 123,
            Self::TableRecords { .. } => 124,
            Self::TableCount { .. } => 125,
            Self::TableChecksum { .. } => 126,
            Self::TableImageSize { .. } => 127,
            Self::EndMarker { .. } => 128,
            Self::UnknownKind { .. } => 130,
            Self::Protocol { .. } => 131,
            Self::DigestKind { .. } => 132,
            Self::Name { .. } => 133,
            Self::Empty { .. } => 134,
            Self::Unaligned { .. } => 135,
            Self::Twice { .. } => 136,
            Self::EntryBounds { .. } => 137,
            Self::EntryOverlap { .. } => 138,
            Self::NoKernel => 139,
            Self::Digest { .. } => 140,
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, length } => {
                write!(f, "the image is cut short: {length:#x} of {expected:#x} bytes are there")
            }
            Self::TableBounds { offset, image } => {
                write!(f, "the payload table at {offset:#x} reaches past the image of {image:#x} bytes")
            }
            Self::TableMagic { offset, found } => {
                write!(f, "no payload table at {offset:#x}: its magic is {found:#018x}")
            }
            Self::TableVersion { found } => {
                write!(f, "the payload table has version {found:#x}, this reader {IMAGE_VERSION:#x}")
            }
            Self::TableRecords { header, stride } => {
                write!(
                    f,
                    "the payload table's header of {header:#x} or entries of {stride:#x} bytes cannot be"
                )
            }
            Self::TableCount { found } => {
                write!(f, "the payload table has {found:#x} entries, at most {MAX_ENTRIES:#x} are served")
            }
            Self::TableChecksum { stored, computed } => {
                write!(f, "the payload table is damaged: checksum {computed:#010x}, stored {stored:#010x}")
            }
            Self::TableImageSize { table, header } => {
                write!(f, "the payload table is of an image of {table:#x} bytes, the header of {header:#x}")
            }
            Self::EndMarker { image } => {
                write!(f, "the image is cut short: no end marker closes its {image:#x} bytes")
            }
            Self::UnknownKind { index, kind } => {
                write!(f, "payload entry {index} must be understood, but its kind {kind:#x} is not known")
            }
            Self::Protocol { index, protocol } => {
                write!(f, "payload entry {index} asks for the protocol {protocol:#x}, only 0x0 is served")
            }
            Self::DigestKind { index, kind } => {
                write!(f, "payload entry {index} has a digest of the unknown kind {kind:#x}")
            }
            Self::Name { index } => {
                write!(f, "payload entry {index} has a name that is not UTF-8 filled up with NULs")
            }
            Self::Empty { index, kind } => write!(f, "payload entry {index}, a {kind}, is empty"),
            Self::Unaligned { index, offset, alignment } => {
                write!(f, "payload entry {index} begins at {offset:#x}, no multiple of {alignment:#x}")
            }
            Self::Twice { index, kind } => write!(f, "payload entry {index} is a second {kind}"),
            Self::EntryBounds { index, offset, length, limit } => {
                write!(f, "payload entry {index} of {length:#x} bytes at {offset:#x} reaches past {limit:#x}")
            }
            Self::EntryOverlap { index, offset, length, free } => write!(
                f,
                "payload entry {index} of {length:#x} bytes at {offset:#x} overlaps what lies before {free:#x}"
            ),
            Self::NoKernel => f.write_str("the image holds no kernel"),
            Self::Digest { kind, offset, stored, computed } => write!(
                f,
                "the {kind} at {offset:#x} of the image is damaged: digest {computed:#010x}, stored {stored:#010x}"
            ),
        }
    }
}

impl core::error::Error for PayloadError {}
