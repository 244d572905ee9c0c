//! Pieces of the page.

use std::fmt::Write;

use shared_abi::memory::RegionKind;

/// Text as HTML shows it.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            control if control.is_control() => out.extend(control.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

/// Adds a section with a heading.
pub fn section(page: &mut String, heading: &str, content: &str) {
    // Writing to a string cannot fail.
    let _ = write!(page, "<section>\n<h2>{}</h2>\n{content}\n</section>\n", escaped(heading));
}

/// A row of a table.
pub fn row(cells: &[String]) -> String {
    format!("<tr>{}</tr>\n", cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>())
}

/// A table that scrolls sideways where the page is narrow.
pub fn table(head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>"
    )
}

/// What opens on demand.
pub fn details(summary: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>\n{content}\n</details>", escaped(summary))
}

/// The classes that colour a region: what it has in common with all, and its kind's name. A kind without a colour
/// of its own has that of what is reserved.
pub fn class(kind: RegionKind) -> String {
    format!("region {}", kind.name().unwrap_or_default().to_lowercase().replace(' ', "-"))
}

/// The style of a range with such rights.
pub fn rights_class(rights: &str) -> &'static str {
    match rights {
        "r-x" => "rx",
        "rw-" => "rw",
        "r--" => "ro",
        // The kernel's own, in EL0's half.
        "---" | "--x" => "none",
        _ => "rwx",
    }
}
