//! The `handoff` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use images::cli::{Cli, mistake};
use shared_abi::verdict::STATUS_HOST_ERROR;

fn main() -> ExitCode {
    ExitCode::from(match Cli::try_parse() {
        Ok(cli) => images::verb::perform(&cli),
        Err(error) => match mistake(&error) {
            Some(failure) => {
                images::verb::complain(&failure);
                STATUS_HOST_ERROR
            }
            // Help that was asked for, with status 0, and that for a command line without a verb, with status 2.
            None => error.exit(),
        },
    })
}
