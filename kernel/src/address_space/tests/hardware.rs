//! A machine for tests: memory that tables and bytes lie in, and a TLB that remembers as much as it may.
//!
//! The TLB walks the tables itself, by the bits of the architecture and not by our code, keeps every leaf and every
//! table that it came past, and uses what it kept for as long as it is not told to forget it. Two entries for one
//! address are a conflict, as they are for the hardware.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::super::*;
use crate::frames::{FrameMemory, LineWords, OwnedFrame, OwnedLine, PageWords};
use shared_abi::addr::{PAGE, PhysRange, VirtAddr};
use shared_abi::page_table::Table;

/// What was done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The frame allocator looked at its tables.
    Metadata,
    /// The TLB was told.
    Flush(Flush),
    /// Instructions were synchronised.
    Sync(u64, u64),
    Publish,
}

/// What memory and TLB share.
#[derive(Default)]
pub struct Shared {
    /// Tables live for ever: what once was one may still be walked.
    tables: RefCell<HashMap<u64, &'static Table>>,
    pub events: RefCell<Vec<Event>>,
    pub tlb: RefCell<TlbState>,
}

pub struct Ram {
    pages: HashMap<u64, Box<PageWords>>,
    shared: Rc<Shared>,
}

impl Ram {
    pub fn new(shared: Rc<Shared>) -> Self {
        Self { pages: HashMap::new(), shared }
    }
}

impl FrameMemory for Ram {
    fn page(&mut self, frame: OwnedFrame) -> &mut PageWords {
        self.pages.entry(frame.number()).or_insert_with(|| Box::new([0; 512]))
    }

    fn line(&mut self, line: OwnedLine) -> &mut LineWords {
        self.shared.events.borrow_mut().push(Event::Metadata);
        let page = self.page(OwnedFrame::new(line.number() / 32));
        &mut page.as_chunks_mut().0[(line.number() % 32) as usize]
    }

    fn clear(&mut self, frame: OwnedFrame, count: u64) {
        let frames = frame.number()..frame.number() + count;
        self.shared.tlb.borrow().expect_unused(&frames);
        self.pages
            .iter_mut()
            .filter(|(number, _)| frames.contains(number))
            .for_each(|(_, page)| page.fill(0));
        let tables = self.shared.tables.borrow();
        tables.iter().filter(|(number, _)| frames.contains(number)).for_each(|(_, table)| table.clear());
    }
}

impl Shared {
    pub fn table(&self, number: u64) -> &'static Table {
        self.tables.borrow_mut().entry(number).or_insert_with(|| Box::leak(Box::default()))
    }
}

impl TableMemory for Ram {
    fn table(&self, frame: TableFrame) -> Option<&Table> {
        Some(self.shared.table(frame.frame().number()))
    }
}

/// A leaf that the TLB holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// `None` for a global one.
    pub asid: Option<u8>,
    pub start: u64,
    pub bytes: u64,
    pub descriptor: u64,
}

/// A table that a walk came past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    asid: Option<u8>,
    /// The addresses that it translates.
    start: u64,
    bytes: u64,
    level: u32,
    table: u64,
}

#[derive(Default)]
pub struct TlbState {
    pub leaves: Vec<Cached>,
    passed: Vec<Passed>,
    /// ASIDs that belong to a space now: their entries must be right.
    pub live: Vec<u8>,
}

const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

impl TlbState {
    fn counts(&self, asid: Option<u8>) -> bool {
        asid.is_none_or(|asid| self.live.contains(&asid))
    }

    /// Memory that is given out must be in nobody's TLB, neither as memory nor as a table.
    fn expect_unused(&self, frames: &std::ops::Range<u64>) {
        for leaf in self.leaves.iter().filter(|leaf| self.counts(leaf.asid)) {
            let first = (leaf.descriptor & ADDRESS) / PAGE;
            let overlap = first < frames.end && frames.start < first + leaf.bytes / PAGE;
            assert!(!overlap, "given out while a TLB maps it: {leaf:x?}");
        }
        for passed in self.passed.iter().filter(|passed| self.counts(passed.asid)) {
            assert!(!frames.contains(&passed.table), "given out while walks pass it: {passed:x?}");
        }
    }
}

/// The TLB as the kernel commands it.
pub struct Hardware {
    pub shared: Rc<Shared>,
}

/// Where a walk begins: the register's value, or the kernel's root.
#[derive(Clone, Copy)]
pub enum Regime {
    User(Ttbr0),
    Kernel(Frame),
}

impl Regime {
    fn root(self) -> u64 {
        match self {
            Self::User(ttbr0) => (ttbr0.get() & ADDRESS) / PAGE,
            Self::Kernel(root) => root.number(),
        }
    }

    fn asid(self) -> Option<u8> {
        match self {
            Self::User(ttbr0) => Some((ttbr0.get() >> 48) as u8),
            Self::Kernel(_) => None,
        }
    }
}

use shared_abi::addr::Frame;

impl Shared {
    /// The leaf for `at` as the tables have it now: descriptor and level, or none.
    pub fn walk(&self, regime: Regime, at: u64) -> Option<(u64, u32)> {
        let mut table = regime.root();
        for level in 0..4 {
            let shift = 39 - 9 * level;
            let entry = self.table(table).load((at >> shift) as usize % 512).bits();
            match (entry & 3, level) {
                (3, 3) => return Some((entry, level)),
                (3, _) => table = (entry & ADDRESS) / PAGE,
                (1, 1 | 2) => return Some((entry, level)),
                (0 | 2, _) => return None,
                _ => panic!("descriptor {entry:#x} at level {level}"),
            }
        }
        None
    }

    /// An access to `at`: the physical address.
    pub fn access(&self, regime: Regime, at: VirtAddr) -> Option<u64> {
        let leaf = self.look_up(regime, at)?;
        Some((leaf.descriptor & ADDRESS) + (at.get() - leaf.start))
    }

    /// The leaf for `at`: what the TLB has, else what a walk finds, which it remembers.
    pub fn look_up(&self, regime: Regime, at: VirtAddr) -> Option<Cached> {
        let (at, asid) = (at.get(), regime.asid());
        let mut tlb = self.tlb.borrow_mut();
        let hits: Vec<_> = tlb
            .leaves
            .iter()
            .filter(|leaf| (leaf.asid == asid || leaf.asid.is_none()) && at - leaf.start.min(at) < leaf.bytes)
            .filter(|leaf| leaf.start <= at)
            .collect();
        assert!(hits.len() < 2, "TLB conflict at {at:#x}: {hits:x?}");
        if let [hit] = hits[..] {
            return Some(*hit);
        }
        // The deepest table that a former walk came past.
        let passed = tlb
            .passed
            .iter()
            .filter(|passed| passed.asid == asid && passed.start <= at && at - passed.start < passed.bytes);
        let (mut table, from) =
            passed.max_by_key(|passed| passed.level).map_or((regime.root(), 0), |p| (p.table, p.level));
        for level in from..4 {
            let bytes = 1_u64 << (39 - 9 * level);
            let entry = self.table(table).load((at / bytes) as usize % 512).bits();
            if entry & 1 == 0 {
                return None;
            }
            let start = at & !(bytes - 1);
            if level < 3 && entry & 2 != 0 {
                table = (entry & ADDRESS) / PAGE;
                tlb.passed.push(Passed { asid, start, bytes, level: level + 1, table });
                continue;
            }
            // nG says whose it is.
            let tag = if entry >> 11 & 1 == 1 { asid } else { None };
            let leaf = Cached { asid: tag, start, bytes, descriptor: entry };
            tlb.leaves.push(leaf);
            return Some(leaf);
        }
        None
    }

    /// Every entry of the TLB that counts says what the tables say.
    pub fn check(&self, regimes: &[Regime]) {
        let tlb = self.tlb.borrow();
        for regime in regimes {
            for leaf in tlb.leaves.iter().filter(|leaf| leaf.asid == regime.asid()) {
                let now = self.walk(*regime, leaf.start).map(|(entry, level)| (entry, 1 << (39 - 9 * level)));
                assert_eq!(now, Some((leaf.descriptor, leaf.bytes)), "stale: {leaf:x?}");
            }
        }
    }
}

impl Tlb for Hardware {
    fn publish(&mut self) {
        self.shared.events.borrow_mut().push(Event::Publish);
    }

    fn invalidate(&mut self, flush: &Flush) {
        self.shared.events.borrow_mut().push(Event::Flush(*flush));
        let mut tlb = self.shared.tlb.borrow_mut();
        match *flush {
            Flush::Everything => {
                tlb.leaves.clear();
                tlb.passed.clear();
            }
            Flush::Asid { operand } => {
                let asid = Some((operand >> 48) as u8);
                tlb.leaves.retain(|leaf| leaf.asid != asid);
                tlb.passed.retain(|passed| passed.asid != asid);
            }
            Flush::Pages { first, step, count, leaves_only, global } => {
                for operand in (0..count).map(|index| first + index * step) {
                    let asid = (operand >> 48) as u8;
                    // Sign extension from bit 43 of the page number, as for the address.
                    let at = (operand << 20) as i64 >> 8;
                    let at = at as u64;
                    let hit = |tag: Option<u8>, start: u64, bytes: u64| {
                        (global || tag.is_none_or(|tag| tag == asid)) && start <= at && at - start < bytes
                    };
                    tlb.leaves.retain(|leaf| !hit(leaf.asid, leaf.start, leaf.bytes));
                    if !leaves_only {
                        tlb.passed.retain(|passed| !hit(passed.asid, passed.start, passed.bytes));
                    }
                }
            }
        }
    }

    fn sync_instructions(&mut self, memory: PhysRange) {
        self.shared.events.borrow_mut().push(Event::Sync(memory.start().get(), memory.len()));
    }
}
