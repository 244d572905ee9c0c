//! Why an operation on an address space was refused. Nothing has been changed then.

use core::fmt;

use crate::frames::FrameError;
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::page_table::TableError;

/// A refusal, with the offending numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceError {
    /// The tables refuse, or there is no memory for more of them.
    Table(TableError),
    /// There is no memory to map, or it cannot be given back.
    Frames(FrameError),
    /// The range is empty or lies outside of what this operation may touch.
    Outside {
        /// The range given.
        range: VirtRange,
        /// Where it has to lie.
        window: VirtRange,
    },
    /// The range holds the page at address 0, which stays unmapped so that a null dereference faults.
    NullPage {
        /// The range given.
        range: VirtRange,
    },
    /// The range touches memory that the kernel runs on.
    Pinned {
        /// The range given.
        range: VirtRange,
        /// The pinned range that it touches.
        pinned: VirtRange,
    },
    /// No more ranges can be pinned.
    TooManyPinned {
        /// The range given.
        range: VirtRange,
    },
    /// The space is in use by a CPU.
    Active {
        /// The CPU's number.
        cpu: usize,
    },
    /// There is no such CPU.
    NoSuchCpu {
        /// The number given.
        cpu: usize,
    },
    /// Every ASID is in use by a CPU.
    NoAsid,
    /// Memory is not aligned to its size at this address.
    Misaligned {
        /// The address.
        at: VirtAddr,
        /// The block's size in bytes.
        size: u64,
    },
}

impl SpaceError {
    /// The stable code; those of tables and frames keep theirs.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Table(error) => error.code(),
            Self::Frames(error) => error.code(),
            Self::Outside { .. } => 941,
            Self::NullPage { .. } => 942,
            Self::Pinned { .. } => 943,
            Self::TooManyPinned { .. } => 944,
            Self::Active { .. } => 945,
            Self::NoSuchCpu { .. } => 946,
            Self::NoAsid => 947,
            Self::Misaligned { .. } => 948,
        }
    }
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Frames(error) => error.fmt(f),
            Self::Outside { range, window } => write!(f, "{range} is empty or not inside {window}"),
            Self::NullPage { range } => write!(f, "{range} holds the null page"),
            Self::Pinned { range, pinned } => write!(f, "{range} touches {pinned}, which the kernel runs on"),
            Self::TooManyPinned { range } => write!(f, "{range} cannot be pinned: too many ranges are"),
            Self::Active { cpu } => write!(f, "CPU {cpu:#x} runs in the address space"),
            Self::NoSuchCpu { cpu } => write!(f, "there is no CPU {cpu:#x}"),
            Self::NoAsid => f.write_str("every ASID is in use"),
            Self::Misaligned { at, size } => write!(f, "{at} is not a multiple of {size:#x}"),
        }
    }
}

impl core::error::Error for SpaceError {}

impl From<TableError> for SpaceError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<FrameError> for SpaceError {
    fn from(error: FrameError) -> Self {
        Self::Frames(error)
    }
}
