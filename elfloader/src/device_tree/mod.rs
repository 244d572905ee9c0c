//! From a flattened device tree to the machine's description. The tree is hostile input.
//!
//! ```text
//! bytes ──► header ──► one pass: check, prune, compact ──► fdt library ──► Machine
//!           spans      every token, in place               the small rest   values checked
//! ```
//!
//! The tree stays where it is and is never copied as a whole; what is copied is what the boot reads, into space
//! that the caller gives. A malformed tree is a [`TreeError`], never a panic or a hang: the pass is linear in
//! the tree's size, at most [`LARGEST`], and nothing recurses deeper than [`DEPTH`] nodes.
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
mod symbol;
#[cfg(test)]
mod tests;
mod writer;

pub use compact::{DEPTH, SEEDS, Span, Survey};
pub use error::TreeError;
pub use header::{HEADER, LARGEST, probe_header};

use crate::platform::Machine;

/// Words of scratch space that hold what the boot reads of any board's tree that Linux 6.1 has, and more.
pub const SCRATCH: usize = 4 << 10;

/// Reads a tree of at least the total size that its header states.
///
/// `scratch` afterwards holds what the description borrows, seeds included: wipe it when the description has
/// served. [`SCRATCH`] words are enough for real trees.
///
/// # Errors
/// See [`TreeError`]. The description may then hold some of what was read before.
pub fn describe<'s>(
    tree: &[u8],
    scratch: &'s mut [u32],
    machine: &mut Machine<'s>,
) -> Result<Survey, TreeError<'s>> {
    let (compact, survey) = compact::Pass::new(header::blocks(tree)?, scratch).run()?;
    machine.gic = survey.gic;
    interpret::interpret(compact, machine)?;
    Ok(survey)
}
