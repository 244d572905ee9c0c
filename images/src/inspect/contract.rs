//! The entry state against the contract, line by line.

use shared_abi::contract::registers::{DAIF, EntryRegisters, PhysicalSize};

use super::snapshot::Snapshot;

/// One line of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub what: String,
    /// What the contract says.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
}

/// What of the entry state cannot be known without `BootInfo`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced {
    /// The kernel's entry point.
    pub entry: Option<u64>,
    /// The boot stack's top.
    pub stack_top: Option<u64>,
}

/// Mode and execution state of PSTATE as GDB shows it: EL1h (Arm ARM C5.2.19, SPSR's M field).
const EL1H: u64 = 0b0101;

/// Every line.
pub fn lines(snapshot: &Snapshot, announced: Announced) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |what: &str, expected: String, found: Option<String>| {
        let found = found.unwrap_or_else(|| "not read".into());
        lines.push(Line { what: what.to_owned(), holds: expected == found, expected, found });
    };
    let hex = |value: u64| format!("{value:#018x}");
    let register = |name: &str| snapshot.register(name);

    if let Some(entry) = announced.entry {
        line("PC", hex(entry), register("pc").map(hex));
    }
    if let Some(top) = announced.stack_top {
        line("SP", hex(top), register("sp").map(hex));
    }
    let aligned = register("sp").map(|sp| if sp % 16 == 0 { "aligned" } else { "unaligned" }.to_owned());
    line("SP mod 16", "aligned".into(), aligned);
    let others: Vec<_> = (1..=30).filter(|number| register(&format!("x{number}")) != Some(0)).collect();
    let found = match &others[..] {
        [] => "all 0".to_owned(),
        list => format!("x{} = {}", list[0], register(&format!("x{}", list[0])).map_or("?".into(), hex)),
    };
    line("x1–x30", "all 0".into(), Some(found));
    let mode = |pstate: u64| match pstate & 0x1F {
        EL1H => "EL1h".to_owned(),
        other => format!("mode {other:#x}"),
    };
    line("exception level", "EL1h".into(), register("cpsr").map(mode));
    line("DAIF", hex(DAIF), register("cpsr").map(|pstate| hex(pstate & DAIF)));
    let size = PhysicalSize::from_id(register("ID_AA64MMFR0_EL1").unwrap_or_default());
    for (described, expected) in EntryRegisters::ABI_1.with_physical_size(size).each() {
        let found = register(described.name);
        line(described.name, hex(expected), found.map(hex));
        // A value that differs is said field by field as well.
        for difference in found.into_iter().flat_map(|found| described.differences(expected, found)) {
            let name = format!("  {}.{}", difference.register, difference.field);
            line(&name, format!("{:#x}", difference.expected), Some(format!("{:#x}", difference.found)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use shared_abi::contract::pstate;

    use super::*;

    fn good() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut set = |name: &str, value| snapshot.registers.insert(name.to_owned(), value);
        for (register, value) in EntryRegisters::ABI_1.with_physical_size(PhysicalSize::from_id(2)).each() {
            set(register.name, value);
        }
        for number in 1..=30 {
            set(&format!("x{number}"), 0);
        }
        set("ID_AA64MMFR0_EL1", 2);
        set("sp", 0xFFFF_0080_0200_0000);
        set("pc", 0xFFFF_0000_0000_0000);
        set("cpsr", pstate::EL1H_MASKED);
        snapshot
    }

    #[test]
    fn a_state_as_the_contract_has_it_holds_in_every_line() {
        let announced =
            Announced { entry: Some(0xFFFF_0000_0000_0000), stack_top: Some(0xFFFF_0080_0200_0000) };
        let lines = lines(&good(), announced);
        assert!(lines.len() > 15);
        assert!(lines.iter().all(|line| line.holds), "{lines:#?}");
    }

    #[test]
    fn each_thing_that_differs_is_named() {
        let broken = |name: &str, value: u64| {
            let mut snapshot = good();
            snapshot.registers.insert(name.to_owned(), value);
            let wrong = lines(&snapshot, Announced::default()).into_iter().filter(|line| !line.holds);
            wrong.map(|line| line.what).collect::<Vec<_>>()
        };
        assert_eq!(broken("x7", 1), ["x1–x30"]);
        assert_eq!(broken("sp", 8), ["SP mod 16"]);
        assert_eq!(broken("cpsr", pstate::EL2H_MASKED), ["exception level"]);
        assert_eq!(broken("cpsr", 0x345), ["DAIF"]);
        assert_eq!(broken("TPIDR_EL1", 1)[0], "TPIDR_EL1");
        let sctlr = EntryRegisters::ABI_1.sctlr_el1;
        assert_eq!(broken("SCTLR_EL1", sctlr ^ 1 << 19), ["SCTLR_EL1", "  SCTLR_EL1.WXN"]);
        let missing = lines(&Snapshot::default(), Announced::default());
        assert!(missing.iter().all(|line| !line.holds));
    }
}
