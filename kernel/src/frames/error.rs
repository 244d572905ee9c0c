//! What the frame allocator refuses. A refusal changes nothing.

use super::Order;
use core::fmt;
use shared_abi::addr::{Frame, PhysRange};
use shared_abi::memory::RegionKind;

/// Why a request was refused. Frames are physical frame numbers, lengths are counted in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No aligned block of this order is free.
    OutOfFrames {
        /// The order asked for.
        order: Order,
        /// Frames that are free, in smaller blocks.
        free: u64,
    },
    /// No free run of this length begins at such a boundary.
    NoRun {
        /// Frames asked for.
        frames: u64,
        /// The alignment asked for.
        alignment: Order,
        /// Frames that are free, in shorter runs.
        free: u64,
    },
    /// A length of 0, or one that leaves the physical address space.
    BadLength {
        /// The first frame, 0 for a request that names none.
        frame: Frame,
        /// The length given.
        frames: u64,
    },
    /// A block of this order cannot begin at this frame.
    Misaligned {
        /// The frame given.
        frame: Frame,
        /// The order given.
        order: Order,
        /// The frame at which the block of that order that holds `frame` would begin.
        first: Frame,
    },
    /// The frame is no memory that was ever given to the allocator.
    Foreign {
        /// The first frame of the request.
        frame: Frame,
        /// The first frame in it that is foreign.
        at: Frame,
    },
    /// The memory is reserved and was not handed out.
    Reserved {
        /// The first frame of the request.
        frame: Frame,
        /// The first frame in it that is reserved.
        at: Frame,
        /// The kind of the region that `at` lies in.
        kind: RegionKind,
    },
    /// The memory is free already: a double free, or the release of what was not reserved.
    AlreadyFree {
        /// The first frame of the request.
        frame: Frame,
        /// The first frame in it that is free.
        at: Frame,
    },
    /// The memory is allocated, but as another block.
    WrongBlock {
        /// The first frame given.
        frame: Frame,
        /// The length given.
        frames: u64,
        /// The first frame of the block that is allocated there.
        first: Frame,
        /// The length of that block.
        length: u64,
    },
    /// A kind that the contract never gives to the kernel, or that it has from the start.
    NotReclaimable {
        /// The kind asked for.
        kind: RegionKind,
    },
    /// A kind that was taken back before.
    AlreadyReclaimed {
        /// The kind asked for.
        kind: RegionKind,
    },
    /// A region of the memory map is not page-aligned, or does not begin after the one before it.
    BadRegion {
        /// The region.
        region: PhysRange,
        /// Its kind.
        kind: RegionKind,
    },
    /// No free region can hold the allocator's own tables.
    NoRoom {
        /// Frames that the tables need, one after the other.
        frames: u64,
        /// The longest free region.
        longest: u64,
    },
}

impl FrameError {
    /// The stable code that reports print in front of the message.
    pub const fn code(&self) -> u16 {
        match self {
            Self::OutOfFrames { .. } => 901,
            Self::NoRun { .. } => 902,
            Self::BadLength { .. } => 903,
            Self::Misaligned { .. } => 904,
            Self::Foreign { .. } => 905,
            Self::Reserved { .. } => 906,
            Self::AlreadyFree { .. } => 907,
            Self::WrongBlock { .. } => 908,
            Self::NotReclaimable { .. } => 909,
            Self::AlreadyReclaimed { .. } => 910,
            Self::BadRegion { .. } => 911,
            Self::NoRoom { .. } => 912,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfFrames { order, free } => {
                write!(f, "no block of {order} ({:#x} bytes) is free; {free:#x} frames are", order.bytes())
            }
            Self::NoRun { frames, alignment, free } => write!(
                f,
                "no run of {frames:#x} frames aligned to {:#x} bytes is free; {free:#x} frames are",
                alignment.bytes()
            ),
            Self::BadLength { frame, frames } => {
                write!(f, "{frames:#x} frames at {} are none or too many", frame.start())
            }
            Self::Misaligned { frame, order, first } => write!(
                f,
                "{} begins no block of {order}; the one that holds it begins at {}",
                frame.start(),
                first.start()
            ),
            Self::Foreign { frame, at } => {
                write!(f, "the request at {} names {}, which is not managed", frame.start(), at.start())
            }
            Self::Reserved { frame, at, kind } => {
                write!(f, "the request at {} names {}, which is reserved ({kind})", frame.start(), at.start())
            }
            Self::AlreadyFree { frame, at } => {
                write!(f, "the request at {} names {}, which is free already", frame.start(), at.start())
            }
            Self::WrongBlock { frame, frames, first, length } => write!(
                f,
                "{frames:#x} frames at {} are not what was allocated: {length:#x} frames at {}",
                frame.start(),
                first.start()
            ),
            Self::NotReclaimable { kind } => write!(f, "memory of kind {kind} is not the kernel's to take"),
            Self::AlreadyReclaimed { kind } => write!(f, "memory of kind {kind} was taken back before"),
            Self::BadRegion { region, kind } => {
                write!(
                    f,
                    "the region {region} ({kind}) is misaligned, out of order or overlaps its predecessor"
                )
            }
            Self::NoRoom { frames, longest } => write!(
                f,
                "the frame tables need {frames:#x} frames in one piece; the longest free region has {longest:#x}"
            ),
        }
    }
}

impl core::error::Error for FrameError {}
