//! A device tree: an error with a code, or a description on which an independent reader agrees.
//!
//! Bytes that begin like a tree are one; all others choose what a well-formed tree states, so that values are read and not
//! only tokens.
//!
//! `scripts/fuzz.sh device_tree` runs it, with the real trees as a corpus to begin with.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod statements;
#[path = "../../tests/tree_builder/mod.rs"]
mod tree_builder;
#[path = "../../tests/tree_oracle/mod.rs"]
mod tree_oracle;

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [0xD0, 0x0D, ..] => tree_oracle::check(bytes),
        _ => tree_oracle::check(&statements::tree(bytes)),
    };
});
