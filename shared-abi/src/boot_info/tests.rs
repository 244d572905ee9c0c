//! Tests of `BootInfo`: a whole example, its golden bytes, every refusal by field, and hostile bytes.

use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::addr::PhysAddr;
use crate::crc32c::crc32c;
use crate::memory::RegionKind;
use crate::rights::Rights;
use crate::uart::UartKind;

const PAGE: u64 = 0x1000;

fn region(phys_start: u64, pages: u64, kind: RegionKind, name: StringRef) -> MemoryRegion {
    MemoryRegion { phys_start, length: pages * PAGE, kind: kind.0, node: 0, name }
}

/// What the loader would write for a small kernel on a small machine.
fn write_sample(writer: &mut BootInfoWriter<'_>) -> Result<(), WriteError> {
    let firmware = writer.string("secure-monitor")?;
    writer.push(&region(0x4000_0000, 0x200, RegionKind::USABLE, StringRef::default()))?;
    writer.push(&region(0x4020_0000, 0x20, RegionKind::KERNEL, StringRef::default()))?;
    writer.push(&region(0x4022_0000, 0x10, RegionKind::LOADER_RECLAIMABLE, StringRef::default()))?;
    writer.push(&region(0x4023_0000, 0x1D0, RegionKind::USABLE, StringRef::default()))?;
    writer.push(&region(0x4040_0000, 0x100, RegionKind::FIRMWARE, firmware))?;
    writer.push(&region(0x8000_0000, 0x4_0000, RegionKind::USABLE, StringRef::default()))?;
    let name = writer.string("kernel")?;
    writer.push(&Kernel {
        virt_link_base: 0,
        slide: 0xFFFF_0123_4560_0000,
        virt_entry: 0xFFFF_0123_4560_1008,
        virt_start: 0xFFFF_0123_4560_0000,
        length: 0x6000,
        phys_elf: 0x4020_3000,
        elf_length: 0x5432,
        pages_in_place: 4,
        pages_copied: 1,
        pages_zeroed: 1,
        relocations: 17,
        flags: KernelFlags::POSITION_INDEPENDENT.union(KernelFlags::SLID),
        abi_major: 1,
        abi_minor: 0,
        name,
        wanted: 1,
    })?;
    for (page, pages, rights, origin) in [
        (0, 1, Rights::ReadOnly, Origin::IN_PLACE),
        (1, 2, Rights::ReadExecute, Origin::IN_PLACE),
        (3, 2, Rights::ReadWrite, Origin::COPIED),
        (5, 1, Rights::ReadWrite, Origin::ZEROED),
    ] {
        writer.push(&Extent {
            virt_start: 0xFFFF_0123_4560_0000 + page * PAGE,
            phys_start: 0x4020_3000 + page * PAGE,
            length: pages * PAGE,
            rights: rights.to_u32(),
            origin,
            segment: page as u32,
            reserved: 0,
        })?;
    }
    writer.push(&DirectMap {
        virt_offset: 0xFFFF_8040_0000_0000,
        phys_start: 0x4000_0000,
        phys_end: 0xC000_0000,
    })?;
    for (id, virt_start, length) in [
        (WindowId::KERNEL, 0xFFFF_0000_0000_0000, 0x80_0000_0000),
        (WindowId::HEAP, 0xFFFF_0000_1000_0000, 0x7F_F000_0000),
        (WindowId::BOOT_INFO, 0xFFFF_0080_0040_0000, 0x2000),
    ] {
        writer.push(&Window { id, reserved: 0, virt_start, length })?;
    }
    writer.push(&BootStack {
        virt_guard: 0xFFFF_0080_0080_0000,
        guard_length: 0x1000,
        virt_bottom: 0xFFFF_0080_0080_1000,
        virt_top: 0xFFFF_0080_0081_1000,
        phys_bottom: 0x4021_0000,
    })?;
    writer.push(&PageTables {
        phys_root_high: 0x4022_0000,
        phys_root_low: 0x4022_1000,
        phys_pool: 0x4022_0000,
        pool_length: 0x1_0000,
        pool_used: 0x9000,
        table_count: 9,
        reserved: 0,
    })?;
    writer.push(&Register { id: RegisterId::SCTLR_EL1, reserved: 0, value: 0x30D0_198D })?;
    writer.push(&Register { id: RegisterId::TTBR1_EL1, reserved: 0, value: 0x4022_0000 })?;
    let path = writer.string("/pl011@9000000")?;
    writer.push(&Console {
        kind: UartKind::Pl011 as u32,
        access_width: 4,
        register_shift: 0,
        clock_frequency: 24_000_000,
        phys_base: 0x900_0000,
        virt_base: 0xFFFF_0080_0200_0000,
        length: 0x1000,
        path,
    })?;
    writer.push(&DeviceTree {
        phys_start: 0x4800_0000,
        virt_start: 0xFFFF_8040_4800_0000,
        length: 0x1E00,
    })?;
    writer.command_line(&["console=ttyAMA0", " ", "größe=1"])?;
    for (index, text) in ["init", "ünïcode.txt"].into_iter().enumerate() {
        let name = writer.string(text)?;
        writer.push(&Module {
            name,
            phys_start: 0x4030_0000 + index as u64 * 0x1_0000,
            length: 0x123,
            flags: ModuleFlags::READ_ONLY,
            reserved: 0,
        })?;
    }
    writer.push(&Initrd { phys_start: 0x4810_0004, length: 0x777 })?;
    for mpidr in [0, 1, 0x1_0000_0100] {
        let flags = if mpidr == 0 { CpuFlags::BOOT } else { CpuFlags::empty() };
        writer.push(&Cpu { mpidr, flags, enable_method: EnableMethod::PSCI, ..Cpu::default() })?;
    }
    let model = writer.string("linux,dummy-virt")?;
    writer.push(&Platform {
        page_shift: 12,
        entry_exception_level: 1,
        timer_frequency: 62_500_000,
        psci_version: 0x1_0001,
        psci_conduit: Conduit::HVC,
        exit: ExitMethod::SEMIHOSTING,
        tree_source: TreeSource::FIRMWARE,
        phys_secondary_entry: 0,
        closed_features: ClosedFeatures::empty(),
        reserved: 0,
        flags: PlatformFlags::empty(),
        phys_address_bits: 40,
        model,
        midr: 0x410F_D034,
    })?;
    writer.push(&FirmwareImage {
        phys_image: 0x4020_0000,
        image_length: 0x1_8000,
        loader_length: 0xB000,
        entry_arguments: [0x4800_0000, 0, 0, 0],
        payload_checksum: 0x1234_5678,
        reserved: 0,
    })?;
    writer.push(&Entropy {
        bytes: [0x5A; 32],
        credited_bits: 256,
        sources: EntropySources::RNG_SEED,
        slide_credited_bits: 64,
        slide_sources: EntropySources::KASLR_SEED,
    })?;
    for (index, stage) in ["entry", "tree", "plan", "jump"].into_iter().enumerate() {
        let name = writer.string(stage)?;
        writer.push(&Stage { ticks: 1000 + 10 * index as u64, name })?;
    }
    writer.push(&Symbols { phys_start: 0x4020_A000, length: 0x321 })?;
    writer.push(&Secondaries {
        phys_entry: 0x4020_1870,
        phys_mailbox: 0x4020_B000,
        virt_mailbox: 0xFFFF_0080_0000_B000,
        record_size: StartRecord::SIZE,
        status_offset: STATUS_OFFSET as u32,
        arrival_levels: 1 << 1,
        flags: 0,
        reserved: 0,
    })?;
    writer.append_log(b"loader: hello\n")?;
    writer.append_log(b"loader: jump")?;
    writer.mark_truncated();
    Ok(())
}

/// The sample's bytes, written over old contents of the buffer.
fn sample() -> Vec<u8> {
    let mut buffer = vec![0xEE; 0x4000];
    let mut writer = BootInfoWriter::new(&mut buffer);
    write_sample(&mut writer).unwrap();
    let length = writer.finish(crc32c).unwrap();
    assert!(buffer[length..0x2E00].iter().all(|&byte| byte == 0xEE), "written past the end");
    buffer.truncate(length);
    buffer
}

/// Makes the checksum right again.
fn seal(blob: &mut [u8]) {
    let total = (u32::from_le_bytes(blob[16..20].try_into().unwrap()) as usize).min(blob.len());
    let sum = crc32c(crc32c(0, &blob[..20]), &blob[24.min(total)..total]);
    blob[20..24].copy_from_slice(&sum.to_le_bytes());
}

fn directory(blob: &[u8]) -> Vec<DirectoryEntry> {
    let header = Header::read(blob).unwrap();
    let bytes = &blob[header.directory_offset as usize..];
    bytes
        .chunks_exact(24)
        .take(header.directory_count as usize)
        .map(|entry| DirectoryEntry::read_from_bytes(entry).unwrap())
        .collect()
}

/// The index of a table's entry in the directory.
fn entry_of(blob: &[u8], id: TableId) -> usize {
    directory(blob).iter().position(|entry| entry.id == id).unwrap()
}

/// The error of the sample after a record was changed.
fn refused<R: Record>(index: usize, change: impl Fn(&mut R)) -> (TableId, u32, &'static str) {
    let mut blob = sample();
    let entry = directory(&blob)[entry_of(&blob, R::TABLE)];
    assert!(index < entry.count as usize);
    let place = entry.offset as usize + index * entry.stride as usize;
    let bytes = &mut blob[place..place + size_of::<R>()];
    let mut record = R::read_from_bytes(bytes).unwrap();
    change(&mut record);
    bytes.copy_from_slice(record.as_bytes());
    seal(&mut blob);
    match BootInfo::decode(&blob) {
        Err(BootInfoError::Field { table, index, field, .. }) => (table, index, field),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let blob = sample();
    let info = BootInfo::decode(&blob).unwrap();
    assert_eq!(info.bytes().len(), blob.len());
    assert_eq!(info.memory_map().len(), 6);
    assert_eq!(info.total_ram(), 0x4_0500 * PAGE);
    assert_eq!(info.free_bytes(), (0x200 + 0x10 + 0x1D0 + 0x4_0000) * PAGE);
    assert_eq!(info.string(info.memory_map().get(4).unwrap().name), "secure-monitor");
    let kernel = info.kernel();
    assert_eq!(info.string(kernel.name), "kernel");
    assert_eq!(kernel.range().len(), 0x6000);
    assert_eq!(
        info.extents().map(|extent| (extent.rights(), extent.origin)).collect::<Vec<_>>(),
        [
            (Rights::ReadOnly, Origin::IN_PLACE),
            (Rights::ReadExecute, Origin::IN_PLACE),
            (Rights::ReadWrite, Origin::COPIED),
            (Rights::ReadWrite, Origin::ZEROED),
        ]
    );
    let map = info.direct_map();
    let virt = map.virt(PhysAddr::new(0x4000_0000).unwrap()).unwrap();
    assert_eq!(virt.get(), 0xFFFF_8040_4000_0000);
    assert_eq!(map.virt(PhysAddr::new(0xC000_0000).unwrap()), None);
    assert_eq!(map.virt(PhysAddr::new(0x3FFF_FFFF).unwrap()), None);
    assert_eq!(info.window(WindowId::HEAP).unwrap().start().get(), 0xFFFF_0000_1000_0000);
    assert_eq!(info.window(WindowId::LOADER), None);
    assert_eq!(info.boot_stack().range().len(), 0x1_0000);
    assert_eq!(info.boot_stack().guard().end(), info.boot_stack().range().start().get());
    assert_eq!(info.page_tables().pool().len(), 0x1_0000);
    assert_eq!(info.register(RegisterId::SCTLR_EL1), Some(0x30D0_198D));
    assert_eq!(info.register(RegisterId::VBAR_EL1), None);
    let console = info.console().unwrap();
    assert_eq!((console.kind(), info.string(console.path)), (Some(UartKind::Pl011), "/pl011@9000000"));
    assert_eq!(info.device_tree().unwrap().phys().len(), 0x1E00);
    assert_eq!(info.command_line(), "console=ttyAMA0 größe=1");
    let names: Vec<_> = info.modules().map(|module| info.string(module.name)).collect();
    assert_eq!(names, ["init", "ünïcode.txt"]);
    assert_eq!(info.initrd().unwrap().phys().start().get(), 0x4810_0004);
    assert_eq!(info.cpus().map(|cpu| cpu.mpidr).collect::<Vec<_>>(), [0, 1, 0x1_0000_0100]);
    assert_eq!(info.string(info.platform().model), "linux,dummy-virt");
    assert_eq!(info.firmware_image().phys().len(), 0x1_8000);
    assert_eq!(info.entropy().unwrap().bytes, [0x5A; 32]);
    let stages: Vec<_> = info.timeline().map(|stage| (info.string(stage.name), stage.ticks)).collect();
    assert_eq!(stages, [("entry", 1000), ("tree", 1010), ("plan", 1020), ("jump", 1030)]);
    assert_eq!(info.log(), Log { bytes: b"loader: hello\nloader: jump", is_truncated: true });
    assert_eq!(info.symbols().unwrap().length, 0x321);
}

#[test]
fn it_reads_the_same_at_any_alignment_and_from_a_longer_slice() {
    let blob = sample();
    for shift in 1..8 {
        let mut moved = vec![0xAA; shift];
        moved.extend(&blob);
        moved.extend([0xBB; 9]);
        let info = BootInfo::decode(&moved[shift..]).unwrap();
        assert_eq!(info.bytes(), blob);
        assert_eq!(info.cpus().len(), 3);
    }
}

#[test]
fn it_is_written_the_same_at_any_alignment_and_record_by_record_or_at_once() {
    let blob = sample();
    for shift in 1..8 {
        let mut buffer = vec![0xEE; 0x4008];
        let mut writer = BootInfoWriter::new(&mut buffer[shift..]);
        write_sample(&mut writer).unwrap();
        let length = writer.finish(crc32c).unwrap();
        assert_eq!(buffer[shift..shift + length], blob);
    }
    let records: Vec<Register> =
        (1..9).map(|id| Register { id: RegisterId(id), reserved: 0, value: 1 << id }).collect();
    let (mut one, mut all) = (vec![0; 0x1000], vec![0xFF; 0x1000]);
    let mut writer = BootInfoWriter::new(&mut one);
    for record in &records {
        writer.push(record).unwrap();
    }
    let length = writer.finish(crc32c).unwrap();
    let mut writer = BootInfoWriter::new(&mut all);
    writer.push_all(&records).unwrap();
    assert_eq!(writer.push_all(&[records[0]; 57]), Err(WriteError::Limit { table: TableId::REGISTERS }));
    assert_eq!(writer.finish(crc32c), Ok(length));
    assert_eq!(one[..length], all[..length]);
}

/// The blob in lines of sixteen bytes.
fn dump(blob: &[u8]) -> String {
    let mut text = String::new();
    for (index, line) in blob.chunks(16).enumerate() {
        let words: Vec<String> =
            line.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        text.push_str(&format!("{:04x}: {}\n", index * 16, words.join(" ")));
    }
    text
}

#[test]
fn the_sample_has_these_bytes() {
    // A change here is a change of the ABI: every kernel that was ever built reads these bytes.
    assert_eq!(dump(&sample()), include_str!("sample.hex"));
    assert_eq!(directory(&sample()).len(), 22, "the sample has every table of ABI 1.0");
}

#[test]
fn a_blob_that_ends_early_is_refused() {
    let blob = sample();
    for end in 0..blob.len() {
        let error = BootInfo::decode(&blob[..end]).unwrap_err();
        assert_eq!(error, BootInfoError::Short { length: end as u64 });
    }
}

#[test]
fn every_changed_bit_is_found() {
    let blob = sample();
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(BootInfo::decode(&damaged).is_err(), "byte {at:#x}");
    }
}

#[test]
fn the_free_memory_as_untypeds_is_the_largest_blocks_in_order() {
    let blob = sample();
    let info = BootInfo::decode(&blob).unwrap();
    let blocks: Vec<_> = info.untypeds().map(|block| (block.phys_start, block.bits)).collect();
    assert_eq!(
        blocks,
        [
            (0x4000_0000, 21),
            (0x4022_0000, 16),
            (0x4023_0000, 16),
            (0x4024_0000, 18),
            (0x4028_0000, 19),
            (0x4030_0000, 20),
            (0x8000_0000, 30),
        ]
    );
}

/// The error of the sample after bytes of its header were changed, sealed again.
fn refused_header(at: usize, value: &[u8]) -> BootInfoError {
    let mut blob = sample();
    blob[at..at + value.len()].copy_from_slice(value);
    // A total size that grew leaves nothing to seal.
    if at != 16 {
        seal(&mut blob);
    }
    BootInfo::decode(&blob).unwrap_err()
}

#[test]
fn every_field_of_the_header_is_refused_by_name() {
    let word = u32::to_le_bytes;
    let size = sample().len() as u32;
    assert_eq!(refused_header(0, b"X"), BootInfoError::Magic { found: 0x4F46_4E49_544F_4F58 });
    assert_eq!(refused_header(8, &[2, 0]), BootInfoError::AbiMajor { found: 2 });
    for found in [0, 32, 44, 0x1008, u32::MAX - 7] {
        assert_eq!(refused_header(12, &word(found)), BootInfoError::HeaderSize { found });
    }
    for found in [0, 32, size - 4, BOOT_INFO_MAX as u32 + 8, u32::MAX - 7] {
        assert_eq!(refused_header(16, &word(found)), BootInfoError::TotalSize { found });
    }
    assert_eq!(refused_header(16, &word(size + 8)), BootInfoError::Short { length: u64::from(size) });
    for found in [0, 32, size - 4, size, u32::MAX - 7] {
        assert_eq!(refused_header(24, &word(found)), BootInfoError::DirectoryOffset { found, total: size });
    }
    assert_eq!(refused_header(28, &word(65)), BootInfoError::DirectoryCount { found: 65 });
    for found in [0, 16, 28, 0x1008] {
        assert_eq!(refused_header(32, &word(found)), BootInfoError::DirectoryStride { found });
    }
    let mut blob = sample();
    blob[21] ^= 1;
    assert!(matches!(BootInfo::decode(&blob), Err(BootInfoError::Checksum { .. })));
    // A larger minor version, and a header field that a later one filled, are no reason.
    blob[10] = 7;
    blob[36] = 7;
    seal(&mut blob);
    assert!(BootInfo::decode(&blob).is_ok());
}

/// The error of the sample after its directory was changed.
fn refused_directory(change: impl Fn(&mut [DirectoryEntry])) -> BootInfoError {
    let mut blob = sample();
    change_directory(&mut blob, change);
    BootInfo::decode(&blob).unwrap_err()
}

fn change_directory(blob: &mut [u8], change: impl Fn(&mut [DirectoryEntry])) {
    let offset = Header::read(blob).unwrap().directory_offset as usize;
    let mut entries = directory(blob);
    change(&mut entries);
    blob[offset..offset + entries.len() * 24].copy_from_slice(entries.as_bytes());
    seal(blob);
}

#[test]
fn every_fault_of_the_directory_is_refused_by_name() {
    let blob = sample();
    let entries = directory(&blob);
    let (map, kernel) = (entry_of(&blob, TableId::MEMORY_MAP), entry_of(&blob, TableId::KERNEL));
    let first = entries[map];
    let bytes = first.count * first.stride;
    assert_eq!(
        refused_directory(|entries| entries[map].offset += 4),
        BootInfoError::TableOffset {
            table: TableId::MEMORY_MAP,
            offset: first.offset + 4,
            length: u64::from(bytes)
        }
    );
    for count in [0x1000, u32::MAX] {
        assert_eq!(
            refused_directory(|entries| entries[map].count = count),
            BootInfoError::TableOffset {
                table: TableId::MEMORY_MAP,
                offset: first.offset,
                length: u64::from(count) * 32
            }
        );
    }
    assert_eq!(
        refused_directory(|entries| entries[map].offset = 32),
        BootInfoError::TableOrder { table: TableId::MEMORY_MAP, offset: 32, free: 40 }
    );
    assert_eq!(
        refused_directory(|entries| entries[map].count += 1),
        BootInfoError::TableOrder {
            table: TableId::KERNEL,
            offset: entries[kernel].offset,
            free: entries[kernel].offset + 32
        }
    );
    // Over the directory.
    let last = entries.len() - 1;
    let table = entries[last].id;
    let offset = Header::read(&blob).unwrap().directory_offset;
    assert_eq!(
        refused_directory(|entries| entries[last].offset = offset),
        BootInfoError::TableOffset { table, offset, length: u64::from(entries[last].count) }
    );
    assert_eq!(
        refused_directory(|entries| entries[kernel].count = 0),
        BootInfoError::TableMissing { table: TableId::KERNEL }
    );
    for stride in [0, 4, 24] {
        assert_eq!(
            refused_directory(|entries| entries[map].stride = stride),
            BootInfoError::TableStride { table: TableId::MEMORY_MAP, stride }
        );
    }
    assert_eq!(
        refused_directory(|entries| entries[map].id = TableId::KERNEL),
        BootInfoError::TableCount { table: TableId::KERNEL, count: 6 }
    );
    let (initrd, module) = (entry_of(&blob, TableId::INITRD), entry_of(&blob, TableId::MODULES));
    assert_eq!(
        refused_directory(|entries| entries[initrd].id = TableId::MODULES),
        BootInfoError::TableTwice { table: TableId::MODULES }
    );
    assert_eq!(
        refused_directory(|entries| {
            entries[module].id = TableId(63);
            entries[module].flags = TableFlags::MUST_UNDERSTAND;
        }),
        BootInfoError::TableUnknown { table: TableId(63) }
    );
    assert_eq!(
        refused_directory(|entries| entries[kernel].id = TableId(99)),
        BootInfoError::TableMissing { table: TableId::KERNEL }
    );
    let log = entry_of(&blob, TableId::LOG);
    assert_eq!(
        refused_directory(|entries| {
            entries[log].stride = 8;
            entries[log].count = 1;
        }),
        BootInfoError::TableStride { table: TableId::LOG, stride: 8 }
    );
}

#[test]
fn unknown_tables_are_skipped_and_optional_ones_may_be_absent() {
    let mut blob = sample();
    let optional = [
        TableId::CONSOLE,
        TableId::DEVICE_TREE,
        TableId::COMMAND_LINE,
        TableId::MODULES,
        TableId::INITRD,
        TableId::CPUS,
        TableId::ENTROPY,
        TableId::TIMELINE,
        TableId::LOG,
        TableId::SYMBOLS,
        TableId::SECONDARIES,
    ];
    change_directory(&mut blob, |entries| {
        for entry in entries.iter_mut().filter(|entry| optional.contains(&entry.id)) {
            entry.id.0 += 1000;
        }
    });
    let info = BootInfo::decode(&blob).unwrap();
    assert_eq!(info.console(), None);
    assert_eq!(info.device_tree(), None);
    assert_eq!(info.command_line(), "");
    assert_eq!((info.modules().len(), info.cpus().len(), info.timeline().len()), (0, 0, 0));
    assert_eq!((info.initrd(), info.entropy(), info.symbols()), (None, None, None));
    assert_eq!(info.secondaries(), None);
    assert_eq!(info.log(), Log { bytes: b"", is_truncated: false });
}

#[test]
fn longer_records_of_a_later_version_are_read_by_their_known_part() {
    // Modules of 32 bytes become one record of 64: the second is what the first grew by.
    let mut blob = sample();
    change_directory(&mut blob, |entries| {
        let modules = entries.iter_mut().find(|entry| entry.id == TableId::MODULES).unwrap();
        modules.count = 1;
        modules.stride = 64;
    });
    let info = BootInfo::decode(&blob).unwrap();
    let names: Vec<_> = info.modules().map(|module| info.string(module.name)).collect();
    assert_eq!(names, ["init"]);
}

#[test]
fn every_field_of_the_memory_map_is_refused_by_name() {
    let map = TableId::MEMORY_MAP;
    assert_eq!(refused::<MemoryRegion>(1, |region| region.phys_start += 8), (map, 1, "phys_start"));
    assert_eq!(refused::<MemoryRegion>(1, |region| region.phys_start -= PAGE), (map, 1, "phys_start"));
    assert_eq!(refused::<MemoryRegion>(0, |region| region.length += PAGE), (map, 1, "phys_start"));
    assert_eq!(refused::<MemoryRegion>(2, |region| region.length = 0), (map, 2, "length"));
    assert_eq!(refused::<MemoryRegion>(2, |region| region.length += 1), (map, 2, "length"));
    assert_eq!(
        refused::<MemoryRegion>(5, |region| region.length = 0u64.wrapping_sub(PAGE)),
        (map, 5, "length")
    );
    assert_eq!(refused::<MemoryRegion>(5, |region| region.length = 1 << 48), (map, 5, "length"));
    assert_eq!(refused::<MemoryRegion>(4, |region| region.name.length += 1), (map, 4, "name"));
    assert_eq!(refused::<MemoryRegion>(4, |region| region.name.offset = u32::MAX), (map, 4, "name"));
}

#[test]
fn every_field_of_the_kernel_is_refused_by_name() {
    let kernel = TableId::KERNEL;
    assert_eq!(refused::<Kernel>(0, |it| it.virt_start += 8), (kernel, 0, "virt_start"));
    assert_eq!(refused::<Kernel>(0, |it| it.length = 0), (kernel, 0, "length"));
    assert_eq!(refused::<Kernel>(0, |it| it.length = !0xFFF), (kernel, 0, "length"));
    assert_eq!(refused::<Kernel>(0, |it| it.virt_start = 0x1000), (kernel, 0, "length"));
    assert_eq!(refused::<Kernel>(0, |it| it.slide += PAGE), (kernel, 0, "slide"));
    assert_eq!(refused::<Kernel>(0, |it| it.virt_link_base += PAGE), (kernel, 0, "slide"));
    assert_eq!(refused::<Kernel>(0, |it| it.virt_entry += 0x5000), (kernel, 0, "virt_entry"));
    assert_eq!(refused::<Kernel>(0, |it| it.phys_elf = 1 << 48), (kernel, 0, "phys_elf"));
    assert_eq!(refused::<Kernel>(0, |it| it.elf_length = u64::MAX), (kernel, 0, "phys_elf"));
    assert_eq!(refused::<Kernel>(0, |it| it.name.length = 99), (kernel, 0, "name"));
    let extents = TableId::EXTENTS;
    assert_eq!(refused::<Extent>(1, |it| it.virt_start += 1), (extents, 1, "virt_start"));
    assert_eq!(refused::<Extent>(1, |it| it.virt_start -= PAGE), (extents, 1, "virt_start"));
    assert_eq!(refused::<Extent>(1, |it| it.virt_start = 0xFFFF_8000_0000_0000), (extents, 1, "virt_start"));
    assert_eq!(refused::<Extent>(3, |it| it.length += PAGE), (extents, 3, "virt_start"));
    assert_eq!(refused::<Extent>(1, |it| it.phys_start += 1), (extents, 1, "phys_start"));
    assert_eq!(refused::<Extent>(1, |it| it.phys_start = 1 << 48), (extents, 1, "phys_start"));
    assert_eq!(refused::<Extent>(1, |it| it.length = 0), (extents, 1, "length"));
    assert_eq!(refused::<Extent>(1, |it| it.rights = 4), (extents, 1, "rights"));
    assert_eq!(refused::<Symbols>(0, |it| it.length = u64::MAX), (TableId::SYMBOLS, 0, "phys_start"));
}

#[test]
fn every_field_of_the_address_space_is_refused_by_name() {
    let map = TableId::DIRECT_MAP;
    assert_eq!(refused::<DirectMap>(0, |it| it.virt_offset += 1 << 21), (map, 0, "virt_offset"));
    assert_eq!(refused::<DirectMap>(0, |it| it.virt_offset = 0), (map, 0, "virt_offset"));
    assert_eq!(refused::<DirectMap>(0, |it| it.virt_offset = 0xFFFF_FFFF_C000_0000), (map, 0, "virt_offset"));
    assert_eq!(refused::<DirectMap>(0, |it| it.phys_start += 1), (map, 0, "phys_start"));
    assert_eq!(refused::<DirectMap>(0, |it| it.phys_start = 0xD000_0000), (map, 0, "phys_end"));
    assert_eq!(refused::<DirectMap>(0, |it| it.phys_end += 1), (map, 0, "phys_end"));
    let windows = TableId::WINDOWS;
    assert_eq!(refused::<Window>(2, |it| it.virt_start += 1), (windows, 2, "virt_start"));
    assert_eq!(refused::<Window>(2, |it| it.virt_start = 0), (windows, 2, "length"));
    assert_eq!(refused::<Window>(2, |it| it.length += 8), (windows, 2, "length"));
    assert_eq!(refused::<Window>(2, |it| it.length = 1 << 63), (windows, 2, "length"));
    let stack = TableId::BOOT_STACK;
    assert_eq!(refused::<BootStack>(0, |it| it.virt_guard -= PAGE), (stack, 0, "virt_bottom"));
    assert_eq!(refused::<BootStack>(0, |it| it.virt_guard = 0), (stack, 0, "virt_guard"));
    assert_eq!(refused::<BootStack>(0, |it| it.guard_length = 0), (stack, 0, "virt_guard"));
    assert_eq!(refused::<BootStack>(0, |it| it.virt_bottom += PAGE), (stack, 0, "virt_bottom"));
    assert_eq!(refused::<BootStack>(0, |it| it.virt_top = it.virt_bottom), (stack, 0, "virt_top"));
    assert_eq!(refused::<BootStack>(0, |it| it.virt_top = 0), (stack, 0, "virt_top"));
    assert_eq!(refused::<BootStack>(0, |it| it.phys_bottom += 16), (stack, 0, "phys_bottom"));
    let tables = TableId::PAGE_TABLES;
    assert_eq!(refused::<PageTables>(0, |it| it.phys_root_high += 8), (tables, 0, "phys_root_high"));
    assert_eq!(refused::<PageTables>(0, |it| it.phys_root_low = 1 << 48), (tables, 0, "phys_root_low"));
    assert_eq!(refused::<PageTables>(0, |it| it.phys_pool += 8), (tables, 0, "phys_pool"));
    assert_eq!(refused::<PageTables>(0, |it| it.pool_used = 0x1_1000), (tables, 0, "pool_used"));
    assert_eq!(refused::<Register>(1, |it| it.id.0 = 0x1_0000), (TableId::REGISTERS, 1, "id"));
}

#[test]
fn every_field_of_the_machine_is_refused_by_name() {
    let console = TableId::CONSOLE;
    assert_eq!(refused::<Console>(0, |it| it.access_width = 3), (console, 0, "access_width"));
    assert_eq!(refused::<Console>(0, |it| it.register_shift = 5), (console, 0, "register_shift"));
    assert_eq!(refused::<Console>(0, |it| it.phys_base = 1 << 48), (console, 0, "phys_base"));
    assert_eq!(refused::<Console>(0, |it| it.virt_base = 0x900_0000), (console, 0, "virt_base"));
    assert_eq!(refused::<Console>(0, |it| it.path.length += 1), (console, 0, "path"));
    let tree = TableId::DEVICE_TREE;
    assert_eq!(refused::<DeviceTree>(0, |it| it.phys_start = 1 << 48), (tree, 0, "phys_start"));
    assert_eq!(refused::<DeviceTree>(0, |it| it.virt_start = 0), (tree, 0, "virt_start"));
    let cpus = TableId::CPUS;
    assert_eq!(refused::<Cpu>(2, |it| it.mpidr |= 1 << 31), (cpus, 2, "mpidr"));
    assert_eq!(refused::<Cpu>(2, |it| it.phys_release = 1 << 48), (cpus, 2, "phys_release"));
    let platform = TableId::PLATFORM;
    assert_eq!(refused::<Platform>(0, |it| it.page_shift = 14), (platform, 0, "page_shift"));
    assert_eq!(
        refused::<Platform>(0, |it| it.entry_exception_level = 0),
        (platform, 0, "entry_exception_level")
    );
    assert_eq!(
        refused::<Platform>(0, |it| it.phys_secondary_entry = 1 << 48),
        (platform, 0, "phys_secondary_entry")
    );
    assert_eq!(refused::<Platform>(0, |it| it.phys_address_bits = 52), (platform, 0, "phys_address_bits"));
    assert_eq!(refused::<Platform>(0, |it| it.model.offset += 1), (platform, 0, "model"));
    let others = TableId::SECONDARIES;
    for entry in [0, 1 << 48, 0x4020_1872] {
        assert_eq!(refused::<Secondaries>(0, |it| it.phys_entry = entry), (others, 0, "phys_entry"));
    }
    assert_eq!(refused::<Secondaries>(0, |it| it.phys_mailbox += 8), (others, 0, "phys_mailbox"));
    assert_eq!(refused::<Secondaries>(0, |it| it.virt_mailbox += 16), (others, 0, "virt_mailbox"));
    assert_eq!(refused::<Secondaries>(0, |it| it.virt_mailbox = 0xB000), (others, 0, "virt_mailbox"));
    assert_eq!(refused::<Secondaries>(0, |it| it.record_size = 2048), (others, 0, "record_size"));
    assert_eq!(refused::<Secondaries>(0, |it| it.status_offset = 64), (others, 0, "status_offset"));
    assert_eq!(refused::<Secondaries>(0, |it| it.arrival_levels = 1), (others, 0, "arrival_levels"));
    let image = TableId::FIRMWARE_IMAGE;
    assert_eq!(refused::<FirmwareImage>(0, |it| it.phys_image = 1 << 48), (image, 0, "phys_image"));
    assert_eq!(refused::<FirmwareImage>(0, |it| it.loader_length = 1 << 20), (image, 0, "loader_length"));
    let modules = TableId::MODULES;
    assert_eq!(refused::<Module>(1, |it| it.phys_start += 8), (modules, 1, "phys_start"));
    assert_eq!(refused::<Module>(1, |it| it.length = u64::MAX), (modules, 1, "phys_start"));
    assert_eq!(refused::<Module>(1, |it| it.name.length -= 1), (modules, 1, "name"));
    assert_eq!(refused::<Initrd>(0, |it| it.length = 1 << 48), (TableId::INITRD, 0, "phys_start"));
    assert_eq!(refused::<Entropy>(0, |it| it.credited_bits = 257), (TableId::ENTROPY, 0, "credited_bits"));
    assert_eq!(refused::<Stage>(2, |it| it.ticks = 0), (TableId::TIMELINE, 2, "ticks"));
    assert_eq!(refused::<Stage>(2, |it| it.name.length += 1), (TableId::TIMELINE, 2, "name"));
}

#[test]
fn text_that_is_not_closed_utf_8_is_refused() {
    let text = |table: TableId, at: usize, value: u8| {
        let mut blob = sample();
        let entry = directory(&blob)[entry_of(&blob, table)];
        let place = if at == usize::MAX { entry.count as usize - 1 } else { at };
        blob[entry.offset as usize + place] = value;
        seal(&mut blob);
        BootInfo::decode(&blob).unwrap_err().code()
    };
    let line = 620 + TableId::COMMAND_LINE.0 as u16;
    assert_eq!(text(TableId::COMMAND_LINE, 0, 0), line);
    assert_eq!(text(TableId::COMMAND_LINE, 3, 0xFF), line);
    assert_eq!(text(TableId::COMMAND_LINE, usize::MAX, b'x'), line);
    assert_eq!(text(TableId::STRINGS, 0, 0xC3), 620 + TableId::STRINGS.0 as u16);
    // A NUL inside a name.
    assert_eq!(text(TableId::STRINGS, 3, 0), 620 + TableId::MEMORY_MAP.0 as u16);
}

#[test]
fn damage_is_named_even_where_the_checksum_sees_it_first() {
    let mut blob = sample();
    let entry = directory(&blob)[entry_of(&blob, TableId::BOOT_STACK)];
    blob[entry.offset as usize + 7] = 0;
    let error = BootInfo::decode(&blob).unwrap_err();
    assert_eq!((error.code(), error.field()), (609, "checksum"));
    let error = BootInfo::decode_damaged(&blob).unwrap_err();
    assert_eq!((error.code(), error.field()), (626, "virt_guard"));
    assert_eq!(
        error.to_string(),
        "BootInfo: virt_guard of record 0 of the boot stack cannot be 0xff008000800000"
    );
}

#[test]
fn a_writer_without_room_says_so_and_never_writes_past_its_buffer() {
    let whole = sample().len();
    for capacity in (0..whole * 4).step_by(40) {
        let mut buffer = vec![0xEE; capacity + 16];
        let mut writer = BootInfoWriter::new(&mut buffer[..capacity]);
        match write_sample(&mut writer) {
            // What was written can be closed.
            Ok(()) => {
                let length = writer.finish(crc32c).unwrap();
                assert!(BootInfo::decode(&buffer[..length]).is_ok());
            }
            Err(error) => {
                assert!(matches!(error, WriteError::Full { .. }), "{error:?} in {capacity}");
                let _ = writer.finish(crc32c);
            }
        }
        assert!(buffer[capacity..].iter().all(|&byte| byte == 0xEE));
    }
}

#[test]
fn the_room_that_is_stated_is_enough() {
    let blob = sample();
    let mut size = BlobSize::default();
    for entry in directory(&blob) {
        let length = (entry.count * entry.stride) as usize;
        // The strings were counted with their NULs.
        size = if entry.id == TableId::STRINGS { size.strings(0, length) } else { size.bytes(length) };
    }
    let mut buffer = vec![0; size.total()];
    let mut writer = BootInfoWriter::with_room(&mut buffer, size);
    write_sample(&mut writer).unwrap();
    let length = writer.finish(crc32c).unwrap();
    assert_eq!(buffer[..length], blob);
}

#[test]
fn every_register_of_the_contract_has_an_id() {
    let ids: Vec<&str> = (0..0x1_0000).filter_map(|id| RegisterId(id).name()).collect();
    for (register, _) in crate::contract::registers::EntryRegisters::ABI_1.each() {
        assert!(ids.contains(&register.name), "{}", register.name);
    }
    for name in ["TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1", "DAIF"] {
        assert!(ids.contains(&name));
    }
}

#[test]
fn a_writer_keeps_the_limits_and_the_order_of_tables() {
    let mut buffer = vec![0; BOOT_INFO_MAX * 2];
    let mut writer = BootInfoWriter::new(&mut buffer);
    let none = StringRef::default();
    for index in 0..512 {
        writer.push(&region(index * PAGE, 1, RegionKind::USABLE, none)).unwrap();
    }
    let more = region(1 << 32, 1, RegionKind::USABLE, none);
    assert_eq!(writer.push(&more), Err(WriteError::Limit { table: TableId::MEMORY_MAP }));
    writer.push(&Initrd::default()).unwrap();
    assert_eq!(writer.push(&more), Err(WriteError::Closed { table: TableId::MEMORY_MAP }));
    assert_eq!(writer.push(&Initrd::default()), Err(WriteError::Limit { table: TableId::INITRD }));
    assert_eq!(writer.append_log(&[b'x'; 0x1_0001]), Err(WriteError::Limit { table: TableId::LOG }));
    assert_eq!(writer.string(&"x".repeat(0x1_0000)), Err(WriteError::Limit { table: TableId::STRINGS }));
}

#[test]
fn registers_are_named_by_their_encoding() {
    assert_eq!(RegisterId::TCR_EL1.0, 0xC102);
    assert_eq!(RegisterId::TCR_EL1.to_string(), "TCR_EL1");
    assert_eq!(RegisterId::new(3, 5, 14, 3, 7).to_string(), "S3_5_C14_C3_7");
}

/// Words without links and line breaks.
fn plain(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

/// A table's records as the written contract has them.
fn described(table: TableId, layout: &Layout) -> String {
    let mut text = format!("### Table {}: {table}\n\n{}\n\n", table.0, plain(layout.words));
    text.push_str("| offset | size | field | meaning |\n| ---: | ---: | --- | --- |\n");
    for Field { name, offset, size, words, .. } in layout.fields {
        text.push_str(&format!("| {offset} | {size} | `{name}` | {} |\n", plain(words)));
    }
    for Field { name, kind, .. } in layout.fields {
        let number = |value: u32| if value < 0x100 { value.to_string() } else { format!("{value:#x}") };
        let values: Vec<_> = match kind {
            FieldKind::Named(names) => {
                let named = |value| Some(format!("{} {}", number(value), names(value)?));
                (0..0x1_0000).filter_map(named).collect()
            }
            FieldKind::Flags(bits) => bits
                .iter()
                .map(|(name, bit)| {
                    format!("bit {} {}", bit.trailing_zeros(), name.to_lowercase().replace('_', " "))
                })
                .collect(),
            _ => continue,
        };
        text.push_str(&format!("\n`{name}`: {}.\n", values.join(", ")));
    }
    text
}

#[test]
fn the_written_contract_describes_every_table() {
    let contract = include_str!("../../../docs/contract.md");
    let mut tables = String::new();
    for &table in TableId::ALL {
        let stride = table.layout().map_or(1, |layout| layout.size);
        let needed = if TableId::NEEDED & 1 << table.0 != 0 { "yes" } else { "no" };
        tables.push_str(&format!("| {} | {table} | {stride} | {} | {needed} |\n", table.0, table.limit()));
    }
    assert!(contract.contains(&tables), "docs/contract.md ought to say:\n{tables}");
    let described: String = TableId::ALL
        .iter()
        .filter_map(|&table| table.layout().map(|layout| described(table, layout) + "\n"))
        .collect();
    let begin = contract.find("### Table 1:").unwrap();
    let end = contract.find("## Writing to the console").unwrap();
    if std::env::var_os("BLESS").is_some() {
        let page = format!("{}{described}{}", &contract[..begin], &contract[end..]);
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/contract.md"), page).unwrap();
    } else {
        let found = plain(&contract[begin..end]);
        assert_eq!(
            found,
            plain(&described),
            "docs/contract.md differs from the declarations: BLESS=1 writes it"
        );
    }
}

#[test]
fn a_layout_is_the_record_without_gaps() {
    for (table, layout) in TableId::ALL.iter().filter_map(|table| Some((table, table.layout()?))) {
        let mut end = 0;
        for field in layout.fields {
            assert_eq!(field.offset, end, "{} of the {table}", field.name);
            end += field.size;
        }
        assert_eq!(end, layout.size, "{table}");
    }
}

#[test]
fn every_table_is_checked() {
    let blob = sample();
    for entry in directory(&blob).into_iter().filter(|entry| !entry.id.is_bytes()) {
        // Shorter records than this version's.
        let (index, stride) = (entry_of(&blob, entry.id), entry.stride - 8);
        if stride > 0 {
            let error = refused_directory(|entries| entries[index].stride = stride);
            assert_eq!(error, BootInfoError::TableStride { table: entry.id, stride });
        }
    }
}

#[test]
fn any_table_can_be_read_by_its_layout() {
    let blob = sample();
    let info = BootInfo::decode(&blob).unwrap();
    let value = |table: TableId, index: usize, name: &str| {
        let field = table.layout().unwrap().fields.iter().find(|field| field.name == name).unwrap();
        info.value(field, info.raw_records(table).nth(index).unwrap())
    };
    assert_eq!(value(TableId::MEMORY_MAP, 4, "name"), Value::Text("secure-monitor"));
    assert_eq!(value(TableId::MEMORY_MAP, 4, "length"), Value::Number(0x10_0000));
    assert_eq!(value(TableId::KERNEL, 0, "virt_entry"), Value::Hex(0xFFFF_0123_4560_1008));
    assert_eq!(value(TableId::KERNEL, 0, "abi_major"), Value::Number(1));
    assert_eq!(value(TableId::KERNEL, 0, "flags"), Value::Hex(3));
    assert_eq!(value(TableId::EXTENTS, 2, "origin"), Value::Name("copied"));
    assert_eq!(value(TableId::REGISTERS, 1, "id"), Value::Name("TTBR1_EL1"));
    assert_eq!(value(TableId::DEVICE_TREE, 0, "phys_start"), Value::Hex(0x4800_0000));
    assert_eq!(value(TableId::ENTROPY, 0, "bytes"), Value::Bytes(&[0x5A; 32]));
    assert_eq!(info.table_bytes(TableId::LOG), info.log().bytes);
    assert_eq!(info.raw_records(TableId::ACPI).len(), 0);
    let shown: Vec<String> =
        ["model", "exit", "midr"].map(|name| value(TableId::PLATFORM, 0, name).to_string()).into();
    assert_eq!(shown, ["\"linux,dummy-virt\"", "semihosting", "1091555380"]);
}

#[test]
fn codes_and_lines_are_stable() {
    let table = TableId::EXTENTS;
    let errors = [
        BootInfoError::Short { length: 0x10 },
        BootInfoError::Magic { found: 0x1234 },
        BootInfoError::AbiMajor { found: 2 },
        BootInfoError::HeaderSize { found: 7 },
        BootInfoError::TotalSize { found: 7 },
        BootInfoError::DirectoryCount { found: 99 },
        BootInfoError::DirectoryStride { found: 7 },
        BootInfoError::DirectoryOffset { found: 7, total: 0x100 },
        BootInfoError::Checksum { stored: 1, computed: 2 },
        BootInfoError::TableOffset { table, offset: 4, length: 0x20 },
        BootInfoError::TableOrder { table, offset: 8, free: 0x28 },
        BootInfoError::TableStride { table, stride: 7 },
        BootInfoError::TableCount { table, count: 0x999 },
        BootInfoError::TableTwice { table },
        BootInfoError::TableUnknown { table: TableId(77) },
        BootInfoError::TableMissing { table },
        BootInfoError::Field { table, index: 3, field: "rights", value: 7 },
    ];
    let mut lines: Vec<String> =
        errors.iter().map(|error| format!("E{:04}: {error}", error.code())).collect();
    let table = TableId::MODULES;
    for error in [
        WriteError::Full { table, capacity: 0x100 },
        WriteError::Limit { table },
        WriteError::Closed { table },
    ] {
        lines.push(format!("E{:04}: {error}", error.code()));
    }
    let documented = include_str!("../../../docs/errors.md");
    for line in lines.iter().filter(|line| !line.starts_with("E0623")) {
        assert!(documented.contains(&format!("| {} |", &line[..5])), "{line}");
    }
    let golden = "\
E0601: BootInfo: only 0x10 bytes of it are there
E0602: no BootInfo: its magic is 0x0000000000001234
E0603: BootInfo: abi_major is 0x2, this reader has 0x1
E0604: BootInfo: header_size 0x7 cannot be
E0605: BootInfo: total_size 0x7 cannot be, at most 0x40000
E0606: BootInfo: directory_count 0x63 cannot be, at most 0x40
E0607: BootInfo: directory_stride 0x7 cannot be
E0608: BootInfo: directory_offset 0x7 cannot be in 0x100 bytes
E0609: BootInfo is damaged: checksum 0x00000002, stored 0x00000001
E0610: BootInfo: the kernel extents of 0x20 bytes cannot lie at 0x4
E0611: BootInfo: the kernel extents at 0x8 begins before 0x28
E0612: BootInfo: the kernel extents cannot have a stride of 0x7
E0613: BootInfo: the kernel extents counts 0x999, at most 0x200
E0614: BootInfo: the kernel extents is there twice
E0615: BootInfo: table 77 must be understood and is not known
E0616: BootInfo: the kernel extents is missing
E0623: BootInfo: rights of record 3 of the kernel extents cannot be 0x7
E0690: BootInfo: the modules does not fit the 0x100 bytes that are left for all
E0691: BootInfo: the modules would exceed 0x40
E0692: BootInfo: the modules is already closed";
    assert_eq!(lines.join("\n"), golden);
}

/// Everything that a reader can be asked.
fn visit(info: &BootInfo<'_>) -> u64 {
    let mut sum = info.total_ram() + info.free_bytes();
    sum ^= info.memory_map().map(|it| it.range().len() + info.string(it.name).len() as u64).sum::<u64>();
    sum ^= info.untypeds().map(|block| block.phys_start).fold(0, |a, b| a ^ b);
    sum ^= info.kernel().range().len() ^ info.direct_map().range().len() ^ info.boot_stack().range().len();
    sum ^= info.extents().map(|it| it.virt().len() ^ it.phys().len() ^ it.rights() as u64).sum::<u64>();
    sum ^= info.windows().map(|it| it.range().len() / PAGE).fold(0, |a, b| a ^ b);
    sum ^= info.page_tables().pool().len() ^ info.firmware_image().phys().len();
    sum ^= info.modules().map(|it| it.phys().len() ^ info.string(it.name).len() as u64).sum::<u64>();
    sum ^= info.console().map_or(0, |it| it.kind().map_or(0, |kind| kind as u64));
    sum ^= info.timeline().map(|it| info.string(it.name).len() as u64).sum::<u64>();
    for (table, layout) in TableId::ALL.iter().filter_map(|&table| Some((table, table.layout()?))) {
        for record in info.raw_records(table) {
            sum += layout
                .fields
                .iter()
                .map(|field| info.value(field, record).to_string().len() as u64)
                .sum::<u64>();
        }
    }
    sum ^ info.command_line().len() as u64 ^ info.log().bytes.len() as u64 ^ info.cpus().len() as u64
}

proptest! {
    #[test]
    fn damage_that_is_sealed_again_ends_in_a_value(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        in_directory: bool,
    ) {
        let mut blob = sample();
        let start = if in_directory { Header::read(&blob).unwrap().directory_offset as usize } else { 0 };
        for (at, value) in changes {
            let at = start + at.index(blob.len() - start);
            blob[at] = value;
        }
        seal(&mut blob);
        if let Ok(info) = BootInfo::decode(&blob) {
            visit(&info);
        }
    }

    #[test]
    fn arbitrary_bytes_end_in_a_value(mut bytes in prop::collection::vec(any::<u8>(), 40..400), count in 0u32..8) {
        let total = bytes.len() as u32 & !7;
        let header = Header {
            magic: MAGIC, abi_major: 1, abi_minor: 0, header_size: 40, total_size: total, checksum: 0,
            directory_offset: 40, directory_count: count, directory_stride: 24, reserved: 0,
        };
        bytes[..40].copy_from_slice(header.as_bytes());
        seal(&mut bytes);
        let _ = BootInfo::decode(&bytes);
    }

    #[test]
    fn memory_maps_round_trip_and_untypeds_match_a_page_by_page_model(
        runs in prop::collection::vec((0u64..40, 1u64..600, 1u32..14, "[a-z]{0,9}"), 1..40),
    ) {
        let mut buffer = vec![0; 0x8000];
        let mut writer = BootInfoWriter::new(&mut buffer);
        let mut page = 0;
        let mut regions = Vec::new();
        for (gap, pages, kind, name) in &runs {
            page += gap;
            let name = writer.string(name).unwrap();
            let region = region(page * PAGE, *pages, RegionKind(*kind), name);
            writer.push(&region).unwrap();
            regions.push(region);
            page += pages;
        }
        // The tables that must be there come from the sample.
        let blob = sample();
        let example = BootInfo::decode(&blob).unwrap();
        let unnamed = StringRef::default();
        writer.push(&Kernel { name: unnamed, ..example.kernel() }).unwrap();
        for extent in example.extents() {
            writer.push(&extent).unwrap();
        }
        writer.push(&example.direct_map()).unwrap();
        for window in example.windows() {
            writer.push(&window).unwrap();
        }
        writer.push(&example.boot_stack()).unwrap();
        writer.push(&example.page_tables()).unwrap();
        writer.push(&example.registers().next().unwrap()).unwrap();
        writer.push(&Platform { model: unnamed, ..example.platform() }).unwrap();
        writer.push(&example.firmware_image()).unwrap();
        let length = writer.finish(crc32c).unwrap();
        let info = BootInfo::decode(&buffer[..length]).unwrap();

        prop_assert_eq!(info.memory_map().collect::<Vec<_>>(), regions.clone());
        for (region, (_, _, _, name)) in info.memory_map().zip(&runs) {
            prop_assert_eq!(info.string(region.name), name.as_str());
        }

        // The model: pages of one free region, joined while the block stays aligned and in the region.
        let mut model = Vec::new();
        for region in regions.iter().filter(|region| region.kind <= 2) {
            let (mut at, end) = (region.phys_start, region.phys_start + region.length);
            while at < end {
                let mut bits = 12;
                while at % (2 << bits) == 0 && at + (2 << bits) <= end {
                    bits += 1;
                }
                model.push(Untyped { phys_start: at, bits });
                at += 1 << bits;
            }
        }
        prop_assert_eq!(info.untypeds().collect::<Vec<_>>(), model);
        prop_assert_eq!(info.untypeds().map(|block| block.bytes()).sum::<u64>(), info.free_bytes());
    }
}
