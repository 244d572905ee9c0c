//! The frame allocator: who uses which page frame of RAM.
//!
//! Memory is counted in three sizes, those that the VMSA maps at: **frames** of 4 KiB, **chunks** of 512 frames
//! (2 MiB) and **zones** of 512 chunks (1 GiB). A chunk and a zone are the same thing one size apart, a
//! [`field::Field`] of 512 units with two bits each, so orders 0 to 8 and orders 9 to 18 share one code.
//!
//! ```text
//!   zone   1 GiB   │ field of 512 chunks: free, allocated, or split ─┐   one page, made at the first touch
//!   chunk  2 MiB   │ field of 512 frames: free, allocated, reserved ◄┘   128 bytes, made at the first split
//! ```
//!
//! What always holds:
//! - The two bits of every unit say exactly which block it belongs to and where that block begins, so a double,
//!   foreign, misaligned or wrong-sized free is found before anything is changed.
//! - A zone that nobody has asked for has no metadata: what is free in it follows from the memory map. So start-up
//!   costs the same at any RAM size, and memory that was never handed out is never written.
//! - The place of all metadata is fixed at the start (1 page per GiB and 128 bytes per 2 MiB, 0.0065 % of RAM,
//!   carved out of the first free region that can hold it) and found by arithmetic: no pointers, no recursion.
//! - Every chunk and zone is filed under the largest block that it can give, so an allocation fails only when no
//!   aligned block of that size is free, and never searches.
//! - Two chunks are *cached* and one zone is *current*, filed nowhere: what is taken from or given back to
//!   them refiles nothing. They are filed again when others take their place.
//! - `free + allocated + reserved = total`.

mod allocator;
mod cached;
mod chunks;
mod direct_map;
mod error;
mod field;
mod ledger;
mod magazine;
mod memory;
mod order;
mod place;
mod range;
mod ranges;
mod statistics;
mod uses;
mod zone;

#[cfg(test)]
mod tests;

pub use allocator::FrameAllocator;
pub use direct_map::DirectMap;
pub use error::FrameError;
pub use magazine::Magazine;
pub use memory::{FrameMemory, LineWords, OwnedFrame, OwnedLine, PageWords};
pub use order::Order;
pub use range::FrameRange;
pub use statistics::Statistics;
