//! The bare half of the loader: every effect on the machine, and all of its unsafe code.

mod controls;
pub mod cpu;
pub mod ending;
pub mod entry;
pub mod jump;
pub mod log;
pub mod memory;
pub mod own_image;
pub mod report;
pub mod scratch;
pub mod secondary;
pub mod self_check;
pub mod stages;
mod stub;
pub mod tables;
mod upper_levels;
mod vectors;

// Rust runs with the MMU on alone, and SCTLR_EL1.A is clear then.
handoff_bare::memory_functions!();
