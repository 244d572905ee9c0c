//! The handoff window from inside: where the loader, `BootInfo`, the console and the boot stack go.
//!
//! ```text
//! handoff window
//! + 0          loader image: header page, then the loader as linked        ≤ 1 MiB
//! + 1 MiB      BootInfo, read-only                                         ≤ 512 KiB
//! + 1.5 MiB    console registers, Device memory                            ≤ 64 KiB
//! + 2 MiB      guard: nothing is mapped from here up to the boot stack
//! + …          boot stack, growing down                                    ≤ 16 MiB
//! + 32 MiB     boot stack's top
//! ```
//!
//! Loader, `BootInfo` and console share the one level 3 table that the entry code has filled already, so that
//! a boot makes one table for all of the window: the boot stack's. The guard is whatever of 30 MiB the stack
//! leaves over, at least [`STACK_GUARD`].

use shared_abi::addr::{PAGE, PhysRange, VirtRange};
use shared_abi::contract::HANDOFF_WINDOW;

/// Where the image's header page is mapped; the loader is linked one page above it.
pub const LOADER: VirtRange = part(0, 1 << 20);

/// Where `BootInfo` may lie.
pub const BOOT_INFO: VirtRange = part(1 << 20, 512 << 10);

/// Where the console's registers are mapped.
pub const CONSOLE: VirtRange = part((1 << 20) + (512 << 10), 64 << 10);

/// The guard at its largest and the boot stack.
pub const STACK: VirtRange = part(2 << 20, 30 << 20);

/// Least bytes below the boot stack that are never mapped.
pub const STACK_GUARD: u64 = STACK.len() - shared_abi::note::MAX_STACK_SIZE;

/// First address above the boot stack: the stack pointer at the kernel's entry.
pub const STACK_TOP: u64 = STACK.end();

const _: () = assert!(STACK_GUARD >= PAGE);

const fn part(offset: u64, length: u64) -> VirtRange {
    let start = HANDOFF_WINDOW.start().get() + offset;
    match VirtRange::from_bounds(start, start + length) {
        Some(range) if HANDOFF_WINDOW.covers(range) => range,
        _ => panic!("a part lies outside the handoff window"),
    }
}

/// The boot stack of `size` bytes; `None` if it is no multiple of the page size or larger than the contract's limit.
pub const fn boot_stack(size: u64) -> Option<VirtRange> {
    if size > shared_abi::note::MAX_STACK_SIZE || !size.is_multiple_of(PAGE) {
        return None;
    }
    VirtRange::from_bounds(STACK_TOP - size, STACK_TOP)
}

/// What stays unmapped below the boot stack that begins at `bottom`.
pub const fn stack_guard(bottom: u64) -> Option<VirtRange> {
    VirtRange::from_bounds(STACK.start().get(), bottom)
}

/// Where the console's registers appear when their pages are `physical`; `None` if they need more than the window has.
pub const fn console(physical: PhysRange) -> Option<VirtRange> {
    let pages = physical.aligned_outward(shared_abi::addr::PageSize::Size4K);
    if pages.len() > CONSOLE.len() { None } else { VirtRange::new(CONSOLE.start(), pages.len()) }
}
