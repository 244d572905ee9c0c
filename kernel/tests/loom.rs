//! Every interleaving of the lock and of the magazine, as loom enumerates them.
//!
//! `src/lock.rs` and `src/frames/magazine.rs` are compiled here once more, on cells and atomics that loom watches: an
//! access that no `Release` and `Acquire` pair orders is a failure, not luck. `scripts/deep.sh loom` runs it.
#![cfg(loom)]

/// What the lock is made of, as loom has it.
mod checked {
    pub use loom::hint;
    use loom::sync::atomic::Ordering;

    /// Loom's flag, with a store that is a swap: loom would else order a plain store before a swap that failed, which
    /// no machine does, since nothing comes between the value that a swap reads and the one that it writes.
    pub struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        pub fn load(&self, order: Ordering) -> bool {
            self.0.load(order)
        }

        pub fn store(&self, value: bool, order: Ordering) {
            self.0.swap(value, order);
        }

        pub fn swap(&self, value: bool, order: Ordering) -> bool {
            self.0.swap(value, order)
        }
    }

    /// Loom's cell with the face of `core`'s: each `get` is a write that must not be concurrent with another.
    pub struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        pub fn get(&self) -> *mut T {
            self.0.with_mut(|value| value)
        }
    }
}

#[path = "../src/lock.rs"]
#[allow(dead_code, unsafe_code, missing_docs, reason = "the library's file, of which this uses a part")]
mod lock;

#[path = "../src/frames/magazine.rs"]
#[allow(dead_code, reason = "the library's file, of which this uses a part")]
mod magazine;

use std::collections::BTreeMap;
use std::sync::Mutex;

use kernel::frames::{FrameAllocator, FrameError, FrameMemory, OwnedFrame, PageWords};
use lock::Lock;
use loom::sync::Arc;
use loom::thread;
use magazine::Magazine;
use shared_abi::addr::{PAGE, PhysRange};
use shared_abi::memory::RegionKind;

#[test]
fn increments_under_the_lock_are_neither_lost_nor_concurrent() {
    loom::model(|| {
        let counter = Arc::new(Lock::<u32>::new(0));
        let other = Arc::clone(&counter);
        let thread = thread::spawn(move || (0..2).for_each(|_| *other.lock() += 1));
        (0..2).for_each(|_| *counter.lock() += 1);
        thread.join().unwrap();
        assert_eq!(*counter.lock(), 4);
    });
}

#[test]
fn of_those_who_try_at_once_one_has_the_value() {
    loom::model(|| {
        let value = Arc::new(Lock::<u32>::new(0));
        let other = Arc::clone(&value);
        let thread = thread::spawn(move || other.try_lock().map(|mut guard| *guard += 1).is_some());
        let mine = value.try_lock().map(|mut guard| *guard += 1).is_some();
        let theirs = thread.join().unwrap();
        assert!(mine || theirs);
        assert_eq!(*value.lock(), u32::from(mine) + u32::from(theirs));
    });
}

/// Memory made when it is touched.
#[derive(Default)]
struct Pages(BTreeMap<u64, Box<PageWords>>);

impl FrameMemory for Pages {
    fn page(&mut self, frame: OwnedFrame) -> &mut PageWords {
        self.0.entry(frame.number()).or_insert_with(|| Box::new([0; PAGE as usize / 8]))
    }
}

#[test]
fn no_frame_is_in_two_magazines_and_all_come_back() {
    // Tables and four frames: a magazine holds two, so both CPUs take, run dry, and give back half.
    let range = PhysRange::from_bounds(0x10_0000, 0x10_0000 + 7 * PAGE).unwrap();
    loom::model(move || {
        let frames =
            FrameAllocator::new([(range, RegionKind::USABLE)].into_iter(), Pages::default()).unwrap();
        let free = frames.free_frames();
        let shared = Arc::new(Lock::<_>::new(frames));
        // A mutex of the standard library: held for one statement, so that loom does not see it.
        let taken = Arc::new(Mutex::new(Vec::new()));
        let run = |shared: Arc<Lock<FrameAllocator<Pages>>>, taken: Arc<Mutex<Vec<u64>>>| {
            let mut magazine = Magazine::<2>::new();
            let mine: Vec<_> = (0..2).map_while(|_| magazine.allocate(&shared).ok()).collect();
            for frame in &mine {
                let mut taken = taken.lock().unwrap();
                assert!(!taken.contains(&frame.number()), "given to two");
                taken.push(frame.number());
            }
            for frame in mine {
                taken.lock().unwrap().retain(|number| *number != frame.number());
                magazine.free(&shared, frame).unwrap();
            }
            magazine.drain(&shared).unwrap();
        };
        let thread = {
            let (shared, taken) = (Arc::clone(&shared), Arc::clone(&taken));
            thread::spawn(move || run(shared, taken))
        };
        run(Arc::clone(&shared), taken);
        thread.join().unwrap();
        assert_eq!(shared.lock().free_frames(), free);
    });
}
