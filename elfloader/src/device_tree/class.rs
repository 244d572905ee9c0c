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

/// The bit of [`BEGINNINGS`] that stands for two first bytes, and for some others.
const fn beginning(name: &[u8]) -> u64 {
    match *name {
        [first, second, ..] => 1 << ((first ^ second << 3) & 63),
        _ => 0,
    }
}

/// How the strings of the tables begin.
const BEGINNINGS: u64 = {
    let (mut set, mut index) = (0, 0);
    while index < OTHERS.len() + UartKind::COMPATIBLE.len() {
        set |= beginning(known(index).0.as_bytes());
        index += 1;
    }
    set
};

/// Whether a `compatible` value of `length` bytes is one string that is none of the tables', as its first letters tell. So
/// it is with most devices.
#[inline]
pub(super) fn is_foreign(words: &[Word], length: usize) -> bool {
    let Some(first) = words.first() else { return true };
    if BEGINNINGS & beginning(&first.to_ne_bytes()) != 0 {
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

/// The numbers of the strings that have a length, as bits.
const BY_LENGTH: [u64; 32] = {
    let (mut lengths, mut index) = ([0; 32], 0);
    while index < OTHERS.len() + UartKind::COMPATIBLE.len() {
        lengths[known(index).0.len()] |= 1 << index;
        index += 1;
    }
    lengths
};

/// The class of the first known string of a `compatible` value: the list goes from special to general.
pub(super) fn class_of(list: &[u8]) -> Option<Class> {
    list.split(|byte| *byte == 0).find_map(|name| {
        let mut candidates = BY_LENGTH.get(name.len()).copied()?;
        while candidates != 0 {
            let (string, class) = known(candidates.trailing_zeros() as usize);
            if string.as_bytes() == name {
                return Some(class);
            }
            candidates &= candidates - 1;
        }
        None
    })
}
