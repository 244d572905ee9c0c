//! One pass over the tree's bytes: checks every token, and copies what the boot reads into a small tree.
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
use super::class::class_of;
use super::header::Blocks;
use super::symbol::{Symbol, SymbolSet, symbol};
use super::writer::{Alias, Writer, token};

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
}

/// What a node is to the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing below is read.
    Ignored,
    Root,
    Memory,
    Chosen,
    Aliases,
    ReservedMemory,
    Reserved,
    Cpus,
    Cpu,
    /// Not known before its properties are.
    Device,
}

const CELLS: SymbolSet = SymbolSet::of(&[Symbol::ADDRESS_CELLS, Symbol::SIZE_CELLS]);
const BUS: SymbolSet = CELLS.union(SymbolSet::of(&[Symbol::RANGES]));
const MEMORY: SymbolSet = SymbolSet::of(&[Symbol::REG, Symbol::NUMA_NODE, Symbol::DEVICE_TYPE]);
const DEVICE: SymbolSet = BUS.union(SymbolSet::of(&[
    Symbol::COMPATIBLE,
    Symbol::REG,
    Symbol::METHOD,
    Symbol::REG_SHIFT,
    Symbol::REG_IO_WIDTH,
    Symbol::REG_OFFSET,
    Symbol::CLOCK_FREQUENCY,
]));

impl Kind {
    /// The properties that are copied.
    const fn keeps(self) -> SymbolSet {
        match self {
            Self::Ignored | Self::Aliases => SymbolSet::of(&[]),
            Self::Root => CELLS.union(SymbolSet::of(&[Symbol::MODEL])),
            Self::Memory => MEMORY,
            Self::Chosen => SymbolSet::of(&[
                Symbol::BOOTARGS,
                Symbol::STDOUT_PATH,
                Symbol::LINUX_STDOUT_PATH,
                Symbol::INITRD_START,
                Symbol::INITRD_END,
                Symbol::RNG_SEED,
                Symbol::KASLR_SEED,
            ]),
            Self::ReservedMemory | Self::Cpus => BUS,
            Self::Reserved => SymbolSet::of(&[
                Symbol::REG,
                Symbol::SIZE,
                Symbol::ALIGNMENT,
                Symbol::ALLOC_RANGES,
                Symbol::NO_MAP,
                Symbol::REUSABLE,
            ]),
            Self::Cpu => SymbolSet::of(&[
                Symbol::REG,
                Symbol::STATUS,
                Symbol::ENABLE_METHOD,
                Symbol::RELEASE_ADDRESS,
                Symbol::NUMA_NODE,
            ]),
            Self::Device => DEVICE,
        }
    }

    /// What a child of this name is.
    fn child(self, name: &[u8]) -> Self {
        match self {
            Self::Root => match base_name(name) {
                b"memory" => Self::Memory,
                b"chosen" => Self::Chosen,
                b"aliases" => Self::Aliases,
                b"reserved-memory" => Self::ReservedMemory,
                b"cpus" => Self::Cpus,
                _ => Self::Device,
            },
            Self::ReservedMemory => Self::Reserved,
            Self::Cpus if base_name(name) == b"cpu" => Self::Cpu,
            Self::Device => Self::Device,
            _ => Self::Ignored,
        }
    }

    /// Whether it is copied as it is read.
    const fn is_copied_at_once(self) -> bool {
        !matches!(self, Self::Ignored | Self::Aliases | Self::Device)
    }
}

/// A node's name without its unit address.
pub(super) fn base_name(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'@').next().unwrap_or(name)
}

/// An open node.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Whether the copy has its beginning, so that it needs its end.
    copied: bool,
    /// Whether its properties may still come.
    head: bool,
    /// What a device turned out to be.
    found: Kind,
    /// Whether its `status` is absent or okay.
    okay: bool,
    /// Index of the word where its name begins.
    name: usize,
    /// Length of its name in bytes.
    name_length: usize,
    /// Index of the word where its properties begin.
    properties: usize,
    /// Where its copy begins.
    copy: usize,
}

/// A property as it stands in the structure block.
struct Property<'d> {
    /// Index of its token's word.
    word: usize,
    /// Where its name is in the strings block.
    name: usize,
    value: &'d [u8],
}

pub(super) struct Pass<'d, 's> {
    blocks: Blocks<'d>,
    /// The structure block as bytes.
    bytes: &'d [u8],
    writer: Writer<'s>,
    nodes: ArrayVec<Node, DEPTH>,
    /// Index of the next word.
    next: usize,
    survey: Survey,
    stdout_path: &'d [u8],
    linux_stdout_path: &'d [u8],
    /// Index of the word where the properties of `/aliases` begin.
    aliases: Option<usize>,
}

impl<'d, 's> Pass<'d, 's> {
    pub(super) fn new(blocks: Blocks<'d>, scratch: &'s mut [u8]) -> Result<Self, TreeError<'static>> {
        Ok(Self {
            bytes: blocks.words.as_flattened(),
            writer: Writer::new(scratch, blocks.reservations)?,
            nodes: ArrayVec::new(),
            next: 0,
            survey: Survey { extent: blocks.extent, seeds: ArrayVec::new() },
            stdout_path: &[],
            linux_stdout_path: &[],
            aliases: None,
            blocks,
        })
    }

    /// Goes through all tokens; gives the compacted tree.
    pub(super) fn run(mut self) -> Result<(&'s [u8], Survey), TreeError<'static>> {
        let mut rooted = false;
        loop {
            let word = self.next;
            match self.word()? {
                token::PROP => self.property(word)?,
                token::BEGIN_NODE if rooted && self.nodes.is_empty() => {
                    return Err(TreeError::Unbalanced { offset: self.offset(word) });
                }
                token::BEGIN_NODE => {
                    rooted = true;
                    self.begin_node(word)?;
                }
                token::END_NODE => {
                    self.end_head()?;
                    let node = self.nodes.pop().ok_or(TreeError::Unbalanced { offset: self.offset(word) })?;
                    if node.copied && !self.nodes.is_empty() {
                        self.writer.end_node()?;
                    }
                }
                token::NOP => {}
                token::END if rooted && self.nodes.is_empty() => break,
                token::END => return Err(TreeError::Unbalanced { offset: self.offset(word) }),
                found => return Err(TreeError::Token { offset: self.offset(word), found }),
            }
        }
        self.survey.extent = self.survey.extent.max(self.offset(self.next));
        let alias = self.alias()?;
        Ok((self.writer.finish(alias)?, self.survey))
    }

    /// The tree offset of a word of the structure block.
    fn offset(&self, word: usize) -> usize {
        self.blocks.words_offset + word * 4
    }

    fn word(&mut self) -> Result<u32, TreeError<'static>> {
        match self.blocks.words.get(self.next) {
            Some(word) => {
                self.next += 1;
                Ok(u32::from_be_bytes(*word))
            }
            None => Err(TreeError::Truncated { offset: self.offset(self.next) }),
        }
    }

    /// Reads the rest of the property whose token was at `word`.
    fn read_property(&mut self, word: usize) -> Result<Property<'d>, TreeError<'static>> {
        let length = self.word()? as usize;
        let name = self.word()? as usize;
        let start = self.next * 4;
        let value = self.bytes.get(start..).and_then(|rest| rest.get(..length));
        let value = value.ok_or(TreeError::Truncated { offset: self.offset(word) })?;
        self.next += length.div_ceil(4);
        // The strings block ends with a zero, so a name that begins inside it ends inside it.
        if name >= self.blocks.strings.len() {
            return Err(TreeError::Name { offset: self.offset(word), name });
        }
        Ok(Property { word, name, value })
    }

    /// A property's name: the string from an offset that has been checked.
    fn name(&self, offset: usize) -> &'d [u8] {
        let rest = self.blocks.strings.get(offset..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn begin_node(&mut self, word: usize) -> Result<(), TreeError<'static>> {
        self.end_head()?;
        let name_word = self.next;
        // A zero byte ends the name; what pads its word is not looked at.
        let name_length = loop {
            let Some(word) = self.blocks.words.get(self.next) else {
                return Err(TreeError::Name { offset: self.offset(word), name: self.offset(word) });
            };
            self.next += 1;
            let word = u32::from_le_bytes(*word);
            let zeros = word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080;
            if zeros != 0 {
                break (self.next - 1 - name_word) * 4 + (zeros.trailing_zeros() / 8) as usize;
            }
        };
        let name = self.node_name(name_word, name_length);
        let kind = match self.nodes.last() {
            None => Kind::Root,
            Some(parent) => parent.kind.child(name),
        };
        let mut node = Node {
            kind,
            copied: false,
            head: true,
            found: Kind::Ignored,
            okay: true,
            name: name_word,
            name_length,
            properties: self.next,
            copy: self.writer.position(),
        };
        if kind.is_copied_at_once() {
            self.copy_head(&mut node)?;
        }
        if kind == Kind::Aliases && self.aliases.is_none() {
            self.aliases = Some(self.next);
        }
        let offset = self.offset(word);
        self.nodes.try_push(node).map_err(|_| TreeError::Depth { offset, limit: DEPTH })
    }

    fn node_name(&self, word: usize, length: usize) -> &'d [u8] {
        self.bytes.get(word * 4..).and_then(|rest| rest.get(..length)).unwrap_or_default()
    }

    /// Writes a node's beginning; the root's name is empty, as a path begins there.
    fn copy_head(&mut self, node: &mut Node) -> Result<(), TreeError<'static>> {
        let name = self.node_name(node.name, node.name_length);
        if core::str::from_utf8(name).is_err() {
            return Err(TreeError::Name { offset: self.offset(node.name), name: self.offset(node.name) });
        }
        node.copy = self.writer.position();
        node.copied = true;
        self.writer.begin_node(if node.kind == Kind::Root { b"" } else { name })
    }

    /// Takes in the property whose token was at `word`.
    fn property(&mut self, word: usize) -> Result<(), TreeError<'static>> {
        let property = self.read_property(word)?;
        let stray = TreeError::StrayProperty { offset: self.offset(word) };
        let depth = self.nodes.len();
        let Some(kind) = self.nodes.last().filter(|node| node.head).map(|node| node.kind) else {
            return Err(stray);
        };
        match kind {
            Kind::Ignored | Kind::Aliases => return Ok(()),
            Kind::Device => {
                let name = self.blocks.strings.get(property.name..).unwrap_or_default();
                // Most properties of most devices are none of ours: two bytes tell.
                let known = match name {
                    [b'c', b'o', ..] if name.starts_with(b"compatible\0") => Symbol::COMPATIBLE,
                    [b's', b't', ..] if name.starts_with(b"status\0") => Symbol::STATUS,
                    [b'd', b'e', ..] if depth == 2 && name.starts_with(b"device_type\0") => {
                        Symbol::DEVICE_TYPE
                    }
                    _ => return Ok(()),
                };
                let Some(node) = self.nodes.last_mut() else { return Err(stray) };
                match known {
                    Symbol::STATUS => node.okay &= is_okay(property.value),
                    Symbol::COMPATIBLE if class_of(property.value).is_some() => node.found = Kind::Device,
                    Symbol::DEVICE_TYPE if property.value == b"memory\0" => node.found = Kind::Memory,
                    _ => {}
                }
            }
            _ => {
                let Some(symbol) = symbol(self.name(property.name)) else { return Ok(()) };
                if symbol == Symbol::STATUS && kind != Kind::Cpu && kind != Kind::Root {
                    let Some(node) = self.nodes.last_mut() else { return Err(stray) };
                    node.okay &= is_okay(property.value);
                }
                if kind == Kind::Chosen {
                    self.note_chosen(symbol, &property)?;
                }
                if kind.keeps().contains(symbol) {
                    self.writer.property(symbol, property.value)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps what the pass itself needs of `/chosen`: where seeds lie, and which alias names the console.
    fn note_chosen(&mut self, symbol: Symbol, property: &Property<'d>) -> Result<(), TreeError<'static>> {
        match symbol {
            Symbol::RNG_SEED | Symbol::KASLR_SEED => {
                let span = Span { offset: self.offset(property.word + 3), length: property.value.len() };
                self.survey.seeds.try_push(span).map_err(|_| TreeError::Seeds { limit: SEEDS })
            }
            Symbol::STDOUT_PATH if self.stdout_path.is_empty() => {
                self.stdout_path = property.value;
                Ok(())
            }
            Symbol::LINUX_STDOUT_PATH if self.linux_stdout_path.is_empty() => {
                self.linux_stdout_path = property.value;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The innermost node's properties are complete, if they were not before: decides what becomes of it.
    fn end_head(&mut self) -> Result<(), TreeError<'static>> {
        let Some(node) = self.nodes.last_mut().filter(|node| node.head) else { return Ok(()) };
        node.head = false;
        if !node.okay {
            if node.copied {
                node.copied = false;
                self.writer.rewind(node.copy);
            }
            node.kind = Kind::Ignored;
            return Ok(());
        }
        if node.found == Kind::Ignored {
            return Ok(());
        }
        node.kind = node.found;
        // A device of ours, below buses that may not be copied yet. Nothing was written since they began.
        let resume = self.next;
        for index in 0..self.nodes.len() {
            let last = index + 1 == self.nodes.len();
            let Some(mut node) = self.nodes.get(index).copied().filter(|node| !node.copied) else { continue };
            self.copy_head(&mut node)?;
            self.next = node.properties;
            self.copy_properties(if last { node.kind.keeps() } else { BUS })?;
            if let Some(slot) = self.nodes.get_mut(index) {
                *slot = node;
            }
        }
        self.next = resume;
        Ok(())
    }

    /// Copies the properties from the next word on that are among `keeps`. They have been checked.
    fn copy_properties(&mut self, keeps: SymbolSet) -> Result<(), TreeError<'static>> {
        loop {
            let word = self.next;
            match self.word()? {
                token::PROP => {
                    let property = self.read_property(word)?;
                    if let Some(symbol) =
                        symbol(self.name(property.name)).filter(|name| keeps.contains(*name))
                    {
                        self.writer.property(symbol, property.value)?;
                    }
                }
                token::NOP => {}
                _ => return Ok(()),
            }
        }
    }

    /// The alias that the console's path begins with, and what it stands for.
    fn alias(&mut self) -> Result<Option<Alias<'d>>, TreeError<'static>> {
        let path = if self.stdout_path.is_empty() { self.linux_stdout_path } else { self.stdout_path };
        let alias = path.split(|byte| matches!(byte, b':' | 0)).next().unwrap_or_default();
        let Some(aliases) = self.aliases.filter(|_| !alias.is_empty() && !alias.starts_with(b"/")) else {
            return Ok(None);
        };
        self.next = aliases;
        loop {
            let word = self.next;
            match self.word()? {
                token::PROP => {
                    let property = self.read_property(word)?;
                    if self.name(property.name) == alias && core::str::from_utf8(alias).is_ok() {
                        return Ok(Some(Alias { name: alias, path: property.value }));
                    }
                }
                token::NOP => {}
                _ => return Ok(None),
            }
        }
    }
}

/// Whether a `status` value lets a device be used (Devicetree Specification 2.3.4).
fn is_okay(status: &[u8]) -> bool {
    matches!(status, b"okay\0" | b"ok\0")
}
