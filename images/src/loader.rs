//! The loader's ELF file, flattened: offset in the image = offset in memory.
//!
//! The loader is linked at its place in the handoff window and never relocated, so what has to hold is checked
//! here and not at the boot: it begins at the window's +0x1000 with its entry, its segments lie in order on pages of
//! their own, and nothing asks for a relocation.

use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use shared_abi::addr::PAGE;
use shared_abi::contract::HANDOFF_WINDOW;
use shared_abi::image::header::HEADER_PAGE;

use crate::failure::{Failure, Outcome};

/// The virtual address of the loader's first byte.
pub const LOADER_START: u64 = HANDOFF_WINDOW.start().get() + HEADER_PAGE as u64;

/// The most that the loader may take, header page included: what one level 3 table maps.
const LOADER_MAX: u64 = 2 << 20;

/// What to do about a loader that cannot be packed.
const REBUILD: &str = "build the loader with its own linker script, linker/elfloader.ld";

/// The loader's bytes as they lie in the image from +0x1000, zeros included, a whole number of pages.
pub fn flatten(file: &[u8]) -> Outcome<Vec<u8>> {
    let wrong = |words: String| Failure::new(format!("the loader's ELF file {words}"), REBUILD);
    let elf =
        ElfFile64::<Endianness>::parse(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if elf.entry() != LOADER_START {
        return Err(wrong(format!("has its entry at {:#x}, not at {LOADER_START:#x}", elf.entry())));
    }
    let endian = elf.endian();
    let headers = elf.elf_program_headers();
    if headers.iter().any(|header| header.p_type(endian) == elf::PT_DYNAMIC) {
        return Err(wrong("has a dynamic section: nobody would relocate it".into()));
    }
    let mut bytes = Vec::new();
    let mut free = LOADER_START;
    for header in headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD) {
        let (start, length) = (header.p_vaddr(endian), header.p_memsz(endian));
        let range = format!("{start:#x} + {length:#x}");
        let end = start.checked_add(length).filter(|&end| end <= HANDOFF_WINDOW.start().get() + LOADER_MAX);
        let Some(end) = end else {
            return Err(wrong(format!("has a segment {range} past the {LOADER_MAX:#x} bytes of its place")));
        };
        if start < free {
            return Err(wrong(format!(
                "has a segment {range} out of order or on a page of another: {free:#x} is free"
            )));
        }
        let content = header
            .data(endian, file)
            .map_err(|()| wrong(format!("is cut short: its segment {range} lies past the end")))?;
        if content.len() as u64 > length {
            return Err(wrong(format!("has a segment {range} with {:#x} bytes in the file", content.len())));
        }
        bytes.resize((start - LOADER_START) as usize, 0);
        bytes.extend_from_slice(content);
        bytes.resize((end - LOADER_START) as usize, 0);
        free = end.next_multiple_of(PAGE);
    }
    if bytes.is_empty() {
        return Err(wrong("has nothing to load".into()));
    }
    bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
    Ok(bytes)
}

/// Where the parts of the loader lie in the image: first byte and end, in bytes from the image's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Executable.
    pub text: (u64, u64),
    /// Its beginning: the entry code and the stub above EL1.
    pub stub: (u64, u64),
    /// Read-only.
    pub constants: (u64, u64),
    /// What stays writable, up to the tables.
    pub data: (u64, u64),
    /// What other processors read and write.
    pub secondary: (u64, u64),
    /// Where other processors enter.
    pub secondary_entry: u64,
    /// The four tables that the entry code fills.
    pub tables: (u64, u64),
    /// The virtual address of the exception vectors.
    pub vectors: u64,
}

/// Finds the parts by the names that the linker script and the vectors give them.
pub fn parts(file: &[u8]) -> Outcome<Parts> {
    let wrong = |words: String| Failure::new(format!("the loader's ELF file {words}"), REBUILD);
    let elf =
        ElfFile64::<Endianness>::parse(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let address = |name: &str| {
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol
            .map(|symbol| symbol.address())
            .ok_or_else(|| wrong(format!("does not say where its {name} is")))
    };
    let offset = |name: &str| {
        let offset = address(name)?.checked_sub(HANDOFF_WINDOW.start().get());
        let offset = offset.filter(|&offset| offset <= LOADER_MAX && offset % PAGE == 0);
        offset.ok_or_else(|| wrong(format!("has its {name} outside its place")))
    };
    let (text, text_end, rodata_end) = (offset("text_start")?, offset("text_end")?, offset("rodata_end")?);
    let (tables, tables_end, stub_end) =
        (offset("tables_start")?, offset("tables_end")?, offset("stub_end")?);
    let (secondary, entry) = (offset("secondary_start")?, address("secondary_entry")?);
    if !(text <= stub_end
        && stub_end <= text_end
        && text_end <= rodata_end
        && rodata_end <= secondary
        && secondary <= tables
        && tables <= tables_end)
    {
        return Err(wrong("has its parts in another order".into()));
    }
    Ok(Parts {
        text: (text, text_end),
        stub: (text, stub_end),
        constants: (text_end, rodata_end),
        data: (rodata_end, tables),
        secondary: (secondary, tables),
        secondary_entry: entry.wrapping_sub(HANDOFF_WINDOW.start().get()),
        tables: (tables, tables_end),
        vectors: address("fault_vectors")?,
    })
}

#[cfg(test)]
mod tests;
