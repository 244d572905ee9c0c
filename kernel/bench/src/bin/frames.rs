//! The frame allocator beside its peers: instructions of start-up and of allocate + free pairs.
//!
//! Every subject gets the same memory map, one as the loader leaves it: a dozen small regions in the first 64 MiB
//! of RAM, the rest free. LLFree is no crate; its figures are the reference that the targets are stated against.

use bitmap_allocator::{BitAlloc, BitAlloc16M, BitAlloc256M};
use kernel::frames::{DirectMap, FrameAllocator, Order};
use kernel_bench::{Counts, Recorder, run};
use shared_abi::addr::{Frame, PAGE, PhysRange};
use shared_abi::memory::RegionKind as Kind;
use std::hint::black_box;

const NAMES: [&str; 3] = ["ours", "bitmap", "buddy"];
const STARTS: [(&str, u64); 3] = [("128 MiB", 128 << 20), ("8 GiB", 8 << 30), ("1 TiB", 1 << 40)];

/// RAM of the pair workloads: enough for 10,000 blocks of 2 MiB.
const RAM: u64 = 32 << 30;

/// Where RAM begins, as on QEMU's `virt`.
const BASE: u64 = 1 << 30;

type Map = Vec<(PhysRange, Kind)>;

/// Megabytes of each region in front of the free rest.
fn map(ram: u64) -> Map {
    let kinds = [
        (Kind::DEVICE_TREE, 1),
        (Kind::USABLE, 1),
        (Kind::LOADER_RECLAIMABLE, 1),
        (Kind::LOADER_RESIDENT, 1),
        (Kind::KERNEL, 4),
        (Kind::MODULE, 8),
        (Kind::USABLE, 16),
        (Kind::BOOT_INFO, 1),
        (Kind::BOOT_STACK, 1),
        (Kind::PAGE_TABLES, 1),
        (Kind::USABLE, 10),
        (Kind::FIRMWARE, 1),
    ];
    let mut at = BASE;
    let mut regions: Map = kinds
        .iter()
        .map(|(kind, megabytes)| {
            let start = at;
            at += megabytes << 20;
            (PhysRange::from_bounds(start, at).unwrap(), *kind)
        })
        .collect();
    regions.push((PhysRange::from_bounds(at, BASE + ram).unwrap(), Kind::USABLE));
    regions
}

/// The free regions, in frame numbers.
fn free(map: &Map) -> impl Iterator<Item = std::ops::Range<usize>> {
    map.iter()
        .filter(|(_, kind)| kind.is_free_at_entry())
        .map(|(range, _)| (range.start().get() / PAGE) as usize..(range.end() / PAGE) as usize)
}

trait Subject {
    /// What has to be there before the start and is not counted: room for tables.
    type Room;
    /// A block's name.
    type Block: Copy;
    fn room(map: &Map) -> Self::Room;
    fn start(map: &Map, room: Self::Room) -> Self;
    fn take<const ORDER: u8>(&mut self) -> Self::Block;
    fn give<const ORDER: u8>(&mut self, first: Self::Block);
}

struct Ours(FrameAllocator<DirectMap>);

impl Subject for Ours {
    type Room = u64;
    type Block = Frame;

    /// Only the tables are ever touched, at the front of the first free region that can hold them; so memory for
    /// those is enough, at the offset that puts them there.
    fn room(map: &Map) -> u64 {
        let frames: u64 = map.iter().map(|(range, _)| range.len() / PAGE).sum();
        let bytes =
            (frames.div_ceil(512) * 128 + (frames.div_ceil(1 << 18) + 4) * PAGE).next_multiple_of(PAGE);
        let fits = |range: &PhysRange| range.len() >= bytes;
        let host = map.iter().find(|(range, kind)| kind.is_free_at_entry() && fits(range)).unwrap().0;
        // SAFETY: an anonymous mapping without an address has no preconditions.
        let tables = unsafe {
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), bytes as usize, rights, anonymous, -1, 0)
        };
        assert_ne!(tables, libc::MAP_FAILED);
        (tables.expose_provenance() as u64).wrapping_sub(host.start().get())
    }

    fn start(map: &Map, offset: u64) -> Self {
        // SAFETY: the tables lie in the mapping that `room` made for them, and no frame is cleared.
        let memory = unsafe { DirectMap::new(offset) };
        Self(FrameAllocator::new(map.iter().copied(), memory).unwrap())
    }

    fn take<const ORDER: u8>(&mut self) -> Frame {
        match ORDER {
            0 => self.0.allocate_frame(),
            _ => self.0.allocate(const { Order::new(ORDER).unwrap() }),
        }
        .unwrap()
    }

    fn give<const ORDER: u8>(&mut self, first: Frame) {
        match ORDER {
            0 => self.0.free_frame(first),
            _ => self.0.free(first, const { Order::new(ORDER).unwrap() }),
        }
        .unwrap()
    }
}

struct Bitmap<T>(Box<T>);

impl<T: BitAlloc> Subject for Bitmap<T> {
    type Room = Box<T>;
    type Block = usize;

    fn room(_: &Map) -> Box<T> {
        // SAFETY: its default is all zeros: integers that are 0. (On the stack it would not fit.)
        unsafe { Box::new_zeroed().assume_init() }
    }

    fn start(map: &Map, mut bits: Box<T>) -> Self {
        let base = (BASE / PAGE) as usize;
        for range in free(map) {
            bits.insert(range.start - base..range.end - base);
        }
        Self(bits)
    }

    fn take<const ORDER: u8>(&mut self) -> usize {
        match ORDER {
            0 => self.0.alloc(),
            _ => self.0.alloc_contiguous(None, 1 << ORDER, ORDER.into()),
        }
        .unwrap()
    }

    fn give<const ORDER: u8>(&mut self, first: usize) {
        assert!(match ORDER {
            0 => self.0.dealloc(first),
            _ => self.0.dealloc_contiguous(first, 1 << ORDER),
        });
    }
}

struct Buddy(buddy_system_allocator::FrameAllocator<33>);

impl Subject for Buddy {
    type Room = ();
    type Block = usize;

    fn room(_: &Map) {}

    fn start(map: &Map, (): ()) -> Self {
        let mut frames = buddy_system_allocator::FrameAllocator::new();
        for range in free(map) {
            frames.add_frame(range.start, range.end);
        }
        Self(frames)
    }

    fn take<const ORDER: u8>(&mut self) -> usize {
        self.0.alloc(1 << ORDER).unwrap()
    }

    fn give<const ORDER: u8>(&mut self, first: usize) {
        self.0.dealloc(first, 1 << ORDER);
    }
}

fn fresh<S: Subject>(ram: u64) -> S {
    let map = map(ram);
    let room = S::room(&map);
    S::start(&map, room)
}

fn pairs<S: Subject, const ORDER: u8>(subject: &mut S, times: usize) {
    for _ in 0..times {
        let first = black_box(subject.take::<ORDER>());
        subject.give::<ORDER>(first);
    }
}

/// Out, then back in the order that `back` says.
fn out_and_back<S: Subject, const ORDER: u8>(subject: &mut S, back: &[usize], taken: &mut Vec<S::Block>) {
    taken.extend(back.iter().map(|_| subject.take::<ORDER>()));
    for index in back {
        subject.give::<ORDER>(taken[*index]);
    }
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut indices: Vec<_> = (0..count).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for index in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        indices.swap(index, (state >> 33) as usize % (index + 1));
    }
    indices
}

fn measure_start<S: Subject>(recorder: &mut Recorder, name: &str, ram: (&str, u64)) {
    let map = map(ram.1);
    let room = S::room(&map);
    let subject = recorder.count(&format!("start, {} {name} 1", ram.0), || S::start(&map, room));
    drop(subject);
}

fn measure_order<S: Subject, const ORDER: u8>(recorder: &mut Recorder, name: &str, what: &str, times: usize) {
    let mut subject: S = fresh(RAM);
    recorder
        .count(&format!("{what}, pair by pair {name} {times}"), || pairs::<S, ORDER>(&mut subject, times));
    let mut taken = Vec::with_capacity(times);
    for (how, back) in [("out then back", (0..times).collect()), ("back at random", shuffled(times))] {
        let mut subject: S = fresh(RAM);
        taken.clear();
        recorder.count(&format!("{what}, {how} {name} {times}"), || {
            out_and_back::<S, ORDER>(&mut subject, &back, &mut taken)
        });
    }
}

fn measure<S: Subject>(recorder: &mut Recorder, name: &str, chunk_times: usize) {
    measure_order::<S, 0>(recorder, name, "4 KiB", 10_000);
    measure_order::<S, 4>(recorder, name, "64 KiB", chunk_times);
    measure_order::<S, 9>(recorder, name, "2 MiB", chunk_times);
    // Every second frame of 400 MB held: each free one lies alone.
    let mut subject: S = fresh(RAM);
    let held: Vec<_> = (0..100_000).map(|_| subject.take::<0>()).collect();
    held.iter().step_by(2).for_each(|first| subject.give::<0>(*first));
    let (back, mut taken) = (shuffled(10_000), Vec::with_capacity(10_000));
    recorder.count(&format!("4 KiB, among holes {name} 10000"), || {
        out_and_back::<S, 0>(&mut subject, &back, &mut taken)
    });
}

fn report(counts: &Counts) {
    let find = |row: &str, name: &str| {
        counts.iter().find_map(|(label, &total)| {
            let times: u64 = label.strip_prefix(&format!("{row} {name} "))?.trim().parse().ok()?;
            Some(total / times)
        })
    };
    let print = |row: &str, verdict: &str| {
        print!("{row:24}");
        for name in NAMES {
            match find(row, name) {
                Some(count) => print!("{count:>14}"),
                None => print!("{:>14}", "–"),
            }
        }
        println!("   {verdict}");
    };
    let ours = |row: &str| find(row, NAMES[0]).unwrap_or(u64::MAX);
    let judge = |row: &str, limit: u64, why: &str| {
        let verdict = if ours(row) <= limit { "met" } else { "MISSED" };
        print(row, &format!("{verdict}: at most {limit} ({why})"));
    };
    println!("Frames: instructions of a start, and per allocate + free\n");
    println!("{:24}{}", "", NAMES.map(|name| format!("{name:>14}")).concat());
    for (ram, _) in &STARTS[..2] {
        print(&format!("start, {ram}"), "");
    }
    judge("start, 1 TiB", 2 * ours("start, 128 MiB"), "twice the start at 128 MiB");
    for row in ["4 KiB, pair by pair", "4 KiB, out then back"] {
        let best = NAMES[1..].iter().filter_map(|name| find(row, name)).min().unwrap_or(0);
        judge(row, best / 2, "half the best peer");
    }
    for row in ["4 KiB, back at random", "4 KiB, among holes"] {
        print(row, "");
    }
    print("64 KiB, pair by pair", "");
    print("64 KiB, out then back", "");
    judge("2 MiB, pair by pair", 295, "half LLFree's 591");
    judge("2 MiB, out then back", 295, "half LLFree's 591");
    print("2 MiB, back at random", "");
}

fn main() {
    run(
        |recorder| {
            for ram in STARTS {
                measure_start::<Ours>(recorder, NAMES[0], ram);
                measure_start::<Bitmap<BitAlloc256M>>(recorder, NAMES[1], ram);
                measure_start::<Buddy>(recorder, NAMES[2], ram);
            }
            measure::<Ours>(recorder, NAMES[0], 10_000);
            measure::<Bitmap<BitAlloc16M>>(recorder, NAMES[1], 300);
            measure::<Buddy>(recorder, NAMES[2], 10_000);
        },
        report,
    );
}
