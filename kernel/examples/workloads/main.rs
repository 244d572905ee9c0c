//! The workloads of the host's tests, on the machine: frames, user spaces, heap.
//!
//! Each does as many random steps as the command line says and checks every one against a model; the user spaces are
//! looked at through the hardware's own tables walks and TLB. Then everything is given back, and the frames are as
//! they were. A step that goes wrong is said, and is the verdict.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod steps;

#[cfg(target_os = "none")]
mod workloads {
    use core::alloc::Layout;
    use core::fmt::Display;
    use core::ptr::NonNull;

    use kernel::address_space::{SpaceError, UserSpace};
    use kernel::frames::{DirectMap, FrameAllocator, PageWords};
    use kernel::heap::{Blocks, HeapError};
    use kernel::lock::Lock;
    use kernel::machine::memory::{KernelHeap, KernelResources, Memory};
    use kernel::machine::tlb::BareTlb;
    use kernel::machine::{console, ending, memory, user, vectors};
    use kernel::println;
    use shared_abi::addr::{Frame, VirtAddr};
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    use super::steps::{frames, heap, spaces};

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    /// Steps of each workload unless the command line says how many.
    const STEPS: u64 = 20_000;

    // Too large for the boot stack.
    static FRAMES: Lock<frames::Workload<256>> = Lock::new(frames::Workload::new(1));
    static SPACES: Lock<spaces::Workload> = Lock::new(spaces::Workload::new(1));
    static BLOCKS: Lock<heap::Workload<256>> = Lock::new(heap::Workload::new(1));

    impl frames::Machine for Memory {
        type Memory = DirectMap;

        fn frames(&mut self) -> &mut FrameAllocator<DirectMap> {
            // SAFETY: a workload frees the frames that it took, and refers to none by then.
            unsafe { self.frames_mut() }
        }

        fn page(&mut self, frame: Frame) -> &mut PageWords {
            let Some(address) = self.frame_address(frame) else { ending::finish(Verdict::Bad(1)) };
            // SAFETY: the workload asks for frames that it holds, which are nobody else's and in the direct map.
            unsafe { &mut *(address as *mut PageWords) }
        }
    }

    /// The CPU that runs, as EL0 has it, without leaving EL1.
    impl spaces::Machine<{ kernel::machine::cpu::MOST }> for Memory {
        type Memory = DirectMap;
        type Tlb = BareTlb;

        fn frames(&mut self) -> &mut FrameAllocator<DirectMap> {
            // SAFETY: a workload frees the frames that it took, and refers to none by then.
            unsafe { self.frames_mut() }
        }

        fn resources(&mut self) -> KernelResources<'_> {
            self.resources()
        }

        fn enter(&mut self, space: &mut UserSpace) -> Result<(), SpaceError> {
            self.enter(space)
        }

        fn leave(&mut self) {
            self.leave();
        }

        fn load(&mut self, at: VirtAddr) -> Option<u64> {
            user::load(at)
        }

        fn can_store(&mut self, at: VirtAddr) -> bool {
            user::load(at).is_some_and(|word| user::store(at, word))
        }
    }

    fn expect(holds: bool, what: &str, code: u32) {
        if !holds {
            println!("workloads: {what}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn locked<T>(action: impl FnOnce(&mut Memory) -> T) -> T {
        match memory::with(action) {
            Some(value) => value,
            None => ending::finish(Verdict::Bad(1)),
        }
    }

    /// Says what was done, or what went wrong.
    fn judge(name: &str, steps: u64, result: Result<(), impl Display>, summary: impl Display, code: u32) {
        match result {
            Ok(()) => println!("{name}: {steps} steps: {summary}"),
            Err(wrong) => {
                println!("{name}: WRONG: {wrong}, after {summary}");
                ending::finish(Verdict::Bad(code));
            }
        }
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("workloads: {error}");
            ending::finish(Verdict::Bad(1));
        }
        expect(locked(user::start), "no room for a hook", 1);
        let steps = info.command_line().trim().parse().unwrap_or(STEPS);
        let before = locked(|memory| memory.frames().free_frames());

        let mut workload = FRAMES.lock();
        let result = locked(|memory| {
            workload.run(memory, steps)?;
            workload.finish(memory)
        });
        judge("frames", steps, result, workload.summary(), 2);

        let mut workload = SPACES.lock();
        let result = locked(|memory| {
            workload.run(memory, steps)?;
            workload.finish(memory)
        });
        judge("spaces", steps, result, workload.summary(), 3);

        let mut workload = BLOCKS.lock();
        let result = HEAP.with(|heap| {
            workload.run(heap, steps)?;
            let statistics = heap.statistics();
            expect(statistics.small + statistics.large >= workload.bytes(), "the heap counts too little", 4);
            workload.finish(heap)
        });
        judge("heap", steps, result, workload.summary(), 4);

        exhaustion();
        HEAP.with(|heap| heap.trim());
        let after = locked(|memory| memory.frames().free_frames());
        expect(after == before, "frames are lost", 5);
        println!("workloads: {after} frames free, as before");
        ending::finish(Verdict::Good)
    }

    /// Takes all memory in large blocks, twice: the second time what freed small blocks had occupied must serve as
    /// well. The end is an error with sizes, and the heap goes on.
    fn exhaustion() {
        const PIECE: Layout = Layout::new::<[u8; 1 << 20]>();
        const SMALL: Layout = Layout::new::<[u8; 48]>();
        let mut pieces = [None; 512];
        let mut counts = [0; 2];
        for count in &mut counts {
            let mut last = None;
            for slot in &mut pieces {
                match HEAP.try_allocate(PIECE) {
                    Ok(piece) => *slot = Some(piece),
                    Err(error) => last = Some(error),
                }
            }
            *count = pieces.iter().flatten().count();
            let is_told = matches!(last, Some(HeapError::Exhausted { size, mapped, .. })
                if size == PIECE.size() && mapped >= *count << 20);
            expect(is_told, "exhaustion is not told with its sizes", 6);
            pieces.iter_mut().filter_map(Option::take).for_each(|piece| free(piece, PIECE));
            // Half of the memory becomes small blocks, and free again.
            let mut small = None;
            for _ in 0..(*count << 19) / 48 {
                let Ok(block) = HEAP.try_allocate(SMALL) else { break };
                // SAFETY: a block of 48 bytes, which is this function's until it is freed below.
                unsafe { block.cast::<Option<NonNull<u8>>>().write(small.replace(block)) };
            }
            while let Some(block) = small {
                // SAFETY: as it was written above.
                small = unsafe { block.cast::<Option<NonNull<u8>>>().read() };
                free(block, SMALL);
            }
        }
        let [first, second] = counts;
        expect(first > 32 && second == first, "memory of freed small blocks does not serve large ones", 7);
        expect(HEAP.try_allocate(SMALL).map(|block| free(block, SMALL)).is_ok(), "the heap is broken", 8);
        let layout = Layout::from_size_align(1 << 46, 4096).unwrap_or(PIECE);
        let refused = matches!(HEAP.try_allocate(layout), Err(HeapError::TooLarge { .. }));
        expect(refused, "64 TiB were not refused as such", 9);
        println!("heap: exhausted after {first} MiB, again after small blocks had been everywhere");
    }

    fn free(block: NonNull<u8>, layout: Layout) {
        // SAFETY: the callers' blocks, of this layout, used no more.
        let freed = HEAP.with(|heap| unsafe { heap.free(block, layout) });
        expect(freed.is_ok(), "a block was not taken back", 10);
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel workloads boots it");
}
