//! `BootInfo`: what the loader tells the kernel, as one flat blob.
//!
//! ```text
//! +0           header: magic, version, sizes, checksum, where the directory is
//! +40          tables, each an array of records of one type, in the directory's order
//! …            strings: UTF-8, each closed by a NUL; records name them by offset and length
//! …            directory: per table its id, flags, offset, count and stride
//! ```
//!
//! It is self-contained and can lie anywhere, at any alignment: fixed-width little-endian integers, offsets in
//! place of pointers, every table 8-byte aligned, what is reserved is 0. A new table is a new id, a longer record
//! a longer stride: old readers skip what they do not know. Every address says in its name whether it is
//! physical or virtual.
//!
//! [`BootInfoWriter`] puts records straight in their place. [`BootInfo::decode`] is the one validating reader,
//! for kernels, tools and fuzzers alike: holding a [`BootInfo`] proves that every check of every table passed,
//! so that its accessors return values, not results.

mod directory;
mod error;
mod fault;
mod field;
mod history;
mod kernel;
mod limits;
mod machine;
mod memory;
mod payload;
mod reader;
mod record;
mod secondary;
mod strings;
mod table_id;
mod tables;
#[cfg(test)]
mod tests;
mod virtual_memory;
mod writer;

pub use directory::{DirectoryEntry, Header, MAGIC, TableFlags, announced_size};
pub use error::BootInfoError;
pub use fault::Fault;
pub use field::{Field, FieldKind, Layout, Value};
pub use history::{Entropy, EntropySources, Log, Recorder, Stage};
pub use kernel::{Extent, Kernel, KernelFlags, Origin, Symbols};
pub use limits::{BOOT_INFO_MAX, MAX_TABLES};
pub use machine::{
    ClosedFeatures, Conduit, Console, Cpu, CpuFlags, DeviceTree, EnableMethod, ExitMethod, FirmwareImage,
    Platform, PlatformFlags, TreeSource,
};
pub use memory::{MemoryRegion, Untyped, Untypeds};
pub use payload::{Initrd, Module, ModuleFlags};
pub use reader::BootInfo;
pub use record::{InTable, Record, Records};
pub use secondary::{
    MAILBOX_NAME, Mailbox, STATUS_OFFSET, Secondaries, Start, StartRecord, StartState, StartStatus,
};
pub use strings::{StringRef, Strings};
pub use table_id::TableId;
pub use virtual_memory::{BootStack, DirectMap, PageTables, Register, RegisterId, Window, WindowId};
pub use writer::{BlobSize, BootInfoWriter, WriteError};
