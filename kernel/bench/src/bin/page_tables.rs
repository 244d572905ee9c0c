//! The page-table editor beside aarch64-paging: instructions of mapping and unmapping 1 GiB.
//!
//! Both take tables from the front of one zeroed block of memory and take back what is freed in the same way, so
//! what is counted is the editors' own work. Upper tables stay, held by a page of their own, as in a live space.
//! Ours checks every entry that it fills and gives tables back only after the invalidation (empty here); the peer
//! overwrites, and frees at once.

use std::hint::black_box;
use std::ptr::NonNull;

use aarch64_paging::descriptor::{El1Attributes, PagingAttributes, PhysicalAddress};
use aarch64_paging::paging::{
    Constraints, El1And0, MemoryRegion, PageTable as PeerTable, RootTable, Translation, VaRange,
};
use kernel_bench::{Counts, Recorder, run};
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::page_table::{PageTable, Table, TablePool, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

const NAMES: [&str; 2] = ["ours", "aarch64-paging"];
/// The second round finds the tables that the first gave back, and zeroes them.
const ROUNDS: [(&str, &str); 2] = [("map", "unmap"), ("map again", "unmap again")];
const SIZES: [(&str, PageSize); 2] = [("4 KiB", PageSize::Size4K), ("2 MiB", PageSize::Size2M)];

const BYTES: u64 = 1 << 30;
/// A gigabyte of its own, and the page that holds the upper tables, in the gigabyte before it.
const START: u64 = 0xFFFF_8000_4000_0000;
const HOLDER: u64 = START - PAGE;
/// Not a multiple of 1 GiB, so that neither uses a level 1 block.
const PHYS: u64 = (1 << 32) + (1 << 21);
/// Where the tables pretend to lie.
const POOL: u64 = 0x4000_0000;
/// Root, three for the holder, and 513 for the gigabyte.
const TABLES: usize = 640;

fn measure_ours(recorder: &mut Recorder, name: &str, size: PageSize) {
    let tables: Vec<Table> = (0..TABLES).map(|_| Table::new()).collect();
    let mut store = TablePool::new(&tables, Frame::new(POOL / PAGE).unwrap());
    let tree = PageTable::ttbr1(store.allocate().unwrap());
    let range = |start, length| VirtRange::new(VirtAddr::new(start).unwrap(), length).unwrap();
    let attributes = Attributes::kernel(Rights::ReadWrite);
    let phys = PhysAddr::new(PHYS).unwrap();
    tree.map(&mut store, range(HOLDER, PAGE), phys, attributes, PageSize::Size4K).unwrap();
    let all = range(START, BYTES);
    for (map, unmap) in ROUNDS {
        recorder.count(&label(name, size, map), || {
            tree.map(&mut store, black_box(all), black_box(phys), attributes, size).unwrap();
        });
        recorder.count(&label(name, size, unmap), || {
            tree.unmap(&mut store, black_box(all)).unwrap().retire(&mut store, |stale| {
                black_box(stale);
            });
        });
    }
    assert_eq!(store.live(), 4);
}

/// Tables from one block of memory, for the peer.
struct Block {
    start: NonNull<Table>,
    used: usize,
    free: Vec<usize>,
}

impl<A: PagingAttributes> Translation<A> for Block {
    fn allocate_table(&mut self) -> (NonNull<PeerTable<A>>, PhysicalAddress) {
        let index = match self.free.pop() {
            Some(index) => {
                // SAFETY: the index came from this block and the table is nobody's.
                unsafe { self.start.add(index).as_ref() }.clear();
                index
            }
            None => {
                self.used += 1;
                self.used - 1
            }
        };
        assert!(index < TABLES);
        // SAFETY: the index is inside the block.
        let table = unsafe { self.start.add(index) };
        (table.cast(), PhysicalAddress(POOL as usize + index * PAGE as usize))
    }

    unsafe fn deallocate_table(&mut self, table: NonNull<PeerTable<A>>) {
        self.free.push((table.as_ptr() as usize - self.start.as_ptr() as usize) / PAGE as usize);
    }

    fn physical_to_virtual(&self, phys: PhysicalAddress) -> NonNull<PeerTable<A>> {
        // SAFETY: the peer only asks for tables that it was given from this block.
        unsafe { self.start.add((phys.0 - POOL as usize) / PAGE as usize) }.cast()
    }
}

fn measure_peer(recorder: &mut Recorder, name: &str, size: PageSize) {
    let tables: Vec<Table> = (0..TABLES).map(|_| Table::new()).collect();
    let start = NonNull::from(tables.leak()).cast();
    let block = Block { start, used: 0, free: Vec::with_capacity(TABLES) };
    let mut root = RootTable::with_va_range(block, 0, El1And0, VaRange::Upper);
    let attributes = El1Attributes::VALID
        | El1Attributes::ACCESSED
        | El1Attributes::INNER_SHAREABLE
        | El1Attributes::UXN
        | El1Attributes::PXN;
    let pages = Constraints::NO_BLOCK_MAPPINGS | Constraints::NO_CONTIGUOUS_HINT;
    let constraints = if size == PageSize::Size4K { pages } else { Constraints::NO_CONTIGUOUS_HINT };
    let holder = MemoryRegion::new(HOLDER as usize, START as usize);
    let phys = PhysicalAddress(PHYS as usize);
    root.map_range(&holder, phys, attributes, pages).unwrap();
    let all = MemoryRegion::new(START as usize, (START + BYTES) as usize);
    for (map, unmap) in ROUNDS {
        recorder.count(&label(name, size, map), || {
            root.map_range(black_box(&all), black_box(phys), attributes, constraints).unwrap();
        });
        recorder.count(&label(name, size, unmap), || {
            root.map_range(black_box(&all), PhysicalAddress(0), El1Attributes::empty(), constraints).unwrap();
        });
    }
    black_box(root.to_physical());
}

fn label(name: &str, size: PageSize, action: &str) -> String {
    format!("{action} {size} {name}")
}

fn report(counts: &Counts) {
    println!("Page tables: instructions of mapping and unmapping 1 GiB\n");
    println!("{:24}{}", "", NAMES.map(|name| format!("{name:>16}")).concat());
    let print = |row: &str, [ours, peer]: [u64; 2], verdict: &str| {
        println!("{row:24}{ours:>16}{peer:>16}   {verdict}");
    };
    let judge = |row: &str, [ours, peer]: [u64; 2]| {
        let verdict = if ours <= peer / 4 { "met" } else { "MISSED" };
        print(row, [ours, peer], &format!("{verdict}: at most {} (a quarter of the peer)", peer / 4));
    };
    for (text, size) in SIZES {
        let of = |action| NAMES.map(|name| counts[&label(name, size, action)]);
        for (map, unmap) in ROUNDS {
            judge(&format!("{text}, {map}"), of(map));
            print(&format!("{text}, {unmap}"), of(unmap), "");
        }
        let ([our_map, peer_map], [our_unmap, peer_unmap]) = (of(ROUNDS[0].0), of(ROUNDS[0].1));
        judge(&format!("{text}, both"), [our_map + our_unmap, peer_map + peer_unmap]);
    }
}

fn main() {
    run(
        |recorder| {
            for (_, size) in SIZES {
                measure_ours(recorder, NAMES[0], size);
                measure_peer(recorder, NAMES[1], size);
            }
        },
        report,
    );
}
