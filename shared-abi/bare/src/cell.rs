//! State that is there once: a value in a `static` that is borrowed for a moment, or claimed for good.
//!
//! ```text
//! free ─┬─ try_borrow ──────► shared, by as many as ask ─┐
//!       ├─ try_borrow_mut ──► one's ─────────────────────┼─► free, when the last is dropped
//!       └─ claim ───────────► one's for good             │
//!                                                        │
//! any ──── seize ───────────► one's, the others never run again
//! ```
//!
//! A borrow that is out refuses the next one instead of waiting: an exception handler that interrupts its holder, on the
//! same CPU, would wait for ever. It is sound with any number of CPUs.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const EXCLUSIVE: u32 = u32::MAX;

/// A value whose borrows are checked when they are made.
///
/// ```
/// use handoff_bare::cell::BorrowCell;
///
/// static LINES: BorrowCell<u64> = BorrowCell::new(0);
/// *LINES.try_borrow_mut().unwrap() += 1;
/// let shared = LINES.try_borrow().unwrap();
/// assert!(LINES.try_borrow_mut().is_none());
/// assert_eq!(*shared, 1);
/// ```
pub struct BorrowCell<T> {
    /// How many share it, or [`EXCLUSIVE`].
    borrows: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: `borrows` gives the value to one or shares it; `T: Send + Sync` allows both from any CPU.
unsafe impl<T: Send + Sync> Sync for BorrowCell<T> {}

/// A shared borrow.
pub struct Shared<'a, T>(&'a BorrowCell<T>);

/// The only borrow.
pub struct Exclusive<'a, T>(&'a BorrowCell<T>);

impl<T> BorrowCell<T> {
    /// A free cell.
    pub const fn new(value: T) -> Self {
        Self { borrows: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// The value, shared; `None` while it is somebody's alone.
    pub fn try_borrow(&self) -> Option<Shared<'_, T>> {
        let share = |borrows: u32| borrows.checked_add(1).filter(|borrows| *borrows != EXCLUSIVE);
        let shared = self.borrows.fetch_update(Ordering::Acquire, Ordering::Relaxed, share);
        shared.is_ok().then(|| Shared(self))
    }

    /// The value, alone; `None` while anybody has it.
    pub fn try_borrow_mut(&self) -> Option<Exclusive<'_, T>> {
        let taken = self.borrows.compare_exchange(FREE, EXCLUSIVE, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| Exclusive(self))
    }

    /// The value for good: whoever asks first gets it; `None` for all others, and while anybody has it.
    #[allow(clippy::mut_from_ref, reason = "it is given to one caller, once")]
    pub fn claim(&'static self) -> Option<&'static mut T> {
        core::mem::forget(self.try_borrow_mut()?);
        // SAFETY: the borrow that was just forgotten is the only one, and no other will ever be made.
        Some(unsafe { &mut *self.value.get() })
    }

    /// The value, whoever has it. Without exclusives, which memory may not serve when all else has failed.
    ///
    /// # Safety
    ///
    /// Whoever has it now never uses it again: what it ran on is stopped, or was interrupted and will not be resumed.
    #[allow(clippy::mut_from_ref, reason = "the caller vouches that the others are gone")]
    pub unsafe fn seize(&self) -> &mut T {
        self.borrows.store(EXCLUSIVE, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { &mut *self.value.get() }
    }

    /// Makes the cell free, whoever has it.
    ///
    /// # Safety
    ///
    /// As for [`Self::seize`].
    pub unsafe fn release(&self) {
        self.borrows.store(FREE, Ordering::Relaxed);
    }
}

impl<T> Deref for Shared<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: nobody has the value alone until this is dropped.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Drop for Shared<'_, T> {
    fn drop(&mut self) {
        self.0.borrows.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Deref for Exclusive<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is the only borrow until it is dropped.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Exclusive<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Exclusive<'_, T> {
    fn drop(&mut self) {
        self.0.borrows.store(FREE, Ordering::Release);
    }
}

impl<T> fmt::Debug for BorrowCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BorrowCell").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrow_refuses_the_next_one_until_it_is_dropped() {
        let cell = BorrowCell::new(1);
        {
            let first = cell.try_borrow().unwrap();
            let second = cell.try_borrow().unwrap();
            assert_eq!((*first, *second), (1, 1));
            assert!(cell.try_borrow_mut().is_none());
            drop(first);
            assert!(cell.try_borrow_mut().is_none());
        }
        *cell.try_borrow_mut().unwrap() = 2;
        {
            let _only = cell.try_borrow_mut().unwrap();
            assert!(cell.try_borrow().is_none() && cell.try_borrow_mut().is_none());
        }
        assert_eq!(*cell.try_borrow().unwrap(), 2);
    }

    #[test]
    fn a_value_is_claimed_once_and_never_while_it_is_borrowed() {
        static CELL: BorrowCell<u32> = BorrowCell::new(1);
        let borrowed = CELL.try_borrow();
        assert!(CELL.claim().is_none());
        drop(borrowed);
        *CELL.claim().unwrap() += 1;
        assert!(CELL.claim().is_none() && CELL.try_borrow().is_none() && CELL.try_borrow_mut().is_none());
        // SAFETY: the claimed reference is not used any more.
        assert_eq!(unsafe { *CELL.seize() }, 2);
    }

    #[test]
    fn threads_that_get_it_have_it_alone() {
        static CELL: BorrowCell<[u64; 2]> = BorrowCell::new([0; 2]);
        let counted = |_| {
            std::thread::spawn(|| {
                let mut done = 0;
                while done < 1000 {
                    if let Some(mut both) = CELL.try_borrow_mut() {
                        both[0] += 1;
                        both[1] += 1;
                        done += 1;
                    }
                    assert!(CELL.try_borrow().is_none_or(|both| both[0] == both[1]));
                }
            })
        };
        let threads: std::vec::Vec<_> = (0..4).map(counted).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*CELL.try_borrow().unwrap(), [4000; 2]);
    }
}
