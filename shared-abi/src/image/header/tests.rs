//! Tests of the header page: golden bytes, damage, every refusal, and hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::crc32c::crc32c;

const HEADER: Header = Header {
    image_size: 0x12_3400,
    loader_length: 0xA000,
    payload_table_offset: 0xB000,
    boot_flags: BootFlags::SEMIHOSTING,
    log_level: LogLevel::Verbose,
    phys_tree_hint: 0x4000_0000,
};

#[test]
fn the_page_has_these_bytes() {
    #[rustfmt::skip]
    let golden: [u8; 0x78] = [
        0x4D, 0x5A, 0x40, 0xFA,  0xFF, 0x03, 0x00, 0x14,  0, 0, 0, 0, 0, 0, 0, 0,
        0x00, 0x34, 0x12, 0, 0, 0, 0, 0,  0x0A, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,  b'A', b'R', b'M', 0x64,  0, 0, 0, 0,
        b'H', b'A', b'N', b'D', b'O', b'F', b'F', 0,  1, 0, 0, 0,  0x80, 0, 0, 0,
        0x00, 0x34, 0x12, 0, 0, 0, 0, 0,  0x00, 0xA0, 0, 0, 0, 0, 0, 0,
        0x00, 0xB0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0,  2, 0, 0, 0,
        0x00, 0x00, 0x00, 0x40, 0, 0, 0, 0,
    ];
    let page = HEADER.encode(crc32c);
    assert_eq!(page[..0x78], golden);
    assert!(page[0x78..0xBC].iter().chain(&page[0xC0..]).all(|&byte| byte == 0));
    assert_eq!(page[0xBC..0xC0], crc32c(0, &page[..0xBC]).to_le_bytes());
    assert_eq!([IMAGE_SIZE_OFFSET, BOOT_FLAGS_OFFSET, TREE_HINT_OFFSET], [0x50, 0x68, 0x70]);
    assert_eq!(Header::decode(&page, crc32c), Ok(HEADER));
}

#[test]
fn damage_in_any_byte_of_the_headers_is_found() {
    let page = HEADER.encode(crc32c);
    for at in 0..size_of::<Page>() {
        let mut damaged = page;
        damaged[at] ^= 0x10;
        assert!(Header::decode(&damaged, crc32c).is_err(), "byte {at:#x}");
    }
}

#[test]
fn every_field_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Page)| {
        let mut bytes = HEADER.encode(crc32c);
        let (mut changed, _) = Page::read_from_prefix(&bytes).unwrap();
        change(&mut changed);
        bytes[..size_of::<Page>()].copy_from_slice(changed.as_bytes());
        seal(&mut bytes, crc32c).unwrap();
        Header::decode(&bytes, crc32c).unwrap_err()
    };
    assert_eq!(
        refused(&|page| page.ours.magic = *b"HANDOFX\0"),
        HeaderError::Magic { found: 0x58_464F_444E_4148 }
    );
    assert_eq!(refused(&|page| page.ours.version = 2), HeaderError::Version { found: 2 });
    assert_eq!(refused(&|page| page.ours.size = 0x88), HeaderError::Size { found: 0x88 });
    assert!(matches!(refused(&|page| page.linux.code1 += 1), HeaderError::LinuxHeader { .. }));
    assert!(matches!(refused(&|page| page.linux.magic[0] = 0), HeaderError::LinuxHeader { .. }));
    assert_eq!(
        refused(&|page| page.linux.image_size += 8),
        HeaderError::ImageSize { linux: 0x12_3408, ours: 0x12_3400 }
    );
    for length in [0, 0x12_2401, u64::MAX] {
        assert_eq!(
            refused(&|page| page.ours.loader_length = length),
            HeaderError::LoaderLength { length, image: 0x12_3400 }
        );
    }
    for offset in [0, 0xAFF8, 0xB004, 0x12_3400, u64::MAX - 7] {
        assert_eq!(
            refused(&|page| page.ours.payload_table_offset = offset),
            HeaderError::TableOffset { offset, image: 0x12_3400 }
        );
    }
    assert_eq!(refused(&|page| page.ours.boot_flags = 5), HeaderError::BootFlags { found: 5 });
    assert_eq!(refused(&|page| page.ours.log_level = 3), HeaderError::LogLevel { found: 3 });
    for length in [0, 0x80, HEADER_PAGE - 1] {
        let page = HEADER.encode(crc32c);
        let error = HeaderError::Short { length: length as u64 };
        assert_eq!(Header::decode(&page[..length], crc32c), Err(error));
    }
}

#[test]
fn codes_and_lines_are_stable() {
    let errors = [
        HeaderError::Short { length: 0x10 },
        HeaderError::Magic { found: 0x1234 },
        HeaderError::Version { found: 2 },
        HeaderError::Size { found: 0x88 },
        HeaderError::Checksum { stored: 1, computed: 2 },
        HeaderError::LinuxHeader { code: 0x91, magic: 7 },
        HeaderError::ImageSize { linux: 8, ours: 0x10 },
        HeaderError::LoaderLength { length: 0x2000, image: 0x1000 },
        HeaderError::TableOffset { offset: 4, image: 0x1000 },
        HeaderError::BootFlags { found: 4 },
        HeaderError::LogLevel { found: 3 },
    ];
    let lines: Vec<String> = errors.iter().map(|error| format!("E{:04}: {error}", error.code())).collect();
    let documented = include_str!("../../../../docs/errors.md");
    for error in errors {
        assert!(documented.contains(&format!("| E{:04} |", error.code())), "{error}");
    }
    let golden = "\
E0101: the image holds 0x10 bytes, the header page alone 0x1000
E0102: no Handoff image: its magic is 0x0000000000001234
E0103: the image has version 0x2, this reader 0x1
E0104: the image's header has 0x88 bytes, not 0x80
E0105: the image's header is damaged: checksum 0x00000002, stored 0x00000001
E0106: the image's Linux header does not start the loader: code 0x0000000000000091, magic 0x00000007
E0107: the image's size is 0x10, in the Linux header 0x8, at most 0x1000000000
E0108: the loader of 0x2000 bytes does not fit the image of 0x1000
E0109: the payload table cannot lie at 0x4 of the image of 0x1000 bytes
E0110: the image's boot flags 0x4 are not all known
E0111: the image's log level 0x3 is not known";
    assert_eq!(lines.join("\n"), golden);
}

proptest! {
    #[test]
    fn headers_round_trip(
        loader_length in 1u64..1 << 30, gap in 0u64..1 << 20, rest in 8u64..1 << 30, tree: u64, flags in 0u32..4,
    ) {
        let table = (0x1000 + loader_length + gap).next_multiple_of(8);
        let header = Header {
            image_size: table + rest,
            loader_length,
            payload_table_offset: table,
            boot_flags: BootFlags::from_bits(flags).unwrap(),
            log_level: LogLevel::Quiet,
            phys_tree_hint: tree,
        };
        prop_assert_eq!(Header::decode(&header.encode(crc32c), crc32c), Ok(header));
    }

    #[test]
    fn hostile_pages_end_in_a_value(changes in prop::collection::vec((0usize..0xC0, any::<u8>()), 0..8)) {
        let mut page = HEADER.encode(crc32c);
        for (at, value) in changes {
            page[at] = value;
        }
        seal(&mut page, crc32c).unwrap();
        if let Ok(header) = Header::decode(&page, crc32c) {
            prop_assert!(header.loader_length <= header.image_size && header.image_size <= MAX_IMAGE_SIZE);
            prop_assert!(header.payload_table_offset < header.image_size);
        }
    }
}
