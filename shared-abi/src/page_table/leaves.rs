//! Going through a whole tree: every table and every leaf, or the leaves coalesced into runs.
//!
//! Iteration is by address, needs no memory of its own, and shows what is there, well formed or not: judging is
//! the caller's. A damaged tree can name one table many times over, so a caller that reads foreign memory bounds
//! the number of tables that it is willing to see.

use super::table::{ENTRIES, TableSource};
use super::{PageTable, entry_shift};
use crate::addr::{Frame, PhysAddr, VirtAddr};
use crate::vmsa::Descriptor;

/// Something that a tree contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// A descriptor that leads to another table, which is visited next.
    Table {
        /// First address that the table translates.
        at: VirtAddr,
        /// Level of the table that the descriptor leads to, 1 to 3.
        level: u8,
        /// The descriptor.
        descriptor: Descriptor,
    },
    /// A valid descriptor that leads to no table.
    Leaf {
        /// First address that it translates.
        at: VirtAddr,
        /// Its level, 0 to 3; no leaf of the format is at level 0.
        level: u8,
        /// The descriptor.
        descriptor: Descriptor,
    },
    /// A table that the source cannot read. What it would translate is left out.
    Unreadable {
        /// First address that the table would translate.
        at: VirtAddr,
        /// Its level.
        level: u8,
        /// Its frame.
        table: Frame,
    },
}

/// Every node of a tree, in order of address, tables before what they contain.
#[derive(Debug)]
pub struct Nodes<'a, S: ?Sized> {
    source: &'a S,
    base: u64,
    tables: [Frame; 4],
    indices: [usize; 4],
    /// The level that is being read; `None` when done.
    level: Option<u8>,
}

impl<S: TableSource + ?Sized> Nodes<'_, S> {
    /// The first address that the current entry translates.
    fn at(&self) -> Option<VirtAddr> {
        let offset =
            (0u8..).zip(self.indices).map(|(level, index)| (index as u64) << entry_shift(level)).sum::<u64>();
        VirtAddr::new(self.base | offset)
    }

    /// Goes back to the table above, past the entry that led here.
    fn ascend(&mut self, level: u8) {
        self.indices[usize::from(level)] = 0;
        self.level = level.checked_sub(1);
        if let Some(above) = self.level {
            self.indices[usize::from(above)] += 1;
        }
    }
}

impl<S: TableSource + ?Sized> Iterator for Nodes<'_, S> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        loop {
            let level = self.level?;
            let slot = usize::from(level);
            if self.indices[slot] == ENTRIES {
                self.ascend(level);
                continue;
            }
            let at = self.at()?;
            let Some(descriptor) = self.source.entry(self.tables[slot], self.indices[slot]) else {
                let table = self.tables[slot];
                self.ascend(level);
                return Some(Node::Unreadable { at, level, table });
            };
            if !descriptor.is_valid() {
                self.indices[slot] += 1;
                continue;
            }
            if descriptor.is_table(level) {
                self.tables[slot + 1] = descriptor.address().frame();
                self.level = Some(level + 1);
                return Some(Node::Table { at, level: level + 1, descriptor });
            }
            self.indices[slot] += 1;
            return Some(Node::Leaf { at, level, descriptor });
        }
    }
}

/// Neighbouring leaves that map neighbouring memory in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// First virtual address.
    pub virt: VirtAddr,
    /// First physical address.
    pub phys: PhysAddr,
    /// Length in bytes, of whole leaves; at most 2⁴⁸.
    pub length: u64,
    /// The level of each leaf.
    pub level: u8,
    /// The descriptor of each leaf without its output address.
    pub attributes: Descriptor,
}

impl Run {
    fn of_leaf(virt: VirtAddr, level: u8, descriptor: Descriptor) -> Self {
        Self {
            virt,
            phys: descriptor.address(),
            length: 1 << entry_shift(level),
            level,
            attributes: descriptor.without_address(),
        }
    }

    /// The two as one, if `next` continues this run.
    fn joined(self, next: Self) -> Option<Self> {
        let follows = self.virt.checked_add(self.length) == Some(next.virt)
            && self.phys.checked_add(self.length) == Some(next.phys)
            && (self.level, self.attributes) == (next.level, next.attributes);
        follows.then(|| Self { length: self.length + next.length, ..self })
    }
}

/// The leaves of a tree as [`Run`]s, in order of address. Tables that cannot be read are passed over.
#[derive(Debug)]
pub struct Leaves<'a, S: ?Sized> {
    nodes: Nodes<'a, S>,
    pending: Option<Run>,
}

impl<S: TableSource + ?Sized> Iterator for Leaves<'_, S> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        for node in self.nodes.by_ref() {
            let Node::Leaf { at, level, descriptor } = node else { continue };
            let run = Run::of_leaf(at, level, descriptor);
            match self.pending {
                None => self.pending = Some(run),
                Some(pending) => match pending.joined(run) {
                    Some(joined) => self.pending = Some(joined),
                    None => return self.pending.replace(run),
                },
            }
        }
        self.pending.take()
    }
}

impl PageTable {
    /// Every table and leaf.
    pub fn nodes<S: TableSource + ?Sized>(self, source: &S) -> Nodes<'_, S> {
        Nodes { source, base: self.base(), tables: [self.root; 4], indices: [0; 4], level: Some(0) }
    }

    /// The leaves, coalesced.
    pub fn leaves<S: TableSource + ?Sized>(self, source: &S) -> Leaves<'_, S> {
        Leaves { nodes: self.nodes(source), pending: None }
    }
}
