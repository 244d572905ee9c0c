//! How much of a kernel's file is looked at.

/// Most program headers of all types that are read.
pub const MAX_PROGRAM_HEADERS: u16 = 128;

/// Most loadable segments with bytes in memory.
pub const MAX_SEGMENTS: usize = 64;

/// Most entries of the dynamic section, its end included.
pub const MAX_DYNAMIC_ENTRIES: usize = 256;
