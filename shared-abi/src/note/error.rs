//! Why a kernel's note is refused.

use crate::contract::{ABI_MAJOR, ABI_MINOR, DIRECT_MAP_WINDOW, MAX_STACK_SIZE};
use crate::errors;

errors! {
    /// A refusal of the kernel's note, with what it asked for.
    pub enum NoteError, found by "the loader before it plans, and by `handoff check`, `plan` and `build`";

    /// There is no Handoff note.
    301 Missing
        => "the kernel has no Handoff note (PT_NOTE, name Handoff, type 1)";
        help "declare the entry point with `shared_abi::entry!`, and keep `.note.handoff` in a `PT_NOTE` \
            segment (`linker/kernel.ld`)";
    /// There is more than one Handoff note.
    302 Several
        => "the kernel has more than one Handoff note";
        help "use `entry!` once in the whole program";
    /// A note reaches past the end of its segment.
    303 Malformed {
        offset: u64 = "Where in the segment's bytes the note begins.",
        length: u64 = "Bytes that the segment holds.",
    }
        => "the note at {offset:#x} reaches past the {length:#x} bytes of its segment";
        help "the file is damaged, or a note section is cut by the linker script";
    /// The Handoff note is shorter than ABI 1.0's.
    304 Short { length: u64 = "Its bytes." }
        => "the Handoff note holds {length:#x} bytes, ABI 1.0 has 0x38";
        help "build the kernel against the `shared-abi` of this version";
    /// The kernel speaks another major version of the ABI.
    305 AbiMajor { asked: u16 = "Its major version." }
        => "the kernel speaks ABI {asked}, this loader ABI {ABI_MAJOR}";
        help "build the kernel against ABI {ABI_MAJOR}, or use a loader of its version";
    /// The kernel needs a newer minor version of the ABI.
    306 AbiMinor { asked: u16 = "The least that it needs." }
        => "the kernel needs ABI {ABI_MAJOR}.{asked}, this loader has {ABI_MAJOR}.{ABI_MINOR}";
        help "use a loader of ABI {ABI_MAJOR} with a newer minor version";
        here "use a loader of ABI {ABI_MAJOR}.{asked} or newer";
    /// The kernel requires something that this version does not know.
    307 Required { unknown: u64 = "Those bits." }
        => "the kernel requires bits that ABI {ABI_MAJOR}.{ABI_MINOR} lacks: {unknown:#x}";
        help "use a newer loader, or ask for less in `entry!`";
    /// The kernel asks for another granule than 4 KiB.
    308 Granule { asked: u32 = "Its bytes." }
        => "the kernel asks for a granule of {asked:#x} bytes, ABI 1 has 0x1000";
        help "ask for the 4 KiB granule, the only one of ABI 1";
    /// The kernel asks for another exception level than EL1.
    309 ExceptionLevels { asked: u64 = "The mask, bit n for ELn." }
        => "the kernel asks for the exception levels {asked:#x}, ABI 1.0 has EL1 alone (0x2)";
        help "ask for EL1, where ABI 1.0 enters";
    /// The boot stack asked for is no multiple of 4 KiB up to 16 MiB.
    310 StackSize { asked: u64 = "Its bytes." }
        => "the boot stack of {asked:#x} bytes is no multiple of 0x1000 up to {MAX_STACK_SIZE:#x}";
        help "ask for less, or switch stacks in the kernel";
    /// The direct-map offset asked for is no multiple of 1 GiB in the direct-map window.
    311 DirectMapOffset { asked: u64 = "The offset." }
        => "the direct-map offset {asked:#018x} is no multiple of 0x40000000 in {DIRECT_MAP_WINDOW}";
        help "ask for a multiple of 0x40000000 in {DIRECT_MAP_WINDOW}, or leave it open";
    /// The contiguous alignment asked for is no power of two from 4 KiB to 1 GiB.
    312 ContiguousAlignment { asked: u64 = "Its bytes." }
        => "the contiguous alignment {asked:#x} is no power of two from 0x1000 to 0x40000000";
        help "ask for a power of two from 0x1000 (4 KiB) to 0x40000000 (1 GiB)";
}
