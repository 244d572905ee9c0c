//! From a flattened device tree to the machine's description. The tree is hostile input.
//!
//! ```text
//! bytes ──► header ──► one pass: check, prune, compact ──► fdt library ──► Machine
//!           spans      every token, in place               the small rest   values checked
//! ```
//!
//! The tree stays where it is: the small one only says where in it is what the boot reads, and is gone once that has
//! been read. A malformed tree is a [`TreeError`], never a panic or a hang: the pass is linear in the tree's size, at
//! most [`LARGEST`], and nothing recurses deeper than [`DEPTH`] nodes.
//!
//! What does not count as malformed: a tree without memory, without console or without PSCI (the memory map
//! will miss the memory), properties and nodes that the boot does not read, whatever is in them, and bytes
//! after the last token of the structure block.
//!
//! The references are to the Devicetree Specification 0.4.

mod cells;
mod class;
mod compact;
mod console;
mod error;
mod header;
mod interpret;
mod kind;
mod node;
mod original;
mod symbol;
#[cfg(test)]
mod tests;
mod writer;

pub use compact::{DEPTH, SEEDS, Span, Survey};
pub use error::TreeError;
pub use header::{HEADER, LARGEST, probe_header};

use zerocopy::IntoBytes;

use crate::platform::Machine;
use original::Original;
use writer::Compact;

/// Words of the compacted tree. A processor takes 12, or 16 where it states a NUMA node, and [`crate::platform::CPUS`]
/// of them leave room for the rest of a board; all that the boot reads of any board's tree that Linux 6.1 has is less
/// than half of it.
const COMPACT: usize = 18 << 8;

/// Reads a tree of at least the total size that its header states. The description borrows text from it, and the random
/// seed: who wipes that takes it first.
///
/// # Errors
/// See [`TreeError`]. The description may then hold some of what was read before.
// Its stack frame is large, and shall be gone when it returns.
#[inline(never)]
pub fn describe<'t>(tree: &'t [u8], machine: &mut Machine<'t>) -> Result<Survey, TreeError<'t>> {
    let blocks = header::blocks(tree)?;
    let original = Original(blocks.words);
    let mut compact = Compact::new();
    let survey = compact::Pass::new(blocks, &mut compact).run()?;
    machine.gic = survey.gic;
    interpret::interpret(compact.as_bytes(), original, machine)?;
    Ok(survey)
}
