//! Every code that there is, whoever says it.

use shared_abi::error::ErrorDoc;

/// The rows of all errors by code.
pub fn all() -> Vec<&'static ErrorDoc> {
    let catalogs = [shared_abi::error::ERRORS, elfloader::error::ERRORS, kernel::error::ERRORS].concat();
    let mut rows: Vec<_> = catalogs.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.code);
    rows
}

/// The row of `code`; `None` if no error has it.
pub fn find(code: u16) -> Option<&'static ErrorDoc> {
    all().into_iter().find(|row| row.explains(code))
}

/// What to do about the error that a line of the console names, as in `error E0203: …`.
pub fn help_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("error E")?;
    let row = find(rest.get(..4)?.parse().ok()?)?;
    Some(row.help().to_string())
}

/// The code as it is printed, or the first and last of a row of several.
pub fn number(row: &ErrorDoc) -> String {
    if row.code == row.last {
        format!("E{:04}", row.code)
    } else {
        format!("E{:04}–E{:04}", row.code, row.last)
    }
}

/// What is wrong, on one line.
pub fn meaning(row: &ErrorDoc) -> String {
    row.meaning.split_whitespace().collect::<Vec<_>>().join(" ")
}
