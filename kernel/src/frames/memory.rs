//! How the allocator reaches the memory that it manages, without knowing where that is mapped.

use shared_abi::addr::{Frame, PAGE, PhysAddr};

/// The frame of a number that the allocator computed from its own tables. Those cover checked ranges only, so the
/// mask changes nothing; it spares a branch that is never taken.
#[inline(always)]
pub(super) const fn frame(number: u64) -> Frame {
    const FIRST: Frame = Frame::new(0).unwrap();
    match Frame::new(number & ((PhysAddr::LIMIT / PAGE) - 1)) {
        Some(frame) => frame,
        None => FIRST,
    }
}

/// A frame seen as 512 machine words.
pub type PageWords = [u64; PAGE as usize / 8];

/// An aligned 32nd of a frame, seen as 16 machine words.
pub type LineWords = [u64; 16];

/// Lines in a frame.
const LINES: u64 = PAGE / size_of::<LineWords>() as u64;

/// A frame that the allocator owns at this moment: a page of its metadata, or one that it is about to hand out and
/// clears first. Only the allocator makes such a value, so an implementation of [`FrameMemory`] may hand out a
/// reference to the frame's bytes: nothing else holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct OwnedFrame(u64);

impl OwnedFrame {
    /// `number` is the number of a frame that the caller knows to own.
    #[inline(always)]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The frame's number.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A line of a frame that the allocator owns, as its number in all of physical memory: its address / 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct OwnedLine(u64);

impl OwnedLine {
    /// log2 of the lines in a frame.
    pub(super) const SHIFT: u32 = LINES.ilog2();

    /// `number` is the number of a line of a frame that the caller knows to own.
    #[inline(always)]
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The line's number.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Access to physical memory: in the kernel the direct map, in tests an arena.
pub trait FrameMemory {
    /// The frame's contents.
    fn page(&mut self, frame: OwnedFrame) -> &mut PageWords;

    /// The contents of one line.
    fn line(&mut self, line: OwnedLine) -> &mut LineWords {
        let (lines, _) = self.page(OwnedFrame::new(line.0 / LINES)).as_chunks_mut();
        &mut lines[(line.0 % LINES) as usize]
    }

    /// Fills `count` frames from `frame` on with zeros.
    fn clear(&mut self, frame: OwnedFrame, count: u64) {
        for number in frame.0..frame.0.saturating_add(count) {
            self.page(OwnedFrame::new(number)).fill(0);
        }
    }
}
