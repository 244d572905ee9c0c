//! ELF bytes → the whole boot on the host → auditor: no panic, no work outside the kernel's file and the
//! arena, never a table too few, nothing that the auditor finds.
//!
//! The first bytes choose policy and randomness and how the rest is read: as an ELF file, or as a terse description
//! of segments from which a file is made, so that most inputs get past the header.
#![no_main]

#[path = "../../tests/elf_builder/mod.rs"]
mod elf_builder;
#[path = "../../tests/host_boot/mod.rs"]
mod host_boot;
#[path = "../../tests/tree_builder/mod.rs"]
mod tree_builder;

use elf_builder::*;
use elfloader::kernel_elf::KernelElf;
use elfloader::plan::{DirectMap, Fill, Policy, Slide};
use libfuzzer_sys::fuzz_target;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};
use shared_abi::note::Note;

/// Largest arena that is carried out; larger plans are only made.
const LARGEST: u64 = 64 << 20;

/// Bytes to be taken apart; zeros when they have run out.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Sizes and offsets as they come: small, whole pages, or a bit of both.
    fn size(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => self.number(1),
            1 => self.number(1) * PAGE,
            2 => self.number(2),
            _ => self.number(3),
        }
    }
}

/// A file from a description.
fn described(input: &mut Input<'_>) -> Vec<u8> {
    let knobs = input.byte();
    let elf_type = if knobs & 1 == 0 { ET_EXEC } else { ET_DYN };
    let link = if knobs & 1 == 0 { LINK } else { input.size() };
    let contiguous = [0, 0, 0x1000, 0x20_0000][usize::from(knobs >> 1 & 3)];
    let note = Note { contiguous_alignment: contiguous, ..Note::DEFAULT };
    let mut elf = ElfBuilder::new(elf_type, link, &note).contents(0x7FFF, vec![1]);
    let mut at = link;
    for index in 0..input.byte() % 12 {
        let flags =
            if index == 0 { RX } else { [R, RW, RW, RX, 0, R, RW, RWX][usize::from(input.byte() % 8)] };
        at = at.wrapping_add(input.size());
        let offset = match input.byte() % 3 {
            0 => FREE + (at & 0xFFF) + input.number(1) * PAGE % 0x1_0000,
            1 => input.size() & !0xFFF | at & 0xFFF,
            _ => input.size(),
        };
        let size = input.size();
        let memory = size.wrapping_add(input.size());
        let kind = if input.byte() == 7 { PT_GNU_RELRO } else { PT_LOAD };
        elf = elf.program(Program::load(flags, at, offset, size).memory(memory).kind(kind));
        if kind == PT_LOAD {
            at = at.wrapping_add(memory);
            if input.byte() % 2 == 0 {
                at = at.wrapping_add(0xFFF) & !0xFFF;
            }
        }
    }
    let table = link.wrapping_add(input.size());
    let relr = link.wrapping_add(input.size());
    let section =
        dynamic(&[(7, table), (8, input.number(1) * 24), (36, relr), (35, input.number(1) * 8), (0, 0)]);
    elf = elf
        .program(Program::load(R, 0, 0x1C00, section.len() as u64).kind(PT_DYNAMIC))
        .contents(0x1C00, section);
    // What is left becomes the file's bytes: relative relocations of the first pages, then anything.
    let entries: Vec<_> = (0..input.byte() % 16)
        .map(|_| (link.wrapping_add(input.size()), 1027, input.number(2) as i64))
        .collect();
    let (offset, words_offset) = (input.size(), input.size());
    let relative: Vec<u64> = (0..input.byte() % 16)
        .map(|_| if input.byte() & 1 == 0 { link.wrapping_add(input.size()) } else { input.number(8) | 1 })
        .collect();
    elf.contents(offset.max(FREE), rela(&entries)).contents(words_offset.max(FREE), words(&relative)).build()
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let knobs = input.byte();
    let entropy = [input.number(8), input.number(8)];
    let file = if knobs & 1 == 0 { input.0.to_vec() } else { described(&mut input) };
    let Ok(elf) = KernelElf::parse(&file) else { return };
    let policy = match knobs >> 1 & 3 {
        0 => Policy::new(elf.note(), false),
        1 => {
            Policy { slide: Slide::Fixed(entropy[0] & !0x1F_FFFF), direct_map: DirectMap::Fixed(entropy[1]) }
        }
        _ => Policy::new(elf.note(), true),
    };
    let source = host_boot::Source { kernel: &file, policy, layout: entropy, initrd: 0, largest: LARGEST };
    // A refusal is as good as a boot.
    let _ = host_boot::boot(source, |placed, _| {
        if knobs & 0x80 != 0 {
            assert!(placed.to_string().lines().count() > 8);
        }
        let arena = PhysRange::new(placed.base(), placed.plan().arena().length()).unwrap();
        let kernel = PhysAddr::new(host_boot::KERNEL).unwrap();
        let kernel = PhysRange::new(kernel, (file.len() as u64).next_multiple_of(PAGE)).unwrap();
        let is_ours = |range| arena.covers(range) || kernel.covers(range);
        placed.fill(|fill| match fill {
            Fill::Copy { from, to, length } => {
                assert!(from + length <= file.len() as u64);
                assert!(arena.covers(PhysRange::new(to, length).unwrap()));
            }
            Fill::Zero { to, length } => assert!(is_ours(PhysRange::new(to, length).unwrap())),
        });
        placed.relocate(|phys, _| assert!(is_ours(PhysRange::new(phys, 8).unwrap())));
        assert!(placed.uses().all(|(range, _)| arena.covers(range)));
    });
});
