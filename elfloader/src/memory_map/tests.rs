//! The map against a model that keeps one value per page and one bit per quarter page, and cases with names.

use proptest::collection::vec;
use proptest::prelude::*;
use shared_abi::addr::PhysAddr;

use super::*;
use crate::platform::{Cpu, DynamicReservation, EnableMethod, Machine};

const QUARTER: u64 = PAGE / 4;
const PAGES: u64 = 48;
const NAMES: [&str; 4] = ["", "a", "b", "c"];

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::from_bounds(start, end).unwrap()
}

fn quarters(start: u64, length: u64) -> PhysRange {
    range(start * QUARTER, (start + length) * QUARTER)
}

/// The map as text: one line per region.
fn text(map: &MemoryMap<'_>) -> String {
    let line = |region: &Region<'_>| {
        let Region { range, kind, node, name } = region;
        format!("{range} node {node} {kind} {name}").trim_end().to_string() + "\n"
    };
    map.regions().iter().map(line).collect()
}

fn check(map: &MemoryMap<'_>) {
    for region in map.regions() {
        assert!(!region.range.is_empty() && region.range.is_aligned(PageSize::Size4K), "{region:?}");
    }
    for pair in map.regions().windows(2) {
        assert!(pair[0].end() <= pair[1].start(), "unsorted or overlapping: {pair:?}");
        assert!(!pair[0].continues(&pair[1]), "not merged: {pair:?}");
    }
}

fn laid_out<'n>(machine: &Machine<'n>, limit: u64) -> MemoryMap<'n> {
    let mut map = MemoryMap::new();
    map.lay_out(machine, limit).unwrap();
    check(&map);
    map
}

fn machine_with(memory: &[(u64, u64)]) -> Machine<'static> {
    let mut machine = Machine::new();
    for (start, end) in memory {
        machine.add_memory(range(*start, *end), 0).unwrap();
    }
    machine
}

#[test]
fn a_usable_range_inside_one_page_is_no_memory() {
    let mut map = MemoryMap::new();
    let machine = machine_with(&[(0x1800, 0x1C00), (0x2400, 0x3000)]);
    assert_eq!(map.lay_out(&machine, u64::MAX), Err(MapError::NoMemory { limit: u64::MAX }));
    assert!(map.regions().is_empty());
}

#[test]
fn ranges_that_meet_inside_a_page_make_it_whole() {
    let mut machine = Machine::new();
    machine.add_memory(range(0x1800, 0x3000), 1).unwrap();
    machine.add_memory(range(0x0800, 0x1800), 0).unwrap();
    let map = laid_out(&machine, u64::MAX);
    assert_eq!(
        text(&map),
        "0x0000000000001000–0x0000000000002000 node 0 usable\n\
         0x0000000000002000–0x0000000000003000 node 1 usable\n"
    );
}

#[test]
fn memory_that_the_processor_cannot_address_is_listed() {
    let map = laid_out(&machine_with(&[(1 << 30, 3 << 40)]), 1 << 40);
    assert_eq!(
        text(&map),
        "0x0000000040000000–0x0000010000000000 node 0 usable\n\
         0x0000010000000000–0x0000030000000000 node 0 unaddressable\n"
    );
    assert_eq!(map.mapped_span(), Some(range(1 << 30, 1 << 40)));
}

#[test]
fn reservations_round_outward_and_no_map_is_stronger() {
    let mut machine = machine_with(&[(0x10000, 0x20000)]);
    machine.add_reservation(range(0x0FFFF, 0x11001), false, "firmware").unwrap();
    machine.add_reservation(range(0x11FFF, 0x12001), true, "secure").unwrap();
    machine.add_reservation(range(0x11000, 0x13001), false, "late").unwrap();
    machine.add_reservation(range(0x90000, 0x98000), true, "elsewhere").unwrap();
    let release = PhysAddr::new(0x1_FFD8).unwrap();
    machine.add_cpu(Cpu::new(0, EnableMethod::SpinTable(release), 0, false).unwrap()).unwrap();
    assert_eq!(
        text(&laid_out(&machine, u64::MAX)),
        "0x0000000000010000–0x0000000000011000 node 0 firmware firmware\n\
         0x0000000000011000–0x0000000000013000 node 0 no-map secure\n\
         0x0000000000013000–0x0000000000014000 node 0 firmware late\n\
         0x0000000000014000–0x000000000001f000 node 0 usable\n\
         0x000000000001f000–0x0000000000020000 node 0 firmware cpu-release-addr\n"
    );
}

#[test]
fn an_initrd_that_firmware_reserved_for_its_own_sake_is_the_kernels() {
    let mut machine = machine_with(&[(0, 0x20000)]);
    machine.add_reservation(range(0x4000, 0x5800), false, "").unwrap();
    machine.add_reservation(range(0x8000, 0xC000), false, "").unwrap();
    let mut map = laid_out(&machine, u64::MAX);
    map.claim(range(0x4000, 0x5800), RegionKind::INITRD, "initrd").unwrap();
    map.claim(range(0x9000, 0x9100), RegionKind::DEVICE_TREE, "tree").unwrap();
    check(&map);
    assert_eq!(
        text(&map),
        "0x0000000000000000–0x0000000000004000 node 0 usable\n\
         0x0000000000004000–0x0000000000006000 node 0 initrd initrd\n\
         0x0000000000006000–0x0000000000008000 node 0 usable\n\
         0x0000000000008000–0x000000000000c000 node 0 firmware\n\
         0x000000000000c000–0x0000000000020000 node 0 usable\n"
    );
    let error = map.claim(range(0x8000, 0x9000), RegionKind::KERNEL, "kernel").unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            505,
            "kernel \"kernel\" 0x0000000000008000–0x0000000000009000 overlaps \
             firmware 0x0000000000008000–0x000000000000c000"
        )
    );
}

#[test]
fn a_page_that_two_claims_share_is_nobodys_to_free() {
    let mut map = laid_out(&machine_with(&[(0, 0x10000)]), u64::MAX);
    map.claim(range(0x2000, 0x4800), RegionKind::INITRD, "initrd").unwrap();
    map.claim(range(0x4800, 0x5100), RegionKind::DEVICE_TREE, "tree").unwrap();
    assert_eq!(
        text(&map),
        "0x0000000000000000–0x0000000000002000 node 0 usable\n\
         0x0000000000002000–0x0000000000004000 node 0 initrd initrd\n\
         0x0000000000004000–0x0000000000005000 node 0 firmware shared page\n\
         0x0000000000005000–0x0000000000006000 node 0 device tree tree\n\
         0x0000000000006000–0x0000000000010000 node 0 usable\n"
    );
    let error = map.claim(range(0x47FF, 0x4800), RegionKind::MODULE, "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "module 0x00000000000047ff–0x0000000000004800 overlaps \
         initrd \"initrd\" 0x0000000000002000–0x0000000000004800"
    );
}

#[test]
fn placement_leaves_the_better_aligned_end_whole() {
    // As on QEMU's virt machine: 2 MiB below the image, the rest above it.
    let mut map = laid_out(&machine_with(&[(0x4000_0000, 0x4800_0000)]), u64::MAX);
    map.claim(range(0x4020_0000, 0x4033_0000), RegionKind::LOADER_RECLAIMABLE, "image").unwrap();
    assert_eq!(map.find_free(0x8000, PAGE, ANYWHERE), Some(range(0x401F_8000, 0x4020_0000)));
    assert_eq!(map.find_free(0x20_1000, PAGE, ANYWHERE), Some(range(0x4033_0000, 0x4053_1000)));
    assert_eq!(map.find_free(0x20_1000, 2 << 20, ANYWHERE), Some(range(0x4040_0000, 0x4060_1000)));
    assert_eq!(map.find_free(0x8000, PAGE, range(0, 0x4010_0000)), Some(range(0x400F_8000, 0x4010_0000)));
    assert_eq!(map.find_free(1 << 30, PAGE, ANYWHERE), None);
    assert_eq!(map.find_free(u64::MAX, PAGE, ANYWHERE), None);
    assert_eq!(map.find_free(1, u64::MAX, ANYWHERE), None);
}

#[test]
fn dynamic_reservations_avoid_claims_and_a_wish_may_fail() {
    let mut machine = machine_with(&[(0, 0x10_0000)]);
    let mut wanted = DynamicReservation {
        length: 0x4000,
        alignment: 0x4000,
        within: [range(0x1000, 0x3000), range(0x8000, 0x10000)].into_iter().collect(),
        no_map: true,
        reusable: false,
        name: "pool",
    };
    machine.add_dynamic_reservation(wanted.clone()).unwrap();
    wanted.length = 1 << 30;
    wanted.reusable = true;
    machine.add_dynamic_reservation(wanted.clone()).unwrap();
    let mut map = laid_out(&machine, u64::MAX);
    map.claim(range(0x8000, 0x9000), RegionKind::INITRD, "").unwrap();
    map.place_dynamic(&machine).unwrap();
    check(&map);
    assert_eq!(
        map.find(0xC000).map(|region| (region.kind, region.range)),
        Some((RegionKind::NO_MAP, range(0xC000, 0x10000)))
    );

    machine.dynamic_reservations[1].reusable = false;
    let error = laid_out(&machine, u64::MAX).place_dynamic(&machine).unwrap_err();
    assert_eq!(error.to_string(), "no room for no-map \"pool\" of 0x40000000 bytes aligned to 0x4000");
}

#[test]
fn what_is_only_partly_memory_can_be_kept() {
    let machine = machine_with(&[(0x4000_0000, 0x47FF_F800)]);
    let mut map = laid_out(&machine, 1 << 48);
    let tree = range(0x47FF_E000, 0x47FF_F800);
    let refused = map.claim(tree, RegionKind::DEVICE_TREE, "tree");
    assert!(matches!(refused, Err(MapError::NotMemory { .. })), "{refused:?}");
    map.reserve(tree, RegionKind::FIRMWARE, "tree").unwrap();
    let copy = map.allocate(0x2000, PAGE, ANYWHERE, RegionKind::DEVICE_TREE, "tree").unwrap();
    let arena = map.allocate(0x4_0000, PAGE, ANYWHERE, RegionKind::LOADER_RECLAIMABLE, "arena").unwrap();
    assert!(!copy.overlaps(tree) && !arena.overlaps(tree), "{copy} {arena}");
}

#[test]
fn a_full_map_refuses_and_stays_as_it_was() {
    let mut map = laid_out(&machine_with(&[(0, 0x100_0000)]), u64::MAX);
    for index in 0..(REGIONS as u64 - 1) / 2 {
        map.change(range((2 * index + 1) * PAGE, (2 * index + 2) * PAGE), &|_| (RegionKind::KERNEL, ""))
            .unwrap();
    }
    let before = map.clone();
    assert_eq!(map.regions().len(), REGIONS - 1);
    let inside = range(0xF0_0000, 0xF0_1000);
    let error = map.claim(inside, RegionKind::MODULE, "").unwrap_err();
    assert_eq!(error, MapError::TooManyRegions { limit: REGIONS, range: inside });
    assert_eq!(map.regions(), before.regions());
    map.claim(range(0xFF_F000, 0x100_0000), RegionKind::MODULE, "").unwrap();
    check(&map);
    assert_eq!(map.regions().len(), REGIONS);
}

#[test]
fn every_error_has_its_own_code_and_one_line() {
    let claim = Claim { range: range(0, PAGE), kind: RegionKind::KERNEL, name: "k" };
    let errors = [
        MapError::NoMemory { limit: 0 },
        MapError::TooManyRegions { limit: 1, range: claim.range },
        MapError::TooManyClaims { claim },
        MapError::NotMemory { claim, missing: claim.range },
        MapError::Reserved { claim, reserved: claim },
        MapError::ClaimsOverlap { claim, other: claim },
        MapError::NotClaimed { claim, found: claim },
        MapError::NoRoom { kind: claim.kind, name: "", length: 1, alignment: 1 },
        MapError::NotPages { claim },
    ];
    for (index, error) in errors.iter().enumerate() {
        assert_eq!(error.code(), 501 + index as u16);
        assert!(!error.to_string().contains('\n'));
    }
}

/// One page of the model: `None` is not RAM.
type Page = Option<(RegionKind, u16, usize)>;

struct Model {
    pages: Vec<Page>,
    claims: Vec<PhysRange>,
}

impl Model {
    fn pages_in(bytes: PhysRange) -> std::ops::Range<usize> {
        (bytes.start().get() / PAGE) as usize..bytes.end().div_ceil(PAGE) as usize
    }

    fn new(memory: &[(PhysRange, u16)], reserved: &[(PhysRange, bool, usize)], limit: u64) -> Self {
        let mut sorted: Vec<_> = memory.to_vec();
        sorted.sort_by_key(|(bytes, _)| bytes.start());
        let holder =
            |byte: u64| sorted.iter().find(|(bytes, _)| bytes.contains(PhysAddr::new(byte).unwrap()));
        let pages = (0..PAGES).map(|page| {
            let start = page * PAGE;
            let whole = (0..4).all(|quarter| holder(start + quarter * QUARTER).is_some());
            let node = holder(start).filter(|_| whole)?.1;
            if start >= limit {
                return Some((RegionKind::UNADDRESSABLE, node, 0));
            }
            let covers = |bytes: &PhysRange| {
                bytes.start().get() < start + PAGE && start < bytes.end() && !bytes.is_empty()
            };
            let mut here = reserved.iter().filter(|(bytes, ..)| covers(bytes));
            let strongest = here.clone().find(|(_, no_map, _)| *no_map).or_else(|| here.next());
            Some(match strongest {
                Some((_, true, name)) => (RegionKind::NO_MAP, node, *name),
                Some((_, false, name)) => (RegionKind::FIRMWARE, node, *name),
                None => (RegionKind::USABLE, node, 0),
            })
        });
        Self { pages: pages.collect(), claims: Vec::new() }
    }

    /// Whether the run of equal pages around `page` stays inside `pages`.
    fn run_is_inside(&self, page: usize, pages: &std::ops::Range<usize>) -> bool {
        let same = |other: &usize| self.pages.get(*other) == self.pages.get(page);
        let low = (0..page).rev().take_while(same).last().unwrap_or(page);
        let high = (page + 1..self.pages.len()).take_while(same).last().unwrap_or(page);
        pages.contains(&low) && pages.contains(&high)
    }

    /// The new pages, or the code of the refusal.
    fn claim(&mut self, bytes: PhysRange, kind: RegionKind, name: usize) -> Result<(), u16> {
        if bytes.is_empty() {
            return Ok(());
        }
        let pages = Self::pages_in(bytes);
        for other in &self.claims {
            if let Some(both) = other.intersection(bytes) {
                let free = |page: usize| matches!(self.pages[page], Some((RegionKind::USABLE, ..)));
                if !Self::pages_in(both).all(free) {
                    return Err(506);
                }
            }
        }
        let mut after = self.pages.clone();
        for page in pages.clone() {
            after[page] = match self.pages[page].ok_or(504u16)? {
                (RegionKind::USABLE, node, _) => Some((kind, node, name)),
                (RegionKind::UNADDRESSABLE | RegionKind::NO_MAP, ..) => return Err(505),
                (RegionKind::FIRMWARE, _, SHARED) => self.pages[page],
                (RegionKind::FIRMWARE, ..) if !is_given(kind) => return Err(505),
                (RegionKind::FIRMWARE, node, _) if self.run_is_inside(page, &pages) => {
                    Some((kind, node, name))
                }
                (RegionKind::FIRMWARE, ..) => self.pages[page],
                (_, node, _) => Some((RegionKind::FIRMWARE, node, SHARED)),
            };
        }
        self.pages = after;
        self.claims.push(bytes);
        Ok(())
    }

    fn retype(&mut self, pages: std::ops::Range<usize>, kind: RegionKind, name: usize) -> Result<(), u16> {
        let mut after = self.pages.clone();
        for page in pages {
            after[page] = match self.pages[page].ok_or(509u16)? {
                (RegionKind::FIRMWARE, _, SHARED) => self.pages[page],
                (found, ..) if !is_claimed(found) => return Err(507),
                (_, node, _) => Some((kind, node, if kind == RegionKind::USABLE { 0 } else { name })),
            };
        }
        self.pages = after;
        Ok(())
    }

    fn agrees_with(&self, map: &MemoryMap<'_>) {
        for (page, expected) in self.pages.iter().enumerate() {
            let found = map.find(page as u64 * PAGE).map(|region| (region.kind, region.node, region.name));
            let expected = expected.map(|(kind, node, name)| {
                (kind, node, if name == SHARED { SHARED_PAGE } else { NAMES[name] })
            });
            assert_eq!(found, expected, "page {page}\n{}", text(map));
        }
    }

    fn has_free_run(&self, length: u64, alignment: u64) -> bool {
        let free = |page: u64| matches!(self.pages.get(page as usize), Some(Some((RegionKind::USABLE, ..))));
        let node = |page: u64| self.pages[page as usize].map(|(_, node, _)| node);
        (0..PAGES)
            .step_by(alignment as usize)
            .any(|start| (start..start + length).all(|page| free(page) && node(page) == node(start)))
    }
}

const SHARED: usize = usize::MAX;

#[derive(Clone, Debug)]
enum Step {
    Claim(PhysRange, RegionKind, usize),
    Retype(u64, u64, RegionKind, usize),
    Allocate(u64, u32),
}

/// At most `longest` quarter pages.
fn bytes(longest: u64) -> impl Strategy<Value = PhysRange> {
    (0..PAGES * 4, 0..longest).prop_map(|(start, length)| quarters(start, length.min(PAGES * 4 - start)))
}

fn kinds() -> impl Strategy<Value = RegionKind> {
    prop::sample::select(vec![
        RegionKind::KERNEL,
        RegionKind::INITRD,
        RegionKind::DEVICE_TREE,
        RegionKind::LOADER_RECLAIMABLE,
    ])
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop_oneof![bytes(6), bytes(40)], kinds(), 0..4usize).prop_map(|(bytes, kind, name)| Step::Claim(bytes, kind, name)),
        2 => (0..PAGES, 0..8u64, prop_oneof![kinds(), Just(RegionKind::USABLE)], 0..4usize)
            .prop_map(|(start, length, kind, name)| Step::Retype(start, length.min(PAGES - start), kind, name)),
        1 => (1..12u64, 0..4u32).prop_map(|(pages, shift)| Step::Allocate(pages, shift)),
    ]
}

proptest! {
    #[test]
    fn the_map_agrees_with_a_value_per_page(
        memory in vec((prop_oneof![bytes(10), bytes(PAGES * 4)], 0..3u16), 0..8),
        reserved in vec((bytes(30), any::<bool>(), 0..4usize), 0..6),
        limit in 0..PAGES * PAGE * 2,
        steps in vec(steps(), 0..24),
    ) {
        let mut machine = Machine::new();
        for (bytes, node) in &memory {
            machine.add_memory(*bytes, *node).unwrap();
        }
        for (bytes, no_map, name) in &reserved {
            machine.add_reservation(*bytes, *no_map, NAMES[*name]).unwrap();
        }
        let mut model = Model::new(&memory, &reserved, limit / PAGE * PAGE);
        let mut map = MemoryMap::new();
        let usable = model.pages.iter().flatten().any(|(kind, ..)| *kind == RegionKind::USABLE);
        prop_assert_eq!(map.lay_out(&machine, limit).is_ok(), usable);
        check(&map);
        model.agrees_with(&map);
        for step in steps {
            match step {
                Step::Claim(bytes, kind, name) => {
                    let expected = model.claim(bytes, kind, name);
                    prop_assert_eq!(map.claim(bytes, kind, NAMES[name]).map_err(|error| error.code()), expected);
                }
                Step::Retype(start, length, kind, name) => {
                    let pages = range(start * PAGE, (start + length) * PAGE);
                    let expected = model.retype(Model::pages_in(pages), kind, name);
                    prop_assert_eq!(map.retype(pages, kind, NAMES[name]).map_err(|error| error.code()), expected);
                }
                Step::Allocate(pages, shift) => {
                    let (length, alignment) = (pages * PAGE, PAGE << shift);
                    let possible = model.has_free_run(pages, 1 << shift);
                    match map.allocate(length, alignment, ANYWHERE, RegionKind::KERNEL, "") {
                        Ok(place) => {
                            prop_assert!(place.len() == length && place.start().get() % alignment == 0);
                            model.claim(place, RegionKind::KERNEL, 0).unwrap();
                        }
                        Err(error) => prop_assert!(!possible && error.code() == 508, "{}", error),
                    }
                }
            }
            check(&map);
            model.agrees_with(&map);
        }
    }
}
