//! Random use of the frame allocator, checked against what must hold: the same steps on a host and on a machine.
//!
//! A workload keeps a fixed number of slots, each empty, with a block or range that it was given, or with one that it
//! had reserved. What it holds is stamped at both ends and compared with everything else that it holds; the count of
//! free frames is known at every step, and wrong frees are tried among the right ones. It needs no memory but its
//! own value.

use core::fmt;

use super::Random;
use kernel::frames::{FrameAllocator, FrameError, FrameMemory, FrameRange, Order, PageWords};
use shared_abi::addr::Frame;

/// An allocator, and how whoever was given a frame reaches its contents.
pub trait Machine {
    /// How the allocator reaches memory.
    type Memory: FrameMemory;

    /// The allocator.
    fn frames(&mut self) -> &mut FrameAllocator<Self::Memory>;

    /// The contents of a frame that the workload holds.
    fn page(&mut self, frame: Frame) -> &mut PageWords;
}

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
    fn ends(self) -> [Frame; 2] {
        let first = self.range.first();
        [first, first.checked_add(self.range.frames() - 1).unwrap_or(first)]
    }
}

/// The state of a run: `SLOTS` blocks at most.
pub struct Workload<const SLOTS: usize> {
    slots: [Option<Held>; SLOTS],
    random: Random,
    held: u64,
    summary: Summary,
}

fn stamp(frame: Frame) -> u64 {
    frame.start().get() ^ 0x5EED_0000_0000_0000
}

/// The word of a page that is stamped.
fn index(frame: Frame) -> usize {
    (frame.number() % 512) as usize
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
    pub fn run<M: Machine>(&mut self, machine: &mut M, steps: u64) -> Result<(), Wrong> {
        let total = machine.frames().free_frames() + self.held;
        for step in 1..=steps {
            let slot = self.random.below(SLOTS as u64) as usize;
            match self.slots.get(slot).copied().flatten() {
                None => self.take(machine, slot)?,
                Some(held) => match self.random.below(8) {
                    0 => self.misuse(machine, held)?,
                    1 => self.reserve(machine, slot, held)?,
                    _ => self.give_back(machine, slot, held)?,
                },
            }
            self.expect(machine.frames().free_frames(), total - self.held)?;
            if step % COUNT_EVERY == 0 {
                self.count(machine, total)?;
            }
        }
        self.count(machine, total)
    }

    /// Gives everything back.
    ///
    /// # Errors
    /// The first thing that is [`Wrong`].
    pub fn finish<M: Machine>(&mut self, machine: &mut M) -> Result<(), Wrong> {
        let total = machine.frames().free_frames() + self.held;
        for slot in 0..SLOTS {
            if let Some(held) = self.slots.get(slot).copied().flatten() {
                self.give_back(machine, slot, held)?;
            }
        }
        self.count(machine, total)
    }

    fn expect(&self, found: u64, expected: u64) -> Result<(), Wrong> {
        if found == expected { Ok(()) } else { Err(Wrong::Count { expected, found }) }
    }

    /// Counts all frames by what the tables say of each.
    fn count<M: Machine>(&self, machine: &mut M, total: u64) -> Result<(), Wrong> {
        let counted = machine.frames().statistics();
        let blocks = counted.free_blocks.iter().zip(0..).map(|(count, order)| count << order).sum();
        self.expect(blocks, total - self.held)?;
        self.expect(counted.free + counted.allocated + counted.reserved, counted.total)
    }

    fn take<M: Machine>(&mut self, machine: &mut M, slot: usize) -> Result<(), Wrong> {
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
            0 => (machine.frames().allocate_zeroed(order), Hold::Block(order)),
            1 => {
                let shift = self.random.below(12);
                let length = 1 + self.random.below(1 << shift);
                match machine.frames().allocate_range(length, order) {
                    Ok(range) => {
                        return self.keep(machine, slot, Held { range, how: Hold::Range }, order, false);
                    }
                    Err(error) => (Err(error), Hold::Range),
                }
            }
            _ => (machine.frames().allocate(order), Hold::Block(order)),
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
        self.keep(machine, slot, Held { range, how }, order, zeroed)
    }

    /// Checks what was given, stamps it and keeps it.
    fn keep<M: Machine>(
        &mut self,
        machine: &mut M,
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
        for frame in held.ends() {
            if zeroed && machine.page(frame).iter().any(|word| *word != 0) {
                return Err(Wrong::Changed(range.first()));
            }
        }
        for frame in held.ends() {
            machine.page(frame)[index(frame)] = stamp(frame);
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

    fn give_back<M: Machine>(&mut self, machine: &mut M, slot: usize, held: Held) -> Result<(), Wrong> {
        for frame in held.ends() {
            if machine.page(frame)[index(frame)] != stamp(frame) {
                return Err(Wrong::Changed(held.range.first()));
            }
        }
        let given = match held.how {
            Hold::Block(order) => machine.frames().free(held.range.first(), order),
            Hold::Range => machine.frames().free_range(held.range),
            Hold::Reserved => machine.frames().release(held.range),
        };
        given.map_err(Wrong::Refused)?;
        self.summary.freed += 1;
        self.held -= held.range.frames();
        self.set(slot, None);
        Ok(())
    }

    /// Frees that are wrong in every way but one: nothing may come of them.
    fn misuse<M: Machine>(&mut self, machine: &mut M, held: Held) -> Result<(), Wrong> {
        let first = held.range.first();
        let (next, more) = (first.checked_add(1), FrameRange::new(first, held.range.frames() + 1));
        let other = match held.how {
            Hold::Block(order) if order.get() < 18 => Order::new(order.get() + 1),
            _ => None,
        };
        let accepted = [
            more.is_some_and(|more| machine.frames().free_range(more).is_ok()),
            held.range.frames() > 1 && next.is_some_and(|next| machine.frames().free_frame(next).is_ok()),
            other.is_some_and(|order| machine.frames().free(first, order).is_ok()),
            held.how == Hold::Reserved && machine.frames().free_range(held.range).is_ok(),
            held.how != Hold::Reserved && machine.frames().release(held.range).is_ok(),
            machine.frames().reserve(held.range).is_ok(),
        ];
        self.summary.refused += accepted.len() as u64;
        if accepted.contains(&true) { Err(Wrong::Accepted(first)) } else { Ok(()) }
    }

    /// Gives a block back, finds that it cannot be given back again, and has its frames reserved.
    fn reserve<M: Machine>(&mut self, machine: &mut M, slot: usize, held: Held) -> Result<(), Wrong> {
        self.give_back(machine, slot, held)?;
        if held.how == Hold::Reserved {
            return Ok(());
        }
        if machine.frames().free_range(held.range).is_ok()
            || machine.frames().free_frame(held.range.first()).is_ok()
        {
            return Err(Wrong::Accepted(held.range.first()));
        }
        machine.frames().reserve(held.range).map_err(Wrong::Refused)?;
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
