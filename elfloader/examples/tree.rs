//! Prints what the loader makes of device trees: the description and the memory map.
//!
//! `cargo run -p elfloader --example tree -- FILE…`; with one file and `--quiet` it only describes, which is
//! what `valgrind --tool=callgrind --toggle-collect='*measured*'` then measures.

use std::process::ExitCode;

use elfloader::device_tree::{Pruned, Survey, TreeError, describe};
use elfloader::memory_map::MemoryMap;
use elfloader::platform::Machine;

fn main() -> ExitCode {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let quiet = flags.iter().any(|flag| flag == "--quiet");
    let mut failed = false;
    for file in files {
        let tree = match std::fs::read(&file) {
            Ok(tree) => tree,
            Err(error) => {
                eprintln!("{file}: {error}");
                failed = true;
                continue;
            }
        };
        let (mut pruned, mut machine) = (Pruned::new(), Machine::new());
        let survey = match measured(&tree, &mut pruned, &mut machine) {
            Ok(survey) => survey,
            Err(error) => {
                println!("{file}: error E{:04}: {error}", error.code());
                failed = true;
                continue;
            }
        };
        if quiet {
            continue;
        }
        println!("{file}: {survey:?}\n{machine:#?}");
        let mut map = MemoryMap::new();
        if let Err(error) = map.lay_out(&machine, 1 << 48).and_then(|()| map.place_dynamic(&machine)) {
            println!("error E{:04}: {error}", error.code());
        }
        for region in map.regions() {
            println!("{} node {} {} {}", region.range, region.node, region.kind, region.name);
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A frame that callgrind can find.
#[inline(never)]
fn measured<'t>(
    tree: &'t [u8],
    pruned: &'t mut Pruned,
    machine: &mut Machine<'t>,
) -> Result<Survey, TreeError<'t>> {
    describe(tree, pruned, machine)
}
