//! The entry contract, ABI 1: the address-space layout that the loader promises.
//!
//! ```text
//! 0x0000_0000_0000_0000 – 0x0000_FFFF_FFFF_FFFF   user space (TTBR0), walks disabled at handoff
//! 0xFFFF_0000_0000_0000                           kernel image, as linked or not slid
//! 0xFFFF_0000_1000_0000                           kernel heap window
//! 0xFFFF_0080_0000_0000                           handoff window: loader, BootInfo, boot stack, console
//! 0xFFFF_0100_0000_0000 – 0xFFFF_7FFF_FFFF_FFFF   position-independent kernels, at a random 2 MiB step
//! 0xFFFF_8000_0000_0000                           direct map: va = pa + offset, a multiple of 1 GiB
//! ```
//!
//! Kernels read these places from `BootInfo` and assume none that they did not ask for.

pub mod features;
pub mod pstate;
pub mod registers;

use crate::addr::VirtRange;

/// ABI major version: readers refuse another one.
pub const ABI_MAJOR: u16 = 1;

/// ABI minor version: readers accept a larger one.
pub const ABI_MINOR: u16 = 0;

const fn window(start: u64, end: u64) -> VirtRange {
    match VirtRange::from_bounds(start, end) {
        Some(range) => range,
        None => panic!("a window lies outside the high half"),
    }
}

/// Where a kernel that is not slid may be linked, and where its heap window begins after it.
pub const KERNEL_WINDOW: VirtRange = window(0xFFFF_0000_0000_0000, 0xFFFF_0080_0000_0000);

/// Where the heap window begins unless the kernel image reaches further: 256 MiB into the kernel window.
pub const HEAP_START: u64 = 0xFFFF_0000_1000_0000;

/// Loader, `BootInfo`, boot stack and console.
pub const HANDOFF_WINDOW: VirtRange = window(0xFFFF_0080_0000_0000, 0xFFFF_0100_0000_0000);

/// Where position-independent kernels are slid to, in steps of 2 MiB.
pub const SLIDE_WINDOW: VirtRange = window(0xFFFF_0100_0000_0000, 0xFFFF_8000_0000_0000);

/// Most bytes of boot stack that a kernel can ask for.
pub const MAX_STACK_SIZE: u64 = 16 << 20;

/// The direct map of physical memory.
pub const DIRECT_MAP_WINDOW: VirtRange = window(0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FFFF_F000);
