//! A later moment in words: the same sections for the terminal and for the page.

use serde_json::{Value, json};
use shared_abi::contract::registers::{EntryRegisters, Register};

use super::moment::{Cpu, Fault, Moment};
use super::snapshot::Snapshot;

/// A heading, and the lines under it.
pub type Section = (String, Vec<String>);

/// The heading of the registers that rule translation and exceptions.
pub const REGISTERS: &str = "System registers";

/// Every section.
pub fn sections(snapshot: &Snapshot, moment: &Moment) -> Vec<Section> {
    let mut sections = Vec::new();
    if let Some(fault) = &moment.fault {
        let help = format!("help: {}", fault.help);
        sections.push(("Fault".into(), fault_lines(fault).into_iter().chain([help]).collect()));
    }
    for cpu in &moment.cpus {
        sections.push((format!("CPU {}: {}", cpu.number, cpu.state), cpu_lines(cpu)));
    }
    sections.push((REGISTERS.into(), control(snapshot)));
    let changes = match &moment.changes[..] {
        [] => vec!["nothing".into()],
        changes => changes.to_vec(),
    };
    sections.push(("What differs from the kernel's first instruction".into(), changes));
    sections
}

fn fault_lines(fault: &Fault) -> [String; 2] {
    let what = match fault.address {
        Some(address) => format!("address {address:#018x}: {}", fault.what),
        None => fault.what.clone(),
    };
    [format!("{}; ESR_EL1 {:#x}", fault.words, fault.syndrome), what]
}

/// How a boot failed, for one who has seen its console: what happened, and where each CPU is.
pub fn brief(moment: &Moment) -> Vec<String> {
    let mut lines: Vec<String> = moment.fault.iter().flat_map(fault_lines).collect();
    // One that was never started has nothing to show.
    for cpu in moment.cpus.iter().filter(|cpu| !cpu.frames.is_empty()) {
        lines.push(format!("CPU {}: {}", cpu.number, cpu.state));
        lines.extend(cpu.backtrace());
    }
    lines
}

fn cpu_lines(cpu: &Cpu) -> Vec<String> {
    if cpu.frames.is_empty() {
        return Vec::new();
    }
    let mut lines = cpu.backtrace();
    if !cpu.code.is_empty() {
        lines.push(String::new());
        lines.extend(cpu.code.iter().cloned());
    }
    lines.push(String::new());
    let names: Vec<String> =
        (0..31).map(|number| format!("x{number}")).chain(["sp", "pc", "cpsr"].map(str::to_owned)).collect();
    for names in names.chunks(4) {
        let shown =
            names.iter().filter_map(|name| Some(format!("{name:4} {:016x}", cpu.registers.get(name)?)));
        let line = shown.collect::<Vec<_>>().join("  ");
        lines.extend(Some(line).filter(|line| !line.is_empty()));
    }
    lines
}

/// The registers that rule translation and exceptions, those of fields with each field that is not 0.
fn control(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1", "ESR_EL1", "ELR_EL1", "FAR_EL1", "SPSR_EL1"] {
        lines.extend(snapshot.register(name).map(|value| format!("{name:11} {value:#018x}")));
    }
    for (register, _) in EntryRegisters::ABI_1.each() {
        let Some(value) = snapshot.register(register.name).filter(|_| register.fields.len() > 1) else {
            continue;
        };
        lines.push(
            format!("{:11} {value:#018x}  {}", register.name, fields(register, value)).trim_end().to_owned(),
        );
    }
    lines
}

/// `M, C, SA, T0SZ = 0x10`: what of a register is not 0.
fn fields(register: Register, value: u64) -> String {
    let set = register.fields.iter().filter(|field| field.of(value) != 0);
    let words = set.map(|field| match field.width {
        1 => field.name.to_owned(),
        _ => format!("{} = {:#x}", field.name, field.of(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The moment as JSON; addresses are hexadecimal strings.
pub fn json(moment: &Moment) -> Value {
    let hex = |value: u64| format!("{value:#x}");
    json!({
        "when": moment.when,
        "boot_info": hex(moment.boot_info),
        "fault": moment.fault.as_ref().map(|fault| json!({
            "syndrome": hex(fault.syndrome),
            "words": fault.words,
            "address": fault.address.map(hex),
            "what": fault.what,
            "help": fault.help,
        })),
        "cpus": moment.cpus.iter().map(|cpu| json!({
            "number": cpu.number,
            "state": cpu.state,
            "registers": cpu.registers.iter().map(|(name, value)| (name, hex(*value))).collect::<std::collections::BTreeMap<_, _>>(),
            "frames": cpu.frames.iter().map(|frame| json!({
                "at": hex(frame.at),
                "places": frame.places.iter().map(|place| json!({
                    "function": place.function,
                    "file": place.line.as_ref().map(|(file, _)| file),
                    "line": place.line.as_ref().map(|(_, line)| line),
                    "inlined": place.inlined,
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "code": cpu.code,
        })).collect::<Vec<_>>(),
        "changes": moment.changes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_s_fields_are_named_with_their_values() {
        let (register, value) = EntryRegisters::ABI_1.each()[2];
        assert_eq!(fields(register, value), "Attr0 = 0xff, Attr1 = 0x4, Attr2 = 0x44");
        assert_eq!(fields(register, 0), "");
    }
}
