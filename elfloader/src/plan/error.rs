//! Why a well-formed kernel cannot be planned on this machine.

use core::fmt;

use shared_abi::addr::{PhysAddr, PhysRange};

use super::relocation_error::RelocationError;
use shared_abi::contract::{KERNEL_WINDOW, SLIDE_WINDOW};
use shared_abi::errors;

errors! {
    /// A refusal of the plan, with the offending numbers. Nothing has been changed in memory.
    pub enum PlanError, found by "the loader when it plans, and by `handoff check`, `plan` and `build`";

    use Relocation(RelocationError): "A relocation cannot be applied.";

    /// A segment lies outside the kernel window and the slide window.
    203 OutsideWindow {
        segment: u8 = "The segment.", start: u64 = "Its first address.", end: u64 = "First address past it.",
    }
        => "segment {segment} ({start:#018x}–{end:#018x}) lies outside the kernel window and the slide \
            window";
        help "link the kernel into {KERNEL_WINDOW}, or position-independent (-pie; for rustc \
            -Crelocation-model=pic) to be moved into {SLIDE_WINDOW}";
    /// The kernel is too large, or aligned too much, for every window.
    240 NoRoom {
        size: u64 = "Bytes from the first segment to the end of the last.",
        alignment: u64 = "The largest `p_align`.",
    }
        => "the kernel spans {size:#x} bytes aligned to {alignment:#x}: no window has room";
        help "link the kernel's segments closer together, or with a smaller -z max-page-size";
    /// The slide that was asked for is no multiple of the step, or the kernel is fixed.
    241 Slide { asked: u64 = "The slide.", step: u64 = "Its unit; 0 if the kernel cannot be moved." }
        => "the slide {asked:#x} is not possible: its step is {step:#x} (0: the kernel is fixed)";
        help "give a multiple of the step that the message names; a fixed kernel takes no slide";
        here "{}", NearestSlides { asked: *asked, step: *step };
    /// The direct map cannot hold all RAM at the offset asked for.
    242 DirectMap { offset: u64 = "The offset.", end: u64 = "Physical end of RAM." }
        => "RAM up to {end:#x} leaves the direct-map window at offset {offset:#018x}";
        help "ask for a lower direct-map offset in `entry!`, or leave it open";
    /// The plan has more parts than it can hold.
    243 TooManyExtents { segment: u8 = "The segment." }
        => "segment {segment} needs one extent too many";
        help "report it: 64 segments never need so many";
    /// The kernel's file is not page-aligned in the image.
    244 FileUnaligned { start: PhysAddr = "Where the file lies." }
        => "the kernel's file at {start} is not page-aligned";
        help "build the image again";
    /// The kernel's file reaches past what can be addressed.
    245 FileOutside { start: PhysAddr = "Where the file lies.", length: u64 = "Its bytes." }
        => "the kernel's file at {start} + {length:#x} is not addressable";
        help "put the image lower in memory";
    /// The boot stack's size is not possible.
    246 BootStack { size: u64 = "Bytes." }
        => "a boot stack of {size:#x} bytes is not possible";
        help "ask for a multiple of 4 KiB up to 16 MiB";
    /// `BootInfo` is larger than its place in the handoff window.
    247 BootInfo { size: u64 = "Bytes." }
        => "BootInfo's {size:#x} bytes leave its place in the handoff window";
        help "pack fewer modules, or give them shorter names";
    /// The console's registers need more than 64 KiB.
    248 Console { range: PhysRange = "The registers." }
        => "the console's registers {range} leave their place in the handoff window";
        help "check `reg` of the device tree's console node";
    /// The kernel's file, or what the plan makes room for, is larger than 16 TiB.
    249 TooLarge { length: u64 = "Bytes of what is too large." }
        => "the plan needs {length:#x} bytes of memory and more: 16 TiB are the most";
        help "link the segments of a contiguous kernel closer together";
    /// The memory found for the plan is not what it asked for.
    250 Arena {
        found: PhysRange = "What was found.", length: u64 = "Bytes asked for.",
        alignment: u64 = "Alignment asked for.",
    }
        => "the arena {found} is not {length:#x} bytes aligned to {alignment:#x}";
        help "report it: it is a fault of the loader";
}

/// What could be asked for instead of a slide that is not possible.
struct NearestSlides {
    asked: u64,
    step: u64,
}

impl fmt::Display for NearestSlides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(past) = self.asked.checked_rem(self.step) else {
            return f.write_str(
                "link the kernel position-independent (-pie) to have it moved, or ask for no slide",
            );
        };
        let below = self.asked - past;
        write!(f, "ask for {below:#x} or {:#x}", below.saturating_add(self.step))
    }
}
