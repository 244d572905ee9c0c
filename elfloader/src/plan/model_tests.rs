//! Plans of kernels of any shape, carried out on a model of memory and compared byte by byte with what an ELF
//! file means: file bytes, zeros, relocations, rights. The oracle knows segments only, no pages in place.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared_abi::addr::{PAGE, PAGE_SHIFT};
use shared_abi::note::Note;
use shared_abi::rights::Rights;

use super::*;
use crate::elf_builder::*;
use crate::host_boot::{self, KERNEL};

const GARBAGE: u8 = 0xA5;

/// Where a segment's bytes lie in the file.
#[derive(Clone, Copy, Debug)]
enum FilePlace {
    /// At the next offset equal to the address modulo 4 KiB: what linkers do.
    Packed,
    /// There, but on a page of its own.
    Separate,
    /// At any offset, perhaps on others' bytes.
    Anywhere(u64),
    /// At any page, congruent, perhaps on others' bytes.
    Overlaid(u64),
}

#[derive(Clone, Debug)]
struct Shape {
    gap: u64,
    file_size: u64,
    bss: u64,
    flags: u32,
    place: FilePlace,
}

fn shape() -> impl Strategy<Value = Shape> {
    let size = prop_oneof![Just(0u64), 1..0x100u64, Just(0x1000u64), 0..0x3800u64];
    let bss = prop_oneof![3 => Just(0u64), 2 => 1..0x200u64, 2 => 0..0x3000u64, 1 => Just(0x40_0000u64)];
    let gap = prop_oneof![Just(0u64), 0..0x40u64, Just(0x1000u64), 0..0x4000u64, Just(0x20_0000u64)];
    let flags = prop_oneof![2 => Just(RX), 2 => Just(R), 4 => Just(RW), 1 => Just(0u32)];
    let place = prop_oneof![
        4 => Just(FilePlace::Packed),
        2 => Just(FilePlace::Separate),
        1 => (0x1000..0x8000u64).prop_map(FilePlace::Anywhere),
        1 => (1..8u64).prop_map(FilePlace::Overlaid),
    ];
    (gap, size, bss, flags, place).prop_map(|(gap, file_size, bss, flags, place)| Shape {
        gap,
        file_size,
        bss,
        flags,
        place,
    })
}

#[derive(Clone, Debug)]
struct Case {
    shapes: Vec<Shape>,
    independent: bool,
    base: u64,
    contiguous: u64,
    relro: Option<(u64, u64)>,
    /// Relocation targets as fractions of the image, and whether in RELR form.
    targets: Vec<(u64, bool)>,
    table_flags: u32,
    arena: u64,
    entropy: [u64; 2],
    reversed: bool,
}

fn case() -> impl Strategy<Value = Case> {
    (
        proptest::collection::vec(shape(), 1..9),
        any::<bool>(),
        prop_oneof![Just(0u64), 0..0x3000u64, Just(0x1F_F000u64)],
        prop_oneof![4 => Just(0u64), 1 => Just(0x1000u64), 1 => Just(0x20_0000u64)],
        proptest::option::of((0..0x8000u64, 0..0x6000u64)),
        proptest::collection::vec((any::<u64>(), any::<bool>()), 0..20),
        prop_oneof![Just(R), Just(RW)],
        0..64u64,
        any::<[u64; 2]>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                shapes,
                independent,
                base,
                contiguous,
                relro,
                targets,
                table_flags,
                arena,
                entropy,
                reversed,
            )| {
                Case {
                    shapes,
                    independent,
                    base,
                    contiguous,
                    relro,
                    targets,
                    table_flags,
                    arena,
                    entropy,
                    reversed,
                }
            },
        )
}

/// What the file of a case says, besides its bytes.
struct Made {
    file: Vec<u8>,
    programs: Vec<Program>,
    relro: Option<(u64, u64)>,
    rela: Vec<(u64, i64)>,
    relr: Vec<u64>,
    /// Where the relocation tables lie in the file.
    tables: std::ops::Range<u64>,
}

/// Lays the segments of a case out as a linker would, so that none is refused.
fn make(case: &Case) -> Made {
    // Linked at 0, file pages have higher numbers than the virtual pages that show them.
    let link = match (case.independent, case.arena % 2) {
        (true, 0) => 0x1_0000,
        (true, _) => 0,
        (false, _) => LINK,
    };
    let mut at = link + case.base;
    let mut free = FREE + 0x123;
    let mut programs: Vec<Program> = Vec::new();
    let mut last_flags = None;
    let mut overlaid = BTreeSet::new();
    let mut add = |shape: &Shape, programs: &mut Vec<Program>| {
        at += shape.gap;
        if last_flags.is_some_and(|flags| flags != shape.flags) {
            at = at.next_multiple_of(0x1000) + shape.gap % 0x1000;
        }
        last_flags = Some(shape.flags);
        let offset = match shape.place {
            FilePlace::Packed => free + (at.wrapping_sub(free) & 0xFFF),
            FilePlace::Separate => free.next_multiple_of(0x1000) + (at & 0xFFF),
            FilePlace::Anywhere(offset) => offset,
            FilePlace::Overlaid(page) => page * 0x1000 + (at & 0xFFF),
        };
        if matches!(shape.place, FilePlace::Anywhere(_) | FilePlace::Overlaid(_)) {
            overlaid.insert(at);
        } else {
            free = offset + shape.file_size;
        }
        let memory = shape.file_size + shape.bss;
        programs.push(Program::load(shape.flags, at, offset, shape.file_size).memory(memory));
        at += memory;
    };
    // The entry point's segment, always there.
    let first = Shape { gap: 0, file_size: 0x234, bss: 0, flags: RX, place: FilePlace::Separate };
    add(&first, &mut programs);
    for shape in &case.shapes {
        add(shape, &mut programs);
    }
    // Words of writable segments, well inside, each once.
    let writable: Vec<Program> =
        programs.iter().filter(|p| p.flags == RW && p.memory_size >= 8).copied().collect();
    let mut taken = BTreeSet::new();
    let (mut rela, mut relr) = (Vec::new(), Vec::new());
    for &(random, compact) in &case.targets {
        let Some(segment) = writable.get(random as usize % writable.len().max(1)) else { break };
        let word = (segment.virt + (random >> 8) % (segment.memory_size - 7)).next_multiple_of(8);
        let inside = word + 8 <= segment.virt + segment.memory_size;
        if !inside || !taken.insert(word) {
            continue;
        }
        if compact { relr.push(word) } else { rela.push((word, (random >> 3) as i64)) }
    }
    relr.sort_unstable();
    let tables_size = 24 * rela.len() + 8 * relr.len() * 2;
    let tables = Shape {
        gap: 8,
        file_size: tables_size as u64,
        bss: 0,
        flags: case.table_flags,
        place: FilePlace::Packed,
    };
    add(&tables, &mut programs);
    let table_program = *programs.last().unwrap();
    let relro = case.relro.map(|(start, size)| {
        let span = programs.iter().map(|p| p.virt + p.memory_size).max().unwrap() - link;
        (link + start % span, link + start % span + size)
    });

    let note = Note { contiguous_alignment: case.contiguous, ..Note::DEFAULT };
    let elf_type = if case.independent { ET_DYN } else { ET_EXEC };
    let mut builder = ElfBuilder::new(elf_type, programs[0].virt.next_multiple_of(4), &note)
        .contents(FREE, (0..0xA000u32).map(|at| (at * 7) as u8).collect());
    for program in
        if case.reversed { programs.iter().rev().collect::<Vec<_>>() } else { programs.iter().collect() }
    {
        // Those that lie on others' bytes bring none of their own.
        builder = if overlaid.contains(&program.virt) {
            builder.program(*program)
        } else {
            builder.segment(*program)
        };
    }
    let rela_bytes = crate::elf_builder::rela(
        &rela.iter().map(|&(word, addend)| (word, 1027, addend)).collect::<Vec<_>>(),
    );
    let relr_bytes = words(&encode_relr(&relr));
    let relr_at = table_program.virt + rela_bytes.len() as u64;
    let dynamic_bytes = dynamic(&[
        (7, table_program.virt),
        (8, rela_bytes.len() as u64),
        (9, 24),
        (36, relr_at),
        (35, relr_bytes.len() as u64),
        (37, 8),
        (0, 0),
    ]);
    assert!(rela_bytes.len() + relr_bytes.len() <= tables_size || tables_size == 0);
    let relr_length = relr_bytes.len() as u64;
    let relr_offset = table_program.offset + rela_bytes.len() as u64;
    builder = builder
        .contents(table_program.offset, rela_bytes)
        .contents(relr_offset, relr_bytes)
        .contents(0x1C00, dynamic_bytes.clone())
        .program(Program::load(R, 0, 0x1C00, dynamic_bytes.len() as u64).kind(PT_DYNAMIC));
    if let Some((start, end)) = relro {
        builder = builder.program(Program::load(R, start, 0, 0).memory(end - start).kind(PT_GNU_RELRO));
    }
    let mut file = builder.build();
    // Bytes of no segment follow, as symbols do; some share the last page.
    file.extend((0..0x123u32).map(|at| at as u8 | 0x80));
    let tables = table_program.offset..relr_offset + relr_length;
    Made { file, programs, relro, rela, relr, tables }
}

/// RELR as linkers write it: an address, then bitmaps of the 63 words that follow.
fn encode_relr(words: &[u64]) -> Vec<u64> {
    let mut table = Vec::new();
    let mut rest = words;
    while let Some((&first, after)) = rest.split_first() {
        table.push(first);
        rest = after;
        let mut base = first + 8;
        loop {
            let mut bits = 0u64;
            while let Some((&word, after)) = rest.split_first() {
                if word - base >= 63 * 8 {
                    break;
                }
                bits |= 1 << ((word - base) / 8);
                rest = after;
            }
            if bits == 0 {
                break;
            }
            table.push(bits << 1 | 1);
            base += 63 * 8;
        }
    }
    table
}

/// Memory by frame. What nobody wrote is garbage.
struct Memory(BTreeMap<u64, Vec<u8>>);

impl Memory {
    fn with_file(file: &[u8]) -> Self {
        let mut memory = Self(BTreeMap::new());
        for (index, byte) in file.iter().enumerate() {
            memory.write(KERNEL + index as u64, *byte);
        }
        memory
    }

    fn read(&self, phys: u64) -> u8 {
        self.0.get(&(phys >> PAGE_SHIFT)).map_or(GARBAGE, |page| page[(phys & 0xFFF) as usize])
    }

    fn write(&mut self, phys: u64, byte: u8) {
        self.0.entry(phys >> PAGE_SHIFT).or_insert_with(|| vec![GARBAGE; 0x1000])[(phys & 0xFFF) as usize] =
            byte;
    }

    fn word(&self, phys: u64) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|at| self.read(phys + at as u64)))
    }

    fn write_word(&mut self, phys: u64, word: u64) {
        word.to_le_bytes().iter().enumerate().for_each(|(at, &byte)| self.write(phys + at as u64, byte));
    }
}

/// Offsets at the beginning and at the end of something that may be megabytes long.
fn ends(length: u64, head: u64, tail: u64) -> impl Iterator<Item = u64> {
    let middle = length.min(head);
    (0..middle).chain(length.saturating_sub(tail).max(middle)..length)
}

/// The bytes that the kernel must see, by address; those of no segment are left out.
fn expected(made: &Made, slide: u64) -> BTreeMap<u64, u8> {
    let mut bytes = BTreeMap::new();
    for program in made.programs.iter().filter(|program| program.flags != 0) {
        // A BSS of megabytes is looked at from both ends.
        for at in ends(program.memory_size, 0x4800, 0x1800) {
            let byte = if at < program.file_size { made.file[(program.offset + at) as usize] } else { 0 };
            bytes.insert(program.virt + at, byte);
        }
    }
    let mut set = |word: u64, value: u64| {
        for (at, byte) in value.to_le_bytes().into_iter().enumerate() {
            bytes.entry(word + at as u64).and_modify(|old| *old = byte);
        }
    };
    for &(word, addend) in &made.rela {
        set(word, slide.wrapping_add_signed(addend));
    }
    for &word in &made.relr {
        let program = made
            .programs
            .iter()
            .find(|p| p.memory_size > 0 && p.virt <= word && word + 8 <= p.virt + p.memory_size)
            .unwrap();
        let old = std::array::from_fn(|at| {
            let at = word - program.virt + at as u64;
            if at < program.file_size { made.file[(program.offset + at) as usize] } else { 0 }
        });
        set(word, u64::from_le_bytes(old).wrapping_add(slide));
    }
    bytes
}

/// Final rights of every page that has any.
fn expected_rights(made: &Made) -> BTreeMap<u64, Rights> {
    let mut pages = BTreeMap::new();
    let loads = || made.programs.iter().filter(|program| program.flags != 0 && program.memory_size > 0);
    for program in loads() {
        for page in program.virt >> 12..=(program.virt + program.memory_size - 1) >> 12 {
            let rights = Rights::from_segment_flags(program.flags).unwrap();
            assert!(pages.insert(page, rights).is_none_or(|before| before == rights));
        }
    }
    if let Some((start, end)) = made.relro {
        for (&page, rights) in pages.iter_mut().filter(|(_, rights)| rights.is_writable()) {
            let all_inside = loads().all(|program| {
                let first = program.virt.max(page << 12);
                let last = (program.virt + program.memory_size).min((page + 1) << 12);
                first >= last || (start <= first && last <= end)
            });
            if all_inside {
                *rights = Rights::ReadOnly;
            }
        }
    }
    pages
}

/// Number of tables that a mapper of the greedy kind makes, besides the loader's four.
fn count_by_mapping(mappings: &[Mapping]) -> u64 {
    let mut tables = BTreeSet::new();
    for mapping in mappings {
        let (mut virt, mut phys) = (mapping.virt.start().get(), mapping.phys.get());
        while virt < mapping.virt.end() {
            let fits = |size: &&PageSize| {
                **size <= mapping.largest
                    && (virt | phys) & (size.bytes() - 1) == 0
                    && mapping.virt.end() - virt >= size.bytes()
            };
            let size = *PageSize::ALL.iter().rev().find(fits).unwrap();
            for (level, shift) in [(1, 39), (2, 30), (3, 21)] {
                if level <= size.level() {
                    tables.insert((level, virt >> shift));
                }
            }
            virt += size.bytes();
            phys += size.bytes();
        }
    }
    let window = shared_abi::contract::HANDOFF_WINDOW.start().get();
    for (level, shift) in [(1, 39), (2, 30), (3, 21)] {
        tables.remove(&(level, window >> shift));
    }
    tables.len() as u64
}

fn run(case: &Case) -> Result<(), TestCaseError> {
    let made = make(case);
    let note = match KernelElf::parse(&made.file) {
        Ok(elf) => *elf.note(),
        Err(error) => return Err(TestCaseError::fail(format!("E{:04} {error}", error.code()))),
    };
    let source = host_boot::Source {
        kernel: &made.file,
        policy: Policy::new(&note, case.entropy[0] & 1 == 0),
        layout: case.entropy,
        // Something else is in memory as well, so that the arena comes to lie at any page.
        initrd: PAGE + case.arena * PAGE,
        largest: u64::MAX,
    };
    let mut examined = Err(TestCaseError::fail("nothing was planned"));
    host_boot::boot(source, |placed, regions| examined = examine(case, &made, placed, regions))
        .map_err(|(code, words)| TestCaseError::fail(format!("E{code:04} {words}")))?;
    examined
}

/// Carries the plan out on a model of memory and looks at everything.
fn examine(
    case: &Case,
    made: &Made,
    placed: &PlacedPlan<'_>,
    regions: &[Region<'_>],
) -> Result<(), TestCaseError> {
    let plan = placed.plan();
    let placement = plan.placement();
    let arena = PhysRange::new(placed.base(), plan.arena().length()).unwrap();
    let slide = placement.slide;

    // Rights of every page, and nothing but those pages.
    let mut rights = BTreeMap::new();
    let mut frames: BTreeMap<u64, Vec<&Extent>> = BTreeMap::new();
    let mut end = 0;
    for extent in plan.extents() {
        prop_assert!(extent.virt().start().get() >= end && extent.virt().is_aligned(PageSize::Size4K));
        end = extent.virt().end();
        for page in 0..extent.pages() {
            let link = extent.virt().start().get().wrapping_sub(slide) + page * PAGE;
            rights.insert(link >> 12, extent.rights());
            frames.entry((placed.phys(extent).get() >> 12) + page).or_default().push(extent);
        }
    }
    prop_assert_eq!(&rights, &expected_rights(made));

    // A frame that two extents show is written by nobody, and both have the same rights.
    for shown in frames.values().filter(|shown| shown.len() > 1) {
        prop_assert!(shown.iter().all(|e| !e.is_relocatable() && e.rights() == shown[0].rights()));
    }

    // Carry it out.
    let mut memory = Memory::with_file(&made.file);
    let mut written = BTreeSet::new();
    let writable_in_place = |phys: u64| {
        frames.get(&(phys >> 12)).is_some_and(|shown| shown.iter().all(|extent| extent.is_relocatable()))
    };
    // Tables are read from the file while words are written.
    let is_table = |phys: u64| phys >= KERNEL && made.tables.contains(&(phys - KERNEL));
    let mut wrong = None;
    placed.fill(|fill| {
        let (to, length) = match fill {
            Fill::Copy { to, length, .. } | Fill::Zero { to, length } => (to.get(), length),
        };
        for at in ends(length, 0x6000, 0x3000) {
            let byte = match fill {
                Fill::Copy { from, .. } => made.file[(from + at) as usize],
                Fill::Zero { .. } => 0,
            };
            let in_arena = arena.contains(PhysAddr::new(to + at).unwrap());
            if is_table(to + at) {
                wrong = Some(to + at);
            }
            if !written.insert(to + at) || !(in_arena || writable_in_place(to + at)) {
                wrong = Some(to + at);
            }
            // What is copied must still be as in the file.
            if let Fill::Copy { from, .. } = fill
                && memory.read(KERNEL + from + at) != byte
            {
                wrong = Some(KERNEL + from + at);
            }
            memory.write(to + at, byte);
        }
    });
    prop_assert_eq!(wrong, None);
    placed.relocate(|phys, change| {
        let value = match change {
            Change::Set(value) => value,
            Change::Add(slide) => memory.word(phys.get()).wrapping_add(slide),
        };
        memory.write_word(phys.get(), value);
        if (0..8).any(|at| is_table(phys.get() + at)) {
            wrong = Some(phys.get());
        }
        if !writable_in_place(phys.get()) && !arena.contains(phys) {
            wrong = Some(phys.get());
        }
    });
    prop_assert_eq!(wrong, None);

    // Every byte of every segment.
    let expected = expected(made, slide);
    for (&link, &byte) in &expected {
        let virt = VirtAddr::new(link.wrapping_add(slide)).unwrap();
        let phys = placed.translate(virt).unwrap();
        prop_assert_eq!(memory.read(phys.get()), byte, "at {:#x}", link);
    }
    // Zeros around the segments of a page that was copied: only file pages in place show anything else.
    for extent in plan.extents().iter().filter(|extent| matches!(extent.origin(), Origin::Copied(_))) {
        for at in (0..extent.virt().len()).filter(|at| *at < 0x4000) {
            let link = extent.virt().start().get().wrapping_sub(slide) + at;
            if !expected.contains_key(&link)
                && made.programs.iter().all(|p| link < p.virt || link >= p.virt + p.memory_size)
            {
                prop_assert_eq!(memory.read(placed.phys(extent).get() + at), 0);
            }
        }
    }

    if case.contiguous != 0 {
        let first = placed.translate(placement.image.start()).unwrap().get();
        prop_assert_eq!(first % case.contiguous, 0);
        for extent in plan.extents() {
            let distance = extent.virt().start().get() - placement.image.start().get();
            prop_assert_eq!(placed.phys(extent).get(), first + distance);
        }
        prop_assert_eq!(plan.pages().in_place, 0);
    }

    check_mappings(placed, regions, arena)?;

    // Uses lie in the arena and apart.
    let mut uses: Vec<_> = placed.uses().map(|(range, _)| range).filter(|range| !range.is_empty()).collect();
    uses.sort_by_key(|range| range.start());
    prop_assert!(uses.iter().all(|range| arena.covers(*range)));
    prop_assert!(uses.windows(2).all(|pair| pair[0].end() <= pair[1].start().get()));
    Ok(())
}

fn check_mappings(
    placed: &PlacedPlan<'_>,
    regions: &[Region<'_>],
    arena: PhysRange,
) -> Result<(), TestCaseError> {
    let mappings: Vec<Mapping> = placed.mappings(regions).collect();
    for pair in mappings.windows(2) {
        prop_assert!(pair[0].virt.end() <= pair[1].virt.start().get(), "{} then {}", pair[0], pair[1]);
    }
    let bound = placed.plan().arena().table_count();
    let tables = count_by_mapping(&mappings);
    prop_assert_eq!(TableCount::of(mappings.iter().copied()).tables(), tables);
    prop_assert!(tables < bound && bound <= tables + 1 + 4 * placed.plan().extents().len() as u64);

    let phys_range = |mapping: &Mapping| PhysRange::new(mapping.phys, mapping.virt.len()).unwrap();
    // No executable frame is writable anywhere, and none is executable in the direct map.
    for executable in mappings.iter().filter(|mapping| mapping.attributes.rights().is_executable()) {
        prop_assert_eq!(executable.purpose, Purpose::Kernel);
        for other in mappings.iter().filter(|mapping| mapping.attributes.rights().is_writable()) {
            prop_assert!(!phys_range(executable).overlaps(phys_range(other)), "{} and {}", executable, other);
        }
    }
    // Frames that are read-only for the kernel are read-only in the direct map; the rest is writable there.
    let direct: Vec<&Mapping> =
        mappings.iter().filter(|mapping| mapping.purpose == Purpose::DirectMap).collect();
    let read_only: u64 =
        direct.iter().filter(|m| m.attributes.rights() == Rights::ReadOnly).map(|m| m.virt.len()).sum();
    let mut frames = BTreeSet::new();
    for page in
        (placed.plan().site().resident.start().get()..placed.plan().site().resident.end()).step_by(4096)
    {
        frames.insert(page >> 12);
    }
    for extent in placed.plan().extents().iter().filter(|extent| !extent.rights().is_writable()) {
        let first = placed.phys(extent).get() >> 12;
        frames.extend(first..first + extent.pages());
    }
    prop_assert_eq!(read_only, frames.len() as u64 * PAGE);
    for &frame in &frames {
        let phys = PhysAddr::new(frame << 12).unwrap();
        let shown: Vec<_> = direct.iter().filter(|mapping| phys_range(mapping).contains(phys)).collect();
        prop_assert_eq!(shown.len(), 1);
        prop_assert_eq!(shown[0].attributes.rights(), Rights::ReadOnly);
    }
    let offset = placed.plan().placement().direct_map_offset;
    prop_assert!(direct.iter().all(|m| m.virt.start().get() - m.phys.get() == offset));
    let mapped: u64 = direct.iter().map(|mapping| mapping.virt.len()).sum();
    let wanted: u64 =
        regions.iter().filter(|region| region.kind.is_mapped()).map(|region| region.range.len()).sum();
    prop_assert_eq!(mapped, wanted);
    prop_assert!(direct.iter().any(|mapping| phys_range(mapping).contains(arena.start())));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_carried_out_is_what_the_file_means(case in case()) {
        run(&case)?;
    }
}

/// Few by default; `PROPTEST_CASES` for a long run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}
