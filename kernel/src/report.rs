//! What the kernel was handed and what it made of it, in words.

use aarch64_cpu::registers::*;
use kernel::machine::translate::{Access, translate};
use kernel::{print, println};
use shared_abi::addr::VirtAddr;
use shared_abi::boot_info::{BootInfo, WindowId};

const MIB: u64 = 1 << 20;

/// The handoff.
pub fn handoff(info: &BootInfo<'_>) {
    let kernel = info.kernel();
    let ram = info.total_ram();
    let free = info.free_bytes();
    println!("RAM               {} MiB in {} regions", ram / MIB, info.memory_map().len());
    for region in info.memory_map() {
        println!(
            "  {} {:>10} KiB  {} {}",
            region.range(),
            region.length >> 10,
            region.kind(),
            info.string(region.name)
        );
    }
    println!(
        "kernel image      {} slide {:#x}, entry {:#018x}",
        kernel.range(),
        kernel.slide,
        kernel.virt_entry
    );
    for extent in info.extents() {
        println!("  {} {} {} at {}", extent.virt(), extent.rights(), extent.origin, extent.phys());
    }
    println!("frames            {} free of {}, {} MiB usable", free >> 12, ram >> 12, free / MIB);
    let tables = info.page_tables();
    println!(
        "page tables       TTBR1 {:#x}, TTBR0 {:#x}, {} tables",
        tables.phys_root_high, tables.phys_root_low, tables.table_count
    );
    if let Some(heap) = info.window(WindowId::HEAP) {
        println!("heap window       {heap}");
    }
    let sctlr = SCTLR_EL1.get();
    let on = |bit: u32| if sctlr >> bit & 1 != 0 { "on" } else { "off" };
    println!("hardware          MMU {}, D-cache {}, I-cache {}, WXN {}", on(0), on(2), on(12), on(19));
    print!("AT                {:#018x} leads to ", kernel.virt_entry);
    match VirtAddr::new(kernel.virt_entry).and_then(|entry| translate(entry, Access::Read)) {
        Some(phys) => println!("{phys}"),
        None => println!("a fault"),
    }
    for stage in info.timeline() {
        println!("  {:>10} {}", stage.ticks, info.string(stage.name));
    }
}
