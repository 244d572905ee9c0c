//! Random edits against a map of leaves: same outcome, same translations, no table too many.
//!
//! `PROPTEST_CASES=25000 cargo test -p shared-abi page_table --release` runs more than a million operations.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::page_table::entry_shift;

/// What the tree ought to be: leaves by offset into the half, and how many leaves need each table.
#[derive(Default)]
struct Model {
    leaves: BTreeMap<u64, (PageSize, u64, Attributes)>,
    tables: BTreeMap<(u8, u64), usize>,
}

impl Model {
    fn tables_of(offset: u64, size: PageSize) -> impl Iterator<Item = (u8, u64)> {
        (1..=size.level()).map(move |level| (level, offset >> entry_shift(level - 1)))
    }

    fn insert(&mut self, offset: u64, size: PageSize, phys: u64, attributes: Attributes) {
        for table in Self::tables_of(offset, size) {
            *self.tables.entry(table).or_default() += 1;
        }
        assert!(self.leaves.insert(offset, (size, phys, attributes)).is_none());
    }

    fn remove(&mut self, offset: u64) {
        let (size, ..) = self.leaves.remove(&offset).unwrap();
        for table in Self::tables_of(offset, size) {
            let count = self.tables.get_mut(&table).unwrap();
            *count -= 1;
            if *count == 0 {
                self.tables.remove(&table);
            }
        }
    }

    /// The leaf that holds `offset`.
    fn at(&self, offset: u64) -> Option<(u64, PageSize, u64, Attributes)> {
        let (&start, &(size, phys, attributes)) = self.leaves.range(..=offset).next_back()?;
        (offset < start + size.bytes()).then_some((start, size, phys, attributes))
    }

    /// The leaves that share a byte with the range, by offset.
    fn within(&self, start: u64, end: u64) -> Vec<u64> {
        let first = self.at(start).map_or(start, |(start, ..)| start);
        self.leaves.range(first..end).map(|(offset, _)| *offset).collect()
    }

    fn cuts(&self, edge: u64) -> bool {
        self.at(edge).is_some_and(|(start, ..)| start != edge)
    }

    fn covers(&self, start: u64, end: u64) -> bool {
        let bytes: u64 = self.within(start, end).iter().map(|offset| self.leaves[offset].0.bytes()).sum();
        bytes == end - start
    }

    /// The leaves that a range becomes, one by one: the largest that fits, from the front.
    fn cut(start: u64, end: u64, phys: u64, largest: PageSize) -> Vec<(u64, PageSize, u64)> {
        let mut leaves = vec![];
        let (mut at, mut to) = (start, phys);
        while at < end {
            let fits = |size: &&PageSize| {
                **size <= largest && (at | to) & (size.bytes() - 1) == 0 && at + size.bytes() <= end
            };
            let size = *PageSize::ALL.iter().rev().find(fits).unwrap();
            leaves.push((at, size, to));
            at += size.bytes();
            to += size.bytes();
        }
        leaves
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Map { start: u64, length: u64, phys: u64, attributes: Attributes, largest: PageSize },
    Unmap { start: u64, length: u64 },
    Protect { start: u64, length: u64, rights: Rights },
    Split { at: u64, size: PageSize },
    Retire,
    Clear,
}

fn size() -> impl Strategy<Value = PageSize> {
    prop_oneof![5 => Just(PageSize::Size4K), 3 => Just(PageSize::Size2M), 1 => Just(PageSize::Size1G)]
}

/// Offset and length, near places where tables begin and end, so that edits meet.
fn place() -> impl Strategy<Value = (u64, u64)> {
    let anchors = [0, GIB - 2 * MIB2, GIB, 512 * GIB - 2 * GIB, 512 * GIB - MIB2, (1 << 48) - 3 * GIB];
    let length = prop_oneof![6 => 1u64..6, 3 => 1u64..520, 1 => 500u64..1300];
    (proptest::sample::select(anchors.to_vec()), size(), 0u64..8, size(), length).prop_map(
        |(anchor, step, steps, unit, count)| {
            let start = anchor + steps * step.bytes();
            // The high half's last page has no range.
            let end = (start + count.min(if unit == PageSize::Size1G { 3 } else { count }) * unit.bytes())
                .min((1 << 48) - KIB4);
            (start.min(end - KIB4), end - start.min(end - KIB4))
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    let rights = || proptest::sample::select(Rights::ALL.to_vec());
    let attributes = (rights(), 0..3u8).prop_map(|(rights, kind)| match kind {
        0 => Attributes::kernel(rights),
        1 => Attributes::user(rights),
        _ => Attributes::KERNEL_DEVICE,
    });
    // Physical addresses with every alignment, congruent to the virtual ones more often than not.
    let phys = (0u64..64, prop_oneof![3 => Just(0), 1 => Just(KIB4), 1 => Just(MIB2)]);
    prop_oneof![
        6 => (place(), phys, attributes, size()).prop_map(|((start, length), (gigabyte, slip), attributes, largest)| {
            let phys = gigabyte * GIB + start % GIB + slip;
            Edit::Map { start, length, phys, attributes, largest }
        }),
        4 => place().prop_map(|(start, length)| Edit::Unmap { start, length }),
        2 => (place(), rights()).prop_map(|((start, length), rights)| Edit::Protect { start, length, rights }),
        1 => (place(), size()).prop_map(|((at, _), size)| Edit::Split { at, size }),
        2 => Just(Edit::Retire),
        1 => Just(Edit::Clear),
    ]
}

/// The tree and its model, edited side by side.
struct Pair<'a> {
    store: TablePool<'a>,
    tree: PageTable,
    model: Model,
    /// Edits whose invalidation is put off. While tables wait in it, the store may run out early.
    stale: Stale,
}

impl Pair<'_> {
    fn range(&self, start: u64, length: u64) -> VirtRange {
        range(self.tree.base() + start, length)
    }

    fn note(&mut self, stale: Stale) {
        self.stale.merge(&self.store, stale);
    }

    fn retire(&mut self) {
        let waiting = self.store.live();
        std::mem::take(&mut self.stale).retire(&mut self.store, |_| ());
        assert!(self.store.live() <= waiting);
        assert_eq!(self.store.live(), 1 + self.model.tables.len(), "tables that are linked and no others");
    }

    fn apply(&mut self, edit: &Edit) {
        match *edit {
            Edit::Map { start, length, phys, attributes, largest } => {
                let before = self.model.tables.len();
                let range = self.range(start, length);
                let result =
                    self.tree.map(&mut self.store, range, PhysAddr::new(phys).unwrap(), attributes, largest);
                if !self.model.within(start, start + length).is_empty() {
                    assert!(matches!(result, Err(TableError::Overlap { .. })), "{result:?}");
                    return;
                }
                if let Err(TableError::OutOfTables { needed, available }) = result {
                    assert!(needed > available);
                    assert!(self.stale.has_tables() || available == TABLES - 1 - before);
                    return;
                }
                assert_eq!(result, Ok(()));
                for (at, size, to) in Model::cut(start, start + length, phys, largest) {
                    self.model.insert(at, size, to, attributes);
                }
            }
            Edit::Unmap { start, length } => {
                let range = self.range(start, length);
                let result = self.tree.unmap(&mut self.store, range);
                if self.model.cuts(start) || self.model.cuts(start + length) {
                    assert!(matches!(result, Err(TableError::InsideBlock { .. })), "{result:?}");
                    return;
                }
                for offset in self.model.within(start, start + length) {
                    let (size, ..) = self.model.leaves[&offset];
                    assert!(result.as_ref().unwrap().smallest() <= size);
                    self.model.remove(offset);
                }
                self.note(result.unwrap());
            }
            Edit::Protect { start, length, rights } => {
                let range = self.range(start, length);
                let result = self.tree.protect(&mut self.store, range, rights);
                let end = start + length;
                let leaves = self.model.within(start, end);
                let changed = |offset: &u64| self.model.leaves[offset].2.with_rights(rights);
                let possible =
                    !self.model.cuts(start) && !self.model.cuts(end) && self.model.covers(start, end);
                if !possible || leaves.iter().any(|offset| changed(offset).is_none()) {
                    assert!(result.is_err());
                    return;
                }
                for offset in leaves {
                    let leaf = self.model.leaves.get_mut(&offset).unwrap();
                    leaf.2 = leaf.2.with_rights(rights).unwrap();
                }
                self.note(result.unwrap());
            }
            Edit::Split { at, size } => {
                let before = self.model.tables.len();
                let virt = virt(self.tree.base() + at);
                let mut broken = None;
                let result = self.tree.split(&mut self.store, virt, size, |stale| broken = stale.range());
                let Some((start, old, phys, attributes)) = self.model.at(at) else {
                    assert!(matches!(result, Err(TableError::NotMapped { .. })));
                    return;
                };
                if let Err(TableError::OutOfTables { available, .. }) = result {
                    assert!(self.stale.has_tables() || available == TABLES - 1 - before);
                    assert_eq!(broken, None);
                    return;
                }
                assert_eq!(result, Ok(()));
                if old <= size {
                    assert_eq!(broken, None);
                    return;
                }
                assert_eq!(broken, Some(self.range(start, old.bytes())));
                self.model.remove(start);
                let (mut outer, mut pieces) = ((start, old), vec![]);
                for piece in PageSize::ALL.into_iter().rev().filter(|piece| *piece < old && *piece >= size) {
                    let inner = at & !(piece.bytes() - 1);
                    let all = (outer.0..outer.0 + outer.1.bytes()).step_by(piece.bytes() as usize);
                    pieces.extend(
                        all.filter(|offset| piece == size || *offset != inner).map(|offset| (offset, piece)),
                    );
                    outer = (inner, piece);
                }
                for (offset, piece) in pieces {
                    self.model.insert(offset, piece, phys + (offset - start), attributes);
                }
            }
            Edit::Retire => self.retire(),
            Edit::Clear => {
                let stale = self.tree.clear(&mut self.store).unwrap();
                self.note(stale);
                self.model = Model::default();
                self.retire();
            }
        }
    }

    /// Every leaf of the tree is the model's, and walks agree.
    fn check(&self) {
        let mut expected = self.model.leaves.iter();
        let mut found_tables = 0;
        for node in self.tree.nodes(&self.store) {
            match node {
                Node::Table { .. } => found_tables += 1,
                Node::Unreadable { .. } => panic!("{node:?}"),
                Node::Leaf { at, level, descriptor } => {
                    let (offset, &(size, to, attributes)) = expected.next().expect("a leaf too many");
                    assert_eq!(at.get(), self.tree.base() + offset);
                    assert_eq!(descriptor.decode_leaf(level), Ok((phys(to), size, attributes)));
                }
            }
        }
        assert_eq!(expected.next(), None);
        assert_eq!(found_tables, self.model.tables.len());
        for (offset, &(size, to, attributes)) in self.model.leaves.iter().step_by(97) {
            let inside = size.bytes() / 3;
            let found = self.tree.walk(&self.store, virt(self.tree.base() + offset + inside)).unwrap();
            assert_eq!((found.phys.get(), found.size, found.attributes), (to + inside, size, attributes));
        }
    }
}

const TABLES: usize = 28;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_do_what_the_model_does(edits in proptest::collection::vec(edit(), 1..80), high: bool, eager: bool) {
        let tables = tables(TABLES);
        let mut store = TablePool::new(&tables, Frame::new(ROOT).unwrap());
        let root = store.allocate().unwrap();
        let tree = if high { PageTable::ttbr1(root) } else { PageTable::ttbr0(root) };
        let mut pair = Pair { store, tree, model: Model::default(), stale: Stale::default() };
        for (count, edit) in edits.iter().enumerate() {
            pair.apply(edit);
            if eager {
                pair.retire();
            }
            if count % 8 == 7 {
                pair.check();
            }
        }
        pair.check();
        pair.retire();
        pair.apply(&Edit::Clear);
        prop_assert_eq!(pair.store.live(), 1);
    }
}
