//! The editor against a simple model, a golden tree, and what each refusal leaves behind.

use super::*;
use crate::addr::PhysAddr;
use crate::rights::Rights;
use crate::vmsa::{Attributes, Descriptor};

mod model;
mod peer;

const ROOT: u64 = 0x4_8000;
const HIGH: u64 = 0xFFFF_0000_0000_0000;
const KIB4: u64 = 1 << 12;
const MIB2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;

fn tables(count: usize) -> Vec<Table> {
    (0..count).map(|_| Table::new()).collect()
}

/// A pool whose first table is the root of a tree for the high half.
fn pool(tables: &[Table]) -> (TablePool<'_>, PageTable) {
    let mut pool = TablePool::new(tables, Frame::new(ROOT).unwrap());
    let root = pool.allocate().unwrap();
    (pool, PageTable::ttbr1(root))
}

fn range(start: u64, length: u64) -> VirtRange {
    VirtRange::new(VirtAddr::new(start).unwrap(), length).unwrap()
}

fn virt(address: u64) -> VirtAddr {
    VirtAddr::new(address).unwrap()
}

fn phys(address: u64) -> PhysAddr {
    PhysAddr::new(address).unwrap()
}

const DATA: Attributes = Attributes::kernel(Rights::ReadWrite);
const TEXT: Attributes = Attributes::kernel(Rights::ReadExecute);

/// The whole tree as text: tables indented by level, leaves coalesced.
fn render(tree: PageTable, store: &TablePool) -> String {
    let mut text = String::new();
    for node in tree.nodes(store) {
        if let Node::Table { at, level, descriptor } = node {
            let indent = usize::from(level) * 2;
            text += &format!("{:indent$}table {level} for {at}: {:#x}\n", "", descriptor.bits());
        }
    }
    for run in tree.leaves(store) {
        let (_, size, attributes) =
            (run.attributes | Descriptor::from_bits_retain(run.phys.get())).decode_leaf(run.level).unwrap();
        text += &format!("{} + {:#x} -> {} {attributes}, {size}\n", run.virt, run.length, run.phys);
    }
    text
}

/// Every entry of every table that the pool ever handed out.
fn bits(store: &TablePool) -> Vec<u64> {
    let root = Frame::new(ROOT).unwrap();
    (0..store.used() as u64)
        .flat_map(|n| (0..ENTRIES).map(move |index| (n, index)))
        .map(|(n, index)| store.entry(root.checked_add(n).unwrap(), index).unwrap().bits())
        .collect()
}

#[test]
fn a_small_kernel_has_this_tree() {
    let tables = tables(16);
    let (mut store, tree) = pool(&tables);
    let map = |store: &mut TablePool, start, length, to, attributes, largest| {
        tree.map(store, range(start, length), phys(to), attributes, largest).unwrap();
    };
    map(&mut store, HIGH, 0x3000, 0x4020_1000, TEXT, PageSize::Size4K);
    map(
        &mut store,
        HIGH + 0x3000,
        0x1000,
        0x4020_4000,
        Attributes::kernel(Rights::ReadOnly),
        PageSize::Size4K,
    );
    map(&mut store, HIGH + MIB2, 3 * MIB2, 0x4400_0000, DATA, PageSize::Size1G);
    map(&mut store, 0xFFFF_0080_0200_0000, KIB4, 0x0900_0000, Attributes::KERNEL_DEVICE, PageSize::Size4K);
    map(&mut store, 0xFFFF_8000_4000_0000, 2 * GIB + MIB2 + KIB4, 0x4000_0000, DATA, PageSize::Size1G);
    assert_eq!(
        render(tree, &store),
        "  table 1 for 0xffff000000000000: 0x48001003
    table 2 for 0xffff000000000000: 0x48002003
      table 3 for 0xffff000000000000: 0x48003003
  table 1 for 0xffff008000000000: 0x48004003
    table 2 for 0xffff008000000000: 0x48005003
      table 3 for 0xffff008002000000: 0x48006003
  table 1 for 0xffff800000000000: 0x48007003
    table 2 for 0xffff8000c0000000: 0x48008003
      table 3 for 0xffff8000c0200000: 0x48009003
0xffff000000000000 + 0x3000 -> 0x0000000040201000 kernel r-x write-back, 4 KiB
0xffff000000003000 + 0x1000 -> 0x0000000040204000 kernel r-- write-back, 4 KiB
0xffff000000200000 + 0x600000 -> 0x0000000044000000 kernel rw- write-back, 2 MiB
0xffff008002000000 + 0x1000 -> 0x0000000009000000 kernel rw- device-nGnRE, 4 KiB
0xffff800040000000 + 0x80000000 -> 0x0000000040000000 kernel rw- write-back, 1 GiB
0xffff8000c0000000 + 0x200000 -> 0x00000000c0000000 kernel rw- write-back, 2 MiB
0xffff8000c0200000 + 0x1000 -> 0x00000000c0200000 kernel rw- write-back, 4 KiB
"
    );
    // The first page's descriptor, and the block's, as literals.
    assert_eq!(store.entry(Frame::new(ROOT + 3).unwrap(), 0).unwrap().bits(), 0x0040_0000_4020_1783);
    assert_eq!(store.entry(Frame::new(ROOT + 7).unwrap(), 1).unwrap().bits(), 0x0060_0000_4000_0701);
}

#[test]
fn a_walk_says_where_and_as_what_and_by_which_tables() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH + MIB2, MIB2 + KIB4), phys(0x4020_0000), TEXT, PageSize::Size2M).unwrap();
    let found = tree.walk(&store, virt(HIGH + MIB2 + 0x12_3456)).unwrap();
    assert_eq!((found.phys, found.size, found.attributes), (phys(0x4032_3456), PageSize::Size2M, TEXT));
    assert_eq!(
        found.tables.map(|table| table.map(Frame::number)),
        [Some(ROOT), Some(ROOT + 1), Some(ROOT + 2), None]
    );
    let found = tree.walk(&store, virt(HIGH + 2 * MIB2 + 0xFFF)).unwrap();
    assert_eq!(
        (found.phys, found.size, found.leaf_phys()),
        (phys(0x4040_0FFF), PageSize::Size4K, phys(0x4040_0000))
    );
    let cases = [(2 * MIB2 + KIB4, 3), (MIB2 - 1, 2), (GIB, 1), (512 * GIB, 0)];
    for (offset, level) in cases {
        let at = virt(HIGH + offset);
        assert_eq!(tree.walk(&store, at), Err(TableError::NotMapped { at, level }));
    }
    assert_eq!(tree.walk(&store, virt(0x1000)), Err(TableError::OtherHalf { virt: 0x1000 }));
}

#[test]
fn requests_that_are_not_of_whole_pages_are_refused() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    let mut map =
        |start, length, to| tree.map(&mut store, range(start, length), phys(to), DATA, PageSize::Size1G);
    assert_eq!(map(HIGH + 1, 0xFFF, 0), Err(TableError::Misaligned { virt: HIGH + 1, length: 0xFFF }));
    assert_eq!(map(HIGH, 0x800, 0), Err(TableError::Misaligned { virt: HIGH, length: 0x800 }));
    assert_eq!(map(HIGH, KIB4, 0x800), Err(TableError::PhysicalRange { phys: phys(0x800), length: KIB4 }));
    let last = PhysAddr::LIMIT - KIB4;
    assert_eq!(
        map(HIGH, 2 * KIB4, last),
        Err(TableError::PhysicalRange { phys: phys(last), length: 2 * KIB4 })
    );
    assert_eq!(map(0x1000, KIB4, 0), Err(TableError::OtherHalf { virt: 0x1000 }));
    assert_eq!(map(HIGH, KIB4, last), Ok(()));
    assert_eq!(map(HIGH + GIB, 0, 0), Ok(()));
    assert_eq!(store.live(), 4);
}

#[test]
fn the_last_nameable_pages_of_both_halves_can_be_mapped() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    // The very last page of the high half has no range, by construction of `VirtRange`.
    tree.map(&mut store, range(u64::MAX - 2 * KIB4 + 1, KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    let low = PageTable::ttbr0(store.allocate().unwrap());
    let user = Attributes::user(Rights::ReadWrite);
    low.map(&mut store, range((1 << 48) - KIB4, KIB4), phys(0), user, PageSize::Size4K).unwrap();
    assert_eq!(low.walk(&store, virt((1 << 48) - 1)).unwrap().phys, phys(0xFFF));
    low.unmap(&mut store, range((1 << 48) - KIB4, KIB4)).unwrap().retire(&mut store, |_| ());
    assert_eq!(store.live(), 5);
}

#[test]
fn an_overlap_names_the_first_page_that_is_taken_and_changes_nothing() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH + 0x5000, KIB4), phys(0x5000), TEXT, PageSize::Size4K).unwrap();
    let before = bits(&store);
    let error = tree.map(&mut store, range(HIGH, 4 * MIB2), phys(0), DATA, PageSize::Size4K).unwrap_err();
    let found = Descriptor::leaf(phys(0x5000), PageSize::Size4K, TEXT).unwrap();
    assert_eq!(error, TableError::Overlap { at: virt(HIGH + 0x5000), found });
    assert_eq!(error.to_string(), "0xffff000000005000 is mapped already, by descriptor 0x0040000000005783");
    assert_eq!((error.code(), bits(&store) == before), (704, true));
    // A block over a table, and a page inside a block.
    assert!(tree.map(&mut store, range(HIGH, MIB2), phys(0), DATA, PageSize::Size2M).is_err());
    tree.map(&mut store, range(HIGH + MIB2, MIB2), phys(0), DATA, PageSize::Size2M).unwrap();
    assert!(tree.map(&mut store, range(HIGH + MIB2 + KIB4, KIB4), phys(0), DATA, PageSize::Size4K).is_err());
}

#[test]
fn building_refuses_what_is_taken_and_keeps_what_precedes_it() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.builder(&mut store).map(range(HIGH + 0x5000, KIB4), phys(0x5000), TEXT, PageSize::Size4K).unwrap();
    let error =
        tree.builder(&mut store).map(range(HIGH, 0x8000), phys(0), DATA, PageSize::Size4K).unwrap_err();
    let found = Descriptor::leaf(phys(0x5000), PageSize::Size4K, TEXT).unwrap();
    assert_eq!(error, TableError::Overlap { at: virt(HIGH + 0x5000), found });
    assert_eq!(tree.leaves(&store).map(|run| run.length).sum::<u64>(), KIB4);
    assert!(tree.builder(&mut store).map(range(HIGH, 3 * MIB2), phys(0), DATA, PageSize::Size2M).is_err());
    tree.builder(&mut store).map(range(HIGH + MIB2, MIB2), phys(0), DATA, PageSize::Size2M).unwrap();
    let inside = range(HIGH + MIB2 + KIB4, KIB4);
    assert!(tree.builder(&mut store).map(inside, phys(0), DATA, PageSize::Size4K).is_err());
}

#[test]
fn one_builder_maps_in_any_order_and_sees_what_it_mapped_itself() {
    let (tables, mapped) = (tables(16), tables(16));
    let (mut store, tree) = pool(&tables);
    let (mut other_store, other_tree) = pool(&mapped);
    let mut builder = tree.builder(&mut store);
    // Up, with blocks and pages in turn, then down, then between what is there.
    for (page, pages) in
        [(3, 2), (511, 2), (1024, 513), (2, 1), (0, 1), (600, 424), (5, 6), (4 * 512, 512), (1, 1)]
    {
        let range = range(HIGH + page * KIB4, pages * KIB4);
        builder.map(range, phys(page * KIB4), DATA, PageSize::Size2M).unwrap();
        other_tree.map(&mut other_store, range, phys(page * KIB4), DATA, PageSize::Size2M).unwrap();
    }
    for taken in [0, 4, 511, 512, 700, 1024, 1536, 4 * 512 + 7] {
        let range = range(HIGH + taken * KIB4, KIB4);
        let error = builder.map(range, phys(0), DATA, PageSize::Size4K).unwrap_err();
        assert!(matches!(error, TableError::Overlap { .. }), "{taken}: {error}");
    }
    builder.map(range(HIGH + 12 * KIB4, KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    assert!(builder.map(range(HIGH + 11 * KIB4, 2 * KIB4), phys(0), DATA, PageSize::Size4K).is_err());
    other_tree.map(&mut other_store, range(HIGH + 12 * KIB4, KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    let (ours, theirs) = (tree.leaves(&store), other_tree.leaves(&other_store));
    assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
}

#[test]
fn building_without_a_table_left_keeps_what_precedes_it() {
    // The root and one table of each level; the second page needs another one.
    let tables = tables(4);
    let (mut store, tree) = pool(&tables);
    let both = range(HIGH + MIB2 - KIB4, 2 * KIB4);
    let error = tree.builder(&mut store).map(both, phys(0), DATA, PageSize::Size4K).unwrap_err();
    assert_eq!(error, TableError::OutOfTables { needed: 1, available: 0 });
    assert_eq!(tree.leaves(&store).map(|run| run.length).sum::<u64>(), KIB4);
}

#[test]
fn running_out_of_tables_gives_all_of_them_back() {
    for count in 1..8 {
        let tables = tables(count);
        let (mut store, tree) = pool(&tables);
        let result =
            tree.map(&mut store, range(HIGH + GIB - KIB4, 2 * KIB4), phys(0), DATA, PageSize::Size4K);
        // A level 1 table, and a level 2 and a level 3 table on each side of the gigabyte.
        if count < 6 {
            assert_eq!(result, Err(TableError::OutOfTables { needed: 5, available: count - 1 }));
            assert_eq!((store.live(), tree.nodes(&store).count()), (1, 0));
        } else {
            assert_eq!((result, store.live()), (Ok(()), 6));
        }
    }
}

#[test]
fn half_a_block_cannot_be_unmapped_nor_a_hole_protected() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH, 8 * KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    tree.map(&mut store, range(HIGH + MIB2, MIB2), phys(MIB2), DATA, PageSize::Size2M).unwrap();
    let before = bits(&store);
    let hole = TableError::NotMapped { at: virt(HIGH + 8 * KIB4), level: 3 };
    let inside = TableError::InsideBlock { at: virt(HIGH + MIB2), size: PageSize::Size2M };
    for (start, length, error) in [
        (HIGH, 9 * KIB4, hole),
        (HIGH, 2 * MIB2, hole),
        (HIGH + MIB2, KIB4, inside),
        (HIGH + 2 * MIB2 - KIB4, KIB4, inside),
    ] {
        if error == inside {
            assert_eq!(tree.unmap(&mut store, range(start, length)), Err(error));
        }
        assert_eq!(tree.protect(&mut store, range(start, length), Rights::ReadOnly), Err(error));
    }
    assert_eq!(bits(&store), before);
}

#[test]
fn device_memory_cannot_be_made_executable() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH, KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    let device = Attributes::KERNEL_DEVICE;
    tree.map(&mut store, range(HIGH + KIB4, KIB4), phys(0), device, PageSize::Size4K).unwrap();
    let before = bits(&store);
    let error = TableError::ExecutableDevice { at: virt(HIGH + KIB4) };
    assert_eq!(tree.protect(&mut store, range(HIGH, 2 * KIB4), Rights::ReadExecute), Err(error));
    assert_eq!(bits(&store), before);
}

#[test]
fn unlinked_tables_wait_until_the_invalidation_is_done() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH, MIB2 + KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    let mut stale = tree.unmap(&mut store, range(HIGH, MIB2)).unwrap();
    assert_eq!(
        (stale.range(), stale.smallest(), stale.has_tables()),
        (Some(range(HIGH, MIB2)), PageSize::Size4K, true)
    );
    let other = tree.unmap(&mut store, range(HIGH + MIB2, KIB4)).unwrap();
    stale.merge(&store, other);
    assert_eq!(store.live(), 5);
    let mut invalidated = 0;
    stale.retire(&mut store, |stale| {
        invalidated += 1;
        assert_eq!(stale.range(), Some(range(HIGH, MIB2 + KIB4)));
    });
    assert_eq!((invalidated, store.live()), (1, 1));
    // The tables come back zero.
    tree.map(&mut store, range(HIGH + GIB, KIB4), phys(0), DATA, PageSize::Size4K).unwrap();
    assert_eq!(tree.leaves(&store).count(), 1);
    assert_eq!((store.live(), store.used()), (4, 5));
}

#[test]
fn a_split_breaks_then_invalidates_then_makes() {
    let tables = tables(8);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH + GIB, GIB), phys(GIB), DATA, PageSize::Size1G).unwrap();
    let at = HIGH + GIB + 5 * MIB2 + 7 * KIB4 + 3;
    let mut calls = 0;
    tree.split(&mut store, virt(at), PageSize::Size4K, |stale| {
        calls += 1;
        assert_eq!(stale.range(), Some(range(HIGH + GIB, GIB)));
        // Broken while the invalidation runs: the entry reads as nothing.
        let entry = tables[1].load(1);
        assert_eq!(entry, Descriptor::INVALID);
    })
    .unwrap();
    assert_eq!((calls, store.live()), (1, 4));
    for offset in [0, 5 * MIB2, 5 * MIB2 + 7 * KIB4, 6 * MIB2, GIB - 1] {
        let found = tree.walk(&store, virt(HIGH + GIB + offset)).unwrap();
        assert_eq!((found.phys, found.attributes), (phys(GIB + offset), DATA));
        let expected = if offset / MIB2 == 5 { PageSize::Size4K } else { PageSize::Size2M };
        assert_eq!(found.size, expected);
    }
    tree.split(&mut store, virt(at), PageSize::Size4K, |_| panic!("nothing to split")).unwrap();
    tree.protect(&mut store, range(at & !0xFFF, KIB4), Rights::ReadOnly).unwrap().retire(&mut store, |_| ());
    assert_eq!(tree.walk(&store, virt(at)).unwrap().attributes.rights(), Rights::ReadOnly);
    let small = super::tests::tables(3);
    let (mut store, tree) = pool(&small);
    tree.map(&mut store, range(HIGH, GIB), phys(0), DATA, PageSize::Size1G).unwrap();
    let before = bits(&store);
    let error = tree.split(&mut store, virt(HIGH), PageSize::Size4K, |_| panic!("not broken")).unwrap_err();
    assert_eq!(error, TableError::OutOfTables { needed: 2, available: 1 });
    assert_eq!(bits(&store)[..before.len()], before);
    assert_eq!(store.live(), 2);
}

#[test]
fn clearing_a_tree_gives_every_table_back() {
    let tables = tables(64);
    let (mut store, _) = pool(&tables);
    let tree = PageTable::ttbr0(store.allocate().unwrap());
    let user = Attributes::user(Rights::ReadOnly);
    for slot in [0, 1, 511] {
        tree.map(&mut store, range(slot * 512 * GIB, 3 * MIB2 + KIB4), phys(0), user, PageSize::Size4K)
            .unwrap();
    }
    tree.map(&mut store, range(2 * GIB, GIB), phys(0), user, PageSize::Size1G).unwrap();
    assert_eq!(store.live(), 2 + 3 * 6);
    tree.clear(&mut store).unwrap().retire(&mut store, |stale| {
        assert_eq!(stale.range(), Some(range(0, (1 << 48) - KIB4)));
        assert!(stale.has_tables());
    });
    assert_eq!((store.live(), tree.nodes(&store).count()), (2, 0));
}

#[test]
fn damaged_trees_are_reported_not_followed() {
    let tables = tables(4);
    let (mut store, tree) = pool(&tables);
    tree.map(&mut store, range(HIGH, KIB4), phys(0x7000), DATA, PageSize::Size4K).unwrap();
    let leaf = &tables[3];
    // Bit 1 clear at level 3 is reserved; hardware treats it as a fault.
    leaf.store(0, Descriptor::from_bits_retain(0x0060_0000_0000_7701));
    let at = virt(HIGH);
    assert!(matches!(tree.walk(&store, at), Err(TableError::Malformed { level: 3, .. })));
    let malformed = tree.protect(&mut store, range(HIGH, KIB4), Rights::ReadOnly);
    assert!(matches!(malformed, Err(TableError::Malformed { level: 3, .. })));
    let root = &tables[0];
    root.store(0, Descriptor::table(Frame::new(0x9_9999).unwrap()));
    let unreachable = TableError::Unreachable { table: Frame::new(0x9_9999).unwrap(), level: 1 };
    assert_eq!(tree.walk(&store, at), Err(unreachable));
    assert_eq!(tree.unmap(&mut store, range(HIGH, KIB4)), Err(unreachable));
    assert_eq!(tree.map(&mut store, range(HIGH, KIB4), phys(0), DATA, PageSize::Size4K), Err(unreachable));
    let nodes: Vec<Node> = tree.nodes(&store).collect();
    assert!(matches!(nodes[..], [Node::Table { level: 1, .. }, Node::Unreadable { level: 1, .. }]));
    // A table that is its own child ends: four levels, then leaves.
    root.store(0, Descriptor::table(Frame::new(ROOT).unwrap()));
    assert_eq!(tree.nodes(&store).count(), 4);
}
