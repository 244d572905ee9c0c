//! What the kernel tries before it calls the handoff good. Each trial says a line and its outcome.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::story::HEAP;
use aarch64_cpu::registers::*;
use kernel::machine::memory;
use kernel::machine::translate::{Access, translate};
use kernel::println;
use shared_abi::addr::{PAGE, VirtAddr};
use shared_abi::boot_info::BootInfo;
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};

fn outcome(what: &str, good: bool) -> bool {
    println!("{what:<13} {}", if good { "ok" } else { "FAILED" });
    good
}

/// Own walker against the hardware's, at the edges of everything that is mapped and just outside.
pub fn translations(info: &BootInfo<'_>) -> bool {
    let mut addresses = Vec::new();
    for extent in info.extents() {
        addresses.extend([extent.virt_start, extent.virt_start + extent.length - 1]);
    }
    let (stack, map) = (info.boot_stack(), info.direct_map());
    addresses.extend([
        stack.virt_bottom - 1,
        stack.virt_bottom,
        stack.virt_top - 1,
        info.bytes().as_ptr() as u64,
    ]);
    for region in info.memory_map() {
        let start = map.virt_offset.wrapping_add(region.phys_start);
        addresses.extend([start, start.wrapping_add(region.length - 1)]);
    }
    let mut random = CNTVCT_EL0.get() | 1;
    let span = map.range();
    for _ in 0..2000 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        addresses.push(span.start().get() + (random >> 16) % span.len().max(1));
    }
    let mut wrong = 0;
    for address in addresses.iter().copied().filter_map(VirtAddr::new) {
        let own = memory::with(|memory| memory.walk(address).ok().map(|found| found.phys)).flatten();
        let hardware = translate(address, Access::Read);
        if own != hardware {
            println!("  {address}: the tables say {own:?}, the hardware says {hardware:?}");
            wrong += 1;
        }
    }
    println!("walks         {} addresses, own walker against the hardware's", addresses.len());
    outcome("  outcome", wrong == 0)
}

/// `Box`, `Vec`, `String` and `BTreeMap` on the heap, and everything back afterwards.
pub fn heap() -> bool {
    let before = memory::with(|memory| memory.frames.free_frames());
    let boxed = Box::new([0x5A_u8; 3 * PAGE as usize]);
    let mut numbers: Vec<u64> = (0..20_000).collect();
    numbers.retain(|number| number % 3 == 0);
    let mut text = String::new();
    for number in 0..500 {
        // A string takes every byte.
        let _ = write!(text, "{number},");
    }
    let mut map: BTreeMap<u64, Box<u64>> = (0..2_000).map(|key| (key * 7 % 2_003, Box::new(key))).collect();
    map.retain(|key, _| key % 2 == 0);
    let good = outcome("Box", boxed.iter().all(|byte| *byte == 0x5A))
        & outcome("Vec", numbers.iter().sum::<u64>() == (0..20_000).filter(|number| number % 3 == 0).sum())
        & outcome("String", text.split(',').filter_map(|word| word.parse::<u64>().ok()).eq(0..500))
        & outcome(
            "BTreeMap",
            map.iter().all(|(key, value)| **value * 7 % 2_003 == *key) && map.len() == 1_000,
        );
    let heap = HEAP.with(|heap| heap.statistics());
    println!(
        "heap          {} KiB mapped, {} KiB in small blocks, {} KiB in large ones",
        heap.mapped >> 10,
        heap.small >> 10,
        heap.large >> 10
    );
    drop((boxed, numbers, text, map));
    HEAP.with(|heap| heap.trim());
    let after = memory::with(|memory| memory.frames.free_frames());
    println!("frames        {} free before, {} after", before.unwrap_or(0), after.unwrap_or(0));
    good
}

/// The registers that the contract states and that are still as handed over.
pub fn contract(info: &BootInfo<'_>) -> bool {
    let size = PhysicalSize::from_id(ID_AA64MMFR0_EL1.get());
    let expected = EntryRegisters::ABI_1.with_physical_size(size);
    let good = SCTLR_EL1.get() == expected.sctlr_el1
        && TCR_EL1.get() == expected.tcr_el1
        && MAIR_EL1.get() == expected.mair_el1
        && CPACR_EL1.get() == expected.cpacr_el1
        && TTBR1_EL1.get() == info.page_tables().phys_root_high
        && TTBR0_EL1.get() == info.page_tables().phys_root_low
        && CurrentEL.get() == 1 << 2;
    outcome("registers", good)
}
