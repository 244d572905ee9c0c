//! What there is to say in any language: numbers with names, and records with fields.

use core::mem::offset_of;

use crate::addr::VirtRange;
use crate::boot_info::{
    BOOT_INFO_MAX, BootInfoError, DirectoryEntry, Field, FieldKind, Header, Layout, MAGIC, MAX_TABLES,
    TableFlags, TableId,
};
use crate::contract::{
    ABI_MAJOR, ABI_MINOR, DIRECT_MAP_WINDOW, HANDOFF_WINDOW, HEAP_START, KERNEL_WINDOW, SLIDE_WINDOW,
};
use crate::memory::{Reclaim, RegionKind};
use crate::note::{ANY_OFFSET, EL1, EL2, NOTE_TYPE, Note, Wanted};
use crate::rights::Rights;
use crate::uart::UartKind;
use crate::verdict::{Ending, SEMIHOSTING_APPLICATION_EXIT, SEMIHOSTING_EXIT};

/// A number with a name, which goes without the prefix.
pub struct Number {
    pub name: String,
    pub value: u64,
}

/// Numbers that belong together.
pub struct Group {
    pub words: String,
    pub numbers: Vec<Number>,
}

/// The type of a field.
pub enum Type {
    /// An unsigned number of so many bytes.
    Number(usize),
    /// So many numbers of so many bytes.
    Array { bytes: usize, count: usize },
    /// A string of the string table.
    Text,
}

pub struct Member {
    pub name: &'static str,
    pub words: String,
    pub offset: usize,
    pub of: Type,
}

/// A record, without a gap between its fields.
pub struct Structure {
    /// In snake case.
    pub name: String,
    pub words: String,
    pub size: usize,
    pub fields: Vec<Member>,
}

pub struct Facts {
    pub groups: Vec<Group>,
    pub structures: Vec<Structure>,
}

/// Describes a record that no table holds.
macro_rules! structure {
    ($type:ident, $words:literal { $($field:ident: $of:expr, $field_words:literal;)* }) => {
        Structure {
            name: snake(stringify!($type)),
            words: $words.into(),
            size: size_of::<$type>(),
            fields: vec![$(Member {
                name: stringify!($field),
                words: $field_words.into(),
                offset: offset_of!($type, $field),
                of: $of,
            }),*],
        }
    };
}

fn header() -> Structure {
    structure!(Header, "The beginning of `BootInfo`, at the address in x0." {
        magic: Type::Number(8), "HANDOFF_MAGIC.";
        abi_major: Type::Number(2), "Readers refuse another one.";
        abi_minor: Type::Number(2), "Readers accept any.";
        header_size: Type::Number(4), "Bytes of this header.";
        total_size: Type::Number(4), "Bytes of the blob.";
        checksum: Type::Number(4), "CRC-32C of the blob without this field.";
        directory_offset: Type::Number(4), "Where the directory begins, from the blob's first byte.";
        directory_count: Type::Number(4), "Its entries.";
        directory_stride: Type::Number(4), "Bytes from one to the next.";
        reserved: Type::Number(4), "0.";
    })
}

fn directory_entry() -> Structure {
    structure!(DirectoryEntry, "Where a table is." {
        id: Type::Number(4), "Which table.";
        flags: Type::Number(4), "How to take it.";
        offset: Type::Number(4), "Where it begins, from the blob's first byte.";
        count: Type::Number(4), "Its records, or its bytes.";
        stride: Type::Number(4), "Bytes from one record to the next, 1 for bytes.";
        reserved: Type::Number(4), "0.";
    })
}

fn note() -> Structure {
    structure!(Note, "What a kernel asks for in its note." {
        abi_major: Type::Number(2), "The ABI that it was written for.";
        abi_minor: Type::Number(2), "The least minor version that has what it uses.";
        granule: Type::Number(4), "4096.";
        required: Type::Number(8), "Terms to serve or to refuse.";
        wanted: Type::Number(8), "Terms to serve if possible.";
        stack_size: Type::Number(8), "Bytes of boot stack, a multiple of 4096; 0 for 64 KiB.";
        exception_levels: Type::Number(8), "Bit n: it can be entered at ELn.";
        direct_map_offset: Type::Number(8), "The virtual address of physical address 0.";
        contiguous_alignment: Type::Number(8), "0, or the alignment of one contiguous range for the kernel.";
    })
}

/// Words without links and line breaks.
fn plain(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// A name in capitals, as constants have it.
fn capitals(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn group(words: &str, numbers: impl IntoIterator<Item = (String, u64)>) -> Group {
    let numbers = numbers.into_iter().map(|(name, value)| Number { name, value }).collect();
    Group { words: words.into(), numbers }
}

/// The numbers that a field can hold, if they have names.
fn numbers_of(layout: &Layout, field: &Field) -> Option<Group> {
    let prefix = capitals(&format!("{}_{}", snake(layout.name), field.name));
    let named = |(name, value): (&str, u32)| (format!("{prefix}_{}", capitals(name)), u64::from(value));
    let numbers: Vec<_> = match field.kind {
        FieldKind::Named(name) => {
            (0..0x1_0000).filter_map(|value| Some(named((name(value)?, value)))).collect()
        }
        FieldKind::Flags(bits) => bits.iter().map(|&bit| named(bit)).collect(),
        _ => return None,
    };
    Some(group(&format!("`{}` of a `{}`: {}", field.name, snake(layout.name), plain(field.words)), numbers))
}

fn structure_of(layout: &Layout) -> Structure {
    let member = |field: &Field| Member {
        name: field.name,
        words: plain(field.words),
        offset: field.offset,
        of: match field.kind {
            FieldKind::Text => Type::Text,
            FieldKind::Bytes => Type::Array { bytes: 1, count: field.size },
            FieldKind::Words => Type::Array { bytes: 8, count: field.size / 8 },
            _ => Type::Number(field.size),
        },
    };
    Structure {
        name: snake(layout.name),
        words: plain(layout.words),
        size: layout.size,
        fields: layout.fields.iter().map(member).collect(),
    }
}

fn general() -> Vec<Group> {
    let constant = |name: &str, value| (name.to_owned(), value);
    let window = |name: &str, window: VirtRange| {
        [(format!("{name}_START"), window.start().get()), (format!("{name}_END"), window.end())]
    };
    let windows = [
        ("KERNEL_WINDOW", KERNEL_WINDOW),
        ("HANDOFF_WINDOW", HANDOFF_WINDOW),
        ("SLIDE_WINDOW", SLIDE_WINDOW),
        ("DIRECT_MAP_WINDOW", DIRECT_MAP_WINDOW),
    ];
    let errors = [
        BootInfoError::Magic { found: 0 },
        BootInfoError::AbiMajor { found: 0 },
        BootInfoError::HeaderSize { found: 0 },
        BootInfoError::TotalSize { found: 0 },
        BootInfoError::DirectoryStride { found: 0 },
        BootInfoError::DirectoryOffset { found: 0, total: 0 },
        BootInfoError::Checksum { stored: 0, computed: 0 },
        BootInfoError::TableOffset { table: TableId(0), offset: 0, length: 0 },
        BootInfoError::TableUnknown { table: TableId(0) },
    ];
    let error = |error: &BootInfoError| {
        let debug = format!("{error:?}");
        let name = debug.split([' ', '(']).next().unwrap_or_default();
        (format!("ERROR_{}", capitals(&snake(name))), u64::from(error.code()))
    };
    let subcode = |ending: Ending| (format!("SUBCODE_{}", capitals(ending.name())), ending.exit_subcode());
    vec![
        group(
            "The version of the ABI.",
            [constant("ABI_MAJOR", ABI_MAJOR.into()), constant("ABI_MINOR", ABI_MINOR.into())],
        ),
        group(
            "The first eight bytes of `BootInfo`, and the most bytes and tables that it has.",
            [
                constant("MAGIC", u64::from_le_bytes(MAGIC)),
                constant("BOOT_INFO_MAX", BOOT_INFO_MAX as u64),
                constant("TABLES_MAX", MAX_TABLES.into()),
            ],
        ),
        group(
            "The parts of the virtual address space.",
            windows
                .into_iter()
                .flat_map(|(name, range)| window(name, range))
                .chain([constant("HEAP_START", HEAP_START)]),
        ),
        group(
            "The note's type, and its terms.",
            [
                constant("NOTE_TYPE", NOTE_TYPE.into()),
                constant("NOTE_ANY_OFFSET", ANY_OFFSET),
                constant("NOTE_EL1", EL1),
                constant("NOTE_EL2", EL2),
            ],
        ),
        group(
            "Bits of a note's `wanted`.",
            Wanted::all().iter_names().map(|(name, bit)| (format!("WANTED_{name}"), bit.bits())),
        ),
        group("What `handoff_open` finds wrong (docs/errors.md).", errors.iter().map(error)),
        group(
            "How a machine is ended.",
            [
                constant("SEMIHOSTING_EXIT", SEMIHOSTING_EXIT),
                constant("SEMIHOSTING_APPLICATION_EXIT", SEMIHOSTING_APPLICATION_EXIT),
                constant("PSCI_SYSTEM_OFF", 0x8400_0008),
            ]
            .into_iter()
            .chain(Ending::ALL.map(subcode)),
        ),
        group(
            "The tables.",
            TableId::ALL
                .iter()
                .map(|&table| (format!("TABLE_{}", capitals(&table.to_string())), table.0.into()))
                .chain([constant("TABLE_LAST", TableId::ALL.last().map_or(0, |table| table.0.into()))]),
        ),
        group(
            "How to take a table.",
            TableFlags::all()
                .iter_names()
                .map(|(name, bit)| (format!("DIRECTORY_ENTRY_FLAGS_{name}"), bit.bits().into())),
        ),
        group(
            "`kind` of a region of memory. One that is not here is never free.",
            RegionKind::ALL
                .iter()
                .map(|kind| (format!("MEMORY_{}", capitals(kind.name().unwrap_or_default())), kind.0.into())),
        ),
        group(
            "The kinds that the kernel may use from its first instruction on, as bits by number.",
            [constant(
                "MEMORY_FREE_AT_ENTRY",
                RegionKind::ALL
                    .iter()
                    .filter(|kind| kind.reclaim() == Reclaim::AtEntry)
                    .map(|kind| 1 << kind.0)
                    .sum(),
            )],
        ),
        group(
            "`rights` of an extent.",
            Rights::ALL.map(|rights| {
                (format!("RIGHTS_{}", capitals(&snake(&format!("{rights:?}")))), rights.to_u32().into())
            }),
        ),
        group(
            "`kind` of a console.",
            UartKind::ALL.iter().map(|kind| (format!("UART_{}", capitals(kind.name())), *kind as u64)),
        ),
    ]
}

impl Facts {
    pub fn collect() -> Self {
        let layouts: Vec<_> = TableId::ALL.iter().filter_map(|table| table.layout()).collect();
        let fields = layouts.iter().flat_map(|layout| layout.fields.iter().map(move |field| (layout, field)));
        let mut groups = general();
        groups.extend(fields.filter_map(|(layout, field)| numbers_of(layout, field)));
        let mut structures = vec![note(), header(), directory_entry()];
        structures.extend(layouts.iter().map(|layout| structure_of(layout)));
        Self { groups, structures }
    }
}

#[test]
fn no_name_is_there_twice_and_no_record_has_a_gap() {
    let facts = Facts::collect();
    let mut names: Vec<_> =
        facts.groups.iter().flat_map(|group| &group.numbers).map(|number| &number.name).collect();
    names.sort();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "ABI: one name for two numbers");
    }
    for record in &facts.structures {
        let mut end = 0;
        for field in &record.fields {
            assert_eq!(field.offset, end, "ABI: {} has a gap before {}", record.name, field.name);
            end += match field.of {
                Type::Number(bytes) => bytes,
                Type::Array { bytes, count } => bytes * count,
                Type::Text => 8,
            };
        }
        assert_eq!(record.size, end, "ABI: {} has a gap at its end", record.name);
    }
}
