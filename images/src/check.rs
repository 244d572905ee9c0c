//! Judges an image by the readers that judge it at the boot, before anything boots it.
//!
//! The kernel is planned by the loader's own planner, on a nominal machine: whatever it refuses on every machine is
//! refused here, with the same code and words. What depends on the machine is `plan`'s to say.

use elfloader::kernel_elf::KernelElf;
use elfloader::memory_map::Region;
use elfloader::plan::{LoadPlan, PageCounts, Placement, Policy, Room, Site};
use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::BlobSize;
use shared_abi::crc32c::crc32c;
use shared_abi::image::{self, Header, Kind, PayloadTable};
use shared_abi::memory::RegionKind;

use crate::failure::Outcome;
use crate::plan;

/// An image that was found good, and what its kernel is.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The header page.
    pub header: Header,
    /// The payload.
    pub table: PayloadTable<'a>,
    /// The kernel.
    pub kernel: Kernel,
}

/// What is known of a kernel before a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its entry point as linked.
    pub entry: u64,
    /// Its pages by where they come from.
    pub pages: PageCounts,
}

/// Opens an image, compares every digest, and plans its kernel.
pub fn image(bytes: &[u8]) -> Outcome<Checked<'_>> {
    let (header, table) = image::open(bytes, crc32c)?;
    for entry in table.entries() {
        table.verify(&entry, crc32c)?;
        if entry.kind == Kind::DEVICE_TREE {
            plan::prune(table.bytes(&entry))?;
        }
    }
    let file = table.kernel().map(|entry| table.bytes(&entry)).unwrap_or_default();
    Ok(Checked { header, table, kernel: kernel(file)? })
}

/// Plans a kernel on a nominal machine, at a place of the most alignment.
pub fn kernel(file: &[u8]) -> Outcome<Kernel> {
    Ok(nominal_plan(&KernelElf::parse(file)?)?)
}

/// End of the nominal machine's RAM, which begins at 0: larger than any image.
const NOMINAL_RAM: u64 = 1 << 38;

fn nominal_plan(elf: &KernelElf<'_>) -> Result<Kernel, elfloader::plan::PlanError> {
    let range = |start, end| PhysRange::from_bounds(start, end).unwrap_or_default();
    let regions = [Region { range: range(0, NOMINAL_RAM), kind: RegionKind::USABLE, node: 0, name: "" }];
    let site = Site {
        kernel: PhysAddr::new(1 << 30).unwrap_or_default(),
        resident: range(0x1000, 0x2000),
        stack_size: elf.note().stack_bytes(),
        boot_info: BlobSize::EMPTY.bytes(1 << 16),
        boot_info_per_extent: BlobSize::EMPTY,
        console: None,
    };
    let policy = Policy::new(elf.note(), true);
    let placement = Placement::choose(elf, &policy, [0; 2], NOMINAL_RAM)?;
    let mut room = Room::new();
    let plan = LoadPlan::new(elf, placement, site, &regions, &mut room)?;
    Ok(Kernel { entry: elf.entry(), pages: plan.pages() })
}
