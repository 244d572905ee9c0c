use proptest::prelude::*;
use shared_abi::addr::{PageSize, VirtRange};
use shared_abi::contract::{DIRECT_MAP_WINDOW, HEAP_START, KERNEL_WINDOW, SLIDE_WINDOW};
use shared_abi::note::{Note, Wanted};

use super::*;
use crate::elf_builder::*;

const MIB2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;

/// A position-independent kernel of `size` bytes at `link`.
fn independent(link: u64, size: u64, align: u64) -> Vec<u8> {
    ElfBuilder::new(ET_DYN, link, &Note::DEFAULT)
        .segment(Program::load(RX, link, FREE, 0x10).align(align))
        .program(Program::load(RW, link + 0x1000, 0, 0).memory(size - 0x1000))
        .build()
}

fn choose(file: &[u8], slide: Slide, entropy: u64) -> Result<Placement, PlanError> {
    let elf = KernelElf::parse(file).unwrap();
    Placement::choose(&elf, &Policy { slide, direct_map: DirectMap::Lowest }, [entropy, 0], 1 << 40)
}

#[test]
fn random_slides_reach_from_the_first_to_the_last_place_of_the_window() {
    let file = independent(0, 0x30_0000, 0x1000);
    let first = choose(&file, Slide::Random, 0).unwrap();
    assert_eq!(first.image.start(), SLIDE_WINDOW.start());
    let last = choose(&file, Slide::Random, u64::MAX).unwrap();
    assert_eq!(last.image.start().get(), SLIDE_WINDOW.end() - 2 * MIB2);
    // At least 25 bits: that many places.
    let places = (last.slide - first.slide) / MIB2 + 1;
    assert!(places >= 1 << 25, "{places:#x}");
}

#[test]
fn a_kernel_that_may_not_slide_goes_to_the_window_unless_it_is_linked_there() {
    for (link, start) in [(0, LINK), (0x1_3000, LINK + 0x1_3000), (LINK + 0x60_0000, LINK + 0x60_0000)] {
        let file = independent(link, 0x10_0000, 0x1000);
        let placement = choose(&file, Slide::Off, 7).unwrap();
        assert_eq!(placement.image.start().get(), start, "{link:#x}");
    }
}

#[test]
fn the_note_and_the_command_line_turn_randomness_off() {
    let still = Note { wanted: Wanted::empty(), ..Note::DEFAULT };
    let offset = 0xFFFF_9000_0000_0000;
    let fixed = Note { direct_map_offset: offset, ..Note::DEFAULT };
    let policy = |slide, direct_map| Policy { slide, direct_map };
    assert_eq!(Policy::new(&Note::DEFAULT, true), policy(Slide::Random, DirectMap::Random));
    assert_eq!(Policy::new(&Note::DEFAULT, false), policy(Slide::Off, DirectMap::Lowest));
    assert_eq!(Policy::new(&still, true), policy(Slide::Off, DirectMap::Random));
    assert_eq!(Policy::new(&fixed, true), policy(Slide::Random, DirectMap::Fixed(offset)));
    assert_eq!(Policy::new(&fixed, false), policy(Slide::Off, DirectMap::Fixed(offset)));
}

#[test]
fn a_slide_that_was_asked_for_is_taken_or_refused() {
    let file = independent(0, 0x10_0000, 0x1000);
    let target = SLIDE_WINDOW.start().get() + 5 * MIB2;
    assert_eq!(choose(&file, Slide::Fixed(target), 0).unwrap().image.start().get(), target);
    let asked = target + 0x1000;
    assert_eq!(choose(&file, Slide::Fixed(asked), 0), Err(PlanError::Slide { asked, step: MIB2 }));
    let outside = choose(&file, Slide::Fixed(0x4000_0000), 0).unwrap_err();
    assert_eq!(outside.code(), 203);
    let good = ElfBuilder::good().build();
    assert_eq!(choose(&good, Slide::Fixed(0), 0).unwrap().slide, 0);
    assert_eq!(choose(&good, Slide::Fixed(MIB2), 0), Err(PlanError::Slide { asked: MIB2, step: 0 }));
    assert_eq!(choose(&good, Slide::Random, 0x1234_5678_9ABC_DEF0).unwrap().slide, 0);
}

#[test]
fn a_fixed_kernel_may_lie_in_the_slide_window() {
    let link = SLIDE_WINDOW.start().get() + 0x1234_5000;
    let file =
        ElfBuilder::new(ET_EXEC, link, &Note::DEFAULT).segment(Program::load(RX, link, FREE, 0x10)).build();
    assert_eq!(choose(&file, Slide::Off, 0).unwrap().image.start().get(), link);
}

#[test]
fn the_heap_window_begins_after_a_large_image_and_beside_a_far_one() {
    let heap = |start: u64, size: u64| {
        let file = ElfBuilder::new(ET_EXEC, start, &Note::DEFAULT)
            .segment(Program::load(RX, start, FREE, 0x10))
            .program(Program::load(RW, start + 0x1000, 0, 0).memory(size - 0x1000))
            .build();
        choose(&file, Slide::Off, 0).unwrap().heap
    };
    let range = |start, end| VirtRange::from_bounds(start, end).unwrap();
    let end = KERNEL_WINDOW.end();
    assert_eq!(heap(LINK, 0x1000_0000), range(HEAP_START, end));
    assert_eq!(heap(LINK, 0x1000_1000), range(HEAP_START + MIB2, end));
    let far = LINK + 500 * GIB;
    assert_eq!(heap(far, MIB2), range(HEAP_START, far));
    assert_eq!(heap(LINK, 512 * GIB).len(), 0);
}

#[test]
fn the_direct_map_goes_where_all_ram_fits() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    let offset = |direct_map, entropy, ram_end| {
        let policy = Policy { slide: Slide::Off, direct_map };
        Placement::choose(&elf, &policy, [0, entropy], ram_end).map(|placement| placement.direct_map_offset)
    };
    let start = DIRECT_MAP_WINDOW.start().get();
    assert_eq!(offset(DirectMap::Lowest, 9, 1 << 40), Ok(start));
    assert_eq!(offset(DirectMap::Random, 0, 1 << 40), Ok(start));
    assert_eq!(offset(DirectMap::Random, u64::MAX, 0x8000_0000), Ok(0xFFFF_FFFF_4000_0000));
    assert_eq!(offset(DirectMap::Fixed(start + GIB), 0, 1 << 46), Ok(start + GIB));
    for (place, end) in
        [(start + 1, 1 << 30), (start - GIB, 1 << 30), (0xFFFF_FFFF_C000_0000, 0x4000_0000), (start, 1 << 47)]
    {
        assert_eq!(
            offset(DirectMap::Fixed(place), 0, end),
            Err(PlanError::DirectMap { offset: if end == 1 << 47 { start } else { place }, end })
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_place_is_in_the_window_at_the_step_and_keeps_the_alignment(
        link in prop_oneof![Just(0u64), 0..0x100_0000u64, LINK..LINK + 0x100_0000],
        size in 0x2000..0x4000_0000u64,
        align in 0..35u32,
        random in any::<[u64; 2]>(),
        ram_end in 1..1u64 << 46,
    ) {
        let link = link & !0xFFF;
        let file = independent(link, size, 1 << align);
        let elf = KernelElf::parse(&file).unwrap();
        let policy = Policy { slide: Slide::Random, direct_map: DirectMap::Random };
        let placement = Placement::choose(&elf, &policy, random, ram_end).unwrap();
        let step = MIB2.max(1 << align);
        prop_assert!(placement.slide.is_multiple_of(step));
        prop_assert!(SLIDE_WINDOW.covers(placement.image));
        prop_assert_eq!(placement.image.len(), size.next_multiple_of(0x1000));
        let offset = placement.direct_map_offset;
        prop_assert!(offset.is_multiple_of(GIB) && offset >= DIRECT_MAP_WINDOW.start().get());
        prop_assert!(offset + ram_end <= DIRECT_MAP_WINDOW.end());
        prop_assert!(placement.heap.is_aligned(PageSize::Size4K) && KERNEL_WINDOW.covers(placement.heap));
    }
}
