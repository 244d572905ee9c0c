//! ELF files made by hand, right and wrong: the one place where tests get them from.
//!
//! Nothing is checked here. A file begins with the ELF header and the program headers, the Handoff note follows
//! at [`NOTE_OFFSET`], and segments put their bytes wherever they say.

#![allow(dead_code, reason = "each user of the file needs its part")]

pub mod bad_kernels;

use shared_abi::note::{Note, NoteRecord};
use zerocopy::IntoBytes;

/// Where the note lies in the file.
pub const NOTE_OFFSET: u64 = 0x1E00;

/// First file offset that is free for segments.
pub const FREE: u64 = 0x2000;

/// `p_type` values.
pub const PT_LOAD: u32 = 1;
pub const PT_DYNAMIC: u32 = 2;
pub const PT_NOTE: u32 = 4;
pub const PT_GNU_RELRO: u32 = 0x6474_E552;

/// `p_flags` values.
pub const R: u32 = 4;
pub const RW: u32 = 6;
pub const RX: u32 = 5;
pub const RWX: u32 = 7;

/// `e_type` values.
pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;

/// Where a fixed kernel is linked unless it says otherwise.
pub const LINK: u64 = 0xFFFF_0000_0000_0000;

/// A program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub virt: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

impl Program {
    /// A `PT_LOAD` of as many bytes in memory as in the file.
    pub const fn load(flags: u32, virt: u64, offset: u64, size: u64) -> Self {
        Self { kind: PT_LOAD, flags, offset, virt, file_size: size, memory_size: size, align: 0x1000 }
    }

    /// With more bytes in memory.
    pub const fn memory(mut self, size: u64) -> Self {
        self.memory_size = size;
        self
    }

    /// Of another type.
    pub const fn kind(mut self, kind: u32) -> Self {
        self.kind = kind;
        self
    }

    /// With another alignment.
    pub const fn align(mut self, align: u64) -> Self {
        self.align = align;
        self
    }
}

/// A file being made.
#[derive(Clone, Debug)]
pub struct ElfBuilder {
    pub elf_type: u16,
    pub entry: u64,
    programs: Vec<Program>,
    contents: Vec<(u64, Vec<u8>)>,
    patches: Vec<(usize, Vec<u8>)>,
    length: Option<usize>,
}

impl ElfBuilder {
    /// A file without segments, with the given note.
    pub fn new(elf_type: u16, entry: u64, note: &Note) -> Self {
        let record = NoteRecord::unchecked(note);
        let bytes = record.as_bytes().to_vec();
        let program = Program {
            kind: PT_NOTE,
            flags: R,
            offset: NOTE_OFFSET,
            virt: 0,
            file_size: bytes.len() as u64,
            memory_size: bytes.len() as u64,
            align: 4,
        };
        Self {
            elf_type,
            entry,
            programs: vec![program],
            contents: vec![(NOTE_OFFSET, bytes)],
            patches: Vec::new(),
            length: None,
        }
    }

    /// A small fixed kernel that is loaded without complaint: text, constants, data with BSS, each on its page.
    pub fn good() -> Self {
        Self::new(ET_EXEC, LINK, &Note::DEFAULT)
            .segment(Program::load(RX, LINK, 0x2000, 0x1234))
            .segment(Program::load(R, LINK + 0x2000, 0x4000, 0x800))
            .segment(Program::load(RW, LINK + 0x3000, 0x5000, 0x600).memory(0x3000))
    }

    /// Adds a program header, and bytes in the file that differ from byte to byte and from segment to segment.
    pub fn segment(self, program: Program) -> Self {
        let seed = self.programs.len() as u64;
        let bytes =
            (0..program.file_size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ (seed * 77)) as u8 | 1);
        let bytes = bytes.collect();
        self.contents(program.offset, bytes).program(program)
    }

    /// Adds a program header alone.
    pub fn program(mut self, program: Program) -> Self {
        self.programs.push(program);
        self
    }

    /// Takes back the program headers, the note's included.
    pub fn without_programs(mut self) -> Self {
        self.programs.clear();
        self
    }

    /// Puts bytes into the file. Later ones win.
    pub fn contents(mut self, offset: u64, bytes: Vec<u8>) -> Self {
        self.contents.push((offset, bytes));
        self
    }

    /// Overwrites bytes of the finished file.
    pub fn patch(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.patches.push((offset, bytes.to_vec()));
        self
    }

    /// Cuts the finished file.
    pub fn truncate(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        file.extend_from_slice(&self.elf_type.to_le_bytes());
        file.extend_from_slice(&183u16.to_le_bytes());
        file.extend_from_slice(&1u32.to_le_bytes());
        file.extend_from_slice(&self.entry.to_le_bytes());
        file.extend_from_slice(&64u64.to_le_bytes());
        file.extend_from_slice(&0u64.to_le_bytes());
        file.extend_from_slice(&0u32.to_le_bytes());
        for half in [64u16, 56, self.programs.len() as u16, 64, 0, 0] {
            file.extend_from_slice(&half.to_le_bytes());
        }
        for program in &self.programs {
            file.extend_from_slice(&program.kind.to_le_bytes());
            file.extend_from_slice(&program.flags.to_le_bytes());
            for word in [
                program.offset,
                program.virt,
                program.virt,
                program.file_size,
                program.memory_size,
                program.align,
            ] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        }
        for (offset, bytes) in &self.contents {
            put(&mut file, *offset as usize, bytes);
        }
        for (offset, bytes) in &self.patches {
            put(&mut file, *offset, bytes);
        }
        if let Some(length) = self.length {
            file.truncate(length);
        }
        file
    }
}

/// Writes into a file, which grows if needed.
pub fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// The bytes of a dynamic section; `DT_NULL` is the caller's to add.
pub fn dynamic(entries: &[(u64, u64)]) -> Vec<u8> {
    entries.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).collect()
}

/// The bytes of a `RELA` table: offset, type and symbol, addend.
pub fn rela(entries: &[(u64, u64, i64)]) -> Vec<u8> {
    let words = |&(offset, info, addend): &(u64, u64, i64)| {
        [offset.to_le_bytes(), info.to_le_bytes(), addend.to_le_bytes()].concat()
    };
    entries.iter().flat_map(words).collect()
}

/// The bytes of words.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
