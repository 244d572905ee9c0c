//! Kernels that boot behind the same loader, one behaviour each.

use images::machine::Machine;
use images::qemu::supply::Supply;
use serde_json::Value;

use crate::Behaviour;
use crate::handoff::{Scratch, boot, handoff, handoff_with, on_newer_qemu};

/// What our kernel reaches one after the other: a line of its report each.
const MILESTONES: [(&str, &str); 8] = [
    ("address types", "no address without a meaning, no sum past an end"),
    ("frames", "4 KiB, 2 MiB, 700 in a row; wrong frees refused, the sum right"),
    ("page tables", "1 GiB, 2 MiB and 4 KiB for one range, and all of it gone"),
    ("TTBR0, TTBR1", "the kernel above, nothing below"),
    ("MMU on", "EL1, every register as the contract has it, every extent with its rights"),
    ("heap", "Box, Vec, String, BTreeMap in "),
    ("walks", "own walker as the hardware's at "),
    ("spaces", "two words at one address, the kernel's out of reach, all frames back"),
];

/// Rows with several CPUs, how many of them, and how many starts there are: by PSCI each other CPU is started twice.
const SECONDARIES: [(&str, &str, usize); 15] = [
    ("virt", "1", 0),
    ("virt", "2", 2),
    ("virt", "4", 6),
    ("virt", "8", 14),
    ("virt-gic3", "8", 14),
    ("virt-el2", "2", 2),
    ("virt-el2", "8", 14),
    ("virt-el2-gic3", "8", 14),
    ("virt-secure-el2", "4", 6),
    ("virt-secure-elf", "8", 7),
    ("virt-numa", "3", 4),
    ("virt-u-boot", "4", 6),
    ("virt-u-boot-el2", "4", 6),
    ("raspi3b", "", 3),
    ("raspi3b-elf", "", 3),
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
        // Small RAM, so that the workloads come to its end.
        Behaviour::new("the_workloads_of_the_host_hold_on_the_machine", || {
            let ended = boot("workloads", &["--memory", "128M", "--append", "20000"])?.expect_status(0)?;
            ended
                .expect_said("frames: 20000 steps: ")?
                .expect_said("spaces: 20000 steps: ")?
                .expect_said("heap: 20000 steps: ")?
                .expect_said("again after small blocks had been everywhere")?
                .expect_said(" frames free, as before")
                .map(drop)
        }),
    ];
    list.push(Behaviour::new("memory_functions_do_what_bytes_one_by_one_would", || {
        boot("memory_functions", &[])?.expect_status(0)?.expect_said("20400 pieces moved").map(drop)
    }));
    list.push(Behaviour::new("what_a_kernel_feels_of_its_memory_is_counted", || {
        let ended = boot("costs", &[])?.expect_status(0)?;
        ended.expect_said("page of a user space: mapped")?.expect_said("EL0 and back by a call").map(drop)
    }));
    // Firmware that moves itself to the end of RAM, and one that was there above the loader, leave it alone as well.
    for machine in ["virt", "virt-el2", "virt-u-boot", "xlnx-versal-virt"] {
        let is_there = Machine::find(machine).is_ok_and(Supply::is_there);
        let behaviour = Behaviour::new(
            format!("a_flight_recorder_survives_a_reset_on_{machine}"),
            move || {
                let ended = boot("recorder", &["--machine", machine])?.expect_status(0)?;
                let ended = ended
                    .expect_said("boot 1 left 511 entries in its recorder; last words: \"a text that")?;
                let ended = ended.expect_words(
                    "Flight recorder of the boot before, boot 1: 511 entries\n… 501 older lines",
                )?;
                ended.expect_words("  CPU 0x0  last words: \"a text that is longer than one entry has room for, so that it goes on\"")
                .map(drop)
            },
        );
        list.push(Behaviour { is_ignored: !is_there, ..behaviour });
    }
    list.push(Behaviour::new("what_a_failed_kernel_noted_is_said_beside_the_boot_before_s", || {
        let ended = boot("recorder", &["--append", "panic"])?.expect_status(1)?;
        let ended = ended.expect_words("Flight recorder of this boot, boot 2: 1 entry\n")?;
        ended.expect_words("  CPU 0x0  boot 2 panics\n")?.expect_words("rust_begin_unwind")?;
        let ended = boot("recorder", &["--append", "panic", "--json"])?.expect_status(1)?;
        let report: Value = serde_json::from_str(&ended.console)?;
        let of = |pointer: &str| report.pointer(pointer).cloned().unwrap_or_default();
        let holds = of("/recordings/0/last") == true
            && of("/recordings/0/boot") == 1
            && of("/recordings/1/entries/0/text") == "boot 2 panics";
        ended.expect(holds, "the recordings are others").map(drop)
    }));
    list.push(Behaviour::new("a_flight_recorder_is_inspected_and_kept_in_a_dump", || {
        let core = Scratch::new("recorder.core", &[])?;
        // Its first end is the reset.
        let inspect = ["inspect", "recorder", "--at", "exit", "--dump", core.path()];
        let live = handoff(&inspect)?.expect_status(0)?;
        live.expect_said("Flight recorder of this boot, boot 1: 511 entries\n… 447 older lines")?;
        let kept = handoff(&["inspect", "--from", core.path()])?.expect_status(0)?;
        kept.expect_said("recorder\n")?.expect_said("  CPU 0x0  last words: ")?;
        // The audit knows the region, and a kernel that does not ask has none.
        handoff(&["audit", "recorder"])?.expect_status(0)?;
        let other = handoff(&["inspect", "hello", "--json"])?.expect_status(0)?;
        let holds = !other.console.contains("recordings") && other.console.contains("\"recorder\": null");
        other.expect(holds, "a kernel that asks for none has a recorder").map(drop)
    }));
    list.push(Behaviour::new("memory_appears_where_its_fault_is_resolved", || {
        boot("demand", &[])?.expect_status(0)?.expect_said("256 pages were mapped by 256 faults").map(drop)
    }));
    list.push(Behaviour::new("the_kernel_of_the_page_on_memory_does_what_it_says", || {
        let ended = boot("memory", &[])?.expect_status(0)?;
        ended
            .expect_said("memory: spaces Some(Ok([Some(7), Some(8)]))")?
            .expect_said("demand-zero Some(42)")
            .map(drop)
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
                .expect_said("neither has the cycle counter")?
                .expect_said("protected, taken, and given anew: each time seen")?
                .expect_said("without a space the low half is empty")?
                .expect_said("300 spaces shared 255 ASIDs and kept their words")?
                .expect_said("302 spaces destroyed, every frame is back")
                .map(drop)
        }));
    }
    list.push(on_newer_qemu("user_spaces_are_without_the_debug_channel_of_a_newer_qemu", |qemu| {
        let run = ["run", "--kernel", "separation", "--timeout", "60"];
        let ended = handoff_with(&run, &[("HANDOFF_QEMU", qemu)])?.expect_status(0)?;
        ended.expect_said("nor the debug channel").map(drop)
    }));
    // Of what a processor has, all is used that the table opens; QEMU 7.2 has none of what it closes.
    for machine in ["virt", "virt-el2", "virt-el2-gic3", "virt-secure-elf", "virt-secure-el2"] {
        for cpu in ["cortex-a53", "cortex-a76", "max"] {
            list.push(Behaviour::new(
                format!("open_features_are_used_and_closed_ones_undefined_on_{machine}_with_{cpu}"),
                move || {
                    // QEMU 7.2 enters EL2 itself where there is EL3, leaves SCR_EL3.EnSCXT clear and no vectors: SCXTNUM_EL1
                    // is taken to EL3, which is lost there (-d int shows it).
                    let kept = if machine == "virt-secure-el2" { "CSV2_2" } else { "" };
                    let on = ["--machine", machine, "--cpu", cpu, "--append", kept];
                    let ended = boot("features", &on)?.expect_status(0)?;
                    ended.expect_said(" used, 0 undefined, of ").map(drop)
                },
            ));
        }
        for cpu in ["cortex-a710", "neoverse-v1", "neoverse-n2", "max"] {
            let name = format!("open_features_are_used_on_{machine}_with_{cpu}_of_a_newer_qemu");
            list.push(on_newer_qemu(name, move |qemu| {
                let kept = if machine == "virt-secure-el2" { "CSV2_2" } else { "" };
                let run = ["run", "--kernel", "features", "--timeout", "60", "--machine", machine];
                let run = [&run[..], &["--cpu", cpu, "--append", kept]].concat();
                let ended = handoff_with(&run, &[("HANDOFF_QEMU", qemu)])?.expect_status(0)?;
                ended.expect_said(" used, 0 undefined, of ").map(drop)
            }));
        }
    }
    for (machine, cpus, starts) in SECONDARIES {
        list.push(Behaviour::new(
            format!("the_routine_brings_{starts}_starts_on_{machine}_{cpus}")
                .trim_end_matches('_')
                .to_owned(),
            move || {
                let on = if cpus.is_empty() { vec![] } else { vec!["--cpus", cpus] };
                let ended =
                    boot("secondaries", &[&["--machine", machine][..], &on].concat())?.expect_status(0)?;
                let came = ended.console.matches(" entered by ").count();
                ended.expect(came == starts, &format!("{came} CPUs were started, not {starts}")).map(drop)
            },
        ));
    }
    // Where a stub stays above EL1, it is not given back with the loader.
    for (machine, last) in [
        ("virt", "nothing of the loader's is left"),
        ("virt-el2", "EL2 still answers"),
        ("virt-secure-elf", "nothing"),
    ] {
        list.push(Behaviour::new(
            format!("all_that_the_loader_left_is_taken_back_on_{machine}"),
            move || {
                let ended = boot("reclaim", &["--machine", machine, "--memory", "128M"])?.expect_status(0)?;
                let kinds = ["loader resident", "boot stack", "page tables", "boot info"];
                let ended = kinds
                    .iter()
                    .try_fold(ended, |ended, kind| ended.expect_said(&format!("reclaim: {kind}: ")))?;
                ended.expect_said(" free frames overwritten")?.expect_said(last).map(drop)
            },
        ));
    }
    for (name, what) in MILESTONES {
        let behaviour = name.replace(", ", "_and_").replace(' ', "_");
        list.push(Behaviour::new(format!("the_kernel_reaches_the_milestone_{behaviour}"), move || {
            boot("default", &[])?.expect_said(&format!("{name:<13} ok: {what}")).map(drop)
        }));
    }
    list
}
