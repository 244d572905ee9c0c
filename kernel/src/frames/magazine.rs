//! A few frames that one CPU keeps, so that it seldom takes the lock of all.

use super::{FrameAllocator, FrameError, FrameMemory};
use crate::lock::{Interrupts, Lock};
use shared_abi::addr::Frame;

/// Up to `N` single frames of one CPU; for the shared allocator they are allocated. Half of them are taken or given
/// back under one lock, so a CPU that takes and gives in turn takes the lock never.
#[derive(Debug)]
pub struct Magazine<const N: usize> {
    frames: [Frame; N],
    count: usize,
}

/// What fills unused places.
const NO_FRAME: Frame = match Frame::new(0) {
    Some(frame) => frame,
    None => panic!("frame 0 has a number"),
};

impl<const N: usize> Magazine<N> {
    /// Frames that change hands under one lock.
    const HALF: usize = N.div_ceil(2);

    /// Without frames.
    pub const fn new() -> Self {
        assert!(N > 0, "a magazine has room for a frame");
        Self { frames: [NO_FRAME; N], count: 0 }
    }

    /// Frames in it.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether the next frame takes the lock.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A frame; its contents are whatever was there.
    ///
    /// # Errors
    /// `OutOfFrames` if neither has one.
    #[inline]
    pub fn allocate<M: FrameMemory, I: Interrupts>(
        &mut self,
        shared: &Lock<FrameAllocator<M>, I>,
    ) -> Result<Frame, FrameError> {
        if self.count == 0 {
            let mut shared = shared.lock();
            self.count = shared.allocate_batch(self.frames.get_mut(..Self::HALF).unwrap_or_default());
            if self.count == 0 {
                return shared.allocate_frame();
            }
        }
        self.count -= 1;
        self.frames.get(self.count).copied().ok_or(FrameError::BadLength { frame: NO_FRAME, frames: 0 })
    }

    /// Takes a single frame back.
    ///
    /// # Errors
    /// `AlreadyFree` if it is here. What else is wrong with a frame is found when it goes back to the shared
    /// allocator, so the error can be an earlier frame's, which it names: that one is then in neither, this one is
    /// here.
    #[inline]
    pub fn free<M: FrameMemory, I: Interrupts>(
        &mut self,
        shared: &Lock<FrameAllocator<M>, I>,
        frame: Frame,
    ) -> Result<(), FrameError> {
        if self.frames.iter().take(self.count).any(|here| *here == frame) {
            return Err(FrameError::AlreadyFree { frame, at: frame });
        }
        let given = if self.count == N { self.give_back(shared, N - Self::HALF) } else { Ok(()) };
        if let Some(place) = self.frames.get_mut(self.count) {
            *place = frame;
            self.count += 1;
        }
        given
    }

    /// Gives all frames back: for a CPU that goes to sleep.
    ///
    /// # Errors
    /// That of the first frame that is refused, which is in neither then; the ones after it are still here.
    pub fn drain<M: FrameMemory, I: Interrupts>(
        &mut self,
        shared: &Lock<FrameAllocator<M>, I>,
    ) -> Result<(), FrameError> {
        self.give_back(shared, 0)
    }

    /// Gives all but the first `keep` frames back.
    #[cold]
    fn give_back<M: FrameMemory, I: Interrupts>(
        &mut self,
        shared: &Lock<FrameAllocator<M>, I>,
        keep: usize,
    ) -> Result<(), FrameError> {
        let going = self.frames.get(keep..self.count).unwrap_or_default();
        let given = shared.lock().free_batch(going);
        let rest = match given {
            Ok(()) => self.count,
            Err((index, _)) => keep + index + 1,
        };
        self.frames.copy_within(rest..self.count, keep);
        self.count = keep + (self.count - rest);
        given.map_err(|(_, error)| error)
    }
}

impl<const N: usize> Default for Magazine<N> {
    fn default() -> Self {
        Self::new()
    }
}
