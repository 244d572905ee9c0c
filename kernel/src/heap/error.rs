//! What can go wrong in the heap, with the sizes and addresses that say why.

use core::fmt;

/// An allocation that could not be served, or a block that could not be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeapError {
    /// No memory even after everything unused was given back.
    Exhausted {
        /// Bytes asked for.
        size: usize,
        /// Their alignment.
        align: usize,
        /// Bytes that the heap has mapped.
        mapped: usize,
        /// Bytes of frames that were free when mapping more was refused.
        free: u64,
    },
    /// More than the heap's window can ever hold.
    TooLarge {
        /// Bytes asked for.
        size: usize,
        /// Their alignment.
        align: usize,
        /// Bytes of the window that large blocks share.
        window: usize,
    },
    /// The window is too small to be divided, or the heap has been started before.
    CannotStart {
        /// Bytes of the window.
        window: u64,
    },
    /// The heap has not been started.
    NotStarted {
        /// Bytes asked for.
        size: usize,
    },
    /// No block of this heap begins at this address, or it has been freed.
    NotABlock {
        /// The address.
        address: usize,
    },
    /// The size given back is not the one that was asked for.
    WrongSize {
        /// The block.
        address: usize,
        /// Bytes that it was allocated with.
        allocated: usize,
        /// Bytes that were given with it now.
        given: usize,
    },
    /// The block has been freed before (checking mode).
    DoubleFree {
        /// The block.
        address: usize,
        /// Bytes that it was allocated with.
        size: usize,
    },
    /// Bytes before or after the block were overwritten (checking mode).
    RedZone {
        /// The block.
        address: usize,
        /// Bytes that it was allocated with.
        size: usize,
        /// The first damaged byte.
        damaged: usize,
    },
    /// A freed block was written to (checking mode).
    WriteAfterFree {
        /// The block.
        address: usize,
        /// Bytes that it was allocated with.
        size: usize,
        /// The first damaged byte.
        damaged: usize,
    },
}

impl HeapError {
    /// The stable code in reports.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Exhausted { .. } => 921,
            Self::TooLarge { .. } => 922,
            Self::CannotStart { .. } => 923,
            Self::NotABlock { .. } => 924,
            Self::WrongSize { .. } => 925,
            Self::DoubleFree { .. } => 926,
            Self::RedZone { .. } => 927,
            Self::WriteAfterFree { .. } => 928,
            Self::NotStarted { .. } => 929,
        }
    }
}

impl fmt::Display for HeapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exhausted { size, align, mapped, free } => write!(
                f,
                "the heap cannot get {size:#x} bytes aligned to {align:#x}: {mapped:#x} are mapped, {free:#x} \
                 bytes of frames are free"
            ),
            Self::TooLarge { size, align, window } => {
                write!(
                    f,
                    "{size:#x} bytes aligned to {align:#x} do not fit the heap's window of {window:#x} bytes"
                )
            }
            Self::CannotStart { window } => {
                write!(f, "the heap cannot start in a window of {window:#x} bytes, or has been started")
            }
            Self::NotStarted { size } => {
                write!(f, "{size:#x} bytes were asked of the heap before it was started")
            }
            Self::NotABlock { address } => write!(f, "no block of the heap begins at {address:#018x}"),
            Self::WrongSize { address, allocated, given } => {
                write!(
                    f,
                    "block {address:#018x} was allocated with {allocated:#x} bytes and given back as {given:#x}"
                )
            }
            Self::DoubleFree { address, size } => {
                write!(f, "block {address:#018x} of {size:#x} bytes was freed twice")
            }
            Self::RedZone { address, size, damaged } => {
                write!(
                    f,
                    "block {address:#018x} of {size:#x} bytes was left: byte {damaged:#018x} is overwritten"
                )
            }
            Self::WriteAfterFree { address, size, damaged } => write!(
                f,
                "block {address:#018x} of {size:#x} bytes was written to after it was freed, at {damaged:#018x}"
            ),
        }
    }
}

impl core::error::Error for HeapError {}
