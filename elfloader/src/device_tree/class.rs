//! Which devices the boot cares about, by their `compatible` strings: the one table of them.

use shared_abi::uart::UartKind;

use super::word::{Word, zeros};
use crate::platform::PsciVersion;

/// What a device is to the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A serial port.
    Console(UartKind),
    /// The power interface.
    Psci(PsciVersion),
    /// The generic timer.
    Timer,
}

/// Devices that are no serial port, by their bindings in the Devicetree Specification and in Linux's
/// `Documentation/devicetree/bindings`.
const OTHERS: [(&str, Class); 4] = [
    ("arm,psci-1.0", Class::Psci(PsciVersion::V1_0)),
    ("arm,psci-0.2", Class::Psci(PsciVersion::V0_2)),
    ("arm,psci", Class::Psci(PsciVersion::V0_1)),
    ("arm,armv8-timer", Class::Timer),
];

/// Where [`BEGINNINGS`] has a string that begins with these words, of which all but the last byte count: as many as the
/// shortest string of the tables has with the zero that ends it.
const fn place(first: Word, second: Word) -> usize {
    let words = u32::from_le(first) ^ (u32::from_le(second) << 8).rotate_left(4);
    (words.wrapping_mul(0x9E37_79B1) >> 24) as usize
}

/// Whether a string of the tables begins so, or one that has the same place.
const BEGINNINGS: [bool; 256] = {
    let (mut set, mut index) = ([false; 256], 0);
    while index < OTHERS.len() + UartKind::COMPATIBLE.len() {
        let (mut words, name) = ([[0; 4]; 2], known(index).0.as_bytes());
        let mut letter = 0;
        while letter < 7 && letter < name.len() {
            words[letter / 4][letter % 4] = name[letter];
            letter += 1;
        }
        assert!(name.len() >= 6, "the byte after the zero of a shorter one is anything");
        set[place(u32::from_ne_bytes(words[0]), u32::from_ne_bytes(words[1]))] = true;
        index += 1;
    }
    set
};

/// Whether a `compatible` value of `length` bytes is one string that is none of the tables', as its beginning tells. So
/// it is with most devices.
#[inline]
pub(super) fn is_foreign(words: &[Word], length: usize) -> bool {
    let [first, second, ..] = *words else { return false };
    if BEGINNINGS[place(first, second)] {
        return false;
    }
    let end = words.iter().position(|word| zeros(*word) != 0);
    end.is_some_and(|end| end * 4 + 4 >= length)
}

/// A string of the tables, by its number in both.
const fn known(index: usize) -> (&'static str, Class) {
    match index < OTHERS.len() {
        true => OTHERS[index],
        false => {
            let (name, kind) = UartKind::COMPATIBLE[index - OTHERS.len()];
            (name, Class::Console(kind))
        }
    }
}

/// A number below 64 by two letters of a string, which few strings share.
const fn letters(first: u8, sixth: u8) -> usize {
    (first as usize ^ (sixth as usize) << 1) % 64
}

/// The numbers of the strings that have such letters, as bits.
const BY_LETTERS: [u64; 64] = {
    let (mut numbers, mut index) = ([0; 64], 0);
    while index < OTHERS.len() + UartKind::COMPATIBLE.len() {
        let name = known(index).0.as_bytes();
        numbers[letters(name[0], name[5])] |= 1 << index;
        index += 1;
    }
    numbers
};

/// The class of the string that a list begins with.
fn class_at_start(list: &[u8]) -> Option<Class> {
    let [first, _, _, _, _, sixth, ..] = *list else { return None };
    let mut candidates = BY_LETTERS[letters(first, sixth)];
    while candidates != 0 {
        let (string, class) = known(candidates.trailing_zeros() as usize);
        if matches!(list.get(string.len()), None | Some(0)) && list.starts_with(string.as_bytes()) {
            return Some(class);
        }
        candidates &= candidates - 1;
    }
    None
}

/// The class of the first known string of a `compatible` value: the list goes from special to general.
pub(super) fn class_of(mut list: &[u8]) -> Option<Class> {
    loop {
        if let Some(class) = class_at_start(list) {
            return Some(class);
        }
        let end = list.iter().position(|byte| *byte == 0)?;
        list = list.get(end + 1..)?;
    }
}
