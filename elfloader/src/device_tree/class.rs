//! Which devices the boot cares about, by their `compatible` strings: the one table of them.

use shared_abi::uart::UartKind;

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

use Class::{Console, Timer};
use UartKind::{Bcm2835Aux, Cadence, Ns16550, Pl011};

/// By their bindings in the Devicetree Specification and in Linux's `Documentation/devicetree/bindings`.
const CLASSES: &[(&[u8], Class)] = &[
    (b"arm,pl011", Console(Pl011)),
    (b"arm,sbsa-uart", Console(Pl011)),
    (b"arm,psci-1.0", Class::Psci(PsciVersion::V1_0)),
    (b"arm,psci-0.2", Class::Psci(PsciVersion::V0_2)),
    (b"arm,psci", Class::Psci(PsciVersion::V0_1)),
    (b"arm,gic-v3", Class::Gic(Gic::V3)),
    (b"arm,gic-400", Class::Gic(Gic::V2)),
    (b"arm,cortex-a15-gic", Class::Gic(Gic::V2)),
    (b"arm,cortex-a9-gic", Class::Gic(Gic::V2)),
    (b"arm,cortex-a7-gic", Class::Gic(Gic::V2)),
    (b"arm,gic-v5", Class::Gic(Gic::V5)),
    (b"arm,armv8-timer", Timer),
    (b"brcm,bcm2835-aux-uart", Console(Bcm2835Aux)),
    (b"cdns,uart-r1p8", Console(Cadence)),
    (b"cdns,uart-r1p12", Console(Cadence)),
    (b"xlnx,xuartps", Console(Cadence)),
    (b"ns16550a", Console(Ns16550)),
    (b"ns16550", Console(Ns16550)),
    (b"ns16450", Console(Ns16550)),
    (b"ns16750", Console(Ns16550)),
    (b"ns16850", Console(Ns16550)),
    (b"ns8250", Console(Ns16550)),
    (b"snps,dw-apb-uart", Console(Ns16550)),
    (b"nvidia,tegra20-uart", Console(Ns16550)),
    (b"mrvl,mmp-uart", Console(Ns16550)),
    (b"intel,xscale-uart", Console(Ns16550)),
];

/// The first eight bytes of each string of the table, as numbers.
const KEYS: [u64; CLASSES.len()] = {
    let mut keys = [0; CLASSES.len()];
    let mut index = 0;
    while index < CLASSES.len() {
        let (name, _) = CLASSES[index];
        let mut at = 0;
        while at < name.len() && at < 8 {
            keys[index] |= (name[at] as u64) << (at * 8);
            at += 1;
        }
        index += 1;
    }
    keys
};

/// The class of the first known string in a `compatible` value: the list goes from special to general.
pub(super) fn class_of(compatible: &[u8]) -> Option<Class> {
    let mut rest = compatible;
    loop {
        // Most devices are none of ours: two bytes tell.
        if let [b'a', b'r', ..]
        | [b'b', b'r', ..]
        | [b'c', b'd', ..]
        | [b'i', b'n', ..]
        | [b'm', b'r', ..]
        | [b'n', b's' | b'v', ..]
        | [b's', b'n', ..]
        | [b'x', b'l', ..] = rest
            && let Some(class) = class_of_name(before_zero(rest))
        {
            return Some(class);
        }
        rest = after_zero(rest)?;
    }
}

/// The class of one string.
fn class_of_name(name: &[u8]) -> Option<Class> {
    let key = key(name);
    let known = KEYS.iter().zip(CLASSES).filter(|(known, _)| **known == key);
    known.map(|(_, class)| class).find(|(known, _)| *known == name).map(|(_, class)| *class)
}

/// The first eight bytes of a text as a number, missing ones as zeros.
fn key(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => text.iter().rev().fold(0, |key, byte| key << 8 | u64::from(*byte)),
    }
}

/// What follows the first zero byte; `None` if that is nothing.
fn after_zero(text: &[u8]) -> Option<&[u8]> {
    text.get(before_zero(text).len() + 1..).filter(|rest| !rest.is_empty())
}

/// What precedes the first zero byte, or all if there is none. Reads eight bytes at a time.
pub(super) fn before_zero(text: &[u8]) -> &[u8] {
    let (words, rest) = text.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let zeros = zeros_in(u64::from_le_bytes(*word));
        if zeros != 0 {
            return text.get(..length + (zeros.trailing_zeros() / 8) as usize).unwrap_or_default();
        }
        length += 8;
    }
    for byte in rest {
        if *byte == 0 {
            break;
        }
        length += 1;
    }
    text.get(..length).unwrap_or_default()
}

/// A word whose lowest set bit is the top bit of the lowest byte of `word` that is 0; 0 if none is.
pub(super) const fn zeros_in(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}
