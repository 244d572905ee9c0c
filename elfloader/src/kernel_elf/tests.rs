use super::{KernelElf, Position};
use crate::elf_builder::bad_kernels::{bad_kernels, with_rela};
use crate::elf_builder::*;
use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::BlobSize;

use crate::plan::{LoadPlan, Placement, PlanError, Policy, Room, Site};

/// The code and the words that refuse a file, from parsing to the plan.
fn refusal(file: &[u8]) -> Option<(u16, String)> {
    let elf = match KernelElf::parse(file) {
        Ok(elf) => elf,
        Err(error) => return Some((error.code(), error.to_string())),
    };
    let planned = |error: PlanError| Some((error.code(), error.to_string()));
    let policy = Policy::new(elf.note(), true);
    let placement = match Placement::choose(&elf, &policy, [1, 2], 1 << 32) {
        Ok(placement) => placement,
        Err(error) => return planned(error),
    };
    let site = Site {
        kernel: PhysAddr::new(0x4020_0000).unwrap(),
        resident: PhysRange::from_bounds(0x4000_0000, 0x4000_8000).unwrap(),
        stack_size: elf.note().stack_bytes(),
        boot_info: BlobSize::EMPTY.bytes(0x3000),
        boot_info_per_extent: BlobSize::EMPTY,
        console: None,
    };
    let mut room = Room::new();
    LoadPlan::new(&elf, placement, site, &[], &mut room).err().and_then(planned)
}

#[test]
fn a_good_kernel_is_read() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    assert_eq!(elf.segments().len(), 3);
    assert_eq!(elf.entry(), LINK);
    assert_eq!(elf.position(), Position::Fixed);
    assert_eq!(elf.image_pages(), (LINK >> 12, (LINK >> 12) + 6));
    assert_eq!(refusal(&file), None);
}

#[test]
fn every_bad_kernel_is_refused_with_its_code_and_its_numbers() {
    for bad in bad_kernels() {
        let (code, words) = refusal(&bad.file).unwrap_or_else(|| panic!("{} is accepted", bad.name));
        assert_eq!(code, bad.code, "{}: {words}", bad.name);
        assert!(!words.contains('\n') && words.len() < 160, "{}: {words}", bad.name);
    }
}

#[test]
fn every_code_of_a_kernel_file_has_a_bad_kernel_and_a_row_in_the_documentation() {
    let codes: std::collections::BTreeSet<u16> = bad_kernels().iter().map(|bad| bad.code).collect();
    let all = (201..=237).chain([240]).chain(301..=312);
    let missing: Vec<u16> = all.filter(|code| !codes.contains(code)).collect();
    assert_eq!(missing, []);
    let documentation = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let documentation = std::fs::read_to_string(documentation).unwrap();
    for code in codes {
        assert!(documentation.contains(&format!("| E{code:04} |")), "E{code:04} is not in docs/errors.md");
    }
}

#[test]
fn relocations_that_a_linker_emptied_are_passed_over() {
    // Type 0, its other number 256, whatever their offset is, and what comes after them.
    let emptied = [(0, 0, 0), (u64::MAX, 256, -1), (0x1000, 0, 7)];
    assert_eq!(refusal(&with_rela(&emptied).build()), None);
    let (code, words) = refusal(&with_rela(&[(0, 0, 0), (0x1000, 1027, 0)]).build()).unwrap();
    assert_eq!(code, 236, "{words}");
    let (code, words) = refusal(&with_rela(&[(0, 256, 0), (0x4000, 257, 0)]).build()).unwrap();
    assert_eq!(code, 235, "{words}");
}

#[test]
fn a_file_may_lie_at_any_alignment() {
    let file = ElfBuilder::good().build();
    for shift in 1..8 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&file);
        assert_eq!(KernelElf::parse(&shifted[shift..]).unwrap().segments().len(), 3);
    }
}

#[test]
fn segments_in_any_order_are_read_in_ascending_order() {
    let file = ElfBuilder::new(ET_EXEC, LINK + 0x4000, &shared_abi::note::Note::DEFAULT)
        .segment(Program::load(RW, LINK + 0x8000, 0x3000, 0x10))
        .segment(Program::load(RX, LINK + 0x4000, 0x4000, 0x10))
        .segment(Program::load(R, LINK, 0x5000, 0x10))
        .build();
    let elf = KernelElf::parse(&file).unwrap();
    let starts: Vec<u64> = elf.segments().iter().map(|segment| segment.start() - LINK).collect();
    assert_eq!(starts, [0, 0x4000, 0x8000]);
    assert_eq!(elf.segments()[0].number(), 3);
}

#[test]
fn sixty_four_segments_are_read() {
    let many = (0..63).fold(ElfBuilder::good().without_programs(), |elf, at| {
        elf.segment(Program::load(R, LINK + 0x1_0000 + at * 0x1000, 0x1_0000 + at * 0x1000, 0x10))
    });
    let note = Program { kind: PT_NOTE, align: 4, ..Program::load(R, 0, NOTE_OFFSET, 76) };
    let file = many.program(note).segment(Program::load(RX, LINK, FREE, 0x10)).build();
    assert_eq!(KernelElf::parse(&file).unwrap().segments().len(), 64);
    assert_eq!(refusal(&file), None);
}

/// Pages from `start` to `end`, counted from [`LINK`].
fn relro(start: u64, end: u64) -> (u64, u64) {
    let file = ElfBuilder::good()
        .program(Program::load(R, LINK + start, 0, 0).memory(end - start).kind(PT_GNU_RELRO))
        .build();
    let (first, last) = KernelElf::parse(&file).unwrap().relro_pages();
    if first == last { (0, 0) } else { (first - (LINK >> 12), last - (LINK >> 12)) }
}

#[test]
fn relro_takes_whole_pages_and_leaves_those_that_hold_other_data() {
    // Data of the good kernel: 0x3000 to 0x6000.
    assert_eq!(relro(0x3000, 0x4000), (3, 4));
    assert_eq!(relro(0x3000, 0x4FFF), (3, 4));
    assert_eq!(relro(0x3001, 0x5000), (4, 5));
    assert_eq!(relro(0x3010, 0x3020), (0, 0));
    assert_eq!(relro(0x2900, 0x6000), (3, 6));
    assert_eq!(relro(0x5000, 0x6800), (5, 7));
}

#[test]
fn no_prefix_and_no_single_damage_panics() {
    let file = ElfBuilder::good().build();
    for length in 0..file.len().min(0x2100) {
        let _ = refusal(&file[..length]);
    }
    let mut damaged = file.clone();
    for at in (0..0x200).chain(NOTE_OFFSET as usize..NOTE_OFFSET as usize + 0x60) {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let before = std::mem::replace(&mut damaged[at], value);
            let _ = refusal(&damaged);
            damaged[at] = before;
        }
    }
}
