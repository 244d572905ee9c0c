//! Why a well-formed kernel cannot be planned on this machine.

use shared_abi::addr::{PhysAddr, PhysRange};

use crate::refusals::refusals;
use crate::relocation::RelocationError;

refusals! {
    /// A refusal of the plan, with the offending numbers. Nothing has been changed in memory.
    PlanError, Relocation(RelocationError): "A relocation cannot be applied.";

    /// A fixed kernel, or one at the slide that was asked for, leaves the windows where kernels may lie.
    203 OutsideWindow { segment: u8 = "The segment.", start: u64 = "Its first address.", end: u64 = "First address past it." }
        => "segment {segment} ({start:#018x}–{end:#018x}) lies outside the kernel window and the slide window";
    /// No place in the windows is large enough.
    240 NoRoom { size: u64 = "Bytes from the first segment to the end of the last.", alignment: u64 = "The largest `p_align`." }
        => "the kernel spans {size:#x} bytes aligned to {alignment:#x}: no window has room";
    /// The slide that was asked for is no multiple of the step, or the kernel is fixed.
    241 Slide { asked: u64 = "The slide.", step: u64 = "Its unit; 0 if the kernel cannot be moved." }
        => "the slide {asked:#x} is not possible: its step is {step:#x} (0: the kernel is fixed)";
    /// The direct map cannot hold all RAM at the offset that was asked for, or at any.
    242 DirectMap { offset: u64 = "The offset.", end: u64 = "Physical end of RAM." }
        => "RAM up to {end:#x} leaves the direct-map window at offset {offset:#018x}";
    /// More extents than a plan holds. The limit covers what `MAX_SEGMENTS` segments can make.
    243 TooManyExtents { segment: u8 = "The segment." } => "segment {segment} needs one extent too many";
    /// The kernel's file begins inside a page.
    244 FileUnaligned { start: PhysAddr = "Where the file lies." }
        => "the kernel's file at {start} is not page-aligned";
    /// The kernel's file reaches past what can be addressed.
    245 FileOutside { start: PhysAddr = "Where the file lies.", length: u64 = "Its bytes." }
        => "the kernel's file at {start} + {length:#x} is not addressable";
    /// The boot stack is no multiple of the page size or larger than the contract allows.
    246 BootStack { size: u64 = "Bytes." } => "a boot stack of {size:#x} bytes is not possible";
    /// `BootInfo` is larger than its place in the handoff window.
    247 BootInfo { size: u64 = "Bytes." } => "BootInfo's {size:#x} bytes leave its place in the handoff window";
    /// The console's registers need more room than they have in the handoff window.
    248 Console { range: PhysRange = "The registers." }
        => "the console's registers {range} leave their place in the handoff window";
    /// The kernel's file, or what the plan makes room for, is larger than 16 TiB.
    249 TooLarge { length: u64 = "Bytes of what is too large." }
        => "the plan needs {length:#x} bytes of memory and more: 16 TiB are the most";
    /// The arena that was found for the plan is not what the plan asked for.
    250 Arena { found: PhysRange = "What was found.", length: u64 = "Bytes asked for.", alignment: u64 = "Alignment asked for." }
        => "the arena {found} is not {length:#x} bytes aligned to {alignment:#x}";
}
