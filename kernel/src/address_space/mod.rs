//! Address spaces: the kernel's own in TTBR1 and user spaces in TTBR0, each with its tables, its memory and its TLB
//! upkeep.
//!
//! The page-table editor of `shared-abi` changes tables; this module makes spaces of them. It adds who owns the
//! memory behind a mapping, which TLB entries an edit leaves behind, and in which order memory may be given away.
//!
//! ```text
//!   populate:  allocate zeroed block ─► map ─► … all of the range, or everything undone ─► publish
//!   clear:     make leaves invalid ─► invalidate TLB, once ─► free blocks ─► unlink tables ─► walk caches ─► free
//! ```
//!
//! What always holds:
//! - Memory behind a user mapping comes from the allocator as a [`Block`] of the [`User`] and is zeroed on the way;
//!   there is no other way into a user space, so no user mapping can name the kernel's memory, a device, or another
//!   space's memory. One leaf maps one block of its size and owns it.
//! - A block goes back to the allocator only after no TLB can translate to it, a table only after no walk can be
//!   inside it. Both wait for one invalidation of the whole range.
//! - A block mapping is replaced by smaller ones only by break-before-make (Arm ARM D8.16.1), only when asked, and
//!   never in a range that the kernel has pinned because it runs on it: direct map, text, stacks.
//! - An operation on a range is done whole or not at all, whatever runs out in the middle.
//! - An ASID is in use by one space at a time; when the 255 are used up, a new generation begins with a whole
//!   invalidation and every space gets a new one when it next runs.

mod asid;
mod block;
mod context;
mod error;
mod kernel;
mod resources;
mod root;
mod tables;
mod tlb;
mod tree;
mod user;

#[cfg(test)]
mod tests;

pub use asid::Asids;
pub use block::{Block, Kernel, Owner, User};
pub use context::{Context, Ttbr0};
pub use error::SpaceError;
pub use kernel::{KernelSpace, MAX_PINNED};
pub use resources::Resources;
pub use root::KernelRoot;
pub use tables::{TableFrame, TableMemory};
pub use tlb::{Flush, MAX_FLUSHED_PAGES, Tlb};
pub use user::UserSpace;
