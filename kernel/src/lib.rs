//! Frames, heap, address spaces and faults: what stays with a kernel after the boot.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod address_space;
pub mod faults;
pub mod frames;
pub mod heap;
pub mod lock;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
pub mod machine;
mod random;
