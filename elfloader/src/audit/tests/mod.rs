//! A boot's tables that keep every rule, each rule broken once and found by its name, and a second walker.

mod second_walker;
mod world;

use shared_abi::addr::{PageSize, PhysAddr, VirtAddr};
use shared_abi::error::Explained;
use shared_abi::page_table::{Table, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::{Attributes, MemoryType};

use super::*;
use world::*;

/// The rules that a world breaks, in order of finding, each once.
fn rules(world: &World) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = vec![];
    world.audit(|finding| {
        if found.last() != Some(&finding.name()) {
            found.push(finding.name());
        }
    });
    found
}

/// Breaks a good world, and expects exactly these rules to be named.
#[track_caller]
fn assert_found(expected: &[&str], break_it: impl FnOnce(&mut World)) {
    let tables = tables();
    let mut world = World::new(&tables);
    assert_eq!(rules(&world), [""; 0], "the world is good before it is broken");
    break_it(&mut world);
    let mut found = rules(&world);
    found.dedup();
    assert_eq!(found, expected, "{:#?}", world.findings());
    second_walker::agrees(&world);
}

const PAGE_TO_TABLE_GIB: u64 = 0x8000_0000;

#[test]
fn the_tables_of_a_good_boot_keep_every_rule() {
    let tables = tables();
    let world = World::new(&tables);
    let summary = world.audit(|finding| panic!("{finding}"));
    // Both gigabytes of RAM but for the 1 MiB of no-map, and what is mapped outside the direct map.
    let parts: u64 = world.parts.iter().map(|part| part.virt.len()).sum();
    assert_eq!(summary.mapped, (128 << 20) - (1 << 20) + (1 << 30) + parts);
    assert_eq!(summary.tables as usize, world.store.live() - 2);
    assert_eq!(summary.findings, 0);
    second_walker::agrees(&world);
}

#[test]
fn a_dump_is_audited_as_the_tables_are() {
    let tables = tables();
    let mut world = World::new(&tables);
    world.poke(DATA, |bits| bits & !(1 << 53));
    let dump = second_walker::Dump::of(&world);
    let mut found = vec![];
    audit(&dump, &world.expectation(), &mut |finding| found.push(finding));
    assert_eq!(found, world.findings());
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0].to_string(),
        "write-xor-execute: 0xffff000000010000 + 0x1000 to 0x0000000040220000 (attributes 0x0040000000000703) is writable and executable"
    );
}

// Write and execute.

#[test]
fn a_writable_page_that_the_kernel_can_execute() {
    // The direct map can write it as well.
    assert_found(&["write-xor-execute", "writable-alias"], |world| {
        world.poke(DATA, |bits| bits & !(1 << 53))
    });
}

#[test]
fn a_writable_page_that_user_code_can_execute() {
    assert_found(&["write-xor-execute", "writable-alias"], |world| {
        world.poke(DATA, |bits| bits & !(1 << 54))
    });
}

#[test]
fn kernel_text_that_can_be_written() {
    // The page is W+X, and still the direct map's alias of it is read-only: one rule.
    assert_found(&["write-xor-execute"], |world| world.poke(TEXT, |bits| bits & !(1 << 7)));
}

#[test]
fn kernel_text_that_is_writable_in_the_direct_map() {
    assert_found(&["direct-map-writable", "writable-alias"], |world| {
        world.poke(DIRECT + 0x4021_1000, |bits| bits & !(1 << 7));
    });
}

#[test]
fn loader_text_that_is_writable_in_the_direct_map() {
    assert_found(&["direct-map-writable", "writable-alias"], |world| {
        world.poke(DIRECT + 0x4020_2000, |bits| bits & !(1 << 7));
    });
}

#[test]
fn kernel_text_that_a_data_page_shows() {
    assert_found(&["wrong-frame", "writable-alias"], |world| {
        world.poke(DATA, |bits| bits & !ADDRESS | 0x4021_3000);
    });
}

#[test]
fn kernel_text_inside_a_writable_block_elsewhere() {
    assert_found(&["unexpected", "writable-alias"], |world| {
        let heap = 0xFFFF_0000_1000_0000;
        world.map(heap, 2 << 20, 0x4020_0000, Attributes::kernel(Rights::ReadWrite), PageSize::Size2M);
    });
}

#[test]
fn a_direct_map_that_can_be_executed() {
    // Elsewhere the frame is the kernel's read-only data: nothing writes it.
    assert_found(&["direct-map-executable"], |world| {
        world.poke(DIRECT + 0x4021_8000, |bits| bits & !(1 << 53));
    });
}

#[test]
fn kernel_read_only_data_that_is_writable_in_the_direct_map() {
    assert_found(&["direct-map-writable"], |world| {
        world.poke(DIRECT + 0x4021_9000, |bits| bits & !(1 << 7));
    });
}

// Rights of the parts.

#[test]
fn kernel_read_only_data_that_can_be_written() {
    assert_found(&["wrong-rights"], |world| world.poke(RODATA, |bits| bits & !(1 << 7)));
}

#[test]
fn kernel_data_that_cannot_be_written() {
    assert_found(&["wrong-rights"], |world| world.poke(DATA, |bits| bits | 1 << 7));
}

#[test]
fn kernel_text_that_cannot_be_executed() {
    assert_found(&["wrong-rights"], |world| world.poke(TEXT, |bits| bits | 1 << 53));
}

#[test]
fn a_stack_that_cannot_be_written() {
    assert_found(&["wrong-rights"], |world| world.poke(STACK, |bits| bits | 1 << 7));
}

#[test]
fn ram_that_cannot_be_written_in_the_direct_map() {
    assert_found(&["wrong-rights"], |world| world.poke(DIRECT + 0x4404_4000, |bits| bits | 1 << 7));
}

#[test]
fn boot_info_that_can_be_written() {
    assert_found(&["boot-info-writable"], |world| world.poke(BOOT_INFO, |bits| bits & !(1 << 7)));
}

// Places.

#[test]
fn a_part_that_leads_to_another_frame() {
    assert_found(&["wrong-frame"], |world| world.poke(BSS, |bits| bits & !ADDRESS | 0x4300_0000));
}

#[test]
fn two_pages_of_the_direct_map_swapped() {
    assert_found(&["wrong-frame"], |world| {
        world.poke(DIRECT + 0x4404_4000, |bits| bits + 0x1000);
    });
}

#[test]
fn a_page_that_is_not_mapped() {
    for address in [TEXT, DATA, STACK, BOOT_INFO, CONSOLE, LOADER, DIRECT + 0x4402_4000, DIRECT + 0x8000_0000]
    {
        assert_found(&["missing"], |world| world.poke(address, |_| 0));
    }
}

#[test]
fn the_page_below_the_stack_mapped() {
    assert_found(&["guard-mapped"], |world| {
        world.map(
            STACK - 0x1000,
            0x1000,
            0x4300_0000,
            Attributes::kernel(Rights::ReadWrite),
            PageSize::Size4K,
        );
    });
}

#[test]
fn a_page_mapped_where_nothing_ought_to_be() {
    for address in
        [0xFFFF_0000_1000_0000, 0xFFFF_0080_1F00_0000 + (1 << 24), 0xFFFF_7FFF_FFFF_F000, TEXT + 0xC000]
    {
        assert_found(&["unexpected"], |world| {
            world.map(address, 0x1000, 0x4300_0000, Attributes::kernel(Rights::ReadOnly), PageSize::Size4K);
        });
    }
}

#[test]
fn the_last_page_of_all_mapped() {
    assert_found(&["outside-windows"], |world| {
        // No range of ours names it, so the table that the one before it needs is used.
        let address = 0xFFFF_FFFF_FFFF_E000;
        world.map(address, 0x1000, 0x4300_0000, Attributes::kernel(Rights::ReadOnly), PageSize::Size4K);
        let mut leaf = 0;
        world.poke(address, |bits| {
            leaf = bits;
            0
        });
        world.poke(address + 0x1000, |_| leaf);
    });
}

#[test]
fn ram_that_must_not_be_mapped() {
    for phys in [0x4200_0000, 0x420F_F000, 0x1_0000_0000, 0x1_1000_0000] {
        assert_found(&["reserved-mapped"], |world| {
            let writable = Attributes::kernel(Rights::ReadWrite);
            world.map(DIRECT + phys, 0x1000, phys, writable, PageSize::Size4K);
        });
    }
}

#[test]
fn a_block_that_runs_over_into_what_must_not_be_mapped() {
    assert_found(&["reserved-mapped"], |world| {
        for page in (0x4210_0000..0x4220_0000).step_by(0x1000) {
            world.poke(DIRECT + page, |_| 0);
        }
        world.replace_table(DIRECT + 0x4200_0000, 0x0060_0000_4200_0701);
    });
}

#[test]
fn a_hole_in_ram_mapped() {
    for phys in [0x3FFF_F000, 0x4800_0000, PAGE_TO_TABLE_GIB - 0x1000, 0x2_0000_0000] {
        assert_found(&["hole-mapped"], |world| {
            let writable = Attributes::kernel(Rights::ReadWrite);
            world.map(DIRECT + phys, 0x1000, phys, writable, PageSize::Size4K);
        });
    }
}

#[test]
fn a_block_over_a_hole_and_reserved_memory_is_told_apart() {
    assert_found(&["hole-mapped", "reserved-mapped", "hole-mapped"], |world| {
        let block = 0x4_0000_0000;
        world.regions.push(region(block + 0x1000, block + 0x3000, RegionKind::NO_MAP));
        let writable = Attributes::kernel(Rights::ReadWrite);
        world.map(DIRECT + block, 2 << 20, block, writable, PageSize::Size2M);
    });
}

#[test]
fn ram_of_a_use_that_this_version_does_not_know() {
    assert_found(&["reserved-mapped"], |world| world.regions[0].kind = RegionKind(99));
}

// What memory it is.

#[test]
fn a_console_that_is_ordinary_memory() {
    assert_found(&["wrong-memory-type"], |world| world.poke(CONSOLE, |bits| bits & !(0b111 << 2)));
}

#[test]
fn ram_that_is_not_cached() {
    assert_found(&["wrong-memory-type"], |world| {
        world.poke(DIRECT + 0x4404_4000, |bits| bits | (MemoryType::NonCacheable.index() as u64) << 2);
    });
}

#[test]
fn a_console_that_can_be_executed() {
    assert_found(&["write-xor-execute"], |world| world.poke(CONSOLE, |bits| bits & !(1 << 53)));
    assert_found(&["executable-device"], |world| world.poke(CONSOLE, |bits| bits & !(1 << 53) | 1 << 7));
}

// Bits that every leaf has.

#[test]
fn a_page_that_user_code_can_reach() {
    assert_found(&["not-global"], |world| world.poke(BSS, |bits| bits | 1 << 6));
    assert_found(&["user-access"], |world| world.poke(BSS, |bits| bits | 1 << 6 | 1 << 11));
    // EL0 can execute what it cannot read.
    assert_found(&["user-access"], |world| world.poke(RODATA, |bits| bits & !(1 << 54)));
}

#[test]
fn a_page_whose_access_flag_is_clear() {
    assert_found(&["access-flag"], |world| world.poke(STACK, |bits| bits & !(1 << 10)));
}

#[test]
fn a_page_of_one_address_space_only() {
    assert_found(&["not-global"], |world| world.poke(DATA, |bits| bits | 1 << 11));
}

#[test]
fn a_page_that_other_cpus_may_not_see_alike() {
    assert_found(&["shareability"], |world| world.poke(DATA, |bits| bits & !(1 << 8)));
}

#[test]
fn a_page_with_an_undefined_attribute_index() {
    assert_found(&["memory-attribute"], |world| world.poke(DATA, |bits| bits | 0b101 << 2));
}

#[test]
fn a_page_with_bits_that_have_no_meaning_here() {
    for bit in [5, 48, 50, 51, 52, 55, 63] {
        assert_found(&["leaf-descriptor"], |world| world.poke(DATA, |bits| bits | 1 << bit));
    }
    // Reserved at level 3: the hardware faults.
    assert_found(&["leaf-descriptor"], |world| world.poke(DATA, |bits| bits & !2));
}

// Tables.

#[test]
fn a_table_descriptor_that_limits_what_is_below() {
    assert_found(&["table-descriptor"], |world| world.poke_table(TEXT, 2, |bits| bits | 1 << 61));
}

#[test]
fn a_table_in_memory_that_the_kernel_may_hand_out() {
    assert_found(&["table-outside-pool"], |world| {
        let pool = world.regions.iter_mut().find(|region| region.kind == RegionKind::PAGE_TABLES).unwrap();
        // All but the last frames, of which one is in use.
        let used = world.store.used() as u64;
        pool.range = PhysRange::new(pool.range.start(), (used - 1) << 12).unwrap();
        let spare = PhysRange::from_bounds(pool.range.end(), pool.range.end() + 0x1000).unwrap();
        let at =
            world.regions.iter().position(|region| region.range.start().get() > spare.start().get()).unwrap();
        world.regions.insert(at, region(spare.start().get(), spare.end(), RegionKind::USABLE));
        let next = &mut world.regions[at + 1];
        next.range = PhysRange::from_bounds(spare.end(), next.range.end()).unwrap();
    });
}

#[test]
fn a_table_that_is_its_own_child() {
    let tables = tables();
    let mut world = World::new(&tables);
    let root = world.tree.root();
    for index in 300..310 {
        world.root_entry(index, Descriptor::table(root));
    }
    assert_eq!(rules(&world).last(), Some(&"too-many-tables"));
}

#[test]
fn a_table_that_cannot_be_read() {
    assert_found(&["table-outside-pool", "table-unreadable", "missing"], |world| {
        world.poke_table(TEXT, 2, |_| 0x7777_7003);
    });
}

#[test]
fn a_low_half_that_translates() {
    assert_found(&["low-half"], |world| {
        let table = world.store.table(world.low_root).unwrap();
        table.store(7, Descriptor::table(world.tree.root()));
    });
}

#[test]
fn an_expectation_out_of_order() {
    let tables = tables();
    let mut world = World::new(&tables);
    world.parts.swap(0, 1);
    assert_eq!(rules(&world)[0], "expectation");
}

#[test]
fn more_executable_runs_than_can_be_compared() {
    let tables = tables();
    let mut world = World::new(&tables);
    for page in 0..600 {
        let text = Attributes::kernel(Rights::ReadExecute);
        // Every other frame, so that no two are one run.
        world.map(
            0xFFFF_0000_1000_0000 + page * 0x1000,
            0x1000,
            0x4500_0000 + page * 0x2000,
            text,
            PageSize::Size4K,
        );
    }
    assert_eq!(rules(&world).last(), Some(&"too-many-executable"));
}

#[test]
fn every_rule_has_a_code_of_its_own() {
    let span = Span { virt: VirtAddr::HIGH_HALF, phys: 0, length: 0x1000, attributes: Descriptor::INVALID };
    let first = Finding::WritableAndExecutable { span };
    let last = Finding::Expectation { virt: VirtRange::EMPTY };
    assert_eq!((first.code(), first.name()), (740, "write-xor-execute"));
    assert_eq!((last.code(), Finding::CATALOG.len()), (767, 28));
}

fn tables() -> Vec<Table> {
    (0..POOL as usize).map(|_| Table::new()).collect()
}

#[test]
fn phys_of_parts_that_repeat_do_not_hide_each_other() {
    // Two read-only parts may show the same frames; the direct map is read-only over their union.
    let tables = tables();
    let mut world = World::new(&tables);
    let again = Part {
        place: Place::Kernel,
        virt: virt(TEXT + 0x20_0000, 0xC000),
        phys: PhysAddr::new(0x4021_0000).unwrap(),
        rights: Some(Rights::ReadOnly),
        memory: MemoryType::WriteBack,
    };
    let after = world.parts.iter().position(|part| part.place != Place::Kernel).unwrap();
    world.parts.insert(after, again);
    world.map(TEXT + 0x20_0000, 0xC000, 0x4021_0000, Attributes::kernel(Rights::ReadOnly), PageSize::Size4K);
    assert_eq!(rules(&world), [""; 0]);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48),
        failure_persistence: None,
        ..Default::default()
    })]

    /// Bits flipped anywhere in the tables: the auditor ends, and still agrees with the second walker.
    #[test]
    fn damage_anywhere_is_survived_and_judged_alike(
        flips in proptest::collection::vec((0usize..64, 0usize..512, 0u32..64), 1..6),
        words in proptest::collection::vec((0usize..64, 0usize..512, proptest::prelude::any::<u64>()), 0..2),
    ) {
        let tables = tables();
        let world = World::new(&tables);
        let used = world.store.used();
        // Entries that are in use, most of the time: empty ones stay empty when a high bit flips.
        for (table, index, bit) in flips {
            let table = &tables[table % used];
            let index = (index..512).chain(0..index).find(|index| table.load(*index).is_valid()).unwrap_or(index);
            table.store(index, Descriptor::from_bits_retain(table.load(index).bits() ^ 1 << bit));
        }
        for (table, index, word) in words {
            tables[table % used].store(index, Descriptor::from_bits_retain(word));
        }
        if !rules(&world).contains(&"too-many-tables") {
            second_walker::agrees(&world);
        }
    }
}
