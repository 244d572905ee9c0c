//! Machines that are looked at after the kernel's first instruction: at a place, at a fault, at the end, in a hang.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::Behaviour;
use crate::handoff::{Scratch, handoff};
use crate::stopped::small;

/// Kernels of a few instructions that never end, and what is said of the CPU.
const HANGS: [(&str, &[u32], &str); 5] = [
    // wfi; b .-4
    ("sleeps", &[0xD503_207F, 0x17FF_FFFF], "CPU 0: asleep in WFI with interrupts masked"),
    // wfe; b .-4
    ("waits_for_an_event", &[0xD503_205F, 0x17FF_FFFF], "CPU 0: waiting for an event (WFE)"),
    // b .
    ("branches_to_itself", &[0x1400_0000], "a branch to itself"),
    // mov x3, sp; sub x3, x3, #64; mov w0, #1; str w0, [x3]; ldaxr w0, [x3]; cbnz w0, .-4: a lock that is held
    (
        "takes_a_lock_twice",
        &[0x9100_03E3, 0xD101_0063, 0x5280_0020, 0xB900_0060, 0x885F_FC60, 0x35FF_FFE0],
        "it waits for memory at 0xffff008",
    ),
    // mov x0, #0x1000; msr vbar_el1, x0; isb; udf #0
    (
        "has_no_vectors",
        &[0xD282_0000, 0xD518_C000, 0xD503_3FDF, 0],
        "in the vectors themselves: VBAR_EL1 leads to no code",
    ),
];

pub fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    for own in ["", " own"] {
        let who = if own.is_empty() { "the_loader" } else { "the_kernel" };
        list.push(Behaviour::new(format!("a_fault_that_{who}_reports_is_seen_as_it_happened"), move || {
            let line = format!("stack-overflow{own}");
            let ended =
                handoff(&["inspect", "fault", "--at", "fault", "--append", &line])?.expect_status(0)?;
            ended
                .expect_said("fault on virt, at a fault")?
                .expect_said("data abort on a write: translation fault, level 3")?
                .expect_said("  fault_stack\n")?
                .expect_said("fault::faults::kmain+0x")?
                .expect_said(" at kernel/examples/fault.rs:")?
                .expect_said("  str x0, [sp, #-0x10]!")
                .map(drop)
        }));
    }
    list.push(Behaviour::new("what_the_kernel_changed_explains_its_fault", || {
        let line = ["--append", "unaligned-read"];
        let ended = handoff(&[&["inspect", "fault", "--at", "fault"], &line[..]].concat())?;
        ended.expect_status(0)?.expect_said("SCTLR_EL1.A was 0x0, is 0x1").map(drop)
    }));
    list.push(Behaviour::new("a_function_a_line_and_the_end_are_places", || {
        let at = |place: &str| handoff(&["inspect", "hello", "--cpus", "2", "--at", place])?.expect_status(0);
        at("kmain")?.expect_said("hello::kmain at kernel/examples/hello.rs:")?;
        let source = include_str!("../../../kernel/examples/hello.rs");
        let number = 1 + source.lines().position(|line| line.contains("say!(\"RAM")).ok_or("no such line")?;
        let line = at(&format!("hello.rs:{number}"))?;
        let line = line.expect_said("hello::kmain+0x")?;
        let line = line.expect_said(&format!("at kernel/examples/hello.rs:{number}\n"))?;
        line.expect_said("What differs from the kernel's first instruction\nnothing")?;
        let end = at("exit")?.expect_said("as the kernel ends the machine: good")?;
        end.expect_said("hlt #0xf000")?.expect_said("CPU 1: off").map(drop)
    }));
    list.push(Behaviour::new("the_tables_of_the_moment_are_shown", || {
        let ended = handoff(&["inspect", "separation", "--at", "exit"])?.expect_status(0)?;
        ended
            .expect_said("TCR_EL1.EPD0 was 0x1, is 0x0")?
            .expect_said("mapped now, rw-, write-back")?
            .expect_said("VBAR_EL1 was ")?;
        // While EL0 runs its own half is shown, by what EL0 may do there.
        let ended = handoff(&["inspect", "separation", "--at", "dispatch"])?.expect_status(0)?;
        let ended = ended.expect_said("Mapped by TTBR0: 4 runs\n")?;
        ended.expect_said("0x00007ffffffff000       4 KiB by 4K  r-x  write-back").map(drop)
    }));
    list.push(Behaviour::new("a_moment_is_kept_in_a_dump_with_all_its_words", || {
        let core = Scratch::new("moment.core", &[])?;
        let show = ["--json", "--dump", core.path()];
        let live =
            handoff(&[&["inspect", "hello", "--at", "kmain"], &show[..]].concat())?.expect_status(0)?;
        let kept = handoff(&["inspect", "--json", "--from", core.path()])?.expect_status(0)?;
        let is_same = kept.console == live.console;
        let kept = kept.expect(is_same, "the dump says something else")?;
        let value: Value = serde_json::from_str(&kept.console)?;
        let of = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let holds = of("/moment/when") == "at kmain"
            && of("/moment/cpus/0/frames/0/places/0/function") == "hello::kmain"
            && of("/moment/cpus/0/registers/pc") == of("/moment/cpus/0/frames/0/at");
        kept.expect(holds, "the moment's JSON is another").map(drop)
    }));
    list.push(Behaviour::new("a_place_that_is_not_reached_is_a_mistake_with_the_reason", || {
        let at = |place: &str| handoff(&["inspect", "hello", "--at", place])?.expect_status(2);
        at("fault")?.expect_words("the machine ended before the kernel came to a fault: good")?;
        at("hang")?.expect_words("the kernel did not hang: good")?;
        at("kmian")?.expect_words("did you mean kmain?")?;
        let kernel = Scratch::new("never.elf", &small(HANGS[0].1, 0x1000))?;
        let hangs = ["inspect", "--kernel", kernel.path(), "--timeout", "2", "--at", "exit"];
        handoff(&hangs)?.expect_status(2)?.expect_words("within 2 s").map(drop)
    }));
    for (what, words, said) in HANGS {
        list.push(Behaviour::new(format!("a_kernel_that_{what}_is_said_to_do_so"), move || {
            let kernel = Scratch::new(&format!("{what}.elf"), &small(words, 0x1000))?;
            let arguments = ["inspect", "--kernel", kernel.path(), "--at", "hang", "--timeout", "2"];
            handoff(&arguments)?.expect_status(0)?.expect_said(said).map(drop)
        }));
    }
    list.push(Behaviour::new("ctrl_c_shows_a_machine_that_hangs_and_leaves_none", interrupted));
    list
}

fn interrupted() -> Result<(), Failed> {
    let kernel = Scratch::new("interrupted.elf", &small(HANGS[2].1, 0x1000))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command.args(["inspect", "--kernel", kernel.path(), "--at", "hang", "--timeout", "600"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut words = BufReader::new(child.stderr.take().ok_or("no standard error")?);
    let mut line = String::new();
    // The stages may be built first, and cargo says so.
    while !line.starts_with("waiting for ") {
        line.clear();
        if words.read_line(&mut line)? == 0 {
            return Err("it did not wait".into());
        }
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let mut console = String::new();
    child.stdout.take().ok_or("no standard output")?.read_to_string(&mut console)?;
    let status = child.wait()?;
    if status.code() == Some(0) && console.contains("a branch to itself") {
        return Ok(());
    }
    Err(format!("{status}\n{console}").into())
}
