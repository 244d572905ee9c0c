//! One node of the pruned tree with the values that the boot reads of it.

use fdt::node::FdtNode;
use shared_abi::addr::PhysRange;

use super::TreeError;
use super::cells::{self, Cells, Ranges, nameable, number};
use super::class::{Class, class_of};
use super::kind::Kind;
use super::symbol::{COUNT, Symbol, SymbolSet};
use crate::platform::{Full, Remark, Remarks};

/// A node of the pruned tree.
///
/// A value that is malformed reads as if it were not there. One that the boot can lack is remarked upon; any other is
/// remembered, so whoever reads need not stop at each: only [`Self::check`] fails, and nothing that was read counts if it
/// does.
pub(super) struct Node<'s> {
    pub kind: Kind,
    /// Its name; `/` is the root's.
    pub name: &'s str,
    /// What it is by what it is compatible with.
    pub class: Option<Class>,
    /// The properties that it states, and by symbol their values.
    stated: SymbolSet,
    values: [&'s [u8]; COUNT],
    /// The first thing that is wrong.
    fault: Option<TreeError<'s>>,
    /// What was ignored, in all nodes so far.
    pub remarks: Remarks<'s>,
}

impl<'s> Node<'s> {
    /// One that states nothing, to be read over.
    pub const fn new() -> Self {
        Self {
            kind: Kind::Ignored,
            name: "",
            class: None,
            stated: SymbolSet::of(&[]),
            values: [&[]; COUNT],
            fault: None,
            remarks: Remarks::new(),
        }
    }

    /// Reads a node in place of what was read before; one without parent is the root.
    #[inline(never)]
    pub fn read(&mut self, node: FdtNode<'_, 's>, parent: Option<Kind>) {
        self.name = if parent.is_none() { "/" } else { node.name };
        self.stated = SymbolSet::default();
        for property in node.properties() {
            if let Some(symbol) = Symbol::of(property.name.as_bytes())
                && let Some(place) = self.values.get_mut(symbol.index())
            {
                *place = property.value;
                self.stated.insert(symbol);
            }
        }
        self.class = self.value(Symbol::COMPATIBLE).and_then(class_of);
        self.kind = match parent {
            None => Kind::Root,
            Some(parent) => match parent.child(self.name.as_bytes()) {
                Kind::Bus => parent.of_device(self.value(Symbol::DEVICE_TYPE), self.class),
                kind => kind,
            },
        };
    }

    /// Whether all nodes so far are as they should be, as far as they were read.
    pub fn check(&mut self) -> Result<(), TreeError<'s>> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// How often something was ignored.
    pub fn ignored(&self) -> usize {
        self.remarks.count()
    }

    /// Whether something is wrong: what is left need not be read.
    pub const fn is_refused(&self) -> bool {
        self.fault.is_some()
    }

    /// Remembers what is wrong with the node, unless something is already.
    #[cold]
    #[inline(never)]
    pub fn refuse(&mut self, error: TreeError<'s>) {
        self.fault.get_or_insert(error);
    }

    /// Remembers that this value is malformed, or remarks upon it if the boot can lack it.
    #[cold]
    #[inline(never)]
    pub fn malformed(&mut self, symbol: Symbol) {
        if self.kind.can_lack(symbol) {
            return self.remarks.add(Remark::Malformed { node: self.name, property: symbol.name() });
        }
        self.required(symbol);
    }

    /// Remembers that this value is malformed, whatever the node.
    #[cold]
    #[inline(never)]
    pub fn required(&mut self, symbol: Symbol) {
        if self.is_refused() {
            return;
        }
        let length = self.value(symbol).map_or(0, <[u8]>::len);
        self.refuse(TreeError::Property { node: self.name, property: symbol.name(), length });
    }

    /// Remembers that the machine has no room for what the node states.
    pub fn must_fit(&mut self, added: Result<(), Full>) {
        if let Err(full) = added {
            self.refuse(full.into());
        }
    }

    /// Remarks that the machine has no room for what the node states.
    pub fn may_be_dropped(&mut self, added: Result<(), Full>) {
        if let Err(full) = added {
            self.remarks.add(Remark::Dropped { node: self.name, full });
        }
    }

    /// Whether a value is a list of strings that has this one.
    pub fn lists(&self, symbol: Symbol, text: &[u8]) -> bool {
        self.value(symbol).is_some_and(|list| list.split(|byte| *byte == 0).any(|name| name == text))
    }

    /// A value, if the node states it.
    pub fn value(&self, symbol: Symbol) -> Option<&'s [u8]> {
        self.values.get(symbol.index()).copied().filter(|_| self.stated.has(symbol))
    }

    /// One cell or two.
    pub fn number(&mut self, symbol: Symbol) -> Option<u64> {
        self.number_in(symbol, 8, |_| true)
    }

    /// One cell or two that hold a number for which this is so.
    pub fn number_if(&mut self, symbol: Symbol, allowed: fn(u64) -> bool) -> Option<u64> {
        self.number_in(symbol, 8, allowed)
    }

    /// One cell.
    pub fn cell(&mut self, symbol: Symbol) -> Option<u32> {
        self.cell_if(symbol, |_| true)
    }

    /// One cell that holds a number for which this is so.
    pub fn cell_if(&mut self, symbol: Symbol, allowed: fn(u64) -> bool) -> Option<u32> {
        self.number_in(symbol, 4, allowed).map(|number| number as u32)
    }

    /// A number of at most so many bytes for which this is so.
    #[inline(never)]
    fn number_in(&mut self, symbol: Symbol, longest: usize, allowed: fn(u64) -> bool) -> Option<u64> {
        let value = self.value(symbol)?;
        let number = number(value).filter(|number| (1..=longest).contains(&value.len()) && allowed(*number));
        if number.is_none() {
            self.malformed(symbol);
        }
        number
    }

    /// The first string.
    #[inline(never)]
    pub fn text(&mut self, symbol: Symbol) -> Option<&'s str> {
        let text = cells::text(self.value(symbol)?);
        if text.is_none() {
            self.malformed(symbol);
        }
        text
    }

    /// The addresses and sizes that a value lists.
    #[inline(never)]
    pub fn ranges(&mut self, symbol: Symbol, cells: Cells) -> Ranges<'s> {
        let Some(value) = self.value(symbol) else { return Ranges::NONE };
        Ranges::new(value, cells).unwrap_or_else(|| {
            self.malformed(symbol);
            Ranges::NONE
        })
    }

    /// The part of a range of bytes that a physical address can name; `None` if that is nothing.
    #[inline(never)]
    pub fn nameable(&mut self, start: u64, length: u64) -> Option<PhysRange> {
        let range = nameable(start, length);
        if range.is_none() {
            // The name is looked for here only: it may be long, and a value may state many ranges.
            self.refuse(TreeError::Range { node: self.name, start, length });
        }
        range.filter(|range| !range.is_empty())
    }
}
