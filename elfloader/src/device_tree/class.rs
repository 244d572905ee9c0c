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

/// How many strings of the table begin with `a`, which are its first.
const ARM: usize = {
    let mut count = 0;
    while count < CLASSES.len() && CLASSES[count].0[0] == b'a' {
        count += 1;
    }
    let mut index = count;
    while index < CLASSES.len() {
        assert!(CLASSES[index].0[0] != b'a', "the table's first strings are all that begin with a");
        index += 1;
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

/// Whether a string of the table begins with these bytes.
const fn may_be_known(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (b'a', b'r')
            | (b'b', b'r')
            | (b'c', b'd')
            | (b'i', b'n')
            | (b'm', b'r')
            | (b'n', b's' | b'v')
            | (b's', b'n')
            | (b'x', b'l')
    )
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
