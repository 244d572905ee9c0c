//! What a verb prints, and where.

use std::io::Write;

use crate::failure::{Failure, Outcome};
use crate::style::Style;

/// Prints a failure and what to do to standard error.
pub fn complain(failure: &Failure) {
    say(failure);
    help(failure.help());
}

/// Prints a failure to standard error.
pub fn say(failure: &Failure) {
    let line = failure.to_string();
    let (word, rest) = line.split_once(':').unwrap_or(("error", &line));
    eprintln!("{}:{rest}", Style::stderr().bad(word));
}

/// Prints what to do to standard error.
pub fn help(words: &str) {
    eprintln!("{}: {words}", Style::stderr().bold("help"));
}

/// Prints a verb's result for a person, folded to the width of the terminal.
pub fn print_text(text: &str) -> Outcome<u8> {
    print(&Style::stdout().fold(text))
}

/// Prints a verb's result to standard output. A reader that left early wanted no more.
pub fn print(text: &str) -> Outcome<u8> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("cannot write the result: {error}"),
            "give standard output a place that takes it",
        )),
        _ => Ok(0),
    }
}
