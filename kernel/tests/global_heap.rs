//! The heap as the allocator of a whole program: this one, its collections, its threads and its test harness.

use std::cell::UnsafeCell;
use std::collections::{BTreeMap, HashMap, VecDeque};

use kernel::heap::global::GlobalHeap;
use kernel::heap::{Heap, HeapError, HeapPages, Unbacked};
use shared_abi::addr::VirtRange;

const WINDOW: usize = 512 << 20;

/// Zeros in no file: pages of the host come with the first touch.
#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; WINDOW]>);

// SAFETY: only the heap uses it, and the heap is behind a lock.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; WINDOW]));

struct StaticPages;

// SAFETY: all of the arena is memory, always, and nobody but the heap has it.
unsafe impl HeapPages for StaticPages {
    fn window(&self) -> VirtRange {
        let start = ARENA.0.get().expose_provenance() as u64;
        VirtRange::from_bounds(start, start + WINDOW as u64).unwrap()
    }

    fn map(&mut self, _: VirtRange) -> Result<(), Unbacked> {
        Ok(())
    }

    fn unmap(&mut self, _: VirtRange) {}
}

/// Starts the heap with its first allocation, which a program's runtime makes before `main`.
struct Started(GlobalHeap<Heap<StaticPages>>);

// SAFETY: passed on to `GlobalHeap`, which keeps the promises.
unsafe impl std::alloc::GlobalAlloc for Started {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: as asked.
        let block = unsafe { self.0.alloc(layout) };
        if !block.is_null() || !matches!(self.0.last_error(), Some(HeapError::NotStarted { .. })) {
            return block;
        }
        // Another thread may have started it meanwhile; the second start is refused and changes nothing.
        let _ = self.0.with(|heap| heap.start(StaticPages));
        // SAFETY: as asked.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: as asked.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: std::alloc::Layout, size: usize) -> *mut u8 {
        // SAFETY: as asked.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

#[global_allocator]
static HEAP: Started = Started(GlobalHeap::new(Heap::new(), |error| {
    // No words: words allocate.
    std::process::exit(error.code().into());
}));

#[test]
fn collections_live_on_the_heap() {
    let boxed = Box::new([7_u8; 300_000]);
    let place = ARENA.0.get().addr()..ARENA.0.get().addr() + WINDOW;
    assert!(place.contains(&(&raw const *boxed).addr()), "the heap under test serves this program");
    let mut numbers: Vec<u64> = (0..200_000).collect();
    numbers.retain(|number| number % 3 == 0);
    assert_eq!(numbers.iter().sum::<u64>(), (0..200_000).filter(|number| number % 3 == 0).sum());
    let tree: BTreeMap<_, _> = (0..20_000_u32).map(|key| (key.reverse_bits(), key.to_string())).collect();
    assert!(tree.iter().all(|(key, value)| key.reverse_bits().to_string() == *value));
    let table: HashMap<_, _> = (0..20_000_u32).map(|key| (key, vec![key; (key % 50) as usize])).collect();
    assert!(table.iter().all(|(key, value)| value.iter().all(|found| found == key)));
    let mut queue = VecDeque::new();
    for round in 0..100_000_usize {
        queue.push_back(Box::new(round));
        if round % 3 != 0 {
            queue.pop_front();
        }
    }
    assert!(queue.iter().is_sorted() && boxed.iter().all(|byte| *byte == 7));
}

#[test]
fn threads_hand_blocks_to_each_other() {
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<u64>>();
    let producers: Vec<_> = (0..4_u64)
        .map(|seed| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for round in 0..2_000_u64 {
                    let length = (round * 37 + seed) % 900 + 1;
                    sender.send((0..length).map(|at| at ^ seed).collect()).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let received = receiver.iter().inspect(|block| {
        let seed = block[0];
        assert!(block.iter().enumerate().all(|(at, value)| *value == at as u64 ^ seed));
    });
    assert_eq!(received.count(), 8_000);
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}
