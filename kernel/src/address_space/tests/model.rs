//! Random operations on several spaces and CPUs.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A space as its user sees it: pages with rights, the size of the leaf that maps them, and a mark that was written.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, Page>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    rights: Rights,
    size: PageSize,
    mark: u64,
}

impl Model {
    fn is_empty_in(&self, range: VirtRange) -> bool {
        self.pages.range(range.start().get()..range.end()).next().is_none()
    }

    /// Whether `edge` cuts a block.
    fn cuts(&self, edge: u64) -> bool {
        let page = self.pages.get(&edge);
        page.is_some_and(|page| !edge.is_multiple_of(page.size.bytes()))
    }

    fn cuts_ends(&self, range: VirtRange) -> bool {
        self.cuts(range.start().get()) || self.cuts(range.end())
    }
}

#[derive(Clone, Debug)]
enum Op {
    Populate(usize, VirtRange, Rights, PageSize),
    Clear(usize, VirtRange),
    Protect(usize, VirtRange, Rights),
    Split(usize, u64, PageSize),
    Run(usize, usize),
    Leave(usize),
    Access(usize, u64),
    Write(usize, u64, u64),
    Renew(usize),
    /// Takes memory away so that the next operations run out of it, or gives it back.
    Starve(bool),
}

/// Ranges in three places: around a 2 MiB border, around a table's end, and far away.
fn ranges() -> impl Strategy<Value = VirtRange> {
    let place = prop_oneof![Just(GIGABYTE - 2 * MEGABYTES_2), Just(512 * GIGABYTE - MEGABYTES_2)];
    let pages = prop_oneof![1..6u64, 1..1200u64, Just(512), Just(1024)];
    (place, prop_oneof![Just(0u64), Just(512), 0..1100u64], pages)
        .prop_map(|(place, offset, pages)| range(place + offset * PAGE, pages * PAGE))
}

fn addresses() -> impl Strategy<Value = u64> {
    ranges().prop_flat_map(|range| {
        (0..range.len() / PAGE).prop_map(move |page| range.start().get() + page * PAGE)
    })
}

fn ops() -> impl Strategy<Value = Op> {
    let rights = || prop::sample::select(Rights::ALL.to_vec());
    let sizes = || prop::sample::select(vec![PageSize::Size4K, PageSize::Size2M]);
    let space = || 0..3usize;
    prop_oneof![
        6 => (space(), ranges(), rights(), sizes()).prop_map(|(s, r, rights, size)| Op::Populate(s, r, rights, size)),
        5 => (space(), ranges()).prop_map(|(space, range)| Op::Clear(space, range)),
        4 => (space(), ranges(), rights()).prop_map(|(space, range, rights)| Op::Protect(space, range, rights)),
        2 => (space(), addresses(), sizes()).prop_map(|(space, at, size)| Op::Split(space, at, size)),
        3 => (0..2usize, space()).prop_map(|(cpu, space)| Op::Run(cpu, space)),
        1 => (0..2usize).prop_map(Op::Leave),
        12 => (0..2usize, addresses()).prop_map(|(cpu, at)| Op::Access(cpu, at)),
        4 => (space(), addresses(), 1..u64::MAX).prop_map(|(space, at, mark)| Op::Write(space, at, mark)),
        1 => space().prop_map(Op::Renew),
        1 => any::<bool>().prop_map(Op::Starve),
    ]
}

struct World {
    machine: Machine,
    spaces: Vec<Option<UserSpace>>,
    models: Vec<Model>,
    /// The space that each CPU runs in.
    running: [Option<(usize, Regime)>; 2],
    held: Vec<Frame>,
}

impl World {
    fn new() -> Self {
        let mut machine = Machine::new(8 * MEGABYTES_2);
        let spaces = (0..3).map(|_| Some(machine.space())).collect();
        let models = (0..3).map(|_| Model::default()).collect();
        Self { machine, spaces, models, running: [None; 2], held: Vec::new() }
    }

    fn apply(&mut self, op: &Op) {
        let machine = &mut self.machine;
        let free = machine.frames.free_frames();
        let out_of_memory = |error: &SpaceError| {
            matches!(error, SpaceError::Frames(_) | SpaceError::Table(TableError::OutOfTables { .. }))
        };
        match *op {
            Op::Populate(index, range, rights, largest) => {
                let (Some(space), model) = (&mut self.spaces[index], &mut self.models[index]) else { return };
                let result = space.populate(&mut machine.with(), range, rights, largest);
                match result {
                    Ok(()) => {
                        assert!(model.is_empty_in(range));
                        let mut page = range.start().get();
                        while page < range.end() {
                            let size = space.translate(&mut machine.with(), at(page)).unwrap().size;
                            assert!(size <= largest);
                            for page in (page..page + size.bytes()).step_by(PAGE as usize) {
                                model.pages.insert(page, Page { rights, size, mark: 0 });
                            }
                            page += size.bytes();
                        }
                    }
                    Err(SpaceError::Table(TableError::Overlap { at, .. })) => {
                        assert!(!model.is_empty_in(range) && model.pages.contains_key(&at.get()));
                    }
                    Err(error) => assert!(out_of_memory(&error) && model.is_empty_in(range), "{error}"),
                }
                if result.is_err() {
                    assert_eq!(machine.frames.free_frames(), free, "undone");
                }
            }
            Op::Clear(index, range) => {
                let (Some(space), model) = (&mut self.spaces[index], &mut self.models[index]) else { return };
                match space.clear(&mut machine.with(), range) {
                    Ok(()) => {
                        assert!(!model.cuts_ends(range));
                        let gone: Vec<_> = model
                            .pages
                            .range(range.start().get()..range.end())
                            .map(|(page, _)| *page)
                            .collect();
                        gone.iter().for_each(|page| assert!(model.pages.remove(page).is_some()));
                        assert!(machine.frames.free_frames() >= free + gone.len() as u64);
                    }
                    Err(error) => {
                        assert!(
                            matches!(error, SpaceError::Table(TableError::InsideBlock { .. })),
                            "{error}"
                        );
                        assert!(model.cuts_ends(range));
                    }
                }
            }
            Op::Protect(index, range, rights) => {
                let (Some(space), model) = (&mut self.spaces[index], &mut self.models[index]) else { return };
                let full = (range.start().get()..range.end())
                    .step_by(PAGE as usize)
                    .all(|page| model.pages.contains_key(&page));
                let good = full && !model.cuts_ends(range);
                let result = space.protect(&mut machine.with(), range, rights);
                assert_eq!(result.is_ok(), good, "{result:?}");
                if good {
                    model
                        .pages
                        .range_mut(range.start().get()..range.end())
                        .for_each(|(_, page)| page.rights = rights);
                }
            }
            Op::Split(index, address, size) => {
                let (Some(space), model) = (&mut self.spaces[index], &mut self.models[index]) else { return };
                let found = model.pages.get(&address).copied();
                match space.split(&mut machine.with(), at(address), size) {
                    Ok(()) => {
                        let was = found.unwrap().size;
                        if size < was {
                            let start = address & !(was.bytes() - 1);
                            model
                                .pages
                                .range_mut(start..start + was.bytes())
                                .for_each(|(_, page)| page.size = size);
                        }
                    }
                    Err(SpaceError::Table(TableError::NotMapped { .. })) => assert!(found.is_none()),
                    Err(error) => assert!(out_of_memory(&error), "{error}"),
                }
            }
            Op::Run(cpu, index) => {
                if let Some(space) = &mut self.spaces[index] {
                    self.running[cpu] = Some((index, machine.run(cpu, space)));
                }
            }
            Op::Leave(cpu) => {
                machine.asids.deactivate(cpu);
                self.running[cpu] = None;
            }
            Op::Access(cpu, address) => {
                if let Some((index, regime)) = self.running[cpu] {
                    let seen = machine.shared.access(regime, at(address));
                    assert_eq!(seen.is_some(), self.models[index].pages.contains_key(&address));
                    let space = self.spaces[index].as_ref().unwrap();
                    let now = space.translate(&mut machine.with(), at(address)).ok();
                    assert_eq!(seen, now.map(|now| now.phys.get()));
                }
            }
            Op::Write(index, address, mark) => {
                let (Some(space), model) = (&mut self.spaces[index], &mut self.models[index]) else { return };
                let busy = self.running.iter().flatten().any(|(running, _)| *running == index);
                let result = space.write(&mut machine.with(), at(address), &mark.to_le_bytes());
                match model.pages.get_mut(&address) {
                    _ if busy => assert!(matches!(result, Err(SpaceError::Active { .. }))),
                    None => assert!(matches!(result, Err(SpaceError::Table(TableError::NotMapped { .. })))),
                    Some(page) => {
                        result.unwrap();
                        page.mark = mark;
                    }
                }
            }
            Op::Renew(index) => {
                let Some(space) = self.spaces[index].take() else { return };
                let busy = self.running.iter().flatten().any(|(running, _)| *running == index);
                match space.destroy(&mut machine.with()) {
                    Ok(()) => {
                        assert!(!busy);
                        self.models[index] = Model::default();
                        self.spaces[index] = UserSpace::new(&mut machine.frames).ok();
                    }
                    Err((space, error)) => {
                        assert!(busy && matches!(error, SpaceError::Active { .. }), "{error}");
                        self.spaces[index] = space;
                    }
                }
            }
            Op::Starve(true) => {
                while machine.frames.free_frames() > 40 {
                    self.held.push(machine.frames.allocate_frame().unwrap());
                }
            }
            Op::Starve(false) => {
                self.held.drain(..).for_each(|frame| machine.frames.free_frame(frame).unwrap());
            }
        }
        let regimes: Vec<_> = self.running.iter().flatten().map(|(_, regime)| *regime).collect();
        machine.shared.check(&regimes);
    }

    /// Every page of every space, and then nothing of them is left.
    fn finish(mut self) {
        for cpu in 0..2 {
            self.machine.asids.deactivate(cpu);
        }
        self.held.drain(..).for_each(|frame| self.machine.frames.free_frame(frame).unwrap());
        for (space, model) in self.spaces.into_iter().zip(self.models) {
            let Some(mut space) = space else { continue };
            for (address, page) in &model.pages {
                let found = space.translate(&mut self.machine.with(), at(*address)).unwrap();
                assert_eq!((found.size, found.attributes), (page.size, Attributes::user(page.rights)));
                let mut mark = [0; 8];
                space.read(&mut self.machine.with(), at(*address), &mut mark).unwrap();
                assert_eq!(u64::from_le_bytes(mark), page.mark);
            }
            let mut mapped = 0;
            space.for_each(&mut self.machine.frames, |run| mapped += run.length);
            assert_eq!(mapped, model.pages.len() as u64 * PAGE);
            space.destroy(&mut self.machine.with()).unwrap();
        }
        assert_eq!(self.machine.frames.statistics().allocated, 0);
    }
}

/// PROPTEST_CASES=6000 makes it more than a million operations.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn spaces_do_what_the_model_does(ops in prop::collection::vec(ops(), 1..400)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.finish();
    }
}
