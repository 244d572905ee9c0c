//! Colour and width of what is printed: only where a person looks at it.
//!
//! Colour needs a terminal and no `NO_COLOR` (<https://no-color.org>); everywhere else the text is plain, so that
//! scripts and golden files see the same bytes.

use std::io::IsTerminal;

/// How text is dressed for one output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
    width: usize,
    /// The terminal's columns, if there is one.
    columns: Option<usize>,
}

impl Style {
    /// No colour, 100 columns: files, pipes and tests.
    pub const PLAIN: Self = Self { colour: false, width: 100, columns: None };

    /// The style for standard output.
    pub fn stdout() -> Self {
        Self::of(&std::io::stdout(), rustix::termios::tcgetwinsize(std::io::stdout()).ok())
    }

    /// The style for standard error.
    pub fn stderr() -> Self {
        Self::of(&std::io::stderr(), rustix::termios::tcgetwinsize(std::io::stderr()).ok())
    }

    fn of(stream: &impl IsTerminal, window: Option<rustix::termios::Winsize>) -> Self {
        let terminal = stream.is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns =
            window.map(|window| usize::from(window.ws_col)).filter(|&columns| terminal && columns > 0);
        let width = columns.unwrap_or(Self::PLAIN.width).max(40);
        Self { colour: terminal && !refused && !dumb, width, columns }
    }

    /// Columns to fill, at least 40.
    pub const fn width(self) -> usize {
        self.width
    }

    /// Whether colour is on.
    pub const fn has_colour(self) -> bool {
        self.colour
    }

    /// Folds lines that are wider than the terminal between words; what is continued is indented by two more than
    /// its line. Files and pipes get lines as they are.
    pub fn fold(self, text: &str) -> String {
        let Some(columns) = self.columns else { return text.to_owned() };
        let mut folded = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            fold_line(line, columns, &mut folded);
        }
        folded
    }

    fn dress(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.dress("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.dress("2", text)
    }

    /// What holds.
    pub fn good(self, text: &str) -> String {
        self.dress("32", text)
    }

    /// What does not.
    pub fn bad(self, text: &str) -> String {
        self.dress("1;31", text)
    }

    /// What to look at.
    pub fn warn(self, text: &str) -> String {
        self.dress("33", text)
    }
}

/// Columns that text takes on a terminal: its characters, without escape sequences that dress them.
fn columns_of(text: &str) -> usize {
    let mut dressing = false;
    let counts = |letter: &char| {
        let counted = !dressing && *letter != '\x1b';
        dressing = *letter == '\x1b' || (dressing && *letter != 'm');
        counted
    };
    text.chars().filter(counts).count()
}

fn fold_line(line: &str, columns: usize, folded: &mut String) {
    if columns_of(line.trim_end()) <= columns {
        folded.push_str(line);
        return;
    }
    let indent = line.len() - line.trim_start().len();
    let indent = (indent + 2).min(columns / 2);
    let mut used = 0;
    for word in line.trim_end().split_inclusive(' ') {
        let width = columns_of(word.trim_end());
        if used > indent && used + width > columns {
            folded.truncate(folded.trim_end_matches(' ').len());
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            used = indent;
            if width == 0 {
                continue;
            }
        }
        folded.push_str(word);
        used += columns_of(word);
    }
    folded.truncate(folded.trim_end_matches(' ').len());
    folded.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wider_than_the_terminal_is_folded_between_words() {
        let narrow = Style { colour: false, width: 40, columns: Some(40) };
        let row = "virt-el2     cortex-a53   256M  1 CPU  QEMU virt, entered at EL2 with virtualization\n";
        let folded = narrow.fold(row);
        assert!(
            folded.lines().count() > 1 && folded.lines().all(|line| line.chars().count() <= 40),
            "{folded}"
        );
        assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), row.split_whitespace().collect::<Vec<_>>());
        assert_eq!(narrow.fold("  short\n\n"), "  short\n\n");
        assert_eq!(Style::PLAIN.fold(row), row);
        let dressed = format!("{}{}\n", "\x1b[1mbold\x1b[0m ".repeat(8).trim_end(), "");
        assert_eq!(narrow.fold(&dressed), dressed, "escape sequences take no room");
    }
}
