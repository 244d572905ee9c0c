//! Sizes of memory as people write them: `128M`, `1G`, `1.5G` is not one of them.

use std::fmt;
use std::str::FromStr;

use crate::failure::{Failure, Outcome};

/// A number of bytes, at least one, written with a binary unit where one divides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

impl Size {
    /// The size of `count` MiB.
    pub const fn mib(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let wrong = || {
            let help = "write a number and K, M, G or T, as in 128M or 8G";
            Failure::new(format!("{text:?} is not a size"), help)
        };
        let plain = text.strip_suffix("iB").or_else(|| text.strip_suffix('B')).unwrap_or(text);
        let unit = plain.chars().last().map(|last| last.to_ascii_uppercase());
        let shift = UNITS.iter().find(|(letter, _)| Some(*letter) == unit).map(|(_, shift)| *shift);
        let (digits, shift) = match shift {
            Some(shift) => (&plain[..plain.len() - 1], shift),
            // A bare number is MiB, as in QEMU; with a byte unit it would be ambiguous.
            None if plain.len() == text.len() => (plain, 20),
            None => return Err(wrong()),
        };
        let count: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
        match count.checked_mul(1 << shift) {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().rev().find(|(_, shift)| self.0.trailing_zeros() >= *shift) {
            Some((letter, shift)) => write!(f, "{}{letter}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Bytes in the unit that reads best: `412 B`, `52.3 KiB`, `16.0 MiB`.
pub fn readable(bytes: u64) -> String {
    let shift = UNITS.iter().map(|(_, shift)| *shift).rfind(|shift| bytes >> shift != 0);
    match shift {
        None => format!("{bytes} B"),
        Some(shift) => {
            let letter = UNITS[(shift / 10 - 1) as usize].0;
            // Tenths, rounded down: a size is never shown as larger than it is.
            let tenths = (u128::from(bytes) * 10) >> shift;
            match tenths % 10 {
                0 => format!("{} {letter}iB", tenths / 10),
                tenth => format!("{}.{tenth} {letter}iB", tenths / 10),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_qemu_takes_them() {
        for (text, bytes, shown) in [
            ("128M", 128 << 20, "128M"),
            ("256", 256 << 20, "256M"),
            ("1024M", 1 << 30, "1G"),
            ("8g", 8 << 30, "8G"),
            ("1T", 1 << 40, "1T"),
            ("64KiB", 64 << 10, "64K"),
            ("2GB", 2 << 30, "2G"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be() {
        for text in ["", "M", "0", "0M", "1.5G", "-1M", "12X", "12B", "99999999T", "+", "ÄM"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.help().contains("as in 128M"), "{text}: {error}");
        }
    }

    #[test]
    fn readable_sizes_round_down_and_drop_a_zero_tenth() {
        let shown = [0, 1023, 1024, 53_555, (16 << 20) - 1, 1 << 40].map(readable);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "52.2 KiB", "15.9 MiB", "1 TiB"]);
    }
}
