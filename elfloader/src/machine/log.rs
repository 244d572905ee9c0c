//! The loader's words: each is recorded for `BootInfo`, and printed as far as the header page asks.
//!
//! The record does not depend on how much is printed, so a quiet boot can be read afterwards. It is written by
//! hand rather than by `core::fmt`: a few instructions a character, on a path that every boot takes. Errors,
//! which end the boot, use `core::fmt`.

use core::fmt;

use elfloader::boot_facts::LOG_CAPACITY;
use handoff_bare::cell::{BorrowCell, Exclusive};
use handoff_bare::mmio::Mmio;
use shared_abi::image::header::LogLevel;
use shared_abi::uart::Uart;

/// The one log of the one CPU that runs.
pub struct Log {
    /// What follows after so many bytes is counted and dropped.
    bytes: [u8; LOG_CAPACITY],
    length: usize,
    dropped: usize,
    marked: usize,
    printed: LogLevel,
    line_level: LogLevel,
    console: Option<Uart<Mmio>>,
}

/// The log. The fault reporter, which never goes back to what it interrupted, seizes it.
pub static LOG: BorrowCell<Log> = BorrowCell::new(Log {
    bytes: [0; LOG_CAPACITY],
    length: 0,
    dropped: 0,
    marked: 0,
    printed: LogLevel::Quiet,
    line_level: LogLevel::Normal,
    console: None,
});

/// The log, for one statement.
///
/// # Panics
///
/// If the statement itself logs.
// Not inlined: a boot logs in many places, seldom.
#[inline(never)]
pub fn log() -> Exclusive<'static, Log> {
    LOG.try_borrow_mut().expect("the log is in use")
}

impl Log {
    /// Prints lines of up to `level` from here on.
    pub fn print_up_to(&mut self, level: LogLevel) {
        self.printed = level;
    }

    /// Begins a line that is printed where `level` is asked for.
    pub fn line(&mut self, level: LogLevel) -> &mut Self {
        self.line_level = level;
        self
    }

    /// Sends what is printed to `console` from here on.
    pub fn set_console(&mut self, console: Uart<Mmio>) {
        self.console = Some(console);
    }

    /// Prints nowhere from here on. Whether there was a console.
    pub fn lose_console(&mut self) -> bool {
        self.console.take().is_some()
    }

    /// What was recorded.
    pub fn recorded(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Bytes that found no room in the record.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Remembers where an error begins, for [`Self::say_without_console`].
    pub fn mark(&mut self) {
        self.marked = self.length;
    }

    /// Says what was written since the mark where there is no console: to the host, if it listens.
    pub fn say_without_console(&mut self) {
        if self.console.is_none() {
            let end = self.length.min(LOG_CAPACITY - 1);
            self.bytes[end] = 0;
            super::ending::say_to_host(&self.bytes[self.marked.min(end)..=end]);
        }
    }

    /// Writes words.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let kept = text.len().min(LOG_CAPACITY - self.length);
        self.bytes[self.length..self.length + kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.length += kept;
        self.dropped += text.len() - kept;
        if self.line_level <= self.printed
            && let Some(console) = &mut self.console
        {
            console.send_text(text);
        }
        self
    }

    /// Writes `0x…` without leading zeros.
    pub fn hex(&mut self, value: u64) -> &mut Self {
        let mut digits = [0u8; 18];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdef"[(rest & 0xF) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        digits[at - 1] = b'x';
        digits[at - 2] = b'0';
        self.digits(&digits[at - 2..])
    }

    /// Writes a decimal number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.digits(&digits[at..])
    }

    fn digits(&mut self, digits: &[u8]) -> &mut Self {
        self.text(core::str::from_utf8(digits).unwrap_or("?"))
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.text("\n");
    }
}

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}
