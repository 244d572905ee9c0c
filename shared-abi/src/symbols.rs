//! The compact symbol table: from a code address to a function's name, without an allocator or a debugger.
//!
//! The packer makes one for the loader and one for the kernel and lays them beside them as payload; whoever reports
//! a fault looks names up. Names are written demangled, so that no reader needs to.
//!
//! ```text
//! header   32 bytes: magic, version, count, base address, place of the strings
//! entries  count × {offset from base, length, place of the name}, ascending, 12 bytes each
//! strings  NUL-terminated UTF-8
//! ```
//!
//! Addresses are those of the link: whoever slid the image takes the slide off before asking. A damaged table gives
//! wrong names or none, never a panic or a read outside it.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first eight bytes of a table.
pub const SYMBOLS_MAGIC: [u8; 8] = *b"HOSYMTAB";

/// The version of the format. Tables of another one are not read.
pub const SYMBOLS_VERSION: u32 = 1;

/// The table's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SymbolsHeader {
    /// [`SYMBOLS_MAGIC`].
    pub magic: [u8; 8],
    /// [`SYMBOLS_VERSION`].
    pub version: u32,
    /// Number of entries.
    pub count: u32,
    /// The link-time virtual address that entries count from.
    pub virt_base: u64,
    /// Where the strings begin, from the table's first byte.
    pub strings_offset: u32,
    /// Bytes of the strings.
    pub strings_length: u32,
}

const _: () = assert!(size_of::<SymbolsHeader>() == 32);

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SymbolEntry {
    /// Bytes from the base to the function.
    pub offset: u32,
    /// Bytes of the function; 0 where the linker did not say: it then reaches to the next one.
    pub length: u32,
    /// Where its name begins, from the strings' first byte.
    pub name: u32,
}

const _: () = assert!(size_of::<SymbolEntry>() == 12);

/// A table whose parts lie inside its bytes. Entries are looked at only when asked for.
#[derive(Clone, Copy, Debug)]
pub struct SymbolTable<'a> {
    virt_base: u64,
    entries: &'a [u8],
    strings: &'a [u8],
}

/// A place in a function. Its `Display` is `name+0x1c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The function's name.
    pub name: &'a str,
    /// Bytes from its first instruction.
    pub offset: u64,
}

impl<'a> SymbolTable<'a> {
    /// Opens a table; `None` if it is not one of this version or does not fit its bytes. Takes constant time.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = SymbolsHeader::read_from_prefix(bytes).ok()?;
        if header.magic != SYMBOLS_MAGIC || header.version != SYMBOLS_VERSION {
            return None;
        }
        let entries = (header.count as usize).checked_mul(size_of::<SymbolEntry>())?;
        let start = header.strings_offset as usize;
        let strings = bytes.get(start..start.checked_add(header.strings_length as usize)?)?;
        Some(Self { virt_base: header.virt_base, entries: rest.get(..entries)?, strings })
    }

    /// Number of functions.
    pub const fn len(&self) -> usize {
        self.entries.len() / size_of::<SymbolEntry>()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, index: usize) -> Option<SymbolEntry> {
        let start = index.checked_mul(size_of::<SymbolEntry>())?;
        let (entry, _) = SymbolEntry::read_from_prefix(self.entries.get(start..)?).ok()?;
        Some(entry)
    }

    /// The function that holds a link-time address; `None` if no function does. Takes logarithmic time.
    pub fn find(&self, virt: u64) -> Option<Symbol<'a>> {
        let distance = u32::try_from(virt.checked_sub(self.virt_base)?).ok()?;
        // The first entry past the address lies in low..=high all the time.
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.offset <= distance { low = middle + 1 } else { high = middle }
        }
        let entry = self.entry(low.checked_sub(1)?)?;
        let offset = distance.checked_sub(entry.offset)?;
        if entry.length != 0 && offset >= entry.length {
            return None;
        }
        let name = self.strings.get(entry.name as usize..)?;
        let name = name.split(|&byte| byte == 0).next()?;
        Some(Symbol { name: core::str::from_utf8(name).ok()?, offset: offset.into() })
    }
}

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: u64 = 0xFFFF_0000_0000_0000;

    fn table() -> Vec<u8> {
        let entries = [
            SymbolEntry { offset: 0x10, length: 0x20, name: 0 },
            SymbolEntry { offset: 0x40, length: 0, name: 2 },
            SymbolEntry { offset: 0x80, length: 4, name: 5 },
        ];
        let strings = b"a\0bc\0d\0";
        let header = SymbolsHeader {
            magic: SYMBOLS_MAGIC,
            version: SYMBOLS_VERSION,
            count: 3,
            virt_base: BASE,
            strings_offset: 32 + 36,
            strings_length: strings.len() as u32,
        };
        [header.as_bytes(), entries.as_bytes(), strings].concat()
    }

    #[test]
    fn addresses_are_found_in_their_function_and_nowhere_else() {
        let bytes = table();
        let table = SymbolTable::open(&bytes).unwrap();
        let found = |offset: u64| table.find(BASE.wrapping_add(offset)).map(|symbol| symbol.to_string());
        assert_eq!(found(0xF), None);
        assert_eq!(found(0x10).unwrap(), "a+0x0");
        assert_eq!(found(0x2F).unwrap(), "a+0x1f");
        assert_eq!(found(0x30), None);
        assert_eq!(found(0x7F).unwrap(), "bc+0x3f");
        assert_eq!(found(0x83).unwrap(), "d+0x3");
        assert_eq!(found(0x84), None);
        assert_eq!(table.find(BASE - 1), None);
        assert_eq!(table.find(0), None);
        assert_eq!(table.find(u64::MAX), None);
    }

    #[test]
    fn a_table_that_was_cut_short_is_not_opened() {
        let bytes = table();
        for length in 0..bytes.len() {
            assert!(SymbolTable::open(&bytes[..length]).is_none(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0_usize..75, value: u8, asked: u32) {
            let mut bytes = table();
            bytes[at] = value;
            if let Some(table) = SymbolTable::open(&bytes) {
                let _ = table.find(BASE + u64::from(asked));
                let _ = table.find(BASE + 0x80);
            }
        }
    }
}
