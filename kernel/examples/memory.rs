//! The kernel of docs/kernel-memory.md: frames, heap, spaces and faults, each used once.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod example {
    use alloc::vec::Vec;

    use kernel::address_space::SpaceError;
    use kernel::faults::{DemandZero, Interest, ZeroPages};
    use kernel::frames::{FrameError, Order};
    use kernel::machine::memory::{self, KernelHeap, Memory};
    use kernel::machine::{console, ending, user, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, PageSize, VirtAddr, VirtRange};
    use shared_abi::entry::Handoff;
    use shared_abi::rights::Rights;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("{error}");
            ending::finish(Verdict::Bad(1));
        }
        println!("memory: frames {:?}", memory::with(frames));
        println!("memory: {} squares on the heap", squares().len());
        println!("memory: spaces {:?}", memory::with(two_spaces));
        println!("memory: demand-zero {:?}", demand_zero());
        ending::finish(Verdict::Good)
    }

    fn frames(memory: &mut Memory) -> Result<u64, FrameError> {
        // SAFETY: what is freed here was allocated here, and nothing refers to it.
        let frames = unsafe { memory.frames_mut() };
        let one = frames.allocate_frame()?;
        let block = frames.allocate_zeroed(Order::CHUNK)?; // 2 MiB, at a multiple of 2 MiB
        let run = frames.allocate_range(700, Order::FRAME)?; // any length
        frames.free_frame(one)?;
        frames.free(block, Order::CHUNK)?;
        frames.free_range(run)?;
        assert!(frames.free_frame(one).is_err()); // E0907: it is free already
        let counted = frames.statistics();
        assert_eq!(counted.free + counted.allocated + counted.reserved, counted.total);
        Ok(counted.total)
    }

    fn squares() -> Vec<u64> {
        (0..1000).map(|number| number * number).collect()
    }

    fn two_spaces(memory: &mut Memory) -> Result<[Option<u64>; 2], SpaceError> {
        user::start(memory);
        let page =
            VirtAddr::new(0x40_0000).and_then(|at| VirtRange::new(at, PAGE)).unwrap_or(VirtRange::EMPTY);
        let mut seen = [None; 2];
        for (seen, word) in seen.iter_mut().zip([7_u64, 8]) {
            let mut space = memory.new_space()?;
            space.populate(&mut memory.resources(), page, Rights::ReadWrite, PageSize::Size2M)?;
            space.write(&mut memory.resources(), page.start(), &word.to_le_bytes())?;
            memory.enter(&mut space)?; // TTBR0 and an ASID
            *seen = user::load(page.start()); // what EL0 would read; user::run runs code there
            memory.leave();
            space.destroy(&mut memory.resources()).map_err(|(_, error)| error)?;
        }
        Ok(seen)
    }

    struct Pages;

    impl ZeroPages for Pages {
        fn map_zeroed(&self, page: VirtAddr) -> Result<(), &'static str> {
            let page = VirtRange::new(page, PAGE).ok_or("not a page")?;
            let mapped = memory::try_with(|memory| memory.populate(page)).ok_or("the memory is in use")?;
            mapped.map_err(|_| "no frame is free")
        }
    }

    /// The last 16 MiB of the heap window, which are the kernel's and not the heap's.
    const RANGE: VirtRange = match VirtRange::from_bounds(0xFFFF_007F_FF00_0000, 0xFFFF_0080_0000_0000) {
        Some(range) => range,
        None => panic!("a range of the high half"),
    };

    static DEMAND: DemandZero<Pages> = DemandZero::new(RANGE, Pages);

    fn demand_zero() -> Option<u64> {
        vectors::add_hook(Interest::Address(RANGE), &DEMAND).then_some(())?;
        let place = RANGE.start().get() as *mut u64;
        // SAFETY: nobody else uses the range; the first touch faults, and the hook maps a page.
        unsafe {
            place.write_volatile(42);
            Some(place.read_volatile())
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel memory boots it");
}
