//! Boots in QEMU, one behaviour each, through the host tool as a person would use it.
//!
//! They need what the set-up provides, so they run where `scripts/test.sh` (or a sourced `target/handoff-env.sh`) sets
//! HANDOFF_QEMU, and are counted as ignored elsewhere. One by name: `cargo test -p images --test boot NAME`.

mod cpus;
mod debuggers;
mod early;
#[path = "../../../elfloader/tests/elf_builder/mod.rs"]
mod elf_builder;
mod entry_code;
mod entry_states;
mod errata;
mod faults;
mod handoff;
mod kernels;
mod languages;
mod machines;
mod matrix;
mod mistakes;
mod moments;
mod outputs;
mod projects;
mod readme;
mod recipes;
mod refusals;
mod statements;
mod stopped;
mod trees;
mod upper_levels;
mod verdicts;

#[path = "../../../elfloader/tests/damaged_tree/mod.rs"]
mod damaged_tree;
#[path = "../../../elfloader/tests/tree_builder/mod.rs"]
mod tree_builder;
#[path = "../../../elfloader/tests/tree_oracle/mod.rs"]
mod tree_oracle;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A behaviour's name and what it takes to see it.
struct Behaviour {
    name: String,
    /// Whether this system lacks what it takes, so that it is counted as ignored.
    is_ignored: bool,
    check: Box<dyn FnOnce() -> Result<(), Failed> + Send>,
}

impl Behaviour {
    fn new(name: impl Into<String>, check: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Self {
        Self { name: name.into().replace('-', "_"), is_ignored: false, check: Box::new(check) }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_set_up = std::env::var_os("HANDOFF_QEMU").is_some();
    if !is_set_up && !arguments.list {
        eprintln!("boots are ignored: HANDOFF_QEMU is not set (scripts/test.sh sets it)");
    }
    let behaviours = [
        verdicts::all(),
        kernels::all(),
        cpus::all(),
        languages::all(),
        machines::all(),
        faults::all(),
        refusals::all(),
        early::all(),
        trees::all(),
        statements::all(),
        entry_states::all(),
        entry_code::all(),
        errata::all(),
        stopped::all(),
        debuggers::all(),
        outputs::all(),
        projects::all(),
        readme::all(),
        moments::all(),
        mistakes::all(),
        recipes::all(),
        upper_levels::all(),
        matrix::all(),
    ];
    let trials = behaviours.into_iter().flatten().map(|Behaviour { name, is_ignored, check }| {
        Trial::test(name, check).with_ignored_flag(is_ignored || !is_set_up)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
