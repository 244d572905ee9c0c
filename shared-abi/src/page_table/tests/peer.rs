//! The same mappings made by aarch64-paging: the same descriptors, bit for bit, as the hardware would walk them.
//!
//! The peer shares no code and no constants with ours. It chooses block sizes by the same rule (the largest that
//! alignment allows), so whole trees can be compared but for where their tables lie.

use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, RootTable, VaRange};
use aarch64_paging::target::TargetAllocator;
use proptest::prelude::*;

use super::*;
use crate::vmsa::{MemoryType, Privilege};

/// The peer's words for our attributes, from the Arm ARM's tables.
fn peer_attributes(attributes: Attributes) -> El1Attributes {
    let mut flags = El1Attributes::VALID | El1Attributes::ACCESSED | El1Attributes::INNER_SHAREABLE;
    flags |= match attributes.memory() {
        MemoryType::WriteBack => El1Attributes::ATTRIBUTE_INDEX_0,
        MemoryType::DeviceNGnRE => El1Attributes::ATTRIBUTE_INDEX_1,
        MemoryType::NonCacheable => El1Attributes::ATTRIBUTE_INDEX_2,
        MemoryType::DeviceNGnRnE => El1Attributes::ATTRIBUTE_INDEX_3,
    };
    flags |= match attributes.privilege() {
        Privilege::Kernel => El1Attributes::UXN,
        Privilege::User => El1Attributes::PXN | El1Attributes::USER | El1Attributes::NON_GLOBAL,
    };
    flags |= match attributes.rights() {
        Rights::ReadOnly => El1Attributes::READ_ONLY | El1Attributes::PXN | El1Attributes::UXN,
        Rights::ReadWrite => El1Attributes::PXN | El1Attributes::UXN,
        Rights::ReadExecute => El1Attributes::READ_ONLY,
    };
    flags
}

/// Leaves by address and level, from the peer's tables as bytes: its root lies at physical address 0.
fn peer_leaves(bytes: &[u8], table: usize, level: u8, base: u64, leaves: &mut Vec<(u64, u8, u64)>) {
    for (index, entry) in bytes[table..table + 4096].as_chunks::<8>().0.iter().enumerate() {
        let (entry, at) = (u64::from_le_bytes(*entry), base + ((index as u64) << (39 - 9 * level)));
        match entry & 3 {
            3 if level < 3 => peer_leaves(bytes, (entry & 0xFFFF_FFFF_F000) as usize, level + 1, at, leaves),
            1 | 3 => leaves.push((at, level, entry)),
            _ => {}
        }
    }
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let privilege = prop_oneof![Just(Privilege::Kernel), Just(Privilege::User)];
    let parts =
        (proptest::sample::select(MemoryType::ALL.to_vec()), proptest::sample::select(Rights::ALL.to_vec()));
    (parts, privilege).prop_filter_map("executable Device memory", |((memory, rights), privilege)| {
        Attributes::new(memory, rights, privilege)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn descriptors_are_those_of_aarch64_paging(
        places in proptest::collection::vec((0u64..700, 0u64..4, prop_oneof![Just(0), Just(KIB4), Just(MIB2)], 0u64..5, attributes()), 1..5),
    ) {
        let (tables, built) = (tables(64), tables(64));
        let (mut store, tree) = pool(&tables);
        let (mut built, built_tree) = pool(&built);
        let mut builder = built_tree.builder(&mut built);
        let mut peer = RootTable::with_va_range(TargetAllocator::new(0), 0, El1And0, VaRange::Upper);
        // Each in gigabytes of its own, beginning anywhere in the first of them.
        for (slot, (pages, blocks, slip, gigabytes, attributes)) in (0..).zip(places) {
            let start = HIGH + slot * 8 * GIB + (pages * 37 % 512) * KIB4 * (slip / KIB4).min(1);
            // Out of step by a page, all is pages: then not a gigabyte of them.
            let gigabytes = if slip == KIB4 { 0 } else { gigabytes / 3 };
            let length = pages * KIB4 + blocks * MIB2 + gigabytes * GIB + KIB4;
            let to = 64 * GIB + slot * 8 * GIB + (start % MIB2) + slip;
            let range = range(start, length);
            tree.map(&mut store, range, phys(to), attributes, PageSize::Size1G).unwrap();
            builder.map(range, phys(to), attributes, PageSize::Size1G).unwrap();
            let region = MemoryRegion::new(start as usize, (start + length) as usize);
            let flags = peer_attributes(attributes);
            peer.map_range(&region, PhysicalAddress(to as usize), flags, Constraints::NO_CONTIGUOUS_HINT).unwrap();
        }
        let mut theirs = vec![];
        peer_leaves(&peer.translation().as_bytes(), 0, 0, HIGH, &mut theirs);
        let ours: Vec<_> = tree
            .nodes(&store)
            .filter_map(|node| match node {
                Node::Leaf { at, level, descriptor } => Some((at.get(), level, descriptor.bits())),
                _ => None,
            })
            .collect();
        prop_assert!(!ours.is_empty());
        prop_assert_eq!(bits(&store), bits(&built));
        prop_assert_eq!(ours, theirs);
    }
}
