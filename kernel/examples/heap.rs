//! Works the heap hard and checks every byte: nothing overlaps, nothing is lost, and all frames come back.
//!
//! Blocks of all sizes and alignments are allocated, filled with a pattern of their own, resized and freed in an order
//! that a small generator decides; each block's pattern is compared before it goes.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod test {
    use alloc::alloc::{alloc, dealloc, realloc};
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::alloc::Layout;

    use kernel::machine::memory::KernelHeap;
    use kernel::machine::{console, ending, memory};
    use kernel::println;
    use shared_abi::boot_info::{BootInfo, WindowId};
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    const ROUNDS: u64 = 40_000;
    const SLOTS: usize = 500;

    struct Block {
        start: *mut u8,
        layout: Layout,
        pattern: u8,
    }

    impl Block {
        fn fill(&self) {
            // SAFETY: the block is this test's, of the layout's size.
            unsafe { self.start.write_bytes(self.pattern, self.layout.size()) };
        }

        fn is_intact(&self, length: usize) -> bool {
            // SAFETY: as in `fill`; `length` is at most the size.
            let bytes = unsafe { core::slice::from_raw_parts(self.start, length) };
            bytes.iter().all(|&byte| byte == self.pattern)
        }
    }

    fn expect(holds: bool, what: &str, code: u32) {
        if !holds {
            println!("heap: {what}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn kmain(info: BootInfo<'static>) -> ! {
        console::start(&info);
        ending::start(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("heap: {error}");
            ending::finish(Verdict::Bad(1));
        }
        HEAP.with(|heap| heap.trim());
        let free = memory::with(|memory| memory.frames.free_frames());
        blocks(&info);
        collections();
        too_large();
        HEAP.with(|heap| heap.trim());
        let left = memory::with(|memory| memory.frames.free_frames());
        println!("heap: {free:?} frames free before, {left:?} after");
        // Tables that lead to the window stay, at most a few.
        let kept = free.zip(left).map(|(free, left)| free.saturating_sub(left));
        expect(kept.is_some_and(|kept| kept <= 32), "frames are lost", 2);
        println!("heap: {ROUNDS} rounds, every byte as it was left");
        ending::finish(Verdict::Good)
    }

    fn blocks(info: &BootInfo<'static>) {
        let window = info.window(WindowId::HEAP);
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut slots: Vec<Option<Block>> = (0..SLOTS).map(|_| None).collect();
        for round in 0..ROUNDS {
            let (choice, size, alignment) = (next(), next(), next());
            // Mostly small, now and then up to 256 KiB; alignments up to 4 KiB.
            let size = 1 + (size >> 8) as usize % (8 << (size % 16));
            let layout = Layout::from_size_align(size, 1 << (alignment % 13)).unwrap_or(Layout::new::<u64>());
            let slot = &mut slots[choice as usize % SLOTS];
            match slot.take() {
                None => {
                    // SAFETY: the layout's size is not zero.
                    let start = unsafe { alloc(layout) };
                    expect(!start.is_null(), "out of memory", 3);
                    expect(start.align_offset(layout.align()) == 0, "a block is misaligned", 4);
                    let place = shared_abi::addr::VirtAddr::new(start as u64);
                    let inside = window.zip(place).is_some_and(|(window, place)| window.contains(place));
                    expect(inside, "a block outside the heap window", 5);
                    let block = Block { start, layout, pattern: round as u8 | 1 };
                    block.fill();
                    *slot = Some(block);
                }
                Some(block) if choice >> 32 & 3 == 0 => {
                    // SAFETY: the block is live, of this layout; the size is not zero.
                    let start = unsafe { realloc(block.start, block.layout, size) };
                    expect(!start.is_null(), "out of memory", 3);
                    let kept = size.min(block.layout.size());
                    let layout = Layout::from_size_align(size, block.layout.align()).unwrap_or(block.layout);
                    let block = Block { start, layout, pattern: block.pattern };
                    expect(block.is_intact(kept), "a resized block lost its contents", 6);
                    block.fill();
                    *slot = Some(block);
                }
                Some(block) => {
                    expect(block.is_intact(block.layout.size()), "a block was overwritten", 7);
                    // SAFETY: the block is live, of this layout, and not used again.
                    unsafe { dealloc(block.start, block.layout) };
                }
            }
        }
        for block in slots.into_iter().flatten() {
            expect(block.is_intact(block.layout.size()), "a block was overwritten", 7);
            // SAFETY: as above.
            unsafe { dealloc(block.start, block.layout) };
        }
    }

    fn collections() {
        let mut map: BTreeMap<u64, Box<String>> = BTreeMap::new();
        for key in 0..2_000u64 {
            map.insert(key.wrapping_mul(0x9E37_79B9) % 4_096, Box::new(alloc::format!("value {key}")));
        }
        map.retain(|key, _| key % 3 == 0);
        expect(map.values().all(|value| value.starts_with("value ")), "a map lost a value", 8);
        let sum: u64 = (0..100_000u64).collect::<Vec<_>>().iter().sum();
        expect(sum == 4_999_950_000, "a vector lost a number", 9);
    }

    /// What cannot be served is refused, and serving goes on.
    fn too_large() {
        let layout = Layout::from_size_align(1 << 46, 4096).unwrap_or(Layout::new::<u64>());
        expect(HEAP.try_allocate(layout).is_err(), "64 TiB were granted", 10);
        let again = HEAP.try_allocate(Layout::new::<u64>());
        expect(again.is_ok(), "a refusal broke the heap", 11);
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel heap boots it");
}
