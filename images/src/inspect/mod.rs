//! Looking into a machine that is stopped at the kernel's first instruction, or into a dump of one.
//!
//! ```text
//! QEMU ─ gdbstub ─► capture ─► Snapshot ◄─ dump ◄─ file
//!                                 │
//!                  view: BootInfo, contract, tables ─► text, JSON, HTML
//! ```
//!
//! The kernel does not help and need not be one of ours: the loader ends with one instruction at a known virtual
//! address, and one step further every register is as the kernel will find it, whatever the slide.

pub mod audit;
pub mod capture;
pub mod contract;
pub mod dump;
pub mod gdb;
pub mod html;
pub mod json;
pub mod record;
pub mod snapshot;
pub mod text;
pub mod view;
