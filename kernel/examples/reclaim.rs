//! Takes back everything that the loader left, and goes on without it.
//!
//! Kind by kind, as the contract's table says: too early it is refused, a second time as well. In the end the kernel
//! runs on a stack and on tables of its own, with its own vectors and without `BootInfo`; then every free frame is
//! overwritten, and whatever were still in use would show.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod reclaim {
    use alloc::vec::Vec;
    use core::arch::asm;

    use handoff_bare::cell::BorrowCell;
    use handoff_bare::translate::{Access, translate};
    use kernel::machine::memory::{KernelHeap, Memory};
    use kernel::machine::{console, ending, memory, user, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, PageSize, PhysAddr, VirtAddr, VirtRange};
    use shared_abi::boot_info::{BootInfo, PlatformFlags, WindowId};
    use shared_abi::entry::Handoff;
    use shared_abi::memory::RegionKind;
    use shared_abi::rights::Rights;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    /// Bytes of the stack that the kernel moves to, above a page that stays unmapped.
    const STACK: u64 = 64 << 10;

    /// What was handed over, on its way to the other stack.
    static TOLD: BorrowCell<Option<Handoff>> = BorrowCell::new(None);

    fn expect(holds: bool, what: &str, found: u64, code: u32) {
        if !holds {
            println!("reclaim: does not hold: {what}; found {found:#x}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn locked<T>(action: impl FnOnce(&mut Memory) -> T) -> T {
        match memory::with(action) {
            Some(value) => value,
            None => ending::finish(Verdict::Bad(1)),
        }
    }

    /// The code of a refusal, 0 for none, and the frames.
    fn take(info: &BootInfo<'_>, kind: RegionKind) -> (u16, u64) {
        // SAFETY: the callers take what this kernel has left, or what must be refused.
        match locked(|memory| unsafe { memory.reclaim(info, kind) }) {
            Ok(frames) => (0, frames),
            Err(error) => {
                println!("  {kind}: error E{:04}: {error}", error.code());
                (error.code(), 0)
            }
        }
    }

    /// Takes a kind that has been left: as many frames as the map lists become free, all of them, and once.
    fn taken(info: &BootInfo<'_>, kind: RegionKind) {
        let of_kind =
            || info.memory_map().filter(|region| region.kind() == kind).map(|region| region.range());
        let listed: u64 = of_kind().map(|range| range.len() / PAGE).sum();
        let pages = of_kind().flat_map(|range| [range.start().get(), range.end() - PAGE]);
        let mut ends: Vec<u64> = Vec::with_capacity(64);
        ends.extend(pages.take(64));
        let before = locked(|memory| memory.frames().free_frames());
        let offset = info.direct_map().virt_offset;
        let (code, frames) = take(info, kind);
        expect(code == 0 && frames == listed, "the kind is not given back as it is listed", frames, 2);
        let now = locked(|memory| memory.frames().free_frames());
        // Tables that the kernel had added come back with the loader's; copies of all are made.
        expect(now >= before || kind == RegionKind::PAGE_TABLES, "fewer frames are free than before", now, 3);
        for page in ends {
            let virt = VirtAddr::new(page.wrapping_add(offset));
            let writable = virt.and_then(|virt| translate(virt, Access::Write)) == PhysAddr::new(page);
            expect(writable, "a frame cannot be written", page, 4);
        }
        println!("reclaim: {kind}: {frames} frames");
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("reclaim: {error}");
            ending::finish(Verdict::Bad(1));
        }
        let untyped: u64 = info.untypeds().map(|block| block.bytes()).sum();
        expect(untyped == info.free_bytes(), "untypeds are not the free memory", untyped, 5);
        // Too early.
        expect(take(&info, RegionKind::LOADER_RESIDENT).0 == 951, "the vectors were taken away", 0, 6);
        expect(take(&info, RegionKind::BOOT_STACK).0 == 951, "the stack was taken away", 0, 6);
        for kind in [RegionKind::USABLE, RegionKind::FIRMWARE, RegionKind::NO_MAP, RegionKind::KERNEL] {
            expect(take(&info, kind).0 == 909, "a kind was taken that is never given back", kind.0.into(), 6);
        }
        vectors::install(&info);
        expect(locked(user::start), "no room for a hook", 0, 7);
        let top = locked(|memory| {
            let start = memory.window().start().checked_add(PAGE)?;
            let stack = VirtRange::new(start, STACK)?;
            memory.populate(stack).ok()?;
            // SAFETY: nothing is edited but the set of what must stay.
            unsafe { memory.kernel() }.0.pin(stack).ok()?;
            Some(stack.end())
        });
        expect(TOLD.try_borrow_mut().map(|mut told| *told = Some(info)).is_some(), "it was told", 0, 7);
        // SAFETY: the stack is mapped and nobody else's; what is on the boot stack is not used again.
        unsafe {
            asm!(
                "mov sp, {top}",
                "mov x29, xzr",
                "mov x30, xzr",
                "b {on}",
                top = in(reg) top.unwrap_or_else(|| ending::finish(Verdict::Bad(7))),
                on = sym on_own_stack,
                options(noreturn),
            )
        }
    }

    extern "C" fn on_own_stack() -> ! {
        let told = TOLD.try_borrow_mut().and_then(|mut told| told.take());
        let info = told.unwrap_or_else(|| ending::finish(Verdict::Bad(7)));
        taken(&info, RegionKind::LOADER_RESIDENT);
        expect(take(&info, RegionKind::LOADER_RESIDENT).0 == 910, "the loader was given back twice", 0, 8);
        taken(&info, RegionKind::BOOT_STACK);
        taken(&info, RegionKind::PAGE_TABLES);
        for kind in [RegionKind::MODULE, RegionKind::INITRD, RegionKind::DEVICE_TREE] {
            taken(&info, kind);
        }
        let windows = [WindowId::LOADER, WindowId::BOOT_INFO].map(|id| info.window(id));
        let stack = info.boot_stack().range();
        let has_stub = info.platform().flags.contains(PlatformFlags::EL2_STUB);
        taken(&info, RegionKind::BOOT_INFO);
        for range in windows.into_iter().flatten().chain([stack]) {
            for page in (range.start().get()..range.end()).step_by(PAGE as usize) {
                let at = VirtAddr::new(page).and_then(|page| translate(page, Access::Read));
                expect(at.is_none(), "a window of the loader's is still mapped", page, 9);
            }
        }
        overwrite();
        still_works();
        // The stub that stayed at EL2 answers calls that nobody serves.
        if has_stub {
            let answer: i64;
            // SAFETY: the stub returns −1 and changes nothing else.
            unsafe { asm!("hvc #0", inout("x0") 0xDEAD_i64 => answer, clobber_abi("C")) };
            expect(answer == -1, "EL2 does not answer", answer as u64, 10);
            println!("reclaim: EL2 still answers");
        }
        println!("reclaim: nothing of the loader's is left, and nothing is missed");
        ending::finish(Verdict::Good)
    }

    /// Writes to every frame that is free, and gives all of them back.
    fn overwrite() {
        let mut count = 0;
        locked(|memory| {
            let (mut first, free) = (None, memory.frames().free_frames());
            // SAFETY: what is freed below is what is allocated here.
            while let Ok(frame) = unsafe { memory.frames_mut() }.allocate_frame() {
                let Some(page) = memory.frame_address(frame) else { break };
                // SAFETY: the frame was handed out, and the direct map has it; a chain of them in their first words.
                unsafe {
                    (page as *mut u8).write_bytes(0xA5, PAGE as usize);
                    (page as *mut Option<shared_abi::addr::Frame>).write(first.replace(frame));
                }
                count += 1;
            }
            expect(count == free, "not every free frame can be written", count, 11);
            while let Some(frame) = first {
                let Some(page) = memory.frame_address(frame) else { break };
                // SAFETY: as it was written above.
                first = unsafe { (page as *const Option<shared_abi::addr::Frame>).read() };
                expect(
                    // SAFETY: it was allocated above, and its words were read.
                    unsafe { memory.frames_mut() }.free_frame(frame).is_ok(),
                    "a frame was not taken back",
                    frame.number(),
                    12,
                );
            }
            expect(
                memory.frames().free_frames() == free,
                "frames are lost",
                memory.frames().free_frames(),
                13,
            );
        });
        println!("reclaim: {count} free frames overwritten");
    }

    /// Heap, tables and spaces, on what is left.
    fn still_works() {
        let numbers: Vec<u64> = (0..100_000).collect();
        expect(numbers.iter().sum::<u64>() == 4_999_950_000, "the heap lost a number", 0, 14);
        drop(numbers);
        let page =
            VirtAddr::new(0x4000_0000).and_then(|at| VirtRange::new(at, PAGE)).unwrap_or(VirtRange::EMPTY);
        let word = locked(|memory| {
            let mut space = memory.new_space().ok()?;
            space.populate(&mut memory.resources(), page, Rights::ReadWrite, PageSize::Size4K).ok()?;
            space.write(&mut memory.resources(), page.start(), &7_u64.to_le_bytes()).ok()?;
            memory.enter(&mut space).ok()?;
            let word = user::load(page.start());
            memory.leave();
            space.destroy(&mut memory.resources()).ok()?;
            word
        });
        expect(word == Some(7), "a user space lost its word", word.unwrap_or(0), 15);
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel reclaim boots it");
}
