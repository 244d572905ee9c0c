//! Looking into a machine that is stopped at the kernel's first instruction or later, or into a dump of one.
//!
//! ```text
//! QEMU ─ gdbstub ─► capture ─► Snapshot ◄─ dump ◄─ file
//!                                 │
//!                  view: BootInfo, contract, tables ─► text, JSON, HTML
//! ```
//!
//! The kernel does not help and need not be one of ours: the loader ends with one instruction at a known virtual
//! address, and one step further every register is as the kernel will find it, whatever the slide. From there
//! [`pursuit`] follows it to a later moment, which [`cpus`], [`stack`], [`listing`] and [`changes`] put into words by
//! the stages' ELF files ([`program`]).

pub mod address;
pub mod audit;
pub mod capture;
pub mod changes;
pub mod contract;
pub mod cpus;
pub mod device;
pub mod dump;
pub mod gdb;
pub mod html;
pub mod json;
pub mod listing;
pub mod machine_text;
pub mod moment;
pub mod moment_text;
pub mod packet;
pub mod plan_text;
pub mod program;
pub mod pursuit;
pub mod record;
pub mod recordings;
pub mod snapshot;
pub mod stack;
pub mod text;
pub mod view;
