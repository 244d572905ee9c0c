//! The host side: recipes, the combined image's writer and reader, and the machines that boot it.
//!
//! ```text
//! recipe ─► stages (cargo) ─► flatten loader ─┐
//!                             trim kernel ────┴► layout ─► combined image ─► QEMU ─► status
//! ```
//!
//! Everything that decides about an image or a boot comes from `shared-abi` and the loader's own library; this
//! package never holds a second copy of it.
#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod debug;
pub mod editor;
pub mod elf_form;
pub mod errors;
pub mod failure;
pub mod foreign;
pub mod inspect;
pub mod kernel;
pub mod loader;
pub mod machine;
pub mod pack;
pub mod plan;
pub mod project;
pub mod qemu;
pub mod recipe;
pub mod repeat;
pub mod scratch;
pub mod size;
pub mod stage;
pub mod style;
pub mod suggest;
pub mod symbols;
pub mod u_boot;
pub mod verb;
pub mod workspace;
