//! The words that both stages and the host speak.
//!
//! Everything here is a value or a format: no hardware is touched and no board is known. The loader writes what
//! the kernel and the host tool read, and each of the three uses the one definition in this crate.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("the handoff formats are little-endian and are read in place");

pub mod addr;
#[cfg(test)]
mod bindings;
pub mod boot_info;
pub mod contract;
pub mod crc32c;
pub mod entry;
pub mod error;
pub mod image;
pub mod memory;
pub mod note;
pub mod page_table;
pub mod recorder;
pub mod rights;
pub mod symbols;
pub mod syndrome;
pub mod uart;
pub mod verdict;
pub mod vmsa;
mod wire;
