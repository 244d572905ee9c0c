//! A kernel in a few lines: prints what it was handed.
//!
//! It is a second kernel behind the same loader, and a start for one of your own: copy it, keep `entry!`, and write
//! your `kmain`.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod bare;

use shared_abi::entry::Handoff;
use shared_abi::verdict::Verdict;

shared_abi::entry!(kmain);

fn kmain(info: Handoff) -> ! {
    bare::start(&info);
    let (kernel, platform, map) = (info.kernel(), info.platform(), info.direct_map());
    say!("hello from {:#018x}, slid by {:#x}", kernel.virt_entry, kernel.slide);
    say!("{}, entered at EL{}", info.string(platform.model), platform.entry_exception_level);
    say!("RAM {} MiB, free {} MiB", info.total_ram() >> 20, info.free_bytes() >> 20);
    for region in info.memory_map() {
        say!("  {} {} {}", region.range(), region.kind(), info.string(region.name));
    }
    for extent in info.extents() {
        say!("  {} at {} {} {}", extent.virt(), extent.phys(), extent.rights(), extent.origin);
    }
    say!("physical address 0 would be at {:#018x}", map.virt_offset);
    say!("{} CPU(s), command line \"{}\"", info.cpus().count(), info.command_line());
    if let Some(initrd) = info.initrd() {
        say!("initrd of {} bytes at {}", initrd.length, initrd.phys());
    }
    for module in info.modules() {
        say!("module {} at {}", info.string(module.name), module.phys());
    }
    bare::end(Verdict::Good)
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel hello boots it");
}
