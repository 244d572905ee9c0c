//! Spaces on a machine whose TLB forgets nothing by itself, against a model that knows pages only.

mod hardware;
mod model;

use super::*;
use crate::frames::{FrameAllocator, FrameMemory, FrameRange, Order, OwnedFrame};
use crate::steps::spaces as workload;
use hardware::{Event, Hardware, Ram, Regime, Shared};
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::memory::RegionKind;
use shared_abi::page_table::TableError;
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;
use std::rc::Rc;

const MEGABYTES_2: u64 = 2 << 20;
const GIGABYTE: u64 = 1 << 30;

/// A machine with some RAM, two CPUs, and a kernel tree in a region that is not free.
struct Machine {
    frames: FrameAllocator<Ram>,
    asids: Asids<2>,
    tlb: Hardware,
    shared: Rc<Shared>,
}

/// The frame of the kernel's root table, as the loader left it.
const KERNEL_ROOT: u64 = GIGABYTE / PAGE;

/// The kernel's own window.
fn window() -> VirtRange {
    VirtRange::from_bounds(0xFFFF_0000_1000_0000, 0xFFFF_0080_0000_0000).unwrap()
}

impl Machine {
    fn new(ram: u64) -> Self {
        let map = [
            (PhysRange::from_bounds(GIGABYTE, GIGABYTE + 16 * PAGE).unwrap(), RegionKind::PAGE_TABLES),
            (PhysRange::from_bounds(GIGABYTE + 16 * PAGE, GIGABYTE + ram).unwrap(), RegionKind::USABLE),
        ];
        let shared = Rc::<Shared>::default();
        let memory = Ram::new(shared.clone());
        let frames = FrameAllocator::new(map.into_iter(), memory).unwrap();
        Self { frames, asids: Asids::new(), tlb: Hardware { shared: shared.clone() }, shared }
    }

    fn with(&mut self) -> Resources<'_, Ram, Hardware, 2> {
        Resources { frames: &mut self.frames, asids: &mut self.asids, tlb: &mut self.tlb }
    }

    fn space(&mut self) -> UserSpace {
        UserSpace::new(&mut self.frames).unwrap()
    }

    #[expect(unsafe_code, reason = "the test makes the root")]
    fn kernel(&mut self) -> KernelSpace {
        // SAFETY: the frame is in a reserved region, all zero, and named once a machine.
        let root = unsafe { KernelRoot::new(Frame::new(KERNEL_ROOT).unwrap()) };
        KernelSpace::new(root, window())
    }

    fn run(&mut self, cpu: usize, space: &mut UserSpace) -> Regime {
        let ttbr0 = self.asids.activate(cpu, space, &mut self.tlb).unwrap();
        let mut tlb = self.shared.tlb.borrow_mut();
        let asid = (ttbr0.get() >> 48) as u8;
        if !tlb.live.contains(&asid) {
            tlb.live.push(asid);
        }
        Regime::User(ttbr0)
    }

    fn events(&self) -> Vec<Event> {
        self.shared.events.take()
    }
}

fn at(address: u64) -> VirtAddr {
    VirtAddr::new(address).unwrap()
}

fn range(start: u64, length: u64) -> VirtRange {
    VirtRange::new(at(start), length).unwrap()
}

#[test]
fn sizes_follow_alignment_and_what_is_free() {
    // One block of 1 GiB, and as much again in smaller pieces.
    let mut machine = Machine::new(4 * GIGABYTE);
    for gigabyte in [3, 4] {
        let page = Frame::new((gigabyte * GIGABYTE + GIGABYTE / 2) / PAGE).unwrap();
        machine.frames.reserve(FrameRange::new(page, 1).unwrap()).unwrap();
    }
    let mut space = machine.space();
    let whole = range(GIGABYTE - MEGABYTES_2 - PAGE, GIGABYTE + 2 * MEGABYTES_2 + PAGE);
    space.populate(&mut machine.with(), whole, Rights::ReadWrite, PageSize::Size1G).unwrap();
    let mut runs = Vec::new();
    space.for_each(&mut machine.frames, |run| runs.push((run.virt.get(), run.level)));
    let levels: Vec<_> = runs.iter().map(|(_, level)| *level).collect();
    assert_eq!(levels, [3, 2, 1, 2], "{runs:x?}");
    let more = range(8 * GIGABYTE, GIGABYTE);
    let before = machine.frames.free_frames();
    space.populate(&mut machine.with(), more, Rights::ReadOnly, PageSize::Size1G).unwrap();
    assert_eq!(space.translate(&mut machine.with(), at(8 * GIGABYTE)).unwrap().size, PageSize::Size2M);
    assert_eq!(before - machine.frames.free_frames(), GIGABYTE / PAGE + 1, "and one table");
}

#[test]
fn a_space_gives_everything_back() {
    let mut machine = Machine::new(2 * GIGABYTE);
    let free = machine.frames.free_frames();
    let mut space = machine.space();
    machine.run(0, &mut space);
    for (start, length) in [(PAGE, 5 * PAGE), (GIGABYTE, 3 * MEGABYTES_2), (1 << 47, 600 * PAGE)] {
        space
            .populate(&mut machine.with(), range(start, length), Rights::ReadWrite, PageSize::Size2M)
            .unwrap();
    }
    let (space, error) = space.destroy(&mut machine.with()).unwrap_err();
    assert_eq!(error, SpaceError::Active { cpu: 0 });
    machine.asids.deactivate(0);
    space.unwrap().destroy(&mut machine.with()).unwrap();
    assert_eq!(machine.frames.free_frames(), free);
    assert_eq!(machine.frames.statistics().allocated, 0);
}

#[test]
fn memory_and_tables_are_freed_only_after_the_tlb_forgot_them() {
    let mut machine = Machine::new(GIGABYTE);
    let mut space = machine.space();
    let memory = range(GIGABYTE + MEGABYTES_2 - 8 * PAGE, 16 * PAGE);
    let regime = machine.run(0, &mut space);
    space.populate(&mut machine.with(), memory, Rights::ReadWrite, PageSize::Size2M).unwrap();
    for page in 0..16 {
        assert!(machine.shared.access(regime, at(memory.start().get() + page * PAGE)).is_some());
    }
    machine.events();
    space.clear(&mut machine.with(), memory).unwrap();
    let events = machine.events();
    let [Event::Flush(leaves), .., last] = events[..] else { panic!("{events:x?}") };
    let asid = (regime_asid(regime) as u64) << 48;
    let first = asid | (memory.start().get() / PAGE);
    assert_eq!(leaves, Flush::Pages { first, step: 1, count: 16, leaves_only: true, global: false });
    // The pages are freed, then the two tables that had them are unlinked, forgotten and freed.
    assert_eq!(last, Event::Metadata);
    let flushes: Vec<_> = events.iter().filter(|event| matches!(event, Event::Flush(_))).collect();
    let tables = Flush::Pages {
        first: asid | (GIGABYTE / PAGE),
        step: 512,
        count: 2,
        leaves_only: false,
        global: false,
    };
    assert_eq!(flushes, [&Event::Flush(leaves), &Event::Flush(tables)]);
    assert!(machine.shared.tlb.borrow().leaves.is_empty());
    machine.shared.check(&[regime]);
}

fn regime_asid(regime: Regime) -> u8 {
    match regime {
        Regime::User(ttbr0) => (ttbr0.get() >> 48) as u8,
        Regime::Kernel(_) => 0,
    }
}

#[test]
fn many_pages_are_forgotten_with_their_asid_and_a_space_that_never_ran_needs_nothing() {
    let mut machine = Machine::new(GIGABYTE);
    let mut space = machine.space();
    let memory = range(GIGABYTE, 2000 * PAGE);
    for run in [false, true] {
        space.populate(&mut machine.with(), memory, Rights::ReadWrite, PageSize::Size4K).unwrap();
        if run {
            machine.run(1, &mut space);
        }
        machine.events();
        space.clear(&mut machine.with(), memory).unwrap();
        let operand = u64::from(space.context.asid()) << 48;
        let flushes: Vec<_> =
            machine.events().into_iter().filter(|event| matches!(event, Event::Flush(_))).collect();
        let tables = Flush::Pages {
            first: operand | (GIGABYTE / PAGE),
            step: 512,
            count: 4,
            leaves_only: false,
            global: false,
        };
        let expected = [Event::Flush(Flush::Asid { operand }), Event::Flush(tables)];
        assert_eq!(flushes, if run { &expected[..] } else { &[] });
    }
}

#[test]
fn a_failed_operation_leaves_nothing_behind() {
    // 6 MiB: less than the space asks for.
    let mut machine = Machine::new(3 * MEGABYTES_2);
    let mut space = machine.space();
    machine.run(0, &mut space);
    let kept = range(GIGABYTE + 100 * MEGABYTES_2, 7 * PAGE);
    space.populate(&mut machine.with(), kept, Rights::ReadOnly, PageSize::Size4K).unwrap();
    let free = machine.frames.free_frames();
    let huge = range(GIGABYTE - 3 * PAGE, 4 * MEGABYTES_2);
    for largest in PageSize::ALL {
        let refused = space.populate(&mut machine.with(), huge, Rights::ReadWrite, largest).unwrap_err();
        assert!(matches!(refused, SpaceError::Frames(_) | SpaceError::Table(_)), "{refused}");
        assert_eq!(machine.frames.free_frames(), free);
    }
    let over = range(kept.start().get() - 4 * PAGE, 5 * PAGE);
    let refused = space.populate(&mut machine.with(), over, Rights::ReadWrite, PageSize::Size4K);
    assert!(matches!(refused, Err(SpaceError::Table(TableError::Overlap { at, .. })) if at == kept.start()));
    assert_eq!(machine.frames.free_frames(), free);
    let mut mapped = 0;
    space.for_each(&mut machine.frames, |run| {
        mapped += if kept.contains(run.virt) { run.length } else { PAGE << 20 }
    });
    assert_eq!(mapped, kept.len());
}

#[test]
fn users_get_no_high_address_and_no_null_page() {
    let mut machine = Machine::new(GIGABYTE);
    let mut space = machine.space();
    let mut refusal = |range| {
        space.populate(&mut machine.with(), range, Rights::ReadOnly, PageSize::Size4K).unwrap_err().code()
    };
    assert_eq!(refusal(range(0xFFFF_0000_1000_0000, PAGE)), 941);
    assert_eq!(refusal(range(0, 2 * PAGE)), 942);
    assert_eq!(refusal(range(PAGE, 0)), 941);
    assert_eq!(refusal(range(PAGE, 12)), 701);
}

#[test]
fn splitting_breaks_before_it_makes_and_each_piece_can_be_freed() {
    let mut machine = Machine::new(3 * GIGABYTE);
    let free = machine.frames.free_frames();
    let mut space = machine.space();
    let memory = range(4 * GIGABYTE, GIGABYTE);
    let regime = machine.run(0, &mut space);
    space.populate(&mut machine.with(), memory, Rights::ReadWrite, PageSize::Size1G).unwrap();
    let inside = at(4 * GIGABYTE + 5 * MEGABYTES_2 + 7 * PAGE);
    let before = machine.shared.access(regime, inside);
    let whole = space.translate(&mut machine.with(), inside).unwrap();
    assert_eq!(whole.size, PageSize::Size1G);
    let part = range(4 * GIGABYTE + 5 * MEGABYTES_2 + 4 * PAGE, 8 * PAGE);
    let refused = space.protect(&mut machine.with(), part, Rights::ReadOnly).unwrap_err();
    assert!(matches!(refused, SpaceError::Table(TableError::InsideBlock { .. })));

    machine.events();
    space.split(&mut machine.with(), inside, PageSize::Size4K).unwrap();
    let flush = Event::Flush(Flush::of(Some(space.context), memory, PageSize::Size1G, false));
    let events: Vec<_> = machine.events().into_iter().filter(|event| *event != Event::Metadata).collect();
    assert_eq!(events, [flush, Event::Publish]);
    assert_eq!(machine.shared.access(regime, inside), before, "the translation is the same");
    machine.shared.check(&[regime]);

    space.protect(&mut machine.with(), part, Rights::ReadOnly).unwrap();
    machine.shared.check(&[regime]);
    // A page, then what is left of its block, then everything.
    for gone in [part, range(4 * GIGABYTE + 5 * MEGABYTES_2, MEGABYTES_2), memory] {
        space.clear(&mut machine.with(), gone).unwrap();
        machine.shared.check(&[regime]);
    }
    machine.asids.deactivate(0);
    space.destroy(&mut machine.with()).unwrap();
    assert_eq!(machine.frames.free_frames(), free);
}

#[test]
fn two_spaces_have_different_memory_at_one_address() {
    let mut machine = Machine::new(GIGABYTE);
    let (mut one, mut two) = (machine.space(), machine.space());
    let place = range(0x40_0000, PAGE);
    for (space, text) in [(&mut one, b"first"), (&mut two, b"other")] {
        space.populate(&mut machine.with(), place, Rights::ReadWrite, PageSize::Size4K).unwrap();
        space.write(&mut machine.with(), place.start(), text).unwrap();
    }
    let mut seen = [0; 6];
    one.read(&mut machine.with(), place.start(), &mut seen).unwrap();
    assert_eq!(&seen, b"first\0", "what was not written is zero");
    let mut physical = Vec::new();
    for second in [false, true, false] {
        let regime = machine.run(0, if second { &mut two } else { &mut one });
        physical.push(machine.shared.access(regime, place.start()).unwrap());
    }
    assert_eq!(physical[0], physical[2]);
    assert_ne!(physical[0], physical[1]);
    assert_eq!(one.write(&mut machine.with(), place.start(), b"!"), Err(SpaceError::Active { cpu: 0 }));
}

#[test]
fn memory_that_becomes_executable_is_synchronised_first() {
    let mut machine = Machine::new(GIGABYTE);
    let mut space = machine.space();
    let text = range(0x40_0000, 2 * PAGE);
    space.populate(&mut machine.with(), text, Rights::ReadWrite, PageSize::Size4K).unwrap();
    machine.events();
    space.protect(&mut machine.with(), text, Rights::ReadExecute).unwrap();
    let synchronised: u64 =
        machine.events().iter().map(|event| if let Event::Sync(_, bytes) = event { *bytes } else { 0 }).sum();
    assert_eq!(synchronised, 2 * PAGE);
}

#[test]
fn asids_roll_over_without_mixing_spaces() {
    let mut machine = Machine::new(GIGABYTE);
    let place = range(0x40_0000, PAGE);
    let mut spaces: Vec<_> = (0..300).map(|_| machine.space()).collect();
    for space in &mut spaces {
        space.populate(&mut machine.with(), place, Rights::ReadWrite, PageSize::Size4K).unwrap();
    }
    // One space runs on the second CPU all the time and keeps its ASID over all generations.
    let held = machine.run(1, &mut spaces[7]);
    let expected = machine.shared.access(held, place.start());
    let mut flushes = 0;
    for round in 0..3 {
        for (index, space) in spaces.iter_mut().enumerate() {
            let own = space.translate(&mut machine.with(), place.start()).unwrap().phys.get();
            let regime = machine.run(0, space);
            assert_eq!(
                machine.shared.access(regime, place.start()),
                Some(own),
                "space {index}, round {round}"
            );
            if index != 7 {
                assert_ne!(regime_asid(regime), regime_asid(held));
            }
            assert_eq!(machine.shared.access(held, place.start()), expected);
        }
        flushes += machine.events().iter().filter(|event| **event == Event::Flush(Flush::Everything)).count();
    }
    assert_eq!(flushes, 3, "900 runs of 299 spaces in 254 ASIDs each");
    // The space that was held still runs with the ASID of the first generation: its TLB entries count.
    spaces[7].clear(&mut machine.with(), place).unwrap();
    assert_eq!(machine.shared.access(held, place.start()), None);
    machine.events();
    // A space that has run in a former generation and is cleared needs no invalidation.
    machine.asids.deactivate(0);
    let mut dead = spaces.swap_remove(0);
    assert!(!machine.asids.is_current(dead.context));
    dead.clear(&mut machine.with(), place).unwrap();
    assert!(!machine.events().iter().any(|event| matches!(event, Event::Flush(_))));
    dead.destroy(&mut machine.with()).unwrap();
}

#[test]
fn the_asid_of_a_space_that_is_gone_serves_another() {
    let mut machine = Machine::new(GIGABYTE);
    let place = range(0x40_0000, PAGE);
    for _ in 0..600 {
        let mut space = machine.space();
        space.populate(&mut machine.with(), place, Rights::ReadWrite, PageSize::Size4K).unwrap();
        let own = space.translate(&mut machine.with(), place.start()).unwrap().phys.get();
        let regime = machine.run(0, &mut space);
        assert_eq!(machine.shared.access(regime, place.start()), Some(own));
        machine.asids.deactivate(0);
        space.destroy(&mut machine.with()).unwrap();
    }
    assert!(!machine.events().contains(&Event::Flush(Flush::Everything)), "one ASID is enough");
}

#[test]
fn the_kernel_owns_its_window_and_borrows_the_rest() {
    let mut machine = Machine::new(GIGABYTE);
    let mut kernel = machine.kernel();
    let free = machine.frames.free_frames();
    let heap = range(window().start().get(), 700 * PAGE);
    kernel.populate(&mut machine.with(), heap, Rights::ReadWrite, PageSize::Size2M).unwrap();
    let uart = range(0xFFFF_0080_0000_0000, PAGE);
    let registers = PhysAddr::new(0x900_0000).unwrap();
    let device = Attributes::KERNEL_DEVICE;
    kernel.map(&mut machine.with(), uart, registers, device, PageSize::Size4K).unwrap();
    let regime = Regime::Kernel(Frame::new(KERNEL_ROOT).unwrap());
    assert_eq!(machine.shared.access(regime, uart.start()), Some(0x900_0000));
    assert!(machine.shared.access(regime, heap.start()).is_some());

    let mut with = machine.with();
    let code = |result: Result<(), SpaceError>| result.unwrap_err().code();
    assert_eq!(code(kernel.map(&mut with, heap, registers, device, PageSize::Size4K)), 941);
    assert_eq!(code(kernel.unmap(&mut with, heap)), 941);
    assert_eq!(code(kernel.clear(&mut with, uart)), 941);
    assert_eq!(code(kernel.populate(&mut with, uart, Rights::ReadOnly, PageSize::Size4K)), 941);
    kernel.clear(&mut with, heap).unwrap();
    kernel.unmap(&mut with, uart).unwrap();
    machine.shared.check(&[regime]);
    assert!(machine.shared.tlb.borrow().leaves.is_empty());
    assert_eq!(machine.frames.free_frames(), free);
}

#[test]
fn what_the_kernel_runs_on_is_neither_split_nor_unmapped() {
    let mut machine = Machine::new(GIGABYTE);
    let mut kernel = machine.kernel();
    let direct = range(0xFFFF_8000_4000_0000, GIGABYTE);
    let ram = PhysAddr::new(GIGABYTE).unwrap();
    let attributes = Attributes::kernel(Rights::ReadWrite);
    kernel.map(&mut machine.with(), direct, ram, attributes, PageSize::Size1G).unwrap();
    kernel.pin(direct).unwrap();
    let inside = at(direct.start().get() + 5 * PAGE);
    for refused in [
        kernel.split(&mut machine.with(), inside, PageSize::Size4K).unwrap_err(),
        kernel.unmap(&mut machine.with(), direct).unwrap_err(),
    ] {
        assert_eq!(refused, SpaceError::Pinned { range: direct, pinned: direct });
    }
    assert!(kernel.unpin(direct));
    assert!(!kernel.unpin(direct));
    kernel.split(&mut machine.with(), inside, PageSize::Size4K).unwrap();
    let page = range(inside.get(), PAGE);
    kernel.protect(&mut machine.with(), page, Rights::ReadOnly).unwrap();
    let found = kernel.translate(&mut machine.with(), inside).unwrap();
    assert_eq!((found.size, found.attributes.rights()), (PageSize::Size4K, Rights::ReadOnly));
    for _ in 0..MAX_PINNED {
        kernel.pin(page).unwrap();
    }
    assert_eq!(kernel.pin(page), Err(SpaceError::TooManyPinned { range: page }));
}

#[test]
fn the_tables_move_whole_or_not_at_all() {
    let mut machine = Machine::new(GIGABYTE);
    let mut kernel = machine.kernel();
    let free = machine.frames.free_frames();
    let direct = range(0xFFFF_8000_4000_0000, GIGABYTE);
    let (ram, attributes) = (PhysAddr::new(GIGABYTE).unwrap(), Attributes::kernel(Rights::ReadWrite));
    kernel.map(&mut machine.with(), direct, ram, attributes, PageSize::Size1G).unwrap();
    let heap = range(0xFFFF_0000_1000_0000, MEGABYTES_2 + 5 * PAGE);
    kernel.populate(&mut machine.with(), heap, Rights::ReadWrite, PageSize::Size2M).unwrap();
    let runs = |kernel: &KernelSpace, machine: &mut Machine| {
        let mut runs = Vec::new();
        kernel.for_each(&mut machine.frames, |run| runs.push(run));
        runs
    };
    let before = runs(&kernel, &mut machine);
    let old = Regime::Kernel(Frame::new(KERNEL_ROOT).unwrap());
    assert!(machine.shared.access(old, heap.start()).is_some());
    // Five tables are to be copied, and there are frames for four.
    let left = machine.frames.free_frames();
    let held: Vec<_> = (5..left + 1).map_while(|_| machine.frames.allocate_frame().ok()).collect();
    let held_from = machine.frames.free_frames();
    let refused = kernel.move_tables(&mut machine.with(), |_| panic!("there is nothing to switch to"));
    assert!(matches!(refused, Err(SpaceError::Table(TableError::OutOfTables { .. }))), "{refused:?}");
    assert_eq!(machine.frames.free_frames(), held_from);
    assert_eq!(runs(&kernel, &mut machine), before);
    held.into_iter().for_each(|frame| machine.frames.free_frame(frame).unwrap());
    machine.events();
    let shared = Rc::clone(&machine.shared);
    let mut moved = None;
    kernel
        .move_tables(&mut machine.with(), |root| {
            // Complete before it is used, and nothing forgotten or freed before that.
            let events = shared.events.take();
            assert!(
                events.ends_with(&[Event::Publish]) && !events.contains(&Event::Flush(Flush::Everything))
            );
            moved = Some(root);
        })
        .unwrap();
    assert_eq!(machine.events().first(), Some(&Event::Flush(Flush::Everything)));
    assert_eq!(runs(&kernel, &mut machine), before);
    // The loader's root is in no use; the tables that the kernel had added are free again.
    assert_ne!(moved, Frame::new(KERNEL_ROOT));
    let new = Regime::Kernel(moved.unwrap());
    assert!(machine.shared.access(new, heap.start()).is_some());
    assert!(machine.shared.walk(old, heap.start().get()).is_none());
    kernel.clear(&mut machine.with(), heap).unwrap();
    kernel.unmap(&mut machine.with(), direct).unwrap();
    assert_eq!(machine.frames.free_frames() + 1, free, "all but the new root");
}

#[test]
fn a_block_has_one_owner_and_one_place() {
    let mut machine = Machine::new(GIGABYTE);
    let mut space = machine.space();
    let block = Block::<User>::allocate(&mut machine.frames, PageSize::Size2M).unwrap();
    let memory = block.range();
    let (block, error) =
        space.map(&mut machine.with(), at(MEGABYTES_2 + PAGE), block, Rights::ReadOnly).unwrap_err();
    assert_eq!(error.code(), 948);
    space.map(&mut machine.with(), at(MEGABYTES_2), block, Rights::ReadOnly).unwrap();
    assert_eq!(space.translate(&mut machine.with(), at(MEGABYTES_2)).unwrap().phys, memory.start());
    space.clear(&mut machine.with(), range(MEGABYTES_2, MEGABYTES_2)).unwrap();
    let again = machine.frames.free(memory.start().frame(), Order::CHUNK);
    assert_eq!(again.unwrap_err().code(), 907, "the space freed it");
}

#[test]
fn operands_are_page_numbers_and_asids_as_the_instructions_take_them() {
    // tlbi vaae1is of 0xFFFF_0000_1000_0000: VA[55:12] alone.
    let flush = Flush::of(None, range(0xFFFF_0000_1000_0000, 2 * PAGE), PageSize::Size4K, false);
    let first = 0x0000_0FF0_0001_0000;
    assert_eq!(flush, Flush::Pages { first, step: 1, count: 2, leaves_only: true, global: true });
    let all = Flush::of(None, range(0xFFFF_0000_1000_0000, 513 * PAGE), PageSize::Size4K, true);
    assert_eq!(all, Flush::Everything);
}

/// A machine whose CPU 0 runs in user spaces, with edits told to `tlb`.
struct UserMachine<T> {
    frames: FrameAllocator<Ram>,
    asids: Asids<2>,
    tlb: T,
    shared: Rc<Shared>,
    regime: Option<Regime>,
}

impl<T: Tlb> UserMachine<T> {
    fn new(tlb: impl FnOnce(Hardware) -> T) -> Self {
        let Machine { frames, asids, tlb: hardware, shared } = Machine::new(8 * MEGABYTES_2);
        Self { frames, asids, tlb: tlb(hardware), shared, regime: None }
    }
}

impl<T: Tlb> workload::Machine<2> for UserMachine<T> {
    type Memory = Ram;
    type Tlb = T;

    fn frames(&mut self) -> &mut FrameAllocator<Ram> {
        &mut self.frames
    }

    fn resources(&mut self) -> Resources<'_, Ram, T, 2> {
        Resources { frames: &mut self.frames, asids: &mut self.asids, tlb: &mut self.tlb }
    }

    fn enter(&mut self, space: &mut UserSpace) -> Result<(), SpaceError> {
        let ttbr0 = self.asids.activate(0, space, &mut self.tlb)?;
        self.shared.events.borrow_mut().clear();
        self.regime = Some(Regime::User(ttbr0));
        let asid = (ttbr0.get() >> 48) as u8;
        let mut tlb = self.shared.tlb.borrow_mut();
        if !tlb.live.contains(&asid) {
            tlb.live.push(asid);
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.shared.events.borrow_mut().clear();
        self.regime = None;
        self.asids.deactivate(0);
    }

    fn load(&mut self, at: VirtAddr) -> Option<u64> {
        let phys = self.shared.access(self.regime?, at)?;
        let page = self.frames.memory_mut().page(OwnedFrame::new(phys / PAGE));
        Some(page[(phys % PAGE / 8) as usize])
    }

    fn can_store(&mut self, at: VirtAddr) -> bool {
        // AP[2] is for read-only.
        let leaf = self.regime.and_then(|regime| self.shared.look_up(regime, at));
        leaf.is_some_and(|leaf| leaf.descriptor >> 7 & 1 == 0)
    }
}

/// Steps of the workload: HANDOFF_STEPS=1000000 makes it long.
fn steps() -> u64 {
    std::env::var("HANDOFF_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(5_000)
}

#[test]
fn the_workload_of_the_machine_holds_on_the_host() {
    let mut machine = UserMachine::new(|hardware| hardware);
    let free = machine.frames.free_frames();
    let mut workload = workload::Workload::new(1);
    let ran = workload.run(&mut machine, steps());
    assert_eq!(ran, Ok(()), "after {}", workload.summary());
    workload.finish(&mut machine).unwrap();
    assert_eq!(machine.frames.free_frames(), free);
    let done = workload.summary();
    assert!(done.edits > 500 && done.refused > 500 && done.undone > 50 && done.looks > 5_000, "{done}");
}

#[test]
fn the_workload_finds_a_tlb_that_is_not_told() {
    /// Does one thing too little.
    struct Deaf(Hardware, bool);
    impl Tlb for Deaf {
        fn publish(&mut self) {}
        fn invalidate(&mut self, flush: &Flush) {
            if !self.1 && !matches!(flush, Flush::Pages { .. }) {
                self.0.invalidate(flush);
            }
        }
        fn sync_instructions(&mut self, _: PhysRange) {}
    }
    for all in [false, true] {
        // The machine's memory need not find it first.
        let mut machine = UserMachine::new(|hardware| Deaf(hardware, all));
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            workload::Workload::new(1).run(&mut machine, 5_000)
        }));
        assert!(!matches!(ran, Ok(Ok(()))), "it found nothing");
    }
}
