//! Random use of user spaces, checked against what must hold: the same steps on a host and on a machine.
//!
//! A few spaces have memory in one stretch of addresses that begins below a table's border. What each page of each
//! space is, its rights, the size of its leaf, the word that was written to it, is kept beside it and compared with
//! what the tables say and with what a CPU in the space finds: so a translation that was not invalidated
//! shows. Now and then memory runs out.

use core::fmt;

use super::Random;
use kernel::address_space::{Resources, SpaceError, TableMemory, Tlb, UserSpace};
use kernel::frames::{FrameAllocator, Order};
use shared_abi::addr::{Frame, PAGE, PageSize, VirtAddr, VirtRange};
use shared_abi::page_table::TableError;
use shared_abi::rights::Rights;

/// How many spaces there are.
const SPACES: usize = 3;

/// Pages of the stretch: 4 MiB and a little more, so that a table's end and two blocks are in it.
const PAGES: usize = 1100;

/// The stretch's first address: half a block below a border of 1 GiB.
const BASE: u64 = (3 << 30) - (1 << 20);

/// Frames that are left free when memory runs out, and the most blocks that are held for it.
const LEFT: u64 = 40;
const BLOCKS: usize = 64;

/// The index of the first page that a block of 2 MiB can begin at.
const FIRST_BLOCK: usize = ((1 << 20) / PAGE) as usize;

/// What spaces are made with, and a CPU as EL0 has it: in one space at a time.
pub trait Machine<const CPUS: usize = 1> {
    /// How memory is reached.
    type Memory: TableMemory;
    /// What is told of edits.
    type Tlb: Tlb;

    /// Where blocks and tables come from.
    fn frames(&mut self) -> &mut FrameAllocator<Self::Memory>;

    /// The same with ASIDs and TLB. Nobody else uses the frames, and the CPU is CPU 0 of the ASIDs.
    fn resources(&mut self) -> Resources<'_, Self::Memory, Self::Tlb, CPUS>;

    /// The CPU is in `space` from now on.
    ///
    /// # Errors
    /// Those of `Asids::activate`.
    fn enter(&mut self, space: &mut UserSpace) -> Result<(), SpaceError>;

    /// The CPU is in no space from now on.
    fn leave(&mut self);

    /// The word at `at`, by way of the TLB; `None` if that faults.
    fn load(&mut self, at: VirtAddr) -> Option<u64>;

    /// Whether a store to `at` would not fault.
    fn can_store(&mut self, at: VirtAddr) -> bool;
}

/// What went wrong: a defect of the spaces, the tables or the TLB upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An operation on this range was refused that had to succeed, or failed in another way than it should.
    Refused(VirtRange, SpaceError),
    /// An operation on this range was done that had to be refused.
    Done(VirtRange),
    /// The tables say otherwise of this address.
    Tables(VirtAddr),
    /// The CPU finds another word here than the one that was written.
    Word(VirtAddr, Option<u64>),
    /// The CPU has other rights here.
    Rights(VirtAddr),
    /// Frames are lost, or freed twice: so many were free before, and are now.
    Frames(u64, u64),
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Edits that were done.
    pub edits: u64,
    /// Edits that were refused, as they had to be.
    pub refused: u64,
    /// Those for which there was no memory, undone.
    pub undone: u64,
    /// Words that a CPU looked for, found or not.
    pub looks: u64,
    /// Spaces destroyed and made anew.
    pub renewed: u64,
}

/// A page of the model.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Page {
    /// `None` if nothing is mapped.
    rights: Option<Rights>,
    /// Whether the leaf is a block.
    is_block: bool,
    /// Which word was written; 0 for the zero that it came with.
    seed: u8,
}

impl Page {
    const NONE: Self = Self { rights: None, is_block: false, seed: 0 };

    const fn is_mapped(&self) -> bool {
        self.rights.is_some()
    }

    /// The word in the page: one that no other page of any space has.
    const fn word(self, space: usize, index: usize) -> u64 {
        match self.seed {
            0 => 0,
            seed => (space as u64) << 32 | (index as u64) << 16 | seed as u64,
        }
    }
}

struct Slot {
    space: Option<UserSpace>,
    pages: [Page; PAGES],
}

/// The state of a run.
pub struct Workload {
    slots: [Slot; SPACES],
    /// The space that the CPU is in.
    running: Option<usize>,
    hoard: [Option<(Frame, Order)>; BLOCKS],
    random: Random,
    summary: Summary,
}

fn at(index: usize) -> VirtAddr {
    VirtAddr::new(BASE + index as u64 * PAGE).unwrap_or(VirtAddr::HIGH_HALF)
}

fn range(first: usize, count: usize) -> VirtRange {
    VirtRange::new(at(first), count as u64 * PAGE).unwrap_or(VirtRange::EMPTY)
}

/// Where the word of a page is: not at its start, so that pages are told apart from blocks.
fn word_at(index: usize) -> VirtAddr {
    at(index).checked_add(index as u64 * 8 % PAGE).unwrap_or(at(index))
}

fn is_out_of_memory(error: &SpaceError) -> bool {
    matches!(error, SpaceError::Frames(_) | SpaceError::Table(TableError::OutOfTables { .. }))
}

impl Slot {
    const EMPTY: Self = Self { space: None, pages: [Page::NONE; PAGES] };

    fn some(&mut self, first: usize, count: usize) -> &mut [Page] {
        self.pages.get_mut(first..first + count).unwrap_or_default()
    }

    /// Whether the border in front of page `index` cuts a block.
    fn is_cut(&self, index: usize) -> bool {
        let page = self.pages.get(index).copied().unwrap_or(Page::NONE);
        page.is_block && !(index + FIRST_BLOCK).is_multiple_of(512)
    }

    fn are_cut(&self, first: usize, count: usize) -> bool {
        self.is_cut(first) || self.is_cut(first + count)
    }
}

impl Workload {
    /// A workload without spaces. The same seed makes the same steps.
    pub const fn new(seed: u64) -> Self {
        Self {
            slots: [Slot::EMPTY; SPACES],
            running: None,
            hoard: [None; BLOCKS],
            random: Random::new(seed),
            summary: Summary { edits: 0, refused: 0, undone: 0, looks: 0, renewed: 0 },
        }
    }

    /// What has been done.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Does `steps` steps.
    ///
    /// # Errors
    /// The first thing that is [`Wrong`].
    pub fn run<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        steps: u64,
    ) -> Result<(), Wrong> {
        for _ in 0..steps {
            let index = self.random.below(SPACES as u64) as usize;
            let free = machine.frames().free_frames();
            let summary = self.summary;
            match self.random.below(32) {
                0..=5 => self.populate(machine, index)?,
                6..=9 => self.clear(machine, index)?,
                10..=13 => self.protect(machine, index)?,
                14 | 15 => self.split(machine, index)?,
                16..=19 => self.write(machine, index)?,
                20..=22 => self.enter(machine, index)?,
                23 => self.leave(machine),
                24..=29 => self.look(machine)?,
                30 => self.renew(machine, index)?,
                _ => self.hoard(machine)?,
            }
            let is_undone = self.summary.undone > summary.undone || self.summary.refused > summary.refused;
            if is_undone && machine.frames().free_frames() != free {
                return Err(Wrong::Frames(free, machine.frames().free_frames()));
            }
        }
        Ok(())
    }

    /// Compares every page of every space with the tables, and destroys all of them.
    ///
    /// # Errors
    /// The first thing that is [`Wrong`].
    pub fn finish<const CPUS: usize>(&mut self, machine: &mut impl Machine<CPUS>) -> Result<(), Wrong> {
        self.leave(machine);
        self.give_back(machine)?;
        for index in 0..SPACES {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let Some(mut space) = slot.space.take() else { continue };
            for (page, expected) in slot.pages.iter().copied().enumerate() {
                let mut word = [0; 8];
                let found = space.read(&mut machine.resources(), word_at(page), &mut word).is_ok();
                if found != expected.is_mapped() {
                    return Err(Wrong::Tables(at(page)));
                }
                let found = u64::from_le_bytes(word);
                if found != expected.word(index, page) && expected.is_mapped() {
                    return Err(Wrong::Word(at(page), Some(found)));
                }
            }
            slot.pages = [Page::NONE; PAGES];
            space
                .destroy(&mut machine.resources())
                .map_err(|(_, error)| Wrong::Refused(VirtRange::EMPTY, error))?;
        }
        Ok(())
    }

    /// A range of the stretch, blocks and their borders more often than others.
    fn somewhere(&mut self) -> (usize, usize) {
        let first = match self.random.below(4) {
            0 => FIRST_BLOCK,
            1 => FIRST_BLOCK + 512,
            _ => self.random.below(PAGES as u64) as usize,
        };
        let count = match self.random.below(4) {
            0 => 512,
            1 => 1 + self.random.below(600) as usize,
            _ => 1 + self.random.below(6) as usize,
        };
        (first, count.min(PAGES - first))
    }

    fn rights(&mut self) -> Rights {
        Rights::ALL[self.random.below(Rights::ALL.len() as u64) as usize % Rights::ALL.len()]
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index % SPACES]
    }

    /// Counts an edit that had to succeed, or one that had to fail.
    fn judge(
        &mut self,
        result: Result<(), SpaceError>,
        range: VirtRange,
        expected: bool,
        right: impl FnOnce(&SpaceError) -> bool,
    ) -> Result<bool, Wrong> {
        match result {
            Ok(()) if expected => self.summary.edits += 1,
            Ok(()) => return Err(Wrong::Done(range)),
            Err(error) if is_out_of_memory(&error) => self.summary.undone += 1,
            Err(error) if !expected && right(&error) => self.summary.refused += 1,
            Err(error) => return Err(Wrong::Refused(range, error)),
        }
        Ok(result.is_ok())
    }

    fn populate<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let ((first, count), rights) = (self.somewhere(), self.rights());
        let largest = if self.random.below(2) == 0 { PageSize::Size2M } else { PageSize::Size4K };
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let result = space.populate(&mut machine.resources(), range(first, count), rights, largest);
        let is_free = slot.some(first, count).iter().all(|page| !page.is_mapped());
        let overlap = |error: &SpaceError| matches!(error, SpaceError::Table(TableError::Overlap { .. }));
        if !self.judge(result, range(first, count), is_free, overlap)? {
            return Ok(());
        }
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let (mut next, end) = (first, first + count);
        while next < end {
            let found =
                space.translate(&mut machine.resources(), at(next)).map_err(|_| Wrong::Tables(at(next)))?;
            let pages = Order::of(found.size).frames() as usize;
            if found.size > largest || next + pages > end || found.attributes.rights() != rights {
                return Err(Wrong::Tables(at(next)));
            }
            let page = Page { rights: Some(rights), is_block: found.size != PageSize::Size4K, seed: 0 };
            slot.pages.get_mut(next..next + pages).unwrap_or_default().fill(page);
            next += pages;
        }
        Ok(())
    }

    fn clear<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let (first, count) = self.somewhere();
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let free = machine.frames().free_frames();
        let result = space.clear(&mut machine.resources(), range(first, count));
        let gone = slot.some(first, count).iter().filter(|page| page.is_mapped()).count() as u64;
        let good = !slot.are_cut(first, count);
        let inside = |error: &SpaceError| matches!(error, SpaceError::Table(TableError::InsideBlock { .. }));
        if self.judge(result, range(first, count), good, inside)? {
            self.slot(index).some(first, count).fill(Page::NONE);
            let now = machine.frames().free_frames();
            if now < free + gone {
                return Err(Wrong::Frames(free + gone, now));
            }
        }
        Ok(())
    }

    fn protect<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let ((first, count), rights) = (self.somewhere(), self.rights());
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let result = space.protect(&mut machine.resources(), range(first, count), rights);
        let full = slot.some(first, count).iter().all(|page| page.is_mapped());
        let good = full && !slot.are_cut(first, count);
        if self.judge(result, range(first, count), good, |error| matches!(error, SpaceError::Table(_)))? {
            for page in self.slot(index).some(first, count) {
                page.rights = Some(rights);
            }
        }
        Ok(())
    }

    fn split<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let (first, _) = self.somewhere();
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let result = space.split(&mut machine.resources(), at(first), PageSize::Size4K);
        let page = slot.pages.get(first).copied().unwrap_or(Page::NONE);
        let hole = |error: &SpaceError| matches!(error, SpaceError::Table(TableError::NotMapped { .. }));
        if self.judge(result, range(first, 1), page.is_mapped(), hole)? && page.is_block {
            let start = (first + FIRST_BLOCK) / 512 * 512 - FIRST_BLOCK;
            for page in self.slot(index).some(start, 512) {
                page.is_block = false;
            }
        }
        Ok(())
    }

    /// Writes to a page of a space that no CPU is in.
    fn write<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let ((first, _), seed) = (self.somewhere(), self.random.below(256) as u8);
        if self.running == Some(index) {
            self.leave(machine);
        }
        let slot = self.slot(index);
        let Some(space) = &mut slot.space else { return Ok(()) };
        let page = Page { seed, ..slot.pages.get(first).copied().unwrap_or(Page::NONE) };
        let word = page.word(index, first).to_le_bytes();
        let result = space.write(&mut machine.resources(), word_at(first), &word);
        let hole = |error: &SpaceError| matches!(error, SpaceError::Table(TableError::NotMapped { .. }));
        if self.judge(result, range(first, 1), page.is_mapped(), hole)? {
            self.slot(index).some(first, 1).fill(page);
        }
        Ok(())
    }

    fn enter<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        let Some(space) = &mut self.slot(index).space else { return Ok(()) };
        machine.enter(space).map_err(|error| Wrong::Refused(VirtRange::EMPTY, error))?;
        self.running = Some(index);
        self.look(machine)
    }

    fn leave<const CPUS: usize>(&mut self, machine: &mut impl Machine<CPUS>) {
        machine.leave();
        self.running = None;
    }

    /// What the CPU finds of the space that it is in, at a few addresses.
    fn look<const CPUS: usize>(&mut self, machine: &mut impl Machine<CPUS>) -> Result<(), Wrong> {
        let Some(index) = self.running else { return Ok(()) };
        for _ in 0..8 {
            let (first, _) = self.somewhere();
            let page = self.slot(index).pages.get(first).copied().unwrap_or(Page::NONE);
            let expected = page.is_mapped().then(|| page.word(index, first));
            let found = machine.load(word_at(first));
            if found != expected {
                return Err(Wrong::Word(word_at(first), found));
            }
            if machine.can_store(at(first)) != (page.rights == Some(Rights::ReadWrite)) {
                return Err(Wrong::Rights(at(first)));
            }
            self.summary.looks += 1;
        }
        Ok(())
    }

    fn renew<const CPUS: usize>(
        &mut self,
        machine: &mut impl Machine<CPUS>,
        index: usize,
    ) -> Result<(), Wrong> {
        if self.running == Some(index) {
            self.leave(machine);
        }
        let slot = self.slot(index);
        if let Some(space) = slot.space.take() {
            space
                .destroy(&mut machine.resources())
                .map_err(|(_, error)| Wrong::Refused(VirtRange::EMPTY, error))?;
        }
        slot.pages = [Page::NONE; PAGES];
        slot.space = UserSpace::new(machine.frames()).ok();
        self.summary.renewed += 1;
        Ok(())
    }

    /// Takes nearly all memory, the largest blocks first, or gives it back.
    fn hoard<const CPUS: usize>(&mut self, machine: &mut impl Machine<CPUS>) -> Result<(), Wrong> {
        if self.hoard.iter().any(Option::is_some) {
            return self.give_back(machine);
        }
        let mut orders = (0..=18).rev().filter_map(Order::new).peekable();
        for slot in &mut self.hoard {
            while let Some(order) = orders.peek().copied() {
                let left = machine.frames().free_frames().saturating_sub(LEFT);
                if order.frames() <= left
                    && let Ok(first) = machine.frames().allocate(order)
                {
                    *slot = Some((first, order));
                    break;
                }
                orders.next();
            }
        }
        Ok(())
    }

    fn give_back<const CPUS: usize>(&mut self, machine: &mut impl Machine<CPUS>) -> Result<(), Wrong> {
        for (first, order) in self.hoard.iter_mut().filter_map(Option::take) {
            machine
                .frames()
                .free(first, order)
                .map_err(|error| Wrong::Refused(VirtRange::EMPTY, error.into()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(range, error) => write!(f, "an edit of {range} was refused: {error}"),
            Self::Done(range) => write!(f, "an edit of {range} was done that is none"),
            Self::Tables(at) => write!(f, "the tables have something else at {at}"),
            Self::Word(at, found) => write!(f, "the CPU finds {found:x?} at {at}"),
            Self::Rights(at) => write!(f, "the CPU has other rights at {at}"),
            Self::Frames(before, now) => write!(f, "{before} frames ought to be free, {now} are"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edits, refused, undone, looks, renewed } = self;
        write!(
            f,
            "{edits} edits, {refused} refused, {undone} undone for want of memory, {looks} looks by the CPU, \
             {renewed} spaces destroyed"
        )
    }
}
