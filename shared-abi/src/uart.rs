//! The serial ports that can be a console: where their registers are and how a byte is sent.
//!
//! Only sending is described, and only what firmware does not do: a port is found configured (speed, format), or
//! QEMU ignores both. The access itself is the caller's [`Registers`]: this file touches no hardware.
//!
//! | kind | data | ready when | source |
//! | --- | --- | --- | --- |
//! | PL011 | 0x00 | FR 0x18 bit 5 (TXFF) = 0 | Arm DDI 0183, 3.3 |
//! | BCM2835 mini-UART | 0x00 | LSR 0x14 bit 5 (TX empty) = 1 | BCM2835 ARM Peripherals, 2.2 |
//! | Cadence | 0x30 | SR 0x2C bit 4 (TXFULL) = 0 | Zynq UltraScale+ TRM, UART |
//! | 16550 | 0 | LSR 5 bit 5 (THRE) = 1 | PC16550D data sheet; offsets shifted by `reg-shift` |

/// A kind of serial port. The numbers are ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum UartKind {
    /// Arm PL011, SBSA generic UART.
    Pl011 = 1,
    /// The mini-UART in BCM2835 and its successors; addresses are those of its own block (AUX + 0x40).
    Bcm2835Aux = 2,
    /// Cadence UART (Zynq, Zynq UltraScale+).
    Cadence = 3,
    /// 8250, 16450, 16550 and their many descendants.
    Ns16550 = 4,
}

impl UartKind {
    /// The kind of an ABI number; `None` for one that this version does not know.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Pl011),
            2 => Some(Self::Bcm2835Aux),
            3 => Some(Self::Cadence),
            4 => Some(Self::Ns16550),
            _ => None,
        }
    }

    /// The name in reports and in `earlycon=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pl011 => "pl011",
            Self::Bcm2835Aux => "bcm2835aux",
            Self::Cadence => "cdns",
            Self::Ns16550 => "ns16550a",
        }
    }

    /// The kind that [`Self::name`] names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pl011, Self::Bcm2835Aux, Self::Cadence, Self::Ns16550]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// How the registers are accessed where the device tree does not say.
    pub const fn default_layout(self) -> UartLayout {
        match self {
            Self::Ns16550 => UartLayout { register_shift: 0, access_width: 1 },
            _ => UartLayout { register_shift: 0, access_width: 4 },
        }
    }
}

/// How a port's registers lie: `reg-shift` and `reg-io-width` of its device-tree node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UartLayout {
    /// log2 of the distance between two 16550 registers, in bytes.
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

const CADENCE_CONTROL: u64 = 0x00;
const CADENCE_TRANSMIT_ENABLE: u32 = 1 << 4;
const CADENCE_TRANSMIT_DISABLE: u32 = 1 << 5;

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
    /// Takes the port over. Cadence's transmitter is enabled first; the others are left as they are.
    pub fn start(kind: UartKind, layout: UartLayout, mut registers: R) -> Self {
        let line_status = 5 << (layout.register_shift & 7);
        let (data, status, mask, ready) = match kind {
            UartKind::Pl011 => (0x00, 0x18, 1 << 5, 0),
            UartKind::Bcm2835Aux => (0x00, 0x14, 1 << 5, 1 << 5),
            UartKind::Cadence => {
                let control = registers.read(CADENCE_CONTROL) & !CADENCE_TRANSMIT_DISABLE;
                registers.write(CADENCE_CONTROL, control | CADENCE_TRANSMIT_ENABLE);
                (0x30, 0x2C, 1 << 4, 0)
            }
            UartKind::Ns16550 => (0x00, line_status, 1 << 5, 1 << 5),
        };
        Self { registers, data, status, mask, ready }
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
        control: u32,
        sent: Vec<u8>,
    }

    impl Registers for &mut Port {
        fn read(&mut self, offset: u64) -> u32 {
            if offset == self.status {
                self.waited += 1;
                return if self.waited > self.busy { self.ready } else { self.not_ready };
            }
            assert_eq!(offset, CADENCE_CONTROL);
            self.control
        }

        fn write(&mut self, offset: u64, value: u32) {
            if offset == self.data {
                assert!(self.waited > self.busy, "a byte was sent to a full port");
                self.waited = 0;
                self.sent.push(value as u8);
            } else {
                assert_eq!(offset, CADENCE_CONTROL);
                self.control = value;
            }
        }
    }

    fn port(data: u64, status: u64, ready: u32, not_ready: u32) -> Port {
        Port { data, status, ready, not_ready, busy: 3, waited: 0, control: 0x28, sent: Vec::new() }
    }

    #[test]
    fn every_kind_waits_for_room_and_sends_to_its_data_register() {
        let layout = UartLayout { register_shift: 2, access_width: 4 };
        let cases = [
            (UartKind::Pl011, port(0, 0x18, 0x90, 0x20)),
            (UartKind::Bcm2835Aux, port(0, 0x14, 0x60, 0x01)),
            (UartKind::Cadence, port(0x30, 0x2C, 0x08, 0x10)),
            (UartKind::Ns16550, port(0, 5 << 2, 0x60, 0x00)),
        ];
        for (kind, mut port) in cases {
            Uart::start(kind, layout, &mut port).send_text("a\nb");
            assert_eq!(port.sent, b"a\r\nb", "{kind:?}");
        }
    }

    #[test]
    fn cadence_gets_its_transmitter_enabled_before_the_first_byte() {
        let mut port = port(0x30, 0x2C, 0x08, 0x10);
        Uart::start(UartKind::Cadence, UartKind::Cadence.default_layout(), &mut port);
        assert_eq!(port.control, 0x18);
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
            assert_eq!(kind.is_some(), (1..=4).contains(&number));
            if let Some(kind) = kind {
                assert_eq!(kind as u32, number);
                assert_eq!(UartKind::from_name(kind.name()), Some(kind));
            }
        }
    }
}
