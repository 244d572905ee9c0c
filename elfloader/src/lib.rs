//! Decisions of the loader, pure: they run and are tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod audit;
pub mod boot;
pub mod boot_facts;
pub mod boot_memory;
pub mod command_line;
pub mod device_tree;
pub mod entropy;
pub mod error;
pub mod image;
pub mod kernel_elf;
pub mod layout;
pub mod memory_map;
pub mod plan;
pub mod platform;
pub mod recorder;
pub mod stage;

#[cfg(test)]
#[path = "../tests/elf_builder/mod.rs"]
mod elf_builder;

#[cfg(test)]
extern crate self as elfloader;

#[cfg(test)]
#[path = "../tests/tree_builder/mod.rs"]
mod tree_builder;

#[cfg(test)]
#[path = "../tests/host_boot/mod.rs"]
mod host_boot;
