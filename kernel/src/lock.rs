//! A spin lock that can mask interrupts while it is held.
//!
//! An allocator that an interrupt handler may enter must not be interrupted by it while it is locked, or the
//! handler waits forever: so the lock masks first and takes second, and restores in the other order. What
//! masking means is the machine's, told by [`Interrupts`]; on a host there is nothing to mask.
//!
//! ```
//! use kernel::lock::{Lock, NoInterrupts};
//!
//! static TICKS: Lock<u64, NoInterrupts> = Lock::new(0);
//!
//! *TICKS.lock() += 1;
//! let guard = TICKS.lock();
//! assert_eq!(*guard, 1);
//! assert!(TICKS.try_lock().is_none());
//! ```
//!
//! `tests/loom.rs` compiles this file once more with loom's cells and atomics and tries every interleaving.
#![expect(unsafe_code, reason = "a lock is the promise that its guard is alone with the value")]

#[cfg(not(all(loom, test)))]
use core::cell::UnsafeCell;
#[cfg(not(all(loom, test)))]
use core::hint;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
#[cfg(not(all(loom, test)))]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;

#[cfg(all(loom, test))]
use crate::checked::{AtomicBool, UnsafeCell, hint};

/// How this CPU's interrupts are masked.
pub trait Interrupts {
    /// Masks them and returns what they were.
    fn mask() -> u64;

    /// Makes them what `mask` returned.
    fn restore(former: u64);
}

/// For places without interrupts: hosts, and kernels that never unmask them.
#[derive(Clone, Copy, Debug)]
pub struct NoInterrupts;

impl Interrupts for NoInterrupts {
    #[inline(always)]
    fn mask() -> u64 {
        0
    }

    #[inline(always)]
    fn restore(_: u64) {}
}

/// A value that one CPU at a time can use.
///
/// ```
/// use kernel::lock::{Lock, NoInterrupts};
///
/// static COUNT: Lock<u64, NoInterrupts> = Lock::new(0);
/// *COUNT.lock() += 1;
/// let held = COUNT.lock();
/// assert_eq!(*held, 1);
/// assert!(COUNT.try_lock().is_none());
/// ```
pub struct Lock<T, I = NoInterrupts> {
    taken: AtomicBool,
    interrupts: PhantomData<fn() -> I>,
    value: UnsafeCell<T>,
}

// SAFETY: `lock` gives the value to one guard at a time, so it moves between CPUs but is never shared by them.
unsafe impl<T: Send, I> Sync for Lock<T, I> {}

/// The right to use the value; gives it up when dropped.
pub struct Guard<'a, T, I: Interrupts> {
    lock: &'a Lock<T, I>,
    former: u64,
    /// Interrupts are masked on this CPU: the guard must be dropped here.
    not_send: PhantomData<*mut ()>,
}

impl<T, I: Interrupts> Lock<T, I> {
    /// An open lock around `value`.
    #[cfg(not(all(loom, test)))]
    pub const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), interrupts: PhantomData, value: UnsafeCell::new(value) }
    }

    /// The same; what loom checks cannot be made in a constant.
    #[cfg(all(loom, test))]
    pub fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), interrupts: PhantomData, value: UnsafeCell::new(value) }
    }

    /// Masks interrupts and waits until the value is free. Waits forever if this CPU has it: a handler of
    /// exceptions that cannot be masked uses [`try_lock`](Self::try_lock).
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T, I> {
        let former = I::mask();
        while self.taken.swap(true, Ordering::Acquire) {
            while self.taken.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        }
        Guard { lock: self, former, not_send: PhantomData }
    }

    /// The guard if the value is free now.
    pub fn try_lock(&self) -> Option<Guard<'_, T, I>> {
        let former = I::mask();
        if self.taken.swap(true, Ordering::Acquire) {
            I::restore(former);
            return None;
        }
        Some(Guard { lock: self, former, not_send: PhantomData })
    }
}

impl<T, I: Interrupts> Deref for Guard<'_, T, I> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this guard took the lock, and no other exists until it is dropped.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T, I: Interrupts> DerefMut for Guard<'_, T, I> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard took the lock, and no other exists until it is dropped.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T, I: Interrupts> Drop for Guard<'_, T, I> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.taken.store(false, Ordering::Release);
        I::restore(self.former);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_counter_behind_the_lock_loses_no_increment() {
        let counter = Arc::new(Lock::<u64>::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || (0..10_000).for_each(|_| *counter.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*counter.lock(), 40_000);
    }

    #[test]
    fn a_held_lock_is_not_given_twice() {
        let lock = Lock::<u8>::new(7);
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(lock.try_lock().is_some_and(|guard| *guard == 7));
    }

    thread_local!(static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) });

    struct Recorded;

    impl Interrupts for Recorded {
        fn mask() -> u64 {
            LOG.with_borrow_mut(|log| log.push("mask"));
            0x3C0
        }

        fn restore(former: u64) {
            assert_eq!(former, 0x3C0);
            LOG.with_borrow_mut(|log| log.push("restore"));
        }
    }

    #[test]
    fn interrupts_are_masked_exactly_while_the_lock_is_held() {
        let lock = Lock::<(), Recorded>::new(());
        {
            let _guard = lock.lock();
            LOG.with_borrow_mut(|log| log.push("held"));
            assert!(lock.try_lock().is_none());
        }
        LOG.with_borrow(|log| assert_eq!(*log, ["mask", "held", "mask", "restore", "restore"]));
    }
}
