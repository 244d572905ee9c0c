//! What a feature is: the fields that show it, and the bits that open it.

use super::registers::{Control, Id};
use crate::boot_info::ClosedFeatures;

/// The level whose registers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// EL2.
    El2,
    /// EL3.
    El3,
}

/// A field of four bits from `low` on, unsigned, within two bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Where the field is.
    pub id: Id,
    /// Its least significant bit.
    pub low: u8,
    /// The least value.
    pub least: u8,
    /// The largest value.
    pub most: u8,
}

impl Condition {
    /// Whether it holds, if `register` is what [`id`](Self::id) reads as.
    pub const fn holds(self, register: u64) -> bool {
        let field = (register >> self.low & 0xF) as u8;
        self.least <= field && field <= self.most
    }
}

/// Bits to set in a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    /// The register.
    pub control: Control,
    /// The bits.
    pub bits: u64,
}

/// A part of the architecture that a level above EL1 can keep from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// The Arm ARM's name, without `FEAT_`.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The processor has it if one of these holds.
    pub shown: &'static [Condition],
    /// What opens it, beside what is set in any case.
    pub controls: &'static [Bits],
    /// How it is listed if it is left closed; `None` if it is opened.
    pub closed: Option<ClosedFeatures>,
    /// Instructions that use it and harm nothing: at EL1 undefined if it is closed. They change x0 to x2 alone.
    pub probe: &'static [u32],
}

impl Feature {
    /// Whether a processor with these ID registers has it.
    pub fn is_shown(&self, mut read: impl FnMut(Id) -> u64) -> bool {
        self.shown.iter().any(|condition| condition.holds(read(condition.id)))
    }
}
