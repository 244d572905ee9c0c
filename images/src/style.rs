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
}

impl Style {
    /// No colour, 100 columns: files, pipes and tests.
    pub const PLAIN: Self = Self { colour: false, width: 100 };

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
        let width =
            window.map(|window| usize::from(window.ws_col)).filter(|&columns| terminal && columns > 0);
        Self { colour: terminal && !refused && !dumb, width: width.unwrap_or(Self::PLAIN.width).max(40) }
    }

    /// Columns to fill, at least 40.
    pub const fn width(self) -> usize {
        self.width
    }

    /// Whether colour is on.
    pub const fn has_colour(self) -> bool {
        self.colour
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
