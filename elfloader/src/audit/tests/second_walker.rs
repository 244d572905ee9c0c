//! A walker that shares nothing with the first: plain numbers over the bytes of a dump, leaf by leaf.
//!
//! It knows the architecture's bits by heart and none of the project's types beyond the frames where tables lie, so
//! it does not repeat a mistake of the encoder, the decoder or the iterator.

use std::collections::HashSet;

use shared_abi::addr::Frame;
use shared_abi::error::Explained;
use shared_abi::page_table::{TableSource, TableStore};
use shared_abi::vmsa::Descriptor;

use super::world::{POOL, POOL_START, World};

/// The table pool as bytes, as a debugger would save it.
pub struct Dump {
    bytes: Vec<u8>,
}

impl Dump {
    pub fn of(world: &World) -> Self {
        let mut bytes = vec![];
        for frame in POOL_START >> 12..(POOL_START >> 12) + POOL {
            let table = world.store.table(Frame::new(frame).unwrap()).unwrap();
            for index in 0..512 {
                bytes.extend(table.load(index).bits().to_le_bytes());
            }
        }
        // A dump begins where it begins: no alignment is to be relied on.
        bytes.insert(0, 0xEE);
        Self { bytes }
    }

    fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(POOL_START)?).ok()?;
        let bytes = self.bytes.get(offset + 1..offset + 9)?;
        Some(u64::from_le_bytes(bytes.try_into().unwrap()))
    }
}

impl TableSource for Dump {
    fn entry(&self, table: Frame, index: usize) -> Option<Descriptor> {
        self.word(table.number() * 4096 + index as u64 * 8).map(Descriptor::from_bits_retain)
    }
}

/// A mapping of one size, as the hardware would see it.
#[derive(Clone, Copy)]
struct Seen {
    virt: u64,
    phys: u64,
    bytes: u64,
    writable: bool,
    executable: bool,
}

fn see(dump: &Dump, table: u64, bytes_per_entry: u64, base: u64, seen: &mut Vec<Seen>) {
    for index in 0..512 {
        let Some(entry) = dump.word(table + 8 * index) else { return };
        let virt = base + index * bytes_per_entry;
        match (entry % 4, bytes_per_entry) {
            (3, 0x1000) | (1, 0x20_0000 | 0x4000_0000) => seen.push(Seen {
                virt,
                phys: entry % (1 << 48) / bytes_per_entry * bytes_per_entry,
                bytes: bytes_per_entry,
                writable: entry & 0x80 == 0,
                executable: entry >> 53 & 3 != 3,
            }),
            (3, _) => see(dump, entry % (1 << 48) / 4096 * 4096, bytes_per_entry / 512, virt, seen),
            _ => {}
        }
    }
}

/// The second walker comes to the auditor's verdict on write, execute and aliases, and counts the same bytes.
pub fn agrees(world: &World) {
    let dump = Dump::of(world);
    let mut seen = vec![];
    let root = world.tree.root().number() * 4096;
    see(&dump, root, 512 << 30, 0xFFFF_0000_0000_0000, &mut seen);

    let both: HashSet<u64> =
        seen.iter().filter(|at| at.writable && at.executable).map(|at| at.virt).collect();
    // Leaf by leaf: a frame in both, seen at two addresses.
    let alias = seen.iter().filter(|at| at.executable).any(|x| {
        seen.iter().filter(|at| at.writable).any(|w| {
            let first = x.phys.max(w.phys);
            first < (x.phys + x.bytes).min(w.phys + w.bytes)
                && x.virt + (first - x.phys) != w.virt + (first - w.phys)
        })
    });

    let mut found = HashSet::new();
    let summary = world.audit(|finding| {
        found.insert(finding.name());
    });
    if found.contains("leaf-descriptor") {
        // The auditor counts as leaves what the hardware treats as nothing: it may find more, never less.
        assert!(both.is_empty() || found.contains("write-xor-execute"));
        return;
    }
    assert_eq!(found.contains("write-xor-execute"), !both.is_empty());
    assert_eq!(found.contains("writable-alias"), alias);
    assert_eq!(summary.mapped, seen.iter().map(|at| at.bytes).sum::<u64>());
}
