//! Kernels that boot and say what they were handed, on machines of several kinds.

use libtest_mimic::Failed;

use crate::Behaviour;
use crate::handoff::{Ended, boot, number};

/// RAM, and what a report of it says.
const MEMORIES: [(&str, u64); 3] = [("128M", 128), ("1G", 1024), ("8G", 8192)];

const CPUS: [&str; 3] = ["cortex-a53", "cortex-a72", "max"];

/// Machines besides the default that need nothing but QEMU itself.
const MACHINES: [&str; 8] = [
    "virt-gic3",
    "virt-el2",
    "virt-secure",
    "virt-secure-elf",
    "virt-elf",
    "virt-odd",
    "virt-numa",
    "xlnx-versal-virt",
];

pub fn all() -> Vec<Behaviour> {
    let mut list = vec![
        Behaviour::new("a_second_kernel_boots_behind_the_same_loader", || {
            let ended = boot("hello", &["--append", "some words"])?.expect_status(0)?;
            ended.expect_said("hello from 0xffff")?.expect_said("command line \"some words\"").map(drop)
        }),
        Behaviour::new("every_frame_is_handed_out_once_and_is_free", || {
            let ended = boot("frames", &["--memory", "128M"])?.expect_status(0)?;
            ended.expect_said("taken, written, found and given back").map(drop)
        }),
        Behaviour::new("the_heap_keeps_every_byte", || {
            boot("heap", &[])?.expect_status(0)?.expect_said("every byte as it was left").map(drop)
        }),
    ];
    list.push(Behaviour::new("memory_appears_where_its_fault_is_resolved", || {
        boot("demand", &[])?.expect_status(0)?.expect_said("256 pages were mapped by 256 faults").map(drop)
    }));
    for word in ["outside", "execute", "nested"] {
        list.push(Behaviour::new(
            format!("a_fault_that_no_hook_may_resolve_ends_the_machine_{word}"),
            move || {
                boot("demand", &["--append", word])?.expect_status(103)?.expect_said("kernel fault").map(drop)
            },
        ));
    }
    // A CPU that knows nothing but the first version of the architecture, and one with PAN and E0PD.
    for (cpu, kind) in [("cortex-a53", "Permission"), ("max", "Translation")] {
        list.push(Behaviour::new(format!("user_spaces_and_the_kernel_are_apart_on_{cpu}"), move || {
            let ended = boot("separation", &["--cpu", cpu])?.expect_status(0)?;
            ended
                .expect_said("is 0xaaaa0000000003e8 in one space and 0xbbbb0000000007d0 in the other")?
                .expect_said(&format!("6 places of the kernel are out of reach, {kind} faults"))?
                .expect_said("neither reaches the other's page")?
                .expect_said("protected, taken, and given anew: each time seen")?
                .expect_said("without a space the low half is empty")?
                .expect_said("300 spaces shared 255 ASIDs and kept their words")?
                .expect_said("302 spaces destroyed, every frame is back")
                .map(drop)
        }));
    }
    for (memory, mib) in MEMORIES {
        for cpu in CPUS {
            list.push(Behaviour::new(format!("the_report_is_right_with_{memory}_and_{cpu}"), move || {
                report(boot("default", &["--memory", memory, "--cpu", cpu])?, mib)
            }));
        }
    }
    for cpu in CPUS {
        list.push(Behaviour::new(format!("the_contract_holds_on_{cpu}"), move || {
            contract(boot("contract", &["--cpu", cpu])?)
        }));
    }
    for machine in MACHINES {
        list.push(Behaviour::new(format!("the_contract_holds_on_{machine}"), move || {
            contract(boot("contract", &["--machine", machine])?)
        }));
    }
    list
}

fn contract(ended: Ended) -> Result<(), Failed> {
    let ended = ended.expect_status(0)?.expect_said(" lines hold, 0 do not")?;
    let lines = number(ended.after("contract: ")?).unwrap_or_default();
    ended.expect(lines > 700, "the kernel checked fewer lines than it has").map(drop)
}

fn report(ended: Ended, mib: u64) -> Result<(), Failed> {
    let ended = ended.expect_status(0)?.expect_said("verdict: good")?;
    let ram = number(ended.after("RAM")?);
    let ended = ended.expect(ram == Some(mib), "the RAM is not what QEMU was given")?;
    let frames = ended.after("frames")?;
    let free = number(frames).unwrap_or_default();
    let total = frames.split_once("of").and_then(|(_, total)| number(total)).unwrap_or_default();
    let ended = ended.expect(total == mib << 8, "the frames are not all of RAM")?;
    // 128 MiB are 32,768 frames, of which more than 31,000 are to be free.
    ended.expect(free < total && total - free < 1768, "too few or too many frames are free").map(drop)
}
