//! What the kernel tries before it calls the handoff good: one milestone a line, each with its outcome.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use crate::story::HEAP;
use aarch64_cpu::registers::*;
use handoff_bare::translate::{Access, translate};
use kernel::address_space::SpaceError;
use kernel::frames::{FrameError, FrameRange, Order};
use kernel::machine::memory::{self, Memory};
use kernel::machine::user;
use kernel::println;
use shared_abi::addr::{PAGE, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::rights::Rights;
use shared_abi::vmsa::{Attributes, MemoryType, Privilege};

/// All of them, in the order in which each needs the ones before. Whether all are reached.
pub fn milestones(info: &BootInfo<'static>) -> bool {
    addresses(info)
        & frames()
        & sizes(info)
        & registers(info)
        & machine(info)
        & collections()
        & walks(info)
        & spaces(info)
}

/// A milestone's line: what was looked at, and its outcome.
fn milestone(name: &str, good: bool, what: impl Display) -> bool {
    println!("{name:<13} {}: {what}", if good { "ok" } else { "FAILED" });
    good
}

/// Errors of what a milestone does: they are its outcome.
fn tried(name: &str, result: Result<bool, impl Display>, what: impl Display) -> bool {
    match result {
        Ok(good) => milestone(name, good, what),
        Err(error) => milestone(name, false, error),
    }
}

fn locked<T>(action: impl FnOnce(&mut Memory) -> T) -> T {
    memory::with(action).unwrap_or_else(|| unreachable!("memory is started before anything is tried"))
}

/// Address types refuse what no register of this machine could mean.
fn addresses(info: &BootInfo<'_>) -> bool {
    let map = info.direct_map();
    let (start, end) = (map.phys_start, map.phys_end);
    let there = PhysAddr::new(start).and_then(|phys| map.virt(phys));
    let good = VirtAddr::new(0x0001_0000_0000_0000).is_none()
        && VirtAddr::new(0xFFFE_FFFF_FFFF_FFFF).is_none()
        && PhysAddr::new(1 << 48).is_none()
        && VirtAddr::new(0x0000_FFFF_FFFF_F000).is_some_and(|last| last.checked_add(PAGE).is_none())
        && VirtRange::from_bounds(0x0000_FFFF_FFFF_F000, 0xFFFF_0000_0000_0000).is_none()
        && PhysAddr::new(end).is_none_or(|past| map.virt(past).is_none())
        && there.is_some_and(|virt| translate(virt, Access::Read) == PhysAddr::new(start));
    milestone("address types", good, "no address without a meaning, no sum past an end")
}

/// Frames of three orders and a range come and go; what is wrong is refused.
fn frames() -> bool {
    let tried_all = || {
        locked(|memory| {
            // SAFETY: what is freed here was allocated here, and nothing refers to it.
            let frames = unsafe { memory.frames_mut() };
            let before = frames.free_frames();
            let one = frames.allocate_frame()?;
            let block = frames.allocate_zeroed(Order::CHUNK)?;
            let range = frames.allocate_range(700, Order::FRAME)?;
            let taken = before - frames.free_frames() == 1 + 512 + 700;
            let aligned = block.start().is_aligned(PageSize::Size2M);
            let wrong = [
                frames.free(block, Order::FRAME),
                frames.free_range(FrameRange::new(range.first(), 699).unwrap_or(range)),
            ];
            frames.free_frame(one)?;
            frames.free(block, Order::CHUNK)?;
            frames.free_range(range)?;
            let again = frames.free_frame(one);
            let now = frames.statistics();
            let adds_up = now.free + now.allocated + now.reserved == now.total && now.free == before;
            let refused = wrong.iter().chain([&again]).all(Result::is_err);
            Ok::<_, FrameError>(taken && aligned && refused && adds_up)
        })
    };
    tried("frames", tried_all(), "4 KiB, 2 MiB, 700 in a row; wrong frees refused, the sum right")
}

/// One range, mapped at three sizes. It shows device registers, as Device memory that nothing touches: RAM would
/// have to be 1 GiB of it.
fn sizes(info: &BootInfo<'_>) -> bool {
    const GIB: u64 = PageSize::Size1G.bytes();
    const MIB_2: u64 = PageSize::Size2M.bytes();
    let tried_all = || {
        let phys = info.console().map_or(0, |console| console.phys_base) & !(GIB - 1);
        let phys = PhysAddr::new(phys).unwrap_or_default();
        // Above or below where the kernel was slid to.
        let window = info.window(WindowId::SLIDE).unwrap_or(VirtRange::EMPTY);
        let places = [window.start().get(), window.end().saturating_sub(2 * GIB)];
        let length = GIB + MIB_2 + PAGE;
        let ranges = places.into_iter().filter_map(|start| VirtRange::from_bounds(start, start + length));
        let range = ranges.into_iter().find(|range| !range.overlaps(info.kernel().range()));
        let range = range.unwrap_or(VirtRange::EMPTY);
        locked(|memory| {
            // SAFETY: the addresses were chosen where nobody else has any.
            let (space, mut with) = unsafe { memory.kernel() };
            let device = Attributes::new(MemoryType::DeviceNGnRnE, Rights::ReadOnly, Privilege::Kernel);
            let device = device.unwrap_or(Attributes::kernel(Rights::ReadOnly));
            space.map(&mut with, range, phys, device, PageSize::Size1G)?;
            let mut good = true;
            for (offset, size) in [
                (GIB - 1, PageSize::Size1G),
                (GIB + MIB_2 - 1, PageSize::Size2M),
                (length - 1, PageSize::Size4K),
            ] {
                let at = range.start().checked_add(offset).unwrap_or(range.start());
                let found = space.translate(&mut with, at)?;
                good &= found.size == size && phys.checked_add(offset) == Some(found.phys);
                good &= translate(at, Access::Read) == Some(found.phys);
                good &= translate(at, Access::Write).is_none();
            }
            space.unmap(&mut with, range)?;
            good &= translate(range.start(), Access::Read).is_none();
            Ok::<_, SpaceError>(good)
        })
    };
    tried("page tables", tried_all(), "1 GiB, 2 MiB and 4 KiB for one range, and all of it gone")
}

/// TTBR1 has the kernel's half, TTBR0 the empty one, as handed over.
fn registers(info: &BootInfo<'_>) -> bool {
    let tables = info.page_tables();
    let high = translate(VirtAddr::HIGH_HALF, Access::Read);
    let low = [0, PAGE, 1 << 40].into_iter().filter_map(VirtAddr::new);
    let good = TTBR1_EL1.get() == tables.phys_root_high
        && TTBR0_EL1.get() == tables.phys_root_low
        && TCR_EL1.is_set(TCR_EL1::EPD0)
        && high == locked(|memory| memory.walk(VirtAddr::HIGH_HALF).ok().map(|found| found.phys))
        && low.into_iter().all(|address| translate(address, Access::Read).is_none());
    milestone("TTBR0, TTBR1", good, "the kernel above, nothing below")
}

/// The registers that the contract states and that are still as handed over.
fn machine(info: &BootInfo<'_>) -> bool {
    let size = PhysicalSize::from_id(ID_AA64MMFR0_EL1.get());
    let expected = EntryRegisters::ABI_1.with_physical_size(size);
    let good = SCTLR_EL1.get() == expected.sctlr_el1
        && TCR_EL1.get() == expected.tcr_el1
        && MAIR_EL1.get() == expected.mair_el1
        && CPACR_EL1.get() == expected.cpacr_el1
        && CurrentEL.get() == 1 << 2
        && !info.extents().any(|extent| {
            let (start, rights) = (extent.virt().start(), extent.rights());
            translate(start, Access::Read).is_none()
                || translate(start, Access::Write).is_some() != rights.is_writable()
        });
    milestone("MMU on", good, "EL1, every register as the contract has it, every extent with its rights")
}

/// `Box`, `Vec`, `String` and `BTreeMap` on the heap, and everything back afterwards.
fn collections() -> bool {
    let before = locked(|memory| memory.frames().free_frames());
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
    let mut good = boxed.iter().all(|byte| *byte == 0x5A)
        & (numbers.iter().sum::<u64>() == (0..20_000).filter(|number| number % 3 == 0).sum())
        & text.split(',').filter_map(|word| word.parse::<u64>().ok()).eq(0..500)
        & map.iter().all(|(key, value)| **value * 7 % 2_003 == *key)
        & (map.len() == 1_000);
    let heap = HEAP.with(|heap| heap.statistics());
    drop((boxed, numbers, text, map));
    HEAP.with(|heap| heap.trim());
    let after = locked(|memory| memory.frames().free_frames());
    good &= before == after && HEAP.with(|heap| heap.statistics()).mapped == 0;
    let (mapped, small, large) = (heap.mapped >> 10, heap.small >> 10, heap.large >> 10);
    milestone(
        "heap",
        good,
        format_args!(
            "Box, Vec, String, BTreeMap in {mapped} KiB, {small} small, {large} large; all frames back"
        ),
    )
}

/// Own walker against the hardware's: thousands of random addresses all over the address space, and the edges of
/// everything that is mapped.
fn walks(info: &BootInfo<'_>) -> bool {
    const RANDOM: u64 = 4_000;
    let mut edges = Vec::new();
    let mut add = |range: VirtRange| {
        let (first, last) = (range.start().get(), range.end().wrapping_sub(1));
        edges.extend([first.wrapping_sub(1), first, last, last.wrapping_add(1)]);
    };
    info.extents().for_each(|extent| add(extent.virt()));
    info.windows().for_each(|window| add(window.range()));
    add(info.boot_stack().range());
    for region in info.memory_map() {
        let start = info.direct_map().virt_offset.wrapping_add(region.phys_start);
        VirtRange::from_bounds(start, start.wrapping_add(region.length)).into_iter().for_each(&mut add);
    }
    let places = [
        info.direct_map().range(),
        info.kernel().range(),
        info.boot_stack().range(),
        info.window(WindowId::LOADER).unwrap_or(VirtRange::EMPTY),
        info.window(WindowId::HEAP).unwrap_or(VirtRange::EMPTY),
        VirtRange::from_bounds(0xFFFF_0000_0000_0000, 0xFFFF_FFFF_FFFF_F000).unwrap_or(VirtRange::EMPTY),
    ];
    let mut random = CNTVCT_EL0.get() | 1;
    let random = (0..RANDOM).map(|step| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = places[step as usize % places.len()];
        place.start().get() + (random >> 16) % place.len().max(1)
    });
    let (mut mapped, mut unmapped, mut wrong) = (0, 0, 0);
    for address in edges.into_iter().chain(random).filter_map(VirtAddr::new).filter(|at| at.is_high()) {
        let own = locked(|memory| memory.walk(address).ok());
        let hardware = [Access::Read, Access::Write].map(|access| translate(address, access));
        let writable = own.is_some_and(|found| found.attributes.rights().is_writable());
        let phys = own.map(|found| found.phys);
        if hardware != [phys, phys.filter(|_| writable)] {
            println!("  {address}: the tables say {own:?}, the hardware says {hardware:?}");
            wrong += 1;
        }
        *(if own.is_some() { &mut mapped } else { &mut unmapped }) += 1;
    }
    let good = wrong == 0 && mapped > RANDOM / 4 && unmapped > RANDOM / 8;
    milestone(
        "walks",
        good,
        format_args!("own walker as the hardware's at {mapped} mapped and {unmapped} unmapped addresses"),
    )
}

/// Two user spaces with different memory at one address, as EL0 has it; and the kernel out of reach.
fn spaces(info: &BootInfo<'static>) -> bool {
    const WORDS: [u64; 2] = [0xAAAA, 0xBBBB];
    let page = VirtAddr::new(0x4000_0000).and_then(|at| VirtRange::new(at, PAGE)).unwrap_or(VirtRange::EMPTY);
    let tried_all = || {
        locked(|memory| {
            let before = memory.frames().free_frames();
            let mut good = user::start(memory);
            let mut spaces = [memory.new_space()?, memory.new_space()?];
            for (space, word) in spaces.iter_mut().zip(WORDS) {
                space.populate(&mut memory.resources(), page, Rights::ReadWrite, PageSize::Size4K)?;
                space.write(&mut memory.resources(), page.start(), &word.to_le_bytes())?;
            }
            let secrets = info.extents().map(|extent| extent.virt().start());
            for (space, word) in spaces.iter_mut().zip(WORDS) {
                memory.enter(space)?;
                good &= user::load(page.start()) == Some(word) && user::store(page.start(), !word);
                good &= secrets.clone().all(|secret| user::load(secret).is_none());
            }
            memory.leave();
            good &= user::load(page.start()).is_none();
            for (mut space, word) in spaces.into_iter().zip(WORDS) {
                let mut found = [0; 8];
                space.read(&mut memory.resources(), page.start(), &mut found)?;
                good &= u64::from_le_bytes(found) == !word;
                space.destroy(&mut memory.resources()).map_err(|(_, error)| error)?;
            }
            Ok::<_, SpaceError>(good && memory.frames().free_frames() == before)
        })
    };
    tried("spaces", tried_all(), "two words at one address, the kernel's out of reach, all frames back")
}
