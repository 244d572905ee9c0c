//! The kernel library with several CPUs: all come and work at once, one that is not there is named and gone without, and a
//! fault says whose it is.

use std::process::Command;

use libtest_mimic::Failed;

use crate::Behaviour;
use crate::handoff::{Scratch, boot};

/// Rows, how many CPUs, how many of them are started, and whether they are started twice.
const ROWS: [(&str, &str, u32); 13] = [
    ("virt", "1", 0),
    ("virt", "2", 1),
    ("virt", "4", 3),
    ("virt", "8", 7),
    ("virt-gic3", "8", 7),
    ("virt-el2", "4", 3),
    ("virt-el2-gic3", "8", 7),
    ("virt-secure-elf", "4", 3),
    ("virt-numa", "3", 2),
    ("virt-u-boot", "4", 3),
    ("virt-u-boot-el2", "4", 3),
    ("raspi3b", "4", 3),
    ("raspi3b-elf", "4", 3),
];

pub fn all() -> Vec<Behaviour> {
    let rows = ROWS.map(|(machine, cpus, others)| {
        Behaviour::new(format!("every_cpu_comes_and_works_on_{machine}_with_{cpus}"), move || {
            let ended = boot("cpus", &["--machine", machine, "--cpus", cpus])?.expect_status(0)?;
            let ended = ended.expect_said(&format!("cpus: {others} of {others} came, 0 did not"))?;
            // By PSCI each is started twice; a line is nobody else's words.
            let has_psci = !machine.starts_with("raspi") && machine != "virt-secure-elf";
            let lines = if has_psci { 2 * others } else { others };
            let whole = ended.console.lines().filter(|line| {
                line.starts_with("cpu ")
                    && line
                        .ends_with("): its share is done, said in one line that nobody else's words are in")
            });
            let whole = whole.count() as u32;
            let ended = ended.expect(whole == lines, &format!("{whole} lines are whole, not {lines}"))?;
            let ended =
                ended.expect_said("cpus: loader resident: ")?.expect_said(" frames are taken back")?;
            if has_psci {
                // They came the second time with neither the loader's memory nor its tables.
                let ended = ended.expect_said("cpus: page tables: ")?;
                let is_taken = !ended.console.contains("E0951");
                let ended = ended.expect(is_taken, "the tables are not taken back")?;
                match others {
                    0 => Ok(()),
                    _ => ended.expect_said("unmapped on one, gone on another: true").map(drop),
                }
            } else {
                ended
                    .expect_said("page tables: E0951: the memory cannot be taken back: another CPU")
                    .map(drop)
            }
        })
    });
    let mut list = Vec::from(rows);
    list.push(Behaviour::new("a_fault_of_another_cpu_says_whose_it_is", || {
        let ended = boot("cpus", &["--cpus", "4", "--append", "fault"])?;
        ended.expect_said("kernel fault: ")?.expect_said("on CPU 1 (0x1)").map(drop)
    }));
    list.push(Behaviour::new("a_cpu_that_is_not_there_is_named_and_gone_without", absent));
    list
}

/// The tree is that of a machine with four CPUs, and the machine has two.
fn absent() -> Result<(), Failed> {
    let tree = Scratch::new("four-cpus.dtb", &[])?;
    let machine = format!("virt,dumpdtb={}", tree.path());
    let qemu = std::env::var("HANDOFF_QEMU")?;
    let arguments =
        ["-machine", &machine, "-cpu", "cortex-a53", "-smp", "4", "-m", "256M", "-nographic", "-nic", "none"];
    let dumped = Command::new(qemu).args(arguments).output()?;
    if !dumped.status.success() {
        return Err(format!("QEMU writes no tree: {}", String::from_utf8_lossy(&dumped.stderr)).into());
    }
    let ended =
        boot("cpus", &["--machine", "virt-odd", "--cpus", "2", "--dtb", tree.path()])?.expect_status(0)?;
    let ended = ended.expect_said("error E0965: PSCI refuses to switch CPU 0x3 on: -2")?;
    ended.expect_said("cpus: 1 of 3 came, 4 did not").map(drop)
}
