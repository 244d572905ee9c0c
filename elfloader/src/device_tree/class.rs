//! Which devices the boot cares about, by their `compatible` strings: the one table of them.

use shared_abi::uart::UartKind;

use zerocopy::IntoBytes;

use crate::platform::{Gic, PsciVersion};

/// What a device is to the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A serial port.
    Console(UartKind),
    /// The power interface.
    Psci(PsciVersion),
    /// The interrupt controller.
    Gic(Gic),
    /// The generic timer.
    Timer,
}

/// Devices that are no serial port, by their bindings in the Devicetree Specification and in Linux's
/// `Documentation/devicetree/bindings`.
const OTHERS: [(&str, Class); 10] = [
    ("arm,psci-1.0", Class::Psci(PsciVersion::V1_0)),
    ("arm,psci-0.2", Class::Psci(PsciVersion::V0_2)),
    ("arm,psci", Class::Psci(PsciVersion::V0_1)),
    ("arm,gic-v3", Class::Gic(Gic::V3)),
    ("arm,gic-400", Class::Gic(Gic::V2)),
    ("arm,cortex-a15-gic", Class::Gic(Gic::V2)),
    ("arm,cortex-a9-gic", Class::Gic(Gic::V2)),
    ("arm,cortex-a7-gic", Class::Gic(Gic::V2)),
    ("arm,gic-v5", Class::Gic(Gic::V5)),
    ("arm,armv8-timer", Class::Timer),
];

/// All of them, those that begin with `a` first.
const CLASSES: &[(&[u8], Class)] = &{
    const PORTS: &[(&str, UartKind)] = UartKind::COMPATIBLE;
    let mut all: [(&[u8], Class); PORTS.len() + OTHERS.len()] =
        [(b"", Class::Timer); PORTS.len() + OTHERS.len()];
    let (mut count, mut pass) = (0, 0);
    while pass < 2 {
        let mut index = 0;
        while index < all.len() {
            let (name, class) = match index < PORTS.len() {
                true => (PORTS[index].0, Class::Console(PORTS[index].1)),
                false => OTHERS[index - PORTS.len()],
            };
            if (name.as_bytes()[0] == b'a') == (pass == 0) {
                all[count] = (name.as_bytes(), class);
                count += 1;
            }
            index += 1;
        }
        pass += 1;
    }
    all
};

/// How many strings of the table begin with `a`, which are its first.
const ARM: usize = {
    let mut count = 0;
    while count < CLASSES.len() && CLASSES[count].0[0] == b'a' {
        count += 1;
    }
    count
};

/// The index in the table of the first known string of a `compatible` value of `length` bytes: the list goes
/// from special to general.
#[inline]
pub(super) fn class_of(words: &[u32], length: usize) -> Option<u32> {
    // Most devices are none of ours and have one name.
    let [first, second, ..] = words.first()?.to_ne_bytes();
    match may_be_known(first, second) {
        false if zero_from(words, 0)? + 1 >= length => None,
        _ => class_in(words, length),
    }
}

/// The bit of [`BEGINNINGS`] that stands for two first bytes, and for some others.
const fn beginning(first: u8, second: u8) -> u64 {
    1 << ((first ^ second << 3) & 63)
}

/// How the strings of the table begin.
const BEGINNINGS: u64 = {
    let (mut set, mut index) = (0, 0);
    while index < CLASSES.len() {
        set |= beginning(CLASSES[index].0[0], CLASSES[index].0[1]);
        index += 1;
    }
    set
};

/// Whether a string of the table may begin with these bytes.
const fn may_be_known(first: u8, second: u8) -> bool {
    BEGINNINGS & beginning(first, second) != 0
}

/// The same, string by string.
fn class_in(words: &[u32], length: usize) -> Option<u32> {
    let bytes = words.as_bytes().get(..length)?;
    let mut start = 0;
    while let [first, second, ..] = *bytes.get(start..)? {
        let end = zero_from(words, start).unwrap_or(length);
        if may_be_known(first, second) {
            let name = bytes.get(start..end)?;
            let (skipped, candidates) = match first {
                b'a' => (0, CLASSES.get(..ARM)?),
                _ => (ARM, CLASSES.get(ARM..)?),
            };
            if let Some(index) = candidates.iter().position(|(known, _)| *known == name) {
                return Some((skipped + index) as u32);
            }
        }
        start = end + 1;
    }
    None
}

/// The class at an index of the table.
pub(super) fn class_at(index: u32) -> Option<Class> {
    CLASSES.get(index as usize).map(|(_, class)| *class)
}

/// Where the first zero byte at `start` or later is.
fn zero_from(words: &[u32], start: usize) -> Option<usize> {
    // What precedes `start` in its word must not count.
    let mut before = (1 << (start % 4 * 8)) - 1;
    for (index, word) in words.iter().enumerate().skip(start / 4) {
        let word = u32::from_le(*word) | before;
        let zeros = word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080;
        if zeros != 0 {
            return Some(index * 4 + (zeros.trailing_zeros() / 8) as usize);
        }
        before = 0;
    }
    None
}

/// What precedes the first zero byte, or all if there is none.
pub(super) fn before_zero(text: &[u8]) -> &[u8] {
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}
