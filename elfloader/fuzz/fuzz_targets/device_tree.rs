//! Any bytes as a device tree: an error with a code, or a description on which an independent reader agrees.
//!
//! `cargo +nightly fuzz run device_tree CORPUS`, from `elfloader`; `tests/trees` is a corpus to begin with.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/tree_oracle/mod.rs"]
mod tree_oracle;

fuzz_target!(|tree: &[u8]| {
    tree_oracle::check(tree);
});
