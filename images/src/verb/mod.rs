//! The verbs, one file each: from flags to an exit status.

mod audit;
mod build;
mod check;
mod inspect;
mod keep;
mod plan;
mod prepare;
pub mod ready;
mod run;
mod witness;

use std::io::Write;

use shared_abi::verdict::STATUS_HOST_ERROR;

use crate::cli::{Cli, Verb};
use crate::failure::{Failure, Outcome};
use crate::style::Style;
use crate::workspace::Workspace;

/// Performs what the command line asks for and returns the exit status.
pub fn perform(cli: &Cli) -> u8 {
    let workspace = Workspace::here();
    let done = match &cli.verb {
        Verb::Build(flags) => build::build(&workspace, flags),
        Verb::Run(flags) => run::run(&workspace, flags),
        Verb::Check(flags) => check::check(flags),
        Verb::Plan(flags) => plan::plan(&workspace, flags),
        Verb::Inspect(flags) => inspect::inspect(&workspace, flags),
        Verb::Audit(flags) => audit::audit(&workspace, flags),
        Verb::Machines => print(&crate::machine::table()),
    };
    done.unwrap_or_else(|failure| {
        complain(&failure);
        STATUS_HOST_ERROR
    })
}

/// Prints a failure to standard error.
fn complain(failure: &Failure) {
    let line = failure.to_string();
    let (word, rest) = line.split_once(':').unwrap_or(("error", &line));
    eprintln!("{}:{rest}", Style::stderr().bad(word));
}

/// Prints a verb's result to standard output. A reader that left early wanted no more.
fn print(text: &str) -> Outcome<u8> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write the result: {error}")))
        }
        _ => Ok(0),
    }
}
