//! The host tool: packs combined images and boots them.
fn main() {}
