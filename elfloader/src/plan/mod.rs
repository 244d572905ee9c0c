//! The load plan: what becomes of every page of the kernel, decided before any of it happens.
//!
//! ```text
//! KernelElf ─┐                                   ┌─► fill       what to copy and what to clear
//! Placement ─┼─► LoadPlan ──► arena found ──► PlacedPlan ─► relocate   which words change
//! Site ──────┘   how large an arena it needs     ├─► mappings   what to map, in ascending order
//!                                                └─► uses       whose each part of the arena is
//! ```
//!
//! A plan is a value: it can be printed, compared, carried out on a machine or on a model of one. Randomness
//! and places are arguments, so the same kernel on the same machine gives the same plan. Making it changes
//! nothing, and reads nothing of the kernel but headers, notes and relocation tables.

mod arena;
mod direct_map;
mod display;
mod error;
mod extent;
mod fill;
mod mapping;
mod mappings;
#[cfg(test)]
mod model_tests;
mod offset;
mod placement;
#[cfg(test)]
mod placement_tests;
mod relocation;
mod relocation_error;
mod tables;
#[cfg(test)]
mod tests;

pub use arena::{Arena, Use};
pub use error::PlanError;
pub use extent::{Extent, MAX_EXTENTS, Origin};
pub use fill::Fill;
pub use mapping::{Mapping, Purpose};
pub use placement::{DirectMap, Placement, Policy, Slide};
pub use relocation::Change;
pub use relocation_error::RelocationError;
pub use tables::TableCount;

use arrayvec::ArrayVec;
use shared_abi::addr::{PAGE_SHIFT, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::boot_info::BlobSize;
use shared_abi::contract::DIRECT_MAP_WINDOW;
use shared_abi::rights::Rights;

use crate::kernel_elf::KernelElf;
use crate::layout;
use crate::memory_map::Region;

use extent::MAX_OFFSET;
use offset::offset_from;

/// Where things lie that are there already, and how large the things are that the plan makes room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the kernel's file begins: page-aligned, and the rest of its last page is nobody else's.
    pub kernel: PhysAddr,
    /// The loader's pages that stay: read-only in the direct map, by 4 KiB pages.
    pub resident: PhysRange,
    /// Bytes of boot stack.
    pub stack_size: u64,
    /// `BootInfo`'s size at most, but for what each of the kernel's extents adds.
    pub boot_info: BlobSize,
    /// What that is.
    pub boot_info_per_extent: BlobSize,
    /// The console's registers.
    pub console: Option<PhysRange>,
}

/// Room for a plan's extents. The caller gives it, so that a plan itself is small to hand about and making room
/// costs nothing.
#[derive(Default)]
pub struct Room {
    extents: ArrayVec<Extent, MAX_EXTENTS>,
}

impl Room {
    /// Empty room.
    pub const fn new() -> Self {
        Self { extents: ArrayVec::new_const() }
    }
}

/// Pages by where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Mapped where the file lies.
    pub in_place: u64,
    /// Made of file bytes and zeros in the arena.
    pub copied: u64,
    /// Zeros in the arena.
    pub zeroed: u64,
}

/// What becomes of the kernel, but for the place of the arena. Holding one proves that every relocation can be
/// applied, that the image lies in its window, and that the file's pages can be addressed.
pub struct LoadPlan<'a> {
    elf: &'a KernelElf<'a>,
    placement: Placement,
    site: Site,
    console: Option<VirtRange>,
    stack: VirtRange,
    boot_info: BlobSize,
    extents: &'a [Extent],
    arena: Arena,
}

impl<'a> LoadPlan<'a> {
    /// Plans. `regions` is the memory map as it is now: it decides how many tables the direct map needs, and
    /// claims made later on what is mapped anyway do not change that.
    ///
    /// # Errors
    /// [`PlanError`]; nothing but `room` has changed.
    pub fn new(
        elf: &'a KernelElf<'a>,
        placement: Placement,
        site: Site,
        regions: &[Region<'_>],
        room: &'a mut Room,
    ) -> Result<Self, PlanError> {
        if !site.kernel.is_aligned(PageSize::Size4K) {
            return Err(PlanError::FileUnaligned { start: site.kernel });
        }
        let length = elf.bytes().len() as u64;
        if PhysRange::new(site.kernel, length).is_none() {
            return Err(PlanError::FileOutside { start: site.kernel, length });
        }
        if length > MAX_OFFSET {
            return Err(PlanError::TooLarge { length });
        }
        let stack = layout::boot_stack(site.stack_size).filter(|stack| !stack.is_empty());
        let stack = stack.ok_or(PlanError::BootStack { size: site.stack_size })?;
        let console = match site.console {
            Some(range) => Some(layout::console(range).ok_or(PlanError::Console { range })?),
            None => None,
        };
        let ram_end =
            regions.iter().rfind(|region| region.kind.is_mapped()).map_or(0, |last| last.range.end());
        let offset = placement.direct_map_offset;
        if offset.checked_add(ram_end).is_none_or(|end| end > DIRECT_MAP_WINDOW.end()) {
            return Err(PlanError::DirectMap { offset, end: ram_end });
        }
        let extents = &mut room.extents;
        extents.clear();
        let copy_all = elf.note().contiguous().is_some();
        extent::Builder { elf, slide: placement.slide, copy_all, extents }.build()?;
        relocation::check(elf, placement.slide, extents).map_err(PlanError::Relocation)?;
        let boot_info = site.boot_info.plus_each(extents.len(), site.boot_info_per_extent);
        let size = boot_info.total() as u64;
        if size > layout::BOOT_INFO.len() {
            return Err(PlanError::BootInfo { size });
        }
        let arena = Arena::lay_out(elf, &placement, [site.stack_size, size], extents)?;
        let mut plan = Self { elf, placement, site, console, stack, boot_info, extents, arena };
        let tables = TableCount::of(plan.mappings(None, regions));
        plan.arena.make_room_for_tables(tables)?;
        Ok(plan)
    }

    /// The kernel.
    pub const fn elf(&self) -> &'a KernelElf<'a> {
        self.elf
    }

    /// The places in the virtual address space.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The site that was planned for.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// `BootInfo`'s size at most.
    pub const fn boot_info_size(&self) -> BlobSize {
        self.boot_info
    }

    /// The memory that the plan needs, and what for.
    pub const fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The kernel's page runs in ascending order.
    pub const fn extents(&self) -> &'a [Extent] {
        self.extents
    }

    /// The entry point as the kernel is entered.
    pub const fn entry(&self) -> VirtAddr {
        self.placement.entry
    }

    /// The boot stack.
    pub const fn stack(&self) -> VirtRange {
        self.stack
    }

    /// Where `BootInfo` is mapped: whole pages.
    pub const fn boot_info(&self) -> VirtRange {
        // The size was checked against the window, which is whole pages.
        match VirtRange::new(layout::BOOT_INFO.start(), self.arena.boot_info_length()) {
            Some(range) => range,
            None => layout::BOOT_INFO,
        }
    }

    /// Where the console's registers are mapped: whole pages.
    pub const fn console(&self) -> Option<VirtRange> {
        self.console
    }

    /// Pages by where they come from.
    pub fn pages(&self) -> PageCounts {
        let mut counts = PageCounts::default();
        for extent in self.extents {
            match extent.origin() {
                Origin::InPlace(_) => counts.in_place += extent.pages(),
                Origin::Copied(_) => counts.copied += extent.pages(),
                Origin::Zeroed(_) => counts.zeroed += extent.pages(),
            }
        }
        counts
    }

    /// Gives the plan the memory that it asked for.
    ///
    /// # Errors
    /// [`PlanError::Arena`] if `arena` is smaller or less aligned than [`Self::arena`] says.
    pub fn place(self, arena: PhysRange) -> Result<PlacedPlan<'a>, PlanError> {
        let (length, alignment) = (self.arena.length(), self.arena.alignment());
        if arena.len() < length || arena.start().get() & (alignment - 1) != 0 {
            return Err(PlanError::Arena { found: arena, length, alignment });
        }
        Ok(PlacedPlan { plan: self, base: arena.start() })
    }
}

/// A plan all of whose places are known.
pub struct PlacedPlan<'a> {
    plan: LoadPlan<'a>,
    base: PhysAddr,
}

impl<'a> PlacedPlan<'a> {
    /// The plan without places.
    pub const fn plan(&self) -> &LoadPlan<'a> {
        &self.plan
    }

    /// Where the arena begins.
    pub const fn base(&self) -> PhysAddr {
        self.base
    }

    /// Where an extent's pages lie.
    pub fn phys(&self, extent: &Extent) -> PhysAddr {
        extent.phys(self.plan.site.kernel, self.base)
    }

    /// The first byte of a part of the arena.
    fn at(&self, offset: u64) -> PhysAddr {
        offset_from(self.base, offset)
    }

    /// Physical address that a virtual address of the image, the boot stack or `BootInfo` translates to.
    pub fn translate(&self, virt: VirtAddr) -> Option<PhysAddr> {
        let inside = |range: VirtRange, phys: PhysAddr| {
            range.contains(virt).then(|| offset_from(phys, virt.get() - range.start().get()))
        };
        let plan = &self.plan;
        let extents = plan.extents.iter();
        extents
            .map(|extent| (extent.virt, self.phys(extent)))
            .chain([
                (plan.stack, self.at(plan.arena.stack_offset())),
                (plan.boot_info(), self.at(plan.arena.boot_info_offset())),
            ])
            .find_map(|(range, phys)| inside(range, phys))
    }

    /// Walks all relocations: for each word its physical address and what to do, after [`Self::fill`]. Words
    /// need not be aligned, but do not leave a run of consecutive physical pages.
    pub fn relocate(&self, mut change: impl FnMut(PhysAddr, Change)) {
        let extents = self.plan.extents;
        let slide = self.plan.placement.slide;
        // Making the plan has checked them all.
        let checked = relocation::for_each(self.plan.elf, slide, extents, |index, offset, what| {
            if let Some(extent) = extents.get(index) {
                change(offset_from(self.phys(extent), offset), what);
            }
        });
        debug_assert!(checked.is_ok());
    }

    /// All that is mapped in TTBR1 besides the loader itself, which the entry code maps: in ascending order,
    /// without overlap. `regions` is the memory map as it shall be at the handoff.
    pub fn mappings<'m>(&'m self, regions: &'m [Region<'m>]) -> impl Iterator<Item = Mapping> + 'm {
        self.plan.mappings(Some(self.base), regions)
    }

    /// The part of the arena that is for tables, the empty one for TTBR0 included.
    pub fn table_pool(&self) -> PhysRange {
        let arena = &self.plan.arena;
        PhysRange::new(self.at(arena.tables_offset()), arena.table_count() << PAGE_SHIFT).unwrap_or_default()
    }

    /// Where `BootInfo` is written.
    pub fn boot_info(&self) -> PhysRange {
        let arena = &self.plan.arena;
        PhysRange::new(self.at(arena.boot_info_offset()), arena.boot_info_length()).unwrap_or_default()
    }

    /// Executable pages that may lie in data caches, and must be made visible to instruction fetches: what was written, and
    /// with `is_image_cached` what runs in place as well. The boot protocol's promise that the image is clean holds for
    /// caches that were off; firmware that had them on may have written it through them.
    pub fn code_to_clean(&self, is_image_cached: bool) -> impl Iterator<Item = PhysRange> {
        let executable = self.plan.extents().iter().filter(|extent| extent.rights() == Rights::ReadExecute);
        let cached = executable
            .filter(move |extent| is_image_cached || !matches!(extent.origin(), Origin::InPlace(_)));
        cached.filter_map(|extent| PhysRange::new(self.phys(extent), extent.virt().len()))
    }

    /// What each part of the arena is used for, in no order, none empty. What is left out is free.
    pub fn uses(&self) -> impl Iterator<Item = (PhysRange, Use)> {
        self.plan.arena.uses(self.base, self.plan.extents)
    }
}
