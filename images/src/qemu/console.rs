//! What the machine said: the console's bytes, read for the few lines that mean something to the host.

use shared_abi::verdict::Verdict;

/// Longest line that is looked at; the rest of a longer one is only passed on.
const LINE_MAX: usize = 512;

/// Bytes of the console's end that are kept.
const KEPT: usize = 1 << 20;

/// The console so far.
#[derive(Clone, Debug, Default)]
pub struct Console {
    line: Vec<u8>,
    kept: Vec<u8>,
    verdict: Option<Verdict>,
    error: Option<String>,
}

impl Console {
    /// Takes what the machine said next.
    pub fn hear(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE_MAX {
                self.line.push(byte);
            }
        }
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
    }

    fn end_line(&mut self) {
        if let Ok(line) = std::str::from_utf8(&self.line) {
            let line = line.trim();
            self.verdict = Verdict::from_line(line).or(self.verdict);
            // `error E0203: …`, the one line of a stage that gives up; the first is the cause.
            if self.error.is_none() && line.strip_prefix("error E").is_some_and(|rest| rest.contains(':')) {
                self.error = Some(line.to_owned());
            }
        }
        self.line.clear();
    }

    /// The last verdict that was said.
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The first `error E…` line that was said.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The end of what was said, as text whose lines end as they do on the host.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).replace('\r', "")
    }

    /// Nothing more will come: a last line without an end is a line.
    pub fn close(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_and_first_error_are_found_in_any_pieces() {
        let said = b"hello\r\nerror E0203: segment 2\r\nerror E0001: later\r\nverdict: bad 7";
        for cut in 0..said.len() {
            let mut console = Console::default();
            console.hear(&said[..cut]);
            console.hear(&said[cut..]);
            console.close();
            assert_eq!(console.verdict(), Some(Verdict::Bad(7)));
            assert_eq!(console.error(), Some("error E0203: segment 2"));
        }
    }

    #[test]
    fn endless_lines_and_bytes_that_are_no_text_cost_no_memory() {
        let mut console = Console::default();
        for _ in 0..5000 {
            console.hear(&[0xFF; 1024]);
        }
        assert!(console.kept.len() <= 2 * KEPT && console.line.len() <= LINE_MAX);
        console.hear(b"\nverdict: good\n");
        assert_eq!(console.verdict(), Some(Verdict::Good));
    }
}
