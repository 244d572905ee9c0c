//! The bare half: what a kernel does to the machine, and most of the unsafe code.
//!
//! Everything here takes what it needs from `BootInfo`; nothing knows a board.

pub mod console;
pub mod cpu;
pub mod cpus;
pub mod ending;
pub mod memory;
pub mod reclaim;
pub mod recorder;
pub mod tlb;
pub mod user;
pub mod vectors;
