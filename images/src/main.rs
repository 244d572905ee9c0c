//! The `handoff` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use images::cli::Cli;

fn main() -> ExitCode {
    // Clap leaves with status 2 on a mistake and 0 after help, as the exit statuses want it.
    ExitCode::from(images::verb::perform(&Cli::parse()))
}
