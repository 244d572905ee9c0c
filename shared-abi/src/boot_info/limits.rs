//! How large a blob and its parts may be.

/// Most bytes that a `BootInfo` may have.
pub const BOOT_INFO_MAX: usize = 256 << 10;

/// Most tables that a directory may have.
pub const MAX_TABLES: u32 = 64;

/// Largest header, directory entry or record that a later version may grow to.
pub(super) const MAX_RECORD: u32 = 0x1000;

/// Alignment of every table, from the blob's first byte.
pub(super) const ALIGNMENT: u32 = 8;
