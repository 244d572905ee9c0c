//! Takes every frame that the allocator has, and writes all of it: none may come twice, none that is not free.
//!
//! Each frame gets its own address as a stamp in every word, so the stamps of all frames are right afterwards only if
//! no two were the same, and a frame that somebody else uses shows by what breaks. Then all of it is given back.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod test {
    use kernel::frames::{DirectMap, FrameAllocator, Order};
    use kernel::machine::{console, ending};
    use kernel::println;
    use shared_abi::addr::{Frame, PAGE, PageSize};
    use shared_abi::boot_info::BootInfo;
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    const WORDS: usize = PAGE as usize / 8;

    /// A frame seen through the direct map.
    struct Page(*mut u64);

    impl Page {
        /// The stamp of a frame: no other frame's, and no address that something else would write.
        fn stamp(frame: Frame) -> u64 {
            frame.start().get() ^ 0x5EED_0000_0000_0000
        }

        fn write(&self, stamp: u64) {
            for word in 0..WORDS {
                // SAFETY: the frame was handed out and is nobody else's: that is what is tested.
                unsafe { self.0.add(word).write_volatile(stamp) };
            }
        }

        fn holds(&self, stamp: u64) -> bool {
            // SAFETY: free memory is mapped in the direct map, and reading it changes nothing.
            (0..WORDS).all(|word| unsafe { self.0.add(word).read_volatile() } == stamp)
        }

        fn begins_with(&self, stamp: u64) -> bool {
            // SAFETY: as in `holds`.
            unsafe { self.0.read_volatile() == stamp }
        }
    }

    fn expect(holds: bool, what: &str, found: u64, code: u32) {
        if !holds {
            println!("frames: {what}: {found:#x}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        let offset = info.direct_map().virt_offset;
        let page = |frame: Frame| Page(frame.start().get().wrapping_add(offset) as *mut u64);
        let free_by_map = info.free_bytes() / PAGE;
        // SAFETY: the loader maps what is free at entry read-write, and nothing else uses it.
        let memory = unsafe { DirectMap::new(offset) };
        let map = info.memory_map().map(|region| (region.range(), region.kind()));
        let mut allocator = match FrameAllocator::new(map, memory) {
            Ok(allocator) => allocator,
            Err(error) => panic!("{error}"),
        };
        let free = allocator.free_frames();
        let used = free_by_map.saturating_sub(free);
        println!("frames: {free} free of {free_by_map}, {used} for the allocator itself");
        expect(free <= free_by_map, "more free frames than free memory", free, 1);
        expect(used <= 8 + free_by_map / 2048, "the allocator's own tables are too large", used, 2);

        // What RAM holds now must not look like a stamp.
        for frame in each_free_frame(&info) {
            let stamp = Page::stamp(frame);
            if page(frame).begins_with(stamp) {
                expect(false, "stamped before it was handed out", stamp, 3);
            }
        }

        let mut taken = 0;
        while let Ok(frame) = allocator.allocate_frame() {
            let stamp = Page::stamp(frame);
            let region = info.memory_map().find(|region| region.range().contains(frame.start()));
            expect(region.is_some_and(|region| region.is_free()), "not a free frame", frame.number(), 4);
            expect(!page(frame).begins_with(stamp), "handed out twice", frame.number(), 5);
            page(frame).write(stamp);
            taken += 1;
            expect(taken <= free, "more frames than were free", taken, 6);
        }
        expect(taken == free, "fewer frames than were free", taken, 7);
        expect(allocator.free_frames() == 0, "some are left", allocator.free_frames(), 8);

        let stamped = each_free_frame(&info).filter(|&frame| page(frame).begins_with(Page::stamp(frame)));
        let mut found = 0;
        for frame in stamped {
            expect(page(frame).holds(Page::stamp(frame)), "overwritten", frame.number(), 9);
            found += 1;
        }
        expect(found == taken, "stamps are missing", found, 10);
        let intact = BootInfo::decode(info.bytes()).is_ok();
        expect(intact, "BootInfo was overwritten", 0, 11);

        for frame in each_free_frame(&info) {
            if page(frame).begins_with(Page::stamp(frame)) {
                page(frame).write(0);
                let freed = allocator.free_frame(frame);
                expect(freed.is_ok(), "cannot be given back", frame.number(), 12);
                taken -= 1;
                if taken % 1024 == 0 {
                    let again = allocator.free_frame(frame);
                    expect(again.is_err(), "was given back twice", frame.number(), 13);
                }
            }
        }
        expect(allocator.free_frames() == free, "not all are free again", allocator.free_frames(), 14);
        for region in info.memory_map().filter(|region| !region.is_free()) {
            let (first, _) = region.range().frames();
            expect(
                allocator.free_frame(first).is_err(),
                "a reserved frame was given back",
                first.number(),
                15,
            );
        }
        let block = allocator.allocate(Order::of(PageSize::Size2M));
        expect(
            block.is_ok_and(|first| first.start().is_aligned(PageSize::Size2M)),
            "no block of 2 MiB",
            0,
            16,
        );
        println!("frames: {free} taken, written, found and given back");
        ending::finish(Verdict::Good)
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }

    /// Every frame of free memory, the allocator's own tables among them.
    fn each_free_frame(info: &BootInfo<'static>) -> impl Iterator<Item = Frame> + use<> {
        info.free_memory().flat_map(|region| {
            let (first, count) = region.range().frames();
            (0..count).filter_map(move |index| first.checked_add(index))
        })
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel frames boots it");
}
