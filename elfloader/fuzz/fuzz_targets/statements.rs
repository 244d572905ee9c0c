//! Trees that state what the boot reads, in every combination: bytes choose nodes, properties and values.

use crate::tree_builder::Tree;

/// What a value is made as.
enum Value {
    /// Pairs of address and size in the parent's cells.
    Ranges,
    /// One cell or two.
    Number,
    /// One of these strings, or bytes that are none.
    Text(&'static [&'static str]),
    Flag,
}
use Value::{Flag, Number, Ranges, Text};

/// A node: its names, its properties, what may be below it.
struct Shape {
    names: &'static [&'static str],
    states: &'static [(&'static str, Value)],
    below: &'static [&'static Shape],
}

const STATUS: (&str, Value) = ("status", Text(&["okay", "ok", "disabled", "reserved", "fail", "fail-sss"]));
const NUMA: (&str, Value) = ("numa-node-id", Number);
const ADDRESS_CELLS: (&str, Value) = ("#address-cells", Number);
const SIZE_CELLS: (&str, Value) = ("#size-cells", Number);
const SEED: Value = Text(&["seed", "another seed of thirty-two bytes"]);

const MEMORY: Shape = Shape {
    names: &["memory@40000000", "memory", "ram@80000000", "memory@0"],
    states: &[
        ("device_type", Text(&["memory", "memory", "pmem", "cpu"])),
        ("compatible", Text(&["pmem-region", "vendor,sram"])),
        ("reg", Ranges),
        ("linux,usable-memory", Ranges),
        ("hotpluggable", Flag),
        NUMA,
        STATUS,
    ],
    below: &[],
};
const CHOSEN: Shape = Shape {
    names: &["chosen", "chosen@0"],
    states: &[
        ("linux,usable-memory-range", Ranges),
        ("linux,elfcorehdr", Ranges),
        ("linux,ima-kexec-buffer", Ranges),
        ("bootargs", Text(&["log=debug", "", "nokaslr"])),
        ("stdout-path", Text(&["serial0:115200n8", "/soc/serial@0", "", "serial0", "/serial@0:9600"])),
        ("linux,stdout-path", Text(&["/soc/serial@0", "serial1"])),
        ("linux,initrd-start", Number),
        ("linux,initrd-end", Number),
        ("rng-seed", SEED),
        ("kaslr-seed", Number),
        STATUS,
    ],
    below: &[],
};
const RESERVED: Shape = Shape {
    names: &["pool", "linux,cma", "framebuffer@80000000", "tz@0", "ramoops"],
    states: &[
        ("reg", Ranges),
        ("size", Number),
        ("alignment", Number),
        ("alloc-ranges", Ranges),
        ("no-map", Flag),
        ("reusable", Flag),
        ("compatible", Text(&["shared-dma-pool", "ramoops"])),
        STATUS,
    ],
    below: &[],
};
const RESERVED_MEMORY: Shape = Shape {
    names: &["reserved-memory"],
    states: &[ADDRESS_CELLS, SIZE_CELLS, ("ranges", Ranges), STATUS],
    below: &[&RESERVED],
};
const CPU: Shape = Shape {
    names: &["cpu@0", "cpu@1", "cpu", "cpu-map", "idle-states"],
    states: &[
        ("reg", Number),
        ("enable-method", Text(&["psci", "spin-table", "vendor,smp"])),
        ("cpu-release-addr", Number),
        NUMA,
        STATUS,
    ],
    below: &[],
};
const CPUS: Shape = Shape { names: &["cpus"], states: &[ADDRESS_CELLS, SIZE_CELLS, STATUS], below: &[&CPU] };
const SERIAL: Shape = Shape {
    names: &["serial@0", "serial", "uart@9000000"],
    states: &[
        (
            "compatible",
            Text(&["arm,pl011", "ns16550a", "snps,dw-apb-uart", "vendor,uart", "brcm,bcm2835-aux-uart"]),
        ),
        ("reg", Ranges),
        ("reg-shift", Number),
        ("reg-io-width", Number),
        ("reg-offset", Number),
        ("clock-frequency", Number),
        STATUS,
    ],
    below: &[],
};
const POWER: Shape = Shape {
    names: &["psci"],
    states: &[
        ("compatible", Text(&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"])),
        ("method", Text(&["hvc", "smc", "svc"])),
        STATUS,
    ],
    below: &[],
};
const TIMER: Shape = Shape {
    names: &["timer"],
    states: &[("compatible", Text(&["arm,armv8-timer"])), ("clock-frequency", Number), STATUS],
    below: &[],
};
const BUS: Shape = Shape {
    names: &["soc", "bus@0", "memory-controller@0"],
    states: &[ADDRESS_CELLS, SIZE_CELLS, ("ranges", Ranges), ("compatible", Text(&["simple-bus"])), STATUS],
    below: &[&SERIAL, &POWER, &TIMER],
};
const ALIASES: Shape = Shape {
    names: &["aliases"],
    states: &[
        ("serial0", Text(&["/soc/serial@0", "/serial@0", "serial0", ""])),
        ("serial1", Text(&["/bus@0/serial@0:115200"])),
    ],
    below: &[],
};
const ROOT: Shape = Shape {
    names: &[""],
    states: &[ADDRESS_CELLS, SIZE_CELLS, ("model", Text(&["A board", "", "Two\nlines"]))],
    below: &[
        &MEMORY,
        &CHOSEN,
        &RESERVED_MEMORY,
        &MEMORY,
        &CPUS,
        &BUS,
        &RESERVED_MEMORY,
        &SERIAL,
        &POWER,
        &ALIASES,
        &TIMER,
    ],
};

/// Bytes to be taken apart; zeros when they have run out.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.next()) % of.len()]
    }

    /// Addresses and sizes that decide something: whole pages, near them, the ends of what can be named.
    fn number(&mut self) -> u64 {
        let (kind, of) = (self.next(), u64::from(self.next()));
        match kind % 8 {
            0 => of,
            1 => of << 12,
            2 => of << 20,
            3 => 0x4000_0000 + (of << 24),
            4 => (1 << 48) - (of << 12),
            5 => (of << 56).wrapping_neg() | of << 12,
            6 => 1 << (of & 63),
            _ => of << 12 | u64::from(self.next()),
        }
    }
}

/// The tree that these bytes choose.
pub fn tree(choices: &[u8]) -> Vec<u8> {
    let mut choices = Choices(choices);
    let mut reservations = Vec::new();
    for _ in 0..choices.next() % 4 {
        reservations.extend([choices.number(), choices.number()]);
    }
    let mut tree = node(Tree { reservations, ..Tree::default() }, &ROOT, (2, 1), &mut choices).word(9);
    // Tokens that mean nothing may stand anywhere between others; here behind the first.
    if choices.next() == 1 {
        tree.structure.splice(8..8, [0, 0, 0, 4]);
    }
    tree.raw()
}

fn node(tree: Tree, shape: &Shape, above: (usize, usize), choices: &mut Choices<'_>) -> Tree {
    let mut tree = tree.begin(choices.one_of(shape.names));
    let mut cells = (2, 1);
    let stated = u16::from_le_bytes([choices.next(), choices.next()]);
    for (index, (name, value)) in
        shape.states.iter().enumerate().filter(|(index, _)| stated >> index & 1 != 0)
    {
        let mut bytes = Vec::new();
        match (*name, value) {
            ("#address-cells", _) => {
                cells.0 = choices.one_of(&[2, 1, 2, 1, 0, 3]);
                bytes.extend((cells.0 as u32).to_be_bytes());
            }
            ("#size-cells", _) => {
                cells.1 = choices.one_of(&[2, 1, 1, 2, 0, 3]);
                bytes.extend((cells.1 as u32).to_be_bytes());
            }
            (name, Ranges) => {
                let wide = if name == "ranges" { [cells.0, above.0, cells.1] } else { [0, above.0, above.1] };
                for _ in 0..choices.next() % 4 {
                    for cells in wide {
                        let number = u128::from(choices.number()).to_be_bytes();
                        bytes.extend(&number[16 - cells * 4..]);
                    }
                }
            }
            (_, Number) => match choices.number() {
                number if stated >> 12 & 1 == 0 => bytes.extend((number as u32).to_be_bytes()),
                number => bytes.extend(number.to_be_bytes()),
            },
            (_, Text(texts)) => {
                bytes.extend(choices.one_of(texts).as_bytes());
                bytes.push(0);
            }
            (_, Flag) => {}
        }
        // Some are damaged: too short, or one byte of them is another.
        if stated >> 13 & 7 == 7 {
            bytes.truncate(usize::from(choices.next()));
            let at = usize::from(choices.next());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = choices.next();
            }
        }
        tree = tree.bytes(name, &bytes);
        // Of two that have one name, the first counts.
        if stated >> 13 & 7 == index as u16 {
            tree = tree.bytes(name, &[0, 0, 0, 1]);
        }
    }
    if shape.below.is_empty() {
        return tree.end();
    }
    while let more @ 1.. = choices.next() {
        tree = node(tree, shape.below[usize::from(more) % shape.below.len()], cells, choices);
    }
    tree.end()
}
