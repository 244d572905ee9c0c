//! Places as distances from the arena's or the file's beginning.

use shared_abi::addr::{PAGE, PhysAddr};

/// The address `offset` bytes further. Places were checked to be addressable to their end when the plan was
/// made; an address that still is not names the first byte, which the caller owns as well.
pub fn offset_from(base: PhysAddr, offset: u64) -> PhysAddr {
    base.checked_add(offset).unwrap_or(base)
}

/// Bytes of whole pages that hold `size` bytes, saturating.
pub const fn whole_pages(size: u64) -> u64 {
    size.div_ceil(PAGE).saturating_mul(PAGE)
}
