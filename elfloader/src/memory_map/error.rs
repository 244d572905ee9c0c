//! What can be wrong with a claim on memory, always with both ranges.

use core::fmt;

use shared_abi::addr::PhysRange;
use shared_abi::errors;
use shared_abi::memory::RegionKind;

use super::region::Region;

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

errors! {
    /// Why the map could not be made or changed.
    pub enum MapError<'n>, found by "the loader when it lays out memory, and by `handoff plan`";

    /// There is no usable RAM that the processor can address.
    501 NoMemory { limit: u64 = "The first physical address that the processor cannot address." }
        => "there is no usable RAM below {limit:#018x}";
        help "check the `memory` nodes of the tree and what reserves them";
    /// The memory map has more than 128 regions.
    502 TooManyRegions {
        limit: usize = "How many it holds.", range: PhysRange = "The range that no longer fitted.",
    }
        => "the memory map holds {limit} regions, no room for {range}";
        help "reserve in fewer pieces";
    /// There are more than 24 claims on memory.
    503 TooManyClaims { claim: Claim<'n> = "The claim that no longer fitted." }
        => "too many claims on memory, no room for {claim}";
        help "report it: the loader makes fewer claims";
    /// The image or an initrd does not lie in RAM (a device tree that does not is copied).
    504 NotMemory {
        claim: Claim<'n> = "The claim.",
        missing: PhysRange = "From the first byte that is not RAM to the end of the claim's pages.",
    }
        => "{claim} lies outside RAM from {missing}";
        help "load it into RAM: the range that is missing is named";
    /// Something overlaps what is reserved.
    505 Reserved { claim: Claim<'n> = "The claim.", reserved: Claim<'n> = "What it meets." }
        => "{claim} overlaps {reserved}";
        help "load it elsewhere, outside of what the message names";
    /// Two things overlap in memory.
    506 ClaimsOverlap { claim: Claim<'n> = "The later claim.", other: Claim<'n> = "The earlier one." }
        => "{claim} overlaps {other}";
        help "load one of the two elsewhere";
    /// Pages were to change their use that nobody claimed.
    507 NotClaimed {
        claim: Claim<'n> = "The use they were to have.", found: Claim<'n> = "What they are.",
    }
        => "{claim} would change {found}, which was not claimed";
        help "report it: it is a fault of the loader";
    /// No usable range is large enough.
    508 NoRoom {
        kind: RegionKind = "The use that room was sought for.",
        name: &'n str = "Whose or what; may be empty.", length: u64 = "Bytes.",
        alignment: u64 = "Alignment in bytes.",
    }
        => "no room for {kind} \"{name}\" of {length:#x} bytes aligned to {alignment:#x}";
        help "give the machine more RAM, or reserve less of it";
        here "give the machine more RAM, or reserve less of it: {length:#x} bytes in one piece are missing";
    /// What was to change its use is not whole pages of RAM.
    509 NotPages { claim: Claim<'n> = "The use it was to have." }
        => "{claim} is not whole pages of RAM";
        help "report it: it is a fault of the loader";
}
