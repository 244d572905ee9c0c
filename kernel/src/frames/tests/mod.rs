//! What the allocator promises, one by one, on memory that is full of garbage.

mod model;

use super::ledger::METADATA;
use super::*;
use crate::steps::frames as workload;
use model::{Op, Pair, State};
use shared_abi::addr::{Frame, PAGE, PhysRange};
use shared_abi::memory::RegionKind;
use std::collections::HashMap;

/// Memory in which every page holds garbage until it is written, and that remembers which pages were reached.
#[derive(Default)]
struct Arena {
    pages: HashMap<u64, Box<PageWords>>,
}

impl FrameMemory for Arena {
    fn page(&mut self, frame: OwnedFrame) -> &mut PageWords {
        let number = frame.number();
        self.pages.entry(number).or_insert_with(|| {
            let mut word = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            Box::new(core::array::from_fn(|_| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word
            }))
        })
    }
}

type Map = Vec<(PhysRange, RegionKind)>;

/// Regions from lengths in frames: (gap before it, length, kind).
fn map(regions: &[(u64, u64, RegionKind)]) -> Map {
    let mut at = 0;
    regions
        .iter()
        .map(|(gap, length, kind)| {
            let start = at + gap;
            at = start + length;
            (PhysRange::from_bounds(start * PAGE, at * PAGE).unwrap(), *kind)
        })
        .collect()
}

fn frame(number: u64) -> Frame {
    Frame::new(number).unwrap()
}

fn order(number: u8) -> Order {
    Order::new(number).unwrap()
}

fn range(first: u64, frames: u64) -> FrameRange {
    FrameRange::new(frame(first), frames).unwrap()
}

fn allocator(map: &Map) -> FrameAllocator<Arena> {
    FrameAllocator::new(map.iter().copied(), Arena::default()).unwrap()
}

const CHUNK: u64 = 512;
const ZONE: u64 = 512 * 512;
use RegionKind as Kind;

/// Little memory, so that much of it is in use and blocks of most orders are few or the last.
fn tight() -> Map {
    map(&[
        (ZONE + 40, 3 * CHUNK, Kind::USABLE),
        (0, 30, Kind::BOOT_INFO),
        (0, CHUNK + 9, Kind::USABLE),
        (ZONE - 2 * CHUNK, 2 * CHUNK + 70, Kind::USABLE),
        (0, 64, Kind::MODULE),
    ])
}

/// Edges inside words and chunks, regions that touch, two banks, zones that are shared, whole and cut.
fn rugged() -> Map {
    map(&[
        (ZONE + 3, 5 * CHUNK + 77, Kind::USABLE),
        (0, 100, Kind::KERNEL),
        (0, 300, Kind::LOADER_RECLAIMABLE),
        (0, 900, Kind::USABLE),
        (0, 64, Kind::BOOT_INFO),
        (0, 1, Kind::USABLE),
        (0, 65, Kind::PAGE_TABLES),
        (900, 2 * CHUNK, Kind::FIRMWARE),
        (1, 3 * ZONE - 17, Kind::USABLE),
        (0, 700, Kind::MODULE),
        (5, 40, Kind::USABLE),
        (0, 200, RegionKind(999)),
        (0, 3, Kind::BOOT_INFO),
        (5 * ZONE, 1, Kind::USABLE),
        (0, 5 * CHUNK - 1, Kind::MODULE),
        (0, 40 * CHUNK, Kind::USABLE),
    ])
}

/// Where the allocator put its tables.
fn metadata(real: &mut FrameAllocator<Arena>) -> PhysRange {
    let mut regions = (0..).map_while(|index| real.ledger.region(&mut real.memory, index));
    let region = regions.find(|region| region.kind == METADATA).unwrap();
    PhysRange::from_bounds(region.start * PAGE, region.end * PAGE).unwrap()
}

#[test]
fn memory_that_is_not_handed_out_is_never_touched() {
    let map = map(&[(ZONE, 1 << 28, Kind::USABLE)]);
    let mut real = allocator(&map);
    let metadata = metadata(&mut real);
    assert_eq!(real.free_frames() + metadata.len() / PAGE, 1 << 28);
    assert_eq!(real.memory.pages.len(), 1, "only the tables of the memory map are written at the start");
    let mut taken = Vec::new();
    for step in 0..40 {
        taken.push((real.allocate(order(step % 19)).unwrap(), order(step % 19)));
    }
    real.reserve(range(ZONE + (1 << 27), 1 << 20)).unwrap();
    for (first, order) in taken {
        real.free(first, order).unwrap();
    }
    assert!(real.memory.pages.keys().all(|number| metadata.contains(frame(*number).start())));
    assert!(real.memory.pages.len() < 20, "{}", real.memory.pages.len());
}

#[test]
fn the_metadata_is_less_than_a_thousandth() {
    for megabytes in [16, 64, 128, 1024, 8192, 1 << 20] {
        let frames = megabytes << 8;
        let real = allocator(&map(&[(ZONE + CHUNK, frames, Kind::USABLE)]));
        assert!(real.ledger.length() * PAGE * 1000 <= frames * PAGE, "{megabytes} MiB");
    }
}

#[test]
fn zeroed_blocks_are_zero_in_every_frame() {
    let mut real = allocator(&rugged());
    for number in [0, 3, 9] {
        let first = real.allocate_zeroed(order(number)).unwrap().number();
        for at in first..first + (1 << number) {
            assert!(real.memory.pages[&at].iter().all(|word| *word == 0));
        }
    }
}

#[test]
fn a_range_is_freed_as_what_it_is_across_words_chunks_and_zones() {
    let mut pair = Pair::new(&map(&[(ZONE, 4 * ZONE, Kind::USABLE)]));
    for frames in [3, 64, 65, 511, 513, 1500, ZONE - 1, ZONE + 1, 2 * ZONE + 700] {
        pair.apply(&Op::AllocateRange(frames, 0));
        let (first, length) = pair.model.blocks()[0];
        assert_eq!(length, frames);
        for wrong in [1, 2, frames - 1, frames + 1] {
            pair.free_range(first, wrong);
        }
        for order in (0..19).filter(|order| 1 << order != frames) {
            pair.free(first, order);
            pair.free(first + frames - 1, order);
        }
        pair.free_range(first + 1, frames - 1);
        pair.free_range(first + frames - 1, 1);
        assert_eq!(pair.model.blocks().len(), 1);
        pair.compare();
        pair.free_range(first, frames);
        assert!(pair.model.blocks().is_empty());
    }
    pair.compare();
}

#[test]
fn a_single_frame_at_the_end_of_a_word_is_told_from_a_run_that_begins_there() {
    let mut pair = Pair::new(&map(&[(ZONE, 2 * ZONE, Kind::USABLE)]));
    let base = ZONE + 100 * CHUNK;
    for last in [63, 127, 511, ZONE - 1 - 100 * CHUNK] {
        let at = base + last;
        // Leave exactly two free frames, on both sides of the border.
        let mut held = Vec::new();
        while let Some((start, frames)) = pair.model.frames.iter().find_map(|(start, (end, state))| {
            let start = if *start == at { at + 2 } else { *start };
            let end = if start < at { *end.min(&at) } else { *end };
            (*state == State::Free && start < end).then_some((start, end - start))
        }) {
            assert_eq!(pair.real.reserve(range(start, frames)), Ok(()));
            pair.model.set(start, start + frames, State::Reserved);
            held.push((start, frames));
        }
        pair.apply(&Op::AllocateRange(2, 0));
        assert_eq!(pair.model.blocks(), [(at, 2)]);
        pair.free(at, 0);
        pair.free(at + 1, 0);
        assert_eq!(pair.model.blocks(), [(at, 2)], "refused both times");
        pair.free_range(at, 2);
        for (start, frames) in held {
            pair.release(start, frames);
        }
    }
}

/// A machine on which only `free` is free, the rest reserved.
fn only(free: std::ops::Range<u64>) -> Pair {
    let mut pair = Pair::new(&map(&[(ZONE, 2 * ZONE, Kind::USABLE)]));
    let intervals: Vec<_> =
        pair.model.frames.iter().map(|(start, (end, state))| (*start, *end, *state)).collect();
    for (start, end, _) in intervals.into_iter().filter(|(_, _, state)| *state == State::Free) {
        for (start, end) in [(start, end.min(free.start)), (start.max(free.end), end)] {
            if start < end {
                pair.real.reserve(range(start, end - start)).unwrap();
                pair.model.set(start, end, State::Reserved);
            }
        }
    }
    pair
}

#[test]
fn the_front_of_a_run_is_no_block_where_the_rest_lies_in_another_chunk_or_zone() {
    let chunk = ZONE + 100 * CHUNK;
    for (border, before, order) in [(chunk, 4, 2), (chunk, 8, 3), (2 * ZONE, 4, 2), (2 * ZONE, 2 * CHUNK, 10)]
    {
        let mut pair = only(border - before..border + 3);
        pair.apply(&Op::AllocateRange(before + 3, 0));
        assert_eq!(pair.model.blocks(), [(border - before, before + 3)]);
        pair.free(border - before, order);
        pair.free(border, 0);
        pair.compare();
        assert_eq!(pair.model.blocks().len(), 1, "both were refused");
        pair.free_range(border - before, before + 3);
        assert!(pair.model.blocks().is_empty());
    }
}

#[test]
fn a_run_behind_reserved_frames_is_told_from_them() {
    let base = ZONE + 100 * CHUNK + 5;
    let mut pair = only(base..base + 3);
    pair.apply(&Op::AllocateRange(3, 0));
    pair.compare();
    pair.free(base - 1, 0);
    pair.free_range(base - 1, 4);
    assert_eq!(pair.model.blocks(), [(base, 3)]);
}

#[test]
fn freeing_one_frame_can_complete_the_largest_block() {
    let mut pair = Pair::new(&map(&[(2 * ZONE - CHUNK, CHUNK + ZONE, Kind::USABLE)]));
    assert!(pair.take(18));
    pair.free(2 * ZONE, 18);
    // Every frame by itself; all but one come back, in an order that leaves the merging to the last.
    while pair.take(0) {}
    let last = 2 * ZONE + 77 * CHUNK + 13;
    let blocks = pair.model.blocks();
    for (first, _) in blocks.iter().filter(|(first, _)| *first != last) {
        pair.real.free_frame(frame(*first)).unwrap();
    }
    assert_eq!(pair.real.allocate(Order::ZONE).unwrap_err().code(), 901);
    pair.real.free_frame(frame(last)).unwrap();
    assert_eq!(pair.real.allocate(Order::ZONE), Ok(frame(2 * ZONE)));
}

#[test]
fn maps_that_lie_are_refused() {
    let region = |start, end, kind| (PhysRange::from_bounds(start, end).unwrap(), kind);
    let good = region(0x10_0000, 0x80_0000, Kind::USABLE);
    for bad in [
        region(0x80_0800, 0x90_0000, Kind::USABLE),
        region(0x80_0000, 0x90_0001, Kind::FIRMWARE),
        region(0x7F_F000, 0x90_0000, Kind::USABLE),
        region(0x1000, 0x2000, Kind::USABLE),
    ] {
        let refused = FrameAllocator::new([good, bad].into_iter(), Arena::default()).err();
        assert_eq!(refused, Some(FrameError::BadRegion { region: bad.0, kind: bad.1 }));
    }
    let tiny = region(0x1000, 0x3000, Kind::USABLE);
    let refused = FrameAllocator::new([tiny].into_iter(), Arena::default()).err();
    assert_eq!(refused, Some(FrameError::NoRoom { frames: 3, longest: 2 }));
    let none = FrameAllocator::new([region(0, 0x10_0000, Kind::NO_MAP)].into_iter(), Arena::default()).err();
    assert_eq!(none, Some(FrameError::NoRoom { frames: 1, longest: 0 }));
}

#[test]
fn ram_at_address_zero_works_and_frame_zero_is_given_out() {
    let mut pair = Pair::new(&map(&[(0, 3 * CHUNK, Kind::USABLE)]));
    while pair.take(0) {}
    assert_eq!(pair.model.at(0).2, State::Block);
    pair.free(0, 0);
    pair.compare();
}

#[test]
fn batches_give_and_take_single_frames() {
    let mut real = allocator(&map(&[(ZONE, 3 * CHUNK, Kind::USABLE)]));
    let free = real.free_frames();
    let mut frames = vec![Frame::default(); 2000];
    let taken = real.allocate_batch(&mut frames);
    assert_eq!((taken as u64, real.free_frames()), (free, 0));
    frames.truncate(taken);
    frames.push(frames[7]);
    let refused = FrameError::AlreadyFree { frame: frames[7], at: frames[7] };
    assert_eq!(real.free_batch(&frames), Err((taken, refused)));
    assert_eq!(real.free_frames(), free);
}

#[test]
fn an_allocator_can_be_sent_to_another_cpu() {
    fn send<T: Send>() {}
    send::<FrameAllocator<DirectMap>>();
}

#[test]
fn errors_name_both_frames_and_have_codes_of_their_own() {
    let wrong = FrameError::WrongBlock { frame: frame(0x40001), frames: 1, first: frame(0x40000), length: 4 };
    assert_eq!(wrong.code(), 908);
    assert_eq!(
        wrong.to_string(),
        "0x1 frames at 0x0000000040001000 are not what was allocated: 0x4 frames at 0x0000000040000000"
    );
}

impl workload::Machine for FrameAllocator<Arena> {
    type Memory = Arena;

    fn frames(&mut self) -> &mut Self {
        self
    }

    fn page(&mut self, frame: Frame) -> &mut PageWords {
        self.memory_mut().page(OwnedFrame::new(frame.number()))
    }
}

/// Steps of the workload: HANDOFF_STEPS=1000000 makes it long.
fn steps() -> u64 {
    std::env::var("HANDOFF_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(20_000)
}

#[test]
fn the_workload_of_the_machine_holds_on_the_host() {
    // Where much is in use, and where much is free.
    for (map, seed) in [(tight(), 1), (rugged(), 2)] {
        let mut frames = allocator(&map);
        let free = frames.free_frames();
        let mut workload = workload::Workload::<256>::new(seed);
        let ran = workload.run(&mut frames, steps());
        assert_eq!(ran, Ok(()), "after {}", workload.summary());
        workload.finish(&mut frames).unwrap();
        assert_eq!(frames.free_frames(), free);
        let done = workload.summary();
        assert!(done.allocated > 1000 && done.reserved > 500 && done.refused > 5000, "{done}");
        assert_eq!(done.exhausted > 0, seed == 1, "{done}");
    }
}

#[test]
fn the_workload_finds_frames_that_are_lost_or_written_to() {
    let run = |harm: fn(&mut FrameAllocator<Arena>)| {
        let mut frames = allocator(&tight());
        let mut workload = workload::Workload::<256>::new(1);
        workload.run(&mut frames, 1000).unwrap();
        harm(&mut frames);
        workload.run(&mut frames, 1000).and_then(|()| workload.finish(&mut frames)).unwrap_err()
    };
    // Somebody writes to all of memory but the allocator's tables.
    let written = run(|frames| {
        let metadata = metadata(frames).aligned_outward(shared_abi::addr::PageSize::Size4K).frames();
        let own = metadata.0.number()..metadata.0.number() + metadata.1;
        let pages = frames.memory_mut().pages.iter_mut();
        pages.filter(|(number, _)| !own.contains(number)).for_each(|(_, page)| page.fill(7));
    });
    assert!(matches!(written, workload::Wrong::Changed(_)), "{written}");
    // A counter goes wrong.
    let lost = run(|frames| frames.uncached += 1);
    assert!(matches!(lost, workload::Wrong::Count { .. }), "{lost}");
}

#[test]
fn magazines_of_several_cpus_share_all_frames_and_give_them_back() {
    let frames = allocator(&tight());
    let free = frames.free_frames();
    let shared = crate::lock::Lock::<_>::new(frames);
    let taken = std::sync::Mutex::new(std::collections::HashSet::new());
    std::thread::scope(|scope| {
        for cpu in 0..4u64 {
            let (shared, taken) = (&shared, &taken);
            scope.spawn(move || {
                let (mut magazine, mut mine) = (Magazine::<16>::new(), Vec::new());
                for step in 0..4_000u64 {
                    if (step * 7 + cpu) % 5 < 3 {
                        let Ok(frame) = magazine.allocate(shared) else { continue };
                        assert!(taken.lock().unwrap().insert(frame), "given to two");
                        mine.push(frame);
                    } else if let Some(frame) = mine.pop() {
                        assert!(taken.lock().unwrap().remove(&frame));
                        magazine.free(shared, frame).unwrap();
                    }
                    assert!(magazine.len() <= 16);
                }
                for frame in mine {
                    assert!(taken.lock().unwrap().remove(&frame));
                    magazine.free(shared, frame).unwrap();
                }
                magazine.drain(shared).unwrap();
            });
        }
    });
    assert_eq!(shared.lock().free_frames(), free);
    assert_eq!(shared.lock().statistics().allocated, 0);
}

#[test]
fn a_magazine_takes_the_last_frames_and_finds_wrong_ones() {
    let shared = crate::lock::Lock::<_>::new(allocator(&tight()));
    let mut magazine = Magazine::<3>::new();
    let mut all = Vec::new();
    let refused = loop {
        match magazine.allocate(&shared) {
            Ok(frame) => all.push(frame),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, FrameError::OutOfFrames { order: Order::FRAME, free: 0 });
    magazine.free(&shared, all[0]).unwrap();
    assert_eq!(magazine.free(&shared, all[0]), Err(FrameError::AlreadyFree { frame: all[0], at: all[0] }));
    // A frame that is reserved: found when it goes on, and only that one is lost.
    let reserved = frame(ZONE + 40 + 3 * CHUNK);
    magazine.free(&shared, reserved).unwrap();
    magazine.free(&shared, all[1]).unwrap();
    let error = magazine.free(&shared, all[2]).unwrap_err();
    assert!(matches!(error, FrameError::Reserved { frame, .. } if frame == reserved), "{error}");
    magazine.drain(&shared).unwrap();
    assert!(magazine.is_empty());
    assert_eq!(shared.lock().free_frames(), 3);
}
