//! Why a kernel's note is refused.

use core::fmt;

use super::{MAX_STACK_SIZE, Note};
use crate::contract::{ABI_MAJOR, ABI_MINOR, DIRECT_MAP_WINDOW};

/// A refusal of the kernel's note, with what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// No note named `Handoff` of type 1 in any `PT_NOTE` segment.
    Missing,
    /// More than one such note.
    Several,
    /// A note's sizes reach past the end of its segment.
    Malformed {
        /// Where in the segment's bytes the note begins.
        offset: u64,
        /// Bytes that the segment holds.
        length: u64,
    },
    /// A descriptor without room for ABI 1.0's fields.
    Short {
        /// Its bytes.
        length: u64,
    },
    /// A kernel for another ABI.
    AbiMajor {
        /// Its major version.
        asked: u16,
    },
    /// A kernel that needs a newer minor version of this ABI.
    AbiMinor {
        /// The least that it needs.
        asked: u16,
    },
    /// Required bits that this version does not know.
    Required {
        /// Those bits.
        unknown: u64,
    },
    /// Another granule than 4 KiB.
    Granule {
        /// Its bytes.
        asked: u32,
    },
    /// Other exception levels than EL1 alone.
    ExceptionLevels {
        /// The mask, bit n for ELn.
        asked: u64,
    },
    /// A boot stack above 16 MiB or not of whole pages.
    StackSize {
        /// Its bytes.
        asked: u64,
    },
    /// A direct-map offset outside its window or not a multiple of 1 GiB.
    DirectMapOffset {
        /// The offset.
        asked: u64,
    },
    /// A contiguous alignment that is no power of two from 4 KiB to 1 GiB.
    ContiguousAlignment {
        /// Its bytes.
        asked: u64,
    },
}

impl NoteError {
    /// The stable number of the error: printed as `E` and four decimal digits.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Missing => 301,
            Self::Several => 302,
            Self::Malformed { .. } => 303,
            Self::Short { .. } => 304,
            Self::AbiMajor { .. } => 305,
            Self::AbiMinor { .. } => 306,
            Self::Required { .. } => 307,
            Self::Granule { .. } => 308,
            Self::ExceptionLevels { .. } => 309,
            Self::StackSize { .. } => 310,
            Self::DirectMapOffset { .. } => 311,
            Self::ContiguousAlignment { .. } => 312,
        }
    }
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => f.write_str("the kernel has no Handoff note (PT_NOTE, name Handoff, type 1)"),
            Self::Several => f.write_str("the kernel has more than one Handoff note"),
            Self::Malformed { offset, length } => {
                write!(f, "the note at {offset:#x} reaches past the {length:#x} bytes of its segment")
            }
            Self::Short { length } => {
                write!(f, "the Handoff note holds {length:#x} bytes, ABI 1.0 has {:#x}", Note::SIZE)
            }
            Self::AbiMajor { asked } => {
                write!(f, "the kernel speaks ABI {asked}, this loader ABI {ABI_MAJOR}")
            }
            Self::AbiMinor { asked } => {
                write!(f, "the kernel needs ABI {ABI_MAJOR}.{asked}, this loader has {ABI_MAJOR}.{ABI_MINOR}")
            }
            Self::Required { unknown } => {
                write!(f, "the kernel requires bits that ABI {ABI_MAJOR}.{ABI_MINOR} lacks: {unknown:#x}")
            }
            Self::Granule { asked } => {
                write!(f, "the kernel asks for a granule of {asked:#x} bytes, ABI 1 has 0x1000")
            }
            Self::ExceptionLevels { asked } => {
                write!(f, "the kernel asks for the exception levels {asked:#x}, ABI 1.0 has EL1 alone (0x2)")
            }
            Self::StackSize { asked } => {
                write!(
                    f,
                    "the boot stack of {asked:#x} bytes is no multiple of 0x1000 up to {MAX_STACK_SIZE:#x}"
                )
            }
            Self::DirectMapOffset { asked } => write!(
                f,
                "the direct-map offset {asked:#018x} is no multiple of 0x40000000 in {DIRECT_MAP_WINDOW}"
            ),
            Self::ContiguousAlignment { asked } => {
                write!(f, "the contiguous alignment {asked:#x} is no power of two from 0x1000 to 0x40000000")
            }
        }
    }
}

impl core::error::Error for NoteError {}
