//! Frames, heap, address spaces and faults: what stays with a kernel after the boot.
//!
//! ```text
//! faults          vectors ─► Dispatcher ─► hooks (DemandZero, yours) ─► resume, or FaultReport
//! address_space   KernelSpace, UserSpace, Asids ─── tables, blocks ──┐        └─ Tlb
//! heap            GlobalHeap ─► Heap ─► HeapPages ───────────────────┤
//! frames          Magazine ─► Lock ─► FrameAllocator ◄───────────────┘
//! machine         the same on this machine: direct map, TLBI, vectors, EL0
//! ```
//!
//! All but `machine` is pure and runs on a host. docs/kernel-memory.md goes through it, part by part.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod address_space;
pub mod error;
pub mod faults;
pub mod frames;
pub mod heap;
pub mod lock;
#[cfg(target_os = "none")]
#[allow(unsafe_code, reason = "all effects on the machine are there")]
pub mod machine;

#[cfg(test)]
extern crate self as kernel;
#[cfg(test)]
#[path = "../examples/workloads/steps/mod.rs"]
mod steps;
