//! Who has which memory: what lies there when the loader starts, the arena that it takes, what became of both.
//!
//! ```text
//! lay_out ─► site ─► plan ─► take_arena ─► place ─► describe
//! image,     fixed           one piece of           what is the kernel's, the tables', …
//! tree,      points          usable memory
//! initrd
//! ```

use shared_abi::addr::{PAGE, PageSize, PhysRange};
use shared_abi::boot_info::{BlobSize, Extent, MemoryRegion, PlatformFlags, TreeSource};
use shared_abi::image::payload::Kind;
use shared_abi::memory::RegionKind;

use crate::image::Image;
use crate::kernel_elf::KernelElf;
use crate::memory_map::{ANYWHERE, MapError, MemoryMap};
use crate::plan::{LoadPlan, Origin, PlacedPlan, Site};
use crate::platform::Machine;
use crate::recorder;

const STUB: &str = "stub above EL1";

const SECONDARY: &str = "secondary CPUs";

/// The longest name of a region that is the boot's own: a payload kind's, or that of the stub.
const LONGEST_NAME: usize = {
    let (mut longest, mut index) = (STUB.len(), 0);
    while index < Kind::ALL.len() {
        if let Some(name) = Kind::ALL[index].0.name()
            && name.len() > longest
        {
            longest = name.len();
        }
        index += 1;
    }
    longest
};

/// What each of the kernel's extents adds to `BootInfo` at most.
const EXTENT: BlobSize = BlobSize::EMPTY.records::<Extent>(1).plus_each(1, CHANGE);

/// What each change of the map adds at most: another region, and one more behind it.
const CHANGE: BlobSize = BlobSize::EMPTY.records::<MemoryRegion>(2).strings(2, 2 * LONGEST_NAME);

/// What is done to the map after its size was asked for, but for the payload and the kernel's extents: the arena is taken
/// and its image, stack, `BootInfo` and tables get their uses, as do the loader, its stub, what other CPUs need and its tables.
const OWN_CHANGES: usize = 9;

/// The tree that the machine was described from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where it lies, trimmed to its contents.
    pub range: PhysRange,
    /// Who put it there.
    pub source: TreeSource,
}

/// Fills an empty map: all RAM below `limit`, and what is in it already. Returns where the tree is to be from now on:
/// where it is, unless that is no RAM (flash, a ROM), which nobody could wipe, reserve or map.
///
/// # Errors
/// Those of [`MemoryMap::lay_out`], [`MemoryMap::claim`] and [`MemoryMap::place_dynamic`].
pub fn lay_out<'n>(
    map: &mut MemoryMap<'n>,
    machine: &Machine<'n>,
    limit: u64,
    image: &Image<'_>,
    tree: &Tree,
) -> Result<Tree, MapError<'n>> {
    const NAME: &str = "device tree";
    map.lay_out(machine, limit)?;
    map.claim(image.range, RegionKind::LOADER_RECLAIMABLE, "image")?;
    let is_in_ram = match tree.source {
        // Claimed with the image.
        TreeSource::PACKED => true,
        _ => match map.claim(tree.range, RegionKind::DEVICE_TREE, NAME) {
            Err(MapError::NotMemory { .. }) => {
                // Names are read there until the kernel is entered: what of it is RAM is not given away.
                map.reserve(tree.range, RegionKind::FIRMWARE, NAME)?;
                false
            }
            claimed => claimed.map(|()| true)?,
        },
    };
    if let Some(initrd) = machine.boot.initrd {
        map.claim(initrd, RegionKind::INITRD, "initrd")?;
    }
    map.place_dynamic(machine)?;
    let range = match is_in_ram {
        true => tree.range,
        false => {
            let place = map.allocate(tree.range.len(), PAGE, ANYWHERE, RegionKind::DEVICE_TREE, NAME)?;
            PhysRange::new(place.start(), tree.range.len()).unwrap_or(place)
        }
    };
    Ok(Tree { range, ..*tree })
}

/// Where the plan's fixed points are, the kernel's file among them, and how much room it has to make. `facts` is what
/// `BootInfo` takes beside memory map and extents.
pub fn site(
    image: &Image<'_>,
    kernel: PhysRange,
    elf: &KernelElf<'_>,
    machine: &Machine<'_>,
    map: &MemoryMap<'_>,
    facts: BlobSize,
) -> Site {
    let names = map.regions().iter().map(|region| region.name.len()).sum();
    let regions = map.regions().len();
    let own = OWN_CHANGES + image.payload.entries().count();
    Site {
        kernel: kernel.start(),
        resident: image.resident,
        stack_size: elf.note().stack_bytes(),
        boot_info: facts.records::<MemoryRegion>(regions).strings(regions, names).plus_each(own, CHANGE),
        boot_info_per_extent: EXTENT,
        console: machine.console.as_ref().map(|console| console.pages()),
    }
}

/// Takes the place of the flight recorders for a kernel that keeps one. That is a wish: without a place there are none.
pub fn take_recorders(map: &mut MemoryMap<'_>, elf: &KernelElf<'_>) -> Option<PhysRange> {
    let place = elf.note().wants_recorder().then(|| recorder::place(map.regions())).flatten()?;
    map.claim(place, RegionKind::RECORDER, "").ok().map(|()| place)
}

/// Takes the memory that the plan asks for.
///
/// # Errors
/// Those of [`MemoryMap::allocate`].
pub fn take_arena<'n>(map: &mut MemoryMap<'n>, plan: &LoadPlan<'_>) -> Result<PhysRange, MapError<'n>> {
    let (length, alignment) = (plan.arena().length(), plan.arena().alignment());
    map.allocate(length, alignment, ANYWHERE, RegionKind::LOADER_RECLAIMABLE, "kernel and tables")
}

/// Says what became of the parts of image and arena: the map's last change. `level` is the exception level that the
/// loader was entered at, `flags` what was special about it.
///
/// # Errors
/// Those of [`MemoryMap::retype`].
pub fn describe<'n>(
    map: &mut MemoryMap<'n>,
    image: &Image<'_>,
    placed: &PlacedPlan<'_>,
    level: u64,
    flags: PlatformFlags,
) -> Result<(), MapError<'n>> {
    map.retype(image.resident, RegionKind::LOADER_RESIDENT, "loader")?;
    let is_wanted = placed.plan().elf().note().wants_secondaries();
    if is_wanted || level > 1 {
        let name = if level > 1 { STUB } else { SECONDARY };
        map.retype(image.stub, RegionKind::FIRMWARE, name)?;
    }
    // Those that came along look at the mailbox, whether the kernel wants them or not.
    if is_wanted || flags.contains(PlatformFlags::NO_FIRMWARE) {
        map.retype(image.secondary, RegionKind::FIRMWARE, SECONDARY)?;
    }
    map.retype(image.tables, RegionKind::PAGE_TABLES, "first tables")?;
    for entry in image.payload.entries() {
        if let (Some(kind), Some(name)) = (entry.kind.region(), entry.kind.name()) {
            map.retype(image.range_of(&entry).aligned_outward(PageSize::Size4K), kind, name)?;
        }
    }
    for extent in placed.plan().extents() {
        if let Origin::InPlace(_) = extent.origin() {
            let pages = PhysRange::new(placed.phys(extent), extent.virt().len()).unwrap_or_default();
            map.retype(pages, RegionKind::KERNEL, "kernel")?;
        }
    }
    for (range, used) in placed.uses() {
        map.retype(range, used.kind(), "")?;
    }
    Ok(())
}
