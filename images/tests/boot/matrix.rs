//! Rows of the machine table, states that firmware enters in, CPU models and both QEMUs, each with each: the kernel that
//! checks the contract boots in all of them.
//!
//! That is hundreds of boots, so the list is empty but where `scripts/deep.sh matrix` sets HANDOFF_MATRIX.

use images::machine::MACHINES;
use images::qemu::supply::Supply;
use images::qemu::version::{OLDEST, Version, is_since, newer, program};
use shared_abi::image::BootFlags;

use crate::Behaviour;
use crate::entry_states::{STATES, behind_firmware};
use crate::handoff::{Scratch, handoff_with};
use crate::machines::contract;

/// CPU models and the version that has them. a64fx is left out: it shows GIC registers that the rows' GICv2 has not,
/// which is refused with E0803 (`early.rs`).
const CPUS: [(&str, Version); 12] = [
    ("cortex-a35", OLDEST),
    ("cortex-a53", OLDEST),
    ("cortex-a57", OLDEST),
    ("cortex-a72", OLDEST),
    ("cortex-a76", OLDEST),
    ("neoverse-n1", OLDEST),
    ("max", OLDEST),
    ("cortex-a55", (9, 0)),
    ("cortex-a710", (9, 0)),
    ("neoverse-v1", (9, 0)),
    ("neoverse-n2", (9, 0)),
    ("max,sme=off,sve=off", OLDEST),
];

/// Models with physical addresses of 40 bits, which QEMU refuses where RAM goes beyond them.
const NARROW: [&str; 5] = ["cortex-a35", "cortex-a53", "cortex-a55", "cortex-a76", "cortex-a710"];

pub fn all() -> Vec<Behaviour> {
    if std::env::var_os("HANDOFF_MATRIX").is_none() {
        return Vec::new();
    }
    let qemus = [Some(program(OLDEST)), newer()].into_iter().flatten();
    qemus.enumerate().flat_map(|(index, qemu)| on(["debian", "newer"][index], &qemu)).collect()
}

/// All of it on one QEMU.
fn on(which: &str, qemu: &str) -> Vec<Behaviour> {
    let cpus: Vec<_> = CPUS.iter().filter(|(_, since)| is_since(qemu, *since)).map(|(cpu, _)| *cpu).collect();
    let rows = MACHINES.iter().filter(|machine| Supply::is_there(machine) && is_since(qemu, machine.since));
    let mut list = Vec::new();
    let mut push = |state: Option<(&'static str, u32)>, machine: &'static str, cpu: Option<&'static str>| {
        let state_name = state.map_or("firmware_of_its_own", |(name, _)| name);
        let name = format!("matrix_{which}_{machine}_{}_{state_name}", cpu.unwrap_or("own_cpus"));
        let (qemu, file) = (qemu.to_owned(), format!("{name}.img"));
        list.push(Behaviour::new(name, move || {
            let scratch = match state {
                Some((_, number)) => {
                    Some(Scratch::new(&file, &behind_firmware(number, BootFlags::empty())?)?)
                }
                None => None,
            };
            let what =
                scratch.as_ref().map_or(["--kernel", "contract"], |scratch| ["--image", scratch.path()]);
            let mut run = vec!["run", "--machine", machine, "--timeout", "60"];
            run.extend(what);
            run.extend(cpu.iter().flat_map(|cpu| ["--cpu", *cpu]));
            contract(handoff_with(&run, &[("HANDOFF_QEMU", &qemu)])?)
        }));
    };
    for machine in rows {
        match machine.cpu_fixed {
            false => cpus
                .iter()
                .filter(|cpu| machine.memory.bytes() < 1 << 40 || !NARROW.contains(cpu))
                .for_each(|cpu| push(None, machine.name, Some(*cpu))),
            true => push(None, machine.name, None),
        }
    }
    for (state, number, machine) in STATES {
        cpus.iter().for_each(|cpu| push(Some((state, number)), machine, Some(*cpu)));
    }
    list
}
