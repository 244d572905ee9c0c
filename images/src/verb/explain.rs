//! `handoff explain`: what a code means, what to do, and who finds it.

use shared_abi::error::ErrorDoc;

use super::output;
use crate::cli::Explain;
use crate::errors;
use crate::failure::{Failure, Outcome};
use crate::style::Style;
use crate::suggest;

pub fn explain(flags: &Explain) -> Outcome<u8> {
    let style = Style::stdout();
    let text = match &flags.code {
        None => errors::all().into_iter().map(|row| line(row, style)).collect(),
        Some(code) => page(named(code)?, style),
    };
    output::print_text(&text)
}

/// The row of a code or of a name: `E0203`, `e203`, `203`, `OutsideWindow`.
fn named(text: &str) -> Outcome<&'static ErrorDoc> {
    let digits = text.trim_start_matches(['E', 'e']);
    let by_code = digits.parse().ok().and_then(errors::find);
    let by_name = || errors::all().into_iter().find(|row| row.name.eq_ignore_ascii_case(text));
    by_code.or_else(by_name).ok_or_else(|| {
        let names = errors::all().into_iter().map(|row| row.name);
        let help = match suggest::nearest(text, names) {
            Some(meant) => format!("did you mean {meant}? handoff explain lists all"),
            None => "handoff explain lists all codes; they are written as in E0203".into(),
        };
        Failure::new(format!("no error has the code {text}"), help)
    })
}

fn line(row: &ErrorDoc, style: Style) -> String {
    format!("{}  {}  {}\n", style.bold(&errors::number(row)), row.name, errors::meaning(row))
}

fn page(row: &ErrorDoc, style: Style) -> String {
    let mut text = format!("{}  {} ({})\n\n", style.bold(&errors::number(row)), row.name, row.of);
    for (title, words) in [
        ("what is wrong", errors::meaning(row)),
        ("what to do", row.help().to_string()),
        ("found by", row.found_by.to_owned()),
    ] {
        text.push_str(&format!("{title:14} {words}\n"));
    }
    for (index, (name, meaning)) in row.values.iter().enumerate() {
        let title = if index == 0 { "its values" } else { "" };
        text.push_str(&format!("{title:14} {name}: {meaning}\n"));
    }
    text
}
