//! `docs/errors.md` is what the declarations of the errors say.

use images::errors::{all, meaning, number};
use shared_abi::error::ErrorDoc;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

fn row(error: &ErrorDoc) -> String {
    let help = error.help().to_string();
    let mut letters = help.chars();
    let first = letters.next().unwrap_or_else(|| panic!("{} has no help", number(error)));
    let help = format!("{}{}.", first.to_uppercase(), letters.as_str());
    format!("| {} | `{}` | {} | {help} |\n", number(error), error.name, meaning(error))
}

/// The page with the rows of each table written anew: which codes a table holds is said in the comment before it.
fn generate(page: &str) -> (String, Vec<u16>) {
    let (mut text, mut listed) = (String::new(), Vec::new());
    let mut codes = 0..=0;
    for line in page.lines().filter(|line| !line.starts_with("| E")) {
        text.push_str(line);
        text.push('\n');
        if let Some(range) = line.strip_prefix("<!-- E").and_then(|rest| rest.strip_suffix(" -->")) {
            let (first, last) = range.split_once("–E").expect("a range of codes");
            codes = first.parse().unwrap()..=last.parse().unwrap();
        }
        if line.starts_with("| ---") {
            for error in all().into_iter().filter(|error| codes.contains(&error.code)) {
                text.push_str(&row(error));
                listed.push(error.code);
            }
        }
    }
    (text, listed)
}

/// `BLESS=1` in the environment writes the page's tables anew.
#[test]
fn the_page_of_errors_is_what_the_declarations_say() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (generated, listed) = generate(&page);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PAGE, &generated).unwrap();
    } else {
        assert!(page == generated, "docs/errors.md differs from the declarations: write it with BLESS=1");
    }
    let codes: Vec<u16> = all().iter().map(|error| error.code).collect();
    assert_eq!(listed, codes, "a code is in no table of docs/errors.md, or in two");
}

#[test]
fn every_code_is_of_one_error() {
    for pair in all().windows(2) {
        assert!(pair[0].last < pair[1].code, "{:?}", pair);
    }
}

#[test]
fn every_error_says_in_one_line_what_is_wrong_and_what_to_do() {
    for error in all() {
        let (help, meaning) = (error.help().to_string(), meaning(error));
        assert!(meaning.ends_with('.') && !meaning.contains('|'), "{error:?}");
        assert!(!help.ends_with('.') && !help.contains(['\n', '|']) && help.len() > 8, "{error:?}");
    }
}
