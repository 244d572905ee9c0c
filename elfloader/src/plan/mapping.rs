//! One range that is mapped, and what for.

use core::fmt;

use shared_abi::addr::{PageSize, PhysAddr, VirtRange};
use shared_abi::vmsa::Attributes;

/// What a range is mapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Pages of the kernel's image.
    Kernel,
    /// `BootInfo`.
    BootInfo,
    /// The console's registers.
    Console,
    /// The boot stack.
    BootStack,
    /// RAM in the direct map.
    DirectMap,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "image",
            Self::BootInfo => "boot info",
            Self::Console => "console",
            Self::BootStack => "boot stack",
            Self::DirectMap => "direct map",
        })
    }
}

/// A range to map: consecutive pages at either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where: whole pages.
    pub virt: VirtRange,
    /// What: the first frame.
    pub phys: PhysAddr,
    /// How.
    pub attributes: Attributes,
    /// The largest block to use. Smaller than the alignment allows where rights may change later.
    pub largest: PageSize,
    /// What for.
    pub purpose: Purpose,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cap = if self.largest == PageSize::Size4K { " by pages" } else { "" };
        write!(f, "{} to {} {}, {}{cap}", self.virt, self.phys, self.attributes, self.purpose)
    }
}
