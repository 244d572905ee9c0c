//! Every machine of the table and every way in: the same loader boots there, and the kernel is told the truth.

use images::cli::{On, Wanted, What};
use images::machine::{MACHINES, Machine, WayIn};
use images::qemu::supply::Supply;
use images::qemu::version;
use images::verb::ready::{Ready, Wish};
use images::workspace::Workspace;
use libtest_mimic::Failed;
use shared_abi::image::BootFlags;
use shared_abi::image::header::{HEADER_PAGE, Header};

use crate::Behaviour;
use crate::early::image;
use crate::handoff::{Ended, Scratch, boot, handoff, handoff_with, number, on_newer_qemu};

/// CPU models that `virt` is tried with.
const CPUS: [&str; 6] = ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "max"];

/// RAM that `virt` is tried with, and what a report of it says, in MiB.
const MEMORIES: [(&str, u64); 4] = [("64M", 64), ("128M", 128), ("1G", 1024), ("8G", 8192)];

/// CPU models that only a newer QEMU has, or has more of.
const NEWER_CPUS: [&str; 4] = ["cortex-a710", "neoverse-v1", "neoverse-n2", "max"];

/// Rows that say which exception level they are entered at.
const LEVELS: [(&str, u64); 11] = [
    ("virt", 1),
    ("virt-el2", 2),
    ("virt-secure", 1),
    ("virt-secure-el2", 2),
    ("virt-secure-elf", 3),
    ("virt-u-boot", 1),
    ("virt-u-boot-el2", 2),
    ("raspi3b", 2),
    ("xlnx-versal-virt", 2),
    ("raspi4b", 2),
    ("imx8mp-evk", 2),
];

/// Rows where a command line gets to the kernel: handed over by QEMU, by U-Boot, in a packed tree, packed itself.
const COMMAND_LINES: [&str; 6] = ["virt", "virt-elf", "virt-odd", "virt-u-boot", "raspi3b", "raspi3b-elf"];

/// Rows where somebody hands over an initrd.
const INITRDS: [&str; 6] = ["virt", "virt-el2", "virt-u-boot", "raspi3b", "xlnx-versal-virt", "imx8mp-evk"];

const INITRD: &[u8] = &[0x5A; 12345];

pub fn all() -> Vec<Behaviour> {
    let mut list = vec![Behaviour::new("every_row_gets_the_same_loader", same_loader)];
    for machine in MACHINES {
        let name = machine.name;
        list.push(row(name, format!("our_kernel_reports_on_{name}"), move || {
            report(boot("default", &["--machine", name])?, ram(machine)).map(drop)
        }));
        list.push(row(name, format!("the_contract_holds_on_{name}"), move || {
            contract(boot("contract", &["--machine", name])?)
        }));
    }
    for machine in MACHINES {
        let name = machine.name;
        list.push(row(name, format!("an_image_that_exists_boots_on_{name}"), move || {
            let file = Scratch::new(&format!("exists-{name}.img"), &image(BootFlags::empty(), 0, "", &[])?)?;
            let ended = handoff(&["run", "--image", file.path(), "--machine", name, "--timeout", "60"])?;
            if machine.elf.is_some_and(|place| place.tree == 0) && machine.way_in == WayIn::Elf {
                return ended.expect_status(2)?.expect_words("leaves an image no device tree").map(drop);
            }
            let ended = ended.expect_status(0)?.expect_said("verdict: good")?;
            let is_silent = !ended.words.contains("error");
            ended.expect(is_silent, "success is not silent").map(drop)
        }));
    }
    for cpu in CPUS {
        list.push(Behaviour::new(format!("our_kernel_reports_with_{cpu}"), move || {
            report(boot("default", &["--cpu", cpu])?, ram(Machine::DEFAULT)).map(drop)
        }));
        list.push(Behaviour::new(format!("the_contract_holds_on_{cpu}"), move || {
            contract(boot("contract", &["--cpu", cpu])?)
        }));
    }
    for machine in MACHINES.iter().filter(|machine| machine.since == version::OLDEST) {
        let name = machine.name;
        list.push(newer(
            machine,
            format!("the_contract_holds_on_{name}_of_a_newer_qemu"),
            vec!["--machine", name],
        ));
    }
    for level in ["virt", "virt-el2"] {
        for cpu in NEWER_CPUS {
            let name = format!("the_contract_holds_on_{level}_with_{cpu}_of_a_newer_qemu");
            list.push(newer(Machine::DEFAULT, name, vec!["--machine", level, "--cpu", cpu]));
        }
    }
    for (memory, mib) in MEMORIES {
        for cpu in ["cortex-a53", "cortex-a72", "max"] {
            list.push(Behaviour::new(format!("our_kernel_reports_with_{memory}_and_{cpu}"), move || {
                frames(boot("default", &["--memory", memory, "--cpu", cpu])?, mib)
            }));
        }
    }
    for (name, level) in LEVELS {
        list.push(row(name, format!("{name}_is_entered_at_el{level}"), move || {
            let said = format!("entered at EL{level}");
            boot("hello", &["--machine", name])?.expect_status(0)?.expect_said(&said).map(drop)
        }));
    }
    for name in COMMAND_LINES {
        list.push(row(name, format!("a_command_line_reaches_the_kernel_on_{name}"), move || {
            let ended = boot("hello", &["--machine", name, "--append", "some words"])?.expect_status(0)?;
            ended.expect_said("command line \"some words\"").map(drop)
        }));
    }
    for name in INITRDS {
        list.push(row(name, format!("an_initrd_reaches_the_kernel_on_{name}"), move || {
            let file = Scratch::new(&format!("{name}.initrd"), INITRD)?;
            let ended = boot("hello", &["--machine", name, "--initrd", file.path()])?.expect_status(0)?;
            let ended = ended.expect_said(&format!("initrd of {} bytes", INITRD.len()))?;
            let range = ended.after(" bytes at ")?.split('–').next().unwrap_or_default().to_owned();
            // The region is the initrd's whole pages.
            let page = number(&range).unwrap_or(u64::MAX) & !0xFFF;
            let region = format!("  {page:#018x}–{:#018x} initrd", page + 0x4000);
            ended.expect_said(&region).map(drop)
        }));
    }
    for (name, cpus) in [("virt", "4"), ("virt-gic3", "4"), ("virt-el2", "4"), ("virt-secure-elf", "1")] {
        list.push(Behaviour::new(format!("{name}_has_as_many_cpus_as_asked_{cpus}"), move || {
            let ended = boot("hello", &["--machine", name, "--cpus", cpus])?.expect_status(0)?;
            ended.expect_said(&format!("{cpus} CPU(s)")).map(drop)
        }));
    }
    list.push(row("virt-u-boot", "u_boot_is_asked_for_by_its_flag", || {
        let ended = boot("hello", &["--machine", "virt-el2", "--firmware", "u-boot"])?.expect_status(0)?;
        // Where U-Boot puts it, and not QEMU.
        ended.expect_said("entered at EL2")?.expect_said("at 0x00000000404").map(drop)
    }));
    for (name, place) in [("virt-odd", "0x000000004a6"), ("virt-high", "0x00000013572")] {
        list.push(Behaviour::new(format!("an_image_stays_where_it_is_put_on_{name}"), move || {
            let ended = boot("hello", &["--machine", name])?.expect_status(0)?;
            ended.expect_said(&format!(" at {place}"))?.expect_said(&format!("{place}00000 ")).map(drop)
        }));
    }
    list
}

/// A behaviour of a row, which is ignored where what the machine needs is not there.
pub fn row(
    machine: &str,
    name: impl Into<String>,
    check: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Behaviour {
    let is_there = Machine::find(machine).is_ok_and(Supply::is_there);
    Behaviour { is_ignored: !is_there, ..Behaviour::new(name, check) }
}

/// The contract on the newer QEMU.
fn newer(machine: &Machine, name: String, on: Vec<&'static str>) -> Behaviour {
    let behaviour = on_newer_qemu(name, |qemu| {
        let arguments = [vec!["run", "--kernel", "contract", "--timeout", "60"], on].concat();
        contract(handoff_with(&arguments, &[("HANDOFF_QEMU", qemu)])?)
    });
    Behaviour { is_ignored: behaviour.is_ignored || !Supply::is_there(machine), ..behaviour }
}

/// The RAM that the machine states, in MiB.
fn ram(machine: &Machine) -> u64 {
    match machine.name {
        // The graphics processor keeps 64 MiB, and QEMU states no more of the Pi 4's than the first GiB.
        name if name.starts_with("raspi") => 1024 - 64,
        _ => machine.memory.bytes() >> 20,
    }
}

/// The loader's bytes are those of every other row, whatever the form.
fn same_loader() -> Result<(), Failed> {
    let mut first = None;
    for machine in MACHINES.iter().filter(|machine| Supply::is_there(machine)) {
        let what = What { kernel: Some("hello".into()), ..What::default() };
        let on = On { machine: Some(machine.name.into()), ..On::default() };
        let wanted = Wanted { what, on, ..Wanted::default() };
        let wish = Wish::new(&wanted);
        let image = Ready::new(&Workspace::here(), &wish)?.staged.image;
        let header = Header::decode(&image, shared_abi::crc32c::crc32c)?;
        let loader = image.get(HEADER_PAGE..HEADER_PAGE + header.loader_length as usize);
        let loader = loader.ok_or("the image is shorter than its loader")?.to_vec();
        if *first.get_or_insert_with(|| loader.clone()) != loader {
            return Err(format!("{} gets another loader", machine.name).into());
        }
    }
    Ok(())
}

/// The kernel has checked the contract, all of it.
pub fn contract(ended: Ended) -> Result<(), Failed> {
    let ended = ended.expect_status(0)?.expect_said(" lines hold, 0 do not")?;
    let lines = number(ended.after("contract: ")?).unwrap_or_default();
    ended.expect(lines > 700, "the kernel checked fewer lines than it has").map(drop)
}

/// The whole report, of so much RAM.
fn report(ended: Ended, mib: u64) -> Result<Ended, Failed> {
    let ended = ended.expect_status(0)?.expect_said("verdict: good")?;
    let ram = number(ended.after("RAM")?);
    ended.expect(ram == Some(mib), &format!("the RAM is not the {mib} MiB that the machine has"))
}

fn frames(ended: Ended, mib: u64) -> Result<(), Failed> {
    let ended = report(ended, mib)?;
    let frames = ended.after("frames")?;
    let free = number(frames).unwrap_or_default();
    let total = frames.split_once("of").and_then(|(_, total)| number(total)).unwrap_or_default();
    let ended = ended.expect(total == mib << 8, "the frames are not all of RAM")?;
    // 128 MiB are 32,768 frames, of which more than 31,000 are to be free.
    ended.expect(free < total && total - free < 1768, "too few or too many frames are free").map(drop)
}
