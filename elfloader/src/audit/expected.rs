//! What ought to be mapped: parts by name, and the direct map as it follows from the memory map.
//!
//! The direct map's pieces are derived here from the contract's words (mapped kinds only; read-only over the kernel's
//! read-only pages and the resident loader), not taken from the plan that made the tables: that plan is audited.

use core::fmt;

use shared_abi::addr::{Frame, PAGE_SHIFT, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::memory::RegionKind;
use shared_abi::page_table::PageTable;
use shared_abi::rights::Rights;
use shared_abi::vmsa::MemoryType;

use crate::memory_map::Region;

/// What a mapped range is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Pages of the kernel's image.
    Kernel,
    /// `BootInfo`.
    BootInfo,
    /// The console's registers.
    Console,
    /// The boot stack.
    BootStack,
    /// The loader's own pages.
    Loader,
    /// RAM in the direct map.
    DirectMap,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::BootInfo => "boot info",
            Self::Console => "console",
            Self::BootStack => "boot stack",
            Self::Loader => "loader",
            Self::DirectMap => "direct map",
        })
    }
}

/// A range that ought to be mapped outside the direct map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// What for.
    pub place: Place,
    /// Where: whole pages.
    pub virt: VirtRange,
    /// The first frame.
    pub phys: PhysAddr,
    /// With which rights; `None` for any that are not writable and executable together.
    pub rights: Option<Rights>,
    /// As what memory.
    pub memory: MemoryType,
}

/// What the contract promises of one boot, for [`audit`](super::audit).
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The tree that TTBR1 translates by.
    pub tree: PageTable,
    /// TTBR0's root, which ought to be empty; `None` if there is none to look at.
    pub low_root: Option<Frame>,
    /// What ought to be mapped below the direct map's window, in ascending order.
    pub parts: &'a [Part],
    /// What must stay unmapped below the boot stack, and other guards.
    pub guards: &'a [VirtRange],
    /// The virtual address of physical address 0 in the direct map.
    pub direct_map_offset: u64,
    /// All RAM, in ascending order.
    pub regions: &'a [Region<'a>],
}

impl Expectation<'_> {
    /// What RAM at `phys` is used for, `None` where there is none, and up to which address that holds.
    pub(super) fn kind_from(&self, phys: u64) -> (u64, Option<RegionKind>) {
        let after = self.regions.partition_point(|region| region.range.end() <= phys);
        match self.regions.get(after) {
            None => (u64::MAX, None),
            Some(region) if region.range.start().get() > phys => (region.range.start().get(), None),
            Some(region) => (region.range.end(), Some(region.kind)),
        }
    }

    /// Frames of all regions of a kind.
    pub(super) fn frames_of(&self, kind: RegionKind) -> u64 {
        let of_kind = self.regions.iter().filter(|region| region.kind == kind);
        of_kind.map(|region| region.range.len() >> PAGE_SHIFT).sum()
    }

    /// Where the direct map is read-only from `phys` on: up to which address the answer holds, and the answer.
    fn read_only_from(&self, phys: u64, kind: RegionKind) -> (u64, bool) {
        if kind == RegionKind::LOADER_RESIDENT {
            return (u64::MAX, true);
        }
        let mut until = u64::MAX;
        let mut covered = false;
        for part in self.parts {
            let read_only = match part.place {
                Place::Loader => true,
                Place::Kernel => part.rights.is_some_and(|rights| !rights.is_writable()),
                _ => false,
            };
            let (start, end) = (part.phys.get(), part.phys.get().saturating_add(part.virt.len()));
            if !read_only || end <= phys {
                continue;
            }
            if start <= phys {
                // The longest run that begins before here decides how far the answer holds.
                until = if covered { until.max(end) } else { end };
                covered = true;
            } else if !covered {
                until = until.min(start);
            }
        }
        (until, covered)
    }
}

/// A piece of what ought to be mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) virt: VirtAddr,
    pub(super) phys: u64,
    pub(super) length: u64,
    pub(super) rights: Option<Rights>,
    pub(super) memory: MemoryType,
}

impl Piece {
    /// The first address past it, as a number.
    pub(super) fn end(&self) -> u64 {
        self.virt.get() + self.length
    }

    /// What is left after the first `bytes`; `None` if nothing is.
    pub(super) fn after(self, bytes: u64) -> Option<Self> {
        let length = self.length.checked_sub(bytes).filter(|length| *length > 0)?;
        Some(Self { virt: self.virt.checked_add(bytes)?, phys: self.phys + bytes, length, ..self })
    }

    /// The part before `at`, if any, and the part from `at` on. `at` lies inside.
    pub(super) fn split_at(self, at: VirtAddr) -> (Option<Self>, Self) {
        let before = at.get() - self.virt.get();
        match self.after(before) {
            Some(rest) if before > 0 => (Some(Self { length: before, ..self }), rest),
            _ => (None, self),
        }
    }
}

/// Everything that ought to be mapped, in ascending order of virtual address.
pub(super) struct Pieces<'a> {
    expected: &'a Expectation<'a>,
    parts: core::slice::Iter<'a, Part>,
    regions: core::slice::Iter<'a, Region<'a>>,
    /// What is left of the current region.
    rest: PhysRange,
    kind: RegionKind,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(expected: &'a Expectation<'a>) -> Self {
        Self {
            expected,
            parts: expected.parts.iter(),
            regions: expected.regions.iter(),
            rest: PhysRange::default(),
            kind: RegionKind::USABLE,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if let Some(part) = self.parts.find(|part| !part.virt.is_empty()) {
            return Some(Piece {
                place: part.place,
                virt: part.virt.start(),
                phys: part.phys.get(),
                length: part.virt.len(),
                rights: part.rights,
                memory: part.memory,
            });
        }
        if self.rest.is_empty() {
            let region = self.regions.find(|region| region.kind.is_mapped() && !region.range.is_empty())?;
            (self.rest, self.kind) = (region.range, region.kind);
        }
        let start = self.rest.start();
        let (until, read_only) = self.expected.read_only_from(start.get(), self.kind);
        let end = until.min(self.rest.end());
        self.rest = PhysRange::from_bounds(end, self.rest.end())?;
        Some(Piece {
            place: Place::DirectMap,
            virt: VirtAddr::new(start.get().checked_add(self.expected.direct_map_offset)?)?,
            phys: start.get(),
            length: end - start.get(),
            rights: Some(if read_only { Rights::ReadOnly } else { Rights::ReadWrite }),
            memory: MemoryType::WriteBack,
        })
    }
}
