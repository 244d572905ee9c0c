//! The command line: words, and the few that the loader itself obeys.
//!
//! It is the kernel's; what is not known here is not an error. What is packed with the kernel comes first, then what
//! firmware passes. Words are separated by spaces, a part between double quotes is not, and what follows a word `--`
//! is not for the loader (both as in Linux). Where a word is given twice, the later one counts: so firmware, which is
//! asked last, has the last word.

use shared_abi::addr::PhysAddr;
use shared_abi::uart::UartKind;

use crate::platform::Console;
use shared_abi::errors;

errors! {
    /// Why a word of the command line cannot be obeyed.
    pub enum CommandLineError,
        found by "the loader when it reads the command line, and by `handoff plan` and `run --append`";

    /// `earlycon=` names no known kind of serial port.
    431 ConsoleKind { kinds: &'static str = "Those that it can name." }
        => "earlycon= names no known kind of serial port: {kinds}";
        help "give a kind that the message names: `earlycon=KIND,ADDRESS`";
    /// `earlycon=` gives no address of a register.
    432 ConsoleAddress { address: u64 = "The address, 0 if it is no number." }
        => "earlycon= gives no address of a serial port: {address:#x}";
        help "give `earlycon=KIND,ADDRESS`, the physical address with `0x`";
    /// `earlycon=` asks for an unsupported access width.
    433 ConsoleAccess { bits: u64 = "The width, 0 if it is no number." }
        => "earlycon= asks for accesses of {bits} bits; there are mmio, mmio16 and mmio32";
        help "give `mmio`, `mmio16` or `mmio32`, or nothing";
}

/// A command line in two parts, which are one line to whoever reads it. No word reaches from one into the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLine<'c> {
    /// What is packed with the kernel; may be empty.
    pub packed: &'c str,
    /// What firmware passes; may be empty.
    pub passed: &'c str,
}

impl<'c> CommandLine<'c> {
    /// What to write one after the other for the whole line.
    pub fn parts(self) -> [&'c str; 3] {
        let between = if self.packed.is_empty() || self.passed.is_empty() { "" } else { " " };
        [self.packed, between, self.passed]
    }

    /// Bytes of the whole line.
    pub fn length(self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    /// The words up to `--`, quotes included.
    pub fn words(self) -> impl Iterator<Item = &'c str> {
        let (mut rest, mut next) = (self.packed, self.passed);
        core::iter::from_fn(move || {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                rest = core::mem::take(&mut next).trim_ascii_start();
            }
            let mut quoted = false;
            let ends = |letter: u8| {
                quoted ^= letter == b'"';
                !quoted && letter.is_ascii_whitespace()
            };
            let (word, after) = rest.split_at_checked(rest.bytes().position(ends).unwrap_or(rest.len()))?;
            rest = after;
            Some(word).filter(|word| !word.is_empty() && *word != "--")
        })
    }

    /// Whether a word stands there by itself.
    pub fn has(self, word: &str) -> bool {
        self.words().any(|other| other == word)
    }

    /// What follows `name=`, without the quotes around it.
    pub fn value(self, name: &str) -> Option<&'c str> {
        let values = self.words().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let value = values.last()?;
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }

    /// Whether kernel and direct map may lie at random places: `nokaslr` says no.
    pub fn allows_randomness(self) -> bool {
        !self.has("nokaslr")
    }

    /// The serial port to use before, or instead of, what the device tree says: `earlycon=KIND,ADDRESS`, or with
    /// the width of an access between the two as in Linux, `earlycon=KIND,mmio32,ADDRESS`. Options may follow.
    ///
    /// # Errors
    /// [`CommandLineError`] if `earlycon=` is malformed.
    pub fn early_console(self) -> Result<Option<Console>, CommandLineError> {
        let Some(value) = self.value("earlycon") else { return Ok(None) };
        let (kind, rest) = split_comma(value);
        let (first, rest) = split_comma(rest);
        let (second, _) = split_comma(rest);
        let unknown = CommandLineError::ConsoleKind { kinds: UartKind::NAMES };
        let kind = UartKind::from_name(kind).ok_or(unknown)?;
        let layout = kind.default_layout();
        let (mut shift, mut width) = (layout.register_shift as u8, layout.access_width as u8);
        let mut place = first;
        if let Some(bits) = first.strip_prefix("mmio") {
            width = match bits {
                "" => width,
                "16" => 2,
                "32" => 4,
                other => {
                    return Err(CommandLineError::ConsoleAccess { bits: number(other).unwrap_or_default() });
                }
            };
            // The registers lie as far apart as they are wide.
            if kind.has_register_shift() {
                shift = width.trailing_zeros() as u8;
            }
            place = second;
        }
        let address = number(place).unwrap_or_default();
        let misplaced = CommandLineError::ConsoleAddress { address };
        let base =
            PhysAddr::new(address).filter(|base| base.get() != 0 && base.get() % u64::from(width) == 0);
        Ok(Some(Console {
            kind,
            base: base.ok_or(misplaced)?,
            register_shift: shift,
            access_width: width,
            clock: None,
        }))
    }
}

/// What precedes the first comma, and what follows it.
#[inline(never)]
fn split_comma(text: &str) -> (&str, &str) {
    let comma = text.bytes().position(|byte| byte == b',');
    let split = comma.and_then(|comma| Some((text.get(..comma)?, text.get(comma + 1..)?)));
    split.unwrap_or((text, ""))
}

/// A number as C writes it, hexadecimal or decimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(packed: &str) -> CommandLine<'_> {
        CommandLine { packed, passed: "" }
    }

    fn console(text: &str) -> Result<Option<Console>, CommandLineError> {
        packed(text).early_console()
    }

    #[test]
    fn words_end_at_spaces_outside_quotes_and_at_two_dashes() {
        let line = packed("  quiet a=\"b c\"\tnokaslr x=1 x=2 y=\"\" -- z");
        assert_eq!(
            line.words().collect::<Vec<_>>(),
            ["quiet", "a=\"b c\"", "nokaslr", "x=1", "x=2", "y=\"\""]
        );
        assert_eq!(line.value("a"), Some("b c"));
        assert_eq!(line.value("x"), Some("2"));
        assert_eq!((line.value("y"), line.value("z"), line.value("")), (Some(""), None, None));
        assert!(line.has("quiet") && !line.has("z") && !line.allows_randomness());
        assert!(packed("nokaslrx xnokaslr -- nokaslr").allows_randomness());
    }

    #[test]
    fn what_firmware_passes_comes_last() {
        let line = CommandLine { packed: "a x=1 ", passed: " x=2  b" };
        assert_eq!(line.words().collect::<Vec<_>>(), ["a", "x=1", "x=2", "b"]);
        assert_eq!(line.value("x"), Some("2"));
        assert_eq!((line.parts().concat(), line.length()), ("a x=1   x=2  b".into(), 14));
        // One line: what ends the loader's words in the first part ends them for good.
        assert_eq!(CommandLine { packed: "a --", passed: "nokaslr" }.words().count(), 1);
        for line in [CommandLine { packed: "", passed: "b" }, CommandLine { packed: "b", passed: "" }] {
            assert_eq!((line.parts().concat(), line.words().count()), ("b".into(), 1));
        }
        assert_eq!(CommandLine::default().words().count(), 0);
    }

    #[test]
    fn a_console_is_kind_and_address() {
        let found = console("quiet earlycon=pl011,0x9000000").unwrap().unwrap();
        let expected = Console {
            kind: UartKind::Pl011,
            base: PhysAddr::new(0x900_0000).unwrap(),
            register_shift: 0,
            access_width: 4,
            clock: None,
        };
        assert_eq!(found, expected);
        let found = console("earlycon=uart8250,mmio32,0xfe660000,115200n8,more").unwrap().unwrap();
        assert_eq!((found.kind, found.register_shift, found.access_width), (UartKind::Ns16550, 2, 4));
        assert_eq!(found.base.get(), 0xFE66_0000);
        let found = console("earlycon=ns16550a,mmio,16").unwrap().unwrap();
        assert_eq!((found.base.get(), found.register_shift, found.access_width), (16, 0, 1));
        // Without a value it means what the device tree says.
        assert_eq!(console("earlycon console=ttyS0"), Ok(None));
    }

    #[test]
    fn what_is_no_console_is_refused_with_its_number() {
        for (text, code) in [
            ("earlycon=", 431),
            ("earlycon=sbi", 431),
            ("earlycon=pl011", 432),
            ("earlycon=pl011,0x+9000000", 432),
            ("earlycon=pl011,0x9000001", 432),
            ("earlycon=pl011,0x1000000000000", 432),
            ("earlycon=pl011,mmio64,0x9000000", 433),
            ("earlycon=pl011,mmio32", 432),
        ] {
            assert_eq!(console(text).map_err(|error| error.code()), Err(code), "{text}");
        }
        let error = console("earlycon=cdns,0x1001").unwrap_err();
        assert_eq!(error.to_string(), "earlycon= gives no address of a serial port: 0x1001");
    }

    proptest! {
        #[test]
        fn words_are_all_that_is_not_space(text in "[ \ta-z\"=,-]{0,40}") {
            let words: Vec<_> = packed(&text).words().collect();
            prop_assert!(words.iter().all(|word| !word.is_empty() && *word != "--"));
            if !text.contains('"') {
                let plain: Vec<_> = text.split_ascii_whitespace().take_while(|word| *word != "--").collect();
                prop_assert_eq!(words, plain);
            }
            let _ = console(&text);
        }

        #[test]
        fn any_earlycon_is_a_console_or_an_error(text in "earlycon=(pl011|uart)?,?(mmio[0-9]{0,3})?,?(0x)?[0-9a-f]{0,20},?\\PC{0,5}") {
            let _ = console(&text);
        }
    }
}
