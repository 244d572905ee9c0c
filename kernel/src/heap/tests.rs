//! The heap against a model, its edges one by one, and every violation that the checking mode knows.
#![allow(unsafe_code, reason = "tests use the blocks that they are given")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "what a test promises is what it tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::arena::Arena;
use super::checked::{CheckedHeap, FREED, FRESH};
use super::global::GlobalHeap;
use super::*;
use crate::steps::heap::{Workload, Wrong};

const WINDOW: usize = 64 << 20;
const ALL_PAGES: usize = WINDOW >> 12;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn heap(budget: usize) -> Heap<Arena> {
    let mut heap = Heap::new();
    heap.start(Arena::new(WINDOW, budget)).unwrap();
    heap
}

fn pages<B>(heap: &Heap<Arena>, look: impl FnOnce(&super::arena::Ledger) -> B) -> B {
    look(&heap.pages().unwrap().ledger.borrow())
}

/// Frees a block that the test knows to be good.
fn free(heap: &mut impl Blocks, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
    unsafe { heap.free(block, layout) }
}

fn address(block: NonNull<u8>) -> usize {
    block.addr().get()
}

fn write(block: NonNull<u8>, offset: isize, byte: u8) {
    unsafe { block.offset(offset).write(byte) };
}

fn read(block: NonNull<u8>, offset: isize) -> u8 {
    unsafe { block.offset(offset).read() }
}

// ---- against a model ----

/// What a random run does next.
#[derive(Clone, Debug)]
enum Step {
    Allocate { size: usize, align: usize },
    Free { which: prop::sample::Index },
    Resize { which: prop::sample::Index, size: usize },
    Trim,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=256_usize,
        4 => 257..=8192_usize,
        2 => 8193..=65536_usize,
        1 => 65537..=600_000_usize,
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let align =
        prop_oneof![8 => Just(0_u32), 3 => 0..=6_u32, 1 => 7..=18_u32].prop_map(|shift| 1_usize << shift);
    let which = any::<prop::sample::Index>();
    let step = prop_oneof![
        10 => (sizes(), align).prop_map(|(size, align)| Step::Allocate { size, align }),
        8 => which.clone().prop_map(|which| Step::Free { which }),
        4 => (which, sizes()).prop_map(|(which, size)| Step::Resize { which, size }),
        1 => Just(Step::Trim),
    ];
    prop::collection::vec(step, 0..1000)
}

/// A live block of the model: its layout and what its bytes are made of.
#[derive(Clone, Copy, Debug)]
struct Live {
    layout: Layout,
    seed: u8,
}

/// Every byte of small blocks, every 251st of large ones and the last.
fn offsets(size: usize) -> impl Iterator<Item = usize> {
    (0..size).step_by(if size <= 512 { 1 } else { 251 }).chain([size - 1])
}

fn paint(start: usize, live: Live) {
    for at in offsets(live.layout.size()) {
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(start + at).write(live.seed ^ at as u8) };
    }
}

fn is_painted(start: usize, seed: u8, size: usize, stride: usize) -> bool {
    offsets(stride).filter(|&at| at < size).all(|at| {
        let byte = unsafe { core::ptr::with_exposed_provenance::<u8>(start + at).read() };
        byte == seed ^ at as u8
    })
}

/// Runs `steps` on `heap` and on a map of what must be live.
fn run(heap: &mut impl Blocks, steps: Vec<Step>, mut trim: impl FnMut(usize)) -> Result<(), TestCaseError> {
    let mut live: BTreeMap<usize, Live> = BTreeMap::new();
    let mut seed = 0_u8;
    let insert = |live: &mut BTreeMap<usize, Live>, start: usize, new: Live| {
        prop_assert!(start.is_multiple_of(new.layout.align()));
        let end = start + new.layout.size();
        if let Some((other, before)) = live.range(..end).next_back() {
            prop_assert!(other + before.layout.size() <= start, "{start:#x}–{end:#x} overlaps {other:#x}");
        }
        paint(start, new);
        live.insert(start, new);
        Ok(())
    };
    for step in steps {
        seed = seed.wrapping_add(29);
        let chosen = |which: prop::sample::Index| *live.iter().nth(which.index(live.len())).unwrap().0;
        match step {
            Step::Allocate { size, align } => {
                if let Ok(block) = heap.allocate(layout(size, align)) {
                    insert(&mut live, address(block), Live { layout: layout(size, align), seed })?;
                }
            }
            Step::Free { which } if !live.is_empty() => {
                let start = chosen(which);
                let old = live.remove(&start).unwrap();
                prop_assert!(is_painted(start, old.seed, old.layout.size(), old.layout.size()));
                free(heap, raw::block_at(start).unwrap(), old.layout).unwrap();
            }
            Step::Resize { which, size } if !live.is_empty() => {
                let start = chosen(which);
                let old = live.remove(&start).unwrap();
                let resized = unsafe { heap.resize(raw::block_at(start).unwrap(), old.layout, size) };
                let kept = old.layout.size().min(size);
                match resized {
                    Ok(block) => {
                        prop_assert!(is_painted(address(block), old.seed, kept, old.layout.size()));
                        insert(
                            &mut live,
                            address(block),
                            Live { layout: layout(size, old.layout.align()), seed },
                        )?;
                    }
                    Err(_) => {
                        prop_assert!(size > old.layout.size(), "shrinking failed");
                        prop_assert!(is_painted(start, old.seed, kept, old.layout.size()));
                        live.insert(start, old);
                    }
                }
            }
            Step::Trim => trim(live.values().map(|live| live.layout.size()).sum()),
            _ => {}
        }
    }
    for (start, old) in live {
        prop_assert!(is_painted(start, old.seed, old.layout.size(), old.layout.size()));
        free(heap, raw::block_at(start).unwrap(), old.layout).unwrap();
    }
    Ok(())
}

fn cases(default: u32) -> ProptestConfig {
    // PROPTEST_CASES=3000 makes it more than a million steps.
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: set.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn blocks_never_overlap_keep_their_bytes_and_all_come_back(
        steps in steps(),
        budget in prop_oneof![Just(ALL_PAGES), 40..2000_usize],
    ) {
        let heap = core::cell::RefCell::new(heap(budget));
        struct Shared<'a>(&'a core::cell::RefCell<Heap<Arena>>);
        impl Blocks for Shared<'_> {
            fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
                self.0.borrow_mut().allocate(layout)
            }
            unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
                unsafe { self.0.borrow_mut().free(block, layout) }
            }
            unsafe fn resize(
                &mut self, block: NonNull<u8>, layout: Layout, size: usize,
            ) -> Result<NonNull<u8>, HeapError> {
                unsafe { self.0.borrow_mut().resize(block, layout, size) }
            }
        }
        run(&mut Shared(&heap), steps, |live| {
            let before = heap.borrow().statistics();
            assert!(before.small + before.large >= live);
            let freed = heap.borrow_mut().trim();
            let after = heap.borrow().statistics();
            assert_eq!(after.mapped + freed, before.mapped);
            assert_eq!((after.small, after.large), (before.small, before.large));
        })?;
        let mut heap = heap.into_inner();
        let statistics = heap.statistics();
        prop_assert_eq!((statistics.small, statistics.large), (0, 0));
        heap.trim();
        prop_assert_eq!(heap.statistics(), HeapStatistics::default());
        prop_assert_eq!(pages(&heap, |ledger| ledger.pages), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn the_checking_mode_finds_nothing_in_correct_use(steps in steps(), budget in 200..ALL_PAGES) {
        let mut heap = CheckedHeap::new();
        heap.start(Arena::new(WINDOW, budget)).unwrap();
        run(&mut heap, steps, |_| {})?;
        prop_assert_eq!(heap.verify(), Ok(()));
        heap.trim().unwrap();
        prop_assert_eq!(heap.heap().statistics(), HeapStatistics::default());
    }
}

/// Steps of the workload: HANDOFF_STEPS=1000000 makes it long.
fn steps_of_workload() -> u64 {
    std::env::var("HANDOFF_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(30_000)
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn the_workload_of_the_machine_holds_on_the_host() {
    // With memory to spare, and with so little that most of it is pressure.
    for (budget, seed) in [(ALL_PAGES, 1), (600, 2)] {
        let mut heap = heap(budget);
        let mut workload = Workload::<256>::new(seed);
        workload.run(&mut heap, steps_of_workload()).unwrap();
        let statistics = heap.statistics();
        assert!(statistics.small + statistics.large >= workload.bytes());
        assert_eq!(workload.summary().exhausted > 0, budget == 600, "{}", workload.summary());
        workload.finish(&mut heap).unwrap();
        heap.trim();
        assert_eq!(heap.statistics(), HeapStatistics::default());
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn the_workload_finds_broken_heaps() {
    /// Breaks what the heap does, from the hundredth block on.
    struct Broken(Heap<Arena>, usize, u32);
    impl Blocks for Broken {
        fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, HeapError> {
            self.1 += 1;
            let block = self.0.allocate(layout)?;
            Ok(match self.2 {
                // One byte off; and the same block twice.
                0 if self.1 > 100 && layout.align() > 1 => unsafe { block.add(1) },
                1 if self.1 > 100 && layout.size() > 16 => {
                    free(&mut self.0, block, layout).unwrap();
                    block
                }
                _ => block,
            })
        }
        unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), HeapError> {
            unsafe { self.0.free(block, layout) }
        }
        unsafe fn resize(
            &mut self,
            block: NonNull<u8>,
            layout: Layout,
            size: usize,
        ) -> Result<NonNull<u8>, HeapError> {
            let moved = unsafe { self.0.resize(block, layout, size) }?;
            if self.2 == 2 {
                write(moved, size.min(layout.size()) as isize - 1, 0x5A);
            }
            Ok(moved)
        }
    }
    let run = |kind| Workload::<64>::new(3).run(&mut Broken(heap(ALL_PAGES), 0, kind), 20_000).unwrap_err();
    assert!(matches!(run(0), Wrong::Misaligned { .. }));
    assert!(matches!(run(1), Wrong::Overlap { .. } | Wrong::Changed { .. }));
    assert!(matches!(run(2), Wrong::Changed { .. }));
}

// ---- edges ----

#[test]
fn a_heap_that_was_not_started_says_so() {
    let mut heap = Heap::<Arena>::new();
    let refused = heap.allocate(layout(8, 8)).unwrap_err();
    assert_eq!(refused, HeapError::NotStarted { size: 8 });
    let stray = raw::block_at(0x1000).unwrap();
    assert_eq!(free(&mut heap, stray, layout(8, 8)), Err(HeapError::NotABlock { address: 0x1000 }));
    assert_eq!(heap.trim(), 0);
    assert_eq!(heap.window(), None);
}

#[test]
fn a_window_that_cannot_be_divided_is_refused_and_a_second_start_too() {
    let mut heap = Heap::new();
    let small = Arena::new(2 << 20, ALL_PAGES);
    assert_eq!(heap.start(small), Err(HeapError::CannotStart { window: 2 << 20 }));
    heap.start(Arena::new(WINDOW, ALL_PAGES)).unwrap();
    let again = heap.start(Arena::new(WINDOW, ALL_PAGES));
    assert_eq!(again, Err(HeapError::CannotStart { window: WINDOW as u64 }));
}

#[test]
fn starting_maps_nothing_and_the_first_block_little() {
    let mut heap = heap(ALL_PAGES);
    assert_eq!(heap.statistics(), HeapStatistics::default());
    heap.allocate(layout(24, 8)).unwrap();
    let HeapStatistics { mapped, small, .. } = heap.statistics();
    assert_eq!((mapped, small), (17 << 12, 32), "a step of 64 KiB and a page of the table");
}

#[test]
fn exhaustion_is_an_error_with_sizes_and_leaves_the_heap_usable() {
    let mut heap = heap(64);
    let mut blocks = Vec::new();
    let refused = loop {
        match heap.allocate(layout(1000, 8)) {
            Ok(block) => blocks.push(block),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, HeapError::Exhausted { size: 1000, align: 8, mapped: 64 << 12, free: 0 });
    // 62 or 63 pages of blocks and the table: nothing was lost on the way.
    assert!(blocks.len() >= 62 * 4 - 15, "{}", blocks.len());
    for block in blocks {
        free(&mut heap, block, layout(1000, 8)).unwrap();
    }
    let large = heap.allocate(layout(58 << 12, 8)).unwrap();
    free(&mut heap, large, layout(58 << 12, 8)).unwrap();
    heap.trim();
    assert_eq!(heap.statistics().mapped, 0);
}

#[test]
fn what_the_window_can_never_hold_is_refused_as_such() {
    let mut heap = heap(ALL_PAGES);
    for (size, align) in [(WINDOW, 8), (isize::MAX as usize & !0xFFF, 1), (100 << 10, 1 << 40)] {
        let refused = heap.allocate(layout(size, align)).unwrap_err();
        assert!(matches!(refused, HeapError::TooLarge { size: named, .. } if named == size), "{refused:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn pages_of_freed_classes_serve_others_under_pressure() {
    let mut heap = heap(256);
    let small: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(64, 8)).ok()).collect();
    assert!(small.len() > 240 * 64);
    for block in small {
        free(&mut heap, block, layout(64, 8)).unwrap();
    }
    let run = heap.allocate(layout(200 << 12, 8)).expect("the class pages were given back");
    free(&mut heap, run, layout(200 << 12, 8)).unwrap();
    let other: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(3000, 8)).ok()).collect();
    assert!(other.len() > 220, "{}", other.len());
}

#[test]
fn a_class_with_one_live_block_gives_back_all_other_spans() {
    let mut heap = heap(ALL_PAGES);
    let blocks: Vec<_> = (0..10_000).map(|_| heap.allocate(layout(128, 8)).unwrap()).collect();
    let (kept, freed) = blocks.split_first().unwrap();
    for &block in freed {
        free(&mut heap, block, layout(128, 8)).unwrap();
    }
    heap.trim();
    let statistics = heap.statistics();
    assert_eq!(statistics.small, 128);
    // The span of the kept block and the table's pages.
    assert!(statistics.mapped <= 5 << 12, "{statistics:?}");
    free(&mut heap, *kept, layout(128, 8)).unwrap();
    heap.trim();
    assert_eq!(heap.statistics().mapped, 0);
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn freed_blocks_are_used_before_new_memory() {
    for size in [16, 64, 1000, 5000, 40_000] {
        let mut heap = heap(ALL_PAGES);
        let mut blocks: Vec<_> = (0..400).map(|_| heap.allocate(layout(size, 8)).unwrap()).collect();
        let mapped = heap.statistics().mapped;
        for round in 0..50_usize {
            // Half of the blocks, scattered over all spans, another half each time.
            let chosen = |at: &usize| (at * 7919 + round * 104_729) >> 5 & 1 == 0;
            for at in (0..400).filter(chosen) {
                free(&mut heap, blocks[at], layout(size, 8)).unwrap();
            }
            for at in (0..400).filter(chosen) {
                blocks[at] = heap.allocate(layout(size, 8)).unwrap();
            }
            // One step more, if a span was drained while all others were full.
            assert!(heap.statistics().mapped <= mapped + (64 << 10), "{size} bytes, round {round}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn holes_between_page_runs_are_unmapped_and_used_again() {
    let mut heap = heap(2000);
    let run = layout(1 << 20, 8);
    let blocks: Vec<_> = (0..6).map(|_| heap.allocate(run).unwrap()).collect();
    for block in blocks.iter().skip(1).step_by(2) {
        free(&mut heap, *block, run).unwrap();
    }
    let mapped = heap.statistics().mapped;
    heap.trim();
    assert!(mapped - heap.statistics().mapped >= 3 << 20);
    // A block given back into a parked run's neighbourhood, and a stray address inside of one.
    assert_eq!(free(&mut heap, blocks[1], run), Err(HeapError::NotABlock { address: address(blocks[1]) }));
    let inside = raw::block_at(address(blocks[1]) + 4096).unwrap();
    assert_eq!(free(&mut heap, inside, run), Err(HeapError::NotABlock { address: address(inside) }));
    let again = heap.allocate(run).unwrap();
    assert!(blocks.iter().skip(1).step_by(2).any(|&block| block == again), "a parked run was used again");
    free(&mut heap, again, run).unwrap();
    for block in blocks.iter().step_by(2) {
        free(&mut heap, *block, run).unwrap();
    }
    heap.trim();
    assert_eq!(pages(&heap, |ledger| ledger.pages), 0);
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn a_full_area_borrows_from_the_next_and_then_from_the_page_runs() {
    // The smallest window: areas of 512 KiB, two units of 256 KiB in the last, one of them the table's.
    let mut heap = Heap::new();
    heap.start(Arena::new(4 << 20, ALL_PAGES)).unwrap();
    let blocks: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(16, 16)).ok()).take(1 << 20).collect();
    let areas: std::collections::BTreeSet<_> =
        blocks.iter().map(|block| ((address(*block) - heap.base) >> 19).min(4)).collect();
    assert_eq!(areas.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for block in blocks {
        free(&mut heap, block, layout(16, 16)).unwrap();
    }
    heap.trim();
    assert_eq!(heap.statistics(), HeapStatistics::default());
}

#[test]
fn alignment_is_kept_up_to_a_page_and_beyond() {
    let mut heap = heap(ALL_PAGES);
    for shift in 0..=20 {
        for size in [1, 100, 5000, 70_000] {
            let block = heap.allocate(layout(size, 1 << shift)).unwrap();
            assert!(address(block).is_multiple_of(1 << shift), "{size} at {}", 1 << shift);
        }
    }
}

#[test]
fn a_block_stays_where_it_is_if_its_class_or_pages_allow() {
    let mut heap = heap(ALL_PAGES);
    // Up to the class's size, down to half of it; a page run by its own pages, and over the hole after it.
    for (from, to, stays) in [
        (1000, 1024, true),
        (1024, 513, true),
        (1024, 512, false),
        (1024, 1025, false),
        (70_000, 73_000, true),
        (300_000, 100_000, true),
        (300_000, 65_536, false),
        (100_000, 1_000_000, true),
    ] {
        let block = heap.allocate(layout(from, 8)).unwrap();
        let moved = unsafe { heap.resize(block, layout(from, 8), to).unwrap() };
        assert_eq!(moved == block, stays, "{from} to {to}");
        free(&mut heap, moved, layout(to, 8)).unwrap();
    }
}

#[test]
fn the_backend_takes_parts_and_unions_back() {
    let mut heap = heap(ALL_PAGES);
    let run = layout(1 << 20, 8);
    let [first, second, third] = [(); 3].map(|()| heap.allocate(run).unwrap());
    assert_eq!(address(second) - address(first), 1 << 20);
    // A tail is given back, a neighbour is freed, and the first block grows over both.
    let shrunk = unsafe { heap.resize(second, run, 300 << 10).unwrap() };
    assert_eq!(shrunk, second);
    free(&mut heap, second, layout(300 << 10, 8)).unwrap();
    let grown = unsafe { heap.resize(first, run, 2 << 20).unwrap() };
    assert_eq!(grown, first);
    assert_eq!(heap.statistics().large, 3 << 20);
    free(&mut heap, grown, layout(2 << 20, 8)).unwrap();
    let all = heap.allocate(layout(2 << 20, 8)).unwrap();
    assert_eq!(all, first, "the union is one hole");
    free(&mut heap, all, layout(2 << 20, 8)).unwrap();
    free(&mut heap, third, run).unwrap();
    heap.trim();
    assert_eq!(pages(&heap, |ledger| ledger.pages), 0);
}

#[test]
fn a_page_run_that_is_not_one_is_not_believed() {
    let mut heap = heap(ALL_PAGES);
    let run = layout(100 << 10, 8);
    let block = heap.allocate(run).unwrap();
    let inside = raw::block_at(address(block) + 4096).unwrap();
    let beside = raw::block_at(address(block) + 16).unwrap();
    let outside = raw::block_at(heap.base - 4096).unwrap();
    for wrong in [inside, beside, outside] {
        assert_eq!(free(&mut heap, wrong, run), Err(HeapError::NotABlock { address: address(wrong) }));
    }
    let wrong = HeapError::WrongSize { address: address(block), allocated: 100 << 10, given: 200 << 10 };
    assert_eq!(free(&mut heap, block, layout(200 << 10, 8)), Err(wrong));
    free(&mut heap, block, run).unwrap();
    assert_eq!(free(&mut heap, block, run), Err(HeapError::NotABlock { address: address(block) }));
}

#[test]
fn errors_have_stable_codes_and_lines() {
    let address = 0xFFFF_0000_1000_0040_u64 as usize;
    let lines: Vec<_> = [
        HeapError::Exhausted { size: 0x400, align: 8, mapped: 0x10000, free: 0x1000 },
        HeapError::TooLarge { size: 0x400, align: 8, window: 0x1000 },
        HeapError::CannotStart { window: 0x1000 },
        HeapError::NotABlock { address },
        HeapError::WrongSize { address, allocated: 16, given: 32 },
        HeapError::DoubleFree { address, size: 16 },
        HeapError::RedZone { address, size: 16, damaged: address + 16 },
        HeapError::WriteAfterFree { address, size: 16, damaged: address },
        HeapError::NotStarted { size: 16 },
    ]
    .iter()
    .map(|error| format!("E{:04}: {error}", error.code()))
    .collect();
    assert_eq!(
        lines,
        [
            "E0921: the heap cannot get 0x400 bytes aligned to 0x8: 0x10000 are mapped, 0x1000 bytes of frames are free",
            "E0922: 0x400 bytes aligned to 0x8 do not fit the heap's window of 0x1000 bytes",
            "E0923: the heap cannot start in a window of 0x1000 bytes, or has been started",
            "E0924: no block of the heap begins at 0xffff000010000040",
            "E0925: block 0xffff000010000040 was allocated with 0x10 bytes and given back as 0x20",
            "E0926: block 0xffff000010000040 of 0x10 bytes was freed twice",
            "E0927: block 0xffff000010000040 of 0x10 bytes was left: byte 0xffff000010000050 is overwritten",
            "E0928: block 0xffff000010000040 of 0x10 bytes was written to after it was freed, at 0xffff000010000040",
            "E0929: 0x10 bytes were asked of the heap before it was started",
        ]
    );
}

// ---- the checking mode ----

fn checked() -> CheckedHeap<Arena> {
    let mut heap = CheckedHeap::new();
    heap.start(Arena::new(WINDOW, ALL_PAGES)).unwrap();
    heap
}

/// Sizes whose blocks lie in every area and in page runs, with alignments below and above a page.
const CHECKED: [(usize, usize); 7] =
    [(1, 1), (40, 8), (300, 64), (5000, 16), (30_000, 4096), (200_000, 8), (9000, 16384)];

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn poison_shows_what_was_never_written_and_what_was_freed() {
    for (size, align) in CHECKED {
        let mut heap = checked();
        let block = heap.allocate(layout(size, align)).unwrap();
        assert!((0..size as isize).all(|at| read(block, at) == FRESH));
        free(&mut heap, block, layout(size, align)).unwrap();
        assert!((0..size as isize).all(|at| read(block, at) == FREED));
    }
}

#[test]
fn a_second_free_is_found() {
    for (size, align) in CHECKED {
        let mut heap = checked();
        let block = heap.allocate(layout(size, align)).unwrap();
        free(&mut heap, block, layout(size, align)).unwrap();
        let twice = HeapError::DoubleFree { address: address(block), size };
        assert_eq!(free(&mut heap, block, layout(size, align)), Err(twice), "while it rests");
    }
}

#[test]
fn a_second_free_is_found_after_the_rest_too() {
    let mut heap = checked();
    let block = heap.allocate(layout(40, 8)).unwrap();
    let others: Vec<_> = (0..100).map(|_| heap.allocate(layout(40, 8)).unwrap()).collect();
    free(&mut heap, block, layout(40, 8)).unwrap();
    // One neighbour stays, or the whole span would be nobody's.
    for &other in &others[1..] {
        free(&mut heap, other, layout(40, 8)).unwrap();
    }
    let twice = HeapError::DoubleFree { address: address(block), size: 40 };
    assert_eq!(free(&mut heap, block, layout(40, 8)), Err(twice));
}

#[test]
fn a_foreign_pointer_is_found_wherever_it_points() {
    let mut heap = checked();
    let block = heap.allocate(layout(400, 8)).unwrap();
    let run = heap.allocate(layout(200_000, 8)).unwrap();
    let mine = Box::new(0_u64);
    let base = heap.heap().base;
    let foreign = [
        core::ptr::from_ref(&*mine).addr(),
        8,
        usize::MAX & !15,
        base,
        base + 64,
        base + WINDOW / 2,
        base + WINDOW - 64,
        address(block) + 16,
        address(block) - 64,
        address(run) + 4096,
        address(run) - 64,
    ];
    for wrong in foreign {
        let error = free(&mut heap, raw::block_at(wrong).unwrap(), layout(400, 8));
        assert_eq!(error, Err(HeapError::NotABlock { address: wrong }), "{wrong:#x}");
    }
    free(&mut heap, block, layout(400, 8)).unwrap();
    free(&mut heap, run, layout(200_000, 8)).unwrap();
}

#[test]
fn a_wrong_size_is_found_and_the_block_stays() {
    let mut heap = checked();
    let block = heap.allocate(layout(400, 8)).unwrap();
    let wrong = HeapError::WrongSize { address: address(block), allocated: 400, given: 401 };
    assert_eq!(free(&mut heap, block, layout(401, 8)), Err(wrong));
    assert_eq!(unsafe { heap.resize(block, layout(401, 8), 500) }, Err(wrong));
    free(&mut heap, block, layout(400, 8)).unwrap();
}

#[test]
fn bytes_written_on_either_side_are_found() {
    for (size, align) in CHECKED {
        for offset in [-1, -24, size as isize, size as isize + 15] {
            let mut heap = checked();
            let block = heap.allocate(layout(size, align)).unwrap();
            write(block, offset, 0);
            let damaged = address(block).wrapping_add_signed(offset);
            let left = HeapError::RedZone { address: address(block), size, damaged };
            assert_eq!(free(&mut heap, block, layout(size, align)), Err(left), "{size} at {offset}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn a_write_after_the_free_is_found_by_looking_and_at_the_end_of_the_rest() {
    for (size, align) in CHECKED {
        let mut heap = checked();
        let block = heap.allocate(layout(size, align)).unwrap();
        free(&mut heap, block, layout(size, align)).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        write(block, size as isize / 2, 1);
        let damaged = address(block) + size / 2;
        let late = HeapError::WriteAfterFree { address: address(block), size, damaged };
        assert_eq!(heap.verify(), Err(late));
        assert_eq!(heap.trim(), Err(late));
        assert_eq!(heap.verify(), Ok(()), "told once");
    }
}

#[test]
fn a_resize_moves_and_the_old_address_is_found_out() {
    let mut heap = checked();
    let block = heap.allocate(layout(40, 8)).unwrap();
    (0..40).for_each(|at| write(block, at, at as u8));
    let moved = unsafe { heap.resize(block, layout(40, 8), 41).unwrap() };
    assert!(moved != block && (0..40).all(|at| read(moved, at) == at as u8));
    let twice = HeapError::DoubleFree { address: address(block), size: 40 };
    assert_eq!(free(&mut heap, block, layout(40, 8)), Err(twice));
    free(&mut heap, moved, layout(41, 8)).unwrap();
}

// ---- the global front ----

mod front {
    use core::alloc::GlobalAlloc;
    use std::sync::Mutex;

    use super::*;

    static REPORTED: Mutex<Vec<HeapError>> = Mutex::new(Vec::new());

    #[test]
    fn the_global_front_gives_null_keeps_the_error_and_reports_misuse() {
        let front: GlobalHeap<CheckedHeap<Arena>> =
            GlobalHeap::new(CheckedHeap::new(), |error| REPORTED.lock().unwrap().push(*error));
        assert!(unsafe { front.alloc(layout(8, 8)) }.is_null());
        assert_eq!(front.last_error(), Some(HeapError::NotStarted { size: 96 }));
        assert_eq!(front.last_error(), None);
        front.with(|heap| heap.start(Arena::new(WINDOW, 100))).unwrap();
        let block = unsafe { front.alloc_zeroed(layout(100, 8)) };
        assert!((0..100).all(|at| unsafe { block.add(at).read() } == 0));
        let block = unsafe { front.realloc(block, layout(100, 8), 5000) };
        assert!(unsafe { front.realloc(block, layout(5000, 8), 5 << 20) }.is_null());
        unsafe { front.dealloc(block, layout(5000, 8)) };
        assert!(REPORTED.lock().unwrap().is_empty());
        unsafe { front.dealloc(block, layout(5000, 8)) };
        assert!(matches!(REPORTED.lock().unwrap()[..], [HeapError::DoubleFree { size: 5000, .. }]));
    }
}
