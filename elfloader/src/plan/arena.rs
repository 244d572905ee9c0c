//! The one piece of memory that a plan needs, and how it is divided.
//!
//! ```text
//!  base (aligned to 2 MiB if something is large)
//!  │ copies of what    │ copies of data, │ boot  │ BootInfo │ … │ large extents, each at its │ tables │
//!  │ becomes read-only │ small BSS       │ stack │          │   │ own address modulo 2 MiB   │        │
//! ```
//!
//! What is read-only in the direct map comes first and together, so that it splits at most one block there.
//! An extent that holds a whole 2 MiB block of addresses is large: it is placed so that the block can be mapped
//! as one, and the gaps that this makes stay free. A kernel that wants to be contiguous gets all its pages,
//! gaps between segments included, as one run at the start, aligned as it asks.

use arrayvec::ArrayVec;
use shared_abi::addr::{PAGE, PAGE_SHIFT, PageSize, PhysAddr, PhysRange};
use shared_abi::memory::RegionKind;

use super::extent::{Extent, MAX_EXTENTS, MAX_OFFSET, Origin};
use super::offset::{offset_from, whole_pages};
use super::{Placement, PlanError, TableCount};
use crate::kernel_elf::KernelElf;

/// The empty table that TTBR0 is left with.
const EMPTY_ROOT: u64 = 1;

/// Bytes of a level 2 block.
const BLOCK: u64 = PageSize::Size2M.bytes();

/// The memory that a plan needs. Offsets are bytes from its start and whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arena {
    alignment: u64,
    /// The whole image of a contiguous kernel, else all small extents: offset and bytes.
    image: (u64, u64),
    is_contiguous: bool,
    read_only: ReadOnly,
    stack: u64,
    stack_size: u64,
    boot_info: u64,
    boot_info_size: u64,
    tables: u64,
    table_count: u64,
}

/// What a part of the arena is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Pages of the kernel's image.
    Kernel,
    /// The boot stack.
    BootStack,
    /// `BootInfo`.
    BootInfo,
    /// Translation tables.
    PageTables,
}

impl Use {
    /// The kind of memory region that this use makes.
    pub const fn kind(self) -> RegionKind {
        match self {
            Self::Kernel => RegionKind::KERNEL,
            Self::BootStack => RegionKind::BOOT_STACK,
            Self::BootInfo => RegionKind::BOOT_INFO,
            Self::PageTables => RegionKind::PAGE_TABLES,
        }
    }
}

impl Arena {
    /// Gives every extent that is not in place its offset, and boot stack and `BootInfo` theirs.
    pub(super) fn lay_out(
        elf: &KernelElf<'_>,
        placement: &Placement,
        [stack_size, boot_info_size]: [u64; 2],
        extents: &mut ArrayVec<Extent, MAX_EXTENTS>,
    ) -> Result<Self, PlanError> {
        let mut layout = Layout { end: 0, alignment: PAGE, read_only: ReadOnly::default() };
        let contiguous = elf.note().contiguous();
        let image = match contiguous {
            Some(alignment) => layout.place_image(placement, alignment, extents)?,
            None => {
                layout.place_extents(extents, false)?;
                (0, layout.end)
            }
        };
        let stack = layout.take(stack_size)?;
        let boot_info_size = whole_pages(boot_info_size);
        let boot_info = layout.take(boot_info_size)?;
        if contiguous.is_none() {
            layout.place_extents(extents, true)?;
        }
        Ok(Self {
            alignment: layout.alignment,
            image,
            is_contiguous: contiguous.is_some(),
            read_only: layout.read_only,
            stack,
            stack_size,
            boot_info,
            boot_info_size,
            tables: layout.end,
            table_count: 0,
        })
    }

    /// Makes room for the tables: so many without the arena's read-only runs in the direct map, what those can
    /// add wherever the arena comes to lie, and the one for TTBR0. Each end of a run splits at most one block per
    /// level.
    pub(super) fn make_room_for_tables(&mut self, without: TableCount) -> Result<(), PlanError> {
        let ReadOnly { start, end, runs } = self.read_only;
        let split = |size: PageSize| (2 * runs).min(((end - start) >> size.shift()) + 2);
        let added = if runs == 0 { 0 } else { split(PageSize::Size2M) + split(PageSize::Size1G) };
        self.table_count = EMPTY_ROOT + without.tables() + added;
        let length = self.table_count << PAGE_SHIFT;
        match self.tables.checked_add(length) {
            Some(end) if end < PhysAddr::LIMIT => Ok(()),
            _ => Err(PlanError::TooLarge { length: self.tables }),
        }
    }

    /// Bytes.
    pub const fn length(&self) -> u64 {
        self.tables + (self.table_count << PAGE_SHIFT)
    }

    /// Alignment of its start in bytes, a power of two.
    pub const fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Where the boot stack lies in it.
    pub const fn stack_offset(&self) -> u64 {
        self.stack
    }

    /// Where `BootInfo` lies in it.
    pub const fn boot_info_offset(&self) -> u64 {
        self.boot_info
    }

    /// Bytes of `BootInfo`'s pages.
    pub const fn boot_info_length(&self) -> u64 {
        self.boot_info_size
    }

    /// Where the tables lie in it.
    pub const fn tables_offset(&self) -> u64 {
        self.tables
    }

    /// Number of tables that there is room for: as many as the mappings can need, and TTBR0's empty one.
    pub const fn table_count(&self) -> u64 {
        self.table_count
    }

    /// What each part is used for, in no order. What is left out is free.
    pub(super) fn uses(&self, base: PhysAddr, extents: &[Extent]) -> impl Iterator<Item = (PhysRange, Use)> {
        let is_contiguous = self.is_contiguous;
        let large = extents.iter().filter(move |extent| !is_contiguous && extent.is_large());
        [
            (self.image.0, self.image.1, Use::Kernel),
            (self.stack, self.stack_size, Use::BootStack),
            (self.boot_info, self.boot_info_size, Use::BootInfo),
            (self.tables, self.table_count << PAGE_SHIFT, Use::PageTables),
        ]
        .into_iter()
        .chain(large.filter_map(|extent| Some((extent.arena_offset()?, extent.virt.len(), Use::Kernel))))
        .filter(|&(_, length, _)| length > 0)
        .filter_map(move |(offset, length, used)| {
            Some((PhysRange::new(offset_from(base, offset), length)?, used))
        })
    }
}

/// An arena being divided.
struct Layout {
    end: u64,
    alignment: u64,
    read_only: ReadOnly,
}

/// What the arena makes read-only in the direct map: from the first such byte to the end of the last, in so many
/// runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct ReadOnly {
    start: u64,
    end: u64,
    runs: u64,
}

impl ReadOnly {
    /// Adds a run, in ascending order.
    fn add(&mut self, start: u64, length: u64) {
        if self.runs == 0 {
            self.start = start;
        }
        if self.runs == 0 || self.end != start {
            self.runs += 1;
        }
        self.end = start + length;
    }
}

impl Layout {
    /// The offset of `size` more bytes.
    fn take(&mut self, size: u64) -> Result<u64, PlanError> {
        let offset = self.end;
        match offset.checked_add(size) {
            Some(end) if end <= MAX_OFFSET => {
                self.end = end;
                Ok(offset)
            }
            _ => Err(PlanError::TooLarge { length: size }),
        }
    }

    /// Skips to the next offset that equals an address modulo 2 MiB.
    fn align_to(&mut self, address: u64) -> Result<(), PlanError> {
        self.alignment = self.alignment.max(BLOCK);
        let gap = address.wrapping_sub(self.end) & (BLOCK - 1);
        self.take(gap).map(drop)
    }

    /// Places those extents that are not in place and are large, or are not: first what is read-only.
    #[inline(never)]
    fn place_extents(&mut self, extents: &mut [Extent], large: bool) -> Result<(), PlanError> {
        for writable in [false, true] {
            for extent in extents.iter_mut() {
                let is_meant = extent.is_large() == large && extent.rights.is_writable() == writable;
                if extent.arena_offset().is_none() || !is_meant {
                    continue;
                }
                if large {
                    self.align_to(extent.virt.start().get())?;
                }
                let offset = self.take(extent.virt.len())?;
                extent.set_arena_offset(offset);
                if !writable {
                    self.read_only.add(offset, extent.virt.len());
                }
            }
        }
        Ok(())
    }

    /// Places the whole image as one run. Blocks can be mapped as such if that fits the alignment asked for.
    fn place_image(
        &mut self,
        placement: &Placement,
        alignment: u64,
        extents: &mut [Extent],
    ) -> Result<(u64, u64), PlanError> {
        let image = placement.image;
        let first = image.start().get();
        self.alignment = alignment;
        if image.aligned_inward(PageSize::Size2M).is_some() && first & (alignment.min(BLOCK) - 1) == 0 {
            self.align_to(first)?;
        }
        let offset = self.take(image.len())?;
        for extent in extents {
            let place = offset + (extent.virt.start().get() - first);
            extent.set_arena_offset(place);
            if !extent.rights.is_writable() {
                self.read_only.add(place, extent.virt.len());
            }
        }
        Ok((offset, image.len()))
    }
}

impl Extent {
    /// Whether a whole block of its addresses could be mapped as one.
    fn is_large(&self) -> bool {
        self.virt.aligned_inward(PageSize::Size2M).is_some()
    }

    /// Where it lies in the arena; `None` if it is in place.
    pub(super) const fn arena_offset(&self) -> Option<u64> {
        match self.origin() {
            Origin::InPlace(_) => None,
            Origin::Copied(offset) | Origin::Zeroed(offset) => Some(offset),
        }
    }

    /// Where its pages lie.
    pub(super) fn phys(&self, kernel: PhysAddr, arena: PhysAddr) -> PhysAddr {
        match self.origin() {
            Origin::InPlace(offset) => offset_from(kernel, offset),
            Origin::Copied(offset) | Origin::Zeroed(offset) => offset_from(arena, offset),
        }
    }
}
