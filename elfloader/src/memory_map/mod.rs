//! Every page of RAM exactly once, with its use: from the machine's statements to the map that the kernel gets.
//!
//! ```text
//! machine:   RAM ranges, any order, unaligned, overlapping     reservations, unaligned, anywhere
//!                 │ union, rounded inward                           │ rounded outward
//!                 ▼                                                 ▼
//! lay_out:   ├────────────── usable ──────┬─ no-map ─┬── usable ──┬─ firmware ─┤   ├─ unaddressable ─┤
//! claim:     ├ usable ┬ image ┬ usable ┬ initrd ┬ …       what is already in memory
//! allocate:  … what the loader needs room for, and reservations whose place it chooses
//! retype:    … what became of the pages of a claim: kernel, module, reclaimable
//! ```
//!
//! Where two uses meet, the stronger holds: unaddressable, then no-map, then firmware, then what the loader
//! claims, then usable. A claim that is not wholly RAM or meets a reservation is an error that names both.
//!
//! Always holds, after every call, also a failed one: regions are sorted, page-aligned, not empty and do not
//! overlap; neighbours that touch differ in kind, node or name; their union is the whole pages of RAM. The
//! cost of a call is linear in the regions and does not depend on the amount of RAM.

use core::fmt;

use arrayvec::ArrayVec;
use shared_abi::addr::{PAGE, PageSize, PhysRange};
use shared_abi::memory::{Origin, RegionKind};

use crate::platform::{DYNAMIC_RESERVATIONS, RESERVATIONS};

mod error;
mod lay_out;
mod placement;
mod region;
#[cfg(test)]
mod tests;

pub use error::{Claim, MapError};
pub use placement::ANYWHERE;
pub use region::Region;

/// Most regions that a map holds.
/// Each reservation can cut a region in two, and so can what the loader claims and makes.
pub const REGIONS: usize = 2 * RESERVATIONS + 64;

/// Most claims on a map, parts of one claim not counted.
pub const CLAIMS: usize = 24;

/// The map of all RAM. See the module's documentation for what always holds.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap<'n> {
    regions: ArrayVec<Region<'n>, REGIONS>,
    claims: ArrayVec<Claim<'n>, CLAIMS>,
    unplaced: ArrayVec<&'n str, DYNAMIC_RESERVATIONS>,
}

/// The name of a reserved range that found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unplaced<'n>(pub &'n str);

impl fmt::Display for Unplaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: no place for \"{}\", which can do without", self.0)
    }
}

/// What a page that two claims share is called.
const SHARED_PAGE: &str = "shared page";

/// Whether the loader itself gave the pages this use, so that it may change it.
const fn is_claimed(kind: RegionKind) -> bool {
    !matches!(kind.origin(), Origin::Machine)
}

/// Whether firmware put such a thing where it is, and so may have reserved that place as well.
const fn is_given(kind: RegionKind) -> bool {
    matches!(kind.origin(), Origin::Given)
}

impl<'n> MemoryMap<'n> {
    /// A map without RAM; [`Self::lay_out`] fills it in place, so that it is never copied.
    pub const fn new() -> Self {
        Self {
            regions: ArrayVec::new_const(),
            claims: ArrayVec::new_const(),
            unplaced: ArrayVec::new_const(),
        }
    }

    /// The regions, sorted by address.
    pub fn regions(&self) -> &[Region<'n>] {
        &self.regions
    }

    /// The reserved ranges that were only a wish and found no place: a line of the log each.
    pub fn unplaced(&self) -> impl Iterator<Item = Unplaced<'n>> {
        self.unplaced.iter().copied().map(Unplaced)
    }

    /// The region that holds a physical address; `None` if it is not in a whole page of RAM.
    pub fn find(&self, address: u64) -> Option<&Region<'n>> {
        self.regions.get(self.index_of(address)).filter(|region| region.start() <= address)
    }

    /// Bytes of all regions of a kind.
    pub fn bytes_of(&self, kind: RegionKind) -> u64 {
        self.regions.iter().filter(|region| region.kind == kind).map(|region| region.range.len()).sum()
    }

    /// The smallest range that holds everything that may be mapped; `None` if nothing may.
    pub fn mapped_span(&self) -> Option<PhysRange> {
        let mut mapped = self.regions.iter().filter(|region| region.kind.is_mapped());
        let first = mapped.next()?;
        let last = mapped.next_back().unwrap_or(first);
        PhysRange::from_bounds(first.start(), last.end())
    }

    /// States that `bytes` are in use already. Whole pages change their kind: the range is rounded outward.
    ///
    /// A page that two claims share belongs to neither: it becomes firmware's, so that nobody frees it. What
    /// firmware put somewhere (device tree, initrd, modules) may lie in a range that firmware reserved: if
    /// the reservation reaches no further than the claim it was for the claim's sake and the pages get
    /// `kind`, else they stay firmware's. An empty range claims nothing.
    ///
    /// # Errors
    /// The map is unchanged.
    /// - [`MapError::ClaimsOverlap`]: a byte is claimed already.
    /// - [`MapError::NotMemory`]: a byte is not in a whole page of RAM.
    /// - [`MapError::Reserved`]: a page is no-map, firmware's or unaddressable.
    /// - [`MapError::TooManyRegions`], [`MapError::TooManyClaims`].
    pub fn claim(&mut self, bytes: PhysRange, kind: RegionKind, name: &'n str) -> Result<(), MapError<'n>> {
        if bytes.is_empty() {
            return Ok(());
        }
        let claim = Claim { range: bytes, kind, name };
        if let Some(other) = self.claimed_byte_in(bytes) {
            return Err(MapError::ClaimsOverlap { claim, other });
        }
        let pages = bytes.aligned_outward(PageSize::Size4K);
        self.check(&claim, pages)?;
        if self.claims.is_full() {
            return Err(MapError::TooManyClaims { claim });
        }
        let is_larger =
            |region: &&Region<'n>| region.kind == RegionKind::FIRMWARE && !pages.covers(region.range);
        let start = self.find(pages.start().get()).filter(is_larger).map_or(pages.start().get(), Region::end);
        let end = self.find(pages.end() - PAGE).filter(is_larger).map_or(pages.end(), Region::start);
        if let Some(pages) = PhysRange::from_bounds(start, end) {
            self.change(pages, &|region| match region.kind {
                RegionKind::USABLE => (kind, name),
                RegionKind::FIRMWARE if region.name != SHARED_PAGE => (kind, name),
                _ => (RegionKind::FIRMWARE, SHARED_PAGE),
            })?;
        }
        self.claims.push(claim);
        Ok(())
    }

    /// Changes the use of pages that were claimed: what the parts of the image became, what is free again.
    ///
    /// Pages that two claims share keep what they are, usable pages lose their name.
    ///
    /// # Errors
    /// The map is unchanged.
    /// - [`MapError::NotPages`], [`MapError::NotClaimed`]: a page is not RAM, or nobody claimed it.
    /// - [`MapError::TooManyRegions`].
    pub fn retype(&mut self, range: PhysRange, kind: RegionKind, name: &'n str) -> Result<(), MapError<'n>> {
        if range.is_empty() {
            return Ok(());
        }
        let name = if kind == RegionKind::USABLE { "" } else { name };
        let claim = Claim { range, kind, name };
        let shared = |region: &Region<'_>| region.kind == RegionKind::FIRMWARE && region.name == SHARED_PAGE;
        let mut covered = range.start().get();
        for region in self.regions.get(self.index_of(covered)..).unwrap_or_default() {
            if region.start() > covered || covered >= range.end() {
                break;
            }
            if !is_claimed(region.kind) && !shared(region) {
                return Err(MapError::NotClaimed { claim, found: Claim::of(region) });
            }
            covered = region.end();
        }
        if covered < range.end() || !range.is_aligned(PageSize::Size4K) {
            return Err(MapError::NotPages { claim });
        }
        self.change(range, &|region| if shared(region) { (region.kind, region.name) } else { (kind, name) })
    }

    /// The claim that holds one of `bytes`, unless its pages have been given back since.
    fn claimed_byte_in(&self, bytes: PhysRange) -> Option<Claim<'n>> {
        let holds = |claim: &&Claim<'n>| {
            let Some(both) = claim.range.intersection(bytes) else { return false };
            let regions = self.regions.get(self.index_of(both.start().get())..).unwrap_or_default();
            let mut regions = regions.iter().take_while(|region| region.start() < both.end());
            regions.any(|region| region.kind != RegionKind::USABLE)
        };
        self.claims.iter().find(holds).copied()
    }

    /// Whether all of `pages` is RAM that `claim` may have.
    fn check(&self, claim: &Claim<'n>, pages: PhysRange) -> Result<(), MapError<'n>> {
        let mut covered = pages.start().get();
        for region in self.regions.get(self.index_of(covered)..).unwrap_or_default() {
            if region.start() > covered || covered >= pages.end() {
                break;
            }
            covered = region.end();
            let allowed = match region.kind {
                RegionKind::FIRMWARE => region.name == SHARED_PAGE || is_given(claim.kind),
                kind => kind == RegionKind::USABLE || is_claimed(kind),
            };
            if !allowed {
                return Err(MapError::Reserved { claim: *claim, reserved: Claim::of(region) });
            }
        }
        match PhysRange::from_bounds(covered, pages.end()) {
            Some(missing) if !missing.is_empty() => Err(MapError::NotMemory { claim: *claim, missing }),
            _ => Ok(()),
        }
    }

    /// The index of the first region that ends after `address`.
    #[inline(never)]
    fn index_of(&self, address: u64) -> usize {
        self.regions.partition_point(|region| region.end() <= address)
    }

    /// Gives every page of RAM in `pages` the use that `decide` states for the region it is part of.
    fn change(
        &mut self,
        pages: PhysRange,
        decide: &dyn Fn(&Region<'n>) -> (RegionKind, &'n str),
    ) -> Result<(), MapError<'n>> {
        let (start, end) = (pages.start().get(), pages.end());
        if start >= end {
            return Ok(());
        }
        // The regions that are changed: from the one that has `start` to the one that has the last byte.
        let mut first = self.index_of(start);
        let regions = self.regions.get(first..).unwrap_or_default();
        let mut last = first + regions.iter().take_while(|region| region.end() <= end).count();
        let is_inside =
            |at: u64, index: usize| self.regions.get(index).is_some_and(|region| region.start() < at);
        let (cuts_low, cuts_high) = (is_inside(start, first), is_inside(end, last));
        // Both cuts must fit before anything is changed.
        if self.regions.len() + usize::from(cuts_low) + usize::from(cuts_high) > REGIONS {
            return Err(MapError::TooManyRegions { limit: REGIONS, range: pages });
        }
        if cuts_high {
            self.cut(last, end);
            last += 1;
        }
        if cuts_low {
            self.cut(first, start);
            first += 1;
            last += 1;
        }
        for region in self.regions.get_mut(first..last).unwrap_or_default() {
            (region.kind, region.name) = decide(region);
        }
        self.merge(first.saturating_sub(1), last);
        Ok(())
    }

    /// Splits the region at `index`, which has `address` inside. There must be room for one more.
    #[inline(never)]
    fn cut(&mut self, index: usize, address: u64) {
        let Some(region) = self.regions.get_mut(index) else { return };
        let (low, high) =
            (PhysRange::from_bounds(region.start(), address), PhysRange::from_bounds(address, region.end()));
        if let (Some(low), Some(high)) = (low, high) {
            let upper = Region { range: high, ..*region };
            region.range = low;
            // `change` has made sure that there is room.
            let _ = self.regions.try_insert(index + 1, upper);
        }
    }

    /// Merges equal neighbours that touch, among the regions from `first` to `last` inclusive.
    fn merge(&mut self, first: usize, mut last: usize) {
        let mut index = first;
        while index < last {
            let (Some(low), Some(high)) = (self.regions.get(index), self.regions.get(index + 1)) else {
                return;
            };
            match PhysRange::from_bounds(low.start(), high.end()) {
                Some(joined) if low.continues(high) => {
                    self.regions.pop_at(index + 1);
                    if let Some(region) = self.regions.get_mut(index) {
                        region.range = joined;
                    }
                    last -= 1;
                }
                _ => index += 1,
            }
        }
    }
}
