//! The verbs, one file each: from flags to an exit status.

mod audit;
mod build;
mod check;
mod explain;
mod given;
mod inspect;
mod keep;
mod plan;
mod prepare;
pub mod ready;
mod run;
mod tree;
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
        verb if verb.lists_machines() => machines(),
        Verb::Build(flags) => build::build(&workspace, flags),
        Verb::Run(flags) => run::run(&workspace, flags),
        Verb::Check(flags) => check::check(flags),
        Verb::Plan(flags) => plan::plan(&workspace, flags),
        Verb::Tree(flags) => tree::tree(&workspace, flags),
        Verb::Inspect(flags) => inspect::inspect(&workspace, flags),
        Verb::Audit(flags) => audit::audit(&workspace, flags),
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

/// Prints a failure and what to do to standard error.
pub fn complain(failure: &Failure) {
    let line = failure.to_string();
    let (word, rest) = line.split_once(':').unwrap_or(("error", &line));
    eprintln!("{}:{rest}", Style::stderr().bad(word));
    help(failure.help());
}

/// Prints what to do to standard error.
fn help(words: &str) {
    eprintln!("{}: {words}", Style::stderr().bold("help"));
}

/// Prints a verb's result for a person, folded to the width of the terminal.
fn print_text(text: &str) -> Outcome<u8> {
    print(&Style::stdout().fold(text))
}

/// Prints a verb's result to standard output. A reader that left early wanted no more.
fn print(text: &str) -> Outcome<u8> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("cannot write the result: {error}"),
            "give standard output a place that takes it",
        )),
        _ => Ok(0),
    }
}
