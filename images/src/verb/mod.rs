//! The verbs, one file each: from flags to an exit status.

mod audit;
mod build;
mod check;
mod debug;
mod debugger;
mod explain;
mod foresee;
mod given;
mod inspect;
mod keep;
mod new;
mod output;
mod plan;
mod prepare;
pub mod ready;
mod run;
mod tree;
mod witness;

pub use output::complain;
use output::print_text;

use shared_abi::verdict::STATUS_HOST_ERROR;

use crate::cli::{Cli, Verb};
use crate::failure::Outcome;
use crate::workspace::Workspace;

/// Performs what the command line asks for and returns the exit status.
pub fn perform(cli: &Cli) -> u8 {
    let workspace = Workspace::here();
    let done = match &cli.verb {
        verb if verb.lists_machines() => machines(),
        Verb::Build(flags) => build::build(&workspace, flags),
        Verb::Run(flags) => run::run(&workspace, flags),
        Verb::Check(flags) => check::check(flags),
        Verb::Plan(flags) => plan::plan(&workspace, flags),
        Verb::Tree(flags) => tree::tree(&workspace, flags),
        Verb::Inspect(flags) => inspect::inspect(&workspace, flags),
        Verb::Audit(flags) => audit::audit(&workspace, flags),
        Verb::Debug(flags) => debug::debug(&workspace, flags),
        Verb::New(flags) => new::new(&workspace, flags),
        Verb::Explain(flags) => explain::explain(flags),
        Verb::Machines => machines(),
    };
    done.unwrap_or_else(|failure| {
        complain(&failure);
        STATUS_HOST_ERROR
    })
}

fn machines() -> Outcome<u8> {
    print_text(&crate::machine::table())
}
