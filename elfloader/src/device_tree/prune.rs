//! One pass over the tree's bytes: checks every token, and copies what the boot reads to a small tree.
//!
//! What goes in is hostile; what comes out is well-formed by construction, holds only nodes and properties that
//! the boot reads, no NOPs, at most [`DEPTH`] levels, and no node whose `status` (or whose parent's) is not
//! okay, processors excepted. Only then the `fdt` library looks at it, which panics on much less.
//!
//! ```text
//!                 root ── keeps its cells and model
//!   by name        ├─ memory, chosen, reserved-memory/*, cpus/cpu*
//!   by compatible  ├─ devices at any depth, with the buses above them
//!   not ours       ├─ everything else: checked and left out
//!   one property   └─ aliases: the one that the console's path begins with
//! ```

use arrayvec::ArrayVec;

use super::TreeError;
use super::cells::{LONGEST_TEXT, text};
use super::class::{class_of, is_foreign};
use super::header::Blocks;
use super::kind::Kind;
use super::pruned::{Pruned, token};
use super::symbol::{COUNT, REMEMBERED, Strings, Symbol, SymbolSet};
use super::word::{Word, bytes, node_name, words_of, zeros};

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

/// What is read of `/chosen` in the original: the first values of the first one.
#[derive(Clone, Copy, Default)]
pub(super) struct Chosen<'d> {
    /// `rng-seed`. Seeds are not copied.
    pub rng_seed: Option<&'d [u8]>,
    /// `kaslr-seed`.
    pub kaslr_seed: Option<&'d [u8]>,
    /// The console's path as it is stated, with options.
    pub console_path: &'d str,
    /// What that begins with if it is an alias, and the path for which it stands unless that is malformed.
    pub alias: Option<(&'d str, Option<&'d str>)>,
}

/// The path of the console by what `/chosen` states as `stdout-path` and `linux,stdout-path`.
pub(super) fn console_path<'d>(path: Option<&'d [u8]>, linux: Option<&'d [u8]>) -> &'d str {
    let mut paths = [path, linux].into_iter().flatten().filter_map(text);
    paths.find(|path| !path.is_empty()).unwrap_or_default()
}

/// An open node whose properties are complete. Indices fit 32 bits, as a tree is at most [`super::LARGEST`].
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Whether the copy has its beginning, so that it needs its end.
    copied: bool,
    /// Index of the word where its name begins.
    name: u32,
}

/// The properties of a node that the boot may read, the first of several that have one name.
struct Head {
    stated: SymbolSet,
    /// By symbol, the index of the word where the property begins.
    places: [u32; COUNT],
}

/// A property as it stands in the structure block.
struct Property<'d> {
    /// Where its name is in the strings block.
    name: usize,
    /// Its value's length in bytes; `words` holds it and what pads it.
    length: u32,
    words: &'d [Word],
}

impl<'d> Property<'d> {
    /// The next one of a node's head, and what follows; `None` if what comes next is none, or has no end.
    fn next(mut rest: &'d [Word]) -> Option<(Self, &'d [Word])> {
        while let [token::NOP, more @ ..] = rest {
            rest = more;
        }
        let [token::PROP, length, name, more @ ..] = rest else { return None };
        let length = u32::from_be(*length);
        let (words, rest) = more.split_at_checked(words_of(length))?;
        Some((Self { name: u32::from_be(*name) as usize, length, words }, rest))
    }

    fn value(&self) -> &'d [u8] {
        bytes(self.words, self.length as usize)
    }
}

/// Passes over devices from here on that are none of ours, as far as a glance tells, and have no children. Each of their
/// tokens is checked: what is wrong is left to be read again, as is a property name that was not met before.
///
/// Most of a tree is read here. It calls nothing, so that all is in registers.
#[inline(never)]
fn past_foreign<'d>(mut rest: &'d [Word], met: &[u8; REMEMBERED], below_root: bool) -> &'d [Word] {
    loop {
        let node = rest;
        let [token::BEGIN_NODE, name, ..] = node else { return node };
        if below_root && Kind::NAMED >> (u32::from_le(*name) & 31) & 1 != 0 {
            return node;
        }
        let mut at = node.get(1..).unwrap_or_default();
        loop {
            let [word, after @ ..] = at else { return node };
            at = after;
            if zeros(*word) != 0 {
                break;
            }
        }
        while let [token::PROP, length, name, more @ ..] = at {
            let length = u32::from_be(*length);
            let Some((words, after)) = more.split_at_checked(words_of(length)) else { return node };
            let met = met.get(u32::from_be(*name) as usize).copied().unwrap_or(0);
            let matters = match Symbol::of_met(met) {
                Some(Symbol::COMPATIBLE) => !is_foreign(words, length as usize),
                Some(Symbol::STATUS | Symbol::DEVICE_TYPE) => true,
                _ => met == 0,
            };
            if matters {
                return node;
            }
            at = after;
        }
        let [token::END_NODE, after @ ..] = at else { return node };
        rest = after;
    }
}

/// The pass over one tree.
pub(super) struct Pass<'d, 'p> {
    /// The structure block.
    words: &'d [Word],
    /// Where it begins in the tree.
    words_offset: usize,
    strings: Strings<'d>,
    /// What is left of the structure block.
    rest: &'d [Word],
    /// Of the node that was read last.
    head: Head,
    /// The open nodes.
    nodes: ArrayVec<Node, DEPTH>,
    pruned: &'p mut Pruned,
    survey: Survey,
    chosen: Option<Chosen<'d>>,
    /// Where the properties of `/aliases` begin.
    aliases: &'d [Word],
}

impl<'d, 'p> Pass<'d, 'p> {
    pub(super) fn new(blocks: Blocks<'d>, pruned: &'p mut Pruned) -> Self {
        pruned.begin(blocks.reservations);
        Self {
            words: blocks.words,
            words_offset: blocks.words_offset,
            strings: Strings::new(blocks.strings),
            rest: blocks.words,
            head: Head { stated: SymbolSet::default(), places: [0; COUNT] },
            nodes: ArrayVec::new(),
            pruned,
            survey: Survey { extent: blocks.extent, seeds: ArrayVec::new() },
            chosen: None,
            aliases: &[],
        }
    }

    /// Goes through all tokens.
    pub(super) fn run(&mut self) -> Result<(Survey, Chosen<'d>), TreeError<'static>> {
        loop {
            let at = self.rest;
            let Some((word, rest)) = at.split_first() else { return Err(self.truncated(at)) };
            self.rest = rest;
            match *word {
                token::BEGIN_NODE => {
                    if let Some(Node { kind: kind @ (Kind::Root | Kind::Bus), .. }) = self.nodes.last()
                        && self.nodes.len() < DEPTH
                    {
                        self.rest = past_foreign(at, self.strings.met(), *kind == Kind::Root);
                        if self.rest.len() < at.len() {
                            continue;
                        }
                        self.rest = rest;
                    }
                    self.node(at)?;
                }
                token::END_NODE => match self.nodes.pop() {
                    Some(_) if self.nodes.is_empty() => break,
                    Some(node) if node.copied => self.pruned.end_node(),
                    Some(_) => {}
                    None => return Err(TreeError::Unbalanced { offset: self.offset(at) }),
                },
                token::NOP => {}
                // A node's properties are read with its beginning.
                token::PROP => return Err(TreeError::StrayProperty { offset: self.offset(at) }),
                token::END => return Err(TreeError::Unbalanced { offset: self.offset(at) }),
                found => {
                    return Err(TreeError::Token { offset: self.offset(at), found: u32::from_be(found) });
                }
            }
        }
        self.end()?;
        let mut chosen = self.chosen.unwrap_or_default();
        chosen.alias = self.copy_alias(chosen.console_path.split(':').next().unwrap_or_default());
        self.pruned.end_node();
        self.pruned.finish(chosen.alias.map_or("", |(name, _)| name).as_bytes())?;
        Ok((core::mem::take(&mut self.survey), chosen))
    }

    /// After the root only the end may come.
    fn end(&mut self) -> Result<(), TreeError<'static>> {
        while let [token::NOP, rest @ ..] = self.rest {
            self.rest = rest;
        }
        match self.rest {
            [] => Err(self.truncated(self.rest)),
            [token::END, rest @ ..] => {
                self.survey.extent = self.survey.extent.max(self.offset(rest));
                Ok(())
            }
            _ => Err(TreeError::Unbalanced { offset: self.offset(self.rest) }),
        }
    }

    /// Index of the first word of what is left of the structure block.
    fn index(&self, rest: &[Word]) -> u32 {
        (self.words.len() - rest.len()) as u32
    }

    /// The same as an offset in the tree.
    fn offset(&self, rest: &[Word]) -> usize {
        self.words_offset + self.index(rest) as usize * 4
    }

    #[cold]
    fn truncated(&self, at: &[Word]) -> TreeError<'static> {
        TreeError::Truncated { offset: self.offset(at) }
    }

    /// The structure block from a word on.
    fn from(&self, index: u32) -> &'d [Word] {
        self.words.get(index as usize..).unwrap_or_default()
    }

    /// Checks a node's properties, and notes where those stand that the boot may read.
    #[inline(never)]
    fn read_head(&mut self) -> Result<(), TreeError<'static>> {
        self.head.stated = SymbolSet::default();
        let mut rest = self.rest;
        loop {
            match rest {
                [token::PROP, length, name, more @ ..] => {
                    let Some(after) = more.get(words_of(u32::from_be(*length))..) else { break };
                    let name = u32::from_be(*name) as usize;
                    // The strings block ends with a zero, so a name that begins inside it ends inside it.
                    let Some(symbol) = self.strings.symbol(name) else {
                        return Err(TreeError::Name { offset: self.offset(rest), name });
                    };
                    if let Some(symbol) = symbol
                        && !self.head.stated.has(symbol)
                        && let Some(place) = self.head.places.get_mut(symbol.index())
                    {
                        self.head.stated.insert(symbol);
                        *place = (self.words.len() - rest.len()) as u32;
                    }
                    rest = after;
                }
                [token::NOP, after @ ..] => rest = after,
                [token::PROP, ..] => break,
                _ => {
                    self.rest = rest;
                    return Ok(());
                }
            }
        }
        Err(self.truncated(rest))
    }

    /// A property of the node that was read last.
    fn stated(&self, symbol: Symbol) -> Option<Property<'d>> {
        let place = self.head.places.get(symbol.index()).filter(|_| self.head.stated.has(symbol))?;
        Property::next(self.from(*place)).map(|(property, _)| property)
    }

    fn value(&self, symbol: Symbol) -> Option<&'d [u8]> {
        self.stated(symbol).map(|property| property.value())
    }

    /// Begins the node whose token is at `at` and reads its properties.
    fn node(&mut self, at: &'d [Word]) -> Result<(), TreeError<'static>> {
        let start = self.rest;
        let Some((_, name, properties)) = node_name(start) else { return Err(self.truncated(at)) };
        self.rest = properties;
        let parent = self.nodes.last().map(|parent| parent.kind);
        let named = parent.map_or(Kind::Root, |parent| parent.child(name));
        self.read_head()?;
        let kind = match (named, parent) {
            (Kind::Bus, Some(parent)) => self.device(parent),
            _ => named,
        };
        // Most nodes are none of ours and have no children.
        if let (Kind::Bus | Kind::Ignored, [token::END_NODE, rest @ ..]) = (kind, self.rest)
            && self.nodes.len() < DEPTH
        {
            self.rest = rest;
            return Ok(());
        }
        let mut node = Node { kind, copied: false, name: self.index(start) };
        match kind {
            Kind::Bus | Kind::Ignored => {}
            Kind::Aliases if self.aliases.is_empty() => self.aliases = properties,
            Kind::Aliases => {}
            _ => {
                if self.nodes.iter().any(|bus| !bus.copied) {
                    self.copy_buses()?;
                    self.rest = properties;
                    self.read_head()?;
                }
                self.copy(&mut node)?;
            }
        }
        if kind == Kind::Chosen {
            self.note_seeds(properties)?;
            if node.copied && self.chosen.is_none() {
                self.chosen = Some(Chosen {
                    rng_seed: self.value(Symbol::RNG_SEED),
                    kaslr_seed: self.value(Symbol::KASLR_SEED),
                    console_path: console_path(
                        self.value(Symbol::STDOUT_PATH),
                        self.value(Symbol::LINUX_STDOUT_PATH),
                    ),
                    alias: None,
                });
            }
        }
        let too_deep = TreeError::Depth { offset: self.offset(at), limit: DEPTH };
        self.nodes.try_push(node).map_err(|_| too_deep)
    }

    /// What a device is by its properties: of no use if it is not okay, a bus at least if it is.
    fn device(&self, parent: Kind) -> Kind {
        if self.value(Symbol::STATUS).is_some_and(|status| !is_okay(status)) {
            return Kind::Ignored;
        }
        let compatible = self.stated(Symbol::COMPATIBLE);
        let ours = compatible.filter(|list| !is_foreign(list.words, list.length as usize));
        let class = ours.and_then(|list| class_of(list.value()));
        match parent.of_device(self.value(Symbol::DEVICE_TYPE), class) {
            // A timer is of interest only if it states its frequency.
            Kind::Timer if !self.head.stated.has(Symbol::CLOCK_FREQUENCY) => Kind::Ignored,
            kind => kind,
        }
    }

    /// Copies the beginning of the node that was read last, unless it is not okay.
    fn copy(&mut self, node: &mut Node) -> Result<(), TreeError<'static>> {
        let Some((words, name, _)) = node_name(self.from(node.name)) else { return Ok(()) };
        // Errors and the memory map print it: on one line, and without a terminal's commands.
        if !name.iter().all(|letter| matches!(letter, b' '..=b'~')) {
            return Err(TreeError::Name { offset: self.offset(self.from(node.name)), name: 0 });
        }
        let kept = node.kind.keeps();
        if kept.has(Symbol::STATUS)
            && node.kind != Kind::Cpu
            && self.value(Symbol::STATUS).is_some_and(|status| !is_okay(status))
        {
            node.kind = Kind::Ignored;
            return Ok(());
        }
        // The root has no name (Devicetree Specification 2.2.1), whatever a tree says: a path begins there.
        self.pruned.begin_node(if node.kind == Kind::Root { &[0] } else { words });
        node.copied = true;
        for symbol in self.head.stated.common(kept) {
            if let Some(Property { length, words, .. }) = self.stated(symbol) {
                // What is too long for a text reads as malformed, as does an empty one.
                let length = if symbol.is_text() && length as usize > LONGEST_TEXT { 0 } else { length };
                self.pruned.property(symbol, length, words);
            }
        }
        Ok(())
    }

    /// Copies the beginnings of the open nodes that have none yet: nothing was written since they began.
    fn copy_buses(&mut self) -> Result<(), TreeError<'static>> {
        for index in 0..self.nodes.len() {
            let Some(mut bus) = self.nodes.get(index).copied().filter(|bus| !bus.copied) else { continue };
            let Some((_, _, properties)) = node_name(self.from(bus.name)) else { continue };
            self.rest = properties;
            self.read_head()?;
            self.copy(&mut bus)?;
            if let Some(node) = self.nodes.get_mut(index) {
                *node = bus;
            }
        }
        Ok(())
    }

    /// Notes where seeds lie, each time that one is stated, to be wiped.
    fn note_seeds(&mut self, mut rest: &'d [Word]) -> Result<(), TreeError<'static>> {
        while let Some((property, after)) = Property::next(rest) {
            if let Some(Some(Symbol::RNG_SEED | Symbol::KASLR_SEED)) = self.strings.symbol(property.name) {
                let offset = self.offset(after) - property.words.len() * 4;
                let seed = Span { offset, length: property.length as usize };
                self.survey.seeds.try_push(seed).map_err(|_| TreeError::Seeds { limit: SEEDS })?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Copies the alias of this name, if there is one, in a node of its own.
    fn copy_alias(&mut self, name: &'d str) -> Option<(&'d str, Option<&'d str>)> {
        let mut rest = if name.is_empty() || name.starts_with('/') { &[] } else { self.aliases };
        while let Some((property, after)) = Property::next(rest) {
            if self.strings.name(property.name) == Some(name.as_bytes()) {
                // What is too long for a text reads as malformed, as does an empty one.
                let length = if property.length as usize > LONGEST_TEXT { 0 } else { property.length };
                self.pruned.begin_node(&ALIASES);
                self.pruned.alias(length, property.words);
                self.pruned.end_node();
                return Some((name, text(property.value())));
            }
            rest = after;
        }
        None
    }
}

/// The name of the node that holds the alias.
const ALIASES: [Word; 2] = [u32::from_ne_bytes(*b"alia"), u32::from_ne_bytes(*b"ses\0")];

/// Whether a `status` value lets a device be used (Devicetree Specification 2.3.4).
fn is_okay(status: &[u8]) -> bool {
    matches!(status, b"okay\0" | b"ok\0")
}
