//! EL2's and EL3's registers, read from outside: the kernel that is entered below cannot ask for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use images::inspect::capture::{self, Machine};
use images::inspect::snapshot::Snapshot;
use images::machine;
use images::qemu::command::Boot;
use images::qemu::supply::Supply;
use images::qemu::version;
use libtest_mimic::Failed;
use shared_abi::contract::features::{Control, FEATURES, Id, Level, value};
use shared_abi::crc32c::crc32c;
use shared_abi::image::BootFlags;

use crate::Behaviour;
use crate::entry_states::{IMAGE, STATES, behind_firmware, image};
use crate::handoff::Scratch;

/// SCTLR_EL2 as the loader leaves it: MMU and caches off, little-endian, ARMv8.0's RES1 bits.
const SCTLR_OFF: u64 = 0x30C5_0830;

/// Rows that are entered above EL1, with CPUs old and new.
const ROWS: [(&str, &str); 6] = [
    ("virt-el2", "cortex-a53"),
    ("virt-el2", "cortex-a76"),
    ("virt-el2-gic3", "max"),
    ("virt-secure-el2", "cortex-a53"),
    ("virt-secure-el2", "max"),
    ("virt-el2-gic3", "neoverse-n1"),
];

pub fn all() -> Vec<Behaviour> {
    let states = STATES.iter().filter(|(_, _, machine)| *machine == "virt-el2");
    let after = states.map(|&(name, state, machine)| {
        Behaviour::new(format!("the_levels_above_are_as_the_table_says_after_{name}"), move || {
            let file = behind_firmware(state, BootFlags::PAUSE)?;
            compare(&stop(name, &file, &file[IMAGE..], machine, "max")?)
        })
    });
    let rows = ROWS.map(|(machine, cpu)| {
        Behaviour::new(format!("the_levels_above_are_as_the_table_says_on_{machine}_with_{cpu}"), move || {
            let image = image(BootFlags::PAUSE)?;
            compare(&stop(machine, &image, &image, machine, cpu)?)
        })
    });
    after.chain(rows).collect()
}

/// Holds each register of EL2 that the debugger's port shows against the table, but for bits that depend on something
/// that it does not show.
fn compare(snapshot: &Snapshot) -> Result<(), Failed> {
    // QEMU 7.2 calls registers so that it knows as numbers only.
    let reserved = |id: Id| snapshot.register(&format!("{}_RESERVED", id.name()));
    let known = |id: Id| match id {
        Id::NONE | Id::E2H => Some(0),
        id => snapshot.register(id.name()).or_else(|| reserved(id)),
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    let mut expect = |name: &str, found: u64, expected: u64, sure: u64| {
        compared += 1;
        if (found ^ expected) & sure != 0 {
            wrong.push(format!("{name} is {found:#x}, not {expected:#x} in {sure:#x}"));
        }
    };
    let sctlr = snapshot.register("SCTLR_EL2").ok_or("there is no EL2")?;
    expect("SCTLR_EL2", sctlr, SCTLR_OFF, u64::MAX);
    for &control in Control::ALL.iter().filter(|control| control.level() == Level::El2) {
        let Some(found) = snapshot.register(control.name()) else { continue };
        let mut unsure = match control {
            // HPMN is PMCR_EL0.N. ISTATUS is unknown while the timer is off.
            Control::MDCR_EL2 => 0x1F,
            Control::CNTHP_CTL_EL2 | Control::CNTHV_CTL_EL2 => 4,
            _ => 0,
        };
        let base = control.base().iter().map(|(condition, bits)| (condition.id, *bits));
        let features = FEATURES.iter().flat_map(|feature| {
            let bits = feature.controls.iter().filter(|bits| bits.control == control);
            bits.flat_map(|bits| feature.shown.iter().map(|condition| (condition.id, bits.bits)))
        });
        unsure |=
            base.chain(features).filter(|(id, _)| known(*id).is_none()).fold(0, |all, (_, bits)| all | bits);
        let exists = control.exists();
        if known(exists.id).is_none_or(|id| exists.holds(id)) {
            let value = value(control, |id| match known(id) {
                None if id == exists.id => u64::from(exists.least) << exists.low,
                known => known.unwrap_or_default(),
            });
            expect(control.name(), found, value.unwrap_or_default(), !unsure);
        }
    }
    match (wrong.is_empty(), compared) {
        (true, 10..) => Ok(()),
        (true, _) => Err(format!("only {compared} registers could be compared").into()),
        (false, _) => Err(wrong.join("\n").into()),
    }
}

/// Boots `file`, in which `image` is the combined image, up to the kernel's first instruction.
fn stop(name: &str, file: &[u8], image: &[u8], machine: &str, cpu: &str) -> Result<Snapshot, Failed> {
    let (header, _) = shared_abi::image::open(image, crc32c).map_err(|error| error.to_string())?;
    let pause = capture::pause_address(image, &header)?;
    let file = Scratch::new(&format!("{name}-{cpu}.img"), file)?;
    let machine = machine::Machine::find(machine)?;
    let boot = Boot {
        machine,
        way_in: machine.way_in,
        cpu: machine.cpu(Some(cpu))?.to_owned(),
        memory: machine.memory(None)?,
        cpus: machine.cpus(None)?,
        image: Path::new(file.path()).to_owned(),
        initrd: None,
        append: None,
        supply: Supply::default(),
        option: None,
        interactive: false,
        more: Vec::new(),
    };
    let (arguments, patience) = (boot.arguments()?, Duration::from_secs(60));
    let mut machine =
        Machine::stop(&version::program(version::OLDEST), &arguments, pause, patience, Arc::default())?;
    Ok(machine.snapshot(name.to_owned())?)
}
