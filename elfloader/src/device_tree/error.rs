//! What can be wrong with a device tree. Offsets are bytes from the tree's start.

use core::fmt;

use crate::platform::Full;

/// Why a device tree was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError<'t> {
    /// Fewer bytes than a header has, or than the header says.
    Short {
        /// Bytes there are.
        length: usize,
        /// Bytes that there should be.
        needed: usize,
    },
    /// The first word is not the magic number.
    Magic {
        /// The word.
        found: u32,
    },
    /// A format version that is not compatible with 17.
    Version {
        /// Its version.
        version: u32,
        /// The oldest version that it is compatible with.
        compatible_with: u32,
    },
    /// A total size that is smaller than the header or larger than the boot protocol allows.
    TotalSize {
        /// The size that the header states.
        size: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// A block does not lie inside the tree, or at a multiple of its alignment.
    Block {
        /// Which one.
        block: &'static str,
        /// Where it begins.
        offset: usize,
        /// Its length.
        length: usize,
        /// The tree's total size.
        total: usize,
    },
    /// The memory reservation block has no entry of zeros at its end.
    Unterminated {
        /// Where the block begins.
        offset: usize,
    },
    /// A word of the structure block is not a token.
    Token {
        /// Where it is.
        offset: usize,
        /// The word.
        found: u32,
    },
    /// The structure block ends inside a node or a property.
    Truncated {
        /// Where what does not fit begins.
        offset: usize,
    },
    /// Nodes are nested too deeply.
    Depth {
        /// Where the node begins.
        offset: usize,
        /// The deepest allowed, the root being 1.
        limit: usize,
    },
    /// A property outside a node, or after a node's first child.
    StrayProperty {
        /// Where it is.
        offset: usize,
    },
    /// A node outside the root, an end without a beginning, or none at all.
    Unbalanced {
        /// Where it shows.
        offset: usize,
    },
    /// A property's name is not a terminated string of the strings block.
    Name {
        /// Where the property or node is.
        offset: usize,
        /// Where its name is said to be in the strings block, or the node's own offset.
        name: usize,
    },
    /// What the boot reads does not fit the space for it.
    Scratch {
        /// Bytes of space.
        capacity: usize,
    },
    /// More random seeds than can be wiped.
    Seeds {
        /// The most.
        limit: usize,
    },
    /// A property that the boot reads has an impossible value.
    Property {
        /// The node's name.
        node: &'t str,
        /// The property's name.
        property: &'static str,
        /// Length of its value in bytes.
        length: usize,
    },
    /// A range wraps round the end of the address space.
    Range {
        /// The node's name.
        node: &'t str,
        /// Its start.
        start: u64,
        /// Its length.
        length: u64,
    },
    /// The machine has more of something than its description holds.
    Full(Full),
    /// The tree's bytes do not begin at a multiple of 4; the boot protocol wants 8.
    Alignment,
    /// The library that interprets the compacted tree refused it, which the check before it rules out.
    Library,
}

impl TreeError<'_> {
    /// The error's stable code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Short { .. } => 401,
            Self::Magic { .. } => 402,
            Self::Version { .. } => 403,
            Self::TotalSize { .. } => 404,
            Self::Block { .. } => 405,
            Self::Unterminated { .. } => 406,
            Self::Token { .. } => 407,
            Self::Truncated { .. } => 408,
            Self::Depth { .. } => 409,
            Self::StrayProperty { .. } => 410,
            Self::Unbalanced { .. } => 411,
            Self::Name { .. } => 412,
            Self::Scratch { .. } => 413,
            Self::Seeds { .. } => 414,
            Self::Property { .. } => 415,
            Self::Range { .. } => 416,
            Self::Full(_) => 418,
            Self::Alignment => 419,
            Self::Library => 420,
        }
    }
}

impl From<Full> for TreeError<'_> {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl fmt::Display for TreeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { length, needed } => {
                write!(f, "the device tree has {length:#x} bytes where {needed:#x} are needed")
            }
            Self::Magic { found } => write!(f, "a device tree begins with 0xd00dfeed, not {found:#010x}"),
            Self::Version { version, compatible_with } => {
                write!(f, "device tree version {version}, compatible with {compatible_with}, is not served")
            }
            Self::TotalSize { size, limit } => {
                write!(f, "the device tree says that its size is {size:#x}, at most {limit:#x} is possible")
            }
            Self::Block { block, offset, length, total } => write!(
                f,
                "the device tree's {block} block of {length:#x} bytes at {offset:#x} does not lie well in {total:#x}"
            ),
            Self::Unterminated { offset } => {
                write!(f, "the device tree's reservations at {offset:#x} have no end")
            }
            Self::Token { offset, found } => {
                write!(f, "the device tree has no token at {offset:#x} but {found:#010x}")
            }
            Self::Truncated { offset } => {
                write!(f, "what begins at {offset:#x} in the device tree has no end")
            }
            Self::Depth { offset, limit } => {
                write!(f, "the device tree's node at {offset:#x} lies more than {limit} deep")
            }
            Self::StrayProperty { offset } => {
                write!(f, "the device tree's property at {offset:#x} is in no node's head")
            }
            Self::Unbalanced { offset } => {
                write!(f, "the device tree's nodes do not pair at {offset:#x}")
            }
            Self::Name { offset, name } => {
                write!(f, "the device tree's item at {offset:#x} has no valid name at {name:#x}")
            }
            Self::Scratch { capacity } => {
                write!(f, "what the boot reads of the device tree does not fit {capacity:#x} bytes")
            }
            Self::Seeds { limit } => write!(f, "the device tree has more than {limit} random seeds"),
            Self::Property { node, property, length } => {
                write!(f, "the device tree's {property} of {length:#x} bytes in \"{node}\" is malformed")
            }
            Self::Range { node, start, length } => {
                write!(f, "the device tree's range {start:#x} of {length:#x} bytes in \"{node}\" wraps round")
            }
            Self::Full(full) => fmt::Display::fmt(full, f),
            Self::Alignment => f.write_str("the device tree does not lie at a multiple of 8"),
            Self::Library => f.write_str("the compacted device tree was not understood"),
        }
    }
}

impl core::error::Error for TreeError<'_> {}
