//! Tests of the payload table: a golden, every refusal, digests, and hostile bytes.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::crc32c::crc32c;
use crate::image::{BootFlags, Header, ImageError, LogLevel, open};

const TABLE: u64 = 0x2000;
const KERNEL: u64 = 0x3000;
const SIZE: u64 = 0x7100;

fn name(name: &str) -> [u8; 32] {
    name_field(name).unwrap()
}

/// A byte of the content at an offset of the image.
fn content(offset: u64) -> u8 {
    (offset * 7 + 3) as u8
}

/// An image of `SIZE` bytes with these entries, whatever they are.
fn image_of(entries: &[Entry]) -> Vec<u8> {
    let mut image: Vec<u8> = (0..SIZE).map(content).collect();
    let header = Header {
        image_size: SIZE,
        loader_length: 0x1000,
        payload_table_offset: TABLE,
        boot_flags: BootFlags::empty(),
        log_level: LogLevel::Normal,
        phys_tree_hint: 0,
    };
    image[..0x1000].copy_from_slice(&header.encode(crc32c));
    let marker = PayloadTable::encode(entries, SIZE, &mut image[TABLE as usize..], crc32c).unwrap();
    let end = image.len() - EndMarker::SIZE as usize;
    image[end..].copy_from_slice(marker.as_bytes());
    image
}

fn good() -> Vec<Entry> {
    let bytes = |offset: u64, length: u64| (offset..offset + length).map(content).collect::<Vec<u8>>();
    vec![
        Entry::new(Kind::KERNEL, name("kernel"), KERNEL, 0x1234).with_crc32c(&bytes(KERNEL, 0x1234), crc32c),
        Entry::new(Kind::MODULE, name("first.txt"), 0x5000, 0x10),
        Entry::new(Kind::MODULE, name("second.txt"), 0x6000, 0x1000)
            .with_crc32c(&bytes(0x6000, 0x1000), crc32c),
        Entry::new(Kind::COMMAND_LINE, name(""), 0x7000, 12),
    ]
}

fn refusal(entries: &[Entry]) -> PayloadError {
    match open(&image_of(entries), crc32c) {
        Err(ImageError::Payload(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The refusal of an image whose table bytes were changed and then sealed again, marker included.
fn resealed(change: impl Fn(&mut [u8])) -> PayloadError {
    let mut image = image_of(&good());
    change(&mut image);
    let table = TABLE as usize;
    let word =
        |image: &[u8], at: usize| u32::from_le_bytes(image[table + at..][..4].try_into().unwrap()) as usize;
    let length = word(&image, 12) + word(&image, 16) * word(&image, 20);
    let end = (table + length).min(image.len());
    let beyond = (table + 40).min(end);
    let crc = crc32c(crc32c(0, &image[table..table + 36]), &image[beyond..end]);
    image[table + 36..table + 40].copy_from_slice(&crc.to_le_bytes());
    let marker = image.len() - 32;
    image[marker..].copy_from_slice(EndMarker::new(SIZE, crc).as_bytes());
    match open(&image, crc32c) {
        Err(ImageError::Payload(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_image_opens_and_yields_its_entries() {
    let image = image_of(&good());
    let (_, table) = open(&image, crc32c).unwrap();
    assert_eq!(table.entries().collect::<Vec<_>>(), good());
    let kernel = table.kernel().unwrap();
    assert_eq!((kernel.name(), kernel.offset, kernel.length), ("kernel", KERNEL, 0x1234));
    assert_eq!(table.bytes(&kernel), &image[0x3000..0x4234]);
    assert_eq!(table.find(Kind::COMMAND_LINE).unwrap().name(), "");
    assert_eq!(table.find(Kind::SYMBOLS), None);
    for entry in table.entries() {
        assert_eq!(table.verify(&entry, crc32c), Ok(()));
    }
}

#[test]
fn the_table_and_the_marker_have_these_bytes() {
    let entry = Entry::new(Kind::KERNEL, name("k"), 0x3000, 0x40).with_crc32c(b"123456789", crc32c);
    let mut table = [0xEE; 140];
    let marker = PayloadTable::encode(&[entry], 0x4000, &mut table, crc32c).unwrap();
    let mut golden = vec![];
    golden.extend(b"HOTABLE\0");
    golden.extend([1, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 96, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let sum = table[36..40].to_vec();
    golden.extend(&sum);
    golden.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'k']);
    golden.extend([0; 31]);
    golden.extend([0, 0x30, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x83, 0x92, 0x06, 0xE3]);
    golden.extend([0; 28]);
    golden.extend([0xEE; 4]);
    assert_eq!(table.to_vec(), golden);
    assert_eq!(sum, crc32c(crc32c(0, &table[..36]), &table[40..136]).to_le_bytes());
    let mut golden = b"HOTHEEND\0\x40\0\0\0\0\0\0".to_vec();
    golden.extend(&sum);
    golden.extend(b"\0\0\0\0DNEEHTOH");
    assert_eq!(marker.as_bytes(), golden);
    assert_eq!(PayloadTable::size(1), 136);
    assert_eq!(PayloadTable::encode(&[entry], 0x4000, &mut table[..135], crc32c), None);
}

#[test]
fn an_image_cut_anywhere_is_refused() {
    let image = image_of(&good());
    for end in (0..image.len()).step_by(61).chain([image.len() - 1]) {
        assert!(open(&image[..end], crc32c).is_err(), "cut to {end:#x}");
    }
    // In memory the slice is as long as the header says; what is behind the cut is something else.
    for end in [0x2FFF, 0x3800].into_iter().chain(image.len() - 33..image.len()) {
        let mut cut = image.clone();
        cut[end..].fill(0);
        let error = open(&cut, crc32c).unwrap_err();
        assert_eq!(error, ImageError::Payload(PayloadError::EndMarker { image: SIZE }), "cut to {end:#x}");
    }
}

#[test]
fn damage_in_any_byte_of_table_or_marker_is_found() {
    let image = image_of(&good());
    let table = TABLE as usize..TABLE as usize + PayloadTable::size(4);
    let marker = image.len() - 32..image.len();
    for at in table.chain(marker) {
        let mut damaged = image.clone();
        damaged[at] ^= 4;
        assert!(open(&damaged, crc32c).is_err(), "byte {at:#x}");
    }
}

#[test]
fn damage_in_an_entry_is_found_by_its_digest() {
    let mut image = image_of(&good());
    image[0x4000] ^= 1;
    image[0x5008] ^= 1;
    let (_, table) = open(&image, crc32c).unwrap();
    let verdicts: Vec<_> = table.entries().map(|entry| table.verify(&entry, crc32c)).collect();
    assert!(
        matches!(verdicts[0], Err(PayloadError::Digest { kind: Kind::KERNEL, offset: KERNEL, stored, computed })
            if stored != computed)
    );
    // The second has no digest, so nothing is found.
    assert_eq!(verdicts[1..], [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn every_entry_fault_is_refused_by_name() {
    let with = |index: usize, change: fn(&mut Entry)| {
        let mut entries = good();
        change(&mut entries[index]);
        refusal(&entries)
    };
    assert_eq!(with(0, |kernel| kernel.protocol = 9), PayloadError::Protocol { index: 0, protocol: 9 });
    assert_eq!(with(1, |module| module.digest_kind = 2), PayloadError::DigestKind { index: 1, kind: 2 });
    assert_eq!(with(1, |module| module.name = [b'x'; 32]), PayloadError::Name { index: 1 });
    assert_eq!(with(1, |module| module.name[31] = 1), PayloadError::Name { index: 1 });
    assert_eq!(with(1, |module| module.name[0] = 0xFF), PayloadError::Name { index: 1 });
    assert_eq!(with(3, |line| line.length = 0), PayloadError::Empty { index: 3, kind: Kind::COMMAND_LINE });
    assert_eq!(
        with(1, |module| module.offset += 8),
        PayloadError::Unaligned { index: 1, offset: 0x5008, alignment: 0x1000 }
    );
    assert_eq!(
        with(3, |line| line.offset += 4),
        PayloadError::Unaligned { index: 3, offset: 0x7004, alignment: 8 }
    );
    assert_eq!(
        with(3, |line| line.kind = Kind::KERNEL),
        PayloadError::Twice { index: 3, kind: Kind::KERNEL }
    );
    assert_eq!(
        with(3, |line| line.length = 0xE1),
        PayloadError::EntryBounds { index: 3, offset: 0x7000, length: 0xE1, limit: SIZE - 32 }
    );
    assert_eq!(
        with(3, |line| line.offset = 0u64.wrapping_sub(8)),
        PayloadError::EntryBounds { index: 3, offset: 0u64.wrapping_sub(8), length: 12, limit: SIZE - 32 }
    );
    assert_eq!(
        with(0, |kernel| kernel.length = 0x2001),
        PayloadError::EntryOverlap { index: 1, offset: 0x5000, length: 0x10, free: 0x6000 }
    );
    assert_eq!(
        with(0, |kernel| kernel.offset = 0x2000),
        PayloadError::EntryOverlap { index: 0, offset: 0x2000, length: 0x1234, free: 0x21A8 }
    );
    assert_eq!(
        with(0, |kernel| kernel.offset = 0),
        PayloadError::EntryOverlap { index: 0, offset: 0, length: 0x1234, free: 0x21A8 }
    );
    assert_eq!(with(0, |kernel| kernel.kind = Kind::MODULE), PayloadError::NoKernel);
    assert_eq!(refusal(&[]), PayloadError::NoKernel);
}

#[test]
fn what_follows_a_module_begins_on_a_page_of_its_own() {
    let mut entries = good();
    entries[3].offset = 0x5800;
    entries.swap(2, 3);
    assert_eq!(
        refusal(&entries),
        PayloadError::EntryOverlap { index: 2, offset: 0x5800, length: 12, free: 0x6000 }
    );
}

#[test]
fn unknown_kinds_are_skipped_unless_they_must_be_understood() {
    let mut entries = good();
    entries[3] = Entry { kind: Kind(99), protocol: 7, digest_kind: 5, name: [0xFF; 32], ..entries[3] };
    let image = image_of(&entries);
    let (_, table) = open(&image, crc32c).unwrap();
    assert_eq!(table.entries().collect::<Vec<_>>(), good()[..3]);
    entries[3].flags = EntryFlags::MUST_UNDERSTAND;
    assert_eq!(refusal(&entries), PayloadError::UnknownKind { index: 3, kind: 99 });
    entries[3].flags = EntryFlags::empty();
    entries[3].length = u64::MAX;
    assert!(matches!(refusal(&entries), PayloadError::EntryBounds { index: 3, .. }));
}

#[test]
fn every_field_of_the_table_is_refused_by_name() {
    let put = |at: usize, value: u32| {
        move |image: &mut [u8]| {
            image[TABLE as usize + at..][..4].copy_from_slice(&value.to_le_bytes());
        }
    };
    assert!(matches!(resealed(put(0, 0)), PayloadError::TableMagic { offset: TABLE, .. }));
    assert_eq!(resealed(put(8, 3)), PayloadError::TableVersion { found: 3 });
    assert_eq!(resealed(put(12, 32)), PayloadError::TableRecords { header: 32, stride: 96 });
    assert_eq!(resealed(put(12, 44)), PayloadError::TableRecords { header: 44, stride: 96 });
    assert_eq!(resealed(put(20, 88)), PayloadError::TableRecords { header: 40, stride: 88 });
    assert_eq!(resealed(put(20, 0x2000)), PayloadError::TableRecords { header: 40, stride: 0x2000 });
    assert_eq!(resealed(put(16, 65)), PayloadError::TableCount { found: 65, limit: MAX_ENTRIES });
    assert_eq!(resealed(put(24, 0x7200)), PayloadError::TableImageSize { table: 0x7200, header: SIZE });
    let bounds = resealed(|image| {
        put(20, 0x1000)(image);
        put(16, 60)(image);
    });
    assert_eq!(bounds, PayloadError::TableBounds { offset: TABLE, image: SIZE });
}

#[test]
fn a_later_version_may_lengthen_header_and_entries() {
    let mut image = image_of(&good());
    let table = TABLE as usize;
    image[table..0x3000].fill(0xA5);
    image[table..table + 8].copy_from_slice(&TABLE_MAGIC);
    for (at, value) in [(8, 1), (12, 48), (16, 4), (20, 104), (24, SIZE as u32), (28, 0)] {
        image[table + at..][..4].copy_from_slice(&u32::to_le_bytes(value));
    }
    for (index, entry) in good().iter().enumerate() {
        image[table + 48 + index * 104..][..96].copy_from_slice(entry.as_bytes());
    }
    let crc = crc32c(crc32c(0, &image[table..table + 36]), &image[table + 40..table + 48 + 4 * 104]);
    image[table + 36..table + 40].copy_from_slice(&crc.to_le_bytes());
    let end = image.len() - 32;
    image[end..].copy_from_slice(EndMarker::new(SIZE, crc).as_bytes());
    let (_, opened) = open(&image, crc32c).unwrap();
    assert_eq!(opened.entries().collect::<Vec<_>>(), good());
}

#[test]
fn names_fit_their_field_with_a_nul() {
    assert_eq!(name_field("a\0b"), None);
    assert_eq!(name_field(&"x".repeat(32)), None);
    assert_eq!(&name_field(&"x".repeat(31)).unwrap(), &[&[b'x'; 31][..], &[0]].concat()[..]);
}

#[test]
fn opening_reads_no_byte_of_the_payload() {
    // A checksum function sees what is read in bulk; the rest is the marker, at the very end.
    fn bounded(checksum: u32, bytes: &[u8]) -> u32 {
        assert!(bytes.len() <= 4 * 96);
        crc32c(checksum, bytes)
    }
    assert!(open(&image_of(&good()), bounded).is_ok());
}

#[test]
fn codes_and_lines_are_stable() {
    let kind = Kind::MODULE;
    let errors = [
        PayloadError::Truncated { expected: 0x2000, length: 0x1000 },
        PayloadError::TableBounds { offset: 0x100, image: 0x80 },
        PayloadError::TableMagic { offset: 0x100, found: 0x1234 },
        PayloadError::TableVersion { found: 2 },
        PayloadError::TableRecords { header: 7, stride: 9 },
        PayloadError::TableCount { found: 65, limit: MAX_ENTRIES },
        PayloadError::TableChecksum { stored: 1, computed: 2 },
        PayloadError::TableImageSize { table: 1, header: 2 },
        PayloadError::EndMarker { image: 0x7100 },
        PayloadError::UnknownKind { index: 3, kind: 99 },
        PayloadError::Protocol { index: 0, protocol: 9 },
        PayloadError::DigestKind { index: 1, kind: 2 },
        PayloadError::Name { index: 1 },
        PayloadError::Empty { index: 1, kind },
        PayloadError::Unaligned { index: 1, offset: 0x5008, alignment: 0x1000 },
        PayloadError::Twice { index: 1, kind: Kind(99) },
        PayloadError::EntryBounds { index: 1, offset: 0x5000, length: 0x10, limit: 0x4000 },
        PayloadError::EntryOverlap { index: 1, offset: 0x5000, length: 0x10, free: 0x6000 },
        PayloadError::NoKernel,
        PayloadError::Digest { kind, offset: 0x5000, stored: 1, computed: 2 },
    ];
    let lines: Vec<String> = errors.iter().map(|error| format!("E{:04}: {error}", error.code())).collect();
    let documented = include_str!("../../../../docs/errors.md");
    for error in errors {
        assert!(documented.contains(&format!("| E{:04} |", error.code())), "{error}");
    }
    let golden = "\
E0120: the image is cut short: 0x1000 of 0x2000 bytes are there
E0121: the payload table at 0x100 reaches past the image of 0x80 bytes
E0122: no payload table at 0x100: its magic is 0x0000000000001234
E0123: the payload table has version 0x2, this reader 0x1
E0124: the payload table's header of 0x7 or entries of 0x9 bytes cannot be
E0125: the payload table has 0x41 entries, at most 0x40 are served
E0126: the payload table is damaged: checksum 0x00000002, stored 0x00000001
E0127: the payload table is of an image of 0x1 bytes, the header of 0x2
E0128: the image is cut short: no end marker closes its 0x7100 bytes
E0130: payload entry 3 must be understood, but its kind 0x63 is not known
E0131: payload entry 0 asks for the protocol 0x9, only 0x0 is served
E0132: payload entry 1 has a digest of the unknown kind 0x2
E0133: payload entry 1 has a name that is not UTF-8 filled up with NULs
E0134: payload entry 1, a module, is empty
E0135: payload entry 1 begins at 0x5008, no multiple of 0x1000
E0136: payload entry 1 is a second unknown kind 99
E0137: payload entry 1 of 0x10 bytes at 0x5000 reaches past 0x4000
E0138: payload entry 1 of 0x10 bytes at 0x5000 overlaps what lies before 0x6000
E0139: the image holds no kernel
E0140: the module at 0x5000 of the image is damaged: digest 0x00000002, stored 0x00000001";
    assert_eq!(lines.join("\n"), golden);
}

proptest! {
    #[test]
    fn hostile_tables_end_in_a_value_and_what_opens_is_in_bounds(
        changes in prop::collection::vec((0usize..424, any::<u8>()), 1..6),
        kinds in prop::collection::vec(0u32..9, 4),
    ) {
        let mut entries = good();
        for (entry, kind) in entries.iter_mut().zip(kinds) {
            entry.kind = Kind(kind);
        }
        let mut image = image_of(&entries);
        for (at, value) in changes {
            image[TABLE as usize + at] = value;
        }
        // Make the checksum right, so that the checks behind it are what is tried.
        let table = TABLE as usize;
        let crc = crc32c(crc32c(0, &image[table..table + 36]), &image[table + 40..table + 424]);
        image[table + 36..table + 40].copy_from_slice(&crc.to_le_bytes());
        let end = image.len() - 32;
        image[end..].copy_from_slice(EndMarker::new(SIZE, crc).as_bytes());
        if let Ok((_, opened)) = open(&image, crc32c) {
            let mut free = TABLE;
            for entry in opened.entries() {
                prop_assert!(entry.offset >= free && entry.length > 0);
                free = entry.offset + entry.length;
                prop_assert!(free <= SIZE - 32);
                prop_assert_eq!(opened.bytes(&entry).len() as u64, entry.length);
                let _ = opened.verify(&entry, crc32c);
            }
            prop_assert_eq!(opened.entries().filter(|entry| entry.kind == Kind::KERNEL).count(), 1);
        }
    }
}

#[test]
fn the_documents_list_every_kind() {
    let mut table =
        String::from("| number | kind | how many | lies | is |\n| ---: | --- | --- | --- | --- |\n");
    for (kind, meaning) in Kind::ALL {
        let how_many = match (*kind, kind.is_single()) {
            (Kind::KERNEL, _) => "exactly one",
            (_, true) => "at most one",
            (_, false) => "any number",
        };
        let lies = if kind.owns_pages() { "on pages of its own" } else { "at a multiple of 8" };
        table += &format!("| {} | {kind} | {how_many} | {lies} | {} |\n", kind.0, meaning.trim());
    }
    let page = include_str!("../../../../docs/images.md");
    assert!(page.contains(&table), "docs/images.md ought to say:\n{table}");
}

#[test]
fn the_kinds_are_those_of_the_table_and_no_others() {
    for number in 0..64 {
        let listed = Kind::ALL.iter().any(|(kind, _)| kind.0 == number);
        assert_eq!((Kind(number).is_known(), Kind(number).name().is_some()), (listed, listed), "{number}");
    }
}
