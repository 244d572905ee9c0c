//! One kernel for every refusal that a file alone can provoke: wrong in one thing, and otherwise right.
//!
//! The host's tests ask the planner about them, the machine's tests boot them; both expect the same code.

use shared_abi::note::{Note, NoteRecord, Required};
use zerocopy::IntoBytes;

use super::*;

/// A file and the code of the error that refuses it.
pub struct BadKernel {
    /// What is wrong, for messages.
    pub name: &'static str,
    /// `EXXXX`.
    pub code: u16,
    /// The file.
    pub file: Vec<u8>,
}

/// Text alone at [`LINK`], the rest is the caller's.
fn text() -> ElfBuilder {
    ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT).segment(Program::load(RX, LINK, FREE, 0x100))
}

/// A position-independent kernel with a dynamic section and room for tables at 0x3000 (read-only) and data at 0x4000.
fn independent(entries: &[(u64, u64)], tables: Vec<u8>) -> ElfBuilder {
    let section = dynamic(entries);
    ElfBuilder::new(ET_DYN, 0x1000, &Note::DEFAULT)
        .segment(Program::load(RX, 0x1000, FREE, 0x100))
        .segment(Program::load(R, 0x3000, 0x3000, 0x800))
        .segment(Program::load(RW, 0x4000, 0x4000, 0x800))
        .program(Program::load(R, 0x3400, 0x3400, section.len() as u64).kind(PT_DYNAMIC))
        .contents(0x3000, tables)
        .contents(0x3400, section)
}

/// The same with one `RELA` table.
pub fn with_rela(entries: &[(u64, u64, i64)]) -> ElfBuilder {
    let table = rela(entries);
    independent(&[(7, 0x3000), (8, table.len() as u64), (9, 24), (0, 0)], table)
}

/// The same with one `RELR` table.
fn with_relr(entries: &[u64]) -> ElfBuilder {
    let table = words(entries);
    independent(&[(36, 0x3000), (35, table.len() as u64), (37, 8), (0, 0)], table)
}

/// A good kernel with another note.
fn noted(note: Note) -> ElfBuilder {
    ElfBuilder::new(ET_EXEC, LINK, &note).segment(Program::load(RX, LINK, FREE, 0x100))
}

/// Another note program header, on bytes at 0x1C00.
fn second_note(record: &[u8]) -> ElfBuilder {
    text()
        .contents(0x1C00, record.to_vec())
        .program(Program::load(R, 0, 0x1C00, record.len() as u64).kind(PT_NOTE).align(4))
}

/// All of them, by code.
pub fn bad_kernels() -> Vec<BadKernel> {
    let note = Note::DEFAULT;
    let record = NoteRecord::unchecked(&note);
    let low = 0x0000_0000_4000_0000;
    let many = |count: usize| {
        (0..count).fold(text(), |elf, at| {
            elf.program(Program::load(R, LINK + 0x1_0000 + 0x1000 * at as u64, FREE, 1))
        })
    };
    let rows: Vec<(u16, &'static str, ElfBuilder)> = vec![
        (201, "not an ELF file", ElfBuilder::good().patch(0, b"MZ\x90\0")),
        (201, "one wrong byte of the magic", ElfBuilder::good().patch(3, b"G")),
        (202, "shorter than an ELF header", ElfBuilder::good().truncate(0x3F)),
        (202, "shorter than the magic", ElfBuilder::good().truncate(3)),
        (203, "fixed below the windows", {
            ElfBuilder::new(ET_EXEC, low, &note).segment(Program::load(RX, low, FREE, 0x100))
        }),
        (203, "fixed in the handoff window", {
            let at = LINK + (1 << 39);
            ElfBuilder::new(ET_EXEC, at, &note).segment(Program::load(RX, at, FREE, 0x100))
        }),
        (203, "fixed in the direct map", {
            let at = 0xFFFF_8000_4008_0000;
            ElfBuilder::new(ET_EXEC, at, &note).segment(Program::load(RX, at, FREE, 0x100))
        }),
        (203, "BSS across the end of the kernel window", {
            text().segment(Program::load(RW, LINK + (1 << 39) - 0x1000, 0x3000, 0x10).memory(0x2000))
        }),
        (204, "32-bit", ElfBuilder::good().patch(4, &[1])),
        (205, "big-endian", ElfBuilder::good().patch(5, &[2])),
        (206, "version in e_ident", ElfBuilder::good().patch(6, &[0])),
        (206, "e_version", ElfBuilder::good().patch(20, &[2])),
        (207, "relocatable object", ElfBuilder::good().patch(16, &[1])),
        (207, "core dump", ElfBuilder::good().patch(16, &[4])),
        (208, "x86-64", ElfBuilder::good().patch(18, &[62])),
        (209, "e_ehsize", ElfBuilder::good().patch(52, &[52])),
        (210, "e_phentsize", ElfBuilder::good().patch(54, &[32])),
        (211, "no program headers", ElfBuilder::good().patch(56, &[0])),
        (212, "too many program headers", ElfBuilder::good().patch(56, &[0xFF, 0xFF])),
        (213, "program headers past the end", ElfBuilder::good().patch(32, &[0, 0, 0, 1])),
        (213, "program headers wrap", ElfBuilder::good().patch(32, &[0xFF; 8])),
        (214, "no loadable segment", ElfBuilder::new(ET_EXEC, LINK, &note)),
        (214, "only empty segments", {
            ElfBuilder::new(ET_EXEC, LINK, &note).program(Program::load(RX, LINK, FREE, 0))
        }),
        (215, "65 segments", many(64)),
        (
            216,
            "filesz above memsz",
            text().segment(Program::load(RW, LINK + 0x1000, 0x3000, 0x20).memory(0x1F)),
        ),
        (217, "file range past the end", text().program(Program::load(R, LINK + 0x1000, 0x3000, 0x2000))),
        (217, "file range wraps", text().program(Program::load(R, LINK + 0x1000, u64::MAX - 0xFF, 0x200))),
        (217, "note past the end", text().program(Program::load(R, 0, 0x10_0000, 0x40).kind(PT_NOTE))),
        (218, "address wraps", text().program(Program::load(RW, u64::MAX - 0x1FFF, FREE, 0).memory(0x4000))),
        (
            218,
            "last page wraps",
            text().program(Program::load(RW, u64::MAX - 0x1FFF, FREE, 0).memory(0x1FFF)),
        ),
        (219, "not canonical", text().program(Program::load(R, 0x8000_0000_0000_0000, FREE, 0x100))),
        (
            219,
            "across the halves",
            text().program(Program::load(R, 0xFFFF_FFFF_F000, FREE, 0).memory(0x2000)),
        ),
        (220, "one byte in two segments", text().program(Program::load(RX, LINK + 0xFF, FREE, 0x100))),
        (220, "a segment inside another", {
            text()
                .program(Program::load(RW, LINK + 0x1000, FREE, 0).memory(0x10_0000))
                .program(Program::load(RW, LINK + 0x4000, FREE, 0x10))
        }),
        (220, "a segment twice", text().program(Program::load(RX, LINK, FREE, 0x100))),
        (221, "text and data in one page", text().program(Program::load(RW, LINK + 0x100, FREE, 0x100))),
        (222, "alignment 3", text().program(Program::load(R, LINK + 0x1000, FREE, 0x10).align(3))),
        (223, "writable and executable", text().program(Program::load(RWX, LINK + 0x1000, FREE, 0x10))),
        (224, "nothing executable", {
            ElfBuilder::new(ET_EXEC, LINK, &note).segment(Program::load(R, LINK, FREE, 0x100))
        }),
        (225, "entry past the text", text().patch(24, &(LINK + 0x100).to_le_bytes())),
        (225, "entry at zero", text().patch(24, &0u64.to_le_bytes())),
        (225, "entry in data", { ElfBuilder::good().patch(24, &(LINK + 0x3000).to_le_bytes()) }),
        (225, "entry in the text's BSS", {
            ElfBuilder::new(ET_EXEC, LINK + 0x200, &note)
                .segment(Program::load(RX, LINK, FREE, 0x100).memory(0x1000))
        }),
        (226, "entry between instructions", text().patch(24, &(LINK + 2).to_le_bytes())),
        (227, "two RELRO", {
            let relro = Program::load(R, LINK + 0x3000, 0x5000, 0x100).kind(PT_GNU_RELRO);
            ElfBuilder::good().program(relro).program(relro)
        }),
        (228, "RELRO wraps", {
            ElfBuilder::good().program(Program::load(R, u64::MAX, 0, 0).memory(2).kind(PT_GNU_RELRO))
        }),
        (229, "two dynamic sections", {
            independent(&[(0, 0)], Vec::new())
                .program(Program::load(R, 0x3400, 0x3400, 0x10).kind(PT_DYNAMIC))
        }),
        (230, "dynamic section without end", independent(&[(1000, 0); 3], Vec::new())),
        (231, "shared library", independent(&[(1, 0), (0, 0)], Vec::new())),
        (232, "RELA entry size", independent(&[(7, 0x3000), (8, 48), (9, 16), (0, 0)], Vec::new())),
        (232, "half a RELA entry", independent(&[(7, 0x3000), (8, 36), (9, 24), (0, 0)], Vec::new())),
        (232, "RELR entry size", independent(&[(36, 0x3000), (35, 16), (37, 4), (0, 0)], Vec::new())),
        (233, "RELA table nowhere", independent(&[(7, 0x9000), (8, 24), (9, 24), (0, 0)], Vec::new())),
        (233, "RELR table past its segment", {
            independent(&[(36, 0x37F8), (35, 16), (37, 8), (0, 0)], Vec::new())
        }),
        (234, "REL", independent(&[(17, 0x3000), (18, 16), (0, 0)], Vec::new())),
        (234, "Android's packed form", independent(&[(0x6000_0011, 0x3000), (0, 0)], Vec::new())),
        (235, "symbolic relocation", with_rela(&[(0x4000, 1 << 32 | 257, 0)])),
        (235, "indirect function in the PLT", {
            let table = rela(&[(0x4000, 1032, 0x1000)]);
            independent(&[(23, 0x3000), (2, table.len() as u64), (20, 7), (0, 0)], table)
        }),
        (236, "relocation of text", with_rela(&[(0x1000, 1027, 0)])),
        (236, "relocation of read-only data", with_rela(&[(0x3100, 1027, 0)])),
        (236, "relocation past data", with_rela(&[(0x47F9, 1027, 0)])),
        (236, "relocation outside", with_rela(&[(u64::MAX, 1027, 0)])),
        (236, "RELR bitmap past data", with_relr(&[0x47F0, 0b111])),
        (236, "RELR bitmap wraps", with_relr(&[0x4000, 1, 0xFFFF_FFFF_FFFF_FFF8, 0b11])),
        (237, "RELR bitmap first", with_relr(&[0b11])),
        (240, "larger than any window", {
            ElfBuilder::new(ET_DYN, 0x1000, &note)
                .segment(Program::load(RX, 0x1000, FREE, 0x100))
                .program(Program::load(RW, 0x7FFF_0000_0000, FREE, 0).memory(0x1000))
        }),
        (240, "alignment that no window has", {
            ElfBuilder::new(ET_DYN, 0, &note).segment(Program::load(RX, 0, FREE, 0x100).align(1 << 60))
        }),
        (301, "no note", text().patch(64, &0u32.to_le_bytes())),
        (301, "a note of another name", text().patch(NOTE_OFFSET as usize + 12, b"Handofg")),
        (302, "two notes", second_note(record.as_bytes())),
        (303, "a note longer than its segment", text().patch(NOTE_OFFSET as usize + 4, &[0xFF, 0xFF])),
        (304, "a short note", text().patch(NOTE_OFFSET as usize + 4, &[8])),
        (305, "ABI major", noted(Note { abi_major: 2, ..note })),
        (306, "ABI minor", noted(Note { abi_minor: 1, ..note })),
        (307, "required bit", noted(Note { required: Required::from_bits_retain(1 << 63), ..note })),
        (308, "granule", noted(Note { granule: 0x1_0000, ..note })),
        (309, "EL2 kernel", noted(Note { exception_levels: 1 << 2, ..note })),
        (310, "stack above 16 MiB", noted(Note { stack_size: (16 << 20) + 0x1000, ..note })),
        (310, "stack of half a page", noted(Note { stack_size: 0x800, ..note })),
        (
            311,
            "direct map at an odd offset",
            noted(Note { direct_map_offset: 0xFFFF_8000_0000_1000, ..note }),
        ),
        (312, "contiguous alignment 3", noted(Note { contiguous_alignment: 0x3000, ..note })),
    ];
    rows.into_iter().map(|(code, name, elf)| BadKernel { name, code, file: elf.build() }).collect()
}
