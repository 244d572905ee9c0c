//! What the frame allocator refuses. A refusal changes nothing.

use super::Order;
use shared_abi::addr::{Frame, PhysRange};
use shared_abi::errors;
use shared_abi::memory::RegionKind;

errors! {
    /// Why a request was refused. Frames are physical frame numbers, lengths are counted in frames.
    pub enum FrameError, found by "the frame allocator";

    /// No aligned block of the order is free.
    901 OutOfFrames {
        order: Order = "The order asked for.", free: u64 = "Frames that are free, in smaller blocks.",
    }
        => "no block of {order} ({:#x} bytes) is free; {free:#x} frames are", order.bytes();
        help "free memory, or ask for a smaller order; fragmentation is in `statistics`";
    /// No free run of that length and alignment.
    902 NoRun {
        frames: u64 = "Frames asked for.", alignment: Order = "The alignment asked for.",
        free: u64 = "Frames that are free, in shorter runs.",
    }
        => "no run of {frames:#x} frames aligned to {:#x} bytes is free; {free:#x} frames are",
            alignment.bytes();
        help "free memory, or ask for a shorter run; fragmentation is in `statistics`";
    /// A length is 0 or leaves the physical address space.
    903 BadLength {
        frame: Frame = "The first frame, 0 for a request that names none.", frames: u64 = "The length given.",
    }
        => "{frames:#x} frames at {} are none or too many", frame.start();
        help "ask for at least one frame, below 2^48";
    /// No block of that order begins at the frame.
    904 Misaligned {
        frame: Frame = "The frame given.", order: Order = "The order given.",
        first: Frame = "The frame at which the block of that order that holds `frame` would begin.",
    }
        => "{} begins no block of {order}; the one that holds it begins at {}", frame.start(), first.start();
        help "free what was allocated, by the order that it was allocated with";
    /// A frame is none that the memory map gave to the allocator.
    905 Foreign {
        frame: Frame = "The first frame of the request.",
        at: Frame = "The first frame in it that is foreign.",
    }
        => "the request at {} names {}, which is not managed", frame.start(), at.start();
        help "free only what the allocator gave: this is a device's, firmware's, or a hole";
    /// A frame is reserved and was not handed out.
    906 Reserved {
        frame: Frame = "The first frame of the request.",
        at: Frame = "The first frame in it that is reserved.",
        kind: RegionKind = "The kind of the region that `at` lies in.",
    }
        => "the request at {} names {}, which is reserved ({kind})", frame.start(), at.start();
        help "release what `reserve` took; the map's own stays";
    /// A frame is free already.
    907 AlreadyFree {
        frame: Frame = "The first frame of the request.", at: Frame = "The first frame in it that is free.",
    }
        => "the request at {} names {}, which is free already", frame.start(), at.start();
        help "look for a second free of the same frames";
    /// What is allocated there is another block; the message names both.
    908 WrongBlock {
        frame: Frame = "The first frame given.", frames: u64 = "The length given.",
        first: Frame = "The first frame of the block that is allocated there.",
        length: u64 = "The length of that block.",
    }
        => "{frames:#x} frames at {} are not what was allocated: {length:#x} frames at {}",
            frame.start(), first.start();
        help "free the block that the message names, whole";
    /// A kind of memory is never given back, or was free from the start.
    909 NotReclaimable { kind: RegionKind = "The kind asked for." }
        => "memory of kind {kind} is not the kernel's to take";
        help "take back only the kinds that the table in `docs/contract.md` gives to the kernel";
    /// A kind of memory was taken back before.
    910 AlreadyReclaimed { kind: RegionKind = "The kind asked for." }
        => "memory of kind {kind} was taken back before";
        help "take each kind back once";
    /// The memory map is misaligned, out of order or overlaps.
    911 BadRegion { region: PhysRange = "The region.", kind: RegionKind = "Its kind." }
        => "the region {region} ({kind}) is misaligned, out of order or overlaps its predecessor";
        help "use the memory map of `BootInfo`";
    /// No free region holds the allocator's tables.
    912 NoRoom {
        frames: u64 = "Frames that the tables need, one after the other.",
        longest: u64 = "The longest free region.",
    }
        => "the frame tables need {frames:#x} frames in one piece; the longest free region has {longest:#x}";
        help "give the machine more RAM, or RAM in larger pieces";
}
