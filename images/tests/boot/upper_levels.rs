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
use shared_abi::crc32c::crc32c;
use shared_abi::image::BootFlags;

use crate::Behaviour;
use crate::entry_states::{IMAGE, STATES, behind_firmware};
use crate::handoff::Scratch;

/// SCTLR_EL2 as the loader leaves it: MMU and caches off, little-endian, ARMv8.0's RES1 bits.
const SCTLR_OFF: u64 = 0x30C5_0830;

pub fn all() -> Vec<Behaviour> {
    let states = STATES.iter().filter(|(_, _, machine)| *machine == "virt-el2");
    let behaviours = states.map(|&(name, state, machine)| {
        Behaviour::new(format!("the_levels_above_are_as_the_loader_wrote_them_after_{name}"), move || {
            let file = behind_firmware(state, BootFlags::PAUSE)?;
            let snapshot = stop(name, &file, &file[IMAGE..], machine, "max")?;
            expect(&snapshot, "SCTLR_EL2", SCTLR_OFF)
        })
    });
    behaviours.collect()
}

fn expect(snapshot: &Snapshot, name: &str, value: u64) -> Result<(), Failed> {
    match snapshot.register(name) {
        Some(found) if found == value => Ok(()),
        found => Err(format!("{name} is {found:x?}, not {value:#x}").into()),
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
        cpu: machine.cpu(Some(cpu))?.map(str::to_owned),
        memory: machine.memory(None)?,
        cpus: machine.cpus(None)?,
        image: Path::new(file.path()).to_owned(),
        initrd: None,
        append: None,
        supply: Supply::default(),
        interactive: false,
        more: Vec::new(),
    };
    let (arguments, patience) = (boot.arguments()?, Duration::from_secs(60));
    let mut machine = Machine::stop(&version::program(), &arguments, pause, patience, Arc::default())?;
    Ok(machine.snapshot(name.to_owned())?)
}
