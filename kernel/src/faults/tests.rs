//! Frames, regions, backtraces and hooks, each broken in the ways that real faults break them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use shared_abi::addr::{PhysAddr, VirtAddr, VirtRange};
use shared_abi::contract::pstate;
use shared_abi::symbols::{SYMBOLS_MAGIC, SYMBOLS_VERSION};

use super::*;

const TEXT: u64 = 0xFFFF_0000_0000_0000;
const STACK: u64 = 0xFFFF_0080_0010_0000;
const HEAP: u64 = 0xFFFF_0000_1000_0000;

const WRITE_TRANSLATION_3: u64 = 0x9600_0047;
const READ_PERMISSION_3: u64 = 0x9600_000F;
const FETCH_TRANSLATION_3: u64 = 0x8600_0007;
const SVC_7: u64 = 0x5600_0007;

fn range(start: u64, length: u64) -> VirtRange {
    VirtRange::from_bounds(start, start + length).unwrap()
}

fn regions() -> RegionMap {
    let mut map = RegionMap::new();
    assert!(map.add("handoff window", range(0xFFFF_0080_0000_0000, 1 << 39)));
    assert!(map.add("boot stack guard", range(STACK - 0x1000, 0x1000)));
    assert!(map.add_stack("boot stack", range(STACK, 0x4000)));
    assert!(map.add("kernel", range(TEXT, 0x10_0000)));
    assert!(map.add("kernel text", range(TEXT, 0x2000)));
    assert!(map.add("heap", range(HEAP, 1 << 30)));
    map
}

#[expect(unsafe_code, reason = "a hook vouches for what it has resumed")]
fn resumed<'a>(frame: &'a mut Interrupted<'_>) -> &'a mut ExceptionFrame {
    // SAFETY: here nothing is resumed.
    unsafe { frame.get_mut() }
}

fn frame() -> ExceptionFrame {
    ExceptionFrame {
        sp: STACK + 0x3F00,
        elr: TEXT + 0x104,
        spsr: pstate::EL1H_MASKED,
        esr: WRITE_TRANSLATION_3,
        far: 0x10,
        vector: 4,
        ..ExceptionFrame::default()
    }
}

// ---- the frame ----

#[test]
fn a_fault_has_an_address_only_if_the_syndrome_says_so() {
    let fault = frame().fault();
    assert_eq!((fault.address, fault.at, fault.from_user), (Some(0x10), TEXT + 0x104, false));
    assert_eq!(fault.to_string(), "data abort on a write: translation fault, level 3");
    assert_eq!(ExceptionFrame { esr: SVC_7, ..frame() }.fault().address, None);
}

#[test]
fn an_interrupt_has_no_syndrome_whatever_the_register_holds() {
    let fault = ExceptionFrame { vector: 5, ..frame() }.fault();
    assert_eq!((fault.syndrome, fault.address), (None, None));
    assert_eq!(fault.to_string(), "unexpected IRQ from this level on SP_ELx");
    // An SError comes with one.
    assert!(ExceptionFrame { vector: 7, ..frame() }.fault().syndrome.is_some());
}

#[test]
fn a_vector_number_that_is_none_is_not_taken_for_another() {
    let fault = ExceptionFrame { vector: 0x104, ..frame() }.fault();
    assert_eq!(fault.vector, None);
    assert!(fault.syndrome.is_some());
}

// ---- regions ----

#[test]
fn the_narrowest_region_names_an_address() {
    let map = regions();
    for (address, place) in [
        (TEXT + 0x1FFC, "kernel text+0x1ffc"),
        (TEXT + 0x2000, "kernel+0x2000"),
        (STACK - 8, "boot stack guard+0xff8"),
        (STACK, "boot stack+0x0"),
        (STACK + 0x4000, "handoff window+0x104000"),
        (HEAP + 0x10, "heap+0x10"),
        (8, "the null page+0x8"),
        (0x1000, "the low half+0x1000"),
        (0xFFFF_7000_0000_0000, "no known region"),
        (u64::MAX, "no known region"),
        (1 << 48, "an address that is never translated"),
        (0xDEAD_BEEF_DEAD_BEEF, "an address that is never translated"),
    ] {
        assert_eq!(map.place_of(address).to_string(), place, "{address:#x}");
    }
}

#[test]
fn the_pointer_of_an_empty_stack_is_at_its_top_and_an_address_there_is_not_in_it() {
    let map = regions();
    assert_eq!(map.place_of_stack(STACK + 0x4000).to_string(), "boot stack+0x4000");
    assert_eq!(map.place_of_stack(STACK + 0x3FF0).to_string(), "boot stack+0x3ff0");
    assert_eq!(map.place_of(STACK + 0x4000).to_string(), "handoff window+0x104000");
    let text = report(&ExceptionFrame { sp: STACK + 0x4000, ..frame() }, Reason::Unresolved, &Words::of(&[]));
    assert!(text.contains("  stack   0xffff008000104000  boot stack+0x4000\n"), "{text}");
}

#[test]
fn a_physical_address_used_as_a_pointer_is_named_as_one() {
    let mut map = regions();
    for start in [0x4000_0000, 0x6000_0000] {
        map.add_direct(PhysAddr::new(start).unwrap(), range(0xFFFF_8000_0000_0000 + start, 0x2000_0000));
    }
    assert_eq!(
        map.place_of(0x4008_0010).to_string(),
        "the low half+0x40080010; as a physical address, 0xffff800040080010 in the direct map"
    );
    assert_eq!(map.place_of(0x3FFF_FFFF).to_string(), "the low half+0x3fffffff");
    assert_eq!(map.place_of(0x8000_0000).to_string(), "the low half+0x80000000");
}

#[test]
fn neighbours_of_one_name_are_one_region_and_a_full_map_drops() {
    let mut map = RegionMap::new();
    assert!(map.add("text", range(TEXT, 0x1000)));
    assert!(map.add("text", range(TEXT + 0x1000, 0x1000)));
    assert!(!map.add("nothing", VirtRange::EMPTY));
    assert_eq!(map.iter().count(), 1);
    assert_eq!(map.place_of(TEXT + 0x1800).to_string(), "text+0x1800");
    for at in 1..RegionMap::LIMIT as u64 {
        assert!(map.add("page", range(HEAP + at * 0x2000, 0x1000)));
    }
    assert!(!map.add("one too many", range(STACK, 0x1000)));
    assert_eq!(map.place_of(STACK), Place::Unknown);
}

// ---- backtraces ----

/// A stack of words; others cannot be read.
struct Words(BTreeMap<u64, u64>);

impl Words {
    fn of(records: &[(u64, u64, u64)]) -> Self {
        let words = records.iter().flat_map(|&(at, next, address)| [(at, next), (at + 8, address)]);
        Self(words.collect())
    }
}

impl StackMemory for Words {
    fn read(&self, address: VirtAddr) -> Option<u64> {
        assert!(address.get().is_multiple_of(8));
        assert!((STACK..STACK + 0x4000).contains(&address.get()), "read outside of the stack");
        self.0.get(&address.get()).copied()
    }
}

fn walk(memory: &Words, frame_pointer: u64, link: u64) -> Vec<Step> {
    let mut frame = frame();
    frame.general[29] = frame_pointer;
    frame.general[30] = link;
    Backtrace::of(&frame, range(STACK, 0x4000), memory).collect()
}

const AT: Step = Step::At(TEXT + 0x104);

#[test]
fn a_whole_chain_is_walked_to_its_end() {
    let memory = Words::of(&[
        (STACK + 0x3F10, STACK + 0x3F40, TEXT + 0x200),
        (STACK + 0x3F40, STACK + 0x3F80, TEXT + 0x300),
        (STACK + 0x3F80, 0, TEXT + 0x400),
    ]);
    let records = [TEXT + 0x200, TEXT + 0x300, TEXT + 0x400].map(Step::Return);
    let expected = |first: &[Step]| [first, &records].concat();
    assert_eq!(walk(&memory, STACK + 0x3F10, TEXT + 0x200), expected(&[AT]), "x30 is in the first record");
    let leaf = Step::Link(TEXT + 0x180);
    assert_eq!(walk(&memory, STACK + 0x3F10, TEXT + 0x180), expected(&[AT, leaf]), "a leaf keeps no record");
}

#[test]
fn the_record_of_the_function_that_was_entered_is_the_end() {
    let memory = Words::of(&[(STACK + 0x3F10, STACK + 0x3FE0, TEXT + 0x200), (STACK + 0x3FE0, 0, 0)]);
    assert_eq!(walk(&memory, STACK + 0x3F10, 0), [AT, Step::Return(TEXT + 0x200)]);
}

#[test]
fn authentication_codes_are_taken_off_return_addresses() {
    let memory = Words::of(&[(STACK + 0x10, 0, (TEXT + 0x200) & !(0x7F << 48))]);
    assert_eq!(walk(&memory, STACK + 0x10, 0), [AT, Step::Return(TEXT + 0x200)]);
}

#[test]
fn what_cannot_be_a_record_ends_the_walk_and_is_named() {
    let memory = Words::of(&[(STACK + 0x10, STACK + 0x24, TEXT + 0x200), (STACK + 0x20, 0, 0)]);
    let broken = |at| vec![AT, Step::Broken(at)];
    for at in [8, STACK - 16, STACK + 0x3FF8, STACK + 0x4000, STACK + 4, u64::MAX, u64::MAX - 7, 1 << 50] {
        assert_eq!(walk(&memory, at, 0), broken(at), "{at:#x}");
    }
    assert_eq!(walk(&memory, STACK + 0x800, 0), broken(STACK + 0x800), "not readable");
    // The last word of the stack is readable, but a record has two.
    let last = Words(BTreeMap::from([(STACK + 0x3FF8, 0)]));
    assert_eq!(walk(&last, STACK + 0x3FF8, 0), broken(STACK + 0x3FF8));
    let misaligned = [AT, Step::Return(TEXT + 0x200), Step::Broken(STACK + 0x24)];
    assert_eq!(walk(&memory, STACK + 0x10, 0), misaligned);
}

#[test]
fn a_chain_that_turns_back_ends_and_a_long_one_is_cut() {
    let circle = Words::of(&[(STACK + 0x10, STACK + 0x30, 1), (STACK + 0x30, STACK + 0x10, 2)]);
    assert_eq!(walk(&circle, STACK + 0x10, 0), [AT, Step::Return(1), Step::Return(2)]);
    let itself = Words::of(&[(STACK + 0x10, STACK + 0x10, 1)]);
    assert_eq!(walk(&itself, STACK + 0x10, 0), [AT, Step::Return(1)]);
    let records: Vec<_> = (0..200).map(|at| (STACK + at * 16, STACK + at * 16 + 16, 7)).collect();
    let steps = walk(&Words::of(&records), STACK, 0);
    assert_eq!(steps.last(), Some(&Step::Cut));
    assert!(steps.len() <= Backtrace::STEPS + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stack_is_walked_within_its_bounds_and_to_an_end(
        words in prop::collection::vec(prop_oneof![any::<u64>(), STACK..STACK + 0x4000, Just(0)], 1..512),
        frame_pointer in prop_oneof![any::<u64>(), STACK..STACK + 0x4000],
        link: u64,
    ) {
        let memory = Words((0..).map(|at| STACK + at * 8).zip(words).collect());
        prop_assert!(walk(&memory, frame_pointer, link).len() <= Backtrace::STEPS + 1);
    }
}

// ---- symbols ----

fn table() -> Vec<u8> {
    let names = b"start\0work\0";
    let mut table = SYMBOLS_MAGIC.to_vec();
    for word in [SYMBOLS_VERSION, 2] {
        table.extend(word.to_le_bytes());
    }
    table.extend(TEXT.to_le_bytes());
    for word in [32 + 24, names.len() as u32] {
        table.extend(word.to_le_bytes());
    }
    for word in [0x100, 0x40, 0, 0x140, 0x40, 6_u32] {
        table.extend(word.to_le_bytes());
    }
    table.extend(names);
    table
}

#[test]
fn symbols_follow_the_slide_and_a_return_belongs_to_its_call() {
    let table = table();
    let find = |symbols: Symbols<'_>, at| symbols.find(at).map(|symbol| symbol.to_string());
    assert_eq!(find(Symbols::open(&table, 0), TEXT + 0x104).as_deref(), Some("start+0x4"));
    let slid = Symbols::open(&table, 0x60_0000);
    assert_eq!(find(slid, TEXT + 0x60_0104).as_deref(), Some("start+0x4"));
    assert_eq!(find(slid, TEXT + 0x104), None);
    // The last instruction of `start` is a call that never returns; its return address is in `work`.
    let symbol = Symbols::open(&table, 0).find_return(TEXT + 0x140).unwrap();
    assert_eq!(symbol.to_string(), "start+0x40");
    assert_eq!(find(Symbols::none(), TEXT + 0x104), None);
    assert_eq!(find(Symbols::open(&table[..40], 0), TEXT + 0x104), None);
}

// ---- hooks ----

/// A hook that counts and answers.
struct Answer(Mutex<u32>, Resolution);

impl Answer {
    const fn new(resolution: Resolution) -> Self {
        Self(Mutex::new(0), resolution)
    }

    fn asked(&self) -> u32 {
        *self.0.lock().unwrap()
    }
}

impl FaultHook for Answer {
    fn resolve(&self, _: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
        *self.0.lock().unwrap() += 1;
        if self.1 == Resolution::Resolved {
            resumed(frame).general[0] = 1;
        }
        self.1
    }
}

#[test]
fn hooks_are_asked_in_order_until_one_resolves() {
    let (other, declines, resolves, late) = (
        Answer::new(Resolution::Resolved),
        Answer::new(Resolution::NotMine),
        Answer::new(Resolution::Resolved),
        Answer::new(Resolution::Resolved),
    );
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::Address(range(HEAP, 0x1000)), &other);
    dispatcher.add(Interest::Class(0x15), &other);
    dispatcher.add(Interest::Address(range(0, 0x1000)), &declines);
    dispatcher.add(Interest::Class(0x25), &resolves);
    dispatcher.add(Interest::Class(0x25), &late);
    let mut frame = frame();
    assert_eq!(dispatcher.dispatch(&mut frame), Outcome::Resume);
    assert_eq!([&other, &declines, &resolves, &late].map(Answer::asked), [0, 1, 1, 0]);
    assert_eq!(frame.general[0], 1, "the hook changed what is resumed");
    assert!(!dispatcher.is_busy());
}

#[test]
fn an_unresolved_fault_is_reported_and_every_later_one_is_nested() {
    let dispatcher = Dispatcher::new();
    assert_eq!(dispatcher.dispatch(&mut frame()), Outcome::Report(Reason::Unresolved));
    assert_eq!(dispatcher.dispatch(&mut frame()), Outcome::Nested);
    assert_eq!(dispatcher.dispatch(&mut frame()), Outcome::Nested);
}

#[test]
fn a_fault_inside_of_a_hook_is_nested() {
    struct Faults<'a>(&'a Mutex<Vec<Outcome>>, &'a std::sync::OnceLock<usize>);
    impl FaultHook for Faults<'_> {
        fn resolve(&self, _: &Fault, _: &mut Interrupted<'_>) -> Resolution {
            // What the vectors would do if this very function faulted.
            let dispatcher: *const Dispatcher<'_> =
                core::ptr::with_exposed_provenance(*self.1.get().unwrap());
            // SAFETY: the dispatcher below, which is alive while it asks.
            #[allow(unsafe_code)]
            let dispatcher = unsafe { &*dispatcher };
            self.0.lock().unwrap().push(dispatcher.dispatch(&mut frame()));
            Resolution::Failed("it faulted itself")
        }
    }
    let (outcomes, place) = (Mutex::new(Vec::new()), std::sync::OnceLock::new());
    let hook = Faults(&outcomes, &place);
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::Class(0x25), &hook);
    place.set(core::ptr::from_ref(&dispatcher).expose_provenance()).unwrap();
    let outcome = dispatcher.dispatch(&mut frame());
    assert_eq!(outcome, Outcome::Report(Reason::Failed("it faulted itself")));
    assert_eq!(*outcomes.lock().unwrap(), [Outcome::Nested]);
}

#[test]
fn a_resolution_that_resolves_nothing_does_not_go_on_for_ever() {
    let hook = Answer::new(Resolution::Resolved);
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::Class(0x25), &hook);
    dispatcher.add(Interest::Class(0x15), &hook);
    let first = (1..10_000).find(|_| dispatcher.dispatch(&mut frame()) != Outcome::Resume);
    assert_eq!(first, Some(dispatch::REPEATS as usize as i32 + 1));
    // Calls may repeat, and so may an abort with others between.
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::Class(0x25), &hook);
    dispatcher.add(Interest::Class(0x15), &hook);
    for at in 0..5_000 {
        let mut other = ExceptionFrame { far: at % 2 * 8, ..frame() };
        assert_eq!(dispatcher.dispatch(&mut other), Outcome::Resume);
        assert_eq!(dispatcher.dispatch(&mut ExceptionFrame { esr: SVC_7, ..frame() }), Outcome::Resume);
    }
}

#[test]
fn what_interrupted_user_code_can_be_had_as_a_whole_and_sent_elsewhere_for_ever() {
    struct Elsewhere;
    impl FaultHook for Elsewhere {
        fn resolve(&self, fault: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
            assert!(fault.from_user);
            resumed(frame).elr = TEXT;
            Resolution::Resolved
        }
    }
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::User, &Elsewhere);
    assert_eq!(dispatcher.dispatch(&mut frame()), Outcome::Report(Reason::Unresolved));
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::User, &Elsewhere);
    for syndrome in [WRITE_TRANSLATION_3 & !(1 << 26), SVC_7] {
        for _ in 0..2 * dispatch::REPEATS {
            let mut frame = ExceptionFrame { spsr: 0, vector: 8, esr: syndrome, ..frame() };
            assert_eq!(dispatcher.dispatch(&mut frame), Outcome::Resume);
        }
    }
}

#[test]
fn there_is_room_for_sixteen_hooks() {
    let hook = Answer::new(Resolution::NotMine);
    let mut dispatcher = Dispatcher::new();
    assert!((0..dispatch::HOOKS).all(|_| dispatcher.add(Interest::Class(0x25), &hook)));
    assert!(!dispatcher.add(Interest::Class(0x25), &hook));
}

// ---- demand-zero memory ----

struct Pages(Mutex<(Vec<u64>, usize)>);

impl ZeroPages for Pages {
    fn map_zeroed(&self, page: VirtAddr) -> Result<(), &'static str> {
        let mut state = self.0.lock().unwrap();
        if state.1 == 0 {
            return Err("no frame is free");
        }
        state.1 -= 1;
        assert!(!state.0.contains(&page.get()), "mapped twice");
        state.0.push(page.get());
        Ok(())
    }
}

#[test]
fn a_demand_zero_region_maps_the_touched_page_and_nothing_else() {
    let demand = DemandZero::new(range(HEAP, 0x10_000), Pages(Mutex::new((Vec::new(), 2))));
    let mut dispatcher = Dispatcher::new();
    dispatcher.add(Interest::Address(demand.range()), &demand);
    let touch = |address, syndrome| {
        dispatcher.dispatch(&mut ExceptionFrame { far: address, esr: syndrome, ..frame() })
    };
    assert_eq!(touch(HEAP + 0x1234, WRITE_TRANSLATION_3), Outcome::Resume);
    assert_eq!(touch(HEAP + 0xFFFF, WRITE_TRANSLATION_3 & !(1 << 6)), Outcome::Resume);
    let full = Outcome::Report(Reason::Failed("no frame is free"));
    assert_eq!(touch(HEAP + 0x5000, WRITE_TRANSLATION_3), full);
}

#[test]
fn only_a_missing_page_of_data_is_demanded() {
    for (address, syndrome) in [
        (HEAP + 0x10_000, WRITE_TRANSLATION_3),
        (HEAP - 1, WRITE_TRANSLATION_3),
        (HEAP, READ_PERMISSION_3),
        (HEAP, FETCH_TRANSLATION_3),
        (HEAP, SVC_7),
        (HEAP, WRITE_TRANSLATION_3 | 1 << 10),
    ] {
        let demand = DemandZero::new(range(HEAP, 0x10_000), Pages(Mutex::new((Vec::new(), 1))));
        let mut dispatcher = Dispatcher::new();
        dispatcher.add(Interest::Address(demand.range()), &demand);
        let mut frame = ExceptionFrame { far: address, esr: syndrome, ..frame() };
        assert_eq!(dispatcher.dispatch(&mut frame), Outcome::Report(Reason::Unresolved), "{syndrome:#x}");
    }
}

// ---- the report ----

fn report(frame: &ExceptionFrame, reason: Reason, memory: &Words) -> String {
    let (table, regions) = (table(), regions());
    FaultReport { frame, reason, regions: &regions, symbols: Symbols::open(&table, 0), memory }.to_string()
}

#[test]
fn a_report_says_what_where_and_who_called() {
    let mut frame = frame();
    frame.general[..4].copy_from_slice(&[1, 0x22, 0x333, u64::MAX]);
    frame.general[29] = STACK + 0x3F10;
    frame.general[30] = TEXT + 0x150;
    let memory =
        Words::of(&[(STACK + 0x3F10, STACK + 0x3F40, TEXT + 0x150), (STACK + 0x3F40, 0, TEXT + 0x1C8)]);
    assert_eq!(
        report(&frame, Reason::Unresolved, &memory),
        "data abort on a write: translation fault, level 3
  at      0xffff000000000104  start+0x4
  address 0x0000000000000010  the null page+0x10
  stack   0xffff008000103f00  boot stack+0x3f00
  synchronous exception from this level on SP_ELx; ESR 0x96000047, SPSR 0x3c5
  x0  0000000000000001 x1  0000000000000022 x2  0000000000000333 x3  ffffffffffffffff
  x4  0000000000000000 x5  0000000000000000 x6  0000000000000000 x7  0000000000000000
  x8  0000000000000000 x9  0000000000000000 x10 0000000000000000 x11 0000000000000000
  x12 0000000000000000 x13 0000000000000000 x14 0000000000000000 x15 0000000000000000
  x16 0000000000000000 x17 0000000000000000 x18 0000000000000000 x19 0000000000000000
  x20 0000000000000000 x21 0000000000000000 x22 0000000000000000 x23 0000000000000000
  x24 0000000000000000 x25 0000000000000000 x26 0000000000000000 x27 0000000000000000
  x28 0000000000000000 x29 ffff008000103f10 x30 ffff000000000150
  from    0xffff000000000150  work+0x10
  from    0xffff0000000001c8  kernel text+0x1c8
"
    );
}

#[test]
fn an_overflowed_stack_is_named_and_still_walked() {
    let mut frame = ExceptionFrame { sp: STACK - 0x20, far: STACK - 0x18, ..frame() };
    frame.general[29] = STACK + 0x10;
    let text = report(&frame, Reason::Unresolved, &Words::of(&[(STACK + 0x10, 0, TEXT + 0x110)]));
    assert!(text.contains("  address 0xffff0080000fffe8  boot stack guard+0xfe8\n"), "{text}");
    assert!(text.ends_with("  from    0xffff000000000110  start+0x10\n"), "{text}");
}

#[test]
fn a_report_says_why_a_hook_failed_and_does_not_walk_user_stacks() {
    let mut frame = ExceptionFrame { spsr: 0, vector: 8, ..frame() };
    frame.general[29] = STACK;
    let text = report(&frame, Reason::Failed("no frame is free"), &Words::of(&[]));
    assert!(text.starts_with("data abort on a write: translation fault, level 3\n"), "{text}");
    assert!(text.contains("  it could not be resolved: no frame is free\n"), "{text}");
    assert!(!text.contains("  from "), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_makes_a_report_that_ends(
        words: [u64; 7], general: [u64; 31], near_stack in 0_u64..0x5000, torn: bool,
    ) {
        let mut frame = ExceptionFrame {
            general, sp: words[0], elr: words[1], spsr: words[2],
            esr: words[3], far: words[4], vector: words[5] % 20, reserved: words[6],
        };
        if torn {
            frame.general[29] = STACK + near_stack;
            frame.sp = STACK + near_stack;
        }
        let length = Cell::new(report(&frame, Reason::Repeated, &Words::of(&[(STACK + 16, STACK + 32, 5)])).len());
        prop_assert!(length.get() > 600 && length.get() < 8000);
    }
}
