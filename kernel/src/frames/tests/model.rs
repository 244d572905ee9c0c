//! The allocator against a model that knows intervals only, by random operations.

use super::super::ledger::METADATA;
use super::super::uses::Use;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Foreign,
    Free,
    Block,
    Map(RegionKind),
    Reserved,
}

/// Frames as intervals `start → (end, state)`; free ones are merged, and so are gaps (no entry).
pub struct Model {
    pub frames: BTreeMap<u64, (u64, State)>,
    map: Map,
    reclaimed: Vec<RegionKind>,
}

impl Model {
    fn new(map: &Map, metadata: PhysRange) -> Self {
        let mut model = Self { frames: BTreeMap::new(), map: map.clone(), reclaimed: Vec::new() };
        for (range, kind) in map {
            let state = if kind.is_free_at_entry() { State::Free } else { State::Map(*kind) };
            model.set(range.start().frame().number(), range.end() / PAGE, state);
        }
        model.set(metadata.start().frame().number(), metadata.end() / PAGE, State::Map(METADATA));
        model
    }

    pub fn at(&self, number: u64) -> (u64, u64, State) {
        match self.frames.range(..=number).next_back() {
            Some((start, (end, state))) if *end > number => (*start, *end, *state),
            _ => {
                let next = self.frames.range(number..).next().map_or(1 << 36, |(start, _)| *start);
                (number, next, State::Foreign)
            }
        }
    }

    pub fn set(&mut self, start: u64, end: u64, state: State) {
        for edge in [start, end] {
            let (low, high, old) = self.at(edge);
            if old != State::Foreign && low < edge {
                self.frames.insert(low, (edge, old));
                self.frames.insert(edge, (high, old));
            }
        }
        let inside: Vec<u64> = self.frames.range(start..end).map(|(start, _)| *start).collect();
        inside.iter().for_each(|start| assert!(self.frames.remove(start).is_some()));
        let (mut start, mut end) = (start, end);
        if state == State::Free {
            let (low, _, left) = self.at(start.wrapping_sub(1));
            if left == State::Free {
                self.frames.remove(&low);
                start = low;
            }
            let (low, high, right) = self.at(end);
            if right == State::Free {
                self.frames.remove(&low);
                end = high;
            }
        }
        self.frames.insert(start, (end, state));
    }

    fn count(&self, matches: impl Fn(State) -> bool) -> u64 {
        self.frames
            .iter()
            .filter(|(_, (_, state))| matches(*state))
            .map(|(start, (end, _))| end - start)
            .sum()
    }

    fn free(&self) -> u64 {
        self.count(|state| state == State::Free)
    }

    fn has_run(&self, frames: u64, alignment: u64) -> bool {
        self.frames.iter().any(|(start, (end, state))| {
            *state == State::Free && start.next_multiple_of(alignment) + frames <= *end
        })
    }

    /// The error that a request for these frames must give, where `good` holds for no conflict.
    fn conflict(&self, first: u64, frames: u64, good: State) -> Option<FrameError> {
        let mut at = first;
        while at < first + frames {
            let (start, end, state) = self.at(at);
            if state != good {
                return Some(self.error(first, frames, at, start, end, state));
            }
            at = end;
        }
        None
    }

    fn error(&self, first: u64, frames: u64, at: u64, start: u64, end: u64, state: State) -> FrameError {
        let (frame, at) = (frame(first), frame(at));
        match state {
            State::Foreign => FrameError::Foreign { frame, at },
            State::Free => FrameError::AlreadyFree { frame, at },
            State::Block => FrameError::WrongBlock {
                frame,
                frames,
                first: Frame::new(start).unwrap(),
                length: end - start,
            },
            State::Map(kind) => FrameError::Reserved { frame, at, kind },
            State::Reserved => {
                let of = |range: &PhysRange| range.contains(at.start());
                let kind = self.map.iter().find(|(range, _)| of(range)).unwrap().1;
                FrameError::Reserved { frame, at, kind }
            }
        }
    }

    fn freeing(&self, first: u64, frames: u64) -> Result<(), FrameError> {
        let (start, end, state) = self.at(first);
        if state == State::Block && start == first && end == first + frames {
            return Ok(());
        }
        Err(self.error(first, frames, first, start, end, state))
    }

    pub fn blocks(&self) -> Vec<(u64, u64)> {
        let blocks = self.frames.iter().filter(|(_, (_, state))| *state == State::Block);
        blocks.map(|(start, (end, _))| (*start, end - start)).collect()
    }

    fn free_blocks(&self) -> [u64; Order::COUNT] {
        let mut counts = [0; Order::COUNT];
        for (start, (end, state)) in &self.frames {
            let mut at = *start;
            while *state == State::Free && at < *end {
                let order = at.trailing_zeros().min((end - at).ilog2()).min(18);
                counts[order as usize] += 1;
                at += 1 << order;
            }
        }
        counts
    }
}

#[derive(Clone, Debug)]
pub enum Op {
    Allocate(u8),
    AllocateMany(u8, u16),
    FreeBlock(usize),
    FreeMany(u8, usize),
    FreeAnything(u64, u8),
    FreeNear(usize, i8, u8),
    AllocateRange(u64, u8),
    FreeRangeNear(usize, i8, i8),
    Reserve(u64, u64),
    Release(usize),
    Reclaim(u8),
    Count,
}

fn ops() -> impl Strategy<Value = Op> {
    let any_order = prop_oneof![4 => Just(0u8), 4 => 1..9u8, 2 => Just(9u8), 2 => 10..19u8];
    prop_oneof![
        8 => any_order.clone().prop_map(Op::Allocate),
        2 => (0..10u8, 1..600u16).prop_map(|(order, count)| Op::AllocateMany(order, count)),
        8 => any::<usize>().prop_map(Op::FreeBlock),
        2 => (1..9u8, any::<usize>()).prop_map(|(step, from)| Op::FreeMany(step, from)),
        2 => (any::<u64>(), any_order.clone()).prop_map(|(at, order)| Op::FreeAnything(at, order)),
        3 => (any::<usize>(), -2..3i8, any_order.clone()).prop_map(|(at, by, order)| Op::FreeNear(at, by, order)),
        3 => (prop_oneof![1..130u64, 1..3000u64, 1..4 * ZONE], prop_oneof![Just(0u8), any_order])
            .prop_map(|(frames, order)| Op::AllocateRange(frames, order)),
        3 => (any::<usize>(), -1..2i8, -1..2i8).prop_map(|(at, by, more)| Op::FreeRangeNear(at, by, more)),
        2 => (any::<u64>(), prop_oneof![1..5u64, 1..1500u64, 1..2 * ZONE]).prop_map(|(at, n)| Op::Reserve(at, n)),
        2 => any::<usize>().prop_map(Op::Release),
        1 => any::<u8>().prop_map(Op::Reclaim),
        1 => Just(Op::Count),
    ]
}

pub struct Pair {
    pub real: FrameAllocator<Arena>,
    pub model: Model,
}

impl Pair {
    pub fn new(map: &Map) -> Self {
        let mut real = allocator(map);
        let metadata = metadata(&mut real);
        Self { real, model: Model::new(map, metadata) }
    }

    pub fn take(&mut self, order: u8) -> bool {
        let frames = 1 << order;
        match self.real.allocate(Order::new(order).unwrap()) {
            Ok(first) => {
                let first = first.number();
                assert_eq!(first % frames, 0);
                assert_eq!(self.model.conflict(first, frames, State::Free), None);
                self.model.set(first, first + frames, State::Block);
                true
            }
            Err(error) => {
                assert!(!self.model.has_run(frames, frames), "{error}, but there is one");
                let order = Order::new(order).unwrap();
                assert_eq!(error, FrameError::OutOfFrames { order, free: self.model.free() });
                false
            }
        }
    }

    pub fn free(&mut self, first: u64, order: u8) {
        let frames = 1 << order;
        let order = Order::new(order).unwrap();
        let expected = if !first.is_multiple_of(frames) {
            let aligned = frame(first - first % frames);
            Err(FrameError::Misaligned { frame: frame(first), order, first: aligned })
        } else {
            self.model.freeing(first, frames)
        };
        assert_eq!(self.real.free(frame(first), order), expected);
        if expected.is_ok() {
            self.model.set(first, first + frames, State::Free);
        }
    }

    pub fn free_range(&mut self, first: u64, frames: u64) {
        let Some(range) = Frame::new(first).and_then(|first| FrameRange::new(first, frames)) else { return };
        let expected = self.model.freeing(first, frames);
        assert_eq!(self.real.free_range(range), expected);
        if expected.is_ok() {
            self.model.set(first, first + frames, State::Free);
        }
    }

    /// A frame number that is in or near the memory map, from any number.
    fn near(&self, any: u64) -> u64 {
        let (region, _) = self.model.map[(any % self.model.map.len() as u64) as usize];
        let inside = (any >> 8) % (region.len() / PAGE + 4);
        (region.start().frame().number() + inside).saturating_sub(2)
    }

    pub fn apply(&mut self, op: &Op) {
        let blocks = self.model.blocks();
        let block = |at: usize| blocks.get(at % blocks.len().max(1)).copied();
        match *op {
            Op::Allocate(order) => drop(self.take(order)),
            Op::AllocateMany(order, count) => drop((0..count).all(|_| self.take(order))),
            Op::FreeBlock(at) => {
                if let Some((first, frames)) = block(at) {
                    self.free_range(first, frames);
                }
            }
            Op::FreeMany(step, from) => {
                for (first, frames) in blocks.iter().skip(from % 64).step_by(step.into()).take(700) {
                    self.free_range(*first, *frames);
                }
            }
            Op::FreeAnything(at, order) => self.free(self.near(at), order),
            Op::FreeNear(at, by, order) => {
                if let Some((first, frames)) = block(at) {
                    let same = frames.trailing_zeros() as u8;
                    let order = if order == 0 { same.min(18) } else { order };
                    self.free(first.saturating_add_signed(by.into()), order);
                }
            }
            Op::AllocateRange(frames, alignment) => {
                let alignment = Order::new(alignment).unwrap();
                match self.real.allocate_range(frames, alignment) {
                    Ok(range) => {
                        let first = range.first().number();
                        assert_eq!((range.frames(), first % alignment.frames()), (frames, 0));
                        assert_eq!(self.model.conflict(first, frames, State::Free), None);
                        self.model.set(first, first + frames, State::Block);
                    }
                    Err(error) => {
                        assert!(!self.model.has_run(frames, alignment.frames()), "{error}, but there is one");
                        let free = self.model.free();
                        assert_eq!(error, FrameError::NoRun { frames, alignment, free });
                    }
                }
            }
            Op::FreeRangeNear(at, by, more) => {
                if let Some((first, frames)) = block(at) {
                    self.free_range(
                        first.saturating_add_signed(by.into()),
                        frames.saturating_add_signed(more.into()),
                    );
                }
            }
            Op::Reserve(at, frames) => {
                let first = self.near(at);
                let expected = self.model.conflict(first, frames, State::Free).map_or(Ok(()), Err);
                assert_eq!(self.real.reserve(range(first, frames)), expected);
                if expected.is_ok() {
                    self.model.set(first, first + frames, State::Reserved);
                }
            }
            Op::Release(at) => {
                let held: Vec<_> =
                    self.model.frames.iter().filter(|(_, (_, state))| *state == State::Reserved).collect();
                if let Some((start, (end, _))) = held.get(at % held.len().max(1)) {
                    let (first, frames) = (**start, end - **start);
                    let first = first + (at as u64 >> 8) % 3 % frames;
                    self.release(first, end - first);
                    self.release(first.saturating_sub(1), frames + 2);
                } else {
                    self.release(self.near(at as u64), 3);
                }
            }
            Op::Reclaim(kind) => self.reclaim(RegionKind(u32::from(kind % 12))),
            Op::Count => self.count(),
        }
        assert_eq!(self.real.free_frames(), self.model.free());
    }

    pub fn release(&mut self, first: u64, frames: u64) {
        let expected = self.model.conflict(first, frames, State::Reserved).map_or(Ok(()), Err);
        assert_eq!(self.real.release(range(first, frames)), expected);
        if expected.is_ok() {
            self.model.set(first, first + frames, State::Free);
        }
    }

    fn reclaim(&mut self, kind: RegionKind) {
        let can = [Kind::BOOT_INFO, Kind::BOOT_STACK, Kind::PAGE_TABLES, Kind::MODULE, Kind::INITRD];
        let can = can.contains(&kind) || [Kind::DEVICE_TREE, Kind::LOADER_RESIDENT].contains(&kind);
        let expected = if !can {
            Err(FrameError::NotReclaimable { kind })
        } else if self.model.reclaimed.contains(&kind) {
            Err(FrameError::AlreadyReclaimed { kind })
        } else {
            Ok(self.model.count(|state| state == State::Map(kind)))
        };
        assert_eq!(self.real.reclaim(kind), expected);
        if expected.is_ok() {
            self.model.reclaimed.push(kind);
            for (range, _) in self.model.map.clone().iter().filter(|(_, of)| *of == kind) {
                self.model.set(range.start().frame().number(), range.end() / PAGE, State::Free);
            }
        }
    }

    pub fn count(&mut self) {
        let counted = self.real.statistics();
        assert_eq!(counted.free_blocks, self.model.free_blocks());
        assert_eq!(counted.free, self.model.free());
        assert_eq!(counted.allocated, self.model.count(|state| state == State::Block));
        assert_eq!(counted.free + counted.allocated + counted.reserved, counted.total);
        assert_eq!(counted.total, self.model.count(|_| true));
    }

    /// Every frame, by what the allocator says of it.
    pub fn compare(&mut self) {
        let mut at = 0;
        while at < 1 << 24 {
            let real = self.real.stretch(at);
            let (start, mut end, state) = self.model.at(at);
            // The model keeps apart what was reserved in two steps.
            while state == State::Reserved && self.model.at(end).2 == state {
                end = self.model.at(end).1;
            }
            let (what, length) = match state {
                State::Foreign => (Use::Foreign, end - at),
                State::Free => (Use::Free, end - at),
                State::Block if at == start => (Use::First, 1),
                State::Block => (Use::Later, end - at),
                State::Map(kind) => (Use::Reserved { kind, released: false }, end - at),
                State::Reserved => {
                    let kind = self.model.map.iter().find(|(range, _)| range.contains(frame(at).start()));
                    (Use::Reserved { kind: kind.unwrap().1, released: true }, end - at)
                }
            };
            assert_eq!(real.what, what, "frame {at:#x}");
            assert!(real.end > at && real.end <= at + length, "frame {at:#x} up to {:#x}", real.end);
            at = real.end;
        }
    }
}

/// PROPTEST_CASES=4000 makes it more than a million operations.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn it_does_what_the_model_does(roomy: bool, ops in prop::collection::vec(ops(), 1..600)) {
        let mut pair = Pair::new(&if roomy { rugged() } else { tight() });
        for op in &ops {
            pair.apply(op);
        }
        pair.count();
        pair.compare();
        // All given back, it is as on the first day.
        for (first, frames) in pair.model.blocks() {
            pair.free_range(first, frames);
        }
        pair.count();
        pair.compare();
    }
}
