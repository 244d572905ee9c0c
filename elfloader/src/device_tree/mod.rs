//! From a flattened device tree to the machine's description. The tree is hostile input.
//!
//! ```text
//! bytes ──► header ──► one pass: check, prune ──► Pruned ──► fdt library ──► Machine
//!           spans      every token, in place       a plain tree              values checked
//! ```
//!
//! The tree stays where it is. A small one holds what the boot reads of it, with its names and values, and the
//! description borrows from that; only seeds are not copied. A malformed tree is a [`TreeError`], never a panic or a hang: the pass is linear in the tree's size, at
//! most [`LARGEST`], and nothing recurses deeper than [`DEPTH`] nodes.
//!
//! What does not count as malformed: a tree without memory, without console or without PSCI (the memory map
//! will miss the memory), properties and nodes that the boot does not read, whatever is in them, and bytes
//! after the last token of the structure block.
//!
//! The references are to the Devicetree Specification 0.4.

mod bus;
mod cells;
mod class;
mod console;
mod error;
mod header;
mod interpret;
mod kind;
mod node;
mod prune;
mod pruned;
mod symbol;
#[cfg(test)]
mod tests;
mod word;

pub use error::TreeError;
pub use header::{HEADER, LARGEST, probe_header};
pub use prune::{DEPTH, SEEDS, Span, Survey};
pub use pruned::Pruned;

use crate::platform::Machine;
use prune::Pass;

/// Reads a tree of at least the size that [`probe_header`] states. The description borrows from the pruned tree, and from
/// the original the random seed: who wipes that takes it first.
///
/// # Errors
/// See [`TreeError`]. The description may then hold some of what was read before.
pub fn describe<'t>(
    tree: &'t [u8],
    pruned: &'t mut Pruned,
    machine: &mut Machine<'t>,
) -> Result<Survey, TreeError<'t>> {
    let (survey, chosen) = Pass::new(header::blocks(tree)?, pruned).run()?;
    interpret::interpret(pruned.as_bytes(), chosen, machine)?;
    Ok(survey)
}

/// Prunes a tree to what the boot reads of it, without its seeds.
///
/// # Errors
/// See [`TreeError`].
pub fn prune(tree: &[u8], pruned: &mut Pruned) -> Result<Survey, TreeError<'static>> {
    Pass::new(header::blocks(tree)?, pruned).run().map(|(survey, _)| survey)
}
