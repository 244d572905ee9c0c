//! The library's auditor over a snapshot: what `BootInfo` promises against what the tables say.

use elfloader::audit::{self, Expectation, Finding, Part, Place, Summary};
use elfloader::memory_map::Region;
use shared_abi::addr::{PAGE, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::memory::RegionKind;
use shared_abi::rights::Rights;
use shared_abi::vmsa::MemoryType;

use super::snapshot::Snapshot;

/// What the auditor found.
#[derive(Debug)]
pub struct Audited {
    /// What it went through.
    pub summary: Summary,
    /// Every breach.
    pub findings: Vec<Finding>,
}

/// Audits the tables of a snapshot. `Err` says why nothing can be expected of them.
pub fn audit(snapshot: &Snapshot, info: &BootInfo<'_>) -> Result<Audited, &'static str> {
    let tree = snapshot.kernel_tables().ok_or("TTBR1_EL1 was not read")?;
    let regions: Vec<Region<'_>> = info
        .memory_map()
        .map(|region| Region {
            range: region.range(),
            kind: region.kind(),
            node: u16::try_from(region.node).unwrap_or(u16::MAX),
            name: info.string(region.name),
        })
        .collect();
    let parts = parts(info, &regions);
    let guards = [info.boot_stack().guard()];
    let expected = Expectation {
        tree,
        low_root: snapshot.user_tables().map(shared_abi::page_table::PageTable::root),
        parts: &parts,
        guards: &guards,
        direct_map_offset: info.direct_map().virt_offset,
        regions: &regions,
    };
    let mut findings = Vec::new();
    let summary = audit::audit(snapshot, &expected, &mut |finding| findings.push(finding));
    Ok(Audited { summary, findings })
}

/// What ought to be mapped below the direct map, in ascending order.
fn parts(info: &BootInfo<'_>, regions: &[Region<'_>]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |place, virt: VirtRange, phys: Option<PhysAddr>, rights, memory| {
        parts.extend(phys.filter(|_| !virt.is_empty()).map(|phys| Part {
            place,
            virt,
            phys,
            rights,
            memory,
        }));
    };
    for extent in info.extents() {
        let phys = PhysAddr::new(extent.phys_start);
        add(Place::Kernel, extent.virt(), phys, Some(extent.rights()), MemoryType::WriteBack);
    }
    let first = |kind: RegionKind| regions.iter().find(|region| region.kind == kind);
    if let (Some(window), Some(region)) = (info.window(WindowId::BOOT_INFO), first(RegionKind::BOOT_INFO)) {
        add(
            Place::BootInfo,
            window,
            Some(region.range.start()),
            Some(Rights::ReadOnly),
            MemoryType::WriteBack,
        );
    }
    if let Some(console) = info.console() {
        let virt = VirtAddr::new(console.virt_base - console.virt_base % PAGE);
        let length = (console.virt_base % PAGE + console.length).next_multiple_of(PAGE);
        let phys = PhysAddr::new(console.phys_base - console.phys_base % PAGE);
        if let Some(virt) = virt.and_then(|virt| VirtRange::new(virt, length)) {
            add(Place::Console, virt, phys, Some(Rights::ReadWrite), MemoryType::DeviceNGnRE);
        }
    }
    let stack = info.boot_stack();
    add(
        Place::BootStack,
        stack.range(),
        PhysAddr::new(stack.phys_bottom),
        Some(Rights::ReadWrite),
        MemoryType::WriteBack,
    );
    // The loader is mapped as it lies in the image, whose first page is the window's first; a stub of it that stays
    // above EL1 is firmware's.
    let image = info.firmware_image();
    let of_loader = |region: &&Region<'_>| match region.kind {
        RegionKind::LOADER_RESIDENT => true,
        RegionKind::FIRMWARE => image.phys().contains(region.range.start()),
        _ => false,
    };
    for (window, region) in info
        .window(WindowId::LOADER)
        .into_iter()
        .flat_map(|window| regions.iter().filter(of_loader).map(move |region| (window, region)))
    {
        let skipped = region.range.start().get().checked_sub(image.phys_image);
        let start = skipped.and_then(|skipped| window.start().checked_add(skipped));
        let pages = region.range.aligned_inward(PageSize::Size4K);
        if let Some((virt, pages)) = start.zip(pages)
            && let Some(virt) = VirtRange::new(virt, pages.len())
        {
            add(Place::Loader, virt, Some(pages.start()), None, MemoryType::WriteBack);
        }
    }
    parts.sort_by_key(|part| part.virt.start());
    parts
}
