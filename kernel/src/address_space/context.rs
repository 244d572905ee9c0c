//! Which ASID a space has, and since when.

use shared_abi::addr::Frame;

/// ASIDs of eight bits.
pub(super) const COUNT: u64 = 256;

/// An ASID in its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(u64);

impl Context {
    /// That of a space that never ran.
    pub(super) const NONE: Self = Self(0);

    /// An ASID of a generation.
    pub(super) const fn new(generation: u64, asid: u64) -> Self {
        Self(generation * COUNT + asid)
    }

    /// The ASID.
    pub const fn asid(self) -> u8 {
        self.0 as u8
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 / COUNT
    }

    /// The ASID where `tlbi` operands and TTBR0_EL1 have it.
    pub(super) const fn operand(self) -> u64 {
        (self.asid() as u64) << 48
    }
}

/// The value for TTBR0_EL1 with which a space runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttbr0(u64);

impl Ttbr0 {
    pub(super) fn new(root: Frame, context: Context) -> Self {
        Self(root.start().get() | context.operand())
    }

    /// The register's value: table address and ASID.
    pub const fn get(self) -> u64 {
        self.0
    }
}
