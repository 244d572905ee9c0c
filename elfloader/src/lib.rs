//! Decisions of the loader, pure: they run and are tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod memory_map;
pub mod platform;
