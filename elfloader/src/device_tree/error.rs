//! What can be wrong with a device tree. Offsets are bytes from the tree's start.

use shared_abi::errors;

use crate::platform::Full;

errors! {
    /// Why a device tree was refused.
    pub enum TreeError<'t>,
        found by "the loader when it reads the device tree, and by `handoff plan` and `build --dtb`";

    /// The tree is shorter than a header, or than its header says.
    401 Short { length: usize = "Bytes there are.", needed: usize = "Bytes that there should be." }
        => "the device tree has {length:#x} bytes where {needed:#x} are needed";
        help "give the whole file: it is cut off";
        here "give the whole file: {} bytes are missing", needed.saturating_sub(*length);
    /// It does not begin with `d0 0d fe ed`.
    402 Magic { found: u32 = "The word." }
        => "a device tree begins with 0xd00dfeed, not {found:#010x}";
        help "give a compiled tree (`dtc -O dtb`), not its source";
    /// The format's version is not compatible with 17.
    403 Version {
        version: u32 = "Its version.",
        compatible_with: u32 = "The oldest version that it is compatible with.",
    }
        => "device tree version {version}, compatible with {compatible_with}, is not served";
        help "compile it with a current `dtc`";
    /// Its total size is below 40 bytes or above 2 MiB.
    404 TotalSize { size: usize = "The size that the header states.", limit: usize = "The largest allowed." }
        => "the device tree says that its size is {size:#x}, at most {limit:#x} is possible";
        help "check that firmware left it alone; the arm64 boot protocol allows 2 MiB";
    /// A block lies outside the tree, in its header or unaligned.
    405 Block {
        block: &'static str = "Which one.", offset: usize = "Where it begins.", length: usize = "Its length.",
        total: usize = "The tree's total size.",
    }
        => "the device tree's {block} block of {length:#x} bytes at {offset:#x} does not lie well in \
            {total:#x}";
        help "the tree is damaged: see what wrote over it";
    /// The memory reservations have no end.
    406 Unterminated { offset: usize = "Where the block begins." }
        => "the device tree's reservations at {offset:#x} have no end";
        help "build the tree again, and see what wrote over it";
    /// There is no token where one must be.
    407 Token { offset: usize = "Where it is.", found: u32 = "The word." }
        => "the device tree has no token at {offset:#x} but {found:#010x}";
        help "build the tree again, and see what wrote over it";
    /// The tree ends inside a node or property.
    408 Truncated { offset: usize = "Where what does not fit begins." }
        => "what begins at {offset:#x} in the device tree has no end";
        help "it is cut off, or a length in it is damaged";
    /// Nodes are nested more than 32 deep.
    409 Depth {
        offset: usize = "Where the node begins.", limit: usize = "The deepest allowed, the root being 1.",
    }
        => "the device tree's node at {offset:#x} lies more than {limit} deep";
        help "flatten the tree: 32 levels are the most";
        here "flatten the tree: {limit} levels are the most";
    /// A property is outside a node, or follows a node's child.
    410 StrayProperty { offset: usize = "Where it is." }
        => "the device tree's property at {offset:#x} is in no node's head";
        help "use a tool that puts properties first, as the format asks";
    /// Nodes do not pair, or there is no single root.
    411 Unbalanced { offset: usize = "Where it shows." }
        => "the device tree's nodes do not pair at {offset:#x}";
        help "build the tree again, and see what wrote over it";
    /// A name is not a terminated string, or a node's that is read not printable ASCII.
    412 Name {
        offset: usize = "Where the property or node is.",
        name: usize = "Where its name is said to be in the strings block, or the node's own offset.",
    }
        => "the device tree's item at {offset:#x} has no valid name at {name:#x}";
        help "the tree is damaged, or its names are not what the format allows";
    /// What the boot reads of the tree does not fit the room for it (18 KiB).
    413 Scratch { capacity: usize = "Bytes of space." }
        => "what the boot reads of the device tree does not fit {capacity:#x} bytes";
        help "leave nodes out that the machine does not need, such as reservations";
    /// There are more than 8 random seeds.
    414 Seeds { limit: usize = "The most." }
        => "the device tree has more than {limit} random seeds";
        help "firmware adds a seed at each start: let it replace the old one";
    /// A property that the boot reads has an impossible length or value.
    415 Property {
        node: &'t str = "The node's name.", property: &'static str = "The property's name.",
        length: usize = "Length of its value in bytes.",
    }
        => "the device tree's {property} of {length:#x} bytes in \"{node}\" is malformed";
        help "correct the property in the tree";
        here "correct {property} of \"{node}\" in the tree, for example in a copy that is packed with --dtb";
    /// A range wraps round the end of the address space.
    416 Range { node: &'t str = "The node's name.", start: u64 = "Its start.", length: u64 = "Its length." }
        => "the device tree's range {start:#x} of {length:#x} bytes in \"{node}\" wraps round";
        help "correct `reg` or `ranges` of the node";
        here "correct `reg` or `ranges` of \"{node}\" in the tree";
    /// The machine has more of something than the loader can describe.
    418 Full { list: Full = "Which list, and its limit." }
        => "{list}";
        help "describe fewer of them in the tree, or raise the limit in `elfloader/src/platform.rs`";
    /// The tree does not lie at a multiple of 8.
    419 Alignment
        => "the device tree does not lie at a multiple of 8";
        help "load the tree at a multiple of 8, as the boot protocol says";
    /// The library that reads the tree refused what the loader had checked.
    420 Library
        => "the compacted device tree was not understood";
        help "report it with the tree: it is a fault of the loader";
}

impl From<Full> for TreeError<'_> {
    fn from(list: Full) -> Self {
        Self::Full { list }
    }
}
