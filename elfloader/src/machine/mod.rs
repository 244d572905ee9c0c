//! The bare half of the loader: every effect on the machine, and all of its unsafe code.

pub mod cache;
pub mod ending;
pub mod entry;
pub mod jump;
pub mod log;
pub mod mmio;
pub mod report;
pub mod translate;
mod upper_levels;
mod vectors;
