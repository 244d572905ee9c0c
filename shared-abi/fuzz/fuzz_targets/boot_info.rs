//! Bytes → `BootInfo`: as they are, as changes of a whole example, and with header and checksum made right; then
//! everything that it answers.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shared_abi::boot_info::{BootInfo, MAGIC, TableId, WindowId};
use shared_abi::crc32c::crc32c;

/// Asks everything, and checks what holding a `BootInfo` proves.
fn visit(info: &BootInfo<'_>) {
    let mut end = 0;
    for region in info.memory_map() {
        let range = region.range();
        assert!(
            range.start().get() == region.phys_start && range.len() == region.length && !range.is_empty()
        );
        assert!(range.start().get() >= end);
        end = range.end();
        let _ = info.string(region.name).len();
    }
    let untyped: u64 = info.untypeds().map(|block| block.bytes()).sum();
    assert_eq!(untyped, info.free_bytes());
    assert!(info.untypeds().all(|block| block.phys_start % block.bytes() == 0));
    assert!(info.total_ram() >= info.free_bytes());
    let kernel = info.kernel();
    assert_eq!(kernel.range().start().get(), kernel.virt_start);
    for extent in info.extents() {
        assert!(kernel.range().covers(extent.virt()) && extent.virt().len() == extent.phys().len());
        let _ = (extent.rights(), extent.origin.to_string());
    }
    let map = info.direct_map();
    assert_eq!(map.range().len(), map.phys().len());
    let stack = info.boot_stack();
    assert!(!stack.range().is_empty() && stack.guard().end() == stack.virt_bottom);
    assert_eq!(stack.range().len(), stack.phys().len());
    for window in info.windows() {
        assert_eq!(window.range().len(), window.length);
    }
    let _ = (info.window(WindowId::HEAP), info.page_tables().pool(), info.firmware_image().phys());
    for register in info.registers() {
        let _ = register.id.to_string();
    }
    if let Some(console) = info.console() {
        let _ = (console.kind(), console.layout(), info.string(console.path).len());
    }
    assert!(info.device_tree().is_none_or(|tree| tree.phys().len() == tree.length));
    assert!(info.initrd().is_none_or(|initrd| initrd.phys().len() == initrd.length));
    for module in info.modules() {
        assert_eq!(module.phys().len(), module.length);
        let _ = info.string(module.name).len();
    }
    let _ = (info.cpus().count(), info.symbols(), info.entropy(), info.log(), info.command_line().len());
    let mut ticks = 0;
    for stage in info.timeline() {
        assert!(stage.ticks >= ticks);
        ticks = stage.ticks;
    }
    let _ = info.string(info.platform().model).len();
    for (&table, layout) in TableId::ALL.iter().filter_map(|table| Some((table, table.layout()?))) {
        for record in info.raw_records(table) {
            assert!(record.len() >= layout.size);
            for field in layout.fields {
                let _ = info.value(field, record).to_string();
            }
        }
    }
}

/// The whole example that the crate's tests pin.
fn sample() -> Vec<u8> {
    let lines = include_str!("../../src/boot_info/sample.hex").lines();
    let words = lines.flat_map(|line| line.split_whitespace().skip(1));
    words.flat_map(|word| u32::from_str_radix(word, 16).expect("a word of the dump").to_be_bytes()).collect()
}

/// Makes the checksum right and decodes.
fn decode_sealed(blob: &mut [u8], total: usize) {
    let checksum = crc32c(crc32c(0, &blob[..20]), &blob[24..total]);
    blob[20..24].copy_from_slice(&checksum.to_le_bytes());
    match BootInfo::decode(blob) {
        Ok(info) => visit(&info),
        Err(error) => assert!(!error.to_string().is_empty() && error.code() != 609),
    }
}

fuzz_target!(|input: &[u8]| {
    if let Ok(info) = BootInfo::decode_damaged(input) {
        visit(&info);
    }

    // The input as changes of the example: offset and value, four bytes each. The header's sizes stay.
    static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(sample);
    let mut blob = SAMPLE.clone();
    for change in input.chunks_exact(4).take(8) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if (24..blob.len() - 1).contains(&at) {
            blob[at..at + 2].copy_from_slice(&change[2..]);
        }
    }
    let total = blob.len();
    decode_sealed(&mut blob, total);

    // The input as a blob with a good header.
    if input.len() >= 40 {
        let mut blob = input.to_vec();
        let total = blob.len() & !7;
        blob[..8].copy_from_slice(&MAGIC);
        blob[8..10].copy_from_slice(&1u16.to_le_bytes());
        blob[12..16].copy_from_slice(&40u32.to_le_bytes());
        blob[16..20].copy_from_slice(&(total as u32).to_le_bytes());
        decode_sealed(&mut blob, total);
    }
});
