//! The serial ports that can be a console: where their registers are and how a byte is sent.
//!
//! Only sending is described, and only what firmware does not do: a port is found configured (speed, format), or
//! QEMU ignores both. The access itself is the caller's [`Registers`]: this file touches no hardware.

/// How a kind of port is driven.
pub(crate) struct Model {
    /// The default width of an access, in bytes.
    pub(crate) width: u32,
    /// The data register: its offset, or its number where `reg-shift` says how far registers lie apart.
    pub(crate) data: u64,
    /// The status register, likewise.
    pub(crate) status: u64,
    /// Whether `data` and `status` are numbers.
    pub(crate) spread: bool,
    /// The status bits that say whether there is room for a byte.
    pub(crate) mask: u32,
    /// What they are if there is.
    pub(crate) ready: u32,
    /// What to change before the first byte.
    pub(crate) enable: Option<Enable>,
}

/// A register whose bits are changed once to let a port send.
pub(crate) struct Enable {
    pub(crate) register: u64,
    pub(crate) clear: u32,
    pub(crate) set: u32,
}

/// A port that sends as it is found, its registers at fixed offsets of 32 bits each.
const FIXED: Model = Model { width: 4, data: 0, status: 0, spread: false, mask: 0, ready: 0, enable: None };

/// Declares the kinds, a row each: number, name, other names that `earlycon=` has for it, `compatible` strings,
/// and the model.
macro_rules! uarts {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident = $number:literal, $name:literal $(or $other:literal)*,
        compatible: [$($compatible:literal),*],
        $model:expr;
    )*) => {
        /// A kind of serial port. The numbers are ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum UartKind {
            $($(#[doc = $doc])+ $kind = $number,)*
        }

        impl UartKind {
            /// Every kind, by number.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The names of all kinds.
            pub const NAMES: &'static str = uarts!(@list $($name)*);

            /// The `compatible` strings of device-tree nodes, and the kind that each stands for.
            pub const COMPATIBLE: &'static [(&'static str, Self)] = &[$($(($compatible, Self::$kind),)*)*];

            /// The kind of an ABI number; `None` for one that this version does not know.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// The name in reports and in `earlycon=`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind that `earlycon=` means by a name: its own or one that Linux has for it.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $other)* => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// What the kind is, for documents.
            #[cfg(test)]
            const fn words(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!($($doc),+),)*
                }
            }

            pub(crate) const fn model(self) -> Model {
                match self {
                    $(Self::$kind => $model,)*
                }
            }
        }
    };
    (@list $first:literal $($rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

uarts! {
    /// Arm PL011, SBSA generic UART (Arm DDI 0183, 3.3: FR.TXFF).
    Pl011 = 1, "pl011",
    compatible: ["arm,pl011", "arm,sbsa-uart"],
    Model { status: 0x18, mask: 1 << 5, ready: 0, ..FIXED };

    /// The mini-UART in BCM2835 and its successors, from AUX + 0x40 on (BCM2835 ARM Peripherals, 2.2: LSR.TX empty).
    Bcm2835Aux = 2, "bcm2835aux",
    compatible: ["brcm,bcm2835-aux-uart"],
    Model { status: 0x14, mask: 1 << 5, ready: 1 << 5, ..FIXED };

    /// Cadence, in Zynq and Zynq UltraScale+ (Zynq UltraScale+ TRM, UART: SR.TXFULL, CR.TXEN and TXDIS).
    Cadence = 3, "cdns",
    compatible: ["cdns,uart-r1p8", "cdns,uart-r1p12", "xlnx,xuartps"],
    Model {
        data: 0x30,
        status: 0x2C,
        mask: 1 << 4,
        ready: 0,
        enable: Some(Enable { register: 0x00, clear: 1 << 5, set: 1 << 4 }),
        ..FIXED
    };

    /// 8250, 16450, 16550 and their many descendants (PC16550D data sheet: LSR.THRE).
    Ns16550 = 4, "ns16550a" or "ns16550" or "uart" or "uart8250",
    compatible: [
        "ns16550a", "ns16550", "ns16450", "ns16750", "ns16850", "ns8250", "snps,dw-apb-uart", "nvidia,tegra20-uart",
        "mrvl,mmp-uart", "intel,xscale-uart"
    ],
    Model { width: 1, status: 5, spread: true, mask: 1 << 5, ready: 1 << 5, ..FIXED };

    /// The i.MX's since the i.MX21 (i.MX 8M Plus reference manual, UART: UTS.TXFULL, UCR2.TXEN).
    Imx = 5, "imx" or "ec_imx6q" or "ec_imx21",
    compatible: ["fsl,imx6q-uart", "fsl,imx53-uart", "fsl,imx21-uart"],
    Model {
        data: 0x40,
        status: 0xB4,
        mask: 1 << 4,
        ready: 0,
        enable: Some(Enable { register: 0x84, clear: 0, set: 1 << 2 }),
        ..FIXED
    };
}

impl UartKind {
    /// How the registers are accessed where the device tree does not say.
    pub const fn default_layout(self) -> UartLayout {
        UartLayout { register_shift: 0, access_width: self.model().width }
    }

    /// Whether `reg-shift` says how far the registers lie apart; they lie at fixed offsets else.
    pub const fn has_register_shift(self) -> bool {
        self.model().spread
    }
}

/// How a port's registers lie: `reg-shift` and `reg-io-width` of its device-tree node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UartLayout {
    /// log2 of the distance between two registers, in bytes, where the kind does not fix it.
    pub register_shift: u32,
    /// Bytes of one access: 1, 2 or 4.
    pub access_width: u32,
}

/// One port's registers, by byte offset. Device memory: every call is exactly one access of the layout's width.
pub trait Registers {
    /// Reads the register at `offset`.
    fn read(&mut self, offset: u64) -> u32;
    /// Writes the register at `offset`.
    fn write(&mut self, offset: u64, value: u32);
}

/// How often a full port is asked again before the byte is given up: a dead port does not hang a boot.
const PATIENCE: u32 = 1 << 20;

/// A port that bytes can be sent to.
#[derive(Clone, Copy, Debug)]
pub struct Uart<R> {
    registers: R,
    data: u64,
    status: u64,
    mask: u32,
    ready: u32,
}

impl<R: Registers> Uart<R> {
    /// Takes the port over: lets it send, and else leaves it as it is.
    pub fn start(kind: UartKind, layout: UartLayout, mut registers: R) -> Self {
        let Model { data, status, spread, mask, ready, enable, .. } = kind.model();
        if let Some(Enable { register, clear, set }) = enable {
            let control = registers.read(register) & !clear;
            registers.write(register, control | set);
        }
        let shift = if spread { layout.register_shift & 7 } else { 0 };
        Self { registers, data: data << shift, status: status << shift, mask, ready }
    }

    /// Sends one byte, after waiting for room; dropped if the port never has any.
    pub fn send(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            if self.registers.read(self.status) & self.mask == self.ready {
                return self.registers.write(self.data, u32::from(byte));
            }
        }
    }

    /// Sends `text`, each line feed as carriage return and line feed.
    pub fn send_text(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that is busy for `busy` status reads per byte, and logs its accesses.
    struct Port {
        data: u64,
        status: u64,
        ready: u32,
        not_ready: u32,
        busy: u32,
        waited: u32,
        control_at: u64,
        control: u32,
        sent: Vec<u8>,
    }

    impl Registers for &mut Port {
        fn read(&mut self, offset: u64) -> u32 {
            if offset == self.status {
                self.waited += 1;
                return if self.waited > self.busy { self.ready } else { self.not_ready };
            }
            assert_eq!(offset, self.control_at, "the control register");
            self.control
        }

        fn write(&mut self, offset: u64, value: u32) {
            if offset == self.data {
                assert!(self.waited > self.busy, "a byte was sent to a full port");
                self.waited = 0;
                self.sent.push(value as u8);
            } else {
                assert_eq!(offset, self.control_at, "the control register");
                self.control = value;
            }
        }
    }

    fn port(data: u64, status: u64, ready: u32, not_ready: u32) -> Port {
        Port {
            data,
            status,
            ready,
            not_ready,
            busy: 3,
            waited: 0,
            control_at: 0,
            control: 0x28,
            sent: Vec::new(),
        }
    }

    #[test]
    fn every_kind_waits_for_room_and_sends_to_its_data_register() {
        let layout = UartLayout { register_shift: 2, access_width: 4 };
        let cases = [
            (UartKind::Pl011, port(0, 0x18, 0x90, 0x20)),
            (UartKind::Bcm2835Aux, port(0, 0x14, 0x60, 0x01)),
            (UartKind::Cadence, port(0x30, 0x2C, 0x08, 0x10)),
            (UartKind::Ns16550, port(0, 5 << 2, 0x60, 0x00)),
            (UartKind::Imx, Port { control_at: 0x84, ..port(0x40, 0xB4, 0x60, 0x10) }),
        ];
        assert_eq!(cases.len(), UartKind::ALL.len());
        for (kind, mut port) in cases {
            Uart::start(kind, layout, &mut port).send_text("a\nb");
            assert_eq!(port.sent, b"a\r\nb", "{kind:?}");
        }
    }

    #[test]
    fn a_transmitter_is_enabled_before_the_first_byte() {
        let mut cadence = port(0x30, 0x2C, 0x08, 0x10);
        Uart::start(UartKind::Cadence, UartKind::Cadence.default_layout(), &mut cadence);
        assert_eq!(cadence.control, 0x18);
        let mut imx = Port { control_at: 0x84, control: 1, ..port(0x40, 0xB4, 0x60, 0x10) };
        Uart::start(UartKind::Imx, UartKind::Imx.default_layout(), &mut imx);
        assert_eq!(imx.control, 5);
    }

    #[test]
    fn a_port_that_never_has_room_loses_the_byte_and_not_the_boot() {
        let mut port = port(0, 0x18, 0x90, 0x20);
        port.busy = u32::MAX;
        Uart::start(UartKind::Pl011, UartKind::Pl011.default_layout(), &mut port).send(b'x');
        assert!(port.sent.is_empty());
    }

    #[test]
    fn numbers_and_names_lead_back_to_the_kind() {
        for number in 0..8 {
            let kind = UartKind::from_number(number);
            assert_eq!(kind.is_some(), UartKind::ALL.iter().any(|kind| *kind as u32 == number));
            if let Some(kind) = kind {
                assert_eq!(kind as u32, number);
                assert_eq!(UartKind::from_name(kind.name()), Some(kind));
            }
        }
        assert_eq!(UartKind::from_name("uart8250"), Some(UartKind::Ns16550));
        assert_eq!(UartKind::NAMES, "pl011, bcm2835aux, cdns, ns16550a, imx");
    }

    #[test]
    fn the_machines_page_lists_every_kind() {
        let mut table = String::new();
        for &kind in UartKind::ALL {
            let strings = UartKind::COMPATIBLE.iter().filter(|(_, other)| *other == kind);
            let strings: Vec<_> = strings.map(|(string, _)| format!("`{string}`")).collect();
            let (number, name, words) = (kind as u32, kind.name(), kind.words().trim().trim_end_matches('.'));
            table += &format!("| {number} | `{name}` | {words} | {} |\n", strings.join(", "));
        }
        let page = include_str!("../../docs/machines.md");
        assert!(page.contains(&table), "docs/machines.md ought to say:\n{table}");
    }
}
