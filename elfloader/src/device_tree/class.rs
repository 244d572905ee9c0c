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

/// The class of the first known string in a `compatible` value: the list goes from special to general.
pub(super) fn class_of(compatible: &[u8]) -> Option<Class> {
    compatible.split(|byte| *byte == 0).find_map(|name| {
        // Most devices are none of ours: two bytes tell.
        let [first, second, ..] = *name else { return None };
        if !matches!(
            (first, second),
            (b'a', b'r')
                | (b'b', b'r')
                | (b'c', b'd')
                | (b'x', b'l')
                | (b'n', b's' | b'v')
                | (b's', b'n')
                | (b'm', b'r')
                | (b'i', b'n')
        ) {
            return None;
        }
        CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
    })
}
