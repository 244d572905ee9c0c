//! What the kernel was handed and what it made of it, in words.

use aarch64_cpu::registers::*;
use handoff_bare::translate;
use kernel::frames::Order;
use kernel::machine::memory;
use kernel::{print, println};
use shared_abi::addr::PAGE_SHIFT;
use shared_abi::boot_info::{BootInfo, WindowId};

const MIB: u64 = 1 << 20;

/// What the loader did and left.
pub fn handoff(info: &BootInfo<'_>) {
    let platform = info.platform();
    let model = info.string(platform.model);
    let kernel = info.kernel();
    let (ram, free) = (info.total_ram(), info.free_bytes());
    println!("machine       {model}, entered at EL{}", platform.entry_exception_level);
    println!("RAM           {} MiB in {} regions", ram / MIB, info.memory_map().len());
    for region in info.memory_map() {
        let name = info.string(region.name);
        println!("  {} {:>9} KiB  {}  {name}", region.range(), region.length >> 10, region.kind());
    }
    println!(
        "kernel        {}, slide {:#x}, entry {:#018x}",
        kernel.range(),
        kernel.slide,
        kernel.virt_entry
    );
    for extent in info.extents() {
        println!("  {} {} {} at {}", extent.virt(), extent.rights(), extent.origin, extent.phys());
    }
    println!(
        "  pages: {} in place, {} copied, {} zeroed",
        kernel.pages_in_place, kernel.pages_copied, kernel.pages_zeroed
    );
    println!("frames        {} free of {}, {} MiB usable", free >> PAGE_SHIFT, ram >> PAGE_SHIFT, free / MIB);
    let tables = info.page_tables();
    println!(
        "page tables   TTBR1 {:#x}, TTBR0 {:#x}, {} tables",
        tables.phys_root_high, tables.phys_root_low, tables.table_count
    );
    let map = info.direct_map();
    println!("direct map    {} of {}", map.range(), map.phys());
    if let Some(heap) = info.window(WindowId::HEAP) {
        println!("heap window   {heap}");
    }
}

/// The state of MMU and caches, as the registers have it.
pub fn hardware(info: &BootInfo<'_>) {
    let on = |set: bool| if set { "on" } else { "off" };
    let sctlr = SCTLR_EL1.get();
    println!(
        "hardware      MMU {}, D-cache {}, I-cache {}, WXN {}, TTBR0 walks {}",
        on(SCTLR_EL1.is_set(SCTLR_EL1::M)),
        on(SCTLR_EL1.is_set(SCTLR_EL1::C)),
        on(SCTLR_EL1.is_set(SCTLR_EL1::I)),
        on(sctlr >> 19 & 1 != 0),
        on(!TCR_EL1.is_set(TCR_EL1::EPD0)),
    );
    let entry = shared_abi::addr::VirtAddr::new(info.kernel().virt_entry);
    match entry.and_then(|entry| translate::translate(entry, translate::Access::Read)) {
        Some(phys) => println!("AT            {:#018x} leads to {phys}", info.kernel().virt_entry),
        None => println!("AT            {:#018x} leads to a fault", info.kernel().virt_entry),
    }
}

/// The frame allocator as it stands.
pub fn memory() {
    let Some(statistics) = memory::with(|memory| memory.statistics()) else { return };
    println!(
        "allocator     {} frames free, {} allocated, {} reserved, {} KiB of metadata",
        statistics.free,
        statistics.allocated,
        statistics.reserved,
        (statistics.metadata << PAGE_SHIFT) >> 10
    );
    print!("  free blocks by order:");
    for (order, count) in statistics.free_blocks.iter().enumerate().filter(|(_, count)| **count > 0) {
        print!(" {order}:{count}");
    }
    let largest = statistics.largest().map_or(0, Order::bytes);
    let unusable = statistics.unusable_permille(Order::CHUNK);
    println!("; the largest is {} KiB, {unusable} of 1000 frames are in none of 2 MiB", largest >> 10);
}
