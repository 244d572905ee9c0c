//! What a boot is planned from.

use shared_abi::addr::PhysRange;
use shared_abi::contract::registers::PhysicalSize;

use super::firmware::Places;
use crate::loader::Parts;

/// Everything that a boot depends on.
#[derive(Clone, Debug)]
pub struct BootSource<'a> {
    /// What is booted on what, for titles.
    pub title: String,
    /// The combined image.
    pub image: &'a [u8],
    /// What of it is which part of the loader.
    pub loader: Parts,
    /// The machine's device tree; without one, the packed one is used.
    pub tree: Option<&'a [u8]>,
    /// Where everything lies.
    pub places: Places,
    /// An initial RAM disk of which the tree says nothing.
    pub initrd: Option<PhysRange>,
    /// The processor's physical address size.
    pub physical_size: PhysicalSize,
    /// The slide, in place of a random one.
    pub slide: Option<u64>,
    /// The direct map's offset, in place of a random one.
    pub direct_map: Option<u64>,
}
