//! The heap beside its peers: instructions per pair of allocate and free.
//!
//! Two workloads, each at 0, 1,000 and 100,000 live blocks. *Pair*: one block is allocated and freed again.
//! *Churn*: a random live block is freed and another is allocated, sizes drawn anew. The live blocks are half of
//! twice as many, every other one freed, so that every allocator starts with as many holes as blocks.

use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;

use kernel::heap::global::GlobalHeap;
use kernel::heap::{Blocks, Heap, HeapPages, Unbacked};
use kernel_bench::{Counts, Recorder, run};
use shared_abi::addr::VirtRange;

/// Address space for every allocator; only what is touched takes memory.
const WINDOW: usize = 16 << 30;

const LIVE: [usize; 3] = [0, 1_000, 100_000];
const SIZES: [usize; 7] = [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
const CHURN: [(&str, usize); 2] = [("16 B – 1 KiB", 1 << 10), ("16 B – 64 KiB", 64 << 10)];
const NAMES: [&str; 6] = ["handoff", "… locked", "linked list", "talc", "rlsf", "buddy"];

/// What the workloads ask of an allocator.
trait Subject {
    fn new() -> Self;
    fn allocate(&mut self, layout: Layout) -> NonNull<u8>;
    fn free(&mut self, block: NonNull<u8>, layout: Layout);
}

fn reserve(bytes: usize) -> usize {
    // SAFETY: a new anonymous mapping.
    let start = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    start.expose_provenance()
}

fn release(start: usize, bytes: usize) {
    // SAFETY: a mapping of `reserve` that nobody uses any more.
    unsafe { libc::munmap(core::ptr::with_exposed_provenance_mut(start), bytes) };
}

struct Reserved(usize);

impl Drop for Reserved {
    fn drop(&mut self) {
        release(self.0, WINDOW);
    }
}

// SAFETY: the reserved addresses are memory as soon as they are touched, and only the heap has them.
unsafe impl HeapPages for Reserved {
    fn window(&self) -> VirtRange {
        VirtRange::from_bounds(self.0 as u64, (self.0 + WINDOW) as u64).unwrap()
    }

    fn map(&mut self, _: VirtRange) -> Result<(), Unbacked> {
        Ok(())
    }

    fn unmap(&mut self, _: VirtRange) {}
}

impl Subject for Heap<Reserved> {
    fn new() -> Self {
        let mut heap = Heap::new();
        heap.start(Reserved(reserve(WINDOW))).unwrap();
        heap
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        Blocks::allocate(self, layout).unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated.
        unsafe { Blocks::free(self, block, layout) }.unwrap();
    }
}

/// With the lock and as the compiler calls it.
struct Locked(GlobalHeap<Heap<Reserved>>);

impl Subject for Locked {
    fn new() -> Self {
        Self(GlobalHeap::new(Subject::new(), |error| panic!("{error}")))
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { std::alloc::GlobalAlloc::alloc(&self.0, layout) }).unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated.
        unsafe { std::alloc::GlobalAlloc::dealloc(&self.0, block.as_ptr(), layout) };
    }
}

/// A peer and the addresses that it was given.
struct Peer<A>(A, #[expect(dead_code, reason = "unmapped when dropped")] Reserved);

impl Subject for Peer<linked_list_allocator::Heap> {
    fn new() -> Self {
        let window = Reserved(reserve(WINDOW));
        // SAFETY: memory that only this allocator has; so below.
        let heap = unsafe {
            linked_list_allocator::Heap::new(core::ptr::with_exposed_provenance_mut(window.0), WINDOW)
        };
        Self(heap, window)
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        self.0.allocate_first_fit(layout).unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated; so below.
        unsafe { self.0.deallocate(block, layout) };
    }
}

type Talc = talc::base::Talc<talc::source::Manual, talc::base::binning::DefaultBinning>;

impl Subject for Peer<Talc> {
    fn new() -> Self {
        let window = Reserved(reserve(WINDOW));
        let mut talc = Talc::new(talc::source::Manual);
        // SAFETY: memory that only this allocator has.
        unsafe { talc.claim(core::ptr::with_exposed_provenance_mut(window.0), WINDOW) }.unwrap();
        Self(talc, window)
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        // SAFETY: the layout is not empty.
        unsafe { self.0.allocate(layout) }.unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated.
        unsafe { self.0.deallocate(block.as_ptr(), layout) };
    }
}

type Tlsf = rlsf::Tlsf<'static, u32, u32, 32, 32>;

impl Subject for Peer<Tlsf> {
    fn new() -> Self {
        let window = Reserved(reserve(WINDOW));
        let mut tlsf = Tlsf::new();
        let start = NonNull::new(core::ptr::with_exposed_provenance_mut(window.0)).unwrap();
        // SAFETY: memory that only this allocator has.
        unsafe { tlsf.insert_free_block_ptr(NonNull::slice_from_raw_parts(start, WINDOW)) }.unwrap();
        Self(tlsf, window)
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        self.0.allocate(layout).unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated.
        unsafe { self.0.deallocate(block, layout.align()) };
    }
}

type Buddy = buddy_system_allocator::Heap<40>;

impl Subject for Peer<Buddy> {
    fn new() -> Self {
        let window = Reserved(reserve(WINDOW));
        let mut buddy = Buddy::new();
        // SAFETY: memory that only this allocator has.
        unsafe { buddy.init(window.0, WINDOW) };
        Self(buddy, window)
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> NonNull<u8> {
        self.0.alloc(layout).unwrap()
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the workloads free what they allocated.
        unsafe { self.0.dealloc(block, layout) };
    }
}

/// xorshift64*: the same sizes and choices for every allocator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A layout of 16 bytes to `largest`, every doubling as likely as the others.
    fn layout(&mut self, largest: usize) -> Layout {
        let doublings = u64::from(largest.ilog2() - 4);
        let low = 16 << (self.next() >> 33) % doublings;
        let size = low + (self.next() >> 33) as usize % (low + 1);
        Layout::from_size_align(size, 8).unwrap()
    }
}

type Live = Vec<(NonNull<u8>, Layout)>;

/// `count` live blocks of up to `largest` bytes between as many holes.
fn populate<S: Subject>(subject: &mut S, count: usize, largest: usize) -> (Live, Random) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut all: Live = (0..2 * count)
        .map(|_| {
            let layout = random.layout(largest);
            (subject.allocate(layout), layout)
        })
        .collect();
    let mut live = Live::new();
    // The newest first: an allocator with a sorted list of holes finds the place at once.
    while let (Some(kept), Some((block, layout))) = (all.pop(), all.pop()) {
        live.push(kept);
        subject.free(block, layout);
    }
    (live, random)
}

#[inline(never)]
fn pairs<S: Subject>(subject: &mut S, layout: Layout, count: usize) {
    for _ in 0..count {
        let block = subject.allocate(black_box(layout));
        subject.free(black_box(block), black_box(layout));
    }
}

#[inline(never)]
fn churn<S: Subject>(subject: &mut S, live: &mut Live, plan: &[(usize, Layout)]) {
    for &(victim, layout) in plan {
        let (block, old) = live[victim];
        subject.free(block, old);
        live[victim] = (subject.allocate(layout), layout);
    }
}

/// Measures one allocator; with `patience` that many times fewer rounds, and without the most live blocks unless
/// the command line says `--all`: some need minutes only to be filled.
fn measure<S: Subject>(recorder: &mut Recorder, name: &str, patience: usize) {
    let all = patience < 10 || std::env::args().any(|argument| argument == "--all");
    for count in LIVE.into_iter().filter(|&count| all || count < 100_000) {
        let mut subject = S::new();
        populate(&mut subject, count, 64 << 10);
        for size in SIZES {
            let layout = Layout::from_size_align(size, 8).unwrap();
            pairs(&mut subject, layout, 10);
            let times = 1_000 / patience;
            recorder
                .count(&format!("pair {count} {size} {name} {times}"), || pairs(&mut subject, layout, times));
        }
        for (range, largest) in CHURN {
            if count == 0 {
                continue;
            }
            let mut subject = S::new();
            let (mut live, mut random) = populate(&mut subject, count, largest);
            let times = 10_000 / patience;
            let plan: Vec<_> = (0..2 * times)
                .map(|_| ((random.next() >> 33) as usize % count, random.layout(largest)))
                .collect();
            let (warm, measured) = plan.split_at(times);
            churn(&mut subject, &mut live, warm);
            let label = format!("churn {count} {range} {name} {times}");
            recorder.count(&label, || churn(&mut subject, &mut live, measured));
        }
    }
}

fn report(counts: &Counts) {
    let find = |prefix: String| {
        counts.iter().find_map(|(label, &total)| {
            let times: f64 = label.strip_prefix(&prefix)?.trim().parse().ok()?;
            Some(total as f64 / times)
        })
    };
    let row = |title: String, prefix: String| {
        print!("{title:24}");
        let numbers: Vec<_> = NAMES.iter().map(|name| find(format!("{prefix} {name} "))).collect();
        for number in &numbers {
            match number {
                Some(number) => print!("{number:>12.0}"),
                None => print!("{:>12}", "–"),
            }
        }
        let best = numbers[2..].iter().flatten().copied().fold(f64::INFINITY, f64::min);
        match numbers[0] {
            Some(ours) if ours <= best => println!("   met"),
            _ => println!("   MISSED"),
        }
    };
    println!(
        "Heap: instructions per allocate + free (none but the second with a lock; target: the best peer)\n"
    );
    println!("{:24}{}", "", NAMES.map(|name| format!("{name:>12}")).concat());
    for count in LIVE {
        for size in SIZES {
            row(format!("pair, {count} live, {size} B"), format!("pair {count} {size}"));
        }
        for (range, _) in CHURN.iter().filter(|_| count > 0) {
            row(format!("churn, {count}, {range}"), format!("churn {count} {range}"));
        }
    }
}

fn main() {
    run(
        |recorder| {
            measure::<Heap<Reserved>>(recorder, NAMES[0], 1);
            measure::<Locked>(recorder, NAMES[1], 1);
            measure::<Peer<linked_list_allocator::Heap>>(recorder, NAMES[2], 100);
            measure::<Peer<Talc>>(recorder, NAMES[3], 1);
            measure::<Peer<Tlsf>>(recorder, NAMES[4], 1);
            measure::<Peer<Buddy>>(recorder, NAMES[5], 20);
        },
        report,
    );
}
