//! What can be wrong with a claim on memory, always with both ranges.

use core::fmt;

use shared_abi::addr::PhysRange;
use shared_abi::memory::RegionKind;

use super::Region;

/// A stated use of physical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'n> {
    /// The bytes, not rounded.
    pub range: PhysRange,
    /// The use.
    pub kind: RegionKind,
    /// Whose or what; may be empty.
    pub name: &'n str,
}

impl<'n> Claim<'n> {
    pub(super) const fn of(region: &Region<'n>) -> Self {
        Self { range: region.range, kind: region.kind, name: region.name }
    }
}

impl fmt::Display for Claim<'_> {
    /// `initrd "name" 0x…–0x…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "{} {}", self.kind, self.range)
        } else {
            write!(f, "{} \"{}\" {}", self.kind, self.name, self.range)
        }
    }
}

/// Why the map could not be made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError<'n> {
    /// The machine has no whole page of RAM that the processor can address and firmware leaves free.
    NoMemory {
        /// The first physical address that the processor cannot address.
        limit: u64,
    },
    /// More regions than the map holds.
    TooManyRegions {
        /// How many it holds.
        limit: usize,
        /// The range that no longer fitted.
        range: PhysRange,
    },
    /// More claims than the map holds.
    TooManyClaims {
        /// The claim that no longer fitted.
        claim: Claim<'n>,
    },
    /// A claim is not wholly in RAM.
    NotMemory {
        /// The claim.
        claim: Claim<'n>,
        /// From the first byte that is not RAM to the end of the claim's pages.
        missing: PhysRange,
    },
    /// A claim meets what firmware reserved or the processor cannot address.
    Reserved {
        /// The claim.
        claim: Claim<'n>,
        /// What it meets.
        reserved: Claim<'n>,
    },
    /// Two claims share a byte.
    ClaimsOverlap {
        /// The later claim.
        claim: Claim<'n>,
        /// The earlier one.
        other: Claim<'n>,
    },
    /// Pages were to change their use that nobody had claimed, or a range that is not whole pages.
    NotClaimed {
        /// The use they were to have.
        claim: Claim<'n>,
        /// What they are; `None` if not RAM, or not whole pages.
        found: Option<Claim<'n>>,
    },
    /// No usable range is large enough.
    NoRoom {
        /// The use that room was sought for.
        kind: RegionKind,
        /// Whose or what; may be empty.
        name: &'n str,
        /// Bytes.
        length: u64,
        /// Alignment in bytes.
        alignment: u64,
    },
}

impl MapError<'_> {
    /// The error's stable code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::NoMemory { .. } => 501,
            Self::TooManyRegions { .. } => 502,
            Self::TooManyClaims { .. } => 503,
            Self::NotMemory { .. } => 504,
            Self::Reserved { .. } => 505,
            Self::ClaimsOverlap { .. } => 506,
            Self::NotClaimed { .. } => 507,
            Self::NoRoom { .. } => 508,
        }
    }
}

impl fmt::Display for MapError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory { limit } => write!(f, "there is no usable RAM below {limit:#018x}"),
            Self::TooManyRegions { limit, range } => {
                write!(f, "the memory map holds {limit} regions, no room for {range}")
            }
            Self::TooManyClaims { claim } => write!(f, "too many claims on memory, no room for {claim}"),
            Self::NotMemory { claim, missing } => write!(f, "{claim} lies outside RAM from {missing}"),
            Self::Reserved { claim, reserved } => write!(f, "{claim} overlaps {reserved}"),
            Self::ClaimsOverlap { claim, other } => write!(f, "{claim} overlaps {other}"),
            Self::NotClaimed { claim, found: Some(found) } => {
                write!(f, "{claim} would change {found}, which was not claimed")
            }
            Self::NotClaimed { claim, found: None } => write!(f, "{claim} is not whole pages of RAM"),
            Self::NoRoom { kind, name, length, alignment } => {
                write!(f, "no room for {kind} \"{name}\" of {length:#x} bytes aligned to {alignment:#x}")
            }
        }
    }
}

impl core::error::Error for MapError<'_> {}
