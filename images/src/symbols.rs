//! Packs the functions of an ELF file into the compact symbol table that the stages read.

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use shared_abi::symbols::{SYMBOLS_MAGIC, SYMBOLS_VERSION, SymbolEntry, SymbolsHeader};
use zerocopy::IntoBytes;

/// The table of a file's functions; `None` if it has none, is no ELF file, or is too large for the format.
pub fn table(file: &[u8]) -> Option<Vec<u8>> {
    let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(file).ok()?;
    let code: Vec<_> = elf.sections().filter(is_code).map(|section| section.index()).collect();
    let mut functions: Vec<(u64, u64, String)> = elf
        .symbols()
        .filter(|symbol| symbol.section_index().is_some_and(|index| code.contains(&index)))
        // Assembly labels have no type; mapping symbols ($x, $d) and local labels are not names.
        .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown))
        .filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with(['$', '.']))?;
            Some((symbol.address(), symbol.size(), format!("{:#}", rustc_demangle::demangle(name))))
        })
        .collect();
    // At one address the name with a size first: it is the function, the other a label at its start.
    functions.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    functions.dedup_by_key(|function| function.0);
    encode(&functions)
}

fn is_code<'a>(section: &impl ObjectSection<'a>) -> bool {
    section.kind() == object::SectionKind::Text
}

/// Encodes functions in ascending order: address, length, name.
fn encode(functions: &[(u64, u64, String)]) -> Option<Vec<u8>> {
    let virt_base = functions.first()?.0;
    let mut entries = Vec::with_capacity(functions.len());
    let mut strings = Vec::new();
    for (address, length, name) in functions {
        entries.push(SymbolEntry {
            offset: u32::try_from(address - virt_base).ok()?,
            length: u32::try_from(*length).ok()?,
            name: u32::try_from(strings.len()).ok()?,
        });
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let strings_offset = size_of::<SymbolsHeader>() + size_of_val(entries.as_slice());
    let header = SymbolsHeader {
        magic: SYMBOLS_MAGIC,
        version: SYMBOLS_VERSION,
        count: u32::try_from(entries.len()).ok()?,
        virt_base,
        strings_offset: u32::try_from(strings_offset).ok()?,
        strings_length: u32::try_from(strings.len()).ok()?,
    };
    Some([header.as_bytes(), entries.as_bytes(), &strings].concat())
}

#[cfg(test)]
mod tests {
    use shared_abi::symbols::SymbolTable;

    use super::*;

    #[test]
    fn functions_are_found_again_by_the_reader_of_the_stages() {
        let functions = [(0x1000, 8, "start".to_owned()), (0x2000, 0, "kernel::main".to_owned())];
        let bytes = encode(&functions).unwrap();
        let table = SymbolTable::open(&bytes).unwrap();
        assert_eq!(table.find(0x1004).unwrap().to_string(), "start+0x4");
        assert_eq!(table.find(0x1008), None);
        assert_eq!(table.find(0x2345).unwrap().to_string(), "kernel::main+0x345");
    }

    #[test]
    fn this_very_program_has_its_functions_in_the_table() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let bytes = table(&file).unwrap();
        let table = SymbolTable::open(&bytes).unwrap();
        assert!(table.len() > 100);
        assert!(bytes.windows(26).any(|name| name == b"images::symbols::encode\0".as_slice()
            || name.starts_with(b"images::symbols::encode\0")));
    }

    #[test]
    fn files_without_functions_have_no_table() {
        assert_eq!(table(b"not an ELF file"), None);
        assert_eq!(encode(&[]), None);
        assert_eq!(encode(&[(0, 0, "a".into()), (1 << 32, 0, "b".into())]), None);
    }
}
