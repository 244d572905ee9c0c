//! The names by which the fault reporter knows places.

use elfloader::image::Image;
use elfloader::layout;
use elfloader::plan::{Mapping, PlacedPlan, Purpose};
use shared_abi::addr::VirtRange;
use shared_abi::contract::DIRECT_MAP_WINDOW;
use shared_abi::image::payload::Kind;
use shared_abi::rights::Rights;

use crate::machine::own_image::OwnImage;
use crate::machine::report;

/// Has the reporter name the loader's own parts.
pub fn name_loader() {
    for (name, start, end) in OwnImage::regions() {
        name_region(name, VirtRange::from_bounds(start, end));
    }
    if let Some(stack) = OwnImage::stack() {
        report::situation().regions.add_stack("loader's stack", stack);
    }
}

/// Has the reporter name the loader's code from now on.
pub fn name_loader_code(image: &Image<'_>) {
    if let Some(table) = image.range_of_kind(Kind::LOADER_SYMBOLS) {
        // SAFETY: the identity map has the image until the jump.
        unsafe { report::situation().name_code(table.start().get(), table.len(), 0) };
    }
}

/// Has the reporter name what the kernel must not touch, and the direct map.
pub fn name_guard(placed: &PlacedPlan<'_>) {
    name_region("guard below the boot stack", layout::stack_guard(placed.plan().stack().start().get()));
    name_region("direct map", Some(DIRECT_MAP_WINDOW));
}

/// Has the reporter name the kernel's code from now on.
pub fn name_kernel_code(image: &Image<'_>, placed: &PlacedPlan<'_>) {
    let placement = placed.plan().placement();
    match image.range_of_kind(Kind::SYMBOLS) {
        Some(table) => {
            let start = table.start().get() + placement.direct_map_offset;
            // SAFETY: the direct map has the table, as a module, for as long as the kernel leaves it there.
            unsafe { report::situation().name_code(start, table.len(), placement.slide) };
        }
        None => report::situation().forget_code(),
    }
}

/// Has the reporter know a range by name.
fn name_region(name: &'static str, range: Option<VirtRange>) {
    if let Some(range) = range {
        // One too many only lacks its name.
        report::situation().regions.add(name, range);
    }
}

/// Has the reporter name what is mapped for the kernel.
pub fn name_mapping(mapping: &Mapping) {
    let name = match (mapping.purpose, mapping.attributes.rights()) {
        (Purpose::Kernel, Rights::ReadExecute) => "kernel text",
        (Purpose::Kernel, Rights::ReadOnly) => "kernel read-only data",
        (Purpose::Kernel, Rights::ReadWrite) => "kernel data",
        (Purpose::BootInfo, _) => "BootInfo",
        (Purpose::Console, _) => "console",
        (Purpose::BootStack, _) => {
            report::situation().regions.add_stack("boot stack", mapping.virt);
            return;
        }
        (Purpose::DirectMap, _) => return report::situation().regions.add_direct(mapping.phys, mapping.virt),
    };
    name_region(name, Some(mapping.virt));
}
