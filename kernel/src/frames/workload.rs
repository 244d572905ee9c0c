//! Random use of the frame allocator, checked against what must hold: the same steps on a host and on a machine.
//!
//! A workload keeps a fixed number of slots, each empty, with a block or range that it was given, or with one that it
//! had reserved. What it holds is stamped at both ends and compared with everything else that it holds; the count of
//! free frames is known at every step, and wrong frees are tried among the right ones. It needs no memory but its
//! own value.

use core::fmt;

use super::memory::{FrameMemory, OwnedFrame};
use super::{FrameAllocator, FrameError, FrameRange, Order};
use crate::random::Random;
use shared_abi::addr::{Frame, PAGE};

/// Steps between two full counts.
const COUNT_EVERY: u64 = 4096;

/// What went wrong: a defect of the allocator, or of whoever wrote to what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A block does not begin at a multiple of what was asked for.
    Misaligned(Frame),
    /// The block shares a frame with another one.
    Overlap(Frame),
    /// The block is not what was written to it, or not zero though that was asked for.
    Changed(Frame),
    /// A right request was refused.
    Refused(FrameError),
    /// A wrong free was accepted.
    Accepted(Frame),
    /// The counts do not add up.
    Count {
        /// Free frames as they must be.
        expected: u64,
        /// As they are counted.
        found: u64,
    },
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blocks and ranges taken.
    pub allocated: u64,
    /// Blocks and ranges given back.
    pub freed: u64,
    /// Ranges reserved and released again.
    pub reserved: u64,
    /// Wrong frees, each refused.
    pub refused: u64,
    /// Requests that found no memory.
    pub exhausted: u64,
    /// The most frames that were held.
    pub peak: u64,
}

/// How frames are held, hence how they are given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Block(Order),
    Range,
    Reserved,
}

#[derive(Clone, Copy)]
struct Held {
    range: FrameRange,
    how: Hold,
}

impl Held {
    /// The frames that are stamped: first and last.
    fn ends(self) -> [u64; 2] {
        let first = self.range.first().number();
        [first, first + self.range.frames() - 1]
    }
}

/// The state of a run: `SLOTS` blocks at most.
pub struct Workload<const SLOTS: usize> {
    slots: [Option<Held>; SLOTS],
    random: Random,
    held: u64,
    summary: Summary,
}

fn stamp(number: u64) -> u64 {
    (number * PAGE) ^ 0x5EED_0000_0000_0000
}

impl<const SLOTS: usize> Workload<SLOTS> {
    /// A workload that holds nothing. The same seed makes the same steps.
    pub const fn new(seed: u64) -> Self {
        let summary = Summary { allocated: 0, freed: 0, reserved: 0, refused: 0, exhausted: 0, peak: 0 };
        Self { slots: [None; SLOTS], random: Random::new(seed), held: 0, summary }
    }

    /// What has been done.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Does `steps` steps on `frames`, which nobody else uses meanwhile.
    ///
    /// # Errors
    /// The first thing that is [`Wrong`]; that no memory is left is not.
    pub fn run<M: FrameMemory>(&mut self, frames: &mut FrameAllocator<M>, steps: u64) -> Result<(), Wrong> {
        let total = frames.free_frames() + self.held;
        for step in 1..=steps {
            let slot = self.random.below(SLOTS as u64) as usize;
            match self.slots.get(slot).copied().flatten() {
                None => self.take(frames, slot)?,
                Some(held) => match self.random.below(8) {
                    0 => self.misuse(frames, held)?,
                    1 => self.reserve(frames, slot, held)?,
                    _ => self.give_back(frames, slot, held)?,
                },
            }
            self.expect(frames.free_frames(), total - self.held)?;
            if step % COUNT_EVERY == 0 {
                self.count(frames, total)?;
            }
        }
        self.count(frames, total)
    }

    /// Gives everything back.
    ///
    /// # Errors
    /// The first thing that is [`Wrong`].
    pub fn finish<M: FrameMemory>(&mut self, frames: &mut FrameAllocator<M>) -> Result<(), Wrong> {
        let total = frames.free_frames() + self.held;
        for slot in 0..SLOTS {
            if let Some(held) = self.slots.get(slot).copied().flatten() {
                self.give_back(frames, slot, held)?;
            }
        }
        self.count(frames, total)
    }

    fn expect(&self, found: u64, expected: u64) -> Result<(), Wrong> {
        if found == expected { Ok(()) } else { Err(Wrong::Count { expected, found }) }
    }

    /// Counts all frames by what the tables say of each.
    fn count<M: FrameMemory>(&self, frames: &mut FrameAllocator<M>, total: u64) -> Result<(), Wrong> {
        let counted = frames.statistics();
        let blocks = counted.free_blocks.iter().zip(0..).map(|(count, order)| count << order).sum();
        self.expect(blocks, total - self.held)?;
        self.expect(counted.free + counted.allocated + counted.reserved, counted.total)
    }

    fn take<M: FrameMemory>(&mut self, frames: &mut FrameAllocator<M>, slot: usize) -> Result<(), Wrong> {
        let kind = self.random.below(8);
        // Small orders mostly; 4 MiB now and then.
        let order = match self.random.below(8) {
            0..=4 => 0,
            5 | 6 => self.random.below(10) as u8,
            _ => self.random.below(12) as u8,
        };
        let order = Order::new(order).unwrap_or_default();
        let zeroed = kind == 0;
        let (taken, how) = match kind {
            0 => (frames.allocate_zeroed(order), Hold::Block(order)),
            1 => {
                let shift = self.random.below(12);
                let length = 1 + self.random.below(1 << shift);
                match frames.allocate_range(length, order) {
                    Ok(range) => {
                        return self.keep(frames, slot, Held { range, how: Hold::Range }, order, false);
                    }
                    Err(error) => (Err(error), Hold::Range),
                }
            }
            _ => (frames.allocate(order), Hold::Block(order)),
        };
        let first = match taken {
            Ok(first) => first,
            Err(FrameError::OutOfFrames { .. } | FrameError::NoRun { .. }) => {
                self.summary.exhausted += 1;
                return Ok(());
            }
            Err(error) => return Err(Wrong::Refused(error)),
        };
        let range = FrameRange::new(first, order.frames()).ok_or(Wrong::Misaligned(first))?;
        self.keep(frames, slot, Held { range, how }, order, zeroed)
    }

    /// Checks what was given, stamps it and keeps it.
    fn keep<M: FrameMemory>(
        &mut self,
        frames: &mut FrameAllocator<M>,
        slot: usize,
        held: Held,
        alignment: Order,
        zeroed: bool,
    ) -> Result<(), Wrong> {
        let range = held.range;
        if !range.first().number().is_multiple_of(alignment.frames()) {
            return Err(Wrong::Misaligned(range.first()));
        }
        if let Some(other) =
            self.slots.iter().flatten().find(|other| other.range.range().overlaps(range.range()))
        {
            return Err(Wrong::Overlap(other.range.first()));
        }
        for number in held.ends() {
            if zeroed && frames.memory_mut().page(OwnedFrame::new(number)).iter().any(|word| *word != 0) {
                return Err(Wrong::Changed(range.first()));
            }
        }
        for number in held.ends() {
            frames.memory_mut().page(OwnedFrame::new(number))[(number % 512) as usize] = stamp(number);
        }
        self.summary.allocated += 1;
        self.held += range.frames();
        self.summary.peak = self.summary.peak.max(self.held);
        self.set(slot, Some(held));
        Ok(())
    }

    fn set(&mut self, slot: usize, held: Option<Held>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = held;
        }
    }

    fn give_back<M: FrameMemory>(
        &mut self,
        frames: &mut FrameAllocator<M>,
        slot: usize,
        held: Held,
    ) -> Result<(), Wrong> {
        for number in held.ends() {
            if frames.memory_mut().page(OwnedFrame::new(number))[(number % 512) as usize] != stamp(number) {
                return Err(Wrong::Changed(held.range.first()));
            }
        }
        let given = match held.how {
            Hold::Block(order) => frames.free(held.range.first(), order),
            Hold::Range => frames.free_range(held.range),
            Hold::Reserved => frames.release(held.range),
        };
        given.map_err(Wrong::Refused)?;
        self.summary.freed += 1;
        self.held -= held.range.frames();
        self.set(slot, None);
        Ok(())
    }

    /// Frees that are wrong in every way but one: nothing may come of them.
    fn misuse<M: FrameMemory>(&mut self, frames: &mut FrameAllocator<M>, held: Held) -> Result<(), Wrong> {
        let first = held.range.first();
        let (next, more) = (first.checked_add(1), FrameRange::new(first, held.range.frames() + 1));
        let other = match held.how {
            Hold::Block(order) if order.get() < 18 => Order::new(order.get() + 1),
            _ => None,
        };
        let accepted = [
            more.is_some_and(|more| frames.free_range(more).is_ok()),
            held.range.frames() > 1 && next.is_some_and(|next| frames.free_frame(next).is_ok()),
            other.is_some_and(|order| frames.free(first, order).is_ok()),
            held.how == Hold::Reserved && frames.free_range(held.range).is_ok(),
            held.how != Hold::Reserved && frames.release(held.range).is_ok(),
            frames.reserve(held.range).is_ok(),
        ];
        self.summary.refused += accepted.len() as u64;
        if accepted.contains(&true) { Err(Wrong::Accepted(first)) } else { Ok(()) }
    }

    /// Gives a block back, finds that it cannot be given back again, and has its frames reserved.
    fn reserve<M: FrameMemory>(
        &mut self,
        frames: &mut FrameAllocator<M>,
        slot: usize,
        held: Held,
    ) -> Result<(), Wrong> {
        self.give_back(frames, slot, held)?;
        if held.how == Hold::Reserved {
            return Ok(());
        }
        if frames.free_range(held.range).is_ok() || frames.free_frame(held.range.first()).is_ok() {
            return Err(Wrong::Accepted(held.range.first()));
        }
        frames.reserve(held.range).map_err(Wrong::Refused)?;
        self.summary.reserved += 1;
        self.held += held.range.frames();
        self.set(slot, Some(Held { how: Hold::Reserved, ..held }));
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned(frame) => write!(f, "the block at {} is misaligned", frame.start()),
            Self::Overlap(frame) => write!(f, "a block overlaps the one at {}", frame.start()),
            Self::Changed(frame) => write!(f, "the block at {} was written to", frame.start()),
            Self::Refused(error) => write!(f, "a right request was refused: {error}"),
            Self::Accepted(frame) => write!(f, "a wrong free of {} was accepted", frame.start()),
            Self::Count { expected, found } => write!(f, "{found} frames are counted, {expected} it must be"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocated, freed, reserved, refused, exhausted, peak } = self;
        write!(
            f,
            "{allocated} blocks taken, {freed} given back, {reserved} reserved, {refused} wrong frees refused, \
             {exhausted} requests found no memory, at most {peak} frames held"
        )
    }
}
