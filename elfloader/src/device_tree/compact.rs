//! One pass over the tree's bytes: checks every token, and makes a small tree of what the boot reads, in which
//! names and values are places in the original.
//!
//! What goes in is hostile; what comes out is well-formed by construction, holds only nodes and properties that
//! the boot reads, no NOPs, at most [`DEPTH`] levels, and no node whose `status` (or whose parent's) is not
//! okay, processors excepted. Only then the `fdt` library looks at it, which panics on much less.
//!
//! ```text
//!                 root ── keeps its cells and model
//!   by name        ├─ memory, chosen, reserved-memory/*, cpus/cpu*: copied as they are read
//!   by compatible  ├─ devices at any depth: copied once known to be ours, with the buses above them
//!   not ours       ├─ everything else: checked and left out
//!   one property   └─ aliases: of which the console's path needs at most one
//! ```

use arrayvec::ArrayVec;

use super::TreeError;
use super::class::{Class, before_zero, class_at, class_of};
use super::header::Blocks;
use super::kind::Kind;
use super::original::{Word, bytes, node_name, value, words_of};
use super::symbol::Symbol;
use super::writer::{Compact, Writer, token};
use crate::platform::Gic;

/// The deepest nesting of nodes, the root being 1.
pub const DEPTH: usize = 32;

/// The most seeds that a tree may hold.
pub const SEEDS: usize = 8;

/// Bytes of the original tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset from the tree's start.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
}

/// What the pass found out about the original tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Bytes from the tree's start to the end of its last block: its total size may be far larger.
    pub extent: usize,
    /// Random seeds, to be wiped where they lie.
    pub seeds: ArrayVec<Span, SEEDS>,
    /// The interrupt controller's version, if it is a GIC.
    pub gic: Option<Gic>,
}

/// An open node whose properties are complete. Indices fit 32 bits, as a tree is at most [`super::LARGEST`].
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Whether the copy has its beginning, so that it needs its end.
    copied: bool,
    /// Index of the word where its name begins.
    name: u32,
    /// Index of the word where its properties begin.
    properties: u32,
}

const PROP: Word = token::PROP.to_be();
const END_NODE: Word = token::END_NODE.to_be();
const NOP: Word = token::NOP.to_be();

/// What a device turned out to be.
struct Device {
    kind: Kind,
    /// Index in the table of classes.
    class: Option<u32>,
}

/// A property as it stands in the structure block.
#[derive(Clone, Copy)]
struct Property<'d> {
    /// Index of the word where it begins.
    at: u32,
    /// Where its name is in the strings block: checked.
    name: u32,
    /// Its value's length in bytes; `words` holds it and what pads it.
    length: u32,
    words: &'d [Word],
}

impl<'d> Property<'d> {
    fn value(&self) -> &'d [u8] {
        bytes(self.words, self.length as usize)
    }
}

/// The pass over one tree.
pub(super) struct Pass<'d, 's> {
    blocks: Blocks<'d>,
    /// What is left of the structure block.
    rest: &'d [Word],
    writer: Writer<'s>,
    /// The open nodes.
    nodes: ArrayVec<Node, DEPTH>,
    survey: Survey,
    stdout_path: &'d [u8],
    linux_stdout_path: &'d [u8],
    /// Where the strings block has the name `compatible`, once that was met.
    compatible: usize,
    /// Where the properties of `/aliases` begin.
    aliases: &'d [Word],
}

impl<'d, 's> Pass<'d, 's> {
    pub(super) fn new(blocks: Blocks<'d>, compact: &'s mut Compact) -> Self {
        Self {
            rest: blocks.words,
            writer: Writer::new(compact, blocks.reservations),
            nodes: ArrayVec::new(),
            survey: Survey { extent: blocks.extent, seeds: ArrayVec::new(), gic: None },
            stdout_path: &[],
            linux_stdout_path: &[],
            compatible: usize::MAX,
            aliases: &[],
            blocks,
        }
    }

    /// Goes through all tokens.
    pub(super) fn run(mut self) -> Result<Survey, TreeError<'static>> {
        loop {
            let at = self.rest;
            let Some((word, rest)) = at.split_first() else { return Err(self.truncated(at)) };
            self.rest = rest;
            match u32::from_be(*word) {
                token::BEGIN_NODE => self.node(at)?,
                token::END_NODE => match self.nodes.pop() {
                    Some(node) if self.nodes.is_empty() => {
                        debug_assert!(node.kind == Kind::Root);
                        break;
                    }
                    Some(node) if node.copied => self.writer.end_node(),
                    Some(_) => {}
                    None => return Err(TreeError::Unbalanced { offset: self.offset(at) }),
                },
                token::NOP => {}
                // A node's properties are read with its beginning, if they fit.
                token::PROP if rest.len() < 2 => return Err(self.truncated(at)),
                token::PROP => return Err(TreeError::StrayProperty { offset: self.offset(at) }),
                token::END => return Err(TreeError::Unbalanced { offset: self.offset(at) }),
                found => return Err(TreeError::Token { offset: self.offset(at), found }),
            }
        }
        self.end()?;
        if let Some(path) = self.console_alias()? {
            self.writer.begin_node(Kind::Aliases, 0);
            self.writer.property(Symbol::CONSOLE_ALIAS, path.at);
            self.writer.end_node();
        }
        self.writer.end_node();
        self.writer.finish()?;
        Ok(self.survey)
    }

    /// After the root only the end may come.
    fn end(&mut self) -> Result<(), TreeError<'static>> {
        loop {
            let at = self.rest;
            let Some((word, rest)) = at.split_first() else { return Err(self.truncated(at)) };
            self.rest = rest;
            match u32::from_be(*word) {
                token::NOP => {}
                token::END => {
                    self.survey.extent = self.survey.extent.max(self.offset(rest));
                    return Ok(());
                }
                _ => return Err(TreeError::Unbalanced { offset: self.offset(at) }),
            }
        }
    }

    /// Index of the first word of what is left of the structure block.
    fn index(&self, rest: &[Word]) -> u32 {
        (self.blocks.words.len() - rest.len()) as u32
    }

    /// The same as an offset in the tree.
    fn offset(&self, rest: &[Word]) -> usize {
        self.blocks.words_offset + self.index(rest) as usize * 4
    }

    #[cold]
    fn truncated(&self, at: &[Word]) -> TreeError<'static> {
        TreeError::Truncated { offset: self.offset(at) }
    }

    /// The structure block from a word on.
    fn from(&self, index: u32) -> &'d [Word] {
        self.blocks.words.get(index as usize..).unwrap_or_default()
    }

    /// The strings block from a property's name on.
    fn name(&self, property: Property<'d>) -> &'d [u8] {
        self.blocks.strings.get(property.name as usize..).unwrap_or_default()
    }

    /// The next property of a node's head; `None` if what comes next is none, or has no end.
    #[inline]
    fn property(&mut self) -> Result<Option<Property<'d>>, TreeError<'static>> {
        let mut rest = self.rest;
        while let [NOP, more @ ..] = rest {
            rest = more;
        }
        let [PROP, length, name, more @ ..] = rest else { return Ok(None) };
        let (length, name) = (u32::from_be(*length), u32::from_be(*name));
        let Some((words, more)) = more.split_at_checked(words_of(length)) else {
            return Err(self.truncated(rest));
        };
        // The strings block ends with a zero, so a name that begins inside it ends inside it.
        if name as usize >= self.blocks.strings.len() {
            return Err(TreeError::Name { offset: self.offset(rest), name: name as usize });
        }
        self.rest = more;
        Ok(Some(Property { at: self.index(rest), name, length, words }))
    }

    /// Begins the node whose token is at `at` and reads its properties.
    fn node(&mut self, at: &'d [Word]) -> Result<(), TreeError<'static>> {
        let start = self.rest;
        let Some((name, rest)) = node_name(start) else { return Err(self.truncated(at)) };
        self.rest = rest;
        let kind = match self.nodes.last() {
            Some(parent) => parent.kind.child(name),
            None => Kind::Root,
        };
        let mut device = Device { kind, class: None };
        match kind {
            Kind::Ignored => while self.property()?.is_some() {},
            Kind::Aliases => {
                self.aliases = if self.aliases.is_empty() { rest } else { self.aliases };
                while self.property()?.is_some() {}
            }
            Kind::Bus => device = self.examine()?,
            _ => {}
        }
        // Most nodes are none of ours and have no children.
        if let (Kind::Bus | Kind::Ignored, [END_NODE, rest @ ..]) = (device.kind, self.rest)
            && self.nodes.len() < DEPTH
        {
            self.rest = rest;
            return Ok(());
        }
        let mut node =
            Node { kind: device.kind, copied: false, name: self.index(start), properties: self.index(rest) };
        match (kind, device.kind) {
            (_, Kind::Bus | Kind::Ignored | Kind::Aliases) => {}
            (Kind::Bus, _) => {
                self.copy_buses()?;
                let resume = core::mem::replace(&mut self.rest, rest);
                self.copy(&mut node, name, device.class)?;
                self.rest = resume;
            }
            _ => self.copy(&mut node, name, None)?,
        }
        let too_deep = TreeError::Depth { offset: self.offset(at), limit: DEPTH };
        self.nodes.try_push(node).map_err(|_| too_deep)
    }

    /// Reads the properties of a device for what it is: of no use if it is not okay, a bus at least if it is.
    ///
    /// Most of a tree is read here, so this is [`Self::property`] once more, in registers.
    #[inline(never)]
    fn examine(&mut self) -> Result<Device, TreeError<'static>> {
        let strings = self.blocks.strings;
        // The words from a property of interest on. The first of several counts.
        let (mut class, mut status, mut device_type): (&[Word], &[Word], &[Word]) = (&[], &[], &[]);
        let mut compatible = self.compatible;
        let mut rest = self.rest;
        loop {
            while let [PROP, length, name, more @ ..] = rest {
                let name = u32::from_be(*name) as usize;
                let Some((_, after)) = more.split_at_checked(words_of(u32::from_be(*length))) else { break };
                let Some(first) = strings.get(name) else { break };
                // Most properties of most devices are none of ours: where a name is, or how it begins, tells.
                let is = |known: &[u8]| {
                    let text = strings.get(name..name + known.len());
                    text.is_some_and(|text| text.iter().zip(known).all(|(byte, known)| byte == known))
                };
                if name == compatible || *first == b'c' && is(b"compatible\0") {
                    compatible = name;
                    class = if class.is_empty() { rest } else { class };
                } else if *first == b's' && status.is_empty() && is(b"status\0") {
                    status = rest;
                } else if *first == b'd' && device_type.is_empty() && is(b"device_type\0") {
                    device_type = rest;
                }
                rest = after;
            }
            let [NOP, after @ ..] = rest else { break };
            rest = after;
        }
        self.rest = rest;
        self.compatible = compatible;
        if rest.first() == Some(&PROP) {
            // It does not read so either, and says why.
            self.property()?;
            return Err(self.truncated(rest));
        }
        let class = value(class).and_then(|(words, length)| class_of(words, length));
        let is_memory = |(words, length)| bytes(words, length) == b"memory\0";
        let kind = match class.and_then(class_at) {
            _ if !value(status).is_none_or(|(words, length)| is_okay(bytes(words, length))) => Kind::Ignored,
            _ if self.nodes.len() == 1 && value(device_type).is_some_and(is_memory) => Kind::Memory,
            None => Kind::Bus,
            Some(Class::Console(_)) => Kind::Serial,
            Some(Class::Psci(_)) => Kind::Power,
            Some(Class::Timer) => Kind::Timer,
            Some(Class::Gic(gic)) => {
                self.survey.gic = self.survey.gic.or(Some(gic));
                Kind::Ignored
            }
        };
        Ok(Device { kind, class })
    }

    /// Copies a node's beginning, unless it turns out not to be okay.
    fn copy(&mut self, node: &mut Node, name: &[u8], class: Option<u32>) -> Result<(), TreeError<'static>> {
        let position = self.writer.position();
        self.begin_copy(node, name)?;
        let head = self.writer.position();
        // Where a property is stated twice, the first counts; a seed is noted each time, to be wiped.
        let kept = node.kind.keeps();
        let mut missing = kept;
        while let Some(property) = self.property()? {
            let Some(symbol) = kept.find(self.name(property)) else { continue };
            if node.kind == Kind::Chosen {
                self.note(symbol, &property)?;
            }
            if !missing.remove(symbol) {
                continue;
            }
            match (symbol, node.kind) {
                (Symbol::STATUS, kind) if kind != Kind::Cpu => node.copied = is_okay(property.value()),
                _ => self.writer.property(symbol, property.at),
            }
        }
        // A timer is of interest only if it states its frequency.
        if !node.copied || node.kind == Kind::Timer && self.writer.position() == head {
            self.writer.rewind(position);
            node.copied = false;
            node.kind = Kind::Ignored;
        } else if let Some(class) = class {
            self.writer.property(Symbol::CLASS, class);
        }
        Ok(())
    }

    /// Keeps what the pass itself needs of `/chosen`: where seeds lie, and which alias names the console.
    fn note(&mut self, symbol: Symbol, property: &Property<'d>) -> Result<(), TreeError<'static>> {
        match symbol {
            Symbol::RNG_SEED | Symbol::KASLR_SEED => {
                let offset = self.offset(self.rest) - property.words.len() * 4;
                let seed = Span { offset, length: property.length as usize };
                self.survey.seeds.try_push(seed).map_err(|_| TreeError::Seeds { limit: SEEDS })?;
            }
            Symbol::STDOUT_PATH if self.stdout_path.is_empty() => self.stdout_path = property.value(),
            Symbol::LINUX_STDOUT_PATH if self.linux_stdout_path.is_empty() => {
                self.linux_stdout_path = property.value();
            }
            _ => {}
        }
        Ok(())
    }

    /// Copies the beginnings of the open nodes that have none yet: nothing was written since they began.
    fn copy_buses(&mut self) -> Result<(), TreeError<'static>> {
        let resume = self.rest;
        for index in 0..self.nodes.len() {
            let Some(mut bus) = self.nodes.get(index).copied().filter(|bus| !bus.copied) else { continue };
            let Some((name, _)) = node_name(self.from(bus.name)) else { continue };
            self.rest = self.from(bus.properties);
            self.copy(&mut bus, name, None)?;
            if let Some(node) = self.nodes.get_mut(index) {
                *node = bus;
            }
        }
        self.rest = resume;
        Ok(())
    }

    fn begin_copy(&mut self, node: &mut Node, name: &[u8]) -> Result<(), TreeError<'static>> {
        // Errors and the memory map print it: on one line, and without a terminal's commands.
        if !name.iter().all(|letter| matches!(letter, b' '..=b'~')) {
            let offset = self.offset(self.from(node.name));
            return Err(TreeError::Name { offset, name: 0 });
        }
        self.writer.begin_node(node.kind, node.name);
        node.copied = true;
        Ok(())
    }

    /// What the alias stands for that the console's path begins with.
    fn console_alias(&mut self) -> Result<Option<Property<'d>>, TreeError<'static>> {
        let path = if self.stdout_path.is_empty() { self.linux_stdout_path } else { self.stdout_path };
        let alias = path.split(|byte| matches!(byte, b':' | 0)).next().unwrap_or_default();
        if alias.is_empty() || alias.starts_with(b"/") {
            return Ok(None);
        }
        self.rest = self.aliases;
        while let Some(property) = self.property()? {
            if before_zero(self.name(property)) == alias {
                return Ok(Some(property));
            }
        }
        Ok(None)
    }
}

/// Whether a `status` value lets a device be used (Devicetree Specification 2.3.4).
fn is_okay(status: &[u8]) -> bool {
    matches!(status, b"okay\0" | b"ok\0")
}
