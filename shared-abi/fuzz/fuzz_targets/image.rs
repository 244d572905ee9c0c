//! Bytes → a combined image. Checksums are made right, so that what is behind them is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_abi::crc32c::crc32c;
use shared_abi::image::header::{HEADER_PAGE, seal};
use shared_abi::image::payload::EndMarker;
use shared_abi::image::{BootFlags, Header, Kind, LogLevel, open};

/// Puts a header page in front of the input, seals the table that the input begins with, and closes the image
/// with the marker that belongs to it.
fn image(input: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 2 * HEADER_PAGE];
    image.extend(input);
    image.resize(image.len().next_multiple_of(0x1000) + 0x1000, 0xA5);
    let image_size = image.len() as u64;
    let header = Header {
        image_size,
        loader_length: HEADER_PAGE as u64,
        payload_table_offset: 2 * HEADER_PAGE as u64,
        boot_flags: BootFlags::empty(),
        log_level: LogLevel::Normal,
        phys_tree_hint: 0,
    };
    image[..HEADER_PAGE].copy_from_slice(&header.encode(crc32c));
    let table = &mut image[2 * HEADER_PAGE..];
    table[..12].copy_from_slice(b"HOTABLE\0\x01\0\0\0");
    table[24..32].copy_from_slice(&image_size.to_le_bytes());
    let word =
        |at: usize| u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]]) as usize;
    let length = word(12).saturating_add(word(16).saturating_mul(word(20)));
    let checksum = crc32c(crc32c(0, &table[..36]), table.get(40..length).unwrap_or_default());
    table[36..40].copy_from_slice(&checksum.to_le_bytes());
    let marker = EndMarker::new(image_size, checksum);
    let end = image.len() - EndMarker::SIZE as usize;
    image[end..].copy_from_slice(&marker.to_bytes());
    image
}

fuzz_target!(|input: &[u8]| {
    let _ = open(input, crc32c).map_err(|error| error.to_string());

    // The input as header page.
    let mut page = input.to_vec();
    if page.len() >= HEADER_PAGE && seal(&mut page, crc32c).is_some() {
        let _ = open(&page, crc32c).map_err(|error| error.to_string());
    }

    // The input as table.
    let image = image(input);
    match open(&image, crc32c) {
        Ok((header, table)) => {
            let mut free = header.payload_table_offset;
            for entry in table.entries() {
                assert!(entry.length > 0 && entry.offset >= free);
                free = entry.offset + entry.length;
                assert!(free <= header.image_size - EndMarker::SIZE);
                assert_eq!(table.bytes(&entry).len() as u64, entry.length);
                let _ = (entry.name().len(), table.verify(&entry, crc32c));
            }
            assert_eq!(table.entries().filter(|entry| entry.kind == Kind::KERNEL).count(), 1);
        }
        Err(error) => assert!(!error.to_string().is_empty() && error.code() >= 101),
    }
});
