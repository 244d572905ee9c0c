//! Machines that are stopped at a kernel's first instruction: what is found there, and that the plan knew.

use std::path::PathBuf;

use images::inspect::dump;
use images::machine::{MACHINES, Machine, WayIn};
use images::qemu::supply::Supply;
use libtest_mimic::Failed;
use serde_json::Value;
use shared_abi::boot_info::BootInfo;
use shared_abi::note::Note;

use crate::Behaviour;
use crate::elf_builder::{ElfBuilder, LINK, Program, RW, RX};
use crate::handoff::{Ended, Folder, Scratch, handoff};

/// Kernels of a few instructions, and what becomes of them after the first one.
const KERNELS: [(&str, &[u32]); 3] = [
    // 1: ldr x1, [x0]; wfe; b 1b
    ("waits", &[0xF940_0001, 0xD503_205F, 0x17FF_FFFE]),
    // udf #0
    ("crashes_at_its_first_instruction", &[0]),
    // str x0, [x0]: BootInfo is read-only
    ("writes_to_boot_info", &[0xF900_0000]),
];

pub fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    for machine in MACHINES {
        let check = move || agree(machine, &["--kernel", "hello"], &[]);
        let name = format!("plan_and_boot_agree_on_{}", machine.name);
        list.push(Behaviour { is_ignored: !Supply::is_there(machine), ..Behaviour::new(name, check) });
    }
    for machine in ["virt", "virt-el2", "virt-numa"] {
        list.push(Behaviour::new(
            format!("plan_and_boot_agree_on_all_that_{machine}_hands_over"),
            move || {
                let initrd = Scratch::new(&format!("{machine}.initrd"), &[7; 0x30_0123])?;
                let module = Scratch::new(&format!("{machine}.module"), &[9; 0x4321])?;
                let recipe =
                    format!("[kernel]\nbin = \"kernel\"\n[modules]\n\"one\" = {:?}\n", module.path());
                let recipe = Scratch::new(&format!("{machine}.toml"), recipe.as_bytes())?;
                let line = ["--append", "some words", "--initrd", initrd.path()];
                agree(Machine::find(machine)?, &[recipe.path()], &line)?;
                agree(Machine::find(machine)?, &[recipe.path()], &["--append", "nokaslr", "--memory", "1G"])
            },
        ));
    }
    for (what, words) in KERNELS {
        list.push(Behaviour::new(format!("a_kernel_that_{what}_is_stopped_before_it_does"), move || {
            let kernel = Scratch::new(&format!("{what}.elf"), &small(words, 0x1000))?;
            for machine in ["virt", "virt-el2"] {
                let arguments = ["inspect", "--kernel", kernel.path(), "--machine", machine];
                let ended = handoff(&arguments)?.expect_status(0)?;
                ended.expect_said("ok     PC                0xffff000000000000")?;
            }
            Ok(())
        }));
    }
    list.push(Behaviour::new("an_image_is_stopped_as_it_is_in_either_form", || {
        let kernel = Scratch::new("stopped.elf", &small(KERNELS[1].1, 0x1000))?;
        for (form, machine) in [("image", "virt"), ("elf", "virt-elf")] {
            let image = Scratch::new(&format!("stopped-{form}.img"), &[])?;
            let build = ["build", "--kernel", kernel.path(), "--form", form, "-o", image.path()];
            handoff(&build)?.expect_status(0)?;
            let before = std::fs::read(image.path())?;
            let ended = handoff(&["inspect", "--image", image.path(), "--machine", machine])?;
            ended.expect_status(0)?.expect_said("as the contract says")?;
            if std::fs::read(image.path())? != before {
                return Err("the image was changed".into());
            }
            for ending in [".loader.elf", ".kernel.elf", ".gdb"] {
                std::fs::remove_file(PathBuf::from(image.path().to_owned() + ending))?;
            }
        }
        Ok(())
    }));
    list.push(Behaviour::new("what_the_boot_refuses_the_plan_refuses_in_the_same_words", || {
        // A gibibyte of zeros where there are 128 MiB.
        let kernel = Scratch::new("large.elf", &small(KERNELS[0].1, 1 << 30))?;
        let on = ["--kernel", kernel.path(), "--memory", "128M"];
        let line = |ended: &Ended, text: &str| {
            let line = text.lines().find(|line| line.starts_with("error E")).map(str::to_owned);
            line.ok_or_else(|| ended.failed("no line has an error's code"))
        };
        let boot = handoff(&[&["run"], &on[..]].concat())?.expect_status(101)?;
        let plan = handoff(&[&["plan"], &on[..]].concat())?.expect_status(101)?;
        let (said, foreseen) = (line(&boot, &boot.console)?, line(&plan, &plan.words)?);
        let plan = plan.expect(said == foreseen, &format!("the boot says {said}"))?;
        let json = handoff(&[&["plan", "--json"], &on[..]].concat())?.expect_status(101)?;
        let value: Value = serde_json::from_str(&json.console)?;
        let code = value["refusal"]["code"].as_str().unwrap_or_default();
        plan.expect(!code.is_empty() && said.contains(code), "--json has another code").map(drop)
    }));
    list.push(Behaviour::new("a_run_keeps_what_it_used_and_what_the_kernel_was_handed", || {
        let folder = Folder::new("kept")?;
        let ended = handoff(&["run", "hello", "--json", "--keep", folder.path()])?.expect_status(0)?;
        let report: Value = serde_json::from_str(&ended.console)?;
        let stages = report["timeline"].as_array().map_or(0, Vec::len);
        let ended = ended.expect(stages > 5, "the timeline has hardly a stage")?;
        let said = report["console"].as_str().unwrap_or_default();
        let ended = ended.expect(said.contains("hello from"), "the kernel did not go on")?;
        let kept = |name: &str| format!("{}/{name}", folder.path());
        let same = std::fs::read_to_string(kept("report.json"))?.replace('\r', "") == ended.console;
        ended.expect(same, "the report that was kept is another")?;
        handoff(&["inspect", "--from", &kept("handoff.core")])?
            .expect_status(0)?
            .expect_said("hello on virt")?;
        handoff(&["audit", "--from", &kept("handoff.core")])?.expect_status(0)?;
        handoff(&["check", &kept("image")])?.expect_status(0)?;
        // A boot that is refused leaves no dump, not even an earlier one's.
        let kernel = Scratch::new("kept.elf", &small(KERNELS[0].1, 1 << 30))?;
        handoff(&["run", "--kernel", kernel.path(), "--keep", folder.path(), "--quiet"])?
            .expect_status(101)?;
        match std::fs::exists(kept("handoff.core"))? {
            true => Err("an earlier dump stayed".into()),
            false => Ok(()),
        }
    }));
    list.push(Behaviour::new("a_page_has_the_plan_the_sections_and_the_entry_s_symbol", || {
        let page = Scratch::new("page.html", &[])?;
        let ended =
            handoff(&["inspect", "hello", "--machine", "virt-numa", "--cpus", "3", "--html", page.path()])?;
        let ended = ended.expect_status(0)?.expect_said("What differs from the plan\nnothing")?;
        ended.expect_said("  _start\n")?.expect_said("           .text ")?;
        let page = std::fs::read_to_string(page.path())?;
        for words in
            ["Every number is as planned", ".text ", ", _start</small>", ">node 2</span>", ">device tree</a>"]
        {
            if !page.contains(words) {
                return Err(format!("the page does not say {words:?}").into());
            }
        }
        Ok(())
    }));
    list.push(Behaviour::new("a_port_in_use_is_a_mistake", || {
        let taken = std::net::TcpListener::bind(("localhost", 0))?;
        let flag = format!("--gdb={}", taken.local_addr()?.port());
        let ended = handoff(&["run", "hello", &flag])?
            .expect_status(2)?
            .expect_words("is in use\nhelp: give another")?;
        let lines = ended.words.lines().filter(|line| line.starts_with("error")).count();
        ended.expect(lines == 1, "more than one line").map(drop)
    }));
    list
}

/// A fixed kernel of these instructions with so many bytes of BSS.
pub fn small(words: &[u32], zeros: u64) -> Vec<u8> {
    let text: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    ElfBuilder::new(crate::elf_builder::ET_EXEC, LINK, &Note::DEFAULT)
        .segment(Program::load(RX, LINK, 0x2000, 0x1000))
        .segment(Program::load(RW, LINK + 0x1000, 0x3000, 0x10).memory(zeros))
        .contents(0x2000, text)
        .build()
}

/// Stops a boot and plans the same: every number must agree, but for what only a running machine knows.
fn agree(machine: &Machine, what: &[&str], more: &[&str]) -> Result<(), Failed> {
    let name = machine.name;
    let core = Scratch::new(&format!("{name}-{}.core", more.len()), &[])?;
    let on = [what, &["--machine", name, "--json"], more].concat();
    let stopped = handoff(&[&["inspect", "--dump", core.path()], &on[..]].concat())?.expect_status(0)?;
    let found: Value = serde_json::from_str(&stopped.console)?;
    let of = |path: &str| found.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (slide, offset) = (of("/boot_info/kernel/slide"), of("/boot_info/direct_map/offset"));
    let (image, tree_at) = (of("/boot_info/image/start"), of("/boot_info/device_tree/start"));
    let chosen = ["--slide", &slide, "--direct-map", &offset];
    let plan = match machine.way_in {
        // It edits the tree and chooses the places: both are read out of the stopped machine.
        WayIn::UBoot => {
            let tree = Scratch::new(&format!("{name}.dtb"), &tree_of(core.path())?)?;
            let places = ["--tree", tree.path(), "--tree-at", &tree_at, "--image-at", &image];
            handoff(&[&["plan"], &on[..], &chosen, &places].concat())?
        }
        _ => handoff(&[&["plan"], &on[..], &chosen].concat())?,
    };
    let plan = plan.expect_status(0)?;
    let mut planned: Value = serde_json::from_str(&plan.console)?;
    let mut found = found;
    for value in [&mut planned, &mut found] {
        let unknown = [
            ("/boot_info", "timeline"),
            ("/boot_info", "log"),
            ("/boot_info", "entropy"),
            ("/boot_info/machine", "timer_frequency"),
            ("", "origin"),
            // Of these the plan has what the contract says, and the boot was held to that.
            ("", "entry"),
        ];
        for (place, key) in unknown {
            let removed = value.pointer_mut(place).and_then(|value| value.as_object_mut()?.remove(key));
            plan_has(removed, key)?;
        }
    }
    let mut differences = Vec::new();
    compare("", &planned, &found, &mut differences);
    plan.expect(differences.is_empty(), &format!("plan and boot differ:\n{}", differences.join("\n")))
        .map(drop)
}

fn plan_has(removed: Option<Value>, key: &str) -> Result<(), Failed> {
    removed.map(drop).ok_or_else(|| format!("no {key} in the JSON").into())
}

/// The device tree that lies in a dump.
fn tree_of(core: &str) -> Result<Vec<u8>, Failed> {
    let snapshot = dump::decode(&std::fs::read(core)?)?;
    let bytes = snapshot.boot_info()?;
    let info = BootInfo::decode(&bytes).map_err(|error| error.to_string())?;
    let tree = info.device_tree().ok_or("there is no device tree")?;
    let bytes = snapshot.bytes(tree.phys_start, tree.length).ok_or("the device tree was not read")?;
    Ok(bytes.to_vec())
}

fn compare(path: &str, planned: &Value, found: &Value, differences: &mut Vec<String>) {
    match (planned, found) {
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
            for (key, value) in one {
                compare(&format!("{path}/{key}"), value, &other[key], differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (value, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}/{index}"), value, other, differences);
            }
        }
        (planned, found) if planned == found => {}
        (planned, found) => differences.push(format!("{path}: planned {planned}, found {found}")),
    }
}
